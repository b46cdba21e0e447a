"""The data structures that all packages share: segments, videos, proposals and the names of subsets."""

from dataclasses import dataclass, replace
from typing import NamedTuple

SUBSETS = {  # accepted name -> name
    "train": "training",
    "training": "training",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "testing",
    "testing": "testing",
}


class Segment(NamedTuple):
    """One action instance, annotated or predicted.

    An annotated segment whose end is its start is a point: a time inside an instance whose start and end are unknown.

    A tuple rather than a dataclass because predictions contain tens of thousands of them.

    Attributes:
        label: The class.
        start: Start in seconds.
        end: End in seconds.
        score: The score of a predicted segment, None for an annotated one.
    """

    label: str
    start: float
    end: float
    score: float | None = None

    @property
    def confidence(self) -> float:
        """The score of a predicted segment; 1.0 for an annotated segment, which has no score."""
        return 1.0 if self.score is None else self.score

    @property
    def is_point(self) -> bool:
        """Whether only a time inside the instance is known."""
        return self.start == self.end


@dataclass(frozen=True, slots=True)
class Video:
    """One video, or one sequence of another sensor.

    Attributes:
        id: Its id, which is also the name of its feature file.
        subset: `training`, `validation`, `testing`, or another name.
        labels: The video-level tags.
        duration: The duration in seconds, None if unknown.
        segments: The annotated segments and points; empty if only tags are known.
        complete: Whether the timeline is marked as complete: nothing happens outside the segments. The timelines of
            videos that are scored count as complete without the mark.
    """

    id: str
    subset: str
    labels: tuple[str, ...]
    duration: float | None = None
    segments: tuple[Segment, ...] = ()
    complete: bool = False

    def without_segments(self) -> "Video":
        """The video with its tags only."""
        return replace(self, segments=(), complete=False)


Proposals = dict[str, list[Segment]]
"""Video id -> its proposals."""
