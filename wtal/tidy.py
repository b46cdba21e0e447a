"""A video's proposals made a timeline: none over another but where classes may be, within limits."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

from wtal.errors import ConfigError
from wtal.records import Proposal, Video

REST = 0.5  # of a proposal must be left when surer ones keep their time
MINUTE = 60.0


@dataclass(frozen=True)
class Limits:
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
        if not 0 <= self.shortest <= (math.inf if self.longest is None else self.longest):
            raise ConfigError(
                f"nothing is between {self.shortest:g} s and {self.longest} s long; let shortest be at most longest"
            )


def tidy(proposals: Iterable[Proposal], limits: Limits) -> list[Proposal]:
    """Proposals of which none lies over another, within the limits, by time; the surest has the first choice.

    Where a surer one was there before, the longest piece that is left stays if it is half or more of the whole:
    edges are rough, and to drop a neighbour for an overlapping second would lose it.
    """
    together = {frozenset(pair) for pair in limits.together}
    longest = math.inf if limits.longest is None else limits.longest
    room = dict[float, int]()
    kept: list[Proposal] = []
    for proposal in sorted(proposals, key=lambda p: (-p.score, p.start, p.end, p.label)):
        rivals = [k for k in kept if _overlap(k, proposal) and {k.label, proposal.label} not in together]
        rest = _rest(proposal, rivals)
        if rest is None or not limits.shortest <= rest.end - rest.start <= longest:
            continue
        minute = rest.start // MINUTE
        room[minute] = room.get(minute, 0) + 1
        if limits.per_minute is None or room[minute] <= limits.per_minute:
            kept.append(rest)
    return by_time(kept)


def by_time(proposals: Iterable[Proposal]) -> list[Proposal]:
    """In the order in which they begin, whatever order they came in."""
    return sorted(proposals, key=lambda p: (p.start, p.end, p.label, p.score))


def together(videos: Iterable[Video]) -> tuple[tuple[str, str], ...]:
    """Pairs of classes of which somewhere two actions share more than half of the shorter one."""
    pairs = set[tuple[str, str]]()
    for video in videos:
        for a, b in combinations(sorted(video.actions, key=lambda action: action.label), 2):
            shared = min(a.end, b.end) - max(a.start, b.start)
            if a.label != b.label and shared > 0.5 * min(a.end - a.start, b.end - b.start):
                pairs.add((a.label, b.label))
    return tuple(sorted(pairs))


def _overlap(a: Proposal, b: Proposal) -> bool:
    return a.start < b.end and b.start < a.end


def _rest(proposal: Proposal, rivals: Iterable[Proposal]) -> Proposal | None:
    """The longest piece that the rivals leave, if that is enough."""
    pieces = [(proposal.start, proposal.end)]
    for rival in rivals:
        sides = [side for a, b in pieces for side in ((a, min(b, rival.start)), (max(a, rival.end), b))]
        pieces = [(a, b) for a, b in sides if a < b]
    start, end = max(pieces, key=lambda piece: piece[1] - piece[0], default=(0.0, 0.0))
    enough = pieces and end - start >= REST * (proposal.end - proposal.start)
    return proposal._replace(start=start, end=end) if enough else None
