"""ActivityNet's JSON files.

Annotations: `{"database": {id: {"subset", "duration", "annotations": [{"label", "segment": [start, end]}]}}}`. A
segment whose end is its start is a point. `"timeline": "complete"` says of a video that nothing else happens in it.
Proposals: `{"version", "results": {id: [{"label", "score", "segment": [start, end]}]}, "external_data"}`.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from wtal.core.io import read_json, require_output_file, write_json
from wtal.core.structures import SUBSETS, Proposals, Segment, Video
from wtal.core.text import find_hidden
from wtal.data.parsing import HINT_HIDDEN, Location, hidden_message, parse_name, parse_number
from wtal.data.problems import Problem, abbreviate, raise_first
from wtal.data.tags import incomplete_timeline

# Annotations


def read_activitynet(path: Path) -> list[Video]:
    """Read annotations.

    Variants of the format are accepted: a label without a segment (a tag), times as strings (BaS-Net),
    `duration_second`, and a file that is the database itself. Segments after the end of a video are kept, as public
    ground truth contains some.

    Args:
        path: The JSON file.

    Returns:
        The videos in the order of the file: times in seconds, labels sorted and unique, subset "" if unknown.

    Raises:
        DataError: The file is missing or malformed.
    """
    videos, problems = parse_activitynet(path)
    raise_first(problems)
    return videos


def parse_activitynet(path: Path) -> tuple[list[Video], list[Problem]]:
    """Read annotations as `read_activitynet` does, and collect the problems of entries.

    Args:
        path: The JSON file.

    Returns:
        The videos without malformed parts, and the problems.

    Raises:
        DataError: The file is missing, is not JSON, or holds no database.
    """
    content, duplicate_keys = load_json(path)
    file = Location(path)
    if isinstance(content, dict) and "results" in content and "database" not in content:
        hint = "use ground truth here; the order is `evaluate PROPOSALS TRUTH`"
        raise file.error("holds proposals, not annotations", hint, "not-annotations")
    database = content.get("database", content) if isinstance(content, dict) else None
    if not isinstance(database, dict):
        raise file.error('"database" is missing', 'use {"database": {id: {...}}}', "missing-key")
    problems = [file.problem(f'"{key}" appears twice', "remove one of them", "duplicate-id") for key in duplicate_keys]
    videos = [_parse_video(id, entry, file.child(id), problems) for id, entry in database.items()]
    return [video for video in videos if video is not None], problems


def write_activitynet(path: Path, videos: Iterable[Video], version: str = "wtal") -> None:
    """Write annotations. A label without a segment is written as a tag.

    Args:
        path: The JSON file.
        videos: The videos.
        version: The version of the file.

    Raises:
        DataError: The file cannot be written.
    """
    write_json(path, activitynet_json(videos, version))


def activitynet_json(videos: Iterable[Video], version: str = "wtal") -> dict[str, Any]:
    """The values that `write_activitynet` writes."""
    return {"version": version, "database": {video.id: _video_to_json(video) for video in videos}}


def use_validation_for_training(videos: Iterable[Video]) -> list[Video]:
    """Make the validation subset the training subset if there is none, as is usual for THUMOS14."""
    videos = list(videos)
    if any(video.subset == "training" for video in videos):
        return videos
    return [replace(video, subset="training") if video.subset == "validation" else video for video in videos]


def load_json(path: Path) -> tuple[Any, list[str]]:
    """Read a JSON file, and the keys that appear twice in an object, of which plain reading keeps one.

    Args:
        path: The JSON file.

    Returns:
        The content, and the repeated keys.

    Raises:
        DataError: The file is missing or is not JSON.
    """
    duplicate_keys: list[str] = []

    def to_dict(items: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(items)
        if len(result) < len(items):
            duplicate_keys.extend(key for key, count in Counter(key for key, _ in items).items() if count > 1)
        return result

    return read_json(path, to_dict), duplicate_keys


def _parse_video(id: str, entry: Any, location: Location, problems: list[Problem]) -> Video | None:
    """One entry of the database, without malformed parts; None if all of it is malformed."""
    if not isinstance(entry, dict) or not isinstance(entry.get("annotations", []), list):
        problems.append(
            location.problem("is not an entry", 'use {"subset", "duration", "annotations": [...]}', "invalid-type")
        )
        return None
    subset = entry.get("subset", "")
    if not isinstance(subset, str):
        problems.append(
            location.problem(f"subset is {abbreviate(repr(subset))}", 'use "training", "validation" or "testing"')
        )
        subset = ""
    labels: set[str] = set()
    segments: list[Segment] = []
    for number, annotation in enumerate(entry.get("annotations", []), start=1):
        label = annotation.get("label") if isinstance(annotation, dict) else None
        if not isinstance(label, str) or not label.strip():
            hint = 'use {"label": "...", "segment": [start, end]}'
            problems.append(location.child(f"annotation {number}").problem("label is missing", hint, "missing-key"))
            continue
        if (hidden := find_hidden(label.strip())) is not None:
            message = hidden_message("label", label, hidden)
            problems.append(location.child(f"annotation {number}").problem(message, HINT_HIDDEN, "hidden-character"))
            continue
        labels.add(label)
        segment = annotation.get("segment")
        if not segment and segment != 0:
            continue  # a tag
        times = [_to_number(time) for time in segment] if isinstance(segment, list) else []
        if len(times) != 2 or times[0] is None or times[1] is None:
            message = f"segment is {abbreviate(repr(segment))}"
            problems.append(location.child(f"annotation {number}").problem(message, "use [start, end] in seconds"))
        elif times[1] < times[0]:
            message = f"the end {times[1]} s is before the start {times[0]} s"
            problems.append(location.child(f"annotation {number}").problem(message, "swap the two times"))
        else:
            segments.append(Segment(label, times[0], times[1]))
    value = entry.get("duration", entry.get("duration_second"))
    duration = _to_number(value)
    if value is not None and (duration is None or duration <= 0):
        problems.append(
            location.problem(f"duration is {abbreviate(repr(value))}", "use seconds above 0, or leave it out")
        )
        duration = None
    timeline = entry.get("timeline", "partial")
    if timeline not in ("complete", "partial"):
        problems.append(location.problem(f"timeline is {abbreviate(repr(timeline))}", 'use "complete" or "partial"'))
    complete = timeline == "complete"
    if complete and (untimed := sorted(labels - {segment.label for segment in segments})):
        problems.append(incomplete_timeline(location, untimed))
        complete = False
    return Video(id, SUBSETS.get(subset.lower(), subset), tuple(sorted(labels)), duration, tuple(segments), complete)


def _to_number(value: Any) -> float | None:
    """A finite number, which may be written as a string; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _video_to_json(video: Video) -> Mapping[str, Any]:
    with_segment = {segment.label for segment in video.segments}
    annotations: list[dict[str, Any]] = [{"label": label} for label in video.labels if label not in with_segment]
    annotations += [{"label": label, "segment": [start, end]} for label, start, end, _ in video.segments]
    entry: dict[str, Any] = {"subset": video.subset} if video.subset else {}
    if video.complete:
        entry["timeline"] = "complete"
    entry["annotations"] = annotations
    if video.duration is not None:
        entry["duration"] = video.duration
    return entry


