"""From raw proposals to a timeline a person would believe: thresholds, and the evidence that they were chosen on.

`calibrate` gathers the evidence once, `Calibration.at` turns it into an operating point for any aim, `apply` cuts.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from wtal.errors import ConfigError, DataError
from wtal.matching import Intervals, find_hits
from wtal.protocols import find_protocol
from wtal.records import Action, Proposal, Proposals, Video
from wtal.tidy import Limits, tidy, together

F1 = "f1"
TIOU = 0.5  # from which on a proposal is right
FEW = 5  # with fewer instances one hit moves a class's F1 by more than a tenth: it takes the common threshold
MOST = 2**53  # instances that a float can count
SEGMENTS, LABELS = "segments", "video-level labels"


@dataclass(frozen=True)
class Reached:
    """How many were shown, how many of them were right, how many there were to be found."""

    shown: int
    right: int
    there: int

    @property
    def precision(self) -> float | None:
        """None where nothing is shown."""
        return self.right / self.shown if self.shown else None

    @property
    def recall(self) -> float | None:
        """None where there is nothing to be found."""
        return self.right / self.there if self.there else None

    @property
    def f1(self) -> float | None:
        """None where nothing is shown and nothing is there."""
        return 2 * self.right / (self.shown + self.there) if self.shown + self.there else None


@dataclass(frozen=True)
class Evidence:
    """Of one class: the scores of what could be shown, falling; which of it is right; how many there were to find.

    By segments that is each proposal and each action, by labels each video's surest proposal and each tag.
    """

    scores: tuple[float, ...]
    right: tuple[bool, ...]
    there: int

    def reached(self, threshold: float | None) -> Reached:
        """What a threshold shows."""
        shown = 0 if threshold is None else sum(score >= threshold for score in self.scores)
        return Reached(shown, sum(self.right[:shown]), self.there)

    def threshold(self, precision: float | None = None) -> float | None:
        """That of the best F1, or the lowest with a wanted precision; None, which shows nothing, where none has it.

        Halfway between two scores, so that neither is on the edge; equal scores stay together.
        """
        scores, hits = np.array(self.scores), np.cumsum(self.right)
        shown = np.arange(1, len(scores) + 1)
        below = np.append(scores, -np.inf)[1:]
        possible = (scores > below) & (hits > 0)
        if precision is not None:
            possible &= hits / shown >= precision
        if not possible.any():
            return None
        worth = 2 * hits / (shown + self.there) if precision is None else hits
        best = int(np.argmax(np.where(possible, worth, -1)))
        middle = (scores[best] + below[best]) / 2
        return float(
            middle if below[best] < middle else scores[best]
        )  # no lower score, or too near to have a middle


@dataclass(frozen=True)
class OperatingPoint:
    """The least score at which each class is shown (None: never), the limits, and what was reached by them.

    `aim` is "f1" or "precision=0.9"; `source` says whether segments or video-level labels were judged, in which
    `videos` of which `subset`.
    """

    aim: str
    source: str
    subset: str
    videos: int
    thresholds: Mapping[str, float | None]
    reached: Mapping[str, Reached]
    limits: Limits

    @property
    def whole(self) -> Reached:
        """Over all classes."""
        parts = self.reached.values()
        return Reached(sum(r.shown for r in parts), sum(r.right for r in parts), sum(r.there for r in parts))


@dataclass(frozen=True)
class Calibration:
    """All that an operating point is derived from; `model` is the fingerprint of the weights that it belongs to."""

    model: str
    source: str
    subset: str
    videos: int
    limits: Limits
    evidence: Mapping[str, Evidence]

    def at(self, aim: str) -> OperatingPoint:
        """The operating point of an aim. Raises ConfigError for one that there is not."""
        wanted = wanted_precision(aim)
        common = pooled(self.evidence.values()).threshold(wanted)
        thresholds = {
            label: common if found.there < FEW else found.threshold(wanted)
            for label, found in self.evidence.items()
        }
        reached = {label: found.reached(thresholds[label]) for label, found in self.evidence.items()}
        return OperatingPoint(aim, self.source, self.subset, self.videos, thresholds, reached, self.limits)

    def to_json(self) -> dict[str, Any]:
        """A plain dict for operating.json."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> "Calibration":
        """What `to_json` gave, back from disk. Raises DataError when it is something else."""
        try:
            limits = value["limits"] | {"together": tuple((str(a), str(b)) for a, b in value["limits"]["together"])}
            evidence = {label: _evidence(**entry) for label, entry in value["evidence"].items()}
            return cls(**value | {"videos": int(value["videos"]), "limits": Limits(**limits), "evidence": evidence})
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError, ConfigError) as error:
            raise DataError(f"is not what `wtal calibrate` writes ({error}); run it again") from error


