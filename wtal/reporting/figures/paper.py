"""Plots for papers, one column (3.3 in) wide: errors, precision over recall, training, methods.

A figure has no title: what its caption must say is in `wtal plot`'s own words.

FROM: An error analysis as a picture: predictions by kind, what mending is worth, and how each size of action fares.
"""

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager

from wtal.core.errors import DataError
from wtal.core.io import atomic_write, read_json, require_output_file
from wtal.evaluation.error_analysis import KINDS, TOP_K_PER_INSTANCE, Analysis
from wtal.evaluation.evaluate import EvaluationWithMatches
from wtal.evaluation.sensitivity import SIZES, Group, Trait
from wtal.experiments.statistics import Score
from wtal.reporting.error_tables import LIMITS, percent, span, why_empty
from wtal.reporting.figures.colors import OKABE_ITO, mix
from wtal.reporting.figures.layout import WIDTH, spread
from wtal.reporting.figures.timeline import FONTS, GRID, MUTED, SAVING, TEXT, TITLE
from wtal.reporting.html.charts import Curve, mean_curve, precision_recall, thinned

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
        atomic_write(path, lambda part: figure.savefig(part, **how))


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
        _axes(figure, (0.07, 0.62, 0.32, 0.28), f"predictions by kind (%), top-1G to top-{TOP_K_PER_INSTANCE}G"),
        analysis,
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
    below, middles = [0.0] * TOP_K_PER_INSTANCE, []
    for kind, grey in GREYS.items():
        shares = [100 * kinds[kind] / total for kinds, total in zip(analysis.profile, sums, strict=True)]
        axes.bar(range(1, TOP_K_PER_INSTANCE + 1), shares, 0.9, below, color=grey, edgecolor="white", linewidth=0.4)
        middles.append(below[-1] + shares[-1] / 2)
        below = [base + share for base, share in zip(below, shares, strict=True)]
    places = spread([-middle for middle in middles], 7, 3)
    for (kind, count), middle in zip(analysis.kinds.items(), places, strict=True):
        text = f"{kind} {percent(count / sums[-1])}"
        axes.plot(TOP_K_PER_INSTANCE + 0.85, -middle, "s", ms=5, mew=0, color=GREYS[kind], clip_on=False)
        axes.text(TOP_K_PER_INSTANCE + 1.2, -middle, text, color=TEXT, va="center", fontsize=NAME)
    axes.set(
        xlim=(0.4, TOP_K_PER_INSTANCE + 0.5), ylim=(0, 100), xticks=[1, 5, TOP_K_PER_INSTANCE], yticks=[0, 50, 100]
    )
    axes.set_xticklabels(["1G", "5G", f"{TOP_K_PER_INSTANCE}G"])


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


COLUMN = 3.3  # inches
NAME, SMALL = 8.0, 7.0  # points
BLUE, ORANGE = OKABE_ITO[:2]
MOST = 60  # terms, or rows of methods: a column of a page has room for about so many
FEW = 20  # points of a curve, each of which gets a dot: a number a checkpoint, or a single one
OURS = "wtal plot"  # stands in every file, by which a picture of ours is known
MADE_BY: dict[str, dict[str, str | None]] = {
    "png": {"Software": OURS},
    "svg": {"Creator": OURS, "Date": None},
    "pdf": {"Creator": OURS, "CreationDate": None},  # no dates: the same input gives the same file
}
LOOK: Any = {
    **SAVING,
    "svg.fonttype": "none",  # text that an editor can change
    "font.size": NAME,
    **dict.fromkeys(("axes.titlesize", "axes.labelsize", "legend.fontsize"), NAME),
    **dict.fromkeys(("xtick.labelsize", "ytick.labelsize"), SMALL),
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
class Comparison:
    """What is drawn of a comparison.json."""

    scores: tuple[Score, ...]
    tious: tuple[float, ...]
    subset: str


def require_place(out: Path, *inputs: Path) -> None:
    """DataError unless `out` is a .png, .svg or .pdf that is not there yet, or one that was drawn here before."""
    if out.suffix.lower().removeprefix(".") not in MADE_BY:
        raise DataError(f"{out}: pictures are written as .png, .svg or .pdf; choose one of these names")
    require_output_file(out, inputs, lambda path: OURS.encode() in path.read_bytes(), "choose another path, or move it")


def draw(out: Path, make: Callable[[], Figure]) -> None:
    """Write the figure that `make` makes, whole or not at all. DataError as in `require_place`."""
    require_place(out)
    here, suffix = set(fontManager.get_font_names()), out.suffix.lower().removeprefix(".")
    look = LOOK | {"font.family": [name for name in FONTS if name in here]}
    with warnings.catch_warnings(), mpl.rc_context(look):
        warnings.simplefilter("ignore", UserWarning)  # a script that no font here knows is drawn as boxes
        figure = make()
        atomic_write(
            out, lambda part: figure.savefig(part, format=suffix, dpi=200, metadata=MADE_BY[suffix])
        )  # fmt: skip


def errors_figure(analysis: Analysis) -> Figure:
    """How many of the counted predictions are of each kind, what mending it is worth, and what is missed."""
    figure = _figure(3.5)
    upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=(1.45, 2.05)).flat
    share, gain = upper.subplots(1, 2, sharey=True)
    counted = max(1, analysis.counted)
    _bars(share, {kind: 100 * count / counted for kind, count in analysis.kinds.items()}, "{:.1f}")
    _bars(gain, {kind: 100 * worth.average for kind, worth in analysis.gains.items()}, "{:+.1f}")
    share.set(xlabel="predictions (%)", yticks=range(len(KINDS)), ylim=(len(KINDS) - 0.5, -0.5))
    share.set_yticklabels(KINDS, color=TEXT)
    gain.set(xlabel="gain in mAP (points)")
    grid = lower.subplots(2, 2, sharex=True, sharey=True)
    for axes, trait in zip(grid.flat, analysis.traits, strict=True):
        _draw_missed(axes, trait, analysis.whole.miss_rate)
    for axes in grid[:, 0]:
        axes.set_ylabel("missed (%)")
    return figure


