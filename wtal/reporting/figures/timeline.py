"""Timelines as a PNG, SVG or PDF: ground truth, predictions, proposals, attention and CAS of each video."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from wtal.core.errors import DataError
from wtal.core.structures import Segment
from wtal.core.text import format_time, one_line
from wtal.reporting.figures.colors import GRAY, WHITE, class_colors, darken, mix, text_color_on
from wtal.reporting.figures.layout import (
    ATTENTION_HEIGHT,
    AXIS_HEIGHT,
    CAS_HEIGHT,
    EDGE_MARGIN,
    LABEL_GAP,
    LANE_GAP,
    LEFT_MARGIN,
    MAX_CLASS_ROWS,
    PROPOSAL_ROW_HEIGHT,
    RIGHT_MARGIN,
    ROW_HEIGHT,
    TIMELINE_GAP,
    TITLE_HEIGHT,
    Measure,
    TimelineData,
    assign_rows,
    axis_end,
    cas_classes,
    opacities,
    proposal_rows,
    rows_height,
    snippet_curve,
    spread_positions,
    tick_step,
    timeline_height,
    truncate_text,
    value_range,
)
from wtal.reporting.figures.style import (
    BAND,
    GRID,
    MUTED,
    PAGE_WIDTH,
    TEXT,
    available_fonts,
    figure_format,
    ignore_missing_glyphs,
    new_figure,
    save_figure,
)

TITLE_SIZE, NAME_SIZE, SMALL_SIZE, ROW_NAME_SIZE = 9.0, 7.0, 6.0, 5.5  # points
LANES_WIDTH = PAGE_WIDTH - LEFT_MARGIN - RIGHT_MARGIN  # inches
LINE_CONTRAST = 2.0  # of CAS lines on white
OUTLINE_CONTRAST = 3.0


def draw_timelines(path: Path, timelines: Sequence[TimelineData], classes: Sequence[str]) -> None:
    """Draw timelines below one another and write them as .png, .svg or .pdf.

    Args:
        path: The file to write.
        timelines: At least one.
        classes: The classes in the order of the columns of every CAS; they determine the colors.

    Raises:
        DataError: Another suffix, no timeline, a CAS with too few columns, or the file cannot be written.
    """
    figure_format(path)
    if not timelines:
        raise DataError("no timeline to draw", path=path, hint="choose at least one video", code="empty-input")
    save_figure(path, lambda: timeline_figure(timelines, classes))


def timeline_figure(timelines: Sequence[TimelineData], classes: Sequence[str]) -> Figure:
    """The timelines as a matplotlib figure as wide as a page with two columns (7.2 in). Raises DataError as above."""
    for timeline in timelines:
        if len(timeline.cas) > 0 and timeline.cas.shape[1] < len(classes):
            raise DataError(
                f"the CAS has {timeline.cas.shape[1]} columns for {len(classes)} classes",
                location=f"video {timeline.title}",
                hint="pass one column for each class, in the order of the classes",
                code="shape-mismatch",
            )
    drawn = [cas_classes(timeline, classes) for timeline in timelines]
    colors = class_colors(classes, [label for labels in drawn for label in labels])
    heights = [timeline_height(timeline, labels) for timeline, labels in zip(timelines, drawn, strict=True)]
    total = sum(heights) + TIMELINE_GAP * (len(timelines) - 1) + 2 * EDGE_MARGIN
    figure = new_figure(PAGE_WIDTH, total)
    top = EDGE_MARGIN
    with ignore_missing_glyphs():
        for timeline, labels, height in zip(timelines, drawn, heights, strict=True):
            box = (LEFT_MARGIN / PAGE_WIDTH, 1 - (top + height) / total, LANES_WIDTH / PAGE_WIDTH, height / total)
            context = DrawContext(figure.add_axes(box), timeline, tuple(classes), labels, colors)
            _draw_timeline(context, height)
            top += height + TIMELINE_GAP
    return figure


@dataclass(frozen=True)
class DrawContext:
    """What the lanes of a timeline share."""

    axes: Axes  # seconds to the right, inches downwards
    timeline: TimelineData
    classes: tuple[str, ...]
    drawn: list[str]  # classes with a CAS line
    colors: dict[str, str]

    @property
    def end(self) -> float:
        """The end of the time axis in seconds."""
        return axis_end(self.timeline)

    @property
    def point(self) -> float:
        """One point (1/72 in) along the time axis, in seconds."""
        return self.end / LANES_WIDTH / 72

    @property
    def left_edge(self) -> float:
        """The left margin of the figure, in seconds (below 0)."""
        return (EDGE_MARGIN - LEFT_MARGIN) * 72 * self.point

    def color(self, label: str) -> str:
        return self.colors.get(label, GRAY)

    def write(self, x: float, y: float, text: str, size: float, color: str, align: str = "left") -> None:
        """Write text, never as a formula, at x seconds and y inches."""
        self.axes.text(
            x, y, text, fontsize=size, color=color, ha=align, va="center", family=available_fonts(), parse_math=False
        )  # fmt: skip


def _draw_timeline(context: DrawContext, height: float) -> None:
    _draw_grid(context, height)
    _draw_title(context)
    timeline = context.timeline
    y = TITLE_HEIGHT
    y = _draw_segments(context, y, "ground truth", timeline.ground_truth, "no segments annotated", outlined=True)
    y = _draw_segments(context, y, "predictions", timeline.predictions, "no predictions", outlined=False)
    y = _draw_proposals(context, y)
    y = _draw_attention(context, y)
    _draw_cas(context, y)


def _draw_grid(context: DrawContext, height: float) -> None:
    axes, step = context.axes, tick_step(context.end)
    axes.set(xlim=(0, context.end), ylim=(height, 0), facecolor="none")
    axes.set_axis_off()
    bottom = height - AXIS_HEIGHT
    ticks = np.arange(0, context.end + step / 1e3, step)
    axes.vlines(ticks, TITLE_HEIGHT - 0.03, bottom, color=GRID, linewidth=0.6, zorder=0)
    for tick in ticks:
        context.write(tick, bottom + 0.08, format_time(tick, step), SMALL_SIZE, MUTED, "center")


def _draw_title(context: DrawContext) -> None:
    measure = _text_measure(TITLE_SIZE)
    title = truncate_text(
        one_line(context.timeline.title), (PAGE_WIDTH - 2 * EDGE_MARGIN - 0.6) * 72, measure, min_length=1
    )
    context.write(context.left_edge, 0.09, title, TITLE_SIZE, TEXT)
    x = context.left_edge + (measure(title) + 6) * context.point
    duration = format_time(context.timeline.duration, tick_step(context.end))
    context.write(x, 0.095, duration, NAME_SIZE, MUTED)


def _draw_segments(
    context: DrawContext, y: float, name: str, segments: Sequence[Segment], empty: str, outlined: bool
) -> float:
    """A lane of segments, or the `empty` text. Returns the y of the next lane."""
    rows = assign_rows(segments)
    _draw_lane_name(context, y, ROW_HEIGHT, name)
    if not segments:
        context.write(4 * context.point, y + ROW_HEIGHT / 2, empty, SMALL_SIZE, MUTED)
    for segment, row in zip(segments, rows, strict=True):
        _draw_segment(context, y + row * ROW_HEIGHT, segment, outlined)
    return y + rows_height(rows, ROW_HEIGHT) + LANE_GAP


def _draw_segment(context: DrawContext, y: float, segment: Segment, outlined: bool) -> None:
    """Ground truth is outlined, a prediction is filled; with its label if that fits."""
    color = context.color(segment.label)
    fill, edge, line_width = (WHITE, darken(color, OUTLINE_CONTRAST), 1.0) if outlined else (color, WHITE, 0.5)
    box = [_box(context, segment, y, ROW_HEIGHT)]
    context.axes.add_collection(PolyCollection(box, facecolors=fill, edgecolors=edge, linewidths=line_width, zorder=2))
    start, end = max(0.0, segment.start), min(context.end, segment.end)
    label = truncate_text(one_line(segment.label), (end - start) / context.point - 5, _text_measure(SMALL_SIZE))
    text_color = TEXT if outlined else text_color_on(color)
    context.write((start + end) / 2, y + ROW_HEIGHT / 2, label, SMALL_SIZE, text_color, "center")


def _draw_proposals(context: DrawContext, y: float) -> float:
    """A row for each class; the higher the score within the video, the stronger the color; the highest on top."""
    proposals = sorted(context.timeline.proposals, key=lambda proposal: proposal.confidence)
    rows = proposal_rows(context.timeline, context.drawn)
    height = max(ROW_HEIGHT, rows_height(rows.values(), PROPOSAL_ROW_HEIGHT))
    _draw_lane_name(context, y, height, "proposals")
    if not proposals:
        context.write(4 * context.point, y + ROW_HEIGHT / 2, "no proposals", SMALL_SIZE, MUTED)
        return y + height + LANE_GAP
    shared = _labels_of_last_row(rows)
    colors = {label: GRAY if label in shared else context.color(label) for label in rows}
    boxes = [_box(context, p, y + rows[p.label] * PROPOSAL_ROW_HEIGHT, PROPOSAL_ROW_HEIGHT) for p in proposals]
    # Opaque tints instead of alpha: hundreds of overlapping low scores would add up to a strong color.
    shares = opacities([proposal.confidence for proposal in proposals])
    tints = [mix(WHITE, colors[p.label], share) for p, share in zip(proposals, shares, strict=True)]
    collection = PolyCollection(boxes, facecolors=tints, edgecolors=WHITE, linewidths=0.3, zorder=2)
    context.axes.add_collection(collection)
    _draw_row_names(context, y, rows)
    return y + height + LANE_GAP


def _draw_row_names(context: DrawContext, y: float, rows: dict[str, int]) -> None:
    """Names of the rows whose class has no named CAS line below."""
    measure, shared = _text_measure(ROW_NAME_SIZE), _labels_of_last_row(rows)
    names = {row: label for label, row in rows.items() if label not in context.drawn}
    if shared:
        names[MAX_CLASS_ROWS] = f"{len(shared)} more classes"
    for row, name in names.items():
        text = truncate_text(one_line(name), (RIGHT_MARGIN - EDGE_MARGIN) * 72 - 5, measure, min_length=1)
        x, middle = context.end + 5 * context.point, y + (row + 0.5) * PROPOSAL_ROW_HEIGHT
        context.write(x, middle, text, ROW_NAME_SIZE, MUTED)


def _labels_of_last_row(rows: dict[str, int]) -> list[str]:
    """The labels that share the last row of proposals; empty if at most one is there."""
    labels = [label for label, row in rows.items() if row == MAX_CLASS_ROWS]
    return labels if len(labels) > 1 else []


def _draw_attention(context: DrawContext, y: float) -> float:
    _draw_lane_name(context, y, ATTENTION_HEIGHT, "attention")
    _draw_bands(context, y, ATTENTION_HEIGHT)
    _draw_scale(context, y, ATTENTION_HEIGHT, "0", "1")
    if len(context.timeline.attention):
        times, values = snippet_curve(context.timeline.times, context.timeline.attention)
        curve = y + ATTENTION_HEIGHT * (1 - np.clip(values, 0, 1))
        bottom = y + ATTENTION_HEIGHT
        context.axes.fill_between(times, curve, bottom, color=GRAY, alpha=0.55, linewidth=0, zorder=2)
        context.axes.plot(times, curve, color=MUTED, linewidth=0.6, zorder=2)
    return y + ATTENTION_HEIGHT + LANE_GAP


def _draw_cas(context: DrawContext, y: float) -> None:
    """A line for each drawn class, named at its end."""
    _draw_lane_name(context, y, CAS_HEIGHT, "CAS")
    _draw_bands(context, y, CAS_HEIGHT)
    cas = context.timeline.cas[:, [context.classes.index(label) for label in context.drawn]]
    low, high = value_range(cas)
    _draw_scale(context, y, CAS_HEIGHT, f"{low:g}", f"{high:g}")
    if not cas.size:
        return
    line_ends = []
    for column, label in zip(cas.T, context.drawn, strict=True):
        times, values = snippet_curve(context.timeline.times, column)
        curve = y + CAS_HEIGHT * (1 - (values - low) / (high - low))
        color = darken(context.color(label), LINE_CONTRAST)
        context.axes.plot(times, curve, color=color, linewidth=1.0, zorder=3)
        line_ends.append(float(curve[-1]) if np.isfinite(curve[-1]) else y + CAS_HEIGHT)
    _draw_line_names(context, line_ends, y + CAS_HEIGHT)


def _draw_line_names(context: DrawContext, line_ends: list[float], bottom: float) -> None:
    """Names beside the ends of the CAS lines, spread apart and connected to them."""
    measure, point = _text_measure(SMALL_SIZE), context.point
    start = context.end + 2 * point
    positions = spread_positions(line_ends, LABEL_GAP, bottom)
    for label, line_end, y in zip(context.drawn, line_ends, positions, strict=True):
        xs, ys = [start, start + 4 * point, start + 9 * point, start + 14 * point], [line_end, line_end, y, y]
        color = darken(context.color(label), LINE_CONTRAST)
        context.axes.plot(xs, ys, color=color, linewidth=0.9, clip_on=False, solid_capstyle="butt")
        name = truncate_text(one_line(label), (RIGHT_MARGIN - EDGE_MARGIN) * 72 - 20, measure, min_length=1)
        context.write(start + 17 * point, y, name, SMALL_SIZE, TEXT)


def _draw_lane_name(context: DrawContext, y: float, height: float, name: str) -> None:
    context.write(context.left_edge, y + height / 2, name, NAME_SIZE, MUTED)


def _draw_scale(context: DrawContext, y: float, height: float, low: str, high: str) -> None:
    """The limits of a curve's axis, left of the lane, and its base line."""
    context.axes.hlines(y + height, 0, context.end, color=GRID, linewidth=0.6, zorder=1)
    for position, text in ((y + height - 0.03, low), (y + 0.03, high)):
        context.write(-3 * context.point, position, text, ROW_NAME_SIZE, MUTED, "right")


def _draw_bands(context: DrawContext, y: float, height: float) -> None:
    """The ground truth as pale bands behind a curve."""
    boxes = [_box(context, segment, y, height + 0.02) for segment in context.timeline.ground_truth]
    context.axes.add_collection(PolyCollection(boxes, facecolors=BAND, edgecolors="none", zorder=-1))


def _box(context: DrawContext, segment: Segment, y: float, height: float) -> list[tuple[float, float]]:
    """Corners of a segment, at least a point wide so that it stays visible in a long video."""
    start, end = segment.start, max(segment.end, segment.start + context.point)
    top, bottom = y + 0.01, y + height - 0.01
    return [(start, top), (end, top), (end, bottom), (start, bottom)]


@cache
def _text_measure(size: float) -> Measure:
    """A function that returns the width of a text of that size, in points."""
    pixels_per_point = 10  # fewer would round the glyph widths
    renderer = RendererAgg(8, 8, 72 * pixels_per_point)
    font = FontProperties(family=available_fonts(), size=size)
    return lambda text: float(renderer.get_text_width_height_descent(text, font, False)[0]) / pixels_per_point
