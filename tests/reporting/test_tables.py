"""Tables as data: rendered for a terminal of any width and as Markdown, with every cell escaped."""

import io

import pytest
from rich.console import Console

from wtal.reporting.tables import TableData, format_mean_std, print_table, to_markdown

WIDE = TableData(
    ("file", *(f"protocol {number}" for number in range(9))),
    tuple((name, *(f"{number}.{row}" for number in range(9))) for row, name in enumerate(("short", "x" * 60))),
    title="scores",
    bold=(1,),
)


def printed(table: TableData, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    print_table(table, console)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 80, 200])
def test_wide_table_is_split_into_tables_that_repeat_the_labels(width):
    lines = printed(WIDE, width)
    text = "\n".join(lines)
    assert lines[0] == "scores" and max(map(len, lines)) <= width and "…" not in text
    assert all(f"{number}.{row}" in text for number in range(9) for row in range(2))
    assert text.count("short") == text.count("file") == sum("─" in line for line in lines)
    assert (text.count("short") == 1) == (width == 200)


def test_cells_are_neither_markup_nor_control_characters():
    text = "\n".join(printed(TableData(("[b]a", "\x1b[31mb"), (("[red]c", "d"),)), 80))
    assert "[b]a" in text and "[red]c" in text and "\x1b" not in text


def test_markdown_escapes_cells_and_marks_bold_rows():
    lines = to_markdown(TableData(("a", "b"), (("x|y\nz", "1"), ("*", "")), bold=(1,)))
    assert lines == ["| a | b |", "|---|---|", r"| x\|y z | 1 |", r"| **\*** |  |"]


def test_mean_and_standard_deviation():
    assert format_mean_std([12.34]) == "12.3" and format_mean_std([1.0, 3.0], 2) == "2.00 ± 1.41"
