"""THUMOS and MultiTHUMOS annotations: one text file per class, one segment per line as `video start end`."""

import math
from collections.abc import Iterator
from pathlib import Path

from wtal.core.errors import DataError
from wtal.core.io import read_text
from wtal.core.structures import Segment, Video
from wtal.data.problems import abbreviate

# THUMOS14 has no untrimmed training videos, so its validation videos are used for training.
SUBSET_OF_SUFFIX = {"val": "training", "test": "testing"}
# MultiTHUMOS has one file per class for both subsets; the ids tell them apart.
SUBSET_OF_ID_PREFIX = {"video_validation_": "training", "video_test_": "testing"}
AMBIGUOUS_CLASS = "Ambiguous"
AMBIGUOUS_NAME = "Ambiguous_test.txt"


def read_thumos(folder: Path) -> list[Video]:
    """Read the files `<Class>_val.txt` (training) and `<Class>_test.txt` (testing) of THUMOS14.

    Without such files, those of MultiTHUMOS, `<Class>.txt`, are read. The list of ambiguous segments is ignored.

    Args:
        folder: The folder of the text files.

    Returns:
        The videos, sorted by id; durations are unknown.

    Raises:
        DataError: There is no such file, or a line is malformed.
    """
    segments: dict[tuple[str, str], list[Segment]] = {}
    for path, label, subset in _class_files(folder) or _multithumos_files(folder):
        for id, start, end in _read_lines(path):
            key = id, subset or _subset_of(id, path)
            segments.setdefault(key, []).append(Segment(label, start, end))
    if not segments:
        raise DataError(
            "no class file with `video start end` lines",
            path=folder,
            hint="use the folder of files such as Diving_test.txt",
            code="file-not-found",
        )
    return [
        Video(id, subset, tuple(sorted({segment.label for segment in of_video})), segments=tuple(of_video))
        for (id, subset), of_video in sorted(segments.items())
    ]


def has_thumos(folder: Path) -> bool:
    """Whether a folder contains files that `read_thumos` reads."""
    return bool(_class_files(folder) or _multithumos_files(folder))


def find_ambiguous_list(source: Path) -> Path | None:
    """The file with the list of ambiguous segments, in a folder or in a folder of it; None without one."""
    return next(iter([*source.glob(AMBIGUOUS_NAME), *sorted(source.glob(f"*/{AMBIGUOUS_NAME}"))]), None)


def read_ambiguous(path: Path) -> dict[str, list[tuple[float, float]]]:
    """Read the list of ambiguous segments.

    Args:
        path: The file, `Ambiguous_test.txt`.

    Returns:
        The segments of each video id, as (start, end) in seconds.

    Raises:
        DataError: The file is missing, or a line is malformed.
    """
    ambiguous: dict[str, list[tuple[float, float]]] = {}
    for id, start, end in _read_lines(path):
        ambiguous.setdefault(id, []).append((start, end))
    return ambiguous


def _class_files(folder: Path) -> list[tuple[Path, str, str]]:
    """Path, class and subset of each file of THUMOS14."""
    names = ((path, *path.stem.rpartition("_")) for path in sorted(folder.glob("*_*.txt")))
    return [
        (path, label, SUBSET_OF_SUFFIX[suffix])
        for path, label, _, suffix in names
        if suffix in SUBSET_OF_SUFFIX and label != AMBIGUOUS_CLASS
    ]


def _multithumos_files(folder: Path) -> list[tuple[Path, str, str]]:
    """Path, class and "" of each file that starts with the id of a THUMOS14 video."""
    paths = sorted(folder.glob("*.txt"))
    return [(path, path.stem, "") for path in paths if read_text(path).lstrip().startswith(tuple(SUBSET_OF_ID_PREFIX))]


def _subset_of(id: str, path: Path) -> str:
    for prefix, subset in SUBSET_OF_ID_PREFIX.items():
        if id.startswith(prefix):
            return subset
    hint = "use ids that start with video_validation_ or video_test_"
    raise DataError(f"{id} is not an id of THUMOS14", path=path, hint=hint, code="unknown-name")


def _read_lines(path: Path) -> Iterator[tuple[str, float, float]]:
    """Video id, start and end of each line that is not empty."""
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        cells = line.split()
        if not cells:
            continue
        location = f"line {number}"
        try:
            id, start, end = cells[0], float(cells[1]), float(cells[2])
            is_valid = len(cells) == 3 and math.isfinite(start) and math.isfinite(end)
        except (IndexError, ValueError):
            is_valid = False
        if not is_valid:
            message = f"`{abbreviate(' '.join(cells))}` is not `video start end`"
            hint = "write the id and two times in seconds"
            raise DataError(message, path=path, location=location, hint=hint, code="invalid-value")
        if end < start:
            message = f"the end {end} s is before the start {start} s"
            raise DataError(message, path=path, location=location, hint="swap the two times", code="invalid-value")
        yield id, start, end
