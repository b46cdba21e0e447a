"""What was found in a video, kept so that nothing is computed twice: proposals, attention and CAS, in one file."""

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
from wtal.inference.calibration import F1, LABELS, OperatingPoint, percent, read_calibration
from wtal.inference.postprocessing import SegmentConstraints, remove_overlaps
from wtal.inference.proposals import RELATIVE_SCORE_THRESHOLD
from wtal.reporting.figures.layout import TimelineData
from wtal.reporting.html.encoding import encode_timeline
from wtal.web.videos import File

KEPT = 32  # videos whose findings stay in memory
NOT_CHOSEN = (
    f"shown is what is at least {RELATIVE_SCORE_THRESHOLD:.0%} as sure as the surest segment of the video; "
    "who serves this page can "
    "have better thresholds chosen, with wtal calibrate"
)
GLANCES = 100_000  # videos of which the list's line stays in memory


@dataclass(frozen=True, eq=False)
class StoredPrediction:
    """One video's findings; by its name, or else by its fingerprint, the file is known again. Times in seconds."""

    video: str
    fingerprint: str
    fps: float | None
    classes: tuple[str, ...]
    proposals: tuple[Segment, ...]
    edges: NDArray[np.float64]  # T+1  where snippets begin, and the end
    attention: NDArray[np.float32]  # T
    cas: NDArray[np.float16]  # T x C  probabilities

    @property
    def duration(self) -> float:
        """The second at which it ends."""
        return float(self.edges[-1])


def prediction_path(store: Path, file: File, model: str) -> Path:
    """Where findings lie that are good for a file as it is, wherever it is moved to, by one model."""
    state = sha256(f"{file.size} {file.changed} {model}".encode()).hexdigest()
    return store / "found" / f"{state[:20]}.safetensors"


def write_prediction(path: Path, found: StoredPrediction) -> None:
    """Keep what was found, whole or not at all."""
    proposals = found.proposals
    tensors: dict[str, NDArray[Any]] = {
        "labels": np.array([found.classes.index(p.label) for p in proposals], np.int32),
        "segments": np.array([(p.start, p.end, p.score) for p in proposals], np.float64).reshape(-1, 3),
        "edges": found.edges.astype(np.float64),
        "attention": found.attention.astype(np.float32),
        "cas": np.ascontiguousarray(found.cas, np.float16),
    }
    told = json.dumps({"of": (found.video, found.fingerprint), "fps": found.fps, "classes": found.classes})
    content = save(tensors, {"found": told})  # not by itself to a file: a full disk is no OSError there
    atomic_write(path, lambda part: part.write_bytes(content))


def read_prediction(path: Path, file: File, fingerprint: Callable[[File], str]) -> StoredPrediction | None:
    """What was kept; None where there is nothing, or it is of another file."""
    try:
        changed = path.stat().st_mtime_ns
    except OSError:
        return None
    found = _read(path, changed)
    return found if found and _is_of(found, file, fingerprint) else None


def _is_of(kept: "StoredPrediction | VideoSummary", file: File, fingerprint: Callable[[File], str]) -> bool:
    return kept.video == file.name or (kept.fingerprint != "" and kept.fingerprint == fingerprint(file))


@lru_cache(maxsize=KEPT)
def _read(path: Path, changed: int) -> StoredPrediction | None:
    try:
        with safe_open(path, "numpy") as file:
            told = json.loads(file.metadata()["found"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no dict
        classes = tuple(told["classes"])
        rows = zip(tensors["labels"].tolist(), tensors["segments"].tolist(), strict=True)
        proposals = tuple(Segment(classes[label], *row) for label, row in rows)
        curves = tensors["edges"], tensors["attention"], tensors["cas"]
        video, known = told["of"]
        return StoredPrediction(video, known, told["fps"], classes, proposals, *curves)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, IndexError):
        return None  # damaged: it is made again


@dataclass(frozen=True, eq=False)
class DisplayThresholds:
    """How a timeline is made of proposals: its limits, and from which score on; `thresholds` None: relative."""

    limits: SegmentConstraints
    thresholds: Mapping[str, float | None] | None
    said: str

    def tidied(self, found: StoredPrediction) -> list[Segment]:
        """Free of overlaps, whatever the score: what any threshold then takes away from."""
        return _tidied(found, self.limits)

    def of(self, found: StoredPrediction) -> Mapping[str, float | None]:
        """From which score on each class shows; None: never."""
        if self.thresholds is not None:
            return self.thresholds
        surest = max((p.confidence for p in found.proposals), default=0.0)
        return dict.fromkeys(found.classes, RELATIVE_SCORE_THRESHOLD * surest)

    def result(self, found: StoredPrediction, least: float | None = None) -> list[Segment]:
        """The timeline, at a threshold for all classes if one is given."""
        thresholds = self.of(found) if least is None else dict.fromkeys(found.classes, least)
        shown = ((p, thresholds.get(p.label)) for p in self.tidied(found))
        return [p for p, threshold in shown if threshold is not None and p.confidence >= threshold]


@lru_cache(maxsize=KEPT)
def _tidied(found: StoredPrediction, limits: SegmentConstraints) -> list[Segment]:
    return remove_overlaps(found.proposals, limits)


@dataclass(frozen=True)
class VideoSummary:
    """What the list of videos shows of one: how long it is, and which classes its result has."""

    video: str
    fingerprint: str
    duration: float
    labels: tuple[str, ...]


def summarize(
    path: Path, file: File, fingerprint: Callable[[File], str], operating: DisplayThresholds
) -> VideoSummary | None:
    """As `read_found`, for many videos."""
    try:
        glance = _glance(path, path.stat().st_mtime_ns, operating)
    except OSError:
        return None
    return glance if glance and _is_of(glance, file, fingerprint) else None


@lru_cache(maxsize=GLANCES)
def _glance(path: Path, changed: int, operating: DisplayThresholds) -> VideoSummary | None:
    found = _read(path, changed)
    if found is None:
        return None
    labels = tuple(dict.fromkeys(p.label for p in operating.result(found)))
    return VideoSummary(found.video, found.fingerprint, found.duration, labels)


def load_display_thresholds(run: Path) -> DisplayThresholds:
    """As `wtal calibrate` chose it, else whatever is nearly as sure as the surest. Raises CheckpointError."""
    calibration = read_calibration(run)
    if calibration is None:
        return DisplayThresholds(SegmentConstraints(), None, NOT_CHOSEN)
    point = calibration.at(F1)
    return DisplayThresholds(point.limits, point.thresholds, _plainly(point))


def _plainly(point: OperatingPoint) -> str:
    """What was chosen on what, in the words of the page."""
    reached, videos = point.whole, f"{point.videos:,} videos"
    if not reached.shown:
        return f"chosen on {videos}, in which nothing was sure enough to be shown"
    right, found = percent(reached.precision), percent(reached.recall)
    if point.source == LABELS:
        return (
            f"chosen on the tags of {videos}: {right} of the classes shown were among the tags of their video, and "
            f"{found} of the tags were shown; when things happen nobody judged"
        )
    return f"chosen on {videos} of which all is known: {right} of what was shown was right, {found} of all was shown"


def packed(found: StoredPrediction, operating: DisplayThresholds) -> str:
    """As the page unpacks it, in base64: the result lane holds all that is tidied. Raises DataError."""
    lanes = operating.tidied(found), found.proposals
    cas = found.cas.astype(np.float32)
    timeline = TimelineData("", found.duration, (), *lanes, found.edges, found.attention, cas)
    return encode_timeline(timeline, found.classes)
