"""What all pages share: the videos, what was found in them, what was corrected, and the queue."""

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from wtal.core.errors import DataError
from wtal.core.io import directory_lock, realpath
from wtal.core.structures import Segment
from wtal.data.annotations.base import Annotation, AnnotationFormat
from wtal.data.annotations.convert import conversion_warnings, write_annotations
from wtal.data.annotations.registry import FORMATS, find_format
from wtal.data.video_files import VIDEO_SUFFIXES, video_ids
from wtal.inference.video import open_backbone_of
from wtal.models import checkpoint
from wtal.reporting.figures.colors import PALETTE, darken, lighten
from wtal.video.backbones.registry import BackboneOptions
from wtal.web import videos as upload
from wtal.web.corrections import CorrectionRecord, Corrections
from wtal.web.jobs import Jobs, QueueItem, Task, Worker
from wtal.web.predictions import (
    DisplayThresholds,
    StoredPrediction,
    load_display_thresholds,
    packed,
    prediction_path,
    read_prediction,
    summarize,
)
from wtal.web.videos import File, Library, MissingError

RATE = 25.0  # frames a second, for formats that count frames, of a video that does not say


@dataclass(frozen=True)
class AnnotationService:
    """Where everything lies. `open_desk` makes one."""

    run: Path
    meta: checkpoint.ModelMetadata
    model: str  # fingerprint
    library: Library
    store: Path
    corrections: Corrections
    operating: DisplayThresholds
    jobs: Jobs
    most: int = upload.MAX_UPLOAD_BYTES

    def about(self) -> dict[str, Any]:
        """What holds for all videos."""
        return {
            "folder": _readable(self.library.folder.name),
            "run": _readable("/".join(realpath(self.run).parts[-2:])),
            "model": self.model,
            "classes": self.meta.classes,
            "operating": self.operating.said,
            "formats": [
                {
                    "name": format.name,
                    "title": format.title,
                    "ending": format.extension,
                    "hint": format.usage_hint,
                }
                for format in FORMATS.values()
            ],
            "weakest": 0,  # one scale of opacity for all videos, as they are not all known
            "surest": 1,
            "most": self.most,
            "suffixes": sorted(VIDEO_SUFFIXES),
            "fills": PALETTE,
            "light": [darken(color) for color in PALETTE],
            "dark": [lighten(color) for color in PALETTE],
        }

    def videos(self) -> list[dict[str, Any]]:
        """What the list shows of each video."""
        files, jobs = self.library.files(), self.jobs.all()
        with suppress(DataError, OSError):  # the disk is full: it is tried again
            self.corrections.follow(files, self.library.fingerprint)
        queue = [key for key, job in jobs.items() if job.state == "waiting"]
        places = {key: place for place, key in enumerate(queue, start=1)}
        return [self._told(file, jobs.get(key), places) for key, file in files.items()]

    def video(self, key: str) -> dict[str, Any]:
        """All that the page needs to show one video. Raises DataError where there is none."""
        file = self.library.find(key)
        found, saved = self.found(file), self.corrections.of(key)
        return {
            "key": key,
            "name": file.name,
            "file": file.state,
            "duration": found.duration if found else None,
            "packed": packed(found, self.operating) if found else None,
            "thresholds": self.operating.of(found) if found else {},
            "corrections": saved.to_json() if saved else None,
            "replaced": saved is not None and self._is_another(file, saved),
        }

    def found(self, file: File) -> StoredPrediction | None:
        """What was found in a video as it is, by this model; None where it is not known yet."""
        return read_prediction(prediction_path(self.store, file, self.model), file, self.library.fingerprint)

    def save(self, key: str, segments: list[Segment], revision: int, state: str) -> CorrectionRecord:
        """Keep a corrected timeline of a file that was seen in a state.

        Raises DataError where the file is gone, or another one by now, OutdatedError where somebody else saved.
        """
        file = self.library.now(key)
        if file.state != state:
            self.library.look_again()
            raise MissingError(f"{file.name}: is another file by now; look at it before you correct it")
        return self.corrections.save(key, file.name, segments, revision, self.library.fingerprint(file))

    def discard(self, key: str, revision: int) -> None:
        """Forget what was corrected. Raises DataError, and OutdatedError as `save`."""
        self.library.find(key)
        self.corrections.discard(key, revision)

    def ask_all(self, keys: Iterable[str]) -> None:
        """Put videos into the queue; those that are gone are left out."""
        files = self.library.files()
        self.jobs.ask(*(key for key in keys if key in files))

    def ask(self, key: str) -> None:
        """Put a video into the queue. Raises DataError where there is none."""
        self.jobs.ask(self.library.find(key).key)

    def cancel(self, key: str) -> None:
        """Take a video out of the queue. Raises DataError where there is none, in the folder or in the queue."""
        if key not in self.jobs.all():
            self.library.find(key)
        self.jobs.cancel(key)

    def export(self, key: str, format: str, least: float | None) -> tuple[str, list[str], bytes]:
        """The name of the file, what it cannot hold, and the file: what was corrected, else the result.

        Raises ConfigError where there is no such format, DataError where there is no timeline.
        """
        target, file = find_format(format), self.library.find(key)
        found, saved = self.found(file), self.corrections.of(key)
        if found is None and saved is None:
            raise DataError(f"{file.name}: has no timeline yet; say “find what happens”, or add a segment first")
        segments = saved.segments if saved else _as_segments(self.operating.result(found, least) if found else ())
        id = video_ids([*(other.name for other in self.library.files().values()), file.name])[file.name]
        annotation = Annotation.from_media(file.name, segments, found.duration if found else None, id)
        rate = (found.fps if found else None) or RATE
        remarks = [warning.message for warning in conversion_warnings(target, [annotation], rate)]
        if target.needs_fps and not (found and found.fps):
            remarks.append(f"how many frames a second the video has is not known; taken as {RATE:g}")
        # A file of one video is read back as the video that it is called after.
        name = annotation.id if target.single_video else f"{annotation.id} {target.name}"
        return f"{name}{target.extension}", remarks, _written(target, annotation, rate)

    def _is_another(self, file: File, saved: CorrectionRecord) -> bool:
        """Whether a file is not the one that was corrected, though called as it."""
        now = self.library.fingerprint(file)
        return "" not in (now, saved.fingerprint) and now != saved.fingerprint

    def _told(self, file: File, job: QueueItem | None, places: Mapping[str, int]) -> dict[str, Any]:
        place = prediction_path(self.store, file, self.model)
        glance = None if job else summarize(place, file, self.library.fingerprint, self.operating)
        saved = self.corrections.of(file.key)
        labels = tuple(dict.fromkeys(one.label for one in saved.segments)) if saved else ()
        return {
            "key": file.key,
            "name": file.name,
            "file": file.state,
            "state": job.state if job else "done" if glance else "new",
            "second": job.second if job else 0.0,
            "duration": glance.duration if glance else job.duration if job else None,
            "place": places.get(file.key, 0),
            "reason": job.reason if job else "",
            "corrected": saved is not None,
            "revision": saved.revision if saved else 0,
            "labels": glance.labels if glance and not saved else labels,
        }


