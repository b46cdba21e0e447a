"""Tables as data, rendered for a terminal or as LaTeX, Markdown, CSV or JSON. The HTML report renders the same data."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import accumulate, chain
from typing import Literal

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from wtal.core.errors import ConfigError
from wtal.core.text import (
    escape_formula,
    escape_markdown,
    format_percent,
    markdown_table,
    one_line,
    print_line,
    printable,
)

COLUMN_GAP = 2  # characters between two columns in a terminal
EDGES = 2  # characters beside the first and the last column
MIN_LABEL_WIDTH = 24  # a longer label column is folded before a table is split

TERMINAL = "terminal"
NUMBER = re.compile(r"[+-]?(\d{1,3}(,\d{3})+|\d+)(\.\d+)?")
TIME = re.compile(r"(\d+:)?\d{1,2}:\d\d(\.\d+)?")  # as `format_time` writes it
PAIRS = {  # what a cell with two numbers looks like -> what is added to the headings of its two columns
    re.compile(r"(?P<first>\S+)( ± (?P<second>\S+))?"): ("", " std"),
    re.compile(r"\[(?P<first>\S+), (?P<second>\S+)\]"): (" low", " high"),
}
LATEX_ESCAPES = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "≤": r"$\leq$",
}


@dataclass(frozen=True)
class TableData:
    """A table of formatted cells, independent of how it is rendered. Cells are plain text; renderers escape them.

    Args:
        columns: Headings; a heading may have several lines.
        rows: Cells, as many in each row as there are columns. Cells of a row may have several lines, all the same
            number; outside a terminal each line is a row.
        title: What the table shows; empty where the surrounding text says it.
        bold: Indices of highlighted rows, such as the main method. LaTeX and Markdown highlight the labels alone,
            because bold numbers are read as the best ones.
        sections: Indices of rows that begin a new section.
        align: `l` or `r` for each column; the last letter holds for all further columns.
        labels: Number of leading columns that name a row; they are repeated where a wide table is split.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""
    bold: tuple[int, ...] = ()
    sections: tuple[int, ...] = ()
    align: str = "lr"
    labels: int = 1

    def justify(self, column: int) -> Literal["left", "right"]:
        """The alignment of a column."""
        return "left" if self.align[min(column, len(self.align) - 1)] == "l" else "right"


Block = TableData | Text | str  # what a command shows: tables, and lines before and after them


@dataclass(frozen=True)
class Output:
    """Where a command prints its tables and lines; see `open_output`.

    Attributes:
        console: The standard output.
        messages: Where lines and progress go: the same console, or the standard error if only tables are asked for.
        format: `terminal`, or one of `TABLE_FORMATS`.
    """

    console: Console
    messages: Console
    format: str
    tables: list[TableData] = field(default_factory=list)  # that are not printed yet

    def print(self, blocks: Iterable[Block]) -> None:
        """Print lines; print tables, or keep them until the output is closed."""
        for block in blocks:
            if isinstance(block, str):
                print_line(self.messages, block)
            elif isinstance(block, Text):
                self.messages.print(block, soft_wrap=True)
            elif self.format == TERMINAL:
                print_table(block, self.console)
            else:
                self.tables.append(block)


@contextmanager
def open_output(console: Console, format: str = TERMINAL) -> Iterator[Output]:
    """Yield where to print tables and lines.

    With the format `terminal`, everything is printed in its order. With another format, the standard output gets the
    tables alone, when the block ends without an error; everything else goes to the standard error. So the standard
    output can be written to a file.

    Raises:
        ConfigError: The format is unknown.
    """
    if format not in (TERMINAL, *TABLE_FORMATS):
        names = ", ".join((TERMINAL, *TABLE_FORMATS))
        raise ConfigError(f"unknown table format {format!r}", hint=f"use one of {names}", code="unknown-name")
    is_terminal = format == TERMINAL
    output = Output(console, console if is_terminal else Console(stderr=True, highlight=False), format)
    yield output
    if not is_terminal:
        console.file.write(TABLE_FORMATS[format](output.tables))
        console.file.flush()


# --- Formats ----------------------------------------------------------------------------------------------------------


