"""How many videos of a project are tagged, and what is still needed."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from wtal.core.text import format_list
from wtal.data.problems import abbreviate

GOAL = 5  # tagged videos of each class
MAX_NAMED = 3  # classes in a summary


@dataclass(frozen=True)
class TagSummary:
    """How many videos are tagged, and what is still needed.

    Attributes:
        videos: Number of videos.
        tagged: Number of tagged videos.
        counts: Number of tagged videos of each class, by class name; 0 for a class without videos.
        needed: What should still be tagged, one sentence part each; empty if there are enough tags.
    """

    videos: int
    tagged: int
    counts: Mapping[str, int]
    needed: tuple[str, ...]

    @property
    def can_train(self) -> bool:
        """Whether a model can be trained: some video has a class."""
        return any(self.counts.values())

    @classmethod
    def from_tags(cls, tags: Iterable[Sequence[str] | None], classes: Iterable[str]) -> "TagSummary":
        """The summary of videos.

        Args:
            tags: The labels of each video, None for a video that is not tagged.
            classes: All classes.
        """
        tags = list(tags)
        counts = Counter(label for labels in tags for label in labels or ())
        counts.update(dict.fromkeys(classes, 0))
        tagged = sum(labels is not None for labels in tags)
        return cls(len(tags), tagged, dict(sorted(counts.items())), tuple(_needed(counts, tagged)))

    def __str__(self) -> str:
        return "; ".join([f"{self.tagged} of {self.videos} videos tagged", *self.needed])


def _needed(counts: Mapping[str, int], tagged: int) -> list[str]:
    """What should still be tagged."""
    rare = sorted((label for label in counts if counts[label] < GOAL), key=lambda label: counts[label])
    needed = [f"{abbreviate(repr(label))} has {counts[label]}" for label in rare]
    if len(needed) > MAX_NAMED:
        more = len(needed) - MAX_NAMED
        needed[MAX_NAMED:] = [f"{more} more {'class has' if more == 1 else 'classes have'} too few"]
    parts = [f"{', '.join(needed)}, aim for {GOAL}"] if needed else []
    if not counts:
        parts.append("no class yet")
    if everywhere := [label for label in sorted(counts) if tagged and counts[label] == tagged]:
        parts.append(
            f"tag videos without {format_list([abbreviate(repr(label)) for label in everywhere], MAX_NAMED)} too"
        )
    return parts
