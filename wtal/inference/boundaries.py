"""Refine the boundaries of proposals: move each to a change of the features nearby. No PyTorch.

Axes: T snippets, N runs, W windows of L snippets, D features, C classes.
The scores of a network change gradually where an action begins or ends, because it mixes neighboring snippets.
The features themselves change at once.
"""

from collections import defaultdict
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from wtal.core.arrays import Floats, Ints

SCORES_WEIGHT = 0.5  # of the class scores relative to the features; chosen on the validation subsets
MIN_PROBABILITY = 1e-4  # of the class scores before the logarithm
MIN_DEVIATION = 0.01  # of a feature dimension, relative to the mean over the dimensions; constant dimensions stay 0
MIN_GAIN = 1e-3  # of explained variance; boundaries do not move for less
MIN_VARIANCE = 1e-6  # of a snippet; a window that varies less has no change
MAX_MOVE = 32  # snippets
MAX_VALUES = 2**23  # of the windows that are in memory at once


def refine_boundaries(runs: Ints, features: NDArray[np.generic], cas: Floats, reach: float) -> Ints:
    """Move each boundary to the strongest change of the features and of the class scores near it.

    A boundary may move by `reach` times the length of its run, by one snippet at least and by 32 at most. For each
    position in this range, a window of twice the range on each side of the boundary is split in two. The explained
    variance of a split is the share of the variance in the window that lies between the means of the two parts. The
    boundary moves to the split with the highest explained variance of the features, plus half of that of the logarithm
    of the class scores. Ends of the video do not move.

    Args:
        runs: [start, end) in snippets, N x 2.
        features: T x D; their offset, and the scale of all of them, have no effect.
        cas: Class probabilities, T x (C + 1).
        reach: The longest move, relative to the length of the run.

    Returns:
        The runs with new boundaries, N x 2. A run that would become empty keeps its boundaries.
    """
    log_scores = np.log(np.maximum(cas, MIN_PROBABILITY))
    standardized = _standardize(features)
    moves = np.clip(np.rint(reach * (runs[:, 1] - runs[:, 0])), 1, MAX_MOVE).astype(np.intp)
    # Nested runs share boundaries: each boundary with its range is refined once.
    keys, inverse = np.unique(runs * (MAX_MOVE + 1) + moves[:, None], return_inverse=True)
    boundary, move = np.divmod(keys, MAX_MOVE + 1)
    first, last = np.maximum(0, boundary - 2 * move), np.minimum(len(cas), boundary + 2 * move)
    groups = defaultdict[tuple[int, ...], list[int]](list)  # windows of one shape are computed together
    for row, shape in enumerate(zip(*np.stack([boundary - first, move, last - first]).tolist(), strict=True)):
        groups[shape].append(row)
    refined = boundary.copy()
    for (position, distance, length), group in groups.items():
        if not 0 < position < length:  # an end of the video
            continue
        lowest, highest = max(1, position - distance), min(length - 1, position + distance)
        batch = max(1, MAX_VALUES // (length * features.shape[1]))
        for rows in (group[begin : begin + batch] for begin in range(0, len(group), batch)):
            snippets = first[rows, None] + np.arange(length)  # W x L
            explained = explained_variance(standardized(snippets))
            explained += SCORES_WEIGHT * explained_variance(log_scores[snippets])
            best = lowest + explained[:, lowest - 1 : highest].argmax(1)
            is_better = explained[np.arange(len(rows)), best - 1] > explained[:, position - 1] + MIN_GAIN
            refined[rows] = np.where(is_better, first[rows] + best, boundary[rows])
    result = refined[inverse.reshape(runs.shape)]
    return np.where(result[:, :1] < result[:, 1:], result, runs)


def explained_variance(windows: Floats) -> Floats:
    """The share of the variance that lies between the parts of each split of a window; 0 if nothing varies.

    Args:
        windows: W x L x D.

    Returns:
        For the splits before snippets 1 to L - 1, W x (L - 1).
    """
    length = windows.shape[1]
    # From the products of all pairs of snippets, since these are few. Centring makes the sum of a window 0.
    products = windows @ windows.swapaxes(1, 2)
    products = products - products.mean(1, keepdims=True)
    products -= products.mean(2, keepdims=True)
    total = np.trace(products, axis1=1, axis2=2)[:, None]
    # The squared norm of the sum of the first l snippets; the sum of the others is the negative of it.
    norms = np.diagonal(products.cumsum(1).cumsum(2), axis1=1, axis2=2)[:, :-1]
    first_length = np.arange(1, length)
    between = norms * (length / (first_length * (length - first_length)))
    return np.divide(between, total, out=np.zeros_like(between), where=total > MIN_VARIANCE * length)


def _standardize(features: NDArray[np.generic]) -> Callable[[Ints], Floats]:
    """A function that reads snippets, with each dimension standardized over the video. T x D -> (... -> ... x D)."""
    mean = features.mean(0, dtype=np.float64)
    deviation = features.std(0, dtype=np.float64)
    scale = np.maximum(deviation, MIN_DEVIATION * deviation.mean())
    scale[scale == 0] = 1
    mean, scale = mean.astype(np.float32), scale.astype(np.float32)
    return lambda snippets: (features[snippets].astype(np.float32) - mean) / scale
