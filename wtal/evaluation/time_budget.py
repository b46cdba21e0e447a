"""Time budgets: how often each class occurs, for how long, and during which share of the recording.

A *bout* is a segment with a duration. A segment whose end is its start is a *point*: it is counted, and adds no time.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import TypeVar

from wtal.core.structures import Segment

Time = TypeVar("Time", int, float)

DURATION_TOLERANCE = 0.05  # seconds by which a bout may end after the recording: the duration of one frame at 20 fps


@dataclass(frozen=True, slots=True)
class ClassBudget:
    """The time budget of one class, in one video or in several.

    Attributes:
        bouts: Number of segments with a duration.
        points: Number of segments without a duration.
        total: Sum of the durations of the bouts in seconds. Overlapping bouts each count.
        mean: Mean duration of a bout in seconds, None without bouts.
        median: Median duration of a bout in seconds, None without bouts.
        occupied: Seconds of the recording during which the class occurs. Overlapping bouts count once.
        share: `occupied` as a share of the recording, None if the duration of a recording is unknown.
    """

    bouts: int
    points: int
    total: float
    mean: float | None
    median: float | None
    occupied: float
    share: float | None


@dataclass(frozen=True)
class TimeBudget:
    """The time budgets of annotated or predicted videos.

    Attributes:
        videos: The budget of each class in each video, also of classes that do not occur in it.
        overall: The budget of each class over all videos.
        duration: Seconds of all recordings, None if that of one is unknown.
        untimed: Ids of the videos of unknown duration.
        overlapping: Number of bouts that begin during another bout of their class.
        beyond_end: Number of bouts that end after their recording.
    """

    videos: Mapping[str, Mapping[str, ClassBudget]]
    overall: Mapping[str, ClassBudget]
    duration: float | None
    untimed: tuple[str, ...]
    overlapping: int
    beyond_end: int

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes in alphabetical order."""
        return tuple(self.overall)


def time_budget(
    segments: Mapping[str, Sequence[Segment]],
    durations: Mapping[str, float | None] | None = None,
    classes: Iterable[str] = (),
) -> TimeBudget:
    """Compute the time budgets of all classes in all videos.

    Args:
        segments: The segments of each video, in seconds from the start of the recording. A video without segments has
            an empty list.
        durations: The duration of each video in seconds; missing or None if unknown.
        classes: Classes to list even if they have no segments.
    """
    durations = durations or {}
    labels = sorted({*classes, *(segment.label for group in segments.values() for segment in group)})
    seconds = {id: durations.get(id) for id in segments}
    by_class = {id: _group(group, labels) for id, group in segments.items()}
    untimed = tuple(id for id, duration in seconds.items() if duration is None)
    bouts = [(seconds[id], group) for id, groups in by_class.items() for group in map(_bouts, groups.values())]
    return TimeBudget(
        videos={
            id: {label: class_budget([group], [seconds[id]]) for label, group in groups.items()}
            for id, groups in by_class.items()
        },
        overall={
            label: class_budget([groups[label] for groups in by_class.values()], list(seconds.values()))
            for label in labels
        },
        duration=None if untimed else sum(duration for duration in seconds.values() if duration is not None),
        untimed=untimed,
        overlapping=sum(_count_overlapping(group) for _, group in bouts),
        beyond_end=sum(
            segment.end > duration + DURATION_TOLERANCE
            for duration, group in bouts
            if duration is not None
            for segment in group
        ),
    )


def class_budget(segments: Sequence[Sequence[Segment]], durations: Sequence[float | None]) -> ClassBudget:
    """The time budget of one class.

    Args:
        segments: For each video its segments of this class.
        durations: For each video its duration in seconds, None if unknown. Time outside the recording is not part of
            `occupied`.
    """
    bouts = [_bouts(group) for group in segments]
    lengths = [segment.end - segment.start for group in bouts for segment in group]
    occupied = sum(
        (
            _length_within(merge_intervals((segment.start, segment.end) for segment in group), duration)
            for group, duration in zip(bouts, durations, strict=True)
        ),
        0.0,
    )
    recorded = [duration for duration in durations if duration is not None]
    total_recorded = sum(recorded)
    return ClassBudget(
        bouts=len(lengths),
        points=sum(map(len, segments)) - len(lengths),
        total=sum(lengths, 0.0),
        mean=fmean(lengths) if lengths else None,
        median=median(lengths) if lengths else None,
        occupied=occupied,
        share=occupied / total_recorded if len(recorded) == len(durations) and total_recorded > 0 else None,
    )


def merge_intervals(intervals: Iterable[tuple[Time, Time]]) -> list[tuple[Time, Time]]:
    """The union of intervals as ascending intervals that neither overlap nor touch."""
    merged: list[tuple[Time, Time]] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((start, end))
    return merged


def _group(segments: Iterable[Segment], labels: Iterable[str]) -> dict[str, list[Segment]]:
    groups: dict[str, list[Segment]] = {label: [] for label in labels}
    for segment in segments:
        groups[segment.label].append(segment)
    return groups


def _bouts(segments: Iterable[Segment]) -> list[Segment]:
    return [segment for segment in segments if not segment.is_point]


def _length_within(intervals: Iterable[tuple[float, float]], duration: float | None) -> float:
    """The length of disjoint intervals inside a recording."""
    if duration is None:
        return sum(end - start for start, end in intervals)
    return sum(max(0.0, min(end, duration) - max(start, 0.0)) for start, end in intervals)


def _count_overlapping(bouts: Iterable[Segment]) -> int:
    count, last_end = 0, float("-inf")
    for segment in sorted(bouts, key=lambda segment: segment.start):
        count += segment.start < last_end
        last_end = max(last_end, segment.end)
    return count
