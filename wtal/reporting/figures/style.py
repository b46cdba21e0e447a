"""What all figures share: fonts, grays, and how a figure is written to a file."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager

from wtal.core.errors import DataError
from wtal.core.io import atomic_write

# The later fonts provide the glyphs that the first ones lack, such as Chinese, Japanese and Korean.
FONTS = (
    *("Inter", "Helvetica Neue", "Helvetica", "Arial", "Liberation Sans", "DejaVu Sans", "Noto Sans CJK JP"),
    *("Hiragino Sans", "PingFang SC", "Microsoft YaHei", "Malgun Gothic", "Arial Unicode MS"),
)
TEXT, MUTED, GRID, BAND = "#111827", "#6B7280", "#E5E7EB", "#F3F4F6"
PAGE_WIDTH, COLUMN_WIDTH = 7.2, 3.3  # inches: a page with two columns, and one column
FORMATS = ("png", "svg", "pdf")
DPI = 200.0
MAX_HEIGHT_PX = 60_000  # Agg's limit is 65,536
# Fixed ids in an SVG, editable text in a PDF, and glyph widths as they were measured.
SAVE_STYLE: Any = {"svg.hashsalt": "wtal", "pdf.fonttype": 42, "text.hinting": "none"}


@cache
def available_fonts() -> list[str]:
    """Those of `FONTS` that are installed; matplotlib brings DejaVu Sans."""
    installed = set(fontManager.get_font_names())
    return [name for name in FONTS if name in installed]


def new_figure(width: float, height: float, **options: Any) -> Figure:
    """A white figure of that size in inches, with a canvas and outside pyplot."""
    figure = Figure(figsize=(width, height), facecolor="white", **options)
    FigureCanvasAgg(figure)
    return figure


def figure_format(path: Path) -> str:
    """The format that a path names. Raises DataError unless it is .png, .svg or .pdf."""
    suffix = path.suffix.lower().removeprefix(".")
    if suffix not in FORMATS:
        raise DataError(
            "not a figure format", path=path, hint="use a name that ends in .png, .svg or .pdf", code="invalid-suffix"
        )
    return suffix


def save_figure(path: Path, make: Callable[[], Figure], style: Any = None, creator: str | None = None) -> None:
    """Write a figure atomically as .png, .svg or .pdf; the same input gives the same bytes.

    Args:
        path: The file to write; its suffix is the format.
        make: Creates the figure; called with the style applied.
        style: A dict of matplotlib settings beyond the common ones.
        creator: Name written to the file's metadata.

    Raises:
        DataError: Another suffix, or the file cannot be written.
    """
    suffix = figure_format(path)
    metadata: dict[str, dict[str, str | None]] = {
        "png": {"Software": creator} if creator else {},
        "svg": {"Creator": creator, "Date": None} if creator else {"Date": None},
        "pdf": {"Creator": creator, "CreationDate": None} if creator else {"CreationDate": None},
    }
    with ignore_missing_glyphs(), mpl.rc_context(SAVE_STYLE | (style or {})):
        figure = make()
        dpi = min(DPI, MAX_HEIGHT_PX / figure.get_figheight())
        atomic_write(
            path, lambda part: figure.savefig(part, format=suffix, dpi=dpi, metadata=metadata[suffix])
        )  # fmt: skip


@contextmanager
def ignore_missing_glyphs() -> Iterator[None]:
    """Suppress the warnings about a script that no installed font supports; it is drawn as boxes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph .* missing from", UserWarning)
        warnings.filterwarnings("ignore", r"Matplotlib currently does not support", UserWarning)
        yield
