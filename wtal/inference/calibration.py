"""A run's operating point: chosen once from a data set, kept beside the checkpoints, used by `wtal predict`.

FROM: From raw proposals to a timeline a person would believe: thresholds, and the evidence that they were chosen on.
FROM: How an operating point was chosen and what it reached, as a sentence and as a table.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from wtal.core.errors import CheckpointError, ConfigError, DataError
from wtal.core.io import read_json, write_json
from wtal.core.structures import Proposals, Segment, Video
from wtal.data.dataset import Dataset, load_dataset
from wtal.evaluation.matching import Intervals, find_hits
from wtal.evaluation.protocols import find_protocol
from wtal.inference.batch import localize_many
from wtal.inference.localizer import Localizer
from wtal.inference.postprocessing import SegmentConstraints, co_occurring_classes, remove_overlaps, sort_by_time
from wtal.inference.proposals import RELATIVE_SCORE_THRESHOLD, top_non_overlapping
from wtal.models import checkpoint

F1 = "f1"
TIOU = 0.5  # from which on a proposal is right
MIN_INSTANCES = 5  # with fewer instances one hit moves a class's F1 by more than a tenth: it takes the common threshold
MOST = 2**53  # instances that a float can count
SEGMENTS, LABELS = "segments", "video-level labels"


@dataclass(frozen=True)
class PrecisionRecall:
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
class CalibrationScores:
    """Of one class: the scores of what could be shown, falling; which of it is right; how many there were to find.

    By segments that is each proposal and each action, by labels each video's surest proposal and each tag.
    """

    scores: tuple[float, ...]
    right: tuple[bool, ...]
    there: int

    def reached(self, threshold: float | None) -> PrecisionRecall:
        """What a threshold shows."""
        shown = 0 if threshold is None else sum(score >= threshold for score in self.scores)
        return PrecisionRecall(shown, sum(self.right[:shown]), self.there)

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
        return float(middle if below[best] < middle else scores[best])  # no lower score, or too near to have a middle


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
    reached: Mapping[str, PrecisionRecall]
    limits: SegmentConstraints

    @property
    def whole(self) -> PrecisionRecall:
        """Over all classes."""
        parts = self.reached.values()
        return PrecisionRecall(sum(r.shown for r in parts), sum(r.right for r in parts), sum(r.there for r in parts))


@dataclass(frozen=True)
class Calibration:
    """All that an operating point is derived from; `model` is the fingerprint of the weights that it belongs to."""

    model: str
    source: str
    subset: str
    videos: int
    limits: SegmentConstraints
    evidence: Mapping[str, CalibrationScores]

    def at(self, aim: str) -> OperatingPoint:
        """The operating point of an aim. Raises ConfigError for one that there is not."""
        wanted = wanted_precision(aim)
        common = pooled(self.evidence.values()).threshold(wanted)
        thresholds = {
            label: common if found.there < MIN_INSTANCES else found.threshold(wanted)
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
            return cls(
                **value | {"videos": int(value["videos"]), "limits": SegmentConstraints(**limits), "evidence": evidence}
            )
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError, ConfigError) as error:
            raise DataError(f"is not what `wtal calibrate` writes ({error}); run it again") from error


def calibrate(
    found: Proposals,
    videos: Sequence[Video],
    classes: Sequence[str],
    model: str,
    subset: str,
    limits: SegmentConstraints,
) -> Calibration:
    """The evidence of these videos: of their segments where there are some, else of their labels alone.

    Segments count where a video has some for each of its labels. Where classes lie over each other in them, they
    may do so in a timeline. Raises DataError where the videos carry no label.
    """
    marked = [video for video in videos if set(video.labels) == {action.label for action in video.segments}]
    if any(video.segments for video in marked):
        limits = replace(limits, together=co_occurring_classes(marked))
        source, videos, gather = SEGMENTS, marked, by_segments
    elif any(video.labels for video in videos):
        source, gather = LABELS, by_labels
    else:
        raise DataError(f"nothing in {subset} carries a label to choose by; name another --subset")
    timelines = [remove_overlaps(found.get(video.id, ()), limits) for video in videos]
    return Calibration(model, source, subset, len(videos), limits, gather(timelines, videos, classes))


def by_segments(
    timelines: Sequence[Sequence[Segment]], videos: Sequence[Video], classes: Sequence[str]
) -> dict[str, CalibrationScores]:
    """A proposal is right where it takes an action of its class at tIoU 0.5; a surer one takes first."""
    evidence = {}
    for label in classes:
        rows = [(place, p) for place, timeline in enumerate(timelines) for p in timeline if p.label == label]
        rows.sort(key=lambda row: -row[1].confidence)
        proposals = _columns(rows)
        actions = _columns([(place, a) for place, v in enumerate(videos) for a in v.segments if a.label == label])
        right = [False] * len(proposals)
        if len(actions):
            right = find_hits(proposals, actions, find_protocol("activitynet"), (TIOU,))[0].tolist()
        evidence[label] = CalibrationScores(tuple(proposals.score.tolist()), tuple(right), len(actions))
    return evidence


def by_labels(
    timelines: Sequence[Sequence[Segment]], videos: Sequence[Video], classes: Sequence[str]
) -> dict[str, CalibrationScores]:
    """A video's surest proposal of a class is right where the video carries the label.

    That promises that a class shown is in the video. When, and how often, no label can say.
    """
    evidence = {}
    for label in classes:
        tagged = [label in video.labels for video in videos]
        scores = [[p.confidence for p in timeline if p.label == label] for timeline in timelines]
        rows = [(max(own), right) for own, right in zip(scores, tagged, strict=True) if own]
        evidence[label] = _ranked(rows, sum(tagged))
    return evidence


def apply(point: OperatingPoint, proposals: Sequence[Segment]) -> list[Segment]:
    """One video's proposals as a timeline, by time: tidied first, then cut.

    In this order a higher threshold only takes away, and what was reached holds for any threshold.
    """
    shown = [threshold for threshold in point.thresholds.values() if threshold is not None]
    sure = [p for p in proposals if p.confidence >= min(shown, default=math.inf)]  # the rest cannot take from these
    return [p for p in remove_overlaps(sure, point.limits) if _is_shown(p, point.thresholds)]


def pooled(parts: Iterable[CalibrationScores]) -> CalibrationScores:
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


def _is_shown(proposal: Segment, thresholds: Mapping[str, float | None]) -> bool:
    threshold = thresholds.get(proposal.label)
    return threshold is not None and proposal.confidence >= threshold


def _ranked(rows: Iterable[tuple[float, bool]], there: int) -> CalibrationScores:
    """(score, right) in any order."""
    rows = sorted(rows, reverse=True)
    return CalibrationScores(tuple(score for score, _ in rows), tuple(right for _, right in rows), there)


def _evidence(scores: Sequence[float], right: Sequence[bool], there: int) -> CalibrationScores:
    """From JSON. Raises ValueError or TypeError where that makes no sense."""
    if sorted(scores, reverse=True) != scores or len(right) != len(scores) or not sum(right) <= there <= MOST:
        raise ValueError("scores, hits and counts do not fit")
    return CalibrationScores(tuple(map(float, scores)), tuple(map(bool, right)), int(there))


def _columns(rows: Sequence[tuple[int, Segment | Segment]]) -> Intervals:
    """Actions or proposals of one class, each with the place of its video."""
    return Intervals(
        np.array([place for place, _ in rows], np.int64),
        np.zeros(len(rows), np.int64),
        np.array([item.start for _, item in rows], np.float64),
        np.array([item.end for _, item in rows], np.float64),
        np.array([getattr(item, "score", 0.0) for _, item in rows], np.float64),
    )


def sentence(point: OperatingPoint) -> str:
    """What was chosen on what, and what that promises."""
    whole = point.whole
    chosen = f"operating point {point.aim}: chosen on the {point.source} of {point.videos:,} {point.subset} videos"
    if not whole.shown:
        return f"{chosen}; there no score is sure enough, so nothing is shown"
    if point.source == LABELS:
        return (
            f"{chosen}; there {percent(whole.precision)} of the classes shown in a video are among its tags, "
            f"{percent(whole.recall)} of the tags shown; when, and how often, nobody judged"
        )
    return (
        f"{chosen}; there {percent(whole.precision)} of what is shown is right at tIoU {TIOU:g}, "
        f"{percent(whole.recall)} of the actions found"
    )


def percent(share: float | None) -> str:
    """Whole percents; a dash where there is none."""
    return "-" if share is None else f"{100 * share:.0f} %"


CALIBRATION_NAME = "operating.json"
ALL = "all"
SegmentFilter = Callable[[Sequence[Segment]], list[Segment]]  # one video's proposals -> its timeline


def calibrate_run(
    run: Path, data: Path, subset: str | None = None, limits: SegmentConstraints | None = None
) -> Calibration:
    """Localize a subset and write what it teaches to operating.json in the run folder.

    Unless said otherwise that is validation, else the training sequences that were held out, else all of training.
    Raises CheckpointError where the model does not fit the data, DataError where no video carries a label.
    """
    folder = load_dataset(data)
    localizer = Localizer(run)
    meta = localizer.meta
    name, videos = _chosen(folder, subset, meta.held_out)
    found = localize_many(localizer, folder, videos)
    calibration = calibrate(
        found, videos, meta.classes, checkpoint.weights_fingerprint(run), name, limits or SegmentConstraints()
    )
    write_json(run / CALIBRATION_NAME, calibration.to_json(), indent=None)
    return calibration


def read_calibration(run: Path) -> Calibration | None:
    """What `calibrate_run` wrote, None where it never did. Raises CheckpointError where the model is another."""
    path = run / CALIBRATION_NAME
    if not path.is_file():
        return None
    try:
        calibration = Calibration.from_json(read_json(path))
    except DataError as error:
        raise DataError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from error
    if calibration.model != checkpoint.weights_fingerprint(run):
        raise CheckpointError(f"{path}: belongs to another checkpoint; run `wtal calibrate {run} DATA` again")
    return calibration


def load_segment_filter(run: Path, aim: str) -> tuple[SegmentFilter, str]:
    """What makes a timeline of a run's proposals, and a sentence on how that was chosen.

    `aim` is "f1", "precision=0.9" or "all". A run that was never calibrated has no precision to promise: there
    f1 is what a person would look at first. Raises ConfigError.
    """
    if aim == ALL:
        return sort_by_time, "operating point all: every proposal"
    wanted = wanted_precision(aim)
    calibration = read_calibration(run)
    if calibration is not None:
        point = calibration.at(aim)
        return partial(apply, point), sentence(point)
    if wanted is not None:
        raise ConfigError(f"{run}: nothing says which score has that precision; run `wtal calibrate {run} DATA`")
    said = (
        f"operating point {F1}: not chosen, so shown is what is at least {RELATIVE_SCORE_THRESHOLD:g} "
        "as sure as the surest"
    )
    return lambda found: sort_by_time(top_non_overlapping(found)), f"{said}; `wtal calibrate {run} DATA` chooses it"


def _chosen(folder: Dataset, subset: str | None, held_out: Sequence[str]) -> tuple[str, Sequence[Video]]:
    name = subset or ("validation" if "validation" in folder.subsets else "training")
    videos = folder.subset(name)
    unseen = [video for video in videos if video.id in held_out]
    return ("held-out training", unseen) if unseen else (videos[0].subset, videos)
