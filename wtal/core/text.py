"""A line as it is: neither markup nor wrapped, so that paths in it can be copied; nothing a terminal would obey.

FROM: Markdown and YAML out of other people's words: no name can break out of its line, cell or quotes.
"""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The lines of a table; a cell is Markdown already, and may not be a code span with a bar in it."""
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)


def code(text: str) -> str:
    """A code span, whatever is in it."""
    text = one_line(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    edge = " " if text[:1] == "`" or text[-1:] == "`" else ""
    return f"{fence}{edge}{text}{edge}{fence}" if text else "(no name)"


def plain(text: str) -> str:
    """Text that reads as it stands, after a word of ours on the same line."""
    return re.sub(r"([\\`*_\[\]<>|~$&#!])", r"\\\1", one_line(text))


def yaml_string(text: str) -> str:
    """A double-quoted scalar on one line."""
    return '"' + "".join(c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in text) + '"'


def one_line(text: str) -> str:
    """Single spaces for whatever breaks or spaces a line, and a mark for what cannot be printed."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text.split()))


def print_line(console: "Console", line: str, style: str = "") -> None:
    """Print one line, or several."""
    from rich.text import Text

    console.print(Text(printable(line), style=style), soft_wrap=True)


def printable(text: str) -> str:
    """Without control characters, which a file's name may hold and a terminal would obey."""
    return "".join(mark if mark.isprintable() or mark == "\n" else "�" for mark in text)


CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # no table of tags holds them


def format_list(names: Sequence[str], limit: int = 5) -> str:
    """The names with commas between; of more than `limit` the first ones and a count: `a, b and 3 more`."""
    more = f" and {len(names) - limit:,} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def format_percent(
    fraction: float | None, decimals: int = 1, *, sign: bool = False, unit: str = "", missing: str = ""
) -> str:
    """A fraction in percent: `43.0`; with `sign` `+43.0`, with the unit " %" `43.0 %`, and `missing` for None."""
    return missing if fraction is None else f"{100 * fraction:{'+' if sign else ''}.{decimals}f}{unit}"
