"""The data set folder: annotations.json or tags.csv, dataset.json, and features/<id>.npy."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wtal.core.clock import SnippetClock
from wtal.core.errors import DataError
from wtal.core.io import read_json, require_folder, write_json
from wtal.core.structures import SUBSETS, Video
from wtal.core.text import find_hidden, format_list
from wtal.data.features import features_path, is_file_name, open_features
from wtal.data.layouts.activitynet import load_json, parse_activitynet, write_activitynet
from wtal.data.parsing import HINT_HIDDEN
from wtal.data.problems import Problem, abbreviate, raise_first
from wtal.data.provenance import Provenance, origin_path, parse_provenance, read_origin
from wtal.data.tags import parse_tags
from wtal.data.video_files import LISTING_NAME

FAILED_NAME = "failed.json"
# In dataset.json of synthetic features. The texts are those of 0.1.0, because they are part of the file format.
SYNTHETIC_KEY = {
    "feature": "made up, not measured from any video",
    "source": "wtal rehearse",
}
MAX_SECONDS = 1e12
MAX_FILES_COMPARED = 99  # to find the usual width quickly
HINT_INFO = 'write it as {"snippet_seconds": 0.64, "offset_seconds": 0.0}'
HINT_EXTRACT = "run `wtal extract` again"
FALLBACK_CLOCK = SnippetClock(1.0)  # of a folder whose dataset.json is invalid, so that the rest can be checked
TEXT_FILES = ("annotations.json", "tags.csv", "dataset.json")


@dataclass(frozen=True)
class Dataset:
    """A data set folder. Features are read from disk on access.

    Attributes:
        path: The folder.
        videos: The videos with their tags and segments.
        classes: The class names in order.
        clock: The times of the snippets where none are recorded for a video.
        modalities: The widths of the feature groups, such as (1024, 1024) for RGB and flow. They sum to D. Empty
            while there is no feature file.
        about: The content of dataset.json.
        provenance: How all features were made, None if unknown.
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
        """The subsets that have videos: training, validation and testing first."""
        present = dict.fromkeys(video.subset for video in self.videos)
        usual = [name for name in dict.fromkeys(SUBSETS.values()) if name in present]
        return tuple(dict.fromkeys([*usual, *present]))

    @property
    def width(self) -> int | None:
        """D, or None while there is no feature file."""
        return sum(self.modalities) or None

    def subset(self, name: str) -> tuple[Video, ...]:
        """The videos of a subset; `train` and `val` are accepted too. Raises DataError for one without videos."""
        canonical_name = SUBSETS.get(name.lower(), name)
        videos = tuple(video for video in self.videos if video.subset == canonical_name)
        if not videos:
            raise DataError(
                f"no videos in subset {name!r}",
                path=self.path,
                hint=f"the subsets are {', '.join(map(repr, self.subsets))}",
                code="unknown-name",
            )
        return videos

    def features_path(self, video_id: str) -> Path:
        """The path of the feature file of a video, which need not exist."""
        return features_path(self.path, video_id)

    def features(self, video_id: str) -> NDArray[np.generic]:
        """The memory-mapped features of a video, T x D. Raises DataError as `open_features`."""
        return open_features(self.features_path(video_id), self.width)

    def clock_of(self, video_id: str) -> SnippetClock:
        """The recorded times of a video, or the clock of the data set where none are recorded.

        Raises:
            DataError: The features have another provenance than the data set, or the number of times is wrong.
        """
        path = self.features_path(video_id)
        origin = read_origin(path)
        if origin is None:
            return self.clock
        if self.provenance is not None and origin.provenance != self.provenance:
            raise DataError(
                f"features of {origin.provenance} in a data set of {self.provenance}",
                path=path,
                hint=HINT_EXTRACT,
                code="provenance-mismatch",
            )
        length = len(self.features(video_id))
        if length + 1 != len(origin.edges):
            raise DataError(
                f"{len(origin.edges) - 1} recorded times for {length} snippets",
                path=origin_path(path),
                hint=HINT_EXTRACT,
                code="length-mismatch",
            )
        return origin.clock

    def with_duration(self, video: Video) -> Video:
        """The video; a missing duration is taken from its features, if they can be read."""
        if video.duration is not None:
            return video
        try:
            end = self.clock_of(video.id).seconds(len(self.features(video.id)))
        except DataError:
            return video
        return replace(video, duration=float(end))


def is_dataset(path: Path) -> bool:
    """Whether a folder has any of the text files of a data set folder."""
    return any((path / name).is_file() for name in TEXT_FILES)


def load_dataset(path: str | os.PathLike[str]) -> Dataset:
    """Read a data set folder. Features are checked when they are opened.

    Without `classes` in dataset.json the classes are the sorted labels of the training videos.

    Args:
        path: The data set folder.

    Returns:
        The videos with their labels and segments (seconds), the classes, and access to the features (T x D).

    Raises:
        DataError: The first problem that makes the data set unusable.

    Example:
        >>> dataset = wtal.load_dataset("mydata")
        >>> print(dataset.classes, len(dataset.subset("training")), dataset.modalities)
    """
    path = Path(path)
    dataset, problems = parse_dataset(path)
    raise_first(problems)
    return dataset


