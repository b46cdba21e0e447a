"""Results of an evaluation: mAP, what was counted, and notes on how far the numbers can be compared."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wtal.core.errors import ConfigError, DataError
from wtal.core.io import read_json
from wtal.core.text import format_count, format_list
from wtal.evaluation.protocols import UNKNOWN_CHECKPOINT, Protocol


@dataclass(frozen=True)
class EvaluationCounts:
    """What was scored, and what was not."""

    videos: int
    instances: int
    proposals: int
    videos_left_out: tuple[str, ...] = ()  # by the protocol
    instances_left_out: int = 0  # in those videos
    instances_of_no_length: int = 0  # scored, but nothing can match them
    videos_without_proposals: int = 0
    unknown_videos: tuple[str, ...] = ()  # predicted, but not in the ground truth
    proposals_elsewhere: int = 0  # in excluded or unknown videos; scored as false positives
    proposals_of_no_length: int = 0  # scored as false positives
    proposals_of_other_subsets: int = 0  # not scored
    proposals_of_other_labels: int = 0  # not scored: no ground-truth segment has their label
    proposals_ambiguous: int = 0  # not scored
    labels_without_truth: tuple[str, ...] = ()


@dataclass(frozen=True)
class EvaluationResult:
    """mAP under a named protocol, as fractions, with what is needed to interpret it.

    Attributes:
        protocol: Name of the protocol.
        subset: The scored subset.
        tious: tIoU thresholds.
        map: mAP at each threshold.
        averages: (lowest, highest) tIoU of each reported average. The last one is the main average.
        per_class: Average precision at each threshold, by label.
        instances_per_class: Number of ground-truth segments, by label.
        counts: What was scored, and what was not.
        notes: What to know before comparing the result with others.
        checkpoint: Which checkpoint made the proposals, such as "last" or "best on test".
    """

    protocol: str
    subset: str
    tious: tuple[float, ...]
    map: tuple[float, ...]
    averages: tuple[tuple[float, float], ...]
    per_class: dict[str, tuple[float, ...]]
    instances_per_class: dict[str, int]
    counts: EvaluationCounts
    notes: tuple[str, ...] = ()
    checkpoint: str = UNKNOWN_CHECKPOINT

    @property
    def tiou_range(self) -> str:
        """Range of the tIoU thresholds, such as `0.1:0.7`: what `average()` is over."""
        return format_range(self.tious[0], self.tious[-1])

    @property
    def main_average(self) -> float:
        """The last average that the protocol reports, over its whole tIoU range."""
        return self.average(*self.averages[-1])

    def average(self, low: float = 0.0, high: float = 1.0) -> float:
        """Mean of the mAP at the thresholds from low to high, both included.

        Raises:
            ConfigError: No threshold is in this range.
        """
        values = [value for value, inside in zip(self.map, between(self.tious, low, high), strict=True) if inside]
        if not values:
            raise ConfigError(
                f"no tIoU from {low:g} to {high:g} was scored",
                hint=f"choose from {', '.join(f'{tiou:g}' for tiou in self.tious)}",
                code="invalid-value",
            )
        return sum(values) / len(values)

    def to_json(self) -> dict[str, Any]:
        """A plain dict for `results.json`; fractions at full precision."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any], path: Path | None = None) -> "EvaluationResult":
        """The inverse of `to_json`; `path` is named in the error.

        Raises:
            DataError: The value is something else.
        """
        try:
            fields = {name: _to_tuples(item) for name, item in value.items()}
            return cls(**fields | {"counts": EvaluationCounts(**fields["counts"])})
        except (AttributeError, KeyError, TypeError) as error:
            raise DataError(
                f"not an evaluation result of wtal ({error})", path=path, hint="evaluate again", code="invalid-results"
            ) from error


def read_result(path: Path) -> EvaluationResult:
    """Read `results.json`.

    Raises:
        DataError: The file cannot be read or holds something else.
    """
    return EvaluationResult.from_json(read_json(path), path)


def format_range(low: float, high: float) -> str:
    """A tIoU range as in papers: `0.1:0.7`."""
    return f"{low:g}:{high:g}"


