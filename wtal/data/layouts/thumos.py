"""THUMOS and MultiTHUMOS text annotations: one file a class, an action a line (`video start end`, seconds)."""

import math
from collections.abc import Iterator
from pathlib import Path

from wtal.core.errors import DataError
from wtal.core.io import read_text
from wtal.core.structures import Segment, Video
from wtal.data.problems import abbreviate

# THUMOS14 has no untrimmed training set: everybody trains on its validation videos.
SUBSETS = {"val": "training", "test": "testing"}
# MultiTHUMOS has one file a class for both; the ids say which is which.
SUBSET_OF_ID = {"video_validation_": "training", "video_test_": "testing"}
AMBIGUOUS = "Ambiguous"


def read_thumos(folder: Path) -> list[Video]:
    """Videos of every `<Class>_val.txt` (training) and `<Class>_test.txt` (testing), in order of their ids.

    Without such files, of every `<Class>.txt` as MultiTHUMOS has them. Ambiguous lists are left out. Raises
    DataError with file and line, or when no such file is there.
    """
    actions: dict[tuple[str, str], list[Segment]] = {}
    for path, label, subset in _class_files(folder) or _multithumos_files(folder):
        for video, start, end in _intervals(path):
            key = video, subset or _subset_of(video, path)
            actions.setdefault(key, []).append(Segment(label, start, end))
    if not actions:
        raise DataError(f"{folder}: no class file such as Diving_test.txt with `video start end` lines here")
    return [
        Video(id, subset, tuple(sorted({a.label for a in found})), segments=tuple(found))
        for (id, subset), found in sorted(actions.items())
    ]


def has_thumos(folder: Path) -> bool:
    """Whether a folder holds such class files."""
    return bool(_class_files(folder) or _multithumos_files(folder))


def _class_files(folder: Path) -> list[tuple[Path, str, str]]:
    """File, class, subset."""
    parted = ((path, *path.stem.rpartition("_")) for path in sorted(folder.glob("*_*.txt")))
    return [(path, label, SUBSETS[kind]) for path, label, _, kind in parted if kind in SUBSETS and label != AMBIGUOUS]


def _multithumos_files(folder: Path) -> list[tuple[Path, str, str]]:
    """File, class, no subset: the files whose first word is the id of a THUMOS14 video."""
    paths = sorted(folder.glob("*.txt"))
    return [(path, path.stem, "") for path in paths if read_text(path).lstrip().startswith(tuple(SUBSET_OF_ID))]


def _subset_of(video: str, path: Path) -> str:
    for start, subset in SUBSET_OF_ID.items():
        if video.startswith(start):
            return subset
    raise DataError(f"{path}: {video} is neither video_validation_... nor video_test_...; use the ids of THUMOS14")


def read_ambiguous(path: Path) -> dict[str, list[tuple[float, float]]]:
    """Video id -> its ambiguous intervals (start, end) in seconds. Raises DataError with the line."""
    ambiguous: dict[str, list[tuple[float, float]]] = {}
    for video, start, end in _intervals(path):
        ambiguous.setdefault(video, []).append((start, end))
    return ambiguous


def _intervals(path: Path) -> Iterator[tuple[str, float, float]]:
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if cells := line.split():
            yield _interval(cells, f"{path}, line {number}")


def _interval(cells: list[str], where: str) -> tuple[str, float, float]:
    try:
        video, start, end = cells[0], float(cells[1]), float(cells[2])
    except (IndexError, ValueError) as error:
        raise DataError(
            f"{where}: `{abbreviate(' '.join(cells))}` is not `video start end`; times are seconds"
        ) from error
    if len(cells) != 3 or not (math.isfinite(start) and math.isfinite(end)):
        raise DataError(f"{where}: `{abbreviate(' '.join(cells))}` is not `video start end`; times are seconds")
    if end < start:
        raise DataError(f"{where}: ends at {end} s before it starts at {start} s; swap the two times")
    return video, start, end
