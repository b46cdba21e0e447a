"""ActivityNet result files, `{"version", "results": {id: [{"label", "score", "segment"}]}}` <-> Proposals.

FROM: ActivityNet JSON: `{"database": {id: {"subset", "duration", "annotations": [{"label", "segment"}]}}}`.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from wtal.core.errors import DataError
from wtal.core.io import read_json, require_output_file, write_json
from wtal.core.structures import SUBSETS, Proposals, Segment, Video
from wtal.data.parsing import Location, parse_name, parse_number
from wtal.data.problems import Problem, abbreviate, raise_first


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
    problems = [
        Problem(f'"{key}" appears twice', path, hint="keep one of the two", code="duplicate") for key in repeated
    ]
    if isinstance(value, dict) and "results" in value and "database" not in value:
        raise DataError(f"{path}: holds proposals, not annotations; name the ground truth, `evaluate PROPOSALS TRUTH`")
    database = value.get("database", value) if isinstance(value, dict) else None
    if not isinstance(database, dict):
        raise DataError(f'{path}: has no "database" of sequences; use {{"database": {{id: {{...}}}}}}')
    videos = [_video(id, entry, Location(path).child(id), problems) for id, entry in database.items()]
    return [video for video in videos if video is not None], problems


def write_activitynet(path: Path, videos: Iterable[Video], version: str = "wtal") -> None:
    """Write what `read_activitynet` reads. A label with no action is written without a segment."""
    database = {video.id: _annotation_entry(video) for video in videos}
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


def _video(id: str, entry: Any, location: Location, problems: list[Problem]) -> Video | None:
    """One entry; None when it is no entry at all. Its faults join `problems`."""
    if not isinstance(entry, dict) or not isinstance(entry.get("annotations", []), list):
        hint = 'use {"subset", "duration", "annotations": [...]}'
        problems.append(location.problem("expected an object with annotations", hint, "invalid-type"))
        return None
    subset = entry.get("subset", "")
    if not isinstance(subset, str):
        problems.append(
            location.problem(f"subset is {abbreviate(repr(subset))}", 'use "training", "validation" or "testing"')
        )
        subset = ""
    labels: set[str] = set()
    actions: list[Segment] = []
    for index, annotation in enumerate(entry.get("annotations", []), start=1):
        _read_annotation(annotation, location.child(f"annotation {index}"), labels, actions, problems)
    return Video(
        id,
        SUBSETS.get(subset.lower(), subset),
        tuple(sorted(labels)),
        _duration(entry, location, problems),
        tuple(actions),
    )


def _read_annotation(
    annotation: Any, location: Location, labels: set[str], actions: list[Segment], problems: list[Problem]
) -> None:
    label = annotation.get("label") if isinstance(annotation, dict) else None
    if not isinstance(label, str) or not label.strip():
        hint = 'use {"label": "...", "segment": [start, end]}'
        problems.append(location.problem("has no label", hint, "missing-key"))
        return
    labels.add(label)
    segment = annotation.get("segment")
    if not segment and segment != 0:
        return  # a tag: what happens, not when
    times = [_number(time) for time in segment] if isinstance(segment, list) else []
    if len(times) != 2 or times[0] is None or times[1] is None:
        problems.append(location.problem(f"segment is {abbreviate(repr(segment))}", "use [start, end] in seconds"))
    elif times[1] < times[0]:
        problems.append(location.problem(f"end {times[1]} s is before start {times[0]} s", "swap them"))
    else:
        actions.append(Segment(label, times[0], times[1]))


def _duration(entry: Mapping[str, Any], location: Location, problems: list[Problem]) -> float | None:
    value = entry.get("duration", entry.get("duration_second"))
    if value is None:
        return None
    duration = _number(value)
    if duration is None or duration <= 0:
        problems.append(
            location.problem(f"duration is {abbreviate(repr(value))}", "use seconds above 0, or leave it out")
        )
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


def _annotation_entry(video: Video) -> dict[str, Any]:
    seen = {action.label for action in video.segments}
    annotations: list[dict[str, Any]] = [{"label": label} for label in video.labels if label not in seen]
    annotations += [{"label": a.label, "segment": [a.start, a.end]} for a in video.segments]
    entry: dict[str, Any] = {"subset": video.subset} if video.subset else {}
    entry["annotations"] = annotations
    if video.duration is not None:
        entry["duration"] = video.duration
    return entry


def read_proposals(path: Path) -> Proposals:
    """Proposals by video, times in seconds, in the order of the file; no video need have any.

    Raises DataError naming file and entry for a missing key, a wrong type (numbers may be text), one not finite,
    a name that no other file could hold or an end before its start.
    """
    value, repeated = load_json(path)
    results = value.get("results") if isinstance(value, dict) else None
    if results is None and isinstance(value, dict) and "database" in value:
        raise DataError(f"{path}: holds annotations, not proposals; name the proposals first, then the ground truth")
    if not isinstance(results, dict):
        raise DataError(f'{path}: has no "results" of videos; use {{"results": {{id: [{{...}}]}}}}')
    for id in results:
        parse_name(Location(path), id, "id")
    if repeated:
        raise DataError(f'{path}: "{abbreviate(repeated[0])}" appears twice, one would be lost; join the two entries')
    return {id: _read_video(entries, Location(path).child(id)) for id, entries in results.items()}


def write_proposals(path: Path, proposals: Proposals, version: str = "wtal") -> None:
    """Write what `read_results` and ActivityNet's own evaluator read, at full precision."""
    results = {id: [_proposal_entry(proposal) for proposal in found] for id, found in proposals.items()}
    write_json(path, {"version": version, "results": results, "external_data": {}}, indent=None)


def require_proposals_path(path: Path, inputs: Iterable[Path] = ()) -> None:
    """Raise DataError, before the work, where results cannot be written or something else would be lost."""
    require_output_file(path, inputs, _holds_results)


def _holds_results(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(1000)
    return not head or (head.lstrip().startswith(b"{") and b'"results"' in head)


def _proposal_entry(proposal: Segment) -> dict[str, Any]:
    return {
        "label": proposal.label,
        "score": proposal.score,
        "segment": [proposal.start, proposal.end],
    }


def _read_video(entries: Any, location: Location) -> list[Segment]:
    if not isinstance(entries, list):
        raise location.error("expected a list of proposals", "use [] for a video without proposals", "invalid-type")
    return [_proposal(entry, location.child(f"proposal {number}")) for number, entry in enumerate(entries, start=1)]


def _proposal(entry: Any, location: Location) -> Segment:
    """The proposal of an entry; its label is not stripped."""
    hint = 'use {"label", "score", "segment"}'
    if not isinstance(entry, dict):
        raise location.error(f"expected an object, not {abbreviate(repr(entry))}", hint, "invalid-type")
    for key in ("label", "score", "segment"):
        if key not in entry:
            raise location.error(f'"{key}" is missing', hint, "missing-key")
    label, segment = entry["label"], entry["segment"]
    if not isinstance(segment, list) or len(segment) != 2:
        raise location.error(f"segment is {abbreviate(repr(segment))}", "use [start, end] in seconds")
    parse_name(location, label, "label")
    start, end = parse_number(location, segment[0], "start"), parse_number(location, segment[1], "end")
    if end < start:
        raise location.error(f"end {end} s is before start {start} s", "swap the two times")
    return Segment(label, start, end, parse_number(location, entry["score"], "score"))
