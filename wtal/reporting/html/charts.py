"""Curves of the report as paths of an SVG: precision over recall, and each loss over the steps."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wtal.core.io import read_text
from wtal.evaluation.average_precision import Floats, precision_envelope
from wtal.evaluation.evaluate import EvaluationWithMatches

WIDTH, HEIGHT = 200.0, 110.0  # of the area that is drawn in, in CSS pixels
POINTS = 150  # of a curve; more could not be told apart
FURTHEST = 1e100  # what is drawn; sums and squares of it are numbers still

Curve = NDArray[np.float64]  # x, y: 2 x N


@dataclass(frozen=True)
class Line:
    """A path in a chart, and what it is."""

    path: str
    style: str  # a class of page.css
    name: str = ""


@dataclass(frozen=True)
class Chart:
    """A small chart: its lines and the numbers at its edges. Places in pixels from the upper left."""

    title: str
    note: str
    lines: tuple[Line, ...]
    x: tuple[tuple[float, str], ...]
    y: tuple[tuple[float, str], ...]
    place: int = -1  # of the class whose colour it has


def chart(
    title: str,
    note: str,
    curves: Iterable[tuple[str, str, Curve]],
    x: tuple[float, float],
    y: tuple[float, float],
    place: int = -1,
) -> Chart:
    """Curves (style, name, points) in the range of x and y."""
    lines = tuple(Line(path(points, x, y), style, name) for style, name, points in curves)
    across = [(WIDTH * share, _number(x[0] + share * (x[1] - x[0]))) for share in (0, 0.5, 1)]
    upwards = [(HEIGHT * (1 - share), _number(y[0] + share * (y[1] - y[0]))) for share in (0, 0.5, 1)]
    return Chart(title, note, lines, tuple(across), tuple(upwards), place)


def path(points: Curve, x: tuple[float, float], y: tuple[float, float]) -> str:
    """An SVG path through finite points."""
    across = WIDTH * (points[0] - x[0]) / (x[1] - x[0])
    down = HEIGHT * (1 - (points[1] - y[0]) / (y[1] - y[0]))
    return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(across.tolist(), down.tolist(), strict=True))


def precision_recall(judged: EvaluationWithMatches, tiou: int) -> dict[str, Curve]:
    """Each class's best precision at a recall or a higher one, as AP counts it, at one of the result's tIoUs.

    Recall in the first row, precision in the second; it ends where no proposal finds more.
    """
    matches, found = judged.matches, {}
    for label, rows, count in zip(judged.result.per_class, matches.class_slices, matches.instances.sum(1), strict=True):
        hits = matches.hits[tiou, rows]
        precision = hits.cumsum() / np.arange(1, len(hits) + 1)
        if matches.interpolated:
            precision = precision_envelope(precision)
        recall = hits.cumsum()[hits] / count
        found[label] = _staircase(recall, precision[hits])
    return found


def mean_curve(curves: Iterable[Curve]) -> Curve:
    """The mean over the classes of the precision at each recall; past its end a curve is 0. Its area is mAP."""
    recall = np.linspace(0, 1, POINTS)
    heights = [_at(curve, recall) for curve in curves]
    return np.array([recall, np.mean(heights, axis=0)])


def precision_charts(
    judged: EvaluationWithMatches, tiou: float, colours: Mapping[str, int]
) -> tuple[Chart, list[Chart]]:
    """One chart of the mean over the classes at each tIoU, and one of each class at the tIoU nearest to `tiou`."""
    result = judged.result
    number = int(np.argmin(np.abs(np.subtract(result.tious, tiou))))
    means = [
        (
            "line main" if place == number else "line",
            f"tIoU {t:g}",
            mean_curve(precision_recall(judged, place).values()),
        )
        for place, t in enumerate(result.tious)
    ]
    means.sort(key=lambda mean: "main" in mean[0])
    at = result.tious[number]
    whole = chart(
        "mean over the classes",
        f"tIoU {at:g} (thick), {result.tious[0]:g} to {result.tious[-1]:g}",
        means,
        (0, 1),
        (0, 1),
    )
    each = [
        chart(
            label,
            f"AP {100 * result.per_class[label][number]:.1f}",
            [("area", "", _closed(curve)), ("line main", "", curve)] if curve.shape[1] else [],
            (0, 1),
            (0, 1),
            colours.get(label, -1),
        )
        for label, curve in precision_recall(judged, number).items()
    ]
    return whole, each


def read_metrics(run: Path) -> dict[str, Curve]:
    """Each number of metrics.jsonl by its name, step and value; empty without one. A torn line is passed over."""
    file = run / "metrics.jsonl"
    found: dict[str, list[tuple[float, float]]] = {}
    for line in read_text(file).splitlines() if file.is_file() else []:
        values = _values(line)
        step = values.pop("step", None)
        if step is not None:
            for name, value in values.items():
                found.setdefault(name, []).append((step, value))
    return {name: np.array(points).T for name, points in found.items()}


def training_charts(metrics: Mapping[str, Curve]) -> list[Chart]:
    """A chart a term: the local branch's line, and the global one's of the same term beside it."""
    charts = []
    for name, curve in metrics.items():
        other = metrics.get(f"global_{name}")
        if name.startswith("global_") and name.removeprefix("global_") in metrics:
            continue
        curves = [("line main", "local", thinned(curve))] + (
            [("line other", "global", thinned(other))] if other is not None else []
        )
        seen = np.concatenate([points[1] for _, _, points in curves])
        top = _above(float(seen.max()))
        low = min(0.0, float(seen.min()))
        last = " / ".join(_number(float(points[1, -1])) for _, _, points in curves)
        steps = (float(curve[0, 0]), max(float(curve[0, -1]), float(curve[0, 0]) + 1))
        charts.append(chart(name.replace("_", " "), f"ends at {last}", curves, steps, (low, top)))
    return charts


def thinned(curve: Curve) -> Curve:
    """The curve as means of at most 150 stretches."""
    parts = np.array_split(curve, min(POINTS, curve.shape[1]), axis=1)
    return np.array([part.mean(1) for part in parts]).T


def _staircase(recall: Floats, precision: Floats) -> Curve:
    """Corners of the steps: each precision holds back to the recall before it."""
    if not len(recall):
        return np.zeros((2, 0))
    before = np.r_[0, recall[:-1]]
    corners = np.array([np.c_[before, recall].ravel(), np.repeat(precision, 2)])
    level = np.r_[True, np.diff(corners[1]) != 0]
    return corners[:, level | np.r_[level[1:], True]]  # the ends of what is level


def _at(curve: Curve, recall: Floats) -> Floats:
    if not curve.shape[1]:
        return np.zeros_like(recall)
    heights: Floats = np.interp(recall, curve[0], curve[1], right=0)
    return heights


def _closed(curve: Curve) -> Curve:
    return np.c_[[curve[0, 0], 0], curve, [curve[0, -1], 0]]


def _values(line: str) -> dict[str, float]:
    try:
        values = json.loads(line)
    except (RecursionError, ValueError):
        return {}
    values = values if isinstance(values, dict) else {}
    return {name: float(value) for name, value in values.items() if name.isprintable() and _is_number(value)}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= FURTHEST


def _above(value: float) -> float:
    """The next round number above."""
    if value <= 0:
        return 1.0
    unit = 10.0 ** math.floor(math.log10(value))
    return next(step * unit for step in (1, 2, 3, 4, 5, 6, 8, 10) if step * unit >= value * 0.999)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