def print_table(data: TableData, console: Console) -> None:
    """Print a table. Columns that do not fit side by side follow in further tables with the same labels."""
    if data.title:
        print_line(console, data.title)
    for columns in _column_groups(data, console.width - EDGES):
        rendered = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
        for column in columns:
            rendered.add_column(_text(data.columns[column]), justify=data.justify(column), overflow="fold")
        for number, row in enumerate(data.rows):
            if number in data.sections:
                rendered.add_section()
            style = "bold" if number in data.bold else ""
            rendered.add_row(*(_text(row[column]) for column in columns), style=style)
        console.print(rendered)


def to_markdown(data: TableData) -> list[str]:
    """The lines of a Markdown table; every cell is escaped."""
    data = _split_lines(data)
    rows = [
        [_markdown_cell(cell, number in data.bold and column < data.labels) for column, cell in enumerate(row)]
        for number, row in enumerate(data.rows)
    ]
    title = [f"**{escape_markdown(data.title)}**", ""] if data.title else []
    return [*title, *markdown_table([escape_markdown(name) for name in data.columns], rows)]


def to_latex(data: TableData) -> list[str]:
    """The lines of a LaTeX table for the package booktabs; every cell is escaped, the title is a comment."""
    data = _split_lines(data)
    align = "".join(data.justify(column)[0] for column in range(len(data.columns)))
    lines = [f"% {one_line(data.title)}"] if data.title else []
    lines += [rf"\begin{{tabular}}{{{align}}}", r"\toprule", _latex_row(data.columns), r"\midrule"]
    for number, row in enumerate(data.rows):
        if number in data.sections:
            lines.append(r"\midrule")
        lines.append(_latex_row(row, bold=data.labels if number in data.bold else 0))
    return [*lines, r"\bottomrule", r"\end{tabular}"]


def to_csv(data: TableData) -> list[str]:
    """The lines of a CSV table. Numbers are plain; a name that a spreadsheet would run is preceded by an apostrophe."""
    data = _for_programs(data)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([escape_formula(one_line(name)) for name in data.columns])
    for row in data.rows:
        labels = [escape_formula(one_line(cell)) for cell in row[: data.labels]]
        writer.writerow([*labels, *(_plain_cell(cell) for cell in row[data.labels :])])
    return text.getvalue().splitlines()


def to_json(data: TableData) -> dict[str, object]:
    """A table as a plain dict: title, columns and rows; cells that are numbers are numbers, empty ones None."""
    data = _for_programs(data)
    rows = [[*row[: data.labels], *map(_json_cell, row[data.labels :])] for row in data.rows]
    return {"title": data.title, "columns": list(map(one_line, data.columns)), "rows": rows}


def _join(render: Callable[[TableData], list[str]]) -> Callable[[Sequence[TableData]], str]:
    """A function that renders several tables, with an empty line between them."""
    return lambda tables: "\n".join("".join(f"{line}\n" for line in render(table)) for table in tables)


TABLE_FORMATS: dict[str, Callable[[Sequence[TableData]], str]] = {
    "latex": _join(to_latex),
    "markdown": _join(to_markdown),
    "csv": _join(to_csv),
    "json": lambda tables: (
        "[" + ",\n ".join(json.dumps(to_json(table), ensure_ascii=False) for table in tables) + "]\n"
    ),
}


# --- Cells ------------------------------------------------------------------------------------------------------------


def format_mean_std(values: Sequence[float], decimals: int = 1) -> str:
    """`12.3 ± 0.4`: mean and sample standard deviation (n - 1); the mean alone for a single value."""
    mean = f"{np.mean(values):.{decimals}f}"
    return mean if len(values) < 2 else f"{mean} ± {np.std(values, ddof=1):.{decimals}f}"


def format_interval(low: float, high: float, *, sign: bool = False) -> str:
    """`[12.1, 14.0]`: an interval of fractions in percent."""
    return f"[{format_percent(low, sign=sign)}, {format_percent(high, sign=sign)}]"


def _column_groups(data: TableData, width: int) -> list[list[int]]:
    """Column indices of the tables that a table is split into to fit a terminal."""
    widths = [
        max(len(line) for cell in cells for line in cell.split("\n"))
        for cells in zip(data.columns, *data.rows, strict=True)
    ]
    labels = list(range(data.labels))
    label_width = sum(min(widths[column], MIN_LABEL_WIDTH) + COLUMN_GAP for column in labels)
    groups, used = [labels.copy()], label_width
    for column in range(data.labels, len(widths)):
        if used + widths[column] > width and len(groups[-1]) > len(labels):
            groups.append(labels.copy())
            used = label_width
        groups[-1].append(column)
        used += widths[column] + COLUMN_GAP
    return groups


