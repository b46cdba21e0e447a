"""Timelines as a picture: truth, result, all proposals, attention and CAS; hands on a PNG, SVG or PDF.

FROM: The lanes of a panel, drawn from the top; one Axes a panel, seconds to the right and inches downwards.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, fontManager

from wtal.core.errors import DataError
from wtal.core.io import atomic_write
from wtal.core.structures import Segment
from wtal.reporting.figures.colors import GREY, class_colours, ink, mix, text_on
from wtal.reporting.figures.layout import (
    ATTENTION,
    AXIS,
    BETWEEN,
    CAPTION,
    CAS,
    EDGE,
    LANE_GAP,
    LEFT,
    MOST_LINES,
    NAME_GAP,
    RIGHT,
    ROW,
    THIN_ROW,
    WIDTH,
    Measure,
    TimelineData,
    chosen_classes,
    clock_time,
    elide,
    end_of_axis,
    opacities,
    pack,
    panel_height,
    plain,
    proposal_rows,
    rows_height,
    spread,
    steps,
    tick_step,
    value_range,
)

# One sans-serif; the later names lend what the first lacks, such as Chinese, Japanese and Korean.
FONTS = (
    *("Inter", "Helvetica Neue", "Helvetica", "Arial", "Liberation Sans", "DejaVu Sans", "Noto Sans CJK JP"),
    *("Hiragino Sans", "PingFang SC", "Microsoft YaHei", "Malgun Gothic", "Arial Unicode MS"),
)
TEXT, MUTED, GRID, BAND = "#111827", "#6B7280", "#E5E7EB", "#F3F4F6"
TITLE, NAME, SMALL = 9.0, 7.0, 6.0  # points


@dataclass(frozen=True)
class DrawContext:
    """What the lanes of one panel share."""

    axes: Axes
    panel: TimelineData
    classes: tuple[str, ...]
    chosen: list[str]
    colours: dict[str, str]

    @property
    def until(self) -> float:
        """The end of the axis in seconds."""
        return end_of_axis(self.panel)

    @property
    def point(self) -> float:
        """One point (1/72 in) along the axis, in seconds."""
        return self.until / (WIDTH - LEFT - RIGHT) / 72

    def colour(self, label: str) -> str:
        return self.colours.get(label, GREY)

    def write(self, x: float, y: float, text: str, size: float, colour: str, align: str = "left") -> None:
        """Plain text at x seconds and y inches, without any mathematics in it."""
        self.axes.text(
            x, y, text, fontsize=size, color=colour, ha=align, va="center", family=_fonts(), parse_math=False
        )  # fmt: skip

    def margin(self, inches: float) -> float:
        """Seconds (below 0) that lie so many inches from the figure's left edge."""
        return (inches - LEFT) * 72 * self.point


def draw_panel(stage: DrawContext, height: float) -> None:
    """All lanes of a panel that is `height` inches tall (see `panel_height`)."""
    _draw_grid(stage, height)
    _draw_caption(stage)
    y = CAPTION
    y = _draw_segments(stage, y, "truth", stage.panel.truth, "no action marked")
    y = _draw_segments(stage, y, "result", stage.panel.result, "nothing at this operating point")
    y = _draw_proposals(stage, y)
    y = _draw_attention(stage, y)
    _draw_cas(stage, y)


def _draw_grid(stage: DrawContext, height: float) -> None:
    axes, step = stage.axes, tick_step(stage.until)
    axes.set(xlim=(0, stage.until), ylim=(height, 0), facecolor="none")
    axes.set_axis_off()
    foot = height - AXIS
    ticks = np.arange(0, stage.until + step / 1e3, step)
    axes.vlines(ticks, CAPTION - 0.03, foot, color=GRID, linewidth=0.6, zorder=0)
    for tick in ticks:
        stage.write(tick, foot + 0.08, clock_time(tick, step), SMALL, MUTED, "center")


def _draw_caption(stage: DrawContext) -> None:
    size = _measure(TITLE)
    title = elide(plain(stage.panel.title), (WIDTH - 2 * EDGE - 0.6) * 72, size, least=1)
    stage.write(stage.margin(EDGE), 0.09, title, TITLE, TEXT)
    beside = stage.margin(EDGE) + (size(title) + 6) * stage.point
    stage.write(beside, 0.095, clock_time(stage.panel.duration, tick_step(stage.until)), NAME, MUTED)


