"""The plain data set folder: annotations.json (or tags.csv), dataset.json and features/<id>.npy.

FROM: dataset.json of a plain folder: the clock, the classes, the widths of the features and where they come from.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from wtal.core.clock import SnippetClock
from wtal.core.errors import DataError
from wtal.core.io import read_json, write_json
from wtal.core.structures import SUBSETS, Video
from wtal.data.features import features_path, is_file_name, open_features
from wtal.data.layouts.activitynet import load_json, parse_activitynet, write_activitynet
from wtal.data.problems import Problem, abbreviate, as_problem, raise_first
from wtal.data.provenance import Provenance, origin_path, parse_provenance, read_origin
from wtal.data.tags import parse_tags
from wtal.data.video_files import LISTING_NAME

SYNTHETIC_KEY = {
    "feature": "made up, not measured from any video",
    "source": "wtal rehearse",
}  # what a rehearsal says
EXAMPLE = '{"snippet_seconds": 0.64, "offset_seconds": 0.0}'
STAND_IN = SnippetClock(1.0)  # so that a folder with a faulty dataset.json can still be looked through


def read_dataset_info(path: Path, problems: list[Problem]) -> tuple[Mapping[str, Any], SnippetClock]:
    """dataset.json and the clock it names; {} and a clock that stands in when it cannot be read."""
    try:
        about, repeated = _load_about(path)
    except DataError as error:
        problems.append(as_problem(error))
        return {}, STAND_IN
    problems += [Problem(str(path), f'"{key}" appears twice', "keep one of the two") for key in repeated]
    for name, default, least in (("snippet_seconds", None, 1e-9), ("offset_seconds", 0.0, -1e12)):
        value = about.get(name, default)
        if not _is_number(value) or value < least:
            problems.append(_no_clock(path, name, value))
            return about, STAND_IN
    return about, SnippetClock(float(about["snippet_seconds"]), float(about.get("offset_seconds", 0.0)))


def _no_clock(path: Path, name: str, value: object) -> Problem:
    if value is None and (path.parent / LISTING_NAME).is_file():
        folder = path.parent
        return Problem(str(folder), "has videos but no features yet", f"run `wtal extract {folder}`")
    return Problem(str(path), f"{name} is {abbreviate(repr(value))}", f"write the file as {EXAMPLE}")


def _load_about(path: Path) -> tuple[Mapping[str, Any], list[str]]:
    if not path.is_file():
        raise DataError(
            f"{path}: there is no such file, so the seconds of a snippet are unknown; write it as {EXAMPLE}"
        )
    about, repeated = load_json(path)
    if not isinstance(about, dict):
        raise DataError(f"{path}: is not a JSON object; write it as {EXAMPLE}")
    return about, repeated


def classes_of(
    about: Mapping[str, Any], videos: Iterable[Video], path: Path, problems: list[Problem]
) -> tuple[str, ...]:
    """As dataset.json names them, else the sorted labels of training."""
    classes = about.get("classes")
    if classes is None:
        videos = list(videos)
        training = {label for v in videos if v.subset == "training" for label in v.labels}
        return tuple(sorted(training or {label for v in videos for label in v.labels}))
    if not isinstance(classes, list) or not all(isinstance(c, str) and c.strip() for c in classes):
        problems.append(Problem(str(path), "`classes` is not a list of names", 'use ["run", "jump"]'))
        return ()
    twice = sorted({c for c in classes if classes.count(c) > 1})
    if twice:
        problems.append(Problem(str(path), f"`classes` names {', '.join(twice)} twice", "name each once"))
    return tuple(dict.fromkeys(classes))


def modalities_of(
    about: Mapping[str, Any], videos: Iterable[Video], path: Path, problems: list[Problem]
) -> tuple[int, ...]:
    """The widths of the feature groups, else the width of the first feature file."""
    widths = about.get("modalities")
    if widths is None:
        return _first_width(videos, path)
    if isinstance(widths, list) and widths and all(type(w) is int and w > 0 for w in widths):
        return tuple(widths)
    where = str(path / "dataset.json")
    problems.append(
        Problem(where, f"`modalities` is {abbreviate(repr(widths))}", "use the widths of the groups, as [1024, 1024]")
    )
    return _first_width(videos, path)


def provenance_of(
    about: Mapping[str, Any], videos: Iterable[Video], path: Path, problems: list[Problem]
) -> Provenance | None:
    """As dataset.json says it, else as the first feature file that has an origin."""
    try:
        if "provenance" in about:
            return parse_provenance(about["provenance"], str(path / "dataset.json"))
        usable = (v for v in videos if is_file_name(v.id))
        origins = (read_origin(features_path(path, video.id)) for video in usable)
        return next((origin.provenance for origin in origins if origin is not None), None)
    except DataError as error:
        problems.append(as_problem(error))
        return None


def _first_width(videos: Iterable[Video], path: Path) -> tuple[int, ...]:
    """(D,) of the first feature file that can be opened, else ()."""
    for video in videos:
        if is_file_name(video.id) and features_path(path, video.id).is_file():
            try:
                return (open_features(features_path(path, video.id)).shape[1],)
            except DataError:
                continue  # said when that file is asked for; it must not hide the width of the others
    return ()


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12


FAILED_NAME = "failed.json"


@dataclass(frozen=True)
class Dataset:
    """A data set as it lies on disk; features stay there until asked for.

    `modalities` are the widths of the feature groups (RGB and flow: 1024, 1024) and sum to D; () while no
    feature file is there. `about` is the whole dataset.json. `provenance` is what all features must come from,
    None where nobody wrote it down.
    """

    path: Path
    videos: tuple[Video, ...]
    classes: tuple[str, ...]
    clock: SnippetClock
    modalities: tuple[int, ...]
    about: Mapping[str, Any] = field(default_factory=dict, compare=False)
    provenance: Provenance | None = None

    @property
    def subsets(self) -> tuple[str, ...]:
        """The subsets that have videos: training, validation, testing, then others."""
        found = dict.fromkeys(video.subset for video in self.videos)
        usual = [name for name in dict.fromkeys(SUBSETS.values()) if name in found]
        return tuple(dict.fromkeys([*usual, *found]))

    @property
    def width(self) -> int | None:
        """D, or None while no feature file is there."""
        return sum(self.modalities) or None

    def subset(self, name: str) -> tuple[Video, ...]:
        """The videos of one subset ("train", "val" too). Raises DataError naming the known ones."""
        wanted = SUBSETS.get(name.lower(), name)
        videos = tuple(video for video in self.videos if video.subset == wanted)
        if not videos:
            raise DataError(f"{self.path}: has no subset {name!r}; it has {', '.join(map(repr, self.subsets))}")
        return videos

    def features_path(self, video_id: str) -> Path:
        """Where the features of one video lie, or would lie."""
        return features_path(self.path, video_id)

    def features(self, video_id: str) -> NDArray[np.generic]:
        """Memory-mapped features, T x D in the stored dtype. Raises DataError as `open_features` does."""
        return open_features(self.features_path(video_id), self.width)

    def clock_of(self, video_id: str) -> SnippetClock:
        """The recorded times of one video, or the folder's clock where none were recorded.

        Raises DataError where the features come from elsewhere than the folder says, or the times do not fit.
        """
        path = self.features_path(video_id)
        origin = read_origin(path)
        if origin is None:
            return self.clock
        if self.provenance is not None and origin.provenance != self.provenance:
            raise DataError(
                f"{path}: features of {origin.provenance}, where the data set has {self.provenance}; "
                f"run `wtal extract` again"
            )
        length = len(self.features(video_id))
        if length + 1 != len(origin.edges):
            raise DataError(
                f"{origin_path(path)}: {len(origin.edges) - 1} recorded times for {length} snippets; "
                f"run `wtal extract` again"
            )
        return origin.clock

    def timed(self, video: Video) -> Video:
        """The video, as long as its features where its annotations do not say, and they can be read."""
        if video.duration is not None:
            return video
        try:
            end = self.clock_of(video.id).seconds(len(self.features(video.id)))
        except DataError:
            return video
        return replace(video, duration=float(end))


def load_dataset(path: Path) -> Dataset:
    """Read a plain folder; without `classes` in dataset.json they are the sorted training labels.

    Raises DataError for the first thing that makes the folder unusable (the features are looked at later).
    """
    folder, problems = parse_dataset(path)
    raise_first(problems)
    return folder


def parse_dataset(path: Path) -> tuple[Dataset, list[Problem]]:
    """What `read_folder` reads, with every fault in its two text files as a Problem.

    Raises DataError only when there is no such folder.
    """
    if not path.is_dir():
        raise DataError(f"{path}: there is no such folder; name the folder that holds annotations.json")
    problems: list[Problem] = []
    videos = _parse_videos(path, problems)
    about, clock = read_dataset_info(path / "dataset.json", problems)
    classes = classes_of(about, videos, path / "dataset.json", problems)
    problems += unusable_ids(videos, path)
    videos = _without_failed(videos, path, problems)
    if classes or not problems:
        problems += unknown_labels(videos, classes, path)
    modalities = modalities_of(about, videos, path, problems)
    provenance = provenance_of(about, videos, path, problems)
    return Dataset(path, tuple(videos), classes, clock, modalities, about, provenance), problems


def write_dataset_info(
    path: Path,
    videos: Iterable[Video],
    clock: SnippetClock,
    classes: Iterable[str],
    modalities: Iterable[int] = (),
    about: Mapping[str, Any] | None = None,
) -> None:
    """Write annotations.json and dataset.json of a plain folder; the features are written by who has them.

    Training videos are written with their labels alone. `about` adds free keys (source, licence).
    """
    info: dict[str, Any] = {"snippet_seconds": clock.stride, "offset_seconds": clock.offset}
    info["classes"] = list(classes)
    if widths := list(modalities):
        info["modalities"] = widths
    write_json(path / "dataset.json", {**(about or {}), **info})
    stripped = (v.without_segments() if v.subset == "training" else v for v in videos)
    write_activitynet(path / "annotations.json", stripped, path.name)


def dataset_fingerprint(folder: Path) -> str:
    """A hash of the text files of a data set and of the names and sizes of its feature files.

    It is stored beside runs, so it must not change.
    """
    digest = sha256()
    for path in (folder / name for name in ("annotations.json", "tags.csv", "dataset.json", "rehearsal.json")):
        digest.update(path.read_bytes() if path.is_file() else b"-")
    for path in sorted((folder / "features").glob("*.npy")):
        digest.update(f"{path.name} {path.stat().st_size}\n".encode())
    return digest.hexdigest()


def read_failed(folder: Path) -> dict[str, str]:
    """failed.json of `wtal extract`: video id -> why it has no features; {} where there is none."""
    path = folder / FAILED_NAME
    if not path.is_file():
        return {}
    values = read_json(path)
    if not isinstance(values, dict) or not all(isinstance(reason, str) for reason in values.values()):
        raise DataError(f"{path}: is not a JSON object of reasons; delete it and run `wtal extract` again")
    return values


def unusable_ids(videos: Iterable[Video], path: Path) -> list[Problem]:
    """Ids that are no file name, so that `features/<id>.npy` would be another place."""
    return [
        Problem(f"{path}, {video.id!r}", "the id cannot be a file name", "use letters, digits, - _ and .")
        for video in videos
        if not is_file_name(video.id)
    ]


def unknown_labels(videos: Iterable[Video], classes: tuple[str, ...], path: Path) -> list[Problem]:
    """Labels that are not among the classes."""
    known = set(classes)
    return [
        Problem(
            f"{path}, {video.id}",
            f"unknown label {abbreviate(repr(label))}",
            "correct it, or add it to `classes` in dataset.json",
        )
        for video in videos
        for label in video.labels
        if label not in known
    ]


def _parse_videos(path: Path, problems: list[Problem]) -> list[Video]:
    try:
        videos, found = _videos_of(path)
    except DataError as error:
        problems.append(as_problem(error))
        return []
    problems += found
    mend = 'add "subset": "training", "validation" or "testing"'
    problems += [Problem(f"{path}, {v.id}", "has no subset", mend) for v in videos if not v.subset]
    if not videos and not found:
        problems.append(Problem(str(path / "annotations.json"), "lists no sequence", "add the sequences to it"))
    return videos


def _videos_of(path: Path) -> tuple[list[Video], list[Problem]]:
    annotations, tags = path / "annotations.json", path / "tags.csv"
    if annotations.is_file() and tags.is_file() and not (path / LISTING_NAME).is_file():
        raise DataError(f"{path}: holds both annotations.json and tags.csv; take one of them away")
    if annotations.is_file():
        return parse_activitynet(annotations)
    if tags.is_file():
        return parse_tags(tags)
    raise DataError(
        f"{path}: holds neither annotations.json nor tags.csv; write tags.csv with a first line "
        f"`video,labels` and a line such as `clip01,long_jump` for each video"
    )


def _without_failed(videos: list[Video], path: Path, problems: list[Problem]) -> list[Video]:
    """Without the videos that `wtal extract` could not read; each is a remark."""
    try:
        failed = read_failed(path)
    except DataError as error:
        problems.append(as_problem(error))
        return videos
    out = {v.id for v in videos if v.id in failed and not features_path(path, v.id).is_file()}
    mend = "mend the file and run `wtal extract` again"
    problems += [Problem(f"{path}, {id}", f"is left out: {failed[id]}", mend, False) for id in sorted(out)]
    return [video for video in videos if video.id not in out]
