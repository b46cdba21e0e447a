"""How large a made-up data set is, and how hard."""

from dataclasses import dataclass

from wtal.errors import ConfigError
from wtal.timeline import SnippetClock

NAMES = ("jump", "throw", "spin", "lift", "kick", "climb", "wave", "swing", "push", "roll", "catch", "bow")
GAP = 3.0  # snippets, at least, between two actions
ROOM = 0.7  # share of a sequence that actions and the gaps between them may fill
LONG = (1.0, 1.7)  # how much longer a class's actions may be than another's


@dataclass(frozen=True)
class SyntheticConfig:
    """How large the data set is, and how hard. Strengths are lengths of vectors; noise is per dimension.

    Raises ConfigError when a subset cannot show every class or the actions cannot fit.
    """

    classes: int = 8
    training: int = 120  # sequences
    validation: int = 40
    testing: int = 40
    snippets: tuple[int, int] = (60, 160)  # length of a sequence
    modalities: tuple[int, ...] = (32, 32)  # width of each
    snippet_seconds: float = 0.5
    offset_seconds: float = 0.25
    without_action: float = 0.05  # share of sequences that are background only
    second_label: float = 0.4  # chance that a sequence carries a second class
    actions: tuple[int, int] = (1, 3)  # of each class that a sequence carries
    action_snippets: tuple[int, int] = (6, 18)  # before the class's own factor of 1 to 1.7
    early: float = 4.0  # strength of an action's first phase, by which its class is easily told
    late: float = 2.0  # of its second, longer phase: the completeness problem
    twin: float = 0.5  # how much of the second phase two classes share
    style: float = 0.8  # of the way in which one video does an action, within the class's own subspace
    context: float = 3.2  # of the scene around a class's actions: the context-confusion problem
    context_with: float = 0.8  # chance of the scene in a sequence that carries its class
    context_without: float = 0.25  # and in one that does not
    drift: float = 3.0  # of the background's slow walk
    distractor: float = 4.0  # of short events that belong to no class
    distractors: tuple[int, int] = (1, 4)  # in a sequence
    noise: float = 0.45

    def __post_init__(self) -> None:
        for name, sequences in self.subsets().items():
            if sequences - self.background_only(sequences) < self.classes:
                raise ConfigError(
                    f"synthetic.{name} is {sequences}; {self.classes} classes need more sequences to occur in"
                )
        longest = self.action_snippets[1] * LONG[1] + GAP
        if longest > ROOM * self.snippets[0]:
            raise ConfigError(
                f"synthetic.action_snippets is {self.action_snippets}; "
                f"sequences of {self.snippets[0]} snippets hold at most {self._fits()}"
            )
        if self.snippet_seconds <= 0:
            raise ConfigError(f"synthetic.snippet_seconds is {self.snippet_seconds}; use a number above 0")
        if self.classes < 1 or not self.modalities or min(self.modalities) < 1:
            raise ConfigError("synthetic: use at least one class and one modality of at least one dimension")

    def _fits(self) -> int:
        return max(0, int((ROOM * self.snippets[0] - GAP) / LONG[1]))

    def subsets(self) -> dict[str, int]:
        """Sequences in each subset."""
        return {"training": self.training, "validation": self.validation, "testing": self.testing}

    def background_only(self, sequences: int) -> int:
        """How many of so many sequences carry no label."""
        return int(self.without_action * sequences)

    def class_names(self) -> tuple[str, ...]:
        """The labels, in order."""
        return tuple(NAMES[c] if c < len(NAMES) else f"action_{c}" for c in range(self.classes))

    def clock(self) -> SnippetClock:
        """Where snippets lie in seconds."""
        return SnippetClock(self.snippet_seconds, self.offset_seconds)