def calibrate(
    found: Proposals, videos: Sequence[Video], classes: Sequence[str], model: str, subset: str, limits: Limits
) -> Calibration:
    """The evidence of these videos: of their segments where there are some, else of their labels alone.

    Segments count where a video has some for each of its labels. Where classes lie over each other in them, they
    may do so in a timeline. Raises DataError where the videos carry no label.
    """
    marked = [video for video in videos if set(video.labels) == {action.label for action in video.actions}]
    if any(video.actions for video in marked):
        limits = replace(limits, together=together(marked))
        source, videos, gather = SEGMENTS, marked, by_segments
    elif any(video.labels for video in videos):
        source, gather = LABELS, by_labels
    else:
        raise DataError(f"nothing in {subset} carries a label to choose by; name another --subset")
    timelines = [tidy(found.get(video.id, ()), limits) for video in videos]
    return Calibration(model, source, subset, len(videos), limits, gather(timelines, videos, classes))


def by_segments(
    timelines: Sequence[Sequence[Proposal]], videos: Sequence[Video], classes: Sequence[str]
) -> dict[str, Evidence]:
    """A proposal is right where it takes an action of its class at tIoU 0.5; a surer one takes first."""
    evidence = {}
    for label in classes:
        rows = [(place, p) for place, timeline in enumerate(timelines) for p in timeline if p.label == label]
        rows.sort(key=lambda row: -row[1].score)
        proposals = _columns(rows)
        actions = _columns([(place, a) for place, v in enumerate(videos) for a in v.actions if a.label == label])
        right = [False] * len(proposals)
        if len(actions):
            right = find_hits(proposals, actions, find_protocol("activitynet"), (TIOU,))[0].tolist()
        evidence[label] = Evidence(tuple(proposals.score.tolist()), tuple(right), len(actions))
    return evidence


def by_labels(
    timelines: Sequence[Sequence[Proposal]], videos: Sequence[Video], classes: Sequence[str]
) -> dict[str, Evidence]:
    """A video's surest proposal of a class is right where the video carries the label.

    That promises that a class shown is in the video. When, and how often, no label can say.
    """
    evidence = {}
    for label in classes:
        tagged = [label in video.labels for video in videos]
        scores = [[p.score for p in timeline if p.label == label] for timeline in timelines]
        rows = [(max(own), right) for own, right in zip(scores, tagged, strict=True) if own]
        evidence[label] = _ranked(rows, sum(tagged))
    return evidence


def apply(point: OperatingPoint, proposals: Sequence[Proposal]) -> list[Proposal]:
    """One video's proposals as a timeline, by time: tidied first, then cut.

    In this order a higher threshold only takes away, and what was reached holds for any threshold.
    """
    shown = [threshold for threshold in point.thresholds.values() if threshold is not None]
    sure = [p for p in proposals if p.score >= min(shown, default=math.inf)]  # the rest cannot take from these
    return [p for p in tidy(sure, point.limits) if _is_shown(p, point.thresholds)]


def pooled(parts: Iterable[Evidence]) -> Evidence:
    """The evidence of several classes as if they were one."""
    parts = list(parts)
    rows = [row for part in parts for row in zip(part.scores, part.right, strict=True)]
    return _ranked(rows, sum(part.there for part in parts))


def wanted_precision(aim: str) -> float | None:
    """0.9 of "precision=0.9", None of "f1". Raises ConfigError for anything else."""
    if aim == F1:
        return None
    name, _, number = aim.partition("=")
    try:
        precision = float(number)
    except ValueError:
        precision = math.nan
    if name != "precision" or not 0 < precision <= 1:
        raise ConfigError(f"there is no operating point {aim!r}; use f1, precision=0.9 (above 0, at most 1) or all")
    return precision


def _is_shown(proposal: Proposal, thresholds: Mapping[str, float | None]) -> bool:
    threshold = thresholds.get(proposal.label)
    return threshold is not None and proposal.score >= threshold


def _ranked(rows: Iterable[tuple[float, bool]], there: int) -> Evidence:
    """(score, right) in any order."""
    rows = sorted(rows, reverse=True)
    return Evidence(tuple(score for score, _ in rows), tuple(right for _, right in rows), there)


def _evidence(scores: Sequence[float], right: Sequence[bool], there: int) -> Evidence:
    """From JSON. Raises ValueError or TypeError where that makes no sense."""
    if sorted(scores, reverse=True) != scores or len(right) != len(scores) or not sum(right) <= there <= MOST:
        raise ValueError("scores, hits and counts do not fit")
    return Evidence(tuple(map(float, scores)), tuple(map(bool, right)), int(there))


def _columns(rows: Sequence[tuple[int, Action | Proposal]]) -> Intervals:
    """Actions or proposals of one class, each with the place of its video."""
    return Intervals(
        np.array([place for place, _ in rows], np.int64),
        np.zeros(len(rows), np.int64),
        np.array([item.start for _, item in rows], np.float64),
        np.array([item.end for _, item in rows], np.float64),
        np.array([getattr(item, "score", 0.0) for _, item in rows], np.float64),
    )
