"""The plain things that one room hands to the next."""

from dataclasses import dataclass, replace
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Action:
    """A ground-truth instance; start and end in seconds."""

    label: str
    start: float
    end: float


class Proposal(NamedTuple):
    """A predicted instance; start and end in seconds, a higher score is surer. A tuple, as there are many."""

    label: str
    start: float
    end: float
    score: float


@dataclass(frozen=True, slots=True)
class Video:
    """One sequence: its tags, and its actions where somebody marked them. Duration in seconds, None if unknown."""

    id: str
    subset: str
    labels: tuple[str, ...]
    duration: float | None = None
    actions: tuple[Action, ...] = ()

    def without_segments(self) -> "Video":
        """The same video with its tags alone: all that training may see."""
        return replace(self, actions=())


Proposals = dict[str, list[Proposal]]  # video id -> its proposals
