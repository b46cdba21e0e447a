"""Label Studio: tasks with TimelineLabels in frames counted from 1; where all are scored they are predictions."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from wtal.core.io import read_json, write_json
from wtal.data.annotations.base import (
    Annotation,
    AnnotationFile,
    Segment,
    file_id,
    frames,
    group_by_video,
    of_frames,
    parse_list,
    parse_name,
    parse_object,
    require_unique,
    segment,
)

KIND = "timelinelabels"
VIDEO = "video"  # the names of the two tags in the labelling interface
LABELS = "timelineLabels"


def read(path: Path, fps: float) -> AnnotationFile:
    """The annotations of each task, or its predictions where nobody annotated it yet.

    Raises DataError with the task and region that is at fault.
    """
    value = read_json(path)
    found: list[tuple[str, Segment | None]] = []
    files: list[str] = []
    others = several = 0
    for number, task in enumerate(value if isinstance(value, list) else [value], start=1):
        where = f"{path}, task {number}"
        file = _file(where, parse_object(parse_object(task, where, ["data"])["data"], where))
        files.append(file)
        found.append((file, None))
        made = _made(task, where)
        several += len(made) > 1
        for region, at in _regions(made, where):
            if region.get("type", KIND) == KIND:
                found += [(file, one) for one in _segments(region, at, fps)]
            else:
                others += 1
    require_unique([file_id(file) for file in files], str(path))
    said = (
        (others, "results of other kinds are left out"),
        (several, "tasks are annotated more than once, their segments are joined"),
    )
    return AnnotationFile(group_by_video(found), [f"{path}: {many} {what}" for many, what in said if many])


def write(path: Path, timelines: Sequence[Annotation], fps: float) -> None:
    """A task a video, to import into a project whose interface has these two tags."""
    write_json(path, [_task(timeline, fps) for timeline in timelines])


def _file(where: str, data: dict[str, Any]) -> str:
    named = data.get(VIDEO, next((value for value in data.values() if isinstance(value, str)), None))
    name = parse_name(where, named, "data.video")
    parse_name(where, file_id(name), "data.video")
    return name


def _made(task: dict[str, Any], where: str) -> list[dict[str, Any]]:
    """The annotations that were not given up, or else the predictions."""
    annotated, predicted = (
        [
            parse_object(source, f"{where}, {kind}", ["result"])
            for source in parse_list([] if task.get(kind) is None else task[kind], f"{where}, {kind}")
        ]
        for kind in ("annotations", "predictions")
    )
    return [source for source in annotated if not source.get("was_cancelled")] or predicted


def _regions(made: list[dict[str, Any]], where: str) -> Iterator[tuple[dict[str, Any], str]]:
    for source in made:
        for number, region in enumerate(parse_list(source["result"], where), start=1):
            at = f"{where}, result {number}"
            yield parse_object(region, at, ["value"]), at


def _segments(region: dict[str, Any], where: str, fps: float) -> Iterator[Segment]:
    value = parse_object(region["value"], where, ["ranges", KIND])
    for part in parse_list(value["ranges"], where):
        range_ = parse_object(part, where, ["start", "end"])
        start, end = of_frames(where, range_["start"], range_["end"], fps)
        for label in parse_list(value[KIND], where):
            yield segment(where, label, start, end, region.get("score"))


def _task(timeline: Annotation, fps: float) -> dict[str, Any]:
    result = [_region(number, one, fps) for number, one in enumerate(timeline.segments, start=1)]
    scored = timeline.segments and all(one.score is not None for one in timeline.segments)
    made = (
        {"predictions": [{"model_version": "wtal", "result": result}]}
        if scored
        else {"annotations": [{"result": result}]}
    )
    return {"data": {VIDEO: timeline.file}, **made}


def _region(number: int, one: Segment, fps: float) -> dict[str, Any]:
    first, last = frames(one, fps)
    return {
        "id": f"segment-{number}",
        "from_name": LABELS,
        "to_name": VIDEO,
        "type": KIND,
        "value": {"ranges": [{"start": first, "end": last}], KIND: [one.label]},
        **({} if one.score is None else {"score": one.score}),
    }
