"""Time budgets of the videos of the page, and the agreement of the model output with what people corrected."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from wtal.core.structures import Segment
from wtal.evaluation.agreement import (
    DEFAULT_OPTIONS,
    Agreement,
    AgreementScores,
    agreement_by_video,
    measure_agreement,
)
from wtal.evaluation.time_budget import TimeBudget, time_budget
from wtal.reporting.budget_tables import agreement_notes, budget_csv, budget_remarks

if TYPE_CHECKING:
    from wtal.web.service import AnnotationService

NOT_COMPLETE = "a timeline that is not marked as complete is compared as if nothing else happened in its video"


@dataclass(frozen=True)
class BudgetReport:
    """The time budget of videos, and the agreement of the model with the people who corrected some of them.

    Attributes:
        budget: The time budget: of the corrected timeline where there is one, else of the model output.
        agreement: The agreement of the model output with the corrected timelines, None if no video has both.
        by_video: The agreement on each of these videos.
        marks: How far the corrected timeline of each of these videos is: `complete`, `reviewed` or `edited`.
    """

    budget: TimeBudget
    agreement: Agreement | None
    by_video: Mapping[str, Agreement]
    marks: Mapping[str, str]

    def to_csv(self) -> str:
        """As `wtal budget` writes it; the reference of the agreement are the corrected timelines."""
        return budget_csv(self.budget, None, self.agreement, self.by_video)

    def to_json(self) -> dict[str, Any]:
        """As the page receives it. Times are in seconds, shares and scores from 0 to 1."""
        return {
            "videos": len(self.budget.videos),
            "duration": self.budget.duration,
            "classes": [{"label": label, **asdict(of_class)} for label, of_class in self.budget.overall.items()],
            "agreement": None if self.agreement is None else self._agreement_to_json(self.agreement),
            "remarks": budget_remarks({"timelines": self.budget}, "run detection on them"),
        }

    def _agreement_to_json(self, agreement: Agreement) -> dict[str, Any]:
        notes = agreement_notes(agreement.options)
        if any(mark != "complete" for mark in self.marks.values()):
            notes.append(NOT_COMPLETE)
        return {
            "overall": _scores_to_json(agreement.overall),
            "classes": [{"label": label, **_scores_to_json(of)} for label, of in agreement.classes.items()],
            "videos": [
                {"name": name, "mark": self.marks[name], **_scores_to_json(of_video.overall)}
                for name, of_video in self.by_video.items()
            ],
            "notes": notes,
        }


def measure_budget(service: "AnnotationService", key: str | None, thresholds: Mapping[str, float]) -> BudgetReport:
    """Measure one video, or all of them.

    Args:
        service: The videos, predictions and corrections.
        key: The key of the video, None for all videos that have a timeline.
        thresholds: Key to the minimum score of predicted segments, for videos that do not use the default.

    Raises:
        DataError: The video does not exist.
    """
    files = service.library.files() if key is None else {key: service.library.find(key)}
    shown: dict[str, Sequence[Segment]] = {}
    predicted: dict[str, Sequence[Segment]] = {}
    corrected: dict[str, Sequence[Segment]] = {}
    durations: dict[str, float | None] = {}
    marks: dict[str, str] = {}
    for video_key, file in files.items():
        prediction, record = service.prediction(file), service.corrections.get(video_key)
        if prediction:
            durations[file.name] = prediction.duration
            shown[file.name] = service.thresholds.select(prediction, thresholds.get(video_key))
        if prediction and record:
            predicted[file.name], corrected[file.name] = shown[file.name], record.segments
            marks[file.name] = "complete" if record.complete else "reviewed" if record.reviewed else "edited"
        if record:
            shown[file.name] = record.segments
    agreement = measure_agreement(predicted, corrected, durations, DEFAULT_OPTIONS) if predicted else None
    by_video = agreement_by_video(predicted, corrected, durations, DEFAULT_OPTIONS)
    return BudgetReport(time_budget(shown, durations), agreement, by_video, marks)


def _scores_to_json(scores: AgreementScores) -> dict[str, Any]:
    return {
        "kappa": scores.kappa,
        "events": scores.events,
        "reference_events": scores.reference_events,
        "matched": scores.matched,
        "precision": scores.precision,
        "recall": scores.recall,
        "f1": scores.f1,
    }
