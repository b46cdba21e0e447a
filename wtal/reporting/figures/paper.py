"""Plots for papers, one column (3.3 in) wide: error analysis, precision over recall, training, methods.

A figure has no title; `wtal plot` prints what its caption must say.
"""

import math
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wtal.core.errors import ConfigError, DataError
from wtal.core.io import read_json, require_output_file
from wtal.core.methods import method_title
from wtal.evaluation.error_analysis import KINDS, Analysis
from wtal.evaluation.evaluate import EvaluationWithMatches
from wtal.evaluation.results import EvaluationResult, format_range
from wtal.evaluation.sensitivity import SIZES, Trait
from wtal.experiments.statistics import Score
from wtal.reporting.curves import Curve, downsample, mean_curve, precision_recall_curves
from wtal.reporting.error_tables import empty_trait_reason
from wtal.reporting.figures.colors import BLACK, OKABE_ITO, WHITE, mix
from wtal.reporting.figures.style import (
    COLUMN_WIDTH,
    GRID,
    MUTED,
    TEXT,
    available_fonts,
    figure_format,
    new_figure,
    save_figure,
)
from wtal.reporting.tables import format_mean_std

NAME_SIZE, SMALL_SIZE = 8.0, 7.0  # points
BLUE, ORANGE = OKABE_ITO[:2]
MAX_ROWS = 60  # terms, or methods on data sets: about what a page has room for
TITLE_WIDTH = 22  # characters of a line above one of two axes side by side
MARKER_LIMIT = 20  # curves of fewer points get a marker at each
CREATOR = "wtal plot"  # in the metadata of every file; only such files are overwritten
STYLE: dict[str, Any] = {
    "svg.fonttype": "none",  # editable text
    "font.size": NAME_SIZE,
    **dict.fromkeys(("axes.titlesize", "axes.labelsize", "legend.fontsize"), NAME_SIZE),
    **dict.fromkeys(("xtick.labelsize", "ytick.labelsize"), SMALL_SIZE),
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.titlecolor"), TEXT),
    **dict.fromkeys(("xtick.color", "ytick.color", "axes.edgecolor"), MUTED),
    **dict.fromkeys(("axes.linewidth", "xtick.major.width", "ytick.major.width", "grid.linewidth"), 0.6),
    **dict.fromkeys(("xtick.major.size", "ytick.major.size"), 2.0),
    **dict.fromkeys(("axes.spines.top", "axes.spines.right"), False),
    "axes.titlelocation": "left",
    "axes.titlepad": 3.0,
    "axes.labelpad": 2.0,
    "axes.axisbelow": True,
    "grid.color": GRID,
}


@dataclass(frozen=True)
class ComparisonScores:
    """The part of a comparison.json or benchmark.json that is drawn.

    Attributes:
        scores: One score for each data set and method.
        tious: The tIoU thresholds of the average mAP.
        subset: The subset that was scored.
        supervision: The setting `train.supervision`.
        is_synthetic: Whether the features of a benchmark are synthetic.
    """

    scores: tuple[Score, ...]
    tious: tuple[float, ...]
    subset: str
    supervision: str = "tags"
    is_synthetic: bool = False


def require_output(out: Path, *inputs: Path) -> None:
    """Raise DataError unless `out` is a new .png, .svg or .pdf, or one that `wtal plot` wrote."""
    figure_format(out)
    require_output_file(
        out, inputs, lambda path: CREATOR.encode() in path.read_bytes(), "choose another path, or move it"
    )


def draw(out: Path, make: Callable[[], Figure]) -> None:
    """Write the figure that `make` creates. Raises DataError as `require_output` does."""
    require_output(out)
    save_figure(out, make, STYLE | {"font.family": available_fonts()}, CREATOR)


def errors_figure(analysis: Analysis) -> Figure:
    """The share of each kind of error in the predictions, its mAP gain, and the share of instances missed by size."""
    figure = _column_figure(3.5)
    upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=(1.45, 2.05)).flat
    shares, gains = upper.subplots(1, 2, sharey=True)
    counted = max(1, analysis.counted)
    _draw_bars(shares, {kind: 100 * count / counted for kind, count in analysis.kinds.items()}, "{:.1f}")
    _draw_bars(gains, {kind: 100 * gain.average for kind, gain in analysis.gains.items()}, "{:+.1f}")
    shares.set(xlabel="predictions (%)", yticks=range(len(KINDS)), ylim=(len(KINDS) - 0.5, -0.5))
    shares.set_yticklabels(KINDS, color=TEXT)
    gains.set(xlabel="gain in mAP (points)")
    grid = lower.subplots(2, 2, sharex=True, sharey=True)
    for axes, trait in zip(grid.flat, analysis.traits, strict=True):
        _draw_missed(axes, trait, analysis.whole.miss_rate)
    for axes in grid[:, 0]:
        axes.set_ylabel("missed (%)")
    return figure


