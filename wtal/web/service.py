"""The operations of the web page: list videos, run the model, save corrections, export annotations."""

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from wtal.core.errors import DataError, WtalError
from wtal.core.io import directory_lock, to_data_error
from wtal.core.structures import Segment
from wtal.data.annotations.base import Annotation, AnnotationFormat
from wtal.data.annotations.convert import conversion_warnings, write_annotations
from wtal.data.annotations.registry import FORMATS, find_format
from wtal.data.video_files import VIDEO_SUFFIXES, video_ids
from wtal.inference.localizer import Localizer
from wtal.reporting.figures.colors import theme_colors
from wtal.video.backbones.registry import BackboneOptions
from wtal.web.colors import ClassColors
from wtal.web.corrections import CorrectionRecord, Corrections, check_segments
from wtal.web.improvement import Improver
from wtal.web.improvement_worker import ImprovementJob, ImprovementWorker
from wtal.web.jobs import JobQueue, QueueItem
from wtal.web.models import ModelList, displayable
from wtal.web.predictions import (
    PREDICTIONS_DIR,
    DisplayThresholds,
    StoredPrediction,
    VideoSummary,
    pack_prediction,
    prediction_path,
    read_prediction,
    read_summary,
)
from wtal.web.review import review_order
from wtal.web.suggestions import Suggestions
from wtal.web.thumbnails import THUMBNAILS_DIR, Thumbnails
from wtal.web.training_set import TrainingData, open_training_data
from wtal.web.uploads import MAX_UPLOAD_BYTES, remove_partial_uploads
from wtal.web.videos import VideoFile, VideoLibrary
from wtal.web.worker import Task, Worker

CORRECTIONS_DIR = "corrections"
DEFAULT_FPS = 25.0  # for formats that count frames, if the frame rate of a video is not known


