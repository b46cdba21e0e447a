"""An error analysis as a picture: predictions by kind, what mending is worth, and how each size of action fares."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager

from wtal.analysis.records import DEPTH, KINDS, Analysis, Group
from wtal.files import write_whole
from wtal.report.analysis_table import LIMITS, percent, span, why_empty
from wtal.report.colours import mix
from wtal.report.lanes import FONTS, GRID, MUTED, NAME, SMALL, TEXT, TITLE
from wtal.report.layout import WIDTH, spread
from wtal.report.picture import SAVING

HEIGHT = 6.0  # inches
# Colour means class, and kinds are none: steps from dark to light, each named beside a square of its own.
GREYS = {kind: mix(TEXT, "#FFFFFF", 0.15 * place) for place, kind in enumerate(KINDS)}
PAPER: Any = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}  # under a figure that crosses a line
APART = 1.0  # between the sizes of two traits, in sizes


def draw_analysis(path: Path, analysis: Analysis) -> None:
    """Write the picture as a PNG, whole or not at all. Raises DataError when it cannot be written."""
    here = set(fontManager.get_font_names())
    look: Any = {"font.family": [name for name in FONTS if name in here], "font.size": NAME, "axes.titlesize": NAME}
    with mpl.rc_context({**SAVING, **look}):
        figure = analysis_figure(analysis)
        how: dict[str, Any] = {"format": "png", "dpi": 200, "metadata": {}}
        write_whole(path, lambda part: figure.savefig(part, **how))


def analysis_figure(analysis: Analysis) -> Figure:
    """The same as a matplotlib figure, as wide as a page of two columns (7.2 in)."""
    figure = Figure(figsize=(WIDTH, HEIGHT), facecolor="white")
    FigureCanvasAgg(figure)
    result = analysis.result
    figure.text(
        0.01, 0.985, f"Error analysis, {result.protocol}, tIoU {analysis.tiou:g}: {result.counts.videos:,} videos, "
        f"{result.counts.instances:,} instances, {analysis.counted:,} predictions counted",
        fontsize=TITLE, color=TEXT, va="top",
    )  # fmt: skip
    _draw_profile(
        _axes(figure, (0.07, 0.62, 0.32, 0.28), f"predictions by kind (%), top-1G to top-{DEPTH}G"), analysis
    )
    gained = f"gain in mAP {span(analysis)}, were the kind mended"
    _draw_gains(_axes(figure, (0.69, 0.62, 0.26, 0.28), gained), analysis)
    missed = f"missed instances (%) at tIoU {analysis.tiou:g}"
    _draw_traits(_axes(figure, (0.07, 0.38, 0.91, 0.15), missed), analysis, lambda group: group.miss_rate)
    score = f"normalised mAP (%), average over tIoU {span(analysis)}"
    lower = _axes(figure, (0.07, 0.145, 0.91, 0.15), score)
    _draw_traits(lower, analysis, lambda group: group.normalised_map)
    _name_traits(lower, analysis)
    return figure


def _axes(figure: Figure, place: tuple[float, float, float, float], caption: str) -> Axes:
    axes = figure.add_axes(place)
    axes.set_title(caption, loc="left", color=TEXT, pad=8)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelcolor=MUTED, labelsize=SMALL)
    axes.set_axisbelow(True)
    return axes


def _draw_profile(axes: Axes, analysis: Analysis) -> None:
    """Stacked shares, named on the right where the last bar has them."""
    sums = [max(1, sum(kinds.values())) for kinds in analysis.profile]
    below, middles = [0.0] * DEPTH, []
    for kind, grey in GREYS.items():
        shares = [100 * kinds[kind] / total for kinds, total in zip(analysis.profile, sums, strict=True)]
        axes.bar(range(1, DEPTH + 1), shares, 0.9, below, color=grey, edgecolor="white", linewidth=0.4)
        middles.append(below[-1] + shares[-1] / 2)
        below = [base + share for base, share in zip(below, shares, strict=True)]
    places = spread([-middle for middle in middles], 7, 3)
    for (kind, count), middle in zip(analysis.kinds.items(), places, strict=True):
        text = f"{kind} {percent(count / sums[-1])}"
        axes.plot(DEPTH + 0.85, -middle, "s", ms=5, mew=0, color=GREYS[kind], clip_on=False)
        axes.text(DEPTH + 1.2, -middle, text, color=TEXT, va="center", fontsize=NAME)
    axes.set(xlim=(0.4, DEPTH + 0.5), ylim=(0, 100), xticks=[1, 5, DEPTH], yticks=[0, 50, 100])
    axes.set_xticklabels(["1G", "5G", f"{DEPTH}G"])


def _draw_gains(axes: Axes, analysis: Analysis) -> None:
    values = [100 * gain.average for gain in analysis.gains.values()]
    places = range(len(values))
    axes.barh(places, values, 0.7, color=MUTED)
    for place, value in zip(places, values, strict=True):
        axes.annotate(f"{value:+.1f}", (value, place), (3, 0), textcoords="offset points", va="center", color=TEXT)
    axes.set(xlim=(0, max(*values, 0.1) * 1.15), ylim=(len(values) - 0.4, -0.6), xticks=[], yticks=places)
    axes.set_yticklabels(list(analysis.gains), fontsize=NAME, color=TEXT)


def _draw_traits(axes: Axes, analysis: Analysis, figure_of: Callable[[Group], float | None]) -> None:
    """A bar a size, with its figure; the whole as a line behind all of them."""
    for place, group in _places(analysis):
        value = figure_of(group)
        if value is not None:
            axes.bar(place, 100 * value, 0.8, color=MUTED)
            axes.text(
                place,
                100 * value + 2,
                percent(value),
                ha="center",
                va="bottom",
                fontsize=SMALL,
                color=TEXT,
                bbox=PAPER,
            )
    whole, last = figure_of(analysis.whole), _places(analysis)[-1][0] + 0.6
    if whole is not None:
        axes.axhline(100 * whole, color=MUTED, linewidth=0.7, linestyle=(0, (3, 2)), zorder=0)
        axes.text(
            last,
            100 * whole,
            f"all {percent(whole)}",
            va="bottom",
            ha="left",
            fontsize=SMALL,
            color=MUTED,
            bbox=PAPER,
        )
    for number, trait in enumerate(analysis.traits):
        middle = number * (len(trait.groups) + APART) + (len(trait.groups) - 1) / 2
        axes.text(middle, 25, why_empty(trait), ha="center", va="center", fontsize=SMALL, color=MUTED, bbox=PAPER)
    axes.set(xlim=(-0.6, last + 1.1), ylim=(0, 105), xticks=[], yticks=[0, 50, 100])
    axes.grid(axis="y", color=GRID, linewidth=0.6)


def _name_traits(axes: Axes, analysis: Analysis) -> None:
    """Below the last row: each size with its bound, how many instances it has, and the trait."""

    def write(place: float, points: float, text: str, size: float, colour: str) -> None:
        axes.annotate(
            text, (place, 0), (0, -points), textcoords="offset points", ha="center", va="top",
            fontsize=size, color=colour, annotation_clip=False,
        )  # fmt: skip

    places = _places(analysis)
    step = len(LIMITS)
    for number, (place, group) in enumerate(places):
        write(place, 4, f"{group.size}\n{LIMITS[number % step]}", SMALL, TEXT)
        write(place, 22, f"{group.instances:,}", SMALL, MUTED)
    for number, trait in enumerate(analysis.traits):
        write(places[number * step + step // 2][0], 34, f"{trait.name}\n{trait.unit}", NAME, TEXT)
    write(places[-1][0] + 1.15, 22, "instances", SMALL, MUTED)


def _places(analysis: Analysis) -> list[tuple[float, Group]]:
    """Where each group's bar stands."""
    return [
        (number * (len(trait.groups) + APART) + place, group)
        for number, trait in enumerate(analysis.traits)
        for place, group in enumerate(trait.groups)
    ]