def parse_dataset(path: Path) -> tuple[Dataset, list[Problem]]:
    """Read a data set folder as `load_dataset`, and collect all problems of its text files.

    Raises:
        DataError: There is no such folder.
    """
    require_folder(path, "pass the folder with annotations.json or tags.csv")
    problems: list[Problem] = []
    videos = _parse_videos(path, problems)
    about, clock = _parse_info(path / "dataset.json", problems)
    classes = _parse_classes(about, videos, path / "dataset.json", problems)
    problems += unusable_ids(videos, path)
    videos = _without_failed(videos, path, problems)
    if classes or not problems:
        problems += _unknown_labels(videos, classes, path)
    modalities = _parse_modalities(about, videos, path, problems)
    provenance = _parse_provenance(about, videos, path, problems)
    return Dataset(path, tuple(videos), classes, clock, modalities, about, provenance), problems


def unusable_ids(videos: Iterable[Video], path: Path) -> list[Problem]:
    """A problem for each video whose id cannot be the name of its feature file; `path` is where they were read."""
    return [
        Problem(
            "the id cannot be a file name", path, repr(video.id), "use letters, digits, - _ and .", code="invalid-id"
        )
        for video in videos
        if not is_file_name(video.id)
    ]


# --- Videos -----------------------------------------------------------------------------------------------------------


def _parse_videos(path: Path, problems: list[Problem]) -> list[Video]:
    try:
        videos, video_problems = _read_videos(path)
    except DataError as error:
        problems.append(Problem.from_error(error))
        return []
    problems += video_problems
    hint = 'add "subset": "training", "validation" or "testing"'
    problems += [Problem("has no subset", path, v.id, hint, "missing-key") for v in videos if not v.subset]
    if not videos and not video_problems:
        problems.append(Problem("lists no video", path / "annotations.json", hint="add the videos", code="no-videos"))
    return videos


def _read_videos(path: Path) -> tuple[list[Video], list[Problem]]:
    annotations, tags = path / "annotations.json", path / "tags.csv"
    if annotations.is_file() and tags.is_file() and not (path / LISTING_NAME).is_file():
        raise DataError("has both annotations.json and tags.csv", path=path, hint="remove one", code="ambiguous")
    if annotations.is_file():
        return parse_activitynet(annotations)
    if tags.is_file():
        return parse_tags(tags)
    raise DataError(
        "has neither annotations.json nor tags.csv",
        path=path,
        hint="write tags.csv with the header `video,labels` and a line such as `clip01,long_jump` for each video",
        code="file-not-found",
    )


def _without_failed(videos: list[Video], path: Path, problems: list[Problem]) -> list[Video]:
    """Remove the videos that `wtal extract` could not read; each is a remark."""
    try:
        failed = read_failed(path)
    except DataError as error:
        problems.append(Problem.from_error(error))
        return videos
    skipped = {v.id for v in videos if v.id in failed and not features_path(path, v.id).is_file()}
    hint = "fix the file and run `wtal extract` again"
    problems += [
        Problem(f"is skipped: {failed[id]}", path, id, hint, "extraction-failed", fatal=False) for id in sorted(skipped)
    ]
    return [video for video in videos if video.id not in skipped]


def read_failed(folder: Path) -> dict[str, str]:
    """failed.json of `wtal extract`: video id -> why it has no features; empty without the file."""
    path = folder / FAILED_NAME
    if not path.is_file():
        return {}
    reasons = read_json(path)
    if not isinstance(reasons, dict) or not all(isinstance(reason, str) for reason in reasons.values()):
        raise DataError(
            "expected a JSON object of reasons", path=path, hint=f"delete it and {HINT_EXTRACT}", code="invalid-type"
        )
    return reasons


def _unknown_labels(videos: Iterable[Video], classes: tuple[str, ...], path: Path) -> list[Problem]:
    class_names = set(classes)
    hint = "correct it, or add it to `classes` in dataset.json"
    return [
        Problem(f"unknown label {abbreviate(repr(label))}", path, video.id, hint, "unknown-name")
        for video in videos
        for label in video.labels
        if label not in class_names
    ]


# --- dataset.json -----------------------------------------------------------------------------------------------------


