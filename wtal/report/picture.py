"""Timelines as a picture: truth, result, all proposals, attention and CAS; hands on a PNG, SVG or PDF."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from wtal.errors import DataError
from wtal.files import write_whole
from wtal.report.colours import class_colours
from wtal.report.lanes import Stage, draw_panel
from wtal.report.layout import BETWEEN, EDGE, LEFT, RIGHT, WIDTH, Panel, chosen_classes, panel_height

__all__ = ["Panel", "draw_timelines", "timeline_figure"]

FORMATS: dict[str, dict[str, None]] = {
    "png": {},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},  # no dates: the same input gives the same file
}
# The same ids in each SVG, text in a PDF that can be edited, and letters as wide as they were measured.
SAVING: Any = {"svg.hashsalt": "wtal", "pdf.fonttype": 42, "text.hinting": "none"}
TALLEST = 60_000  # pixels; Agg ends at 65,536


def draw_timelines(path: Path, panels: Sequence[Panel], classes: Sequence[str]) -> None:
    """Draw the panels below one another into a .png, .svg or .pdf file, whole or not at all.

    `classes` are the columns of every CAS in order, and give the colours. Raises DataError for another
    suffix, when there is no panel, when a CAS has too few columns, and when the file cannot be written.
    """
    suffix = path.suffix.lower().removeprefix(".")
    if suffix not in FORMATS:
        raise DataError(f"{path}: pictures are written as .png, .svg or .pdf; choose one of these names")
    if not panels:
        raise DataError(f"{path}: there is no video to draw; choose at least one")
    with _quiet_fonts(), mpl.rc_context(SAVING):
        figure = timeline_figure(panels, classes)
        how: dict[str, Any] = {"format": suffix, "metadata": FORMATS[suffix]}
        how["dpi"] = min(200.0, TALLEST / figure.get_figheight())
        write_whole(path, lambda part: figure.savefig(part, **how))


def timeline_figure(panels: Sequence[Panel], classes: Sequence[str]) -> Figure:
    """The same as a matplotlib figure, as wide as a page of two columns (7.2 in); DataError as above."""
    for panel in panels:
        if len(panel.cas) > 0 and panel.cas.shape[1] < len(classes):
            raise DataError(
                f"{panel.title}: the CAS has {panel.cas.shape[1]} columns for {len(classes)} classes; "
                "give it one for each class, in the order of the classes"
            )
    lines = [chosen_classes(panel, classes) for panel in panels]
    colours = class_colours(classes, [label for chosen in lines for label in chosen])
    heights = [panel_height(panel, chosen) for panel, chosen in zip(panels, lines, strict=True)]
    tall = sum(heights) + BETWEEN * (len(panels) - 1) + 2 * EDGE
    figure = Figure(figsize=(WIDTH, tall), facecolor="white")
    FigureCanvasAgg(figure)
    top = EDGE
    for panel, chosen, height in zip(panels, lines, heights, strict=True):
        place = (LEFT / WIDTH, 1 - (top + height) / tall, (WIDTH - LEFT - RIGHT) / WIDTH, height / tall)
        stage = Stage(figure.add_axes(place), panel, tuple(classes), chosen, colours)
        with _quiet_fonts():
            draw_panel(stage, height)
        top += height + BETWEEN
    return figure


@contextmanager
def _quiet_fonts() -> Iterator[None]:
    """A label in a script that no font here knows is drawn as boxes: no reason to stop or to warn."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph .* missing from", UserWarning)
        warnings.filterwarnings("ignore", r"Matplotlib currently does not support", UserWarning)
        yield
