"""Text for the terminal and Markdown. Names from files cannot break out of their line or cell."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

JOINERS = "\u200c\u200d"
BLANKS = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"  # letters and symbols without a visible form
INVISIBLE_CATEGORIES = ("Cc", "Cf", "Mn", "Me", "Mc", "Zs", "Zl", "Zp")
FORMULA_STARTS = ("=", "+", "-", "@", "\t")  # in spreadsheets
CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


# --- Plain text -------------------------------------------------------------------------------------------------------


def find_hidden(text: str) -> str | None:
    """The first character of a name that is invisible or changes the direction of text, None if there is none.

    Two names that look the same would be different ones. Joiners, which Persian and emoji need, are admitted between
    visible characters. A name without any visible character is hidden altogether.
    """
    if text.isascii():
        return None
    for character in text:
        if character in BLANKS or (unicodedata.category(character) == "Cf" and character not in JOINERS):
            return character
    is_visible = any(unicodedata.category(c) not in INVISIBLE_CATEGORIES for c in text)
    return None if is_visible else text[:1]


def one_line(text: str) -> str:
    """The text on one line: white space becomes a single space, unprintable characters U+FFFD."""
    return printable(" ".join(text.split()))


def printable(text: str) -> str:
    """The text with unprintable characters, except line breaks, as U+FFFD: a terminal would interpret them."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def print_line(console: "Console", text: str, style: str = "") -> None:
    """Print text without markup and without wrapping, so that paths in it can be copied."""
    from rich.text import Text

    console.print(Text(printable(text), style=style), soft_wrap=True)


def format_list(names: Sequence[str], limit: int = 5) -> str:
    """The names with commas between; of more than `limit` the first ones and a count: `a, b and 3 more`."""
    more = f" and {len(names) - limit:,} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def format_count(count: int, noun: str, plural: str = "") -> str:
    """A number with its noun: `1 video`, `2,000 videos`; `plural` if it is not made with an s."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def format_percent(
    fraction: float | None, decimals: int = 1, *, sign: bool = False, unit: str = "", missing: str = ""
) -> str:
    """A fraction in percent: `43.0`; with `sign` `+43.0`, with the unit " %" `43.0 %`, and `missing` for None."""
    return missing if fraction is None else f"{100 * fraction:{'+' if sign else ''}.{decimals}f}{unit}"


def format_time(seconds: float, step: float = 1.0) -> str:
    """`m:ss`, from an hour on `h:mm:ss`; with a decimal if `step`, the resolution in seconds, is below 1."""
    tenths = round(seconds * 10) if step < 1 else round(seconds) * 10
    minutes, rest = divmod(tenths, 600)
    text = f"{rest / 10:04.1f}" if step < 1 else f"{rest // 10:02d}"
    return f"{minutes // 60}:{minutes % 60:02d}:{text}" if minutes >= 60 else f"{minutes}:{text}"


def is_formula(text: str) -> bool:
    """Whether a spreadsheet would run the text as a formula."""
    return text.startswith(FORMULA_STARTS)


def escape_formula(text: str) -> str:
    """The text with an apostrophe before it, if a spreadsheet would run it as a formula."""
    return f"'{text}" if is_formula(text) else text


# --- Markdown ---------------------------------------------------------------------------------------------------------


def escape_markdown(text: str) -> str:
    """The text on one line with all Markdown characters escaped, to follow other text on that line."""
    return re.sub(r"([\\`*_\[\]<>|~$&#!])", r"\\\1", one_line(text))


def code_span(text: str) -> str:
    """The text on one line as a Markdown code span, with as many backticks as it needs."""
    text = one_line(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    padding = " " if text[:1] == "`" or text[-1:] == "`" else ""
    return f"{fence}{padding}{text}{padding}{fence}" if text else "(no name)"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The lines of a Markdown table. Cells are Markdown, without `|` in code spans."""
    yield f"| {' | '.join(header)} |"
    yield f"|{'---|' * len(header)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)