@contextmanager
def open_service(run: Path, videos: Path, store: Path, choice: BackboneOptions) -> Iterator[AnnotationService]:
    """A desk with its queue at work, held against a second server.

    Raises DataError and CheckpointError saying what is missing, or that another server is at work there.
    """
    network, meta = checkpoint.load_local(run)
    open_backbone_of(run, meta, choice)  # what is missing is said before anybody waits for it
    del network
    library = Library(videos)
    with directory_lock(store, "open the page of the `wtal serve` that runs, or name another --store"):
        _prepare(store, library.uploads)
        corrections = Corrections(store / "corrections", store / "tags.csv")
        model = checkpoint.weights_fingerprint(run)
        jobs = Jobs(store / "jobs.json", partial(_task, library, store, model), partial(Worker, run, choice))
        desk = AnnotationService(run, meta, model, library, store, corrections, load_display_thresholds(run), jobs)
        jobs.start()
        try:
            yield desk
        finally:
            jobs.close()


def _readable(name: str) -> str:
    """A name as text: what a disk calls a folder need be none."""
    return name.encode(errors="replace").decode()


def _prepare(store: Path, uploads: Path) -> None:
    try:
        for part in [*store.glob(".*.part"), *store.glob("*/.*.part")]:  # of a killed server
            part.unlink(missing_ok=True)
        for place in (store / "found", store / "corrections"):
            place.mkdir(exist_ok=True)
        upload.clear(uploads)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise DataError(f"{error.filename}: {why}; move it away, or name another --store") from error


def _task(library: Library, store: Path, model: str, key: str) -> Task:
    """What the worker is to do for a video. Raises DataError where it is gone."""
    file = library.find(key)
    return Task(library.path(file), prediction_path(store, file, model), file.name, library.fingerprint(file))


def _as_segments(proposals: Iterable[Segment]) -> tuple[Segment, ...]:
    return tuple(Segment(p.label, round(p.start, 6), round(p.end, 6), p.score) for p in proposals)


def _written(format: AnnotationFormat, annotation: Annotation, fps: float) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"annotation{format.extension}"
        write_annotations(format, path, [annotation], fps)
        return path.read_bytes()
