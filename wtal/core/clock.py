"""Conversion between seconds and snippets, and temporal IoU."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wtal.core.errors import DataError


@dataclass(frozen=True)
class SnippetClock:
    """Snippet i covers [offset + i * stride, offset + (i + 1) * stride] seconds.

    With `edges` (N + 1 ascending seconds, one more than there are snippets) the recorded times hold instead.
    Raises DataError when the stride is not positive or the edges do not ascend.
    """

    stride: float
    offset: float = 0.0
    edges: NDArray[np.float64] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not (np.isfinite(self.stride) and self.stride > 0 and np.isfinite(self.offset)):
            raise DataError(f"snippet clock: stride {self.stride} s, offset {self.offset} s; use a stride above 0")
        if self.edges is not None and not np.all(np.diff(self.edges) > 0):
            raise DataError("snippet clock: the recorded snippet times do not ascend; extract them again")

    def seconds(self, snippet: ArrayLike) -> NDArray[np.float64]:
        """Snippet edges (fractions allowed) to seconds."""
        snippet = np.asarray(snippet, dtype=np.float64)
        if self.edges is not None:
            return np.interp(snippet, np.arange(len(self.edges)), self.edges)
        return self.offset + snippet * self.stride

    def snippets(self, seconds: ArrayLike) -> NDArray[np.float64]:
        """Seconds to (fractional) snippet edges: the inverse of `seconds`."""
        seconds = np.asarray(seconds, dtype=np.float64)
        if self.edges is not None:
            return np.interp(seconds, self.edges, np.arange(len(self.edges)))
        return (seconds - self.offset) / self.stride


def tiou(starts: ArrayLike, ends: ArrayLike, other_starts: ArrayLike, other_ends: ArrayLike) -> NDArray[np.float64]:
    """Temporal IoU of broadcast intervals; 0 where both are empty."""
    times = (starts, ends, other_starts, other_ends)
    # Of quarters, which share as much, no difference or sum is too large for a float.
    starts, ends, other_starts, other_ends = (np.asarray(time, np.float64) / 4 for time in times)
    shared = np.clip(np.minimum(ends, other_ends) - np.maximum(starts, other_starts), 0, None)
    union = (ends - starts) + (other_ends - other_starts) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