@dataclass(frozen=True)
class AnnotationService:
    """A folder of videos, the model that processes them, and the corrections; `open_service` creates it.

    Attributes:
        models: The model that the server was started with, and those that were improved from it.
        library: The videos.
        store: The folder of predictions, corrections, models and the queue.
        corrections: The corrected timelines.
        jobs: The videos to process.
        improver: Trains models from the corrections.
        suggestions: The videos whose labels help most.
        thumbnails: A small image of each video.
        colors: The colors of classes that people set.
        max_upload_bytes: The largest upload that is accepted.
    """

    models: ModelList
    library: VideoLibrary
    store: Path
    corrections: Corrections
    jobs: JobQueue
    improver: Improver
    suggestions: Suggestions
    thumbnails: Thumbnails
    colors: ClassColors
    max_upload_bytes: int = MAX_UPLOAD_BYTES

    @property
    def model(self) -> str:
        """The fingerprint of the active model."""
        return self.models.active.fingerprint

    @property
    def thresholds(self) -> DisplayThresholds:
        """Which proposals of the active model are shown."""
        return self.models.active.thresholds

    def config(self) -> dict[str, Any]:
        """What the page needs to know once."""
        return {
            "folder": displayable(self.library.folder.name),
            **self.model_config(),
            "formats": [
                {"name": format.name, "title": format.title, "suffix": format.extension, "hint": format.usage_hint}
                for format in FORMATS.values()
            ],
            "score_range": [0, 1],  # of the opacity of proposals
            "max_upload_bytes": self.max_upload_bytes,
            "video_suffixes": sorted(VIDEO_SUFFIXES),
            "colors": theme_colors(),
            "custom_colors": self.colors.describe(),
        }

    def model_config(self) -> dict[str, Any]:
        """What the page needs to know of the active model."""
        model = self.models.active
        return {
            "run": model.title,
            "model": model.fingerprint,
            "classes": model.meta.classes,
            "thresholds": model.thresholds.description,
        }

    def activate(self, id: str) -> None:
        """Let another model process videos, first those that have a prediction of the current one.

        Raises:
            CheckpointError, DataError: There is no such model, or it cannot be used.
        """
        files, reviewed = self.library.files(), self._reviewed()
        predicted = [key for key, file in files.items() if self._summary(file)]
        self.models.activate(id)
        self.suggestions.start()
        self.jobs.restart_worker()
        keys = [key for key in predicted if not self._summary(files[key])]
        self.jobs.add(*sorted(keys, key=lambda key: key in reviewed))

    def videos(self) -> list[dict[str, Any]]:
        """The list of videos, with state and classes."""
        files, jobs = self.library.files(), self.jobs.items()
        with suppress(DataError, OSError):  # such as a full disk; tried again at the next request
            self.corrections.follow(files, self.library.fingerprint)
        queued = [key for key, job in jobs.items() if job.state == "queued"]
        queue_positions = {key: number for number, key in enumerate(queued, start=1)}
        summaries = {key: self._summary(file) for key, file in files.items()}
        reviewed = self._reviewed()
        order = self._review_order({key: summary for key, summary in summaries.items() if key not in reviewed}, files)
        review_positions = {key: number for number, key in enumerate(order, start=1)}
        return [
            {
                **self._describe(file, jobs.get(key), summaries[key]),
                "queue_position": queue_positions.get(key, 0),
                "review_position": review_positions.get(key, 0),
            }
            for key, file in files.items()
        ]

    def video(self, key: str) -> dict[str, Any]:
        """Everything about one video. Raises DataError if there is none."""
        file = self.library.find(key)
        prediction, record = self.prediction(file), self.corrections.get(key)
        return {
            "key": key,
            "name": file.name,
            "version": file.version,
            "duration": prediction.duration if prediction else None,
            "fps": prediction.fps if prediction else None,
            "classes": prediction.classes if prediction else [],
            "packed": pack_prediction(prediction, self.thresholds) if prediction else None,
            "thresholds": self.thresholds.for_video(prediction) if prediction else {},
            "corrections": record.to_json() if record else None,
            "moments": [moment.model_dump() for moment in self.suggestions.moments(self.library.fingerprint(file))],
            "replaced": record is not None and self._was_replaced(file, record),
        }

    def prediction(self, file: VideoFile) -> StoredPrediction | None:
        """The stored prediction of the current model for a file, None if there is none."""
        return read_prediction(prediction_path(self.store, file, self.model), file, self.library.fingerprint)

    def save(
        self,
        key: str,
        segments: list[Segment],
        revision: int,
        version: str,
        complete: bool = False,
        reviewed: bool = False,
    ) -> CorrectionRecord:
        """Store corrections.

        Args:
            key: The key of the video.
            segments: The corrected segments and points.
            revision: The revision that they are based on, 0 for none.
            version: The version of the file that they were made for.
            complete: Whether nothing happens outside the segments.
            reviewed: Whether a person has finished with the video.

        Raises:
            ConflictError: Someone else saved in the meantime.
            DataError: The file is gone or was replaced, the segments are invalid, or cannot be written.
        """
        check_segments(segments, complete)
        file = self.library.current(self.library.find(key))
        if file.version != version:
            self.library.refresh()
            raise DataError(
                "the file was replaced by another one",
                path=file.name,
                hint="check whether the corrections fit the new file",
                code="video-replaced",
            )
        fingerprint = self.library.fingerprint(file)
        return self.corrections.save(
            key, file.name, segments, revision, fingerprint, complete=complete, reviewed=reviewed
        )

    def discard(self, key: str, revision: int) -> None:
        """Delete corrections. Raises ConflictError and DataError like `save`."""
        self.library.find(key)
        self.corrections.discard(key, revision)

    def run_detection(self, keys: Iterable[str]) -> None:
        """Queue videos; unknown keys are ignored. Raises DataError if the queue cannot be written."""
        files = self.library.files()
        self.jobs.add(*(key for key in keys if key in files))

    def unpredicted(self) -> list[str]:
        """The keys of the videos that have no prediction of the active model and are not in the queue."""
        jobs = self.jobs.items()
        return [key for key, file in self.library.files().items() if key not in jobs and not self._summary(file)]

    def cancel(self, key: str) -> None:
        """Remove a video from the queue. Raises DataError if neither the folder nor the queue has it."""
        if key not in self.jobs.items():
            self.library.find(key)
        self.jobs.cancel(key)

    def export(self, key: str, format_name: str, threshold: float | None) -> tuple[str, list[str], bytes]:
        """Export the corrections of a video, else its prediction.

        Args:
            key: The key of the video.
            format_name: The name of the format.
            threshold: The minimum score of predicted segments, None for the default.

        Returns:
            The file name, what the format cannot store (a sentence each), and the content.

        Raises:
            ConfigError: The format does not exist.
            DataError: The video does not exist, or has neither corrections nor a prediction.
        """
        format, file = find_format(format_name), self.library.find(key)
        prediction, record = self.prediction(file), self.corrections.get(key)
        if record:
            segments = record.segments
        elif prediction:
            selected = self.thresholds.select(prediction, threshold)
            segments = tuple(Segment(s.label, round(s.start, 6), round(s.end, 6), s.score) for s in selected)
        else:
            raise DataError(
                "no segments to export", path=file.name, hint="run detection or add a segment", code="no-segments"
            )
        names = [*(other.name for other in self.library.files().values()), file.name]
        duration, fps = (prediction.duration, prediction.fps) if prediction else (None, None)
        annotation = Annotation.from_media(file.name, segments, duration, video_ids(names)[file.name])
        rate = fps or DEFAULT_FPS
        remarks = [warning.message for warning in conversion_warnings(format, [annotation], rate)]
        if format.needs_fps and not fps:
            remarks.append(f"the frame rate of the video is not known; {rate:g} frames per second were assumed")
        # The reader takes the video id from the name of a file that holds one video.
        # Other formats add their name where the extension does not say it: three of them write .csv.
        is_clear = format.single_video or format.extension == f".{format.name}"
        name = annotation.id if is_clear else f"{annotation.id} {format.name}"
        return f"{name}{format.extension}", remarks, _to_bytes(format, annotation, rate if format.needs_fps else fps)

    def _was_replaced(self, file: VideoFile, record: CorrectionRecord) -> bool:
        """Whether the file has the name, but not the content, of the corrected video."""
        fingerprint = self.library.fingerprint(file)
        return "" not in (fingerprint, record.fingerprint) and fingerprint != record.fingerprint

    def _review_order(self, summaries: Mapping[str, VideoSummary | None], files: Mapping[str, VideoFile]) -> list[str]:
        if not (suggested := self.suggestions.ranks()):
            return review_order(summaries, {})
        fingerprints = {key: self.library.fingerprint(files[key]) for key in summaries}
        return review_order(summaries, {key: suggested[f] for key, f in fingerprints.items() if f in suggested})

    def _reviewed(self) -> set[str]:
        return {key for key, record in self.corrections.records().items() if record.reviewed}

    def _summary(self, file: VideoFile) -> VideoSummary | None:
        path = prediction_path(self.store, file, self.model)
        return read_summary(path, file, self.library.fingerprint, self.thresholds)

    def _describe(self, file: VideoFile, job: QueueItem | None, prediction: VideoSummary | None) -> dict[str, Any]:
        summary = None if job else prediction
        record = self.corrections.get(file.key)
        labels: Iterable[str] = summary.labels if summary else ()
        if record:
            labels = dict.fromkeys(segment.label for segment in record.segments)
        return {
            "key": file.key,
            "name": file.name,
            "version": file.version,
            "state": job.state if job else "done" if summary else "new",
            "position": job.position if job else 0.0,
            "duration": summary.duration if summary else job.duration if job else None,
            "reason": job.reason if job else "",
            "status": _status(job, record, summary is not None),
            "edited": record is not None,
            "reviewed": record is not None and record.reviewed,
            "revision": record.revision if record else 0,
            "labels": list(labels),
        }


