"""Predictions of the model, one file per video: proposals, attention and CAS, so that nothing is computed twice."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from wtal.core.io import atomic_write
from wtal.core.structures import Segment
from wtal.core.text import format_count, format_percent
from wtal.inference import kinetics400
from wtal.inference.calibration import read_calibration
from wtal.inference.operating_point import F1, LABELS, OperatingPoint
from wtal.inference.postprocessing import RELATIVE_SCORE_THRESHOLD, SegmentConstraints, remove_overlaps
from wtal.reporting.figures.layout import TimelineData
from wtal.reporting.html.encoding import encode_timeline
from wtal.web.videos import VideoFile

PREDICTIONS_DIR = METADATA_KEY = "found"  # part of the file format since version 0.1.0
MAX_CACHED_PREDICTIONS = 32
MAX_CACHED_SUMMARIES = 100_000
MIN_ACTION = 0.3  # attention, or probability of any class, of the snippets whose uncertainty counts
RELATIVE = f"Segments with at least {RELATIVE_SCORE_THRESHOLD:.0%} of the highest score in the video are shown."
NOT_CALIBRATED = f"{RELATIVE} Run `wtal calibrate` to choose thresholds for each class."
BUILT_IN = f"The model is {kinetics400.NAME}: {kinetics400.DESCRIPTION}. {RELATIVE}"

Fingerprint = Callable[[VideoFile], str]


@dataclass(frozen=True, eq=False)
class StoredPrediction:
    """The prediction for one video, identified by its name or else by its fingerprint. Times are in seconds."""

    video: str
    fingerprint: str
    fps: float | None
    classes: tuple[str, ...]
    proposals: tuple[Segment, ...]
    edges: NDArray[np.float64]  # T + 1: start of each snippet, and the end
    attention: NDArray[np.float32]  # T
    cas: NDArray[np.float16]  # T x C, probabilities

    @property
    def duration(self) -> float:
        """The length of the video in seconds."""
        return float(self.edges[-1])


@dataclass(frozen=True)
class VideoSummary:
    """What the list of videos needs of a prediction: the duration in seconds, the predicted classes, `uncertainty`."""

    video: str
    fingerprint: str
    duration: float
    labels: tuple[str, ...]
    uncertainty: float = 0.0


@dataclass(frozen=True, eq=False)
class DisplayThresholds:
    """How proposals are filtered for display.

    Attributes:
        constraints: The constraints of the segments.
        point: The operating point; None for thresholds relative to the highest score of each video.
        description: How the thresholds were chosen.
    """

    constraints: SegmentConstraints
    point: OperatingPoint | None
    description: str

    def candidates(self, prediction: StoredPrediction) -> list[Segment]:
        """The proposals without overlaps, at any score; a threshold selects from these."""
        return _without_overlaps(prediction, self.constraints)

    def for_video(self, prediction: StoredPrediction) -> Mapping[str, float | None]:
        """The minimum score of each class in a video; None for a class that is not shown."""
        if self.point is not None:
            return self.point.minimum_scores(self.candidates(prediction))
        highest = max((proposal.confidence for proposal in prediction.proposals), default=0.0)
        return dict.fromkeys(prediction.classes, RELATIVE_SCORE_THRESHOLD * highest)

    def select(self, prediction: StoredPrediction, threshold: float | None = None) -> list[Segment]:
        """The segments to show, by one threshold for all classes if it is given."""
        thresholds = self.for_video(prediction) if threshold is None else dict.fromkeys(prediction.classes, threshold)
        candidates = ((segment, thresholds.get(segment.label)) for segment in self.candidates(prediction))
        return [segment for segment, minimum in candidates if minimum is not None and segment.confidence >= minimum]


def load_display_thresholds(run: Path) -> DisplayThresholds:
    """The thresholds that the calibration chose, else relative ones. Raises CheckpointError, DataError."""
    calibration = read_calibration(run)
    if calibration is None:
        description = BUILT_IN if kinetics400.is_kinetics400(run) else NOT_CALIBRATED
        return DisplayThresholds(SegmentConstraints(), None, description)
    point = calibration.operating_point(F1)
    return DisplayThresholds(point.constraints, point, _describe(point))


def _describe(point: OperatingPoint) -> str:
    result, videos = point.overall, format_count(point.num_videos, "video")
    if not result.shown:
        return f"The thresholds were chosen on {videos}; no score was high enough to show a segment."
    precision, recall = (
        format_percent(share, 0, unit=" %", missing="-") for share in (result.precision, result.recall)
    )
    if point.source == LABELS:
        return (
            f"The thresholds were chosen on the tags of {videos}: {precision} of the predicted classes were correct, "
            f"and {recall} of the tags were predicted. Start and end times were not evaluated."
        )
    return (
        f"The thresholds were chosen on the segments of {videos}: {precision} of the predicted segments were "
        f"correct, and {recall} of the annotated segments were predicted."
    )


def prediction_path(store: Path, file: VideoFile, model: str) -> Path:
    """The path of a prediction: depends on the file's size and time and on the model, not on the file's name."""
    digest = sha256(f"{file.version} {model}".encode()).hexdigest()
    return store / PREDICTIONS_DIR / f"{digest[:20]}.safetensors"


def write_prediction(path: Path, prediction: StoredPrediction) -> None:
    """Write a prediction atomically. Raises DataError."""
    proposals, classes = prediction.proposals, prediction.classes
    tensors: dict[str, NDArray[Any]] = {
        "labels": np.array([classes.index(proposal.label) for proposal in proposals], np.int32),
        "segments": np.array([(p.start, p.end, p.score) for p in proposals], np.float64).reshape(-1, 3),
        "edges": prediction.edges.astype(np.float64),
        "attention": prediction.attention.astype(np.float32),
        "cas": np.ascontiguousarray(prediction.cas, np.float16),
    }
    metadata = {"of": (prediction.video, prediction.fingerprint), "fps": prediction.fps, "classes": classes}
    # `save_file` of safetensors does not raise OSError if the disk is full.
    content = save(tensors, {METADATA_KEY: json.dumps(metadata)})
    atomic_write(path, lambda part: part.write_bytes(content))


def read_prediction(path: Path, file: VideoFile, fingerprint: Fingerprint) -> StoredPrediction | None:
    """The stored prediction; None if there is none, or it belongs to another file."""
    try:
        prediction = _cached_prediction(path, path.stat().st_mtime_ns)
    except OSError:
        return None
    return prediction if prediction and _belongs_to(prediction, file, fingerprint) else None


def read_summary(
    path: Path, file: VideoFile, fingerprint: Fingerprint, thresholds: DisplayThresholds
) -> VideoSummary | None:
    """The same for the list of videos, without keeping all predictions in memory."""
    try:
        summary = _cached_summary(path, path.stat().st_mtime_ns, thresholds)
    except OSError:
        return None
    return summary if summary and _belongs_to(summary, file, fingerprint) else None


def uncertainty(prediction: StoredPrediction) -> float:
    """How unsure the model is of the classes of a video.

    Returns:
        The mean entropy of the class probabilities, with background, of the snippets in which something may happen,
        relative to the highest possible one: from 0 to 1. If there are no such snippets, of all.
    """
    classes = prediction.cas.astype(np.float64).clip(0, 1)
    action = classes.sum(1, keepdims=True)
    probabilities = np.concatenate([classes, (1 - action).clip(0)], axis=1)
    probabilities /= probabilities.sum(1, keepdims=True)
    entropy = -(probabilities * np.log(probabilities.clip(1e-12))).sum(1) / np.log(probabilities.shape[1])
    candidates = (prediction.attention >= MIN_ACTION) | (action[:, 0] >= MIN_ACTION)
    return float(entropy[candidates].mean() if candidates.any() else entropy.mean())


def pack_prediction(prediction: StoredPrediction, thresholds: DisplayThresholds) -> str:
    """A prediction as the page decodes it, in base64; the result lane holds all candidates. Raises DataError."""
    lanes = thresholds.candidates(prediction), prediction.proposals
    cas = prediction.cas.astype(np.float32)
    timeline = TimelineData("", prediction.duration, (), *lanes, prediction.edges, prediction.attention, cas)
    return encode_timeline(timeline, prediction.classes)


def _belongs_to(stored: StoredPrediction | VideoSummary, file: VideoFile, fingerprint: Fingerprint) -> bool:
    return stored.video == file.name or (stored.fingerprint != "" and stored.fingerprint == fingerprint(file))


@lru_cache(maxsize=MAX_CACHED_PREDICTIONS)
def _without_overlaps(prediction: StoredPrediction, constraints: SegmentConstraints) -> list[Segment]:
    return remove_overlaps(prediction.proposals, constraints)


@lru_cache(maxsize=MAX_CACHED_PREDICTIONS)
def _cached_prediction(path: Path, mtime_ns: int) -> StoredPrediction | None:
    try:
        with safe_open(path, "numpy") as file:
            metadata = json.loads(file.metadata()[METADATA_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
        classes = tuple(metadata["classes"])
        rows = zip(tensors["labels"].tolist(), tensors["segments"].tolist(), strict=True)
        proposals = tuple(Segment(classes[label], *row) for label, row in rows)
        curves = tensors["edges"], tensors["attention"], tensors["cas"]
        video, fingerprint = metadata["of"]
        return StoredPrediction(video, fingerprint, metadata["fps"], classes, proposals, *curves)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, IndexError):
        return None  # damaged; the video can be processed again


@lru_cache(maxsize=MAX_CACHED_SUMMARIES)
def _cached_summary(path: Path, mtime_ns: int, thresholds: DisplayThresholds) -> VideoSummary | None:
    prediction = _cached_prediction(path, mtime_ns)
    if prediction is None:
        return None
    labels = tuple(dict.fromkeys(segment.label for segment in thresholds.select(prediction)))
    return VideoSummary(prediction.video, prediction.fingerprint, prediction.duration, labels, uncertainty(prediction))
