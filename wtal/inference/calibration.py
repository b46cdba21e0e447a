"""Calibration: choose from a data set the score from which each class is shown, and save it for `wtal predict`."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from wtal.core.errors import CheckpointError, ConfigError, DataError, first_validation_error
from wtal.core.io import read_json, write_json
from wtal.core.structures import Proposals, Segment, Video
from wtal.core.text import format_percent
from wtal.data.dataset import Dataset, load_dataset
from wtal.evaluation.matching import Intervals, find_hits
from wtal.evaluation.protocols import find_protocol
from wtal.inference.batch import localize_many
from wtal.inference.kinetics400 import is_kinetics400
from wtal.inference.localizer import Localizer
from wtal.inference.postprocessing import SegmentConstraints, co_occurring_classes, remove_overlaps, sort_by_time
from wtal.inference.proposals import RELATIVE_SCORE_THRESHOLD, top_non_overlapping
from wtal.models.checkpoint import weights_fingerprint

CALIBRATION_NAME = "operating.json"
ALL = "all"  # show every proposal
F1 = "f1"  # maximise F1
TIOU = 0.5  # from which a proposal is correct
MIN_INSTANCES = 5  # classes with fewer use the common threshold: one hit would change their F1 by more than a tenth
# Of the highest score in a video, for thresholds from tags (docs/experiments/2026-11-28-first-timeline.md).
MIN_SHARE = 0.6
MAX_COUNT = 2**53  # integers up to this are exact as floats
SEGMENTS, LABELS = "segments", "video-level labels"  # what proposals are compared with
HINT_RECALIBRATE = "run `wtal calibrate` again"

SegmentFilter = Callable[[Sequence[Segment]], list[Segment]]  # the proposals of a video -> the segments to show


@dataclass(frozen=True)
class PrecisionRecall:
    """The result of a threshold: the numbers of shown, of correct and of existing instances."""

    shown: int
    correct: int
    total: int

    @property
    def precision(self) -> float | None:
        """None if nothing is shown."""
        return self.correct / self.shown if self.shown else None

    @property
    def recall(self) -> float | None:
        """None if there are no instances."""
        return self.correct / self.total if self.total else None

    @property
    def f1(self) -> float | None:
        """None if nothing is shown and there are no instances."""
        return 2 * self.correct / (self.shown + self.total) if self.shown + self.total else None


@dataclass(frozen=True)
class CalibrationScores:
    """The scores of one class, in descending order, and whether each is correct.

    With segments these are the scores of all proposals, and `total` counts the annotated segments. With labels these
    are the scores of the highest-scoring proposal of each video, and `total` counts the videos with the label.
    """

    scores: tuple[float, ...]
    correct: tuple[bool, ...]
    total: int

    def result_of(self, threshold: float | None) -> PrecisionRecall:
        """The result of a threshold; None shows nothing."""
        shown = 0 if threshold is None else sum(score >= threshold for score in self.scores)
        return PrecisionRecall(shown, sum(self.correct[:shown]), self.total)

    def best_threshold(self, min_precision: float | None = None) -> float | None:
        """The threshold with the best F1, or the lowest one with a minimum precision; None if there is none.

        It lies halfway between two scores. Equal scores are not separated.
        """
        scores, hits = np.array(self.scores), np.cumsum(self.correct)
        shown = np.arange(1, len(scores) + 1)
        next_scores = np.append(scores, -np.inf)[1:]
        is_possible = (scores > next_scores) & (hits > 0)
        if min_precision is not None:
            is_possible &= hits / shown >= min_precision
        if not is_possible.any():
            return None
        value = 2 * hits / (shown + self.total) if min_precision is None else hits
        best = int(np.argmax(np.where(is_possible, value, -1)))
        middle = (scores[best] + next_scores[best]) / 2
        return float(middle if next_scores[best] < middle else scores[best])  # no lower score, or the next float


@dataclass(frozen=True)
class OperatingPoint:
    """The thresholds for a target, and their results on the videos of the calibration.

    Attributes:
        target: `f1` or `precision=0.9`.
        source: Whether segments or video-level labels were used.
        subset: The subset of the data set.
        num_videos: The number of videos.
        thresholds: The lowest score at which each class is shown; None: never. From tags, it is the lowest score of the
            highest-scoring segment of a class that is shown.
        results: The result of each class.
        constraints: What a timeline may contain.
    """

    target: str
    source: str
    subset: str
    num_videos: int
    thresholds: Mapping[str, float | None]
    results: Mapping[str, PrecisionRecall]
    constraints: SegmentConstraints

    @property
    def overall(self) -> PrecisionRecall:
        """The result over all classes."""
        results = self.results.values()
        return PrecisionRecall(
            sum(r.shown for r in results), sum(r.correct for r in results), sum(r.total for r in results)
        )

    def apply(self, proposals: Sequence[Segment]) -> list[Segment]:
        """The segments of a video to show, sorted by time.

        Overlaps are removed before the thresholds are applied. So a higher threshold only removes segments, and the
        results hold for any threshold.
        """
        lowest = -math.inf
        if self.source == SEGMENTS:  # lower scores cannot affect the segments above it
            lowest = min((value for value in self.thresholds.values() if value is not None), default=math.inf)
        candidates = remove_overlaps((p for p in proposals if p.confidence >= lowest), self.constraints)
        limits = self.minimum_scores(candidates)
        return [p for p in candidates if (minimum := limits.get(p.label)) is not None and p.confidence >= minimum]

    def minimum_scores(self, candidates: Sequence[Segment]) -> Mapping[str, float | None]:
        """The lowest score at which each class is shown in a video; None: not at all.

        Thresholds from segments hold in every video. Tags only show whether a class occurs in a video, so thresholds
        from tags decide that. Of a class that occurs, segments are shown that have at least `MIN_SHARE` of the highest
        score in the video, and always the highest-scoring one.

        Args:
            candidates: The segments of the video without overlaps, at any score.
        """
        if self.source == SEGMENTS:
            return self.thresholds
        best: dict[str, float] = {}
        for segment in candidates:
            best[segment.label] = max(best.get(segment.label, 0.0), segment.confidence)
        share = MIN_SHARE * max(best.values(), default=0.0)
        return {
            label: min(share, best[label]) if threshold is not None and best.get(label, -1.0) >= threshold else None
            for label, threshold in self.thresholds.items()
        }

    def describe(self) -> str:
        """A line on how the thresholds were chosen, with precision and recall."""
        chosen = (
            f"operating point {self.target}: chosen on the {self.source} of {self.num_videos:,} {self.subset} videos"
        )
        result = self.overall
        if not result.shown:
            return f"{chosen}; no score is high enough, so nothing is shown"
        precision, recall = (
            format_percent(value, 0, unit=" %", missing="-") for value in (result.precision, result.recall)
        )
        if self.source == LABELS:
            return (
                f"{chosen}; {precision} of the shown classes are labels of the video, {recall} of the labels are "
                "shown; start and end times were not evaluated"
            )
        return f"{chosen}; precision {precision} and recall {recall} at tIoU {TIOU:g}"


@dataclass(frozen=True)
class Calibration:
    """What operating points are derived from.

    Attributes:
        model: The fingerprint of the weights.
        source: `SEGMENTS` or `LABELS`.
        subset: The subset of the data set.
        num_videos: The number of videos.
        constraints: What a timeline may contain.
        scores: The scores of each class.
    """

    model: str
    source: str
    subset: str
    num_videos: int
    constraints: SegmentConstraints
    scores: Mapping[str, CalibrationScores]

    def operating_point(self, target: str) -> OperatingPoint:
        """The thresholds for a target. Raises ConfigError if the target is unknown."""
        min_precision = parse_target(target)
        common = pooled(self.scores.values()).best_threshold(min_precision)
        thresholds = {
            label: common if scores.total < MIN_INSTANCES else scores.best_threshold(min_precision)
            for label, scores in self.scores.items()
        }
        results = {label: scores.result_of(thresholds[label]) for label, scores in self.scores.items()}
        return OperatingPoint(target, self.source, self.subset, self.num_videos, thresholds, results, self.constraints)

    def to_json(self) -> dict[str, Any]:
        """Plain values for operating.json."""
        constraints = self.constraints
        return {
            "model": self.model,
            "source": self.source,
            "subset": self.subset,
            "videos": self.num_videos,
            "limits": {
                "per_minute": constraints.max_per_minute,
                "shortest": constraints.min_duration,
                "longest": constraints.max_duration,
                "together": constraints.co_occurring,
            },
            "evidence": {
                label: {"scores": scores.scores, "right": scores.correct, "there": scores.total}
                for label, scores in self.scores.items()
            },
        }

    @classmethod
    def from_json(cls, values: Any, path: Path | None = None) -> "Calibration":
        """Read what `to_json` returned.

        Raises:
            DataError: The values are malformed (code `invalid-data`).
        """
        try:
            file = _CalibrationFile.model_validate(values)
            limits = file.limits
            constraints = SegmentConstraints(limits.per_minute, limits.shortest, limits.longest, limits.together)
        except (ValidationError, ConfigError) as error:
            reason = first_validation_error(error) if isinstance(error, ValidationError) else error.message
            raise DataError(f"malformed ({reason})", path=path, hint=HINT_RECALIBRATE) from error
        scores = {label: CalibrationScores(s.scores, s.right, s.there) for label, s in file.evidence.items()}
        return cls(file.model, file.source, file.subset, file.videos, constraints, scores)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class _LimitsFile(_File):
    per_minute: int | None
    shortest: float
    longest: float | None
    together: tuple[tuple[str, str], ...]


class _ScoresFile(_File):
    scores: tuple[float, ...]
    right: tuple[bool, ...]
    there: int = Field(ge=0, le=MAX_COUNT)

    @model_validator(mode="after")
    def _require_consistency(self) -> "_ScoresFile":
        is_descending = list(self.scores) == sorted(self.scores, reverse=True)
        if not is_descending or len(self.right) != len(self.scores) or sum(self.right) > self.there:
            raise ValueError("scores and counts are inconsistent")
        return self


class _CalibrationFile(_File):
    """The content of operating.json; the keys are those of wtal 0.1.0."""

    model: str
    source: Literal["segments", "video-level labels"]
    subset: str
    videos: Annotated[int, Field(ge=0)]
    limits: _LimitsFile
    evidence: dict[str, _ScoresFile]


def calibrate_run(
    run: Path, data: Path, subset: str | None = None, constraints: SegmentConstraints | None = None
) -> Calibration:
    """Localize a subset, collect the scores of each class and write operating.json into the run folder.

    Args:
        run: A run or model folder.
        data: A data set folder.
        subset: By default validation, else the held-out training videos, else all training videos.
        constraints: What a timeline may contain.

    Raises:
        CheckpointError: The data set does not match the model.
        DataError: No video has a label.
    """
    dataset = load_dataset(data)
    localizer = Localizer(run)
    name, videos = _choose_videos(dataset, subset, localizer.meta.held_out)
    proposals = localize_many(localizer, dataset, videos)
    calibration = calibrate(
        proposals, videos, localizer.classes, weights_fingerprint(run), name, constraints or SegmentConstraints()
    )
    write_json(run / CALIBRATION_NAME, calibration.to_json(), indent=None)
    return calibration


def calibrate_trained(run: Path, data: Path) -> Calibration | None:
    """Calibrate a model that was just trained, unless it is calibrated. Returns None if no video has a label.

    Args:
        run: The run folder.
        data: The data set that it was trained on.

    Raises:
        DataError: The features of the videos to calibrate on cannot be used.
    """
    with suppress(CheckpointError, DataError):  # damaged, or of weights that were replaced
        if calibration := read_calibration(run):
            return calibration
    try:
        return calibrate_run(run, data)
    except DataError as error:
        if error.code == "no-labels":
            return None
        raise


def calibrate(
    proposals: Proposals,
    videos: Sequence[Video],
    classes: Sequence[str],
    model: str,
    subset: str,
    constraints: SegmentConstraints,
) -> Calibration:
    """Collect the scores of each class, compared with segments if there are any, else with labels.

    Only videos with a segment for each of their labels count as annotated with segments, and of the training videos
    only those with a complete timeline. Classes whose annotated segments overlap may overlap in a timeline too.

    Args:
        proposals: The proposals of each video.
        videos: The videos.
        classes: The names of the classes.
        model: The fingerprint of the weights.
        subset: The name of the subset.
        constraints: What a timeline may contain.

    Raises:
        DataError: No video has a label (code `no-labels`).
    """
    annotated = [video for video in videos if _has_whole_timeline(video)]
    if any(video.segments for video in annotated):
        constraints = replace(constraints, co_occurring=co_occurring_classes(annotated))
        source, videos, collect = SEGMENTS, annotated, _compare_with_segments
    elif any(video.labels for video in videos):
        source, collect = LABELS, _compare_with_labels
    else:
        raise DataError(f"no video of {subset} has a label", hint="use another --subset", code="no-labels")
    timelines = [remove_overlaps(proposals.get(video.id, ()), constraints) for video in videos]
    scores = collect(timelines, videos, classes)
    return Calibration(model, source, subset, len(videos), constraints, scores)


def _has_whole_timeline(video: Video) -> bool:
    """Whether the segments of a video are all that happens in it."""
    if video.subset == "training" and not (video.complete and not any(segment.is_point for segment in video.segments)):
        return False
    return set(video.labels) == {segment.label for segment in video.segments}


def read_calibration(run: Path) -> Calibration | None:
    """Read what `calibrate_run` wrote; None if it was never run.

    Raises:
        CheckpointError: It belongs to other weights (code `different-run`).
        DataError: The file is damaged.
    """
    path = run / CALIBRATION_NAME
    if not path.is_file():
        return None
    again = f"run `wtal calibrate {run} DATA` again"
    try:
        content = read_json(path)
    except DataError as error:
        raise DataError(error.message, path=path, location=error.location, hint=again, code=error.code) from error
    calibration = Calibration.from_json(content, path)
    if calibration.model != weights_fingerprint(run):
        raise CheckpointError(
            "belongs to another checkpoint",
            path=path,
            hint=again,
            code="different-run",
        )
    return calibration


def load_segment_filter(run: Path, target: str) -> tuple[SegmentFilter, str]:
    """Load the function that selects the segments to show, and a line that describes it.

    Args:
        run: A run or model folder. Without calibration, `f1` shows the proposals close to the highest score.
        target: `f1`, `precision=0.9` or `all`.

    Raises:
        ConfigError: The target is unknown (code `unknown-name`) or needs a calibration (code `not-calibrated`).
    """
    if target == ALL:
        return sort_by_time, "operating point all: every proposal"
    min_precision = parse_target(target)
    calibration = read_calibration(run)
    if calibration is not None:
        point = calibration.operating_point(target)
        return point.apply, point.describe()
    if min_precision is not None:
        raise ConfigError(
            "the model is not calibrated", path=run, hint=f"run `wtal calibrate {run} DATA`", code="not-calibrated"
        )
    description = (
        f"operating point {F1}: not calibrated, so segments with at least {RELATIVE_SCORE_THRESHOLD:g} of the highest "
        "score are shown"
    )
    if not is_kinetics400(run):  # its classes are those of no data set of the user
        description += f"; to choose thresholds, run `wtal calibrate {run} DATA`"
    return lambda proposals: sort_by_time(top_non_overlapping(proposals)), description


def parse_target(target: str) -> float | None:
    """0.9 for `precision=0.9`, None for `f1`. Raises ConfigError for anything else."""
    if target == F1:
        return None
    name, _, number = target.partition("=")
    try:
        precision = float(number)
    except ValueError:
        precision = math.nan
    if name != "precision" or not 0 < precision <= 1:
        raise ConfigError(
            f"unknown operating point {target!r}",
            hint="use f1, precision=0.9 (above 0, at most 1) or all",
            code="unknown-name",
        )
    return precision


def pooled(parts: Iterable[CalibrationScores]) -> CalibrationScores:
    """The scores of several classes as if they were one."""
    parts = list(parts)
    rows = [row for part in parts for row in zip(part.scores, part.correct, strict=True)]
    return _sorted_scores(rows, sum(part.total for part in parts))


def _choose_videos(dataset: Dataset, subset: str | None, held_out: Sequence[str]) -> tuple[str, Sequence[Video]]:
    name = subset or ("validation" if "validation" in dataset.subsets else "training")
    videos = dataset.subset(name)
    unseen = [video for video in videos if video.id in held_out]
    return ("held-out training", unseen) if unseen else (videos[0].subset, videos)


def _compare_with_segments(
    timelines: Sequence[Sequence[Segment]], videos: Sequence[Video], classes: Sequence[str]
) -> dict[str, CalibrationScores]:
    """A proposal is correct if it matches a segment of its class; higher-scoring proposals choose first."""
    scores = {}
    for label in classes:
        rows = [(index, p) for index, timeline in enumerate(timelines) for p in timeline if p.label == label]
        rows.sort(key=lambda row: -row[1].confidence)
        proposals = _to_intervals(rows)
        segments = _to_intervals([(i, s) for i, video in enumerate(videos) for s in video.segments if s.label == label])
        correct = [False] * len(proposals)
        if len(segments):
            correct = find_hits(proposals, segments, find_protocol("activitynet"), (TIOU,))[0].tolist()
        scores[label] = CalibrationScores(tuple(proposals.score.tolist()), tuple(correct), len(segments))
    return scores


def _compare_with_labels(
    timelines: Sequence[Sequence[Segment]], videos: Sequence[Video], classes: Sequence[str]
) -> dict[str, CalibrationScores]:
    """The highest-scoring proposal of a class in a video is correct if the video has the label.

    This evaluates which classes are shown, not when or how often.
    """
    scores = {}
    for label in classes:
        has_label = [label in video.labels for video in videos]
        of_videos = [[p.confidence for p in timeline if p.label == label] for timeline in timelines]
        rows = [(max(values), correct) for values, correct in zip(of_videos, has_label, strict=True) if values]
        scores[label] = _sorted_scores(rows, sum(has_label))
    return scores


def _sorted_scores(rows: Iterable[tuple[float, bool]], total: int) -> CalibrationScores:
    """From pairs of score and correctness in any order."""
    rows = sorted(rows, reverse=True)
    return CalibrationScores(tuple(score for score, _ in rows), tuple(correct for _, correct in rows), total)


def _to_intervals(rows: Sequence[tuple[int, Segment]]) -> Intervals:
    """Segments of one class, each with the index of its video."""
    return Intervals(
        np.array([index for index, _ in rows], np.int64),
        np.zeros(len(rows), np.int64),
        np.array([segment.start for _, segment in rows], np.float64),
        np.array([segment.end for _, segment in rows], np.float64),
        np.array([segment.confidence for _, segment in rows], np.float64),
    )
