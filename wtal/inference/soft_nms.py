"""Gaussian soft-NMS of many segments at once. It keeps the same segments as one by one, in a few rounds."""

import numpy as np
from numpy.typing import NDArray

from wtal.core.arrays import Floats, Ints
from wtal.core.clock import tiou


def soft_nms(
    segments: Floats, scores: Floats, groups: Ints, sigma: float, min_score: float
) -> tuple[Ints, NDArray[np.float64]]:
    """Lower the scores of overlapping segments: each chosen segment multiplies others by exp(-tIoU^2 / sigma).

    Chosen one by one, the highest-scoring segment comes first. A segment that scores above all that overlap it is
    chosen before them, since scores only decrease. So all such segments are chosen in one round, and only overlapping
    pairs are compared.

    Args:
        segments: Start and end in seconds, N x 2.
        scores: Non-negative, N.
        groups: Segments of different groups (classes) do not affect each other, N.
        sigma: Width of the Gaussian.
        min_score: Segments that fall below are dropped.

    Returns:
        The indices of the chosen segments and their new scores, highest first.
    """
    lowered: NDArray[np.float64] = scores.astype(np.float64)
    first, second = overlapping_pairs(segments, groups)
    exponents = tiou(*segments[first].T, *segments[second].T) ** 2 / sigma
    is_candidate, is_chosen = lowered >= min_score, np.zeros(len(lowered), bool)
    while is_candidate.any():
        pairs = np.flatnonzero(is_candidate[first] & is_candidate[second])
        first, second, exponents = first[pairs], second[pairs], exponents[pairs]
        winner = np.where(lowered[first] >= lowered[second], first, second)  # of equal scores the first
        loser = first + second - winner
        is_best = is_candidate.copy()
        is_best[loser] = False
        is_chosen |= is_best
        decided = np.flatnonzero(is_best[winner])
        lowered *= np.exp(-np.bincount(loser[decided], exponents[decided], len(lowered)))
        is_candidate &= ~is_best & (lowered >= min_score)
    chosen = np.flatnonzero(is_chosen)
    chosen = chosen[np.argsort(-lowered[chosen], kind="stable")]
    return chosen, lowered[chosen]


def overlapping_pairs(segments: Floats, groups: Ints) -> tuple[Ints, Ints]:
    """Indices of all pairs of segments of one group that overlap, the lower index first. N x 2, N -> P, P."""
    # Shifting each group to its own range of times lets one search find the neighbors in all groups.
    start, end = segments.T + groups * (np.ptp(segments) + 1 if len(segments) else 0)
    order = np.argsort(start, kind="stable")
    position = np.arange(len(order))
    # Sorted by start, the segments that begin before the end of a segment follow it directly.
    count = np.maximum(0, np.searchsorted(start[order], end[order]) - position - 1)
    first = np.repeat(position, count)
    second = first + 1 + np.arange(len(first)) - np.repeat(np.cumsum(count) - count, count)
    first, second = order[first], order[second]
    return np.minimum(first, second), np.maximum(first, second)
