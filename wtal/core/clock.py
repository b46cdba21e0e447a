"""Time: conversion between seconds and snippets, and temporal IoU.

Apart from `wtal.core.structures`, so that `wtal --help` does not import numpy.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wtal.core.errors import DataError


@dataclass(frozen=True)
class SnippetClock:
    """The times of snippets: snippet i covers [offset + i * stride, offset + (i + 1) * stride] seconds.

    Args:
        stride: Seconds from one snippet to the next.
        offset: Seconds at which the first snippet starts.
        edges: N + 1 ascending times in seconds that were recorded for N snippets; they replace stride and offset.

    Raises:
        DataError: The stride is not positive, or the edges do not ascend.
    """

    stride: float
    offset: float = 0.0
    edges: NDArray[np.float64] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not (np.isfinite(self.stride) and self.stride > 0 and np.isfinite(self.offset)):
            raise DataError(
                f"snippet clock with stride {self.stride} s and offset {self.offset} s",
                hint="use a stride above 0",
                code="invalid-value",
            )
        if self.edges is not None and not np.all(np.diff(self.edges) > 0):
            raise DataError(
                "the recorded snippet times do not ascend", hint="extract the features again", code="invalid-value"
            )

    def seconds(self, snippet: ArrayLike) -> NDArray[np.float64]:
        """Convert positions in snippets, which may be fractional, to seconds."""
        snippet = np.asarray(snippet, dtype=np.float64)
        if self.edges is not None:
            return np.interp(snippet, np.arange(len(self.edges)), self.edges)
        return self.offset + snippet * self.stride

    def snippets(self, seconds: ArrayLike) -> NDArray[np.float64]:
        """Convert seconds to fractional positions in snippets: the inverse of `seconds`."""
        seconds = np.asarray(seconds, dtype=np.float64)
        if self.edges is not None:
            return np.interp(seconds, self.edges, np.arange(len(self.edges)))
        return (seconds - self.offset) / self.stride


def tiou(starts: ArrayLike, ends: ArrayLike, other_starts: ArrayLike, other_ends: ArrayLike) -> NDArray[np.float64]:
    """Temporal intersection over union of intervals, which are broadcast; 0 where both are empty."""
    times = (starts, ends, other_starts, other_ends)
    # A quarter of each time has the same IoU, and no difference or sum of quarters overflows.
    starts, ends, other_starts, other_ends = (np.asarray(time, np.float64) / 4 for time in times)
    intersection = np.clip(np.minimum(ends, other_ends) - np.maximum(starts, other_starts), 0, None)
    union = (ends - starts) + (other_ends - other_starts) - intersection
    return np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)
