"""A video's proposals made a timeline: none over another but where classes may be, within limits."""

import math
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from wtal.core.errors import ConfigError
from wtal.core.structures import Segment, Video

MIN_REMAINING_FRACTION = 0.5  # of a proposal must be left when surer ones keep their time
MINUTE = 60.0


@dataclass(frozen=True)
class SegmentConstraints:
    """What a timeline may hold: how many begin in a minute of the clock, how short and how long, in seconds.

    Only the classes in `together`, pairs of names, may lie over each other.
    """

    per_minute: int | None = None
    shortest: float = 0.0
    longest: float | None = None
    together: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.per_minute is not None and self.per_minute < 1:
            raise ConfigError(f"at most {self.per_minute} a minute shows nothing; use 1 or more")
        bounds = [self.shortest, *([] if self.longest is None else [self.longest])]
        if not all(0 <= bound < math.inf for bound in bounds) or bounds != sorted(bounds):
            said = " to ".join(f"{bound:g}" for bound in bounds)
            raise ConfigError(f"nothing is {said} s long; use seconds, and let shortest be at most longest")


def remove_overlaps(proposals: Iterable[Segment], limits: SegmentConstraints) -> list[Segment]:
    """Proposals of which none lies over another, within the limits, by time; the surest has the first choice.

    Where a surer one was there before, the longest piece that is left stays if it is half or more of the whole:
    edges are rough, and to drop a neighbour for an overlapping second would lose it.
    """
    friends = {frozenset(pair) for pair in limits.together}
    some = {label for pair in friends for label in pair}
    longest = math.inf if limits.longest is None else limits.longest
    room = dict[float, int]()
    # What is kept, by time: of each class that may lie over others by itself, of all other classes together (None).
    lanes = defaultdict[str | None, list[Segment]](list)
    for proposal in sorted(proposals, key=lambda p: (-p.confidence, p.start, p.end, p.label)):
        against = [lane for label, lane in lanes.items() if frozenset((label, proposal.label)) not in friends]
        rest = _rest(proposal, against)
        if rest is None or not limits.shortest <= rest.end - rest.start <= longest:
            continue
        minute = rest.start // MINUTE
        room[minute] = room.get(minute, 0) + 1
        if limits.per_minute is None or room[minute] <= limits.per_minute:
            insort(lanes[rest.label if rest.label in some else None], rest, key=lambda p: (p.start, p.end))
    return sort_by_time(rest for lane in lanes.values() for rest in lane)


def sort_by_time(proposals: Iterable[Segment]) -> list[Segment]:
    """In the order in which they begin, whatever order they came in."""
    return sorted(proposals, key=lambda p: (p.start, p.end, p.label, p.score))


def co_occurring_classes(videos: Iterable[Video]) -> tuple[tuple[str, str], ...]:
    """Pairs of classes of which somewhere two actions share more than half of the shorter one."""
    pairs = set[tuple[str, str]]()
    for video in videos:
        actions = sorted(video.segments, key=lambda action: action.start)
        labels = np.array([action.label for action in actions], object)
        start, end = np.array([(action.start, action.end) for action in actions]).reshape(-1, 2).T
        for first, last in enumerate(np.searchsorted(start, end).tolist()):
            rows = slice(first + 1, last)  # those that begin before it ends
            shared = np.minimum(end[rows], end[first]) - start[rows]
            shorter = np.minimum(end[rows] - start[rows], end[first] - start[first])
            others = set(labels[rows][shared > 0.5 * shorter]) - {labels[first]}
            pairs.update((min(labels[first], other), max(labels[first], other)) for other in others)
    return tuple(sorted(pairs))


def _rest(proposal: Segment, lanes: Collection[Sequence[Segment]]) -> Segment | None:
    """The longest piece that the lanes leave, if that is enough."""
    length = proposal.end - proposal.start
    # A piece of half or more lies over the end of the first third or of the second: no other need be looked at.
    pieces = [_piece(proposal, lanes, at) for at in (proposal.start + length / 3, proposal.end - length / 3)]
    start, end = max(pieces, key=lambda piece: piece[1] - piece[0])
    return proposal._replace(start=start, end=end) if end - start >= MIN_REMAINING_FRACTION * length else None


def _piece(proposal: Segment, lanes: Iterable[Sequence[Segment]], at: float) -> tuple[float, float]:
    """What the lanes, each by time and none over another in it, leave of a proposal around a time."""
    start, end = proposal.start, proposal.end
    for lane in lanes:
        after = bisect_left(lane, at, key=lambda kept: kept.start)
        if after > 0:
            start = max(start, lane[after - 1].end)
        if after < len(lane):
            end = min(end, lane[after].start)
    return start, end
