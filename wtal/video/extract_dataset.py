"""The engines by name.

FROM: The features of a whole data set folder: what is missing is extracted, what cannot be read is listed.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from wtal.core.errors import ConfigError, DataError
from wtal.core.fingerprint import sampled_fingerprint
from wtal.core.io import directory_lock, read_json, write_json
from wtal.data.dataset import FAILED_NAME, read_failed
from wtal.data.features import features_path, open_features
from wtal.data.provenance import Provenance, parse_provenance, read_origin, to_json
from wtal.data.video_files import read_listing
from wtal.video.backbones.registry import BackboneOptions, open_backbone, provenance_of
from wtal.video.local_executor import ExtractionOutcome, ExtractionTask, Heard, run_locally

Engine = Callable[[Sequence[ExtractionTask], BackboneOptions, int | None, Heard], Iterator[ExtractionOutcome]]


@dataclass(frozen=True)
class Extracted:
    """What became of a folder: videos whose features are there, those made just now, and why others have none."""

    there: int
    made: int
    failed: dict[str, str]


@dataclass(frozen=True)
class Progress:
    """How far the work is: videos done of all, and the second reached in those under way."""

    done: int
    total: int
    active: tuple[tuple[str, float], ...]


def extract_dataset(
    folder: Path,
    choice: BackboneOptions,
    *,
    videos: Path | None = None,
    workers: int | None = None,
    engine: Engine = run_locally,
    heard: Callable[[Progress], object] = lambda _: None,
) -> Extracted:
    """Extract the features that a folder made by `wtal init` lacks; stopped, it goes on when called again.

    `videos` is where the video files are now, if they were moved; `workers` the number of processes. failed.json
    lists the videos that could not be read and why; they are tried again each time, and left out of training.
    Raises DataError when the folder was not made by init, holds features of another backbone, or cannot be
    written; ConfigError for the choice.
    """
    listing = read_listing(folder, videos)
    backbone = open_backbone(choice)
    provenance, widths = provenance_of(backbone), backbone.widths
    del backbone  # each worker opens its own
    with directory_lock(folder):
        _forget_parts(folder / "features")
        _write_about(folder, provenance, widths)
        jobs = [ExtractionTask(id, listing.path(id), features_path(folder, id)) for id in listing.files]
        jobs = [job for job in jobs if not _is_up_to_date(job, provenance)]
        if jobs and not listing.folder.is_dir():
            raise DataError(f"{listing.folder}: the folder of the videos is not there; name it with --videos")
        missing = {job.id for job in jobs}
        failed = {id: reason for id, reason in read_failed(folder).items() if id in missing}
        done = 0

        def under_way(active: tuple[tuple[str, float], ...]) -> None:
            heard(Progress(done, len(jobs), active))

        try:
            for outcome in engine(jobs, choice, workers, under_way):
                done += 1
                failed.pop(outcome.id, None)
                if outcome.reason:
                    failed[outcome.id] = outcome.reason
        finally:
            write_json(folder / FAILED_NAME, failed)
    return Extracted(len(listing.files) - len(failed), len(jobs) - len(failed), failed)


def _is_up_to_date(job: ExtractionTask, provenance: Provenance) -> bool:
    """Whether the features are whole, of this backbone, and of the video as it is now."""
    if not job.features.is_file():
        return False
    try:
        features, origin = open_features(job.features), read_origin(job.features)
    except DataError:
        return False
    if origin is None or origin.provenance != provenance or len(origin.edges) != len(features) + 1:
        return False
    try:
        return (origin.video, origin.fingerprint) == (job.video.name, sampled_fingerprint(job.video))
    except OSError:  # a video that is not at hand (moved away, to save room) has not changed
        return True


def _forget_parts(features: Path) -> None:
    """What killed processes left half written."""
    for part in features.glob(".*.part"):
        part.unlink(missing_ok=True)


def _write_about(folder: Path, provenance: Provenance, widths: tuple[int, ...]) -> None:
    """Say in dataset.json what the features come from. Raises DataError where others lie there already."""
    path = folder / "dataset.json"
    about = read_json(path) if path.is_file() else {}
    if not isinstance(about, dict):
        raise DataError(f"{path}: is not a JSON object; run `wtal init` again")
    before = about.get("provenance")
    if before is not None and any((folder / "features").glob("*.npy")):
        there = parse_provenance(before, str(path))
        if there != provenance:
            raise DataError(
                f"{folder}: holds features of {there}, not of {provenance}; "
                f"make another folder for these with `wtal init`, or delete {folder / 'features'}"
            )
    new = {
        "snippet_seconds": provenance.stride / provenance.fps,
        "modalities": list(widths),
        "provenance": to_json(provenance),
    }
    if about != about | new:
        write_json(path, about | new)


def choose_engine(name: str) -> Engine:
    """`local` or `ray`. Raises ConfigError for another, and where Ray is not installed."""
    if name == "local":
        return run_locally
    if name == "ray":
        from wtal.video.ray_executor import run_on_ray

        return run_on_ray
    raise ConfigError(f"there is no engine {name!r}; use local or ray")
