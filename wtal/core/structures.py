"""Where seconds and snippets meet, and how much two intervals share.

FROM: The plain things that one room hands to the next.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple


class Segment(NamedTuple):
    """One action instance: its label, start and end in seconds, and a score if it was predicted.

    A tuple rather than a dataclass because predictions hold tens of thousands of them.
    """

    label: str
    start: float
    end: float
    score: float | None = None

    @property
    def confidence(self) -> float:
        """The score of a predicted segment; 1.0 for an annotated segment, which has no score."""
        return 1.0 if self.score is None else self.score


@dataclass(frozen=True, slots=True)
class Video:
    """One sequence: its tags, and its actions where somebody marked them. Duration in seconds, None if unknown."""

    id: str
    subset: str
    labels: tuple[str, ...]
    duration: float | None = None
    segments: tuple[Segment, ...] = ()

    def without_segments(self) -> "Video":
        """The same video with its tags alone: all that training may see."""
        return replace(self, segments=())


Proposals = dict[str, list[Segment]]  # video id -> its proposals


SUBSETS = {
    "train": "training",
    "training": "training",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "testing",
    "testing": "testing",
}
