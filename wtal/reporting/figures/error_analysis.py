"""An error analysis as a page-wide figure: predictions by kind of error, mAP gains, and results by instance size."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wtal.core.text import format_count, format_percent
from wtal.evaluation.error_analysis import KINDS, TOP_K_PER_INSTANCE, Analysis
from wtal.evaluation.sensitivity import Group
from wtal.reporting.error_tables import SIZE_LIMITS, empty_trait_reason
from wtal.reporting.figures.colors import WHITE, mix
from wtal.reporting.figures.layout import spread_positions
from wtal.reporting.figures.style import GRID, MUTED, PAGE_WIDTH, TEXT, available_fonts, new_figure, save_figure

HEIGHT = 6.0  # inches
TITLE_SIZE, NAME_SIZE, SMALL_SIZE = 9.0, 7.0, 6.0  # points
# Color means class, so kinds of errors are gray: from dark to light, each named beside its square.
GRAYS = {kind: mix(TEXT, WHITE, 0.15 * index) for index, kind in enumerate(KINDS)}
TEXT_BACKGROUND: Any = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}  # where a number crosses a line
TRAIT_GAP = 1.0  # between the bars of two traits, in bars


def draw_analysis(path: Path, analysis: Analysis) -> None:
    """Write the figure as .png, .svg or .pdf. Raises DataError if it cannot be written."""
    style = {"font.family": available_fonts(), "font.size": NAME_SIZE, "axes.titlesize": NAME_SIZE}
    save_figure(path, lambda: analysis_figure(analysis), style)


def analysis_figure(analysis: Analysis) -> Figure:
    """The figure, as wide as a page with two columns (7.2 in)."""
    figure = new_figure(PAGE_WIDTH, HEIGHT)
    result, tious = analysis.result, analysis.result.tiou_range
    figure.text(
        0.01, 0.985, f"Error analysis, {result.protocol}, tIoU {analysis.tiou:g}: "
        f"{format_count(result.counts.videos, 'video')}, {format_count(result.counts.instances, 'instance')}, "
        f"{format_count(analysis.counted, 'prediction')} counted",
        fontsize=TITLE_SIZE, color=TEXT, va="top",
    )  # fmt: skip
    profile = f"predictions by kind (%), top-1G to top-{TOP_K_PER_INSTANCE}G"
    _draw_profile(_add_axes(figure, (0.07, 0.62, 0.32, 0.28), profile), analysis)
    _draw_gains(_add_axes(figure, (0.69, 0.62, 0.26, 0.28), f"gain in mAP {tious} by removing them"), analysis)
    missed = f"missed instances (%) at tIoU {analysis.tiou:g}"
    _draw_traits(_add_axes(figure, (0.07, 0.38, 0.91, 0.15), missed), analysis, lambda group: group.miss_rate)
    lower = _add_axes(figure, (0.07, 0.145, 0.91, 0.15), f"normalized mAP (%), averaged over tIoU {tious}")
    _draw_traits(lower, analysis, lambda group: group.normalised_map)
    _draw_trait_names(lower, analysis)
    return figure


def _add_axes(figure: Figure, box: tuple[float, float, float, float], title: str) -> Axes:
    axes = figure.add_axes(box)
    axes.set_title(title, loc="left", color=TEXT, pad=8)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelcolor=MUTED, labelsize=SMALL_SIZE)
    axes.set_axisbelow(True)
    return axes


def _draw_profile(axes: Axes, analysis: Analysis) -> None:
    """Stacked shares of the kinds, named at the right of the last bar."""
    totals = [max(1, sum(counts.values())) for counts in analysis.profile]
    depths = range(1, TOP_K_PER_INSTANCE + 1)
    below, middles = [0.0] * len(depths), []
    for kind, gray in GRAYS.items():
        shares = [100 * counts[kind] / total for counts, total in zip(analysis.profile, totals, strict=True)]
        axes.bar(depths, shares, 0.9, below, color=gray, edgecolor="white", linewidth=0.4)
        middles.append(below[-1] + shares[-1] / 2)
        below = [base + share for base, share in zip(below, shares, strict=True)]
    positions = spread_positions([-middle for middle in middles], 7, 3)
    for (kind, count), middle in zip(analysis.kinds.items(), positions, strict=True):
        axes.plot(TOP_K_PER_INSTANCE + 0.85, -middle, "s", ms=5, mew=0, color=GRAYS[kind], clip_on=False)
        text = f"{kind} {format_percent(count / totals[-1])}"
        axes.text(TOP_K_PER_INSTANCE + 1.2, -middle, text, color=TEXT, va="center", fontsize=NAME_SIZE)
    xticks = [1, 5, TOP_K_PER_INSTANCE]
    axes.set(xlim=(0.4, TOP_K_PER_INSTANCE + 0.5), ylim=(0, 100), xticks=xticks, yticks=[0, 50, 100])
    axes.set_xticklabels([f"{depth}G" for depth in xticks])


def _draw_gains(axes: Axes, analysis: Analysis) -> None:
    values = [100 * gain.average for gain in analysis.gains.values()]
    rows = range(len(values))
    axes.barh(rows, values, 0.7, color=MUTED)
    for row, value in zip(rows, values, strict=True):
        axes.annotate(f"{value:+.1f}", (value, row), (3, 0), textcoords="offset points", va="center", color=TEXT)
    axes.set(xlim=(0, max(*values, 0.1) * 1.15), ylim=(len(values) - 0.4, -0.6), xticks=[], yticks=rows)
    axes.set_yticklabels(list(analysis.gains), fontsize=NAME_SIZE, color=TEXT)


def _draw_traits(axes: Axes, analysis: Analysis, value_of: Callable[[Group], float | None]) -> None:
    """A bar for each size with its number; the value of all instances as a dashed line."""
    small: Any = {"fontsize": SMALL_SIZE, "bbox": TEXT_BACKGROUND}
    positions = _group_positions(analysis)
    for x, group in positions:
        value = value_of(group)
        if value is not None:
            axes.bar(x, 100 * value, 0.8, color=MUTED)
            axes.text(x, 100 * value + 2, format_percent(value), ha="center", va="bottom", color=TEXT, **small)
    whole, right = value_of(analysis.whole), positions[-1][0] + 0.6
    if whole is not None:
        axes.axhline(100 * whole, color=MUTED, linewidth=0.7, linestyle=(0, (3, 2)), zorder=0)
        axes.text(right, 100 * whole, f"all {format_percent(whole)}", va="bottom", ha="left", color=MUTED, **small)
    for number, trait in enumerate(analysis.traits):
        middle = number * (len(trait.groups) + TRAIT_GAP) + (len(trait.groups) - 1) / 2
        axes.text(middle, 25, empty_trait_reason(trait), ha="center", va="center", color=MUTED, **small)
    axes.set(xlim=(-0.6, right + 1.1), ylim=(0, 105), xticks=[], yticks=[0, 50, 100])
    axes.grid(axis="y", color=GRID, linewidth=0.6)


def _draw_trait_names(axes: Axes, analysis: Analysis) -> None:
    """Below the axes: each size with its limit, the number of its instances, and the trait."""

    def write(x: float, points_below: float, text: str, size: float, color: str) -> None:
        axes.annotate(
            text, (x, 0), (0, -points_below), textcoords="offset points", ha="center", va="top",
            fontsize=size, color=color, annotation_clip=False,
        )  # fmt: skip

    positions, sizes = _group_positions(analysis), len(SIZE_LIMITS)
    for number, (x, group) in enumerate(positions):
        write(x, 4, f"{group.size}\n{SIZE_LIMITS[number % sizes]}", SMALL_SIZE, TEXT)
        write(x, 22, f"{group.instances:,}", SMALL_SIZE, MUTED)
    for number, trait in enumerate(analysis.traits):
        write(positions[number * sizes + sizes // 2][0], 34, f"{trait.name}\n{trait.unit}", NAME_SIZE, TEXT)
    write(positions[-1][0] + 1.15, 22, "instances", SMALL_SIZE, MUTED)


def _group_positions(analysis: Analysis) -> list[tuple[float, Group]]:
    """The x position of each group's bar."""
    return [
        (number * (len(trait.groups) + TRAIT_GAP) + index, group)
        for number, trait in enumerate(analysis.traits)
        for index, group in enumerate(trait.groups)
    ]
