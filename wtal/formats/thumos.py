"""THUMOS text annotations: one file a class, an action a line (`video start end`, seconds)."""

import math
from collections.abc import Iterator
from pathlib import Path

from wtal.errors import DataError
from wtal.files import read_text
from wtal.formats.problem import short
from wtal.records import Action, Video

# THUMOS14 has no untrimmed training set: everybody trains on its validation videos.
SUBSETS = {"val": "training", "test": "testing"}
AMBIGUOUS = "Ambiguous"


def read_thumos(folder: Path) -> list[Video]:
    """Videos of every `<Class>_val.txt` (training) and `<Class>_test.txt` (testing), in order of their ids.

    Ambiguous lists are left out. Raises DataError with file and line, or when no such file is there.
    """
    actions: dict[tuple[str, str], list[Action]] = {}
    for path in sorted(folder.glob("*_*.txt")):
        label, _, kind = path.stem.rpartition("_")
        if kind in SUBSETS and label != AMBIGUOUS:
            for video, start, end in _intervals(path):
                actions.setdefault((video, SUBSETS[kind]), []).append(Action(label, start, end))
    if not actions:
        raise DataError(f"{folder}: no class file such as Diving_test.txt with `video start end` lines here")
    return [
        Video(id, subset, tuple(sorted({a.label for a in found})), actions=tuple(found))
        for (id, subset), found in sorted(actions.items())
    ]


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
            f"{where}: `{short(' '.join(cells))}` is not `video start end`; times are seconds"
        ) from error
    if len(cells) != 3 or not (math.isfinite(start) and math.isfinite(end)):
        raise DataError(f"{where}: `{short(' '.join(cells))}` is not `video start end`; times are seconds")
    if end < start:
        raise DataError(f"{where}: ends at {end} s before it starts at {start} s; swap the two times")
    return video, start, end