# Proposals


def read_proposals(path: Path) -> Proposals:
    """Read proposals.

    Args:
        path: The JSON file.

    Returns:
        For each video id its proposals in the order of the file, possibly none. Times are in seconds.

    Raises:
        DataError: The file is missing or malformed: an entry has a wrong type, a number is not finite (it may be a
            string), or an end is before its start.
    """
    content, duplicate_keys = load_json(path)
    file = Location(path)
    results = content.get("results") if isinstance(content, dict) else None
    if results is None and isinstance(content, dict) and "database" in content:
        hint = "use proposals here; the order is `evaluate PROPOSALS TRUTH`"
        raise file.error("holds annotations, not proposals", hint, "not-proposals")
    if not isinstance(results, dict):
        raise file.error('"results" is missing', 'use {"results": {id: [{...}]}}', "missing-key")
    for id in results:
        parse_name(file, id, "id")
    if duplicate_keys:
        raise file.error(f'"{abbreviate(duplicate_keys[0])}" appears twice', "join the two entries", "duplicate-id")
    proposals: Proposals = {}
    for id, entries in results.items():
        location = file.child(id)
        if not isinstance(entries, list):
            hint = "use [] for a video without proposals"
            raise location.error("expected a list of proposals", hint, "invalid-type")
        proposals[id] = [
            _parse_proposal(entry, location.child(f"proposal {number}")) for number, entry in enumerate(entries, 1)
        ]
    return proposals


def write_proposals(path: Path, proposals: Proposals, version: str = "wtal") -> None:
    """Write proposals at full precision, as ActivityNet's evaluator reads them.

    Args:
        path: The JSON file.
        proposals: The proposals of each video id.
        version: The version of the file.

    Raises:
        DataError: The file cannot be written.
    """
    results = {
        id: [
            {"label": segment.label, "score": segment.score, "segment": [segment.start, segment.end]}
            for segment in segments
        ]
        for id, segments in proposals.items()
    }
    write_json(path, {"version": version, "results": results, "external_data": {}}, indent=None)


def require_proposals_path(path: Path, inputs: Iterable[Path] = ()) -> None:
    """Check before long work that proposals can be written to a path.

    Args:
        path: The file to be written.
        inputs: Files that are read.

    Raises:
        DataError: The path is an input, cannot be written, or holds anything except proposals.
    """
    require_output_file(path, inputs, _holds_proposals)


def _holds_proposals(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(1000)
    return not head or (head.lstrip().startswith(b"{") and b'"results"' in head)


def _parse_proposal(entry: Any, location: Location) -> Segment:
    hint = 'use {"label", "score", "segment"}'
    if not isinstance(entry, dict):
        raise location.error(f"expected an object, not {abbreviate(repr(entry))}", hint, "invalid-type")
    for key in ("label", "score", "segment"):
        if key not in entry:
            raise location.error(f'"{key}" is missing', hint, "missing-key")
    label, segment = entry["label"], entry["segment"]
    if not isinstance(segment, list) or len(segment) != 2:
        raise location.error(f"segment is {abbreviate(repr(segment))}", "use [start, end] in seconds")
    parse_name(location, label, "label")  # the label is kept as it is, not stripped
    start, end = parse_number(location, segment[0], "start"), parse_number(location, segment[1], "end")
    if end < start:
        raise location.error(f"the end {end} s is before the start {start} s", "swap the two times")
    return Segment(label, start, end, parse_number(location, entry["score"], "score"))
