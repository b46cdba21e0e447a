"""The figures of the studies."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl

from wtal.reporting.figures.style import new_figure

STYLE: Any = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}


@contextmanager
def open_figure(path: Path, columns: int, width: float, height: float) -> Iterator[tuple[Any, list[Any]]]:
    """A figure of that size in inches, with axes side by side, that is written to a file when the block ends."""
    with mpl.rc_context(STYLE):
        figure = new_figure(width, height, layout="constrained")
        yield figure, list(figure.subplots(1, columns, squeeze=False).flat)
        figure.savefig(path, dpi=150)