def _draw_segments(stage: DrawContext, y: float, name: str, segments: Sequence[Segment | Segment], empty: str) -> float:
    """A lane of truth or of a result. Returns the next lane's y."""
    rows = pack(segments)
    _name(stage, y, ROW, name)
    if not segments:
        stage.write(4 * stage.point, y + ROW / 2, empty, SMALL, MUTED)
    for segment, row in zip(segments, rows, strict=True):
        _draw_segment(stage, y + row * ROW, segment)
    return y + rows_height(rows, ROW) + LANE_GAP


def _draw_segment(stage: DrawContext, y: float, segment: Segment | Segment) -> None:
    """Truth outlined, a result filled; with its label where that fits."""
    colour, outlined = stage.colour(segment.label), isinstance(segment, Segment)
    fill, edge, line = ("white", ink(colour, 3.0), 1.0) if outlined else (colour, "white", 0.5)
    box = [_box(stage, segment, y, ROW)]
    stage.axes.add_collection(PolyCollection(box, facecolors=fill, edgecolors=edge, linewidths=line, zorder=2))
    start, end = max(0.0, segment.start), min(stage.until, segment.end)
    label = elide(plain(segment.label), (end - start) / stage.point - 5, _measure(SMALL))
    shade = TEXT if outlined else text_on(colour)
    stage.write((start + end) / 2, y + ROW / 2, label, SMALL, shade, "center")


def _draw_proposals(stage: DrawContext, y: float) -> float:
    """A row for each class; the surer within its panel, the stronger its colour; the surest on top."""
    proposals = sorted(stage.panel.proposals, key=lambda p: p.confidence)
    rows = proposal_rows(stage.panel, stage.chosen)
    height = max(ROW, rows_height(rows.values(), THIN_ROW))
    _name(stage, y, height, "all proposals")
    if not proposals:
        stage.write(4 * stage.point, y + ROW / 2, "no proposals", SMALL, MUTED)
        return y + height + LANE_GAP
    shared = _sharing(rows)
    colours = {label: GREY if label in shared else stage.colour(label) for label in rows}
    boxes = [_box(stage, p, y + rows[p.label] * THIN_ROW, THIN_ROW) for p in proposals]
    # Opaque tints in place of alpha: hundreds of weak proposals on a heap would add up to a strong one.
    shares = opacities([p.confidence for p in proposals])
    tints = [mix("#FFFFFF", colours[p.label], share) for p, share in zip(proposals, shares, strict=True)]
    lane = PolyCollection(boxes, facecolors=tints, edgecolors="white", linewidths=0.3, zorder=2)
    stage.axes.add_collection(lane)
    _name_rows(stage, y, rows)
    return y + height + LANE_GAP


def _name_rows(stage: DrawContext, y: float, rows: dict[str, int]) -> None:
    """Names of rows whose class has no line in the CAS below, and so no name there."""
    measure, shared = _measure(SMALL - 0.5), _sharing(rows)
    names = {row: label for label, row in rows.items() if label not in stage.chosen}
    if shared:
        names[MOST_LINES] = f"{len(shared)} more classes"
    for row, name in names.items():
        short = elide(plain(name), (RIGHT - EDGE) * 72 - 5, measure, least=1)
        stage.write(stage.until + 5 * stage.point, y + (row + 0.5) * THIN_ROW, short, SMALL - 0.5, MUTED)


def _sharing(rows: dict[str, int]) -> list[str]:
    """The labels in the last row of proposals, where they are more than one."""
    last = [label for label, row in rows.items() if row == MOST_LINES]
    return last if len(last) > 1 else []


def _draw_attention(stage: DrawContext, y: float) -> float:
    _name(stage, y, ATTENTION, "attention")
    _bands(stage, y, ATTENTION)
    _scale(stage, y, ATTENTION, "0", "1")
    if len(stage.panel.attention):
        times, values = steps(stage.panel.times, stage.panel.attention)
        curve = y + ATTENTION * (1 - np.clip(values, 0, 1))
        stage.axes.fill_between(times, curve, y + ATTENTION, color="#9CA3AF", alpha=0.55, linewidth=0, zorder=2)
        stage.axes.plot(times, curve, color=MUTED, linewidth=0.6, zorder=2)
    return y + ATTENTION + LANE_GAP