def _parse_info(path: Path, problems: list[Problem]) -> tuple[Mapping[str, Any], SnippetClock]:
    """The content of dataset.json and its clock; {} and a fallback where it cannot be read."""
    try:
        about, repeated_keys = _read_info(path)
    except DataError as error:
        problems.append(Problem.from_error(error))
        return {}, FALLBACK_CLOCK
    problems += [Problem(f'"{key}" appears twice', path, hint="remove one", code="duplicate") for key in repeated_keys]
    for name, default, minimum in (("snippet_seconds", None, 1e-9), ("offset_seconds", 0.0, -MAX_SECONDS)):
        value = about.get(name, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or not minimum <= value < MAX_SECONDS:
            problems.append(_clock_problem(path, name, value))
            return about, FALLBACK_CLOCK
    return about, SnippetClock(float(about["snippet_seconds"]), float(about.get("offset_seconds", 0.0)))


def _read_info(path: Path) -> tuple[Mapping[str, Any], list[str]]:
    if not path.is_file():
        raise DataError(
            "no such file; it has the duration of a snippet", path=path, hint=HINT_INFO, code="file-not-found"
        )
    about, repeated_keys = load_json(path)
    if not isinstance(about, dict):
        raise DataError("expected a JSON object", path=path, hint=HINT_INFO, code="invalid-type")
    return about, repeated_keys


def _clock_problem(path: Path, name: str, value: object) -> Problem:
    folder = path.parent
    if value is None and (folder / LISTING_NAME).is_file():
        return Problem("has videos but no features", folder, hint=f"run `wtal extract {folder}`", code="no-features")
    return Problem(f"{name} is {abbreviate(repr(value))}", path, hint=HINT_INFO, code="invalid-value")


def _parse_classes(
    about: Mapping[str, Any], videos: list[Video], path: Path, problems: list[Problem]
) -> tuple[str, ...]:
    """`classes` of dataset.json, by default the sorted labels of training."""
    classes = about.get("classes")
    if classes is None:
        training_labels = {label for v in videos if v.subset == "training" for label in v.labels}
        return tuple(sorted(training_labels or {label for v in videos for label in v.labels}))
    if not isinstance(classes, list) or not all(isinstance(name, str) and name.strip() for name in classes):
        problems.append(
            Problem("`classes` is not a list of names", path, hint='use ["run", "jump"]', code="invalid-type")
        )
        return ()
    if hidden_names := [name for name in classes if find_hidden(name) is not None]:
        message = f"`classes` contains {hidden_names[0]!a} with an invisible character"
        problems.append(Problem(message, path, hint=HINT_HIDDEN, code="hidden-character"))
    if repeated := sorted({name for name in classes if classes.count(name) > 1}):
        message = f"`classes` contains {format_list(repeated)} twice"
        problems.append(Problem(message, path, hint="list each class once", code="duplicate"))
    return tuple(dict.fromkeys(classes))


def _parse_modalities(
    about: Mapping[str, Any], videos: Iterable[Video], path: Path, problems: list[Problem]
) -> tuple[int, ...]:
    """`modalities` of dataset.json, by default the most common width of the first feature files."""
    widths = about.get("modalities")
    if isinstance(widths, list) and widths and all(type(width) is int and width > 0 for width in widths):
        return tuple(widths)
    if widths is not None:
        message = f"`modalities` is {abbreviate(repr(widths))}"
        hint = "use the widths of the feature groups, such as [1024, 1024]"
        problems.append(Problem(message, path / "dataset.json", hint=hint, code="invalid-value"))
    paths = (features_path(path, video.id) for video in videos if is_file_name(video.id))
    counts: Counter[int] = Counter()
    for file in islice((file for file in paths if file.is_file()), MAX_FILES_COMPARED):
        with suppress(DataError):  # reported when this file is opened
            counts[open_features(file).shape[1]] += 1
    return tuple(width for width, _ in counts.most_common(1))


def _parse_provenance(
    about: Mapping[str, Any], videos: Iterable[Video], path: Path, problems: list[Problem]
) -> Provenance | None:
    """`provenance` of dataset.json, by default that of the first feature file that records its origin."""
    try:
        if "provenance" in about:
            return parse_provenance(about["provenance"], path / "dataset.json")
        origins = (read_origin(features_path(path, video.id)) for video in videos if is_file_name(video.id))
        return next((origin.provenance for origin in origins if origin is not None), None)
    except DataError as error:
        problems.append(Problem.from_error(error))
        return None


def write_dataset_info(
    path: Path,
    videos: Iterable[Video],
    clock: SnippetClock,
    classes: Iterable[str],
    modalities: Iterable[int] = (),
    about: Mapping[str, Any] | None = None,
    version: str | None = None,
) -> None:
    """Write annotations.json and dataset.json of a data set folder, without features.

    Args:
        path: The folder.
        videos: The videos. Segments of training videos are not written.
        clock: The times of the snippets.
        classes: The class names in order.
        modalities: The widths of the feature groups.
        about: More keys for dataset.json, such as source and licence.
        version: The version in annotations.json; None for the name of the folder.

    Raises:
        DataError: The files cannot be written.
    """
    info: dict[str, Any] = {"snippet_seconds": clock.stride, "offset_seconds": clock.offset}
    info["classes"] = list(classes)
    if widths := list(modalities):
        info["modalities"] = widths
    write_json(path / "dataset.json", {**(about or {}), **info})
    write_activitynet(path / "annotations.json", without_training_segments(videos), version or path.name)


def without_training_segments(videos: Iterable[Video]) -> list[Video]:
    """The videos, those of the training subset with their tags alone, as weakly supervised training needs them."""
    return [video.without_segments() if video.subset == "training" else video for video in videos]


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
