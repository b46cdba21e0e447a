"""A table as plain text cells, for a terminal or for Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from wtal.report.markdown import plain, table


@dataclass(frozen=True)
class Sheet:
    """Rows of cells under columns; the first column stands left, numbers right."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    bold: tuple[int, ...] = ()  # rows that are ours


def terminal(sheet: Sheet) -> Table:
    """For a terminal of any width: long words are folded."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, name in enumerate(sheet.columns):
        table.add_column(Text(name), justify="right" if place else "left", overflow="fold")
    for number, row in enumerate(sheet.rows):
        table.add_row(*map(Text, row), style="bold" if number in sheet.bold else "")
    return table


def markdown(sheet: Sheet) -> list[str]:
    """The lines of a Markdown table; no cell can break out of it."""
    rows = [[_cell(cell, number in sheet.bold) for cell in row] for number, row in enumerate(sheet.rows)]
    return list(table([plain(name) for name in sheet.columns], rows))


def mean_and_spread(values: Sequence[float], decimals: int = 1) -> str:
    """`12.3 ± 0.4`: the mean and the standard deviation (n - 1), or the one value alone."""
    mean = f"{np.mean(values):.{decimals}f}"
    return mean if len(values) < 2 else f"{mean} ± {np.std(values, ddof=1):.{decimals}f}"


def _cell(text: str, bold: bool) -> str:
    return f"**{plain(text)}**" if bold and text else plain(text)
