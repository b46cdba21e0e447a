"""Operating points: the score from which each class is shown, derived from the scores of a calibration."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from wtal.core.errors import ConfigError, DataError, first_validation_error
from wtal.core.structures import Segment
from wtal.core.text import format_count, format_percent
from wtal.inference.postprocessing import SegmentConstraints, remove_overlaps

F1 = "f1"  # maximize F1
TIOU = 0.5  # from which a proposal is correct
MIN_INSTANCES = 5  # classes with fewer use the common threshold: one hit would change their F1 by more than a tenth
# Of the highest score in a video, for thresholds from tags (docs/experiments/2026-11-28-first-timeline.md).
MIN_SHARE = 0.6
MAX_COUNT = 2**53  # integers up to this are exact as floats
SEGMENTS, LABELS = "segments", "video-level labels"  # what proposals are compared with
HINT_RECALIBRATE = "run `wtal calibrate` again"


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
            f"operating point {self.target}: chosen on the {self.source} of "
            f"{format_count(self.num_videos, f'{self.subset} video')}"
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
    return sorted_scores(rows, sum(part.total for part in parts))


def sorted_scores(rows: Iterable[tuple[float, bool]], total: int) -> CalibrationScores:
    """From pairs of score and correctness in any order."""
    rows = sorted(rows, reverse=True)
    return CalibrationScores(tuple(score for score, _ in rows), tuple(correct for _, correct in rows), total)
