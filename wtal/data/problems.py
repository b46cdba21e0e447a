"""What is wrong with a data set, as data: the caller raises the first problem or lists them all."""

from collections.abc import Iterable
from dataclasses import dataclass

from wtal.core.errors import DataError


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where (file, id), what, how to mend it, and whether work must stop for it."""

    where: str
    what: str
    mend: str
    fatal: bool = True

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.mend}"


def abbreviate(said: str, most: int = 60) -> str:
    """What a file holds as a message shows it: in a wrong place that may be megabytes."""
    return said if len(said) <= most else f"{said[:most]} ..."


def as_problem(error: DataError) -> Problem:
    """The DataError of a reader, `where: what; mend`, as a fatal Problem."""
    where, _, rest = str(error).partition(": ")
    what, _, mend = rest.rpartition("; ")
    return Problem(where, what, mend) if what else Problem(where, rest, "mend that first")


def raise_first(problems: Iterable[Problem]) -> None:
    """Raise DataError for the first fatal problem, saying how many more there are."""
    fatal = [problem for problem in problems if problem.fatal]
    if fatal:
        more = f" ({len(fatal) - 1} more such; `wtal check` lists them)" if len(fatal) > 1 else ""
        raise DataError(f"{fatal[0]}{more}")
