"""Tables as data, rendered for a terminal or as Markdown. The HTML report renders the same `TableData`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from wtal.core.text import escape_markdown, format_percent, markdown_table, print_line, printable

COLUMN_GAP = 2  # characters between two columns in a terminal
MIN_LABEL_WIDTH = 24  # a longer label column is folded before a table is split


@dataclass(frozen=True)
class TableData:
    """A table of formatted cells, independent of how it is rendered. Cells are plain text; renderers escape them.

    Args:
        columns: Headings; a heading may have several lines.
        rows: Cells, as many in each row as there are columns.
        title: What the table shows; empty where the surrounding text says it.
        bold: Indices of highlighted rows, such as the main method.
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


def print_table(data: TableData, console: Console) -> None:
    """Print a table. Columns that do not fit side by side follow in further tables with the same labels."""
    if data.title:
        print_line(console, data.title)
    for columns in _column_groups(data, console.width):
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
    rows = [[_markdown_cell(cell, number in data.bold) for cell in row] for number, row in enumerate(data.rows)]
    title = [f"**{escape_markdown(data.title)}**", ""] if data.title else []
    return [*title, *markdown_table([escape_markdown(name) for name in data.columns], rows)]


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


def _markdown_cell(cell: str, bold: bool) -> str:
    return f"**{escape_markdown(cell)}**" if bold and cell else escape_markdown(cell)


def _text(cell: str) -> Text:
    return Text(printable(cell))