@contextmanager
def open_service(
    run: Path, videos: Path, store: Path, options: BackboneOptions, data: Path | None = None
) -> Iterator[AnnotationService]:
    """Open a folder of videos and process its queue.

    Args:
        run: The run folder of the model.
        videos: The folder of videos.
        store: The folder of predictions, corrections and the queue; locked against a second server.
        options: How features are extracted.
        data: The data set that the model was trained on; None to look for it beside the videos.

    Raises:
        CheckpointError: The model cannot be loaded, or does not match the backbone.
        DataError: A folder cannot be used, or another server uses the store.
    """
    library = VideoLibrary(videos)
    with directory_lock(store, "open the page of the `wtal serve` that is running, or give another --store"):
        prepare_store(store, library.uploads)
        thumbnails = Thumbnails(store / THUMBNAILS_DIR, library)
        try:
            with run_service(run, library, thumbnails, store, options, data) as service:
                yield service
        finally:
            thumbnails.close()


@contextmanager
def run_service(
    run: Path, library: VideoLibrary, thumbnails: Thumbnails, store: Path, options: BackboneOptions, data: Path | None
) -> Iterator[AnnotationService]:
    """The same as `open_service`, for a store that is locked and prepared."""
    localizer = Localizer(run, backbone=options)
    _ = localizer.backbone  # reports missing weights at the start
    meta = localizer.meta
    del localizer
    models = ModelList(run, store)

    def start_worker() -> Worker:
        return Worker(models.active.run, options, meta.config.method)

    training_data = _open_training_data(data, library.folder, models)
    create_task = partial(_create_task, library, store, models, training_data)
    jobs = JobQueue(store / "jobs.json", create_task, start_worker)
    corrections = Corrections(store / CORRECTIONS_DIR, store / "tags.csv")

    def start_improvement(job: ImprovementJob) -> ImprovementWorker:
        return ImprovementWorker(job, options)

    def activate(id: str) -> None:
        service.activate(id)

    improver = Improver(store, models, training_data, library, corrections.records, start_improvement, activate)
    suggestions = Suggestions(store, models, training_data)
    service = AnnotationService(
        models, library, store, corrections, jobs, improver, suggestions, thumbnails, ClassColors(store)
    )
    jobs.start()
    improver.resume()
    suggestions.start()
    try:
        yield service
    finally:
        suggestions.close()
        improver.close()
        jobs.close()


