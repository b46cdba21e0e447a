"""What an evaluation hands on: the numbers, what was counted, and what to know before comparing them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from wtal.core.errors import ConfigError, DataError
from wtal.evaluation.protocols import Protocol


@dataclass(frozen=True)
class EvaluationCounts:
    """What was scored; what was not, and why."""

    videos: int
    instances: int
    proposals: int
    videos_left_out: tuple[str, ...] = ()  # by the protocol
    instances_left_out: int = 0  # in those videos
    instances_of_no_length: int = 0  # scored, but nothing can match them
    videos_without_proposals: int = 0
    proposals_elsewhere: int = 0  # scored, as false positives: their video is left out or unknown
    proposals_of_no_length: int = 0  # scored, as false positives
    proposals_of_other_subsets: int = 0  # not scored
    proposals_of_other_labels: int = 0  # not scored: no action has their label
    proposals_ambiguous: int = 0  # not scored
    labels_without_truth: tuple[str, ...] = ()


@dataclass(frozen=True)
class EvaluationResult:
    """mAP under a named protocol, as fractions, with what is needed to judge the number."""

    protocol: str
    subset: str
    tious: tuple[float, ...]
    map: tuple[float, ...]
    averages: tuple[tuple[float, float], ...]  # (low, high) of the averages that the protocol reports
    per_class: dict[str, tuple[float, ...]]  # label -> average precision at each tIoU
    instances_per_class: dict[str, int]
    counts: EvaluationCounts
    notes: tuple[str, ...] = ()
    checkpoint: str = "not said"  # whose proposals these are: "last", or "best on test"

    def average(self, low: float = 0.0, high: float = 1.0) -> float:
        """Mean mAP over the tIoUs from low to high, both included. Raises ConfigError if none lies there."""
        chosen = [value for value, inside in zip(self.map, between(self.tious, low, high), strict=True) if inside]
        if not chosen:
            raise ConfigError(f"no tIoU between {low} and {high} was scored, only {self.tious}")
        return sum(chosen) / len(chosen)

    def to_json(self) -> dict[str, Any]:
        """A plain dict, fractions at full precision, for `results.json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "EvaluationResult":
        """What `to_json` gave, back from disk. Raises DataError when it is something else."""
        try:
            fields = {name: _tuples(item) for name, item in value.items()}
            return cls(**fields | {"counts": EvaluationCounts(**fields["counts"])})
        except (AttributeError, KeyError, TypeError) as error:
            raise DataError(f"these are not evaluation results of wtal ({error}); evaluate again") from error


def between(tious: Sequence[float], low: float, high: float) -> list[bool]:
    """Which of the tIoUs lie from low to high, both included."""
    return [low - 1e-9 <= tiou <= high + 1e-9 for tiou in tious]


def subset_notes(chosen: str, there: Collection[str]) -> list[str]:
    """Which subset was scored, where nobody said which and there was a choice."""
    if len(there) < 2:
        return []
    return [f"scored {named(chosen)}, one of {', '.join(map(named, sorted(there)))}; none was asked for"]


def comparison_notes(
    rules: Protocol, counts: EvaluationCounts, classes: int, ambiguous_given: bool, silent: Sequence[str]
) -> list[str]:
    """What a reader must know before comparing the number with another, a sentence each."""
    notes = []
    there = {"videos": counts.videos, "instances": counts.instances, "classes": classes}
    if any(there[what] != count for what, count in rules.promise.items()):
        promised = " and ".join(f"{count:,} {what}" for what, count in rules.promise.items())
        found = " and ".join(f"{there[what]:,}" for what in rules.promise)
        notes.append(f"NOT COMPARABLE: {rules.name} means {promised}, this ground truth gives {found}")
    if rules.ambiguous and not ambiguous_given:
        notes.append(f"NO AMBIGUOUS LIST given, scoring all proposals; {rules.name} removes some where there is one")
    if not rules.ambiguous and ambiguous_given:
        notes.append(f"{rules.name} has no use for the ambiguous list; scoring all proposals")
    if counts.proposals_elsewhere:
        notes.append(
            f"{counts.proposals_elsewhere:,} proposals are in videos that are left out or not in the ground "
            "truth; they count as false positives, as in the public evaluators"
        )
    if counts.proposals_of_other_subsets:
        notes.append(f"{counts.proposals_of_other_subsets:,} proposals in videos of other subsets are left out")
    if counts.proposals_of_other_labels:
        notes.append(
            f"{counts.proposals_of_other_labels:,} proposals are left out, no action has their label: "
            f"{_some(counts.labels_without_truth)}"
        )
    if counts.proposals_ambiguous:
        notes.append(f"{counts.proposals_ambiguous:,} proposals overlap an ambiguous interval and are left out")
    if counts.instances_of_no_length:
        notes.append(f"{counts.instances_of_no_length:,} instances have no length as compared; nothing can match them")
    if counts.videos_without_proposals:
        notes.append(f"{counts.videos_without_proposals:,} videos have no proposal")
    if silent:
        original = "; the original W-TALC code would return 0 for everything" if not rules.best_first else ""
        notes.append(f"no proposal at all for {_some(silent)}, scored 0 each{original}")
    return notes


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def named(subset: str) -> str:
    """A subset as a message says it."""
    return f'"{subset}"' if subset else "videos without a subset"


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


def summary_lines(result: EvaluationResult) -> list[str]:
    """What was scored, and the notes of the evaluation, a line each."""
    counts = result.counts
    lines = [
        f"{counts.videos:,} videos, {counts.instances:,} instances of {len(result.per_class)} classes, "
        f"{counts.proposals:,} proposals"
    ]
    if counts.videos_left_out:
        lines.append(
            f"left out by {result.protocol}: {', '.join(counts.videos_left_out)} "
            f"with {counts.instances_left_out:,} instances"
        )
    return lines + list(result.notes)
