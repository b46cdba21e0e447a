"""Problems of a data set as data: readers collect them, the caller raises the first or lists them all."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from wtal.core.errors import DataError, WtalError
from wtal.core.text import format_count, format_list


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong with a data set. The fields are those of `WtalError`.

    Attributes:
        message: What is wrong, without the path and without the fix.
        path: The file or folder.
        location: Where in it, such as `line 3` or the id of a video.
        hint: How to fix it.
        code: A stable identifier.
        fatal: Whether the data set, or this part of it, cannot be used.
    """

    message: str
    path: Path | None = None
    location: str | None = None
    hint: str | None = None
    code: str = DataError.default_code
    fatal: bool = True

    @classmethod
    def from_error(cls, error: WtalError, fatal: bool = True) -> "Problem":
        """The problem that an error describes."""
        path = None if error.path is None else Path(error.path)
        return cls(error.message, path, error.location, error.hint, error.code, fatal)

    def to_error(self) -> DataError:
        """The error that describes this problem."""
        return DataError(self.message, path=self.path, location=self.location, hint=self.hint, code=self.code)

    def __str__(self) -> str:
        return str(self.to_error())


def raise_first(problems: Iterable[Problem]) -> None:
    """Raise DataError for the first fatal problem, with the number of the others in its message."""
    fatal = [problem for problem in problems if problem.fatal]
    if fatal:
        error = fatal[0].to_error()
        if len(fatal) > 1:
            error.hint = f"{error.hint or 'fix it'} ({format_count(len(fatal) - 1, 'more problem')}; see `wtal check`)"
        raise error


def format_ids(ids: Iterable[str], limit: int = 3) -> str:
    """The first ids, abbreviated, and the number of the others."""
    return format_list([abbreviate(id) for id in ids], limit)


def abbreviate(text: str, limit: int = 60) -> str:
    """The text with at most `limit` characters and ` ...`: values in files may be megabytes long."""
    return text if len(text) <= limit else f"{text[:limit]} ..."