def _open_training_data(data: Path | None, videos: Path, models: ModelList) -> TrainingData | WtalError:
    """The data set of the model; if it was not given and there is none, the reason. Raises WtalError."""
    try:
        return open_training_data(data, videos, models.original.meta)
    except WtalError as error:
        if data is not None:
            raise
        return error


def _status(job: QueueItem | None, record: CorrectionRecord | None, is_predicted: bool) -> str:
    """`new`, `running`, `failed`, `predicted`, `edited` or `reviewed`."""
    if job and job.state in ("queued", "running"):
        return "running"
    if record:
        return "reviewed" if record.reviewed else "edited"
    if job and job.state == "failed":
        return "failed"
    return "predicted" if is_predicted else "new"


def prepare_store(store: Path, uploads: Path) -> None:
    """Make the folders of a store, and delete what a killed server left unfinished. Raises DataError."""
    try:
        for part in [*store.glob(".*.part"), *store.glob("*/.*.part")]:  # of a killed server
            part.unlink(missing_ok=True)
        for name in (PREDICTIONS_DIR, CORRECTIONS_DIR):
            (store / name).mkdir(exist_ok=True)
        remove_partial_uploads(uploads)
    except OSError as error:
        raise to_data_error(error, Path(error.filename or store), "move it away, or give another --store") from error


def _create_task(
    library: VideoLibrary, store: Path, models: ModelList, data: TrainingData | WtalError, key: str
) -> Task:
    """The task of a video for the active model. Raises DataError if it is gone."""
    file = library.find(key)
    fingerprint = library.fingerprint(file)
    features = None if isinstance(data, WtalError) else data.features(fingerprint)
    out = prediction_path(store, file, models.active.fingerprint)
    return Task(library.path(file), out, file.name, fingerprint, features)


def _to_bytes(format: AnnotationFormat, annotation: Annotation, fps: float | None) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"annotation{format.extension}"
        write_annotations(format, path, [annotation], fps)
        return path.read_bytes()
