"""Small charts of the HTML report as SVG paths: precision over recall, and each loss over the steps."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from wtal.evaluation.evaluate import EvaluationWithMatches
from wtal.reporting.curves import Curve, downsample, mean_curve, precision_recall_curves

WIDTH, HEIGHT = 200.0, 110.0  # of the drawing area, in CSS pixels


@dataclass(frozen=True)
class Line:
    """A path in a chart: SVG path data, CSS classes, and the name shown in its tooltip."""

    path: str
    style: str
    name: str = ""


@dataclass(frozen=True)
class Chart:
    """A small chart.

    Args:
        title: Heading.
        note: A value or a range beside the heading.
        lines: Paths in pixels from the upper left corner.
        x: Position in pixels and text of each tick of the horizontal axis.
        y: The same of the vertical axis.
        class_index: The class whose color the chart has; -1 for none.
    """

    title: str
    note: str
    lines: tuple[Line, ...]
    x: tuple[tuple[float, str], ...]
    y: tuple[tuple[float, str], ...]
    class_index: int = -1


def make_chart(
    title: str,
    note: str,
    curves: Iterable[tuple[str, str, Curve]],
    x: tuple[float, float],
    y: tuple[float, float],
    class_index: int = -1,
) -> Chart:
    """A chart of curves (CSS classes, name, points) with the axis limits x and y."""
    lines = tuple(Line(svg_path(points, x, y), style, name) for style, name, points in curves)
    shares = (0, 0.5, 1)
    x_ticks = tuple((WIDTH * share, _format_number(x[0] + share * (x[1] - x[0]))) for share in shares)
    y_ticks = tuple((HEIGHT * (1 - share), _format_number(y[0] + share * (y[1] - y[0]))) for share in shares)
    return Chart(title, note, lines, x_ticks, y_ticks, class_index)


def svg_path(points: Curve, x: tuple[float, float], y: tuple[float, float]) -> str:
    """An SVG path through finite points."""
    right = WIDTH * (points[0] - x[0]) / (x[1] - x[0])
    down = HEIGHT * (1 - (points[1] - y[0]) / (y[1] - y[0]))
    return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(right.tolist(), down.tolist(), strict=True))


def precision_charts(
    evaluation: EvaluationWithMatches, tiou: float, class_indices: Mapping[str, int]
) -> tuple[Chart, list[Chart]]:
    """A chart of the mean over the classes at every tIoU, and one for each class at a single tIoU.

    Args:
        evaluation: Result and matches of the proposals.
        tiou: The class charts use the threshold closest to it.
        class_indices: The color index of each class; classes without one are drawn gray.
    """
    result, limits = evaluation.result, (0.0, 1.0)
    main = int(np.argmin(np.abs(np.subtract(result.tious, tiou))))
    means = [
        ("line", f"tIoU {threshold:g}", mean_curve(precision_recall_curves(evaluation, index).values()))
        for index, threshold in enumerate(result.tious)
    ]
    means.append(("line main", *means.pop(main)[1:]))  # drawn last, on top
    note = f"tIoU {result.tious[main]:g} (thick), {result.tiou_range}"
    mean_chart = make_chart("mean over classes", note, means, limits, limits)
    class_charts = []
    for label, curve in precision_recall_curves(evaluation, main).items():
        lines = [("area", "", _close_area(curve)), ("line main", "", curve)] if curve.shape[1] else []
        note = f"AP {100 * result.per_class[label][main]:.1f}"
        class_charts.append(make_chart(label, note, lines, limits, limits, class_indices.get(label, -1)))
    return mean_chart, class_charts


def training_charts(metrics: Mapping[str, Curve]) -> list[Chart]:
    """A chart for each term."""
    charts = []
    for name, curve in metrics.items():
        points = downsample(curve)
        limits = min(0.0, float(points[1].min())), _round_up(float(points[1].max()))
        steps = float(curve[0, 0]), max(float(curve[0, -1]), float(curve[0, 0]) + 1)
        note = f"final {_format_number(float(points[1, -1]))}"
        charts.append(make_chart(name.replace("_", " "), note, [("line main", "", points)], steps, limits))
    return charts


def _close_area(curve: Curve) -> Curve:
    """The outline of the area under a curve."""
    return np.c_[[curve[0, 0], 0], curve, [curve[0, -1], 0]]


def _round_up(value: float) -> float:
    """The next round number; 1 for zero and below."""
    if value <= 0:
        return 1.0
    unit = 10.0 ** math.floor(math.log10(value))
    return next(step * unit for step in (1, 2, 3, 4, 5, 6, 8, 10) if step * unit >= value * 0.999)


def _format_number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