def _latex_row(cells: Sequence[str], bold: int = 0) -> str:
    """A row; the first `bold` cells are bold."""
    texts = list(map(_latex_cell, cells))
    texts[:bold] = [rf"\textbf{{{text}}}" if text else "" for text in texts[:bold]]
    if texts[0].startswith(("[", "*")):  # after a line break, LaTeX would read it as an option
        texts[0] = f"{{{texts[0][0]}}}{texts[0][1:]}"
    return rf"{' & '.join(texts)} \\"


def _latex_cell(cell: str) -> str:
    text = "".join(LATEX_ESCAPES.get(character, character) for character in one_line(cell))
    return re.sub(r"(?<![\w.)])-(?=\d)", "$-$", text)


def _for_programs(data: TableData) -> TableData:
    """The table with a number in each cell: `12.3 ± 0.4` and `[12.1, 14.0]` are two columns, times are in seconds."""
    data = _split_lines(data)
    columns = list(zip(data.columns, *data.rows, strict=True))
    split = [columns[: data.labels], *(_split_column(column) for column in columns[data.labels :])]
    headings, *cells = zip(*(_in_seconds(column) for group in split for column in group), strict=True)
    return replace(data, columns=headings, rows=tuple(cells))


def _split_lines(data: TableData) -> TableData:
    """The table with a row for each line of its cells; labels and cells of one line are repeated."""
    groups = []
    for row in data.rows:
        cells = [*([label] for label in row[: data.labels]), *(cell.split("\n") for cell in row[data.labels :])]
        lines = max(map(len, cells))
        groups.append(list(zip(*(cell if len(cell) > 1 else cell * lines for cell in cells), strict=True)))
    starts = list(accumulate(map(len, groups), initial=0))
    return replace(
        data,
        rows=tuple(chain.from_iterable(groups)),
        bold=tuple(row for number in data.bold for row in range(starts[number], starts[number + 1])),
        sections=tuple(starts[number] for number in data.sections),
    )


def _in_seconds(column: tuple[str, ...]) -> tuple[str, ...]:
    """A column of times in seconds, with the unit in its heading; other columns unchanged."""
    heading, *cells = column
    times = [TIME.fullmatch(cell) for cell in cells if cell]
    if not times or None in times:
        return column
    return (f"{heading} (s)", *(_seconds(cell) if cell else "" for cell in cells))


def _seconds(time: str) -> str:
    """The seconds of `m:ss`, `m:ss.s` or `h:mm:ss`, with as many decimals."""
    seconds = sum(float(part) * 60**power for power, part in enumerate(reversed(time.split(":"))))
    return f"{seconds:.{len(time.partition('.')[2])}f}"


def _split_column(column: Sequence[str]) -> list[tuple[str, ...]]:
    """A column with its heading, or the two columns of its pairs of numbers."""
    heading, *cells = column
    for pattern, (first, second) in PAIRS.items():
        pairs = [("", "") if not cell else _pair(cell, pattern) for cell in cells]
        if None not in pairs and any(pair and pair[1] for pair in pairs):
            firsts, seconds = zip(*filter(None, pairs), strict=True)
            return [(heading + first, *firsts), (heading + second, *seconds)]
    return [tuple(column)]


def _pair(cell: str, pattern: re.Pattern[str]) -> tuple[str, str] | None:
    """The two numbers of a cell, the second one empty if it is optional and missing; None for other cells."""
    match = pattern.fullmatch(cell)
    pair = (match["first"], match["second"] or "") if match else ("", "")
    return pair if NUMBER.fullmatch(pair[0]) and (not pair[1] or NUMBER.fullmatch(pair[1])) else None


def _plain_cell(cell: str) -> str:
    """A cell as text for programs: a number without thousands separators, another text on one line."""
    if NUMBER.fullmatch(cell):
        return cell.replace(",", "").removeprefix("+")
    return escape_formula(one_line(cell))


def _json_cell(cell: str) -> str | float | None:
    if not NUMBER.fullmatch(cell):
        return cell or None
    number = cell.replace(",", "")
    return float(number) if "." in number else int(number)


def _markdown_cell(cell: str, bold: bool) -> str:
    return f"**{escape_markdown(cell)}**" if bold and cell else escape_markdown(cell)


def _text(cell: str) -> Text:
    return Text(printable(cell))
