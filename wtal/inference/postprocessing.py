"""From the proposals of a video to a timeline without overlaps, within constraints on number and duration."""

import math
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from wtal.core.errors import ConfigError
from wtal.core.structures import Segment, Video
from wtal.inference.proposals import MIN_REMAINING_FRACTION

MIN_SHARED_FRACTION = 0.5  # classes co-occur if two segments share more than this of the shorter one
SECONDS_PER_MINUTE = 60.0
RELATIVE_SCORE_THRESHOLD = 0.4  # without calibration, segments with at least this share of the highest score are shown


@dataclass(frozen=True)
class SegmentConstraints:
    """What a timeline may contain.

    Attributes:
        max_per_minute: How many segments may start in each minute of the video; None: any number.
        min_duration: In seconds.
        max_duration: In seconds; None: any.
        co_occurring: Pairs of classes whose segments may overlap.
    """

    max_per_minute: int | None = None
    min_duration: float = 0.0
    max_duration: float | None = None
    co_occurring: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.max_per_minute is not None and self.max_per_minute < 1:
            raise ConfigError(
                f"at most {self.max_per_minute} segments per minute", hint="use 1 or more", code="invalid-value"
            )
        bounds = [self.min_duration, *([] if self.max_duration is None else [self.max_duration])]
        if not all(0 <= bound < math.inf for bound in bounds) or bounds != sorted(bounds):
            raise ConfigError(
                f"durations of {' to '.join(f'{bound:g}' for bound in bounds)} s",
                hint="use seconds, with the minimum not above the maximum",
                code="invalid-value",
            )


def remove_overlaps(proposals: Iterable[Segment], constraints: SegmentConstraints) -> list[Segment]:
    """Choose segments that do not overlap and satisfy the constraints, the highest-scoring ones first.

    A segment that overlaps chosen ones is cut to the longest piece that is left, if that is at least 70 % of it:
    boundaries are inexact, and dropping a neighbor because of a short overlap would lose it.

    Args:
        proposals: The proposals of one video.
        constraints: What the result may contain.

    Returns:
        Segments, sorted by time.
    """
    co_occurring = {frozenset(pair) for pair in constraints.co_occurring}
    may_overlap = {label for pair in co_occurring for label in pair}
    max_duration = math.inf if constraints.max_duration is None else constraints.max_duration
    per_minute = defaultdict[float, int](int)
    # The chosen segments by time, in lanes without overlaps: one for each class that may overlap others, and one
    # (None) for all other classes.
    lanes = defaultdict[str | None, list[Segment]](list)
    for proposal in sorted(proposals, key=lambda p: (-p.confidence, p.start, p.end, p.label)):
        obstacles = [lane for label, lane in lanes.items() if frozenset((label, proposal.label)) not in co_occurring]
        rest = _longest_rest(proposal, obstacles)
        if rest is None or not constraints.min_duration <= rest.end - rest.start <= max_duration:
            continue
        minute = rest.start // SECONDS_PER_MINUTE
        per_minute[minute] += 1
        if constraints.max_per_minute is None or per_minute[minute] <= constraints.max_per_minute:
            lane = lanes[rest.label if rest.label in may_overlap else None]
            insort(lane, rest, key=lambda p: (p.start, p.end))
    return sort_by_time(segment for lane in lanes.values() for segment in lane)


def top_non_overlapping(proposals: Sequence[Segment]) -> list[Segment]:
    """The proposals to show without calibration: close to the highest score, and none over a higher-scoring one."""
    kept: list[Segment] = []
    min_score = RELATIVE_SCORE_THRESHOLD * max((p.confidence for p in proposals), default=0)
    for proposal in sorted(proposals, key=lambda p: -p.confidence):
        if proposal.confidence < min_score:
            break
        if not any(proposal.start < other.end and other.start < proposal.end for other in kept):
            kept.append(proposal)
    return kept


def sort_by_time(proposals: Iterable[Segment]) -> list[Segment]:
    """Sort by start; the result does not depend on the order of the input."""
    return sorted(proposals, key=lambda p: (p.start, p.end, p.label, p.score))


def co_occurring_classes(videos: Iterable[Video]) -> tuple[tuple[str, str], ...]:
    """Pairs of classes with annotated segments that share more than half of the shorter one."""
    pairs = set[tuple[str, str]]()
    for video in videos:
        segments = sorted(video.segments, key=lambda segment: segment.start)
        labels = np.array([segment.label for segment in segments], object)
        start, end = np.array([(segment.start, segment.end) for segment in segments]).reshape(-1, 2).T
        for index, stop in enumerate(np.searchsorted(start, end).tolist()):
            rows = slice(index + 1, stop)  # those that begin before this one ends
            shared = np.minimum(end[rows], end[index]) - start[rows]
            shorter = np.minimum(end[rows] - start[rows], end[index] - start[index])
            others = set(labels[rows][shared > MIN_SHARED_FRACTION * shorter]) - {labels[index]}
            pairs.update((min(labels[index], other), max(labels[index], other)) for other in others)
    return tuple(sorted(pairs))


def _longest_rest(proposal: Segment, lanes: Collection[Sequence[Segment]]) -> Segment | None:
    """The longest piece of a proposal outside the lanes; None if that is too short."""
    length = proposal.end - proposal.start
    # A piece of more than half contains the middle.
    start, end = _free_interval(proposal, lanes, proposal.start + length / 2)
    return proposal._replace(start=start, end=end) if end - start >= MIN_REMAINING_FRACTION * length else None


def _free_interval(proposal: Segment, lanes: Iterable[Sequence[Segment]], time: float) -> tuple[float, float]:
    """The part of a proposal around a time that overlaps no segment of the lanes."""
    start, end = proposal.start, proposal.end
    for lane in lanes:
        following = bisect_left(lane, time, key=lambda segment: segment.start)
        if following > 0:
            start = max(start, lane[following - 1].end)
        if following < len(lane):
            end = min(end, lane[following].start)
    return start, end