def precision_figure(judged: EvaluationWithMatches) -> Figure:
    """Precision over recall, the mean over the classes, a line for each tIoU from dark to light, with its mAP."""
    figure = _figure(2.1)
    axes, result = figure.subplots(), judged.result
    for number, (tiou, worth) in enumerate(zip(result.tious, result.map, strict=True)):
        recall, precision = 100 * mean_curve(precision_recall(judged, number).values())
        colour = mix(mix(BLUE, "#000000", 0.5), mix(BLUE, "#FFFFFF", 0.6), number / max(1, len(result.tious) - 1))
        axes.plot(recall, precision, color=colour, linewidth=1, clip_on=False, label=f"{tiou:g}  {100 * worth:.1f}")
    axes.set(xlim=(0, 100), ylim=(0, 100), xlabel="recall (%)", ylabel="precision (%)")
    axes.grid()
    axes.legend(
        title="tIoU  mAP", alignment="right", loc="upper left", bbox_to_anchor=(1.02, 1.03), frameon=False,
        fontsize=SMALL, title_fontsize=SMALL, handlelength=1.0, labelspacing=0.25, borderpad=0,
    )  # fmt: skip
    return figure


def training_figure(metrics: Mapping[str, Curve]) -> Figure:
    """A panel for each term over the steps, both branches in one; terms that stay 0 are left out.

    Raises DataError when all of them do, or when there are too many.
    """
    curves = {name: curve for name, curve in metrics.items() if curve[1].any()}
    terms = [name for name in curves if name.removeprefix("global_") not in curves or not name.startswith("global_")]
    if not terms:
        raise DataError("all that was written down of the training is 0; there is nothing to draw")
    if len(terms) > MOST:
        raise DataError(f"{len(terms):,} terms were written down of the training; at most {MOST} can be drawn")
    rows = math.ceil(len(terms) / 2)
    figure = _figure(0.5 + 0.68 * rows)
    grid = figure.subplots(rows, 2, sharex=True, squeeze=False)
    for axes, term in zip(grid.flat, terms, strict=False):
        if f"global_{term}" in curves:
            _draw_lines(axes, {"global": (curves[f"global_{term}"], ORANGE), "local": (curves[term], BLUE)})
        else:
            _draw_lines(axes, {"": (curves[term], TEXT)})
        axes.set_title(term.replace("_", " "))
    for axes in grid.flat[len(terms) :]:
        axes.set_axis_off()
    for axes in (grid[-1, 0], grid[(len(terms) - 2) // 2, 1]):  # the lowest of each column
        axes.tick_params(labelbottom=True)
        axes.set_xlabel("step")
    branches = next((list(axes.lines)[::-1] for axes in grid.flat if len(axes.lines) > 1), None)
    if branches:
        figure.legend(handles=branches, loc="outside upper right", ncols=2, frameon=False)
    return figure


def methods_figure(comparison: Comparison) -> Figure:
    """A panel for each data set: mean and standard deviation of every method over its seeds, a small dot a seed."""
    datas = list(dict.fromkeys(score.data for score in comparison.scores))
    parts = [[score for score in comparison.scores if score.data == data] for data in datas]
    heights = [len(part) + 2.2 for part in parts]
    figure = _figure(0.25 + 0.15 * sum(heights))
    grid = figure.subplots(len(parts), 1, squeeze=False, height_ratios=heights).flat
    for axes, part in zip(grid, parts, strict=True):
        ours = next((score for score in part if score.method == "dfe"), part[0])
        for place, score in enumerate(part):
            colour = BLUE if score is ours else MUTED
            seeds = [place] * len(score.averages)
            axes.plot(score.averages, seeds, "o", ms=2.5, mew=0, color=mix(colour, "#FFFFFF", 0.5), zorder=2.5)
            axes.errorbar(score.mean, place, xerr=score.spread, color=colour, linewidth=1)
            axes.plot(score.mean, place, "o", ms=4, color=colour, zorder=3)
            text = f"{score.mean:.1f} ± {score.spread:.1f}" if len(seeds) > 1 else f"{score.mean:.1f}"
            axes.text(1.02, place, text, transform=axes.get_yaxis_transform(), va="center", fontsize=SMALL)
        axes.set(yticks=range(len(part)), ylim=(len(part) - 0.5, -0.5))
        axes.set_yticklabels([score.method for score in part], color=TEXT, parse_math=False)
        axes.set_title(part[0].data, parse_math=False)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
    axes.set_xlabel(f"average mAP (%), tIoU {comparison.tious[0]:g}:{comparison.tious[-1]:g}")
    return figure


def read_comparison(path: Path) -> Comparison:
    """What `wtal compare` and `wtal ablate` write. Raises DataError naming the file."""
    value = read_json(path)
    try:
        scores = tuple(_score(entry) for entry in value["scores"])
        found = Comparison(scores, tuple(map(float, value["tious"])), str(value["subset"]))
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise DataError(f"{path}: not a comparison; name the comparison.json that `wtal compare` wrote") from error
    if not found.scores or not found.tious:
        raise DataError(f"{path}: this comparison is of nothing; run `wtal compare` again")
    if len(found.scores) > MOST:
        raise DataError(f"{path}: holds {len(found.scores):,} methods on data sets; at most {MOST} can be drawn")
    return found


def _figure(tall: float) -> Figure:
    figure = Figure(figsize=(COLUMN, tall), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _bars(axes: Axes, values: Mapping[str, float], written: str) -> None:
    """A bar a kind in its row, with its figure beside it; colour means class, so the bars have none."""
    places = [KINDS.index(kind) for kind in values]
    axes.barh(places, list(values.values()), 0.72, color=MUTED)
    for place, value in zip(places, values.values(), strict=True):
        axes.annotate(
            written.format(value), (max(0, value), place), (2, 0), textcoords="offset points", va="center",
            fontsize=SMALL,
        )  # fmt: skip
    axes.set(xlim=(min(0, *values.values()), 1.35 * max(*values.values(), 0.1)), xticks=[])
    axes.tick_params(length=0)
    axes.spines[["left", "bottom"]].set_visible(False)


def _draw_missed(axes: Axes, trait: Trait, whole: float | None) -> None:
    """A bar a size, the share of all instances that are missed as a line; or why there is none."""
    if why := why_empty(trait):
        axes.text((len(SIZES) - 1) / 2, 25, why, ha="center", va="center", color=MUTED, fontsize=SMALL)
    else:
        _draw_groups(axes, trait, whole)
    axes.set(
        xlim=(-0.5, len(SIZES) - 0.5),
        ylim=(0, 100),
        xticks=range(len(SIZES)),
        xticklabels=SIZES,
        yticks=(0, 50, 100),
    )
    axes.set_title(trait.name, fontsize=SMALL)
    axes.tick_params(axis="x", length=0, labelcolor=TEXT)
    axes.grid(axis="y")


def _draw_groups(axes: Axes, trait: Trait, whole: float | None) -> None:
    for place, group in enumerate(trait.groups):
        if group.miss_rate is None:
            axes.text(place, 3, "–", ha="center", color=MUTED, fontsize=SMALL)  # no instances, so none is missed
        else:
            axes.bar(place, 100 * group.miss_rate, 0.72, color=MUTED)
    if whole is not None:
        axes.axhline(100 * whole, color=TEXT, linewidth=0.7, linestyle=(0, (3, 2)))


def _draw_lines(axes: Axes, lines: Mapping[str, tuple[Curve, str]]) -> None:
    """A line a branch in its colour, the last on top, from 0 or what is below."""
    for branch, (curve, colour) in lines.items():
        dots = "." if curve.shape[1] < FEW else ""
        axes.plot(*thinned(curve), color=colour, linewidth=0.9, marker=dots, markersize=4, label=branch)
    axes.margins(y=0.15)
    axes.set_ylim(min(0.0, *(float(curve[1].min()) for curve, _ in lines.values())))
    axes.locator_params(nbins=3)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid()


def _score(entry: Any) -> Score:
    averages = tuple(map(float, entry["averages"]))
    if not averages or not all(0 <= average <= 100 for average in averages):
        raise ValueError("numbers that are no percentages")
    data, method = str(entry["data"]), str(entry["method"])
    if not (data + method).isprintable():
        raise ValueError("names that cannot be drawn")
    return Score(data, method, averages, ())
