"""Predict many videos into a folder: several processes, resumable, in any annotation formats.

FOLDER/proposals.json   all proposals, in the ActivityNet results format
FOLDER/timeline.json    the segments that are shown, in the same format
FOLDER/timeline.csv     a format that can hold several videos: one file
FOLDER/a/b.srt          a format of one video per file: named after the video a/b.mp4
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

from wtal.core.errors import ConfigError, DataError
from wtal.core.fingerprint import sampled_fingerprint
from wtal.core.io import realpath, to_data_error
from wtal.core.text import format_list
from wtal.data.annotations.base import Annotation, AnnotationFormat, ConversionWarning
from wtal.data.annotations.convert import conversion_warnings, write_annotations
from wtal.data.annotations.registry import format_for_output
from wtal.data.features import features_path, open_features
from wtal.data.layouts.activitynet import write_proposals
from wtal.data.provenance import read_origin
from wtal.data.video_files import VideoInput, find_videos, read_listing, video_ids
from wtal.inference.calibration import SegmentFilter, load_segment_filter
from wtal.inference.localizer import Localizer
from wtal.inference.predict import VideoPrediction
from wtal.inference.prediction_store import HINT_OUT, PredictionStore, StoredVideo, WriteFile
from wtal.models.checkpoint import model_fingerprint
from wtal.video.backbones.base import BackboneOptions
from wtal.video.extract_dataset import ExtractionProgress, is_up_to_date
from wtal.video.local_executor import ExtractionTask, run_locally
from wtal.video.reader import read_duration_and_rate

PROPOSALS_NAME, TIMELINE_NAME = "proposals.json", "timeline.json"


@dataclass(frozen=True)
class PredictionSummary:
    """What `predict_into` did.

    Attributes:
        backbone: The backbone of the model's features.
        videos: Number of videos that were asked for.
        predicted: Ids of the videos that were predicted in this call.
        reused: Ids of the videos whose stored prediction is up to date.
        failed: Id to error, for the videos that cannot be read.
        stored: Number of videos in the folder, also from earlier calls.
        proposals: Number of all proposals in the folder.
        shown: Number of the shown segments in the folder.
        files: The files that were written.
        notes: What the formats cannot store, and folders that could not be searched.
    """

    backbone: str
    videos: int
    predicted: tuple[str, ...]
    reused: tuple[str, ...]
    failed: dict[str, DataError]
    stored: int
    proposals: int
    shown: int
    files: tuple[Path, ...]
    notes: tuple[str, ...]


OnPrediction = Callable[[VideoPrediction], object]


def predict_into(
    folder: Path,
    paths: Sequence[Path],
    model: Path,
    *,
    formats: Sequence[AnnotationFormat] = (),
    operating_point: str = "f1",
    data: Path | None = None,
    backbone: BackboneOptions | None = None,
    workers: int | None = None,
    on_progress: Callable[[ExtractionProgress], object] = lambda _: None,
    on_prediction: OnPrediction = lambda _: None,
) -> PredictionSummary:
    """Predict videos into a folder. After an interruption, call it again to continue.

    A video is skipped if the folder has its prediction by this model and the file has not changed. Videos of earlier
    calls stay in the folder and in all files. The files are written at the end, also after an interrupt.

    Args:
        folder: The folder. It holds the predictions of one model.
        paths: Video files, and folders, which are searched with their subfolders.
        model: A run or model folder.
        formats: Annotation formats to write besides `proposals.json` and `timeline.json`.
        operating_point: The segments to show: `f1`, `precision=0.9` or `all`, see `load_segment_filter`.
        data: A data set folder. Its videos get their ids there, and its features are used if they are up to date.
        backbone: Device, precision or weights of the model's backbone; None: the usual ones.
        workers: Number of processes that extract features; None: see `default_workers`. A script needs an
            `if __name__ == "__main__"` guard.
        on_progress: Called a few times a second.
        on_prediction: Called with the prediction of each video, also of those that are reused.

    Raises:
        CheckpointError: There is no model, or its backbone is not known or not available.
        ConfigError: An option or the operating point cannot be used.
        DataError: A folder contains no videos, or holds the predictions of another model; or a file cannot be written,
            or was not written by an earlier call.
    """
    listing = read_listing(data) if data else None
    videos, remarks = find_videos(paths, listing)
    localizer = Localizer(model, backbone=backbone)
    options, provenance = localizer.resolve_backbone()
    select, _ = load_segment_filter(model, operating_point)
    store = PredictionStore(folder, model_fingerprint(model))
    outputs = _Outputs(store, formats, select)
    pending, reused = _split(videos, store)
    outputs.check(pending)
    predicted: list[str] = []
    failed: dict[str, DataError] = {}

    def finish(video: VideoInput, features: Path) -> None:
        origin = read_origin(features)
        assert origin is not None
        result = localizer.localize(open_features(features), origin.clock)
        prediction = VideoPrediction.from_localization(video, result)
        store.put(video.id, _to_stored(video, prediction, origin.fingerprint))
        predicted.append(video.id)
        on_prediction(prediction)

    with store.lock():
        try:
            for video in reused:
                on_prediction(_from_stored(video, store))
            tasks: dict[str, ExtractionTask] = {}
            for video in pending:
                task = data and ExtractionTask(video.id, video.path, features_path(data, video.id))
                if task and is_up_to_date(task, provenance):
                    finish(video, task.features)
                else:
                    tasks[video.id] = ExtractionTask(video.id, video.path, features_path(store.temporary, video.id))
            by_id = {video.id: video for video in pending}
            done = len(videos) - len(tasks)
            finished: list[str] = []
            for outcome in run_locally(
                list(tasks.values()),
                options,
                workers,
                lambda active: on_progress(
                    ExtractionProgress(done + len(finished), len(videos), active, tuple(finished))
                ),
            ):
                finished.append(outcome.id)
                if outcome.error:
                    failed[outcome.id] = outcome.error
                    continue
                finish(by_id[outcome.id], tasks[outcome.id].features)
                tasks[outcome.id].features.unlink()
        finally:
            outputs.write()
    return PredictionSummary(
        provenance.backbone,
        len(videos),
        tuple(predicted),
        tuple(video.id for video in reused),
        failed,
        outputs.num_videos,
        outputs.num_proposals,
        outputs.num_shown,
        tuple(folder / name for name in outputs.written),
        (*remarks, *map(str, outputs.warnings)),
    )


def _split(videos: Sequence[VideoInput], store: PredictionStore) -> tuple[list[VideoInput], list[VideoInput]]:
    """The videos to predict, and those whose stored predictions are up to date.

    Raises DataError where the folder has the prediction of another file with the same id.
    """
    pending, reused = [], []
    for video in videos:
        stored = store.get(video.id)
        try:
            fingerprint = sampled_fingerprint(video.path) if stored and video.path.is_file() else ""
        except OSError as error:
            raise to_data_error(error, video.path) from error
        if stored and stored.fingerprint == fingerprint:
            reused.append(video)
            continue
        if stored and stored.path != str(realpath(video.path)):
            raise DataError(
                f"the folder holds the prediction of {stored.path}, which has the same id",
                path=video.path,
                hint="choose another folder with --out, or predict the folder that contains both videos",
                code="duplicate-id",
            )
        pending.append(video)
    return pending, reused


class _Outputs:
    """The files that are made from the stored predictions."""

    def __init__(self, store: PredictionStore, formats: Sequence[AnnotationFormat], select: SegmentFilter) -> None:
        self._store, self._formats, self._select = store, formats, select
        self.num_videos = self.num_proposals = self.num_shown = 0
        self.written: tuple[str, ...] = ()
        self.warnings: list[ConversionWarning] = []

    def check(self, pending: Sequence[VideoInput]) -> None:
        """Raise ConfigError or DataError before long work if a file cannot be written."""
        stored = {id: video for id in self._store.ids() if (video := self._store.get(id))}
        names = {id: video.name for id, video in stored.items()} | {video.id: video.name for video in pending}
        if any(format.needs_fps for format in self._formats):
            self._common_rate([*(video.fps for video in stored.values()), *(_read_rate(v.path) for v in pending)])
        for name in (PROPOSALS_NAME, TIMELINE_NAME, *self._single_files(names), *self._joint_files()):
            self._store.require_replaceable(name)

    def write(self) -> None:
        """Write all files."""
        stored = {id: video for id in self._store.ids() if (video := self._store.get(id))}
        if not stored:
            return
        proposals = {id: list(video.segments) for id, video in stored.items()}
        shown = {id: self._select(segments) for id, segments in proposals.items()}
        annotations = {
            id: Annotation.from_media(video.path, shown[id], video.end, id=id) for id, video in stored.items()
        }
        rate = self._common_rate([video.fps for video in stored.values()])
        files: dict[str, WriteFile] = {
            PROPOSALS_NAME: partial(write_proposals, proposals=proposals),
            TIMELINE_NAME: partial(write_proposals, proposals=shown),
        }
        for name, format in self._joint_files().items():
            files[name] = partial(_write, format, list(annotations.values()), rate)
        for name, (format, id) in self._single_files({id: video.name for id, video in stored.items()}).items():
            files[name] = partial(_write, format, [annotations[id]], None)
        self._store.write_files(files)
        self.num_videos, self.written = len(stored), tuple(files)
        self.num_proposals, self.num_shown = (sum(map(len, by_id.values())) for by_id in (proposals, shown))
        for format in self._formats:
            without_durations = [replace(annotation, duration=None) for annotation in annotations.values()]
            self.warnings += conversion_warnings(format, without_durations, rate)

    def _joint_files(self) -> dict[str, AnnotationFormat]:
        """Name to format, of the files that hold all videos: `timeline.csv`, `timeline-boris.csv`, ..."""
        files = {}
        for format in self._formats:
            if not format.single_video:
                plain = Path(f"timeline{format.extension}")
                try:
                    is_default = format_for_output(plain) is format
                except ConfigError:  # several formats have this extension, and none is the default
                    is_default = False
                files[plain.name if is_default else f"timeline-{format.name}{format.extension}"] = format
        return files

    def _single_files(self, names: dict[str, str]) -> dict[str, tuple[AnnotationFormat, str]]:
        """Path of the file to its format and video id, of the formats of one video per file; ids to names of videos."""
        videos = {id: PurePosixPath(name) for id, name in names.items()}
        by_folder: dict[PurePosixPath, list[str]] = {}
        for video in videos.values():
            by_folder.setdefault(video.parent, []).append(video.name)
        stems = {folder: video_ids(files) for folder, files in by_folder.items()}
        files: dict[str, tuple[AnnotationFormat, str]] = {}
        for format in self._formats:
            for id, video in videos.items() if format.single_video else ():
                path = video.with_name(stems[video.parent][video.name] + format.extension).as_posix()
                if path in files:
                    message = f"the files of the videos {files[path][1]} and {id} would have the same name"
                    raise DataError(message, path=self._store.folder / path, hint=HINT_OUT, code="duplicate-name")
                files[path] = format, id
        return files

    def _common_rate(self, rates: Sequence[float | None]) -> float | None:
        """The frames per second of all videos, None if they differ. Raises ConfigError if a format needs them."""
        different = {rate for rate in rates if rate}
        if len(different) == 1:
            return different.pop()
        for format in self._formats:
            if format.needs_fps:
                values = format_list([f"{rate:.6g}" for rate in sorted(different)]) or "unknown"
                raise ConfigError(
                    f"{format.name} stores frame numbers, and the videos do not have one frame rate ({values})",
                    hint=f"leave {format.name} out, and convert {TIMELINE_NAME} with `wtal convert --fps`",
                    code="invalid-fps",
                )
        return None


def _write(format: AnnotationFormat, annotations: Sequence[Annotation], fps: float | None, path: Path) -> None:
    write_annotations(format, path, annotations, fps)


def _read_rate(video: Path) -> float | None:
    """Frames per second; None for a file that cannot be read, which is reported when it is predicted."""
    try:
        return read_duration_and_rate(video)[1]
    except DataError:
        return None


def _to_stored(video: VideoInput, prediction: VideoPrediction, fingerprint: str) -> StoredVideo:
    proposals = tuple((label, start, end, score or 0.0) for label, start, end, score in prediction.proposals)
    path, fps = str(realpath(video.path)), _read_rate(video.path)
    return StoredVideo(path, video.name, fingerprint, prediction.start, prediction.end, fps, proposals)


def _from_stored(video: VideoInput, store: PredictionStore) -> VideoPrediction:
    stored = store.get(video.id)
    assert stored is not None
    return VideoPrediction(video.id, video.path, stored.start, stored.end, stored.segments)
