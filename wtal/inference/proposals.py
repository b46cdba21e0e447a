"""From the snippet scores of a video to proposals. Axes: T snippets, C classes, K curves, N candidates. No PyTorch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wtal.core.arrays import Floats, Ints
from wtal.core.clock import SnippetClock
from wtal.core.structures import Segment
from wtal.inference.boundaries import refine_boundaries
from wtal.inference.soft_nms import soft_nms

if TYPE_CHECKING:
    from wtal.core.config import LocalizeConfig

MIN_REMAINING_FRACTION = 0.7  # without overlaps, at least this share of a proposal is shown; otherwise none of it
MIN_SUPPORT = 0.5  # mean evidence of a piece of a proposal that may be shown, relative to the whole proposal


@dataclass(frozen=True)
class SnippetScores:
    """What a branch predicts for one video."""

    attention: Floats  # T            foreground probability
    cas: Floats  # T x (C + 1)  class probabilities, the last is background
    video: Floats  # C            class probabilities of the whole video

    @property
    def evidence(self) -> Floats:
        """The evidence of each snippet for each class. T x C.

        Not attention times CAS: distillation has already transferred attention to the background column, and
        multiplying the noise of both breaks runs apart (docs/experiments/2026-11-22-search-for-defaults.md).
        """
        return self.cas[:, :-1]


def generate_proposals(
    scores: SnippetScores,
    classes: Sequence[str],
    clock: SnippetClock,
    settings: "LocalizeConfig",
    features: NDArray[np.generic] | None = None,
) -> list[Segment]:
    """Generate the proposals of a video.

    Thresholds on attention and on the evidence of a class give runs of snippets. Runs whose evidence is in a small
    part of them are left out. A run scores by its outer-inner contrast plus a share of the video score. Gaussian
    soft-NMS lowers overlapping proposals of a class. Last, the boundaries move to changes of the features nearby.

    Args:
        scores: The scores of the video.
        classes: The names of the classes.
        clock: Converts snippets to seconds.
        settings: Thresholds and weights.
        features: The features of the video, T x D, to refine the boundaries; None: they are not refined.

    Returns:
        Proposals in seconds, highest-scoring first.
    """
    selected = confident_classes(scores.evidence, settings.class_threshold)  # K
    evidence = np.ascontiguousarray(scores.evidence.T[selected])  # K x T
    rows, runs = _candidates_of_classes(scores.attention, evidence, settings)
    supported = is_supported(evidence, rows, runs)
    rows, runs = rows[supported], runs[supported]
    score = outer_inner_contrast(evidence, rows, runs, settings.flank)
    score = score + settings.gamma * scores.video[selected][rows]
    kept, score = soft_nms(clock.seconds(runs), score, rows, settings.nms_sigma, settings.min_score)
    rows, runs = rows[kept], runs[kept]
    if features is not None and settings.boundary_reach > 0:
        runs = refine_boundaries(runs, features, scores.cas, settings.boundary_reach)
        # Of proposals that have become equal, the first and highest-scoring one stays.
        first = np.sort(np.unique(_candidate_keys(rows, runs, evidence.shape), return_index=True)[1])
        rows, runs, score = rows[first], runs[first], score[first]
    labels = [classes[index] for index in selected[rows].tolist()]
    return list(map(Segment._make, zip(labels, *clock.seconds(runs).T.tolist(), score.tolist(), strict=True)))


def confident_classes(evidence: Floats, threshold: float) -> Ints:
    """The classes whose highest evidence reaches the threshold; the best one if none does. T x C -> K indices."""
    highest = evidence.max(0)
    passing = np.flatnonzero(highest >= threshold)
    return passing if len(passing) else np.array([highest.argmax()])


def candidates(curves: Floats, thresholds: Sequence[float]) -> tuple[Ints, Ints]:
    """The runs of snippets of each curve above each threshold. K x T -> N rows of the curves, N x 2."""
    parts = [runs_of_true(curves > threshold) for threshold in thresholds] or [runs_of_true(curves > np.inf)]
    rows, runs = zip(*parts, strict=True)
    return np.concatenate(rows), np.concatenate(runs)


def runs_of_true(masks: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """Half-open intervals [start, end) of the runs of True in each row. K x T -> N rows, N x 2."""
    padded = np.zeros((len(masks), masks.shape[1] + 2), bool)
    padded[:, 1:-1] = masks
    rows, edges = np.nonzero(padded[:, 1:] != padded[:, :-1])
    return rows[::2], edges.reshape(-1, 2)


def is_supported(curves: Floats, rows: Ints, runs: Ints) -> NDArray[np.bool_]:
    """Whether each large piece of a run has evidence: the first, the middle and the last 70 %.

    A timeline without overlaps cuts segments (`wtal.inference.postprocessing.remove_overlaps`), and what is left of
    one must not be a part without evidence.

    Args:
        curves: K x T.
        rows: The curve of each run, N.
        runs: [start, end) in snippets, N x 2.

    Returns:
        Whether the mean of each piece is at least half of the mean of the run, N.
    """
    total = _cumulative(curves)
    start, end = runs.T
    length = np.ceil(MIN_REMAINING_FRACTION * (end - start)).astype(np.intp)
    required = MIN_SUPPORT * (total[rows, end] - total[rows, start]) / (end - start)
    supported = np.ones(len(runs), bool)
    for first in (start, start + (end - start - length) // 2, end - length):
        supported &= (total[rows, first + length] - total[rows, first]) / length >= required
    return supported


def outer_inner_contrast(curves: Floats, rows: Ints, runs: Ints, flank: float) -> NDArray[np.float64]:
    """The mean inside each run minus the mean of its flanks.

    A flank has at least one snippet and ends where the video ends. Without any flank the outer mean is 0.

    Args:
        curves: K x T.
        rows: The curve of each run, N.
        runs: [start, end) in snippets, N x 2.
        flank: Length of a flank relative to the run.

    Returns:
        N.
    """
    total = _cumulative(curves)
    start, end = runs.T
    width = np.maximum(1, np.round(flank * (end - start)).astype(np.intp))
    outer_start, outer_end = np.maximum(0, start - width), np.minimum(curves.shape[1], end + width)
    inside = total[rows, end] - total[rows, start]
    outside = total[rows, outer_end] - total[rows, outer_start] - inside
    outer_length = np.maximum(1, (outer_end - outer_start) - (end - start))
    return inside / np.maximum(1, end - start) - outside / outer_length


def _candidates_of_classes(attention: Floats, evidence: Floats, settings: "LocalizeConfig") -> tuple[Ints, Ints]:
    """The runs of attention, which count for every class, and those of each class's evidence, without duplicates.

    T, K x T -> N rows, N x 2, sorted by row, start and end.
    """
    num_classes, length = evidence.shape
    _, shared = candidates(attention[None], settings.attention_thresholds)
    rows, runs = candidates(_min_max_scaled(evidence), settings.evidence_thresholds)
    rows = np.r_[np.repeat(np.arange(num_classes), len(shared)), rows]
    start, end = np.r_[np.tile(shared, (num_classes, 1)), runs].T
    keys = np.sort(_candidate_keys(rows, np.stack([start, end], 1), evidence.shape))
    keys = keys[np.diff(keys, prepend=-1) > 0]
    rows, start, end = np.unravel_index(keys, (num_classes, length + 1, length + 1))
    return rows, np.stack([start, end], 1)


def _candidate_keys(rows: Ints, runs: Ints, shape: tuple[int, ...]) -> Ints:
    """One integer per candidate, ascending with row, start and end: rows are slow to sort. N, N x 2, (K, T) -> N."""
    num_rows, length = shape
    return np.ravel_multi_index((rows, *runs.T), (num_rows, length + 1, length + 1))


def _cumulative(curves: Floats) -> NDArray[np.float64]:
    """The sum of the values before each position. K x T -> K x (T + 1)."""
    total = np.zeros((len(curves), curves.shape[1] + 1))
    np.cumsum(curves, 1, dtype=np.float64, out=total[:, 1:])
    return total


def _min_max_scaled(curves: Floats) -> Floats:
    """Scale each row to [0, 1]; a constant row becomes 0. K x T."""
    low, high = curves.min(1, keepdims=True), curves.max(1, keepdims=True)
    return (curves - low) / np.where(high > low, high - low, 1)
