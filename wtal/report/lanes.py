"""The lanes of a panel, drawn from the top; one Axes a panel, seconds to the right and inches downwards."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.collections import PolyCollection
from matplotlib.font_manager import FontProperties, fontManager

from wtal.records import Action, Proposal
from wtal.report.colours import GREY, ink, mix, text_on
from wtal.report.layout import (
    ATTENTION,
    AXIS,
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
    Panel,
    clock_time,
    elide,
    end_of_axis,
    opacities,
    pack,
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
class Stage:
    """What the lanes of one panel share."""

    axes: Axes
    panel: Panel
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


def draw_panel(stage: Stage, height: float) -> None:
    """All lanes of a panel that is `height` inches tall (see `panel_height`)."""
    _draw_grid(stage, height)
    _draw_caption(stage)
    y = CAPTION
    y = _draw_segments(stage, y, "truth", stage.panel.truth, "no action marked")
    y = _draw_segments(stage, y, "result", stage.panel.result, "nothing at this operating point")
    y = _draw_proposals(stage, y)
    y = _draw_attention(stage, y)
    _draw_cas(stage, y)


def _draw_grid(stage: Stage, height: float) -> None:
    axes, step = stage.axes, tick_step(stage.until)
    axes.set(xlim=(0, stage.until), ylim=(height, 0), facecolor="none")
    axes.set_axis_off()
    foot = height - AXIS
    ticks = np.arange(0, stage.until + step / 1e3, step)
    axes.vlines(ticks, CAPTION - 0.03, foot, color=GRID, linewidth=0.6, zorder=0)
    for tick in ticks:
        stage.write(tick, foot + 0.08, clock_time(tick, step), SMALL, MUTED, "center")


def _draw_caption(stage: Stage) -> None:
    size = _measure(TITLE)
    title = elide(plain(stage.panel.title), (WIDTH - 2 * EDGE - 0.6) * 72, size, least=1)
    stage.write(stage.margin(EDGE), 0.09, title, TITLE, TEXT)
    beside = stage.margin(EDGE) + (size(title) + 6) * stage.point
    stage.write(beside, 0.095, clock_time(stage.panel.duration, tick_step(stage.until)), NAME, MUTED)


def _draw_segments(stage: Stage, y: float, name: str, segments: Sequence[Action | Proposal], empty: str) -> float:
    """A lane of truth or of a result. Returns the next lane's y."""
    rows = pack(segments)
    _name(stage, y, ROW, name)
    if not segments:
        stage.write(4 * stage.point, y + ROW / 2, empty, SMALL, MUTED)
    for segment, row in zip(segments, rows, strict=True):
        _draw_segment(stage, y + row * ROW, segment)
    return y + rows_height(rows, ROW) + LANE_GAP


def _draw_segment(stage: Stage, y: float, segment: Action | Proposal) -> None:
    """Truth outlined, a result filled; with its label where that fits."""
    colour, outlined = stage.colour(segment.label), isinstance(segment, Action)
    fill, edge, line = ("white", ink(colour, 3.0), 1.0) if outlined else (colour, "white", 0.5)
    box = [_box(stage, segment, y, ROW)]
    stage.axes.add_collection(PolyCollection(box, facecolors=fill, edgecolors=edge, linewidths=line, zorder=2))
    start, end = max(0.0, segment.start), min(stage.until, segment.end)
    label = elide(plain(segment.label), (end - start) / stage.point - 5, _measure(SMALL))
    shade = TEXT if outlined else text_on(colour)
    stage.write((start + end) / 2, y + ROW / 2, label, SMALL, shade, "center")


def _draw_proposals(stage: Stage, y: float) -> float:
    """A row for each class; the surer within its panel, the stronger its colour; the surest on top."""
    proposals = sorted(stage.panel.proposals, key=lambda p: p.score)
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
    shares = opacities([p.score for p in proposals])
    tints = [mix("#FFFFFF", colours[p.label], share) for p, share in zip(proposals, shares, strict=True)]
    lane = PolyCollection(boxes, facecolors=tints, edgecolors="white", linewidths=0.3, zorder=2)
    stage.axes.add_collection(lane)
    _name_rows(stage, y, rows)
    return y + height + LANE_GAP


def _name_rows(stage: Stage, y: float, rows: dict[str, int]) -> None:
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


def _draw_attention(stage: Stage, y: float) -> float:
    _name(stage, y, ATTENTION, "attention")
    _bands(stage, y, ATTENTION)
    _scale(stage, y, ATTENTION, "0", "1")
    if len(stage.panel.attention):
        times, values = steps(stage.panel.times, stage.panel.attention)
        curve = y + ATTENTION * (1 - np.clip(values, 0, 1))
        stage.axes.fill_between(times, curve, y + ATTENTION, color="#9CA3AF", alpha=0.55, linewidth=0, zorder=2)
        stage.axes.plot(times, curve, color=MUTED, linewidth=0.6, zorder=2)
    return y + ATTENTION + LANE_GAP


def _draw_cas(stage: Stage, y: float) -> None:
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


def _name_lines(stage: Stage, ends: list[float], foot: float) -> None:
    """Names beside the ends of the lines, kept apart, each led to by a stroke of its colour."""
    measure = _measure(SMALL)
    start = stage.until + 2 * stage.point
    for label, end, y in zip(stage.chosen, ends, spread(ends, NAME_GAP, foot), strict=True):
        xs = [start, start + 4 * stage.point, start + 9 * stage.point, start + 14 * stage.point]
        colour = ink(stage.colour(label), 2.0)
        stage.axes.plot(xs, [end, end, y, y], color=colour, linewidth=0.9, clip_on=False, solid_capstyle="butt")
        name = elide(plain(label), (RIGHT - EDGE) * 72 - 20, measure, least=1)
        stage.write(start + 17 * stage.point, y, name, SMALL, TEXT)


def _name(stage: Stage, y: float, height: float, name: str) -> None:
    stage.write(stage.margin(EDGE), y + height / 2, name, NAME, MUTED)


def _scale(stage: Stage, y: float, height: float, low: str, high: str) -> None:
    """The ends of a curve's scale, left of the lane, over a hairline at its foot."""
    stage.axes.hlines(y + height, 0, stage.until, color=GRID, linewidth=0.6, zorder=1)
    for at, text in ((y + height - 0.03, low), (y + 0.03, high)):
        stage.write(-3 * stage.point, at, text, SMALL - 0.5, MUTED, "right")


def _bands(stage: Stage, y: float, height: float) -> None:
    """The truth as pale bands behind a curve, so that the eye need not travel up."""
    boxes = [_box(stage, action, y, height + 0.02) for action in stage.panel.truth]
    stage.axes.add_collection(PolyCollection(boxes, facecolors=BAND, edgecolors="none", zorder=-1))


def _box(stage: Stage, segment: Action | Proposal, y: float, height: float) -> list[tuple[float, float]]:
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
