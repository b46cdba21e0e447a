"""Gaussian soft-NMS of many segments at once: the same choice as one by one, in a handful of rounds."""

import numpy as np
from numpy.typing import NDArray

from wtal.timeline import tiou

Floats = NDArray[np.floating]
Ints = NDArray[np.intp]


def soft_nms(
    segments: Floats, scores: Floats, groups: Ints, sigma: float, min_score: float
) -> tuple[Ints, NDArray[np.float64]]:
    """Each chosen segment lowers those of its group that it overlaps, by exp(-tiou^2 / sigma); the surest first.

    N x 2 seconds, N scores, none below 0, N groups (as classes) -> the indices kept, the surest first, and their
    lowered scores.

    Chosen one by one, a segment above all that overlap it will be chosen before them whatever else happens, as
    scores only sink. So all such segments are chosen at once, and only overlapping pairs are ever looked at.
    """
    lowered: NDArray[np.float64] = scores.astype(np.float64)
    one, other = overlapping_pairs(segments, groups)
    sinks = tiou(*segments[one].T, *segments[other].T) ** 2 / sigma
    left, kept = lowered >= min_score, np.zeros(len(lowered), bool)
    while left.any():
        both = np.flatnonzero(left[one] & left[other])
        one, other, sinks = one[both], other[both], sinks[both]
        winner = np.where(lowered[one] >= lowered[other], one, other)  # of equals the first
        loser = one + other - winner
        best = left.copy()
        best[loser] = False
        kept |= best
        chosen = np.flatnonzero(best[winner])
        lowered *= np.exp(-np.bincount(loser[chosen], sinks[chosen], len(lowered)))
        left &= ~best & (lowered >= min_score)
    surest = np.flatnonzero(kept)
    surest = surest[np.argsort(-lowered[surest], kind="stable")]
    return surest, lowered[surest]


def overlapping_pairs(segments: Floats, groups: Ints) -> tuple[Ints, Ints]:
    """Indices of every two segments of one group that share some time, the lower first. N x 2, N -> P, P."""
    # Each group gets a stretch of time to itself, so that one search finds the neighbours of all.
    start, end = segments.T + groups * (np.ptp(segments) + 1 if len(segments) else 0)
    order = np.argsort(start, kind="stable")
    first = np.arange(len(order))
    # In the order of their starts, whatever begins before a segment's end follows right behind it.
    behind = np.maximum(0, np.searchsorted(start[order], end[order]) - first - 1)
    one = np.repeat(first, behind)
    other = one + 1 + np.arange(len(one)) - np.repeat(np.cumsum(behind) - behind, behind)
    one, other = order[one], order[other]
    return np.minimum(one, other), np.maximum(one, other)
