"""The parts of a synthetic signal that `features` and `benchmark` share.

The features of a video are a sum: actions, the scenes around them, a slow drift, short distractors, and noise. Each
part moves along directions that all videos of a data set share. Axes: T snippets, C classes, S scenes, D dimensions.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

NUM_DRIFTS = 6
NUM_DISTRACTORS = 5
LATE_START = 0.35  # share of an action after which its late phase prevails
LATE_WIDTH = 0.06  # how gradual the change is, as a share of the action


@dataclass(frozen=True)
class Directions:
    """Vectors of length 1 that all videos share, D dimensions each.

    Attributes:
        early: C x D, or C x A x D with several aspects per class: an action's first phase, which identifies its class.
        late: C x D: its second, longer phase, which is weaker. This is the completeness problem.
        style: C x 2 x D: how one video performs the actions of a class.
        scenes: S x D: surroundings that two classes share. This is the context-confusion problem.
        drift: 6 x D: slow changes of a video.
        distractors: 5 x D: short events that belong to no class.
    """

    early: NDArray[Any]
    late: NDArray[Any]
    style: NDArray[Any]
    scenes: NDArray[Any]
    drift: NDArray[Any]
    distractors: NDArray[Any]

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        early: NDArray[np.float64],
        late: NDArray[np.float64],
        num_scenes: int,
        dtype: DTypeLike = np.float64,
    ) -> "Directions":
        """Add random style, scenes, drift and distractors to the directions of the actions."""
        num_classes, width = late.shape
        shapes = [(num_classes, 2), (num_scenes,), (NUM_DRIFTS,), (NUM_DISTRACTORS,)]
        drawn = [unit_vectors(rng, *shape, width) for shape in shapes]
        return cls(*(array.astype(dtype) for array in (early, late, *drawn)))


def unit_vectors(rng: np.random.Generator, *shape: int) -> NDArray[np.float64]:
    """Random vectors of length 1; the last axis is D."""
    return normalize(rng.standard_normal(shape))


def normalize(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Vectors scaled to length 1; the last axis is D."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


@dataclass(frozen=True)
class Timeline:
    """The snippets of one video, in any unit of time.

    Attributes:
        middles: T, the middle of each snippet.
        stride: The length of a snippet.
    """

    middles: NDArray[np.float64]
    stride: float = 1.0

    @property
    def length(self) -> float:
        """The length of all snippets together."""
        return len(self.middles) * self.stride

    def coverage(self, start: float, end: float) -> NDArray[np.float64]:
        """The share of each snippet that is between start and end. T."""
        overlap = np.minimum(self.middles + self.stride / 2, end) - np.maximum(self.middles - self.stride / 2, start)
        return np.clip(overlap, 0, None) / self.stride

    def late_share(self, start: float, duration: float) -> NDArray[np.float64]:
        """How far an action is in its late phase, from 0 to 1, by a logistic function of time. T."""
        phase = (self.middles - start) / duration
        return 1 / (1 + np.exp(-np.clip((phase - LATE_START) / LATE_WIDTH, -50, 50)))

    def surroundings(
        self, spans: Iterable[tuple[float, float]], margins: tuple[float, float], rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """The coverage of spans (start, end) that are extended on both sides by random margins. T."""
        level = np.zeros(len(self.middles))
        for start, end in spans:
            lead, lag = rng.uniform(*margins, 2)
            level = np.maximum(level, self.coverage(start - lead, end + lag))
        return level

    def short_events(self, count: int, durations: tuple[float, float], rng: np.random.Generator) -> NDArray[np.float64]:
        """The coverage of random events, by the distractor that each shows. T x 5."""
        level = np.zeros((len(self.middles), NUM_DISTRACTORS))
        for _ in range(count):
            start, kind = rng.uniform(0, self.length), rng.integers(NUM_DISTRACTORS)
            level[:, kind] = np.maximum(level[:, kind], self.coverage(start, start + rng.uniform(*durations)))
        return level
