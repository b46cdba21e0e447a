"""Curves of a run as arrays: precision over recall, and the training metrics over the steps."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wtal.core.arrays import Floats
from wtal.core.io import read_text
from wtal.evaluation.average_precision import precision_envelope
from wtal.evaluation.evaluate import EvaluationWithMatches
from wtal.training.metrics import METRICS_NAME

MAX_POINTS = 150  # of a drawn curve
MAX_VALUE = 1e100  # larger metrics are skipped: sums and squares must stay finite

Curve = NDArray[np.float64]  # x, y: 2 x N


def precision_recall_curves(evaluation: EvaluationWithMatches, tiou: int) -> dict[str, Curve]:
    """Precision over recall of each class, as average precision counts it.

    Args:
        evaluation: Result and matches of the proposals.
        tiou: Index of one of the result's tIoU thresholds.

    Returns:
        For each class the corners of its curve: recall, and the highest precision at that recall or a higher one
        (the precision at each hit under a protocol that does not interpolate). A curve ends at the highest recall.
    """
    matches, curves = evaluation.matches, {}
    instances = matches.instances.sum(1)
    for label, rows, count in zip(evaluation.result.per_class, matches.class_slices, instances, strict=True):
        hits = matches.hits[tiou, rows]
        precision: Floats = hits.cumsum() / np.arange(1, len(hits) + 1)
        if matches.interpolated:
            precision = precision_envelope(precision)
        recall = hits.cumsum()[hits] / count
        curves[label] = _staircase(recall, precision[hits])
    return curves


def mean_curve(curves: Iterable[Curve]) -> Curve:
    """The mean precision over the classes at each recall; 0 beyond the end of a curve. Its area is mAP."""
    recall = np.linspace(0, 1, MAX_POINTS)
    precision = [
        np.interp(recall, curve[0], curve[1], right=0) if curve.shape[1] else np.zeros_like(recall) for curve in curves
    ]
    return np.array([recall, np.mean(precision, axis=0)])


def read_metrics(run: Path) -> dict[str, Curve]:
    """Read the metrics of a run: the curve of each by its name, in the order of the file.

    Args:
        run: A run folder. Without metrics.jsonl the result is empty; incomplete lines are skipped.
    """
    path = run / METRICS_NAME
    points: dict[str, list[tuple[float, float]]] = {}
    for line in read_text(path).splitlines() if path.is_file() else []:
        values = _parse_metrics(line)
        step = values.pop("step", None)
        if step is not None:
            for name, value in values.items():
                points.setdefault(name, []).append((step, value))
    return {name: np.array(curve).T for name, curve in points.items()}


def downsample(curve: Curve) -> Curve:
    """The curve as means of at most `MAX_POINTS` groups of neighboring points."""
    groups = np.array_split(curve, min(MAX_POINTS, curve.shape[1]), axis=1)
    return np.array([group.mean(1) for group in groups]).T


def _staircase(recall: Floats, precision: Floats) -> Curve:
    """The corners of the steps: each precision holds down to the previous recall."""
    if not len(recall):
        return np.zeros((2, 0))
    previous = np.r_[0, recall[:-1]]
    corners = np.array([np.c_[previous, recall].ravel(), np.repeat(precision, 2)])
    changes = np.r_[True, np.diff(corners[1]) != 0]
    return corners[:, changes | np.r_[changes[1:], True]]  # both ends of every level stretch


def _parse_metrics(line: str) -> dict[str, float]:
    """The finite numbers of a line; empty for an incomplete line."""
    try:
        values = json.loads(line)
    except (RecursionError, ValueError):
        return {}
    values = values if isinstance(values, dict) else {}
    return {name: float(value) for name, value in values.items() if name.isprintable() and _is_number(value)}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MAX_VALUE