def _draw_cas(stage: DrawContext, y: float) -> None:
    """A line for each chosen class, named at its end."""
    _name(stage, y, CAS, "CAS")
    _bands(stage, y, CAS)
    columns = [stage.classes.index(label) for label in stage.chosen]
    cas = stage.panel.cas[:, columns]
    low, high = value_range(cas)
    _scale(stage, y, CAS, f"{low:g}", f"{high:g}")
    if not cas.size:
        return
    ends = []
    for values, label in zip(cas.T, stage.chosen, strict=True):
        times, stepped = steps(stage.panel.times, values)
        curve = y + CAS * (1 - (stepped - low) / (high - low))
        stage.axes.plot(times, curve, color=ink(stage.colour(label), 2.0), linewidth=1.0, zorder=3)
        ends.append(float(curve[-1]) if np.isfinite(curve[-1]) else y + CAS)
    _name_lines(stage, ends, y + CAS)


def _name_lines(stage: DrawContext, ends: list[float], foot: float) -> None:
    """Names beside the ends of the lines, kept apart, each led to by a stroke of its colour."""
    measure = _measure(SMALL)
    start = stage.until + 2 * stage.point
    for label, end, y in zip(stage.chosen, ends, spread(ends, NAME_GAP, foot), strict=True):
        xs = [start, start + 4 * stage.point, start + 9 * stage.point, start + 14 * stage.point]
        colour = ink(stage.colour(label), 2.0)
        stage.axes.plot(xs, [end, end, y, y], color=colour, linewidth=0.9, clip_on=False, solid_capstyle="butt")
        name = elide(plain(label), (RIGHT - EDGE) * 72 - 20, measure, least=1)
        stage.write(start + 17 * stage.point, y, name, SMALL, TEXT)


def _name(stage: DrawContext, y: float, height: float, name: str) -> None:
    stage.write(stage.margin(EDGE), y + height / 2, name, NAME, MUTED)


def _scale(stage: DrawContext, y: float, height: float, low: str, high: str) -> None:
    """The ends of a curve's scale, left of the lane, over a hairline at its foot."""
    stage.axes.hlines(y + height, 0, stage.until, color=GRID, linewidth=0.6, zorder=1)
    for at, text in ((y + height - 0.03, low), (y + 0.03, high)):
        stage.write(-3 * stage.point, at, text, SMALL - 0.5, MUTED, "right")


def _bands(stage: DrawContext, y: float, height: float) -> None:
    """The truth as pale bands behind a curve, so that the eye need not travel up."""
    boxes = [_box(stage, action, y, height + 0.02) for action in stage.panel.truth]
    stage.axes.add_collection(PolyCollection(boxes, facecolors=BAND, edgecolors="none", zorder=-1))


def _box(stage: DrawContext, segment: Segment | Segment, y: float, height: float) -> list[tuple[float, float]]:
    """Corners of a segment, at least a point wide so that none is lost in a long video."""
    start, end = segment.start, max(segment.end, segment.start + stage.point)
    top, foot = y + 0.01, y + height - 0.01
    return [(start, top), (end, top), (end, foot), (start, foot)]


@cache
def _measure(size: float) -> Measure:
    """How wide a text of that size is, in points."""
    fine = 10  # pixels a point: coarser ones would round the letters' widths
    renderer = RendererAgg(8, 8, 72 * fine)
    font = FontProperties(family=_fonts(), size=size)
    return lambda text: float(renderer.get_text_width_height_descent(text, font, False)[0]) / fine


@cache
def _fonts() -> list[str]:
    """Those of our fonts that this machine has; matplotlib always brings DejaVu Sans."""
    here = set(fontManager.get_font_names())
    return [name for name in FONTS if name in here]


FORMATS: dict[str, dict[str, None]] = {
    "png": {},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},  # no dates: the same input gives the same file
}
# The same ids in each SVG, text in a PDF that can be edited, and letters as wide as they were measured.
SAVING: Any = {"svg.hashsalt": "wtal", "pdf.fonttype": 42, "text.hinting": "none"}
TALLEST = 60_000  # pixels; Agg ends at 65,536


def draw_timelines(path: Path, panels: Sequence[TimelineData], classes: Sequence[str]) -> None:
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
        atomic_write(path, lambda part: figure.savefig(part, **how))


def timeline_figure(panels: Sequence[TimelineData], classes: Sequence[str]) -> Figure:
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
        stage = DrawContext(figure.add_axes(place), panel, tuple(classes), chosen, colours)
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
