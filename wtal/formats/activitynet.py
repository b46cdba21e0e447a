"""ActivityNet JSON: `{"database": {id: {"subset", "duration", "annotations": [{"label", "segment"}]}}}`."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from wtal.errors import DataError
from wtal.files import read_json, write_json
from wtal.formats.problem import Problem, raise_first, short
from wtal.records import Action, Video

SUBSETS = {
    "train": "training",
    "training": "training",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "testing",
    "testing": "testing",
}


def read_activitynet(path: Path) -> list[Video]:
    """Videos in file order, times in seconds, labels sorted and unique.

    Also read: a label without a segment (a tag), segments written as strings (BaS-Net), `duration_second`,
    and a file that is the database itself without subsets (subset ""). Actions beyond the duration are kept,
    as public ground truth has some. Raises DataError on anything that cannot be understood.
    """
    videos, problems = parse_activitynet(path)
    raise_first(problems)
    return videos


def parse_activitynet(path: Path) -> tuple[list[Video], list[Problem]]:
    """What `read_activitynet` reads, with every fault as a Problem; entries at fault are left out.

    Raises DataError only when the file as a whole cannot be read.
    """
    value, repeated = load_json(path)
    problems = [Problem(str(path), f'"{key}" appears twice', "keep one of the two entries") for key in repeated]
    if isinstance(value, dict) and "results" in value and "database" not in value:
        raise DataError(
            f"{path}: holds proposals, not annotations; name the ground truth, `evaluate PROPOSALS TRUTH`"
        )
    database = value.get("database", value) if isinstance(value, dict) else None
    if not isinstance(database, dict):
        raise DataError(f'{path}: has no "database" of sequences; use {{"database": {{id: {{...}}}}}}')
    videos = [_video(id, entry, f"{path}, {id}", problems) for id, entry in database.items()]
    return [video for video in videos if video is not None], problems


def write_activitynet(path: Path, videos: Iterable[Video], version: str = "wtal") -> None:
    """Write what `read_activitynet` reads. A label with no action is written without a segment."""
    database = {video.id: _entry(video) for video in videos}
    write_json(path, {"version": version, "database": database})


def with_training(videos: Iterable[Video]) -> list[Video]:
    """Without a training subset the validation part is the training one, as everybody has it for THUMOS14."""
    videos = list(videos)
    if any(video.subset == "training" for video in videos):
        return videos
    return [replace(video, subset="training") if video.subset == "validation" else video for video in videos]


def load_json(path: Path) -> tuple[Any, list[str]]:
    """A JSON file and the keys that appear twice in one object, which plain JSON reading would lose.

    Raises DataError with the line where the file breaks.
    """
    repeated: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) < len(items):
            repeated.extend(key for key, count in Counter(key for key, _ in items).items() if count > 1)
        return found

    return read_json(path, pairs), repeated


def _video(id: str, entry: Any, where: str, problems: list[Problem]) -> Video | None:
    """One entry; None when it is no entry at all. Its faults join `problems`."""
    if not isinstance(entry, dict) or not isinstance(entry.get("annotations", []), list):
        problems.append(Problem(where, "is not an entry", 'use {"subset", "duration", "annotations": [...]}'))
        return None
    subset = entry.get("subset", "")
    if not isinstance(subset, str):
        problems.append(
            Problem(where, f"subset is {short(repr(subset))}", 'use "training", "validation" or "testing"')
        )
        subset = ""
    labels: set[str] = set()
    actions: list[Action] = []
    for number, annotation in enumerate(entry.get("annotations", []), start=1):
        _read_annotation(annotation, f"{where}, annotation {number}", labels, actions, problems)
    return Video(
        id,
        SUBSETS.get(subset.lower(), subset),
        tuple(sorted(labels)),
        _duration(entry, where, problems),
        tuple(actions),
    )


def _read_annotation(
    annotation: Any, where: str, labels: set[str], actions: list[Action], problems: list[Problem]
) -> None:
    label = annotation.get("label") if isinstance(annotation, dict) else None
    if not isinstance(label, str) or not label.strip():
        problems.append(Problem(where, "has no label", 'use {"label": "...", "segment": [start, end]}'))
        return
    labels.add(label)
    segment = annotation.get("segment")
    if not segment and segment != 0:
        return  # a tag: what happens, not when
    times = [_number(time) for time in segment] if isinstance(segment, list) else []
    if len(times) != 2 or times[0] is None or times[1] is None:
        problems.append(Problem(where, f"segment is {short(repr(segment))}", "use [start, end] in seconds"))
    elif times[1] < times[0]:
        problems.append(Problem(where, f"ends at {times[1]} s before it starts at {times[0]} s", "swap them"))
    else:
        actions.append(Action(label, times[0], times[1]))


def _duration(entry: Mapping[str, Any], where: str, problems: list[Problem]) -> float | None:
    value = entry.get("duration", entry.get("duration_second"))
    if value is None:
        return None
    duration = _number(value)
    if duration is None or duration <= 0:
        problems.append(Problem(where, f"duration is {short(repr(value))}", "use seconds above 0, or leave it out"))
        return None
    return duration


def _number(value: Any) -> float | None:
    """A finite number, also one written as a string; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _entry(video: Video) -> dict[str, Any]:
    seen = {action.label for action in video.actions}
    annotations: list[dict[str, Any]] = [{"label": label} for label in video.labels if label not in seen]
    annotations += [{"label": a.label, "segment": [a.start, a.end]} for a in video.actions]
    entry: dict[str, Any] = {"subset": video.subset} if video.subset else {}
    entry["annotations"] = annotations
    if video.duration is not None:
        entry["duration"] = video.duration
    return entry