def between(tious: Sequence[float], low: float, high: float) -> list[bool]:
    """Which of the tIoUs lie from low to high, both included."""
    return [low - 1e-9 <= tiou <= high + 1e-9 for tiou in tious]


def subset_notes(scored: str, available: Collection[str]) -> list[str]:
    """Note which subset was scored if several were available and none was requested."""
    if len(available) < 2:
        return []
    names = ", ".join(map(quote_subset, sorted(available)))
    return [f"scored {quote_subset(scored)} by default; the ground truth contains {names}"]


def comparison_notes(
    protocol: Protocol,
    counts: EvaluationCounts,
    num_classes: int,
    has_ambiguous: bool,
    classes_without_proposals: Sequence[str],
) -> list[str]:
    """Notes on the comparability of the result, one sentence each."""
    notes = []
    expected = protocol.expected_counts
    actual = {"videos": counts.videos, "instances": counts.instances, "classes": num_classes}
    if any(actual[name] != count for name, count in expected.items()):
        expected_text = " and ".join(f"{count:,} {name}" for name, count in expected.items())
        actual_text = " and ".join(f"{actual[name]:,}" for name in expected)
        notes.append(
            f"NOT COMPARABLE: {protocol.name} is defined for {expected_text}; this ground truth has {actual_text}"
        )
    if protocol.removes_ambiguous and not has_ambiguous:
        notes.append(
            f"NO AMBIGUOUS LIST: all proposals are scored; {protocol.name} removes those that overlap an ambiguous "
            "interval"
        )
    if not protocol.removes_ambiguous and has_ambiguous:
        notes.append(f"{protocol.name} does not use the list of ambiguous intervals; all proposals are scored")
    if counts.proposals_elsewhere:
        notes.append(
            f"{format_count(counts.proposals_elsewhere, 'proposal')} in videos that are excluded or not in the ground "
            "truth, counted as false positives, as in the public evaluators"
        )
    if counts.unknown_videos:
        notes.append(
            f"not in the ground truth: {format_count(len(counts.unknown_videos), 'predicted video')}, "
            f"{format_list(counts.unknown_videos)}"
        )
    if counts.proposals_of_other_subsets:
        notes.append(
            f"not scored: {format_count(counts.proposals_of_other_subsets, 'proposal')} in videos of other subsets"
        )
    if counts.proposals_of_other_labels:
        notes.append(
            f"not scored: {format_count(counts.proposals_of_other_labels, 'proposal')} with a label that the ground "
            f"truth lacks: {format_list(counts.labels_without_truth)}"
        )
    if counts.proposals_ambiguous:
        notes.append(
            f"not scored: {format_count(counts.proposals_ambiguous, 'proposal')} that overlap an ambiguous interval"
        )
    if counts.instances_of_no_length:
        notes.append(
            f"{format_count(counts.instances_of_no_length, 'instance')} of zero length under this protocol, which "
            "nothing can match"
        )
    if counts.videos_without_proposals:
        notes.append(f"{format_count(counts.videos_without_proposals, 'video')} without proposals")
    if classes_without_proposals:
        original = "" if protocol.prefers_best else "; the original W-TALC code would return 0 for all classes"
        notes.append(f"no proposals for {format_list(classes_without_proposals)}: average precision 0{original}")
    return notes


def quote_subset(subset: str) -> str:
    """The name of a subset in a message."""
    return f'"{subset}"' if subset else "videos without a subset"


def summary_lines(result: EvaluationResult) -> list[str]:
    """What was scored, and the notes of the result, one line each."""
    counts = result.counts
    lines = [
        f"{format_count(counts.videos, 'video')}, {format_count(counts.instances, 'instance')} of "
        f"{format_count(len(result.per_class), 'class', 'classes')}, {format_count(counts.proposals, 'proposal')}"
    ]
    if counts.videos_left_out:
        lines.append(
            f"excluded by {result.protocol}: {', '.join(counts.videos_left_out)} "
            f"with {format_count(counts.instances_left_out, 'instance')}"
        )
    return [*lines, *result.notes]


def _to_tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _to_tuples(item) for key, item in value.items()}
    return tuple(map(_to_tuples, value)) if isinstance(value, list | tuple) else value
