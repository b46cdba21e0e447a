"""Extract the features of all videos of a data set folder. Existing features are kept, failed videos are listed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wtal.core.errors import ConfigError, DataError
from wtal.core.fingerprint import sampled_fingerprint
from wtal.core.io import directory_lock, read_json, write_json
from wtal.data.dataset import FAILED_NAME, read_failed
from wtal.data.features import features_path, open_features
from wtal.data.provenance import Provenance, parse_provenance, read_origin, to_json
from wtal.data.video_files import VideoListing, read_listing
from wtal.video.backbones.base import BackboneOptions
from wtal.video.backbones.registry import open_backbone, recommended_backbone
from wtal.video.local_executor import ActiveVideos, ExtractionOutcome, ExtractionTask, run_locally
from wtal.video.ray_executor import run_on_ray

Executor = Callable[
    [Sequence[ExtractionTask], BackboneOptions, int | None, Callable[[ActiveVideos], object]],
    Iterator[ExtractionOutcome],
]
EXECUTORS: dict[str, Executor] = {"local": run_locally, "ray": run_on_ray}


@dataclass(frozen=True)
class ExtractionSummary:
    """The result of an extraction.

    Attributes:
        available: Number of videos with features.
        extracted: Number of videos whose features were extracted in this run.
        failed: Video id -> error message, for the videos without features.
    """

    available: int
    extracted: int
    failed: dict[str, str]


@dataclass(frozen=True)
class ExtractionProgress:
    """Number of videos done, number of all videos, id and reached second of those in progress, ids of those done."""

    done: int
    total: int
    active: ActiveVideos
    finished: tuple[str, ...] = ()


def extract_dataset(
    folder: Path,
    options: BackboneOptions,
    *,
    videos: Path | None = None,
    workers: int | None = None,
    engine: str = "local",
    on_progress: Callable[[ExtractionProgress], object] = lambda _: None,
) -> ExtractionSummary:
    """Extract the features that a data set folder lacks. After an interruption, call it again to continue.

    Videos that cannot be decoded are listed in failed.json with the reason and left out of training. They are tried
    again by the next call.

    Args:
        folder: A folder created by `wtal init`.
        options: The backbone.
        videos: The folder of the video files, if they have been moved.
        workers: Number of processes; None chooses by backbone and device.
        engine: A name in `EXECUTORS`: `local` or `ray`.
        on_progress: Called a few times a second.

    Raises:
        DataError: The folder was not created by `wtal init`, contains features of another backbone, or cannot be
            written.
        ConfigError: The engine, the backbone or an option is unknown or not available.
    """
    if engine not in EXECUTORS:
        raise ConfigError(f"unknown engine {engine!r}", hint=f"use {' or '.join(EXECUTORS)}", code="unknown-name")
    listing = read_listing(folder, videos)
    backbone = open_backbone(options)
    provenance, widths = backbone.provenance, backbone.widths
    del backbone  # each worker opens its own
    with directory_lock(folder):
        for part in (folder / "features").glob(".*.part"):  # left by processes that were killed
            part.unlink(missing_ok=True)
        _write_description(folder, provenance, widths)
        tasks = [ExtractionTask(id, listing.path(id), features_path(folder, id)) for id in listing.files]
        tasks = [task for task in tasks if not is_up_to_date(task, provenance)]
        if tasks and not listing.folder.is_dir():
            raise DataError(
                "the folder of the videos does not exist",
                path=listing.folder,
                hint="give its current path with --videos",
                code="file-not-found",
            )
        task_ids = {task.id for task in tasks}
        failed = {id: message for id, message in read_failed(folder).items() if id in task_ids}
        finished: list[str] = []

        def report(active: ActiveVideos) -> None:
            on_progress(ExtractionProgress(len(finished), len(tasks), active, tuple(finished)))

        try:
            for outcome in EXECUTORS[engine](tasks, options, workers, report):
                finished.append(outcome.id)
                failed.pop(outcome.id, None)
                if outcome.error:
                    failed[outcome.id] = str(outcome.error)
        finally:
            write_json(folder / FAILED_NAME, failed)
    return ExtractionSummary(len(listing.files) - len(failed), len(tasks) - len(failed), failed)


def choose_backbone(folder: Path, options: BackboneOptions) -> BackboneOptions:
    """Options that name a backbone.

    If none is requested, it is the one of the features in the data set folder. Without features it is I3D if its
    weights have been downloaded or are in the options, else `tiny`.

    Raises:
        DataError: The folder was not created by `wtal init`, or dataset.json cannot be read.
    """
    read_listing(folder)
    if options.name:
        return options
    recorded = _recorded_provenance(folder)
    if recorded and _has_features(folder):
        return replace(options, name=recorded.backbone)
    has_weights = options.weights or options.flow_weights
    return replace(options, name="i3d" if has_weights else recommended_backbone())


def missing_features(folder: Path, listing: VideoListing) -> list[str]:
    """The ids of videos without features of the current file by the backbone that dataset.json records.

    The backbone is not opened: `extract_dataset` checks whether it is the recorded one.

    Raises:
        DataError: dataset.json cannot be read.
    """
    provenance = _recorded_provenance(folder)
    if provenance is None:
        return list(listing.files)
    tasks = [ExtractionTask(id, listing.path(id), features_path(folder, id)) for id in listing.files]
    return [task.id for task in tasks if not is_up_to_date(task, provenance)]


def is_up_to_date(task: ExtractionTask, provenance: Provenance) -> bool:
    """Whether the features are complete, of this backbone, and of the current video file."""
    if not task.features.is_file():
        return False
    try:
        features, origin = open_features(task.features), read_origin(task.features)
    except DataError:
        return False
    if origin is None or origin.provenance != provenance or len(origin.edges) != len(features) + 1:
        return False
    try:
        return (origin.video, origin.fingerprint) == (task.video.name, sampled_fingerprint(task.video))
    except OSError:  # a video that has been moved away, to free disk space, has not changed
        return True


def _has_features(folder: Path) -> bool:
    return any((folder / "features").glob("*.npy"))


def _read_description(folder: Path) -> dict[str, Any]:
    """The content of dataset.json; empty if there is none."""
    path = folder / "dataset.json"
    description = read_json(path) if path.is_file() else {}
    if not isinstance(description, dict):
        raise DataError("not a JSON object", path=path, hint="run `wtal init` again", code="invalid-value")
    return description


def _recorded_provenance(folder: Path) -> Provenance | None:
    """The origin of the features by dataset.json; None if it does not say."""
    recorded = _read_description(folder).get("provenance")
    return None if recorded is None else parse_provenance(recorded, str(folder / "dataset.json"))


def _write_description(folder: Path, provenance: Provenance, widths: tuple[int, ...]) -> None:
    """Record the origin of the features in dataset.json. Raises DataError where the folder has others."""
    recorded, description = _recorded_provenance(folder), _read_description(folder)
    if recorded not in (None, provenance) and _has_features(folder):
        raise DataError(
            f"contains features of {recorded}, not of {provenance}",
            path=folder,
            hint=f"create another folder for these with `wtal init`, or delete {folder / 'features'}",
            code="provenance-mismatch",
        )
    update = {
        "snippet_seconds": provenance.stride / provenance.fps,
        "modalities": list(widths),
        "provenance": to_json(provenance),
    }
    if description != description | update:
        write_json(folder / "dataset.json", description | update)
