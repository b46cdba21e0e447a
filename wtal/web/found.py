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

from wtal.calibrate import read_calibration
from wtal.files import write_whole
from wtal.localize import SURE
from wtal.operating import F1, LABELS, OperatingPoint
from wtal.records import Proposal
from wtal.report.layout import Panel
from wtal.report.operating_text import percent
from wtal.report.packed import pack
from wtal.tidy import Limits, tidy
from wtal.web.library import File

KEPT = 32  # videos whose findings stay in memory
NOT_CHOSEN = (
    f"shown is what is at least {SURE:.0%} as sure as the surest segment of the video; who serves this page can "
    "have better thresholds chosen, with wtal calibrate"
)
GLANCES = 100_000  # videos of which the list's line stays in memory


@dataclass(frozen=True, eq=False)
class Found:
    """One video's findings; by its name, or else by its fingerprint, the file is known again. Times in seconds."""

    video: str
    fingerprint: str
    fps: float | None
    classes: tuple[str, ...]
    proposals: tuple[Proposal, ...]
    edges: NDArray[np.float64]  # T+1  where snippets begin, and the end
    attention: NDArray[np.float32]  # T
    cas: NDArray[np.float16]  # T x C  probabilities

    @property
    def duration(self) -> float:
        """The second at which it ends."""
        return float(self.edges[-1])


def place_of(store: Path, file: File, model: str) -> Path:
    """Where findings lie that are good for a file as it is, wherever it is moved to, by one model."""
    state = sha256(f"{file.size} {file.changed} {model}".encode()).hexdigest()
    return store / "found" / f"{state[:20]}.safetensors"


def write_found(path: Path, found: Found) -> None:
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
    write_whole(path, lambda part: part.write_bytes(content))


def read_found(path: Path, file: File, fingerprint: Callable[[File], str]) -> Found | None:
    """What was kept; None where there is nothing, or it is of another file."""
    try:
        changed = path.stat().st_mtime_ns
    except OSError:
        return None
    found = _read(path, changed)
    return found if found and _is_of(found, file, fingerprint) else None


def _is_of(kept: "Found | Glance", file: File, fingerprint: Callable[[File], str]) -> bool:
    return kept.video == file.name or (kept.fingerprint != "" and kept.fingerprint == fingerprint(file))


@lru_cache(maxsize=KEPT)
def _read(path: Path, changed: int) -> Found | None:
    try:
        with safe_open(path, "numpy") as file:
            told = json.loads(file.metadata()["found"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no dict
        classes = tuple(told["classes"])
        rows = zip(tensors["labels"].tolist(), tensors["segments"].tolist(), strict=True)
        proposals = tuple(Proposal(classes[label], *row) for label, row in rows)
        curves = tensors["edges"], tensors["attention"], tensors["cas"]
        video, known = told["of"]
        return Found(video, known, told["fps"], classes, proposals, *curves)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, IndexError):
        return None  # damaged: it is made again


@dataclass(frozen=True, eq=False)
class Operating:
    """How a timeline is made of proposals: its limits, and from which score on; `thresholds` None: relative."""

    limits: Limits
    thresholds: Mapping[str, float | None] | None
    said: str

    def tidied(self, found: Found) -> list[Proposal]:
        """Free of overlaps, whatever the score: what any threshold then takes away from."""
        return _tidied(found, self.limits)

    def of(self, found: Found) -> Mapping[str, float | None]:
        """From which score on each class shows; None: never."""
        if self.thresholds is not None:
            return self.thresholds
        surest = max((p.score for p in found.proposals), default=0.0)
        return dict.fromkeys(found.classes, SURE * surest)

    def result(self, found: Found, least: float | None = None) -> list[Proposal]:
        """The timeline, at a threshold for all classes if one is given."""
        thresholds = self.of(found) if least is None else dict.fromkeys(found.classes, least)
        shown = ((p, thresholds.get(p.label)) for p in self.tidied(found))
        return [p for p, threshold in shown if threshold is not None and p.score >= threshold]


@lru_cache(maxsize=KEPT)
def _tidied(found: Found, limits: Limits) -> list[Proposal]:
    return tidy(found.proposals, limits)


@dataclass(frozen=True)
class Glance:
    """What the list of videos shows of one: how long it is, and which classes its result has."""

    video: str
    fingerprint: str
    duration: float
    labels: tuple[str, ...]


def glance_at(path: Path, file: File, fingerprint: Callable[[File], str], operating: Operating) -> Glance | None:
    """As `read_found`, for many videos."""
    try:
        glance = _glance(path, path.stat().st_mtime_ns, operating)
    except OSError:
        return None
    return glance if glance and _is_of(glance, file, fingerprint) else None


@lru_cache(maxsize=GLANCES)
def _glance(path: Path, changed: int, operating: Operating) -> Glance | None:
    found = _read(path, changed)
    if found is None:
        return None
    labels = tuple(dict.fromkeys(p.label for p in operating.result(found)))
    return Glance(found.video, found.fingerprint, found.duration, labels)


def operating_of(run: Path) -> Operating:
    """As `wtal calibrate` chose it, else whatever is nearly as sure as the surest. Raises CheckpointError."""
    calibration = read_calibration(run)
    if calibration is None:
        return Operating(Limits(), None, NOT_CHOSEN)
    point = calibration.at(F1)
    return Operating(point.limits, point.thresholds, _plainly(point))


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
    return (
        f"chosen on {videos} of which all is known: {right} of what was shown was right, {found} of all was shown"
    )


def packed(found: Found, operating: Operating) -> str:
    """As the page unpacks it, in base64: the result lane holds all that is tidied. Raises DataError."""
    lanes = operating.tidied(found), found.proposals
    cas = found.cas.astype(np.float32)
    panel = Panel("", found.duration, (), *lanes, found.edges, found.attention, cas)
    return pack(panel, found.classes)