def precision_figure(evaluation: EvaluationWithMatches) -> Figure:
    """Precision over recall, averaged over the classes: a line for each tIoU, from dark to light, with its mAP."""
    figure = _column_figure(2.1)
    axes, result = figure.subplots(), evaluation.result
    dark, light = mix(BLUE, BLACK, 0.5), mix(BLUE, WHITE, 0.6)
    for index, (tiou, average) in enumerate(zip(result.tious, result.map, strict=True)):
        recall, precision = 100 * mean_curve(precision_recall_curves(evaluation, index).values())
        color = mix(dark, light, index / max(1, len(result.tious) - 1))
        axes.plot(recall, precision, color=color, linewidth=1, clip_on=False, label=f"{tiou:g}  {100 * average:.1f}")
    axes.set(xlim=(0, 100), ylim=(0, 100), xlabel="recall (%)", ylabel="precision (%)")
    axes.grid()
    axes.legend(
        title="tIoU  mAP", alignment="right", loc="upper left", bbox_to_anchor=(1.02, 1.03), frameon=False,
        fontsize=SMALL_SIZE, title_fontsize=SMALL_SIZE, handlelength=1.0, labelspacing=0.25, borderpad=0,
    )  # fmt: skip
    return figure


def training_figure(metrics: Mapping[str, Curve]) -> Figure:
    """An axes for each term over the steps; terms that are always 0 are left out.

    Raises:
        DataError: All terms are always 0, or there are too many terms.
    """
    terms = {name: curve for name, curve in metrics.items() if curve[1].any()}
    if not terms:
        raise DataError("all metrics are 0", hint="there is nothing to draw", code="empty-input")
    if len(terms) > MAX_ROWS:
        raise DataError(f"too many metrics: {len(terms):,}; at most {MAX_ROWS} can be drawn", code="too-many-items")
    rows = math.ceil(len(terms) / 2)
    figure = _column_figure(0.5 + 0.68 * rows)
    grid = figure.subplots(rows, 2, sharex=True, squeeze=False)
    for axes, (term, curve) in zip(grid.flat, terms.items(), strict=False):
        _draw_metric(axes, curve)
        axes.set_title(textwrap.fill(term.replace("_", " "), TITLE_WIDTH))
    for axes in grid.flat[len(terms) :]:
        axes.set_axis_off()
    for axes in (grid[-1, 0], grid[(len(terms) - 2) // 2, 1]):  # the lowest of each column
        axes.tick_params(labelbottom=True)
        axes.set_xlabel("step")
    return figure


def methods_figure(comparison: ComparisonScores) -> Figure:
    """An axes for each data set: mean and standard deviation of every method, with a small dot for each seed."""
    datasets = dict.fromkeys(score.data for score in comparison.scores)
    groups = [[score for score in comparison.scores if score.data == data] for data in datasets]
    heights = [len(group) + 2.2 for group in groups]
    figure = _column_figure(0.25 + 0.15 * sum(heights))
    grid = figure.subplots(len(groups), 1, squeeze=False, height_ratios=heights).flat
    for axes, group in zip(grid, groups, strict=True):
        main = next((score for score in group if score.method == "dfe"), group[0])
        for row, score in enumerate(group):
            color = BLUE if score is main else MUTED
            rows = [row] * len(score.averages)
            axes.plot(score.averages, rows, "o", ms=2.5, mew=0, color=mix(color, WHITE, 0.5), zorder=2.5)
            axes.errorbar(score.mean, row, xerr=score.spread, color=color, linewidth=1)
            axes.plot(score.mean, row, "o", ms=4, color=color, zorder=3)
            text = format_mean_std(score.averages)
            axes.text(1.02, row, text, transform=axes.get_yaxis_transform(), va="center", fontsize=SMALL_SIZE)
        axes.set(yticks=range(len(group)), ylim=(len(group) - 0.5, -0.5))
        axes.set_yticklabels(
            [method_title(score.method, comparison.supervision) for score in group], color=TEXT, parse_math=False
        )
        axes.set_title(group[0].data, parse_math=False)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
    axes.set_xlabel(f"average mAP (%), tIoU {format_range(comparison.tious[0], comparison.tious[-1])}")
    return figure


def read_comparison(path: Path) -> ComparisonScores:
    """Read comparison.json of `wtal compare`, or benchmark.json of `wtal benchmark`, of which the main protocol.

    Raises:
        DataError: It is something else.
    """
    value = read_json(path)
    try:
        if "benchmark" in value:
            value = _summarize_benchmark(value, path)
        scores = tuple(_parse_score(entry) for entry in value["scores"])
        supervision = str(value.get("config", {}).get("train", {}).get("supervision", "tags"))
        comparison = ComparisonScores(
            scores,
            tuple(map(float, value["tious"])),
            str(value["subset"]),
            supervision,
            value.get("is_synthetic") is True,
        )
    except (AttributeError, LookupError, OverflowError, StopIteration, TypeError, ValueError, ConfigError) as error:
        raise DataError(
            "not a comparison",
            path=path,
            hint="use comparison.json of `wtal compare`, or benchmark.json of `wtal benchmark`",
            code="invalid-comparison",
        ) from error
    if not comparison.scores or not comparison.tious:
        raise DataError(
            "the comparison contains no results", path=path, hint="run `wtal compare` again", code="empty-input"
        )
    if len(comparison.scores) > MAX_ROWS:
        raise DataError(
            f"too many methods and data sets: {len(comparison.scores):,}; at most {MAX_ROWS} can be drawn",
            path=path,
            code="too-many-items",
        )
    return comparison


def _summarize_benchmark(value: Any, path: Path) -> dict[str, Any]:
    """The results of benchmark.json under its first protocol, which is the main one, as in comparison.json."""
    results = value["results"]
    protocol = next(iter(next(iter(results.values()))))
    by_method = {
        method: [EvaluationResult.from_json(result, path) for result in scored[protocol]]
        for method, scored in results.items()
    }
    first = next(iter(by_method.values()))[0]
    data = f"{value['benchmark']} ({protocol})"
    scores = [
        {"data": data, "method": method, "averages": [100 * result.main_average for result in seeds]}
        for method, seeds in by_method.items()
    ]
    return {
        "scores": scores,
        "tious": first.averages[-1],
        "subset": first.subset,
        "config": value["config"],
        "is_synthetic": value["data"]["is_synthetic"],
    }


def _parse_score(entry: Any) -> Score:
    averages = tuple(map(float, entry["averages"]))
    if not averages or not all(0 <= average <= 100 for average in averages):
        raise ValueError("averages must be percentages")
    data, method = str(entry["data"]), str(entry["method"])
    if not (data + method).isprintable():
        raise ValueError("names must be printable")
    return Score(data, method, averages, ())


def _column_figure(height: float) -> Figure:
    return new_figure(COLUMN_WIDTH, height, layout="constrained")


def _draw_bars(axes: Axes, values: Mapping[str, float], number_format: str) -> None:
    """A gray bar with its number for each kind of error."""
    rows = [KINDS.index(kind) for kind in values]
    axes.barh(rows, list(values.values()), 0.72, color=MUTED)
    for row, value in zip(rows, values.values(), strict=True):
        axes.annotate(
            number_format.format(value), (max(0, value), row), (2, 0), textcoords="offset points", va="center",
            fontsize=SMALL_SIZE,
        )  # fmt: skip
    axes.set(xlim=(min(0, *values.values()), 1.35 * max(*values.values(), 0.1)), xticks=[])
    axes.tick_params(length=0)
    axes.spines[["left", "bottom"]].set_visible(False)


def _draw_missed(axes: Axes, trait: Trait, whole: float | None) -> None:
    """The share of missed instances by size, and of all instances as a line."""
    if reason := empty_trait_reason(trait):
        axes.text((len(SIZES) - 1) / 2, 25, reason, ha="center", va="center", color=MUTED, fontsize=SMALL_SIZE)
    else:
        for x, group in enumerate(trait.groups):
            if group.miss_rate is None:
                axes.text(x, 3, "–", ha="center", color=MUTED, fontsize=SMALL_SIZE)
            else:
                axes.bar(x, 100 * group.miss_rate, 0.72, color=MUTED)
        if whole is not None:
            axes.axhline(100 * whole, color=TEXT, linewidth=0.7, linestyle=(0, (3, 2)))
    sizes = range(len(SIZES))
    axes.set(xlim=(-0.5, len(SIZES) - 0.5), ylim=(0, 100), xticks=sizes, xticklabels=SIZES, yticks=(0, 50, 100))
    axes.set_title(trait.name, fontsize=SMALL_SIZE)
    axes.tick_params(axis="x", length=0, labelcolor=TEXT)
    axes.grid(axis="y")


def _draw_metric(axes: Axes, curve: Curve) -> None:
    marker = "." if curve.shape[1] < MARKER_LIMIT else ""
    axes.plot(*downsample(curve), color=TEXT, linewidth=0.9, marker=marker, markersize=4)
    axes.margins(y=0.15)
    axes.set_ylim(min(0.0, float(curve[1].min())))
    axes.locator_params(nbins=3)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid()
