"""A line as it is: neither markup nor wrapped, so that paths in it can be copied; nothing a terminal would obey."""

from rich.console import Console
from rich.text import Text


def say(console: Console, line: str, style: str = "") -> None:
    """Print one line, or several."""
    console.print(Text(printable(line), style=style), soft_wrap=True)


def printable(text: str) -> str:
    """Without control characters, which a file's name may hold and a terminal would obey."""
    return "".join(mark if mark.isprintable() or mark == "\n" else "�" for mark in text)
