"""VIA 3: a project of the video annotator, seconds; a second attribute has the scores."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from wtal.core.errors import DataError
from wtal.core.io import read_json, write_json
from wtal.data.annotations.base import (
    Annotation,
    AnnotationFile,
    Segment,
    file_id,
    group_by_video,
    parse_name,
    parse_object,
    require_unique,
    segment,
)

SEGMENT = "FILE1_Z2_XY0"  # an attribute of a stretch of time in one file
TEXT, VIDEO, LOCAL = 1, 4, 1  # how VIA counts kinds of attributes, files and places


def read(path: Path) -> AnnotationFile:
    """The segments of each file, labelled by the project's first attribute of time that is no score.

    Raises DataError with the entry that is at fault.
    """
    project = parse_object(read_json(path), str(path), ["attribute", "file", "view", "metadata"])
    parts = {name: parse_object(project[name], f"{path}, {name}") for name in ("attribute", "file", "view", "metadata")}
    label, score = _attributes(parts["attribute"], str(path))
    files = {id: _file_of(parts, view, f"{path}, view {id}") for id, view in parts["view"].items()}
    require_unique([file_id(file) for file in files.values()], str(path))
    found: list[tuple[str, Segment | None]] = [(file, None) for file in files.values()]
    others = more = 0
    for key, made in parts["metadata"].items():
        where = f"{path}, metadata {key}"
        times, said = parse_object(made, where, ["vid", "z", "av"])["z"], parse_object(made["av"], where)
        if not isinstance(times, list) or str(made["vid"]) not in files:
            raise DataError(f"{where}: has no list of times, or is of a view that is not there; save it in VIA again")
        if len(times) != 2 or made.get("xy"):
            others += 1  # a place in the picture
            continue
        name = _option(parts["attribute"][label], said.get(label)) if label else None
        more += any(value for key, value in said.items() if key not in (label, score))
        found.append(
            (
                files[str(made["vid"])],
                segment(where, name, times[0], times[1], None if said.get(score) == "" else said.get(score)),
            )
        )
    what = (
        (others, "marks that are no stretch of time are left out"),
        (more, "segments have other attributes than a label and a score, which are left out"),
    )
    return AnnotationFile(group_by_video(found), [f"{path}: {many} {lost}" for many, lost in what if many])


def write(path: Path, timelines: Sequence[Annotation]) -> None:
    """A project with a file a video, all labels as text."""
    videos = list(enumerate(timelines, start=1))
    attributes = {"1": _attribute("label")}
    if any(one.score is not None for timeline in timelines for one in timeline.segments):
        attributes["2"] = _attribute("score")
    project = {
        "pid": "__VIA_PROJECT_ID__",
        "rev": "__VIA_PROJECT_REV_ID__",
        "rev_timestamp": "__VIA_PROJECT_REV_TIMESTAMP__",
        "pname": "wtal",
        "data_format_version": "3.1.1",
        "creator": "wtal",
        "created": 0,
        "vid_list": [str(n) for n, _ in videos],
    }
    config = {"file": {"loc_prefix": {"1": "", "2": "", "3": "", "4": ""}}, "ui": {}}
    files = {str(n): _file(n, timeline.file) for n, timeline in videos}
    views = {str(n): {"fid_list": [str(n)]} for n, _ in videos}
    metadata = dict(_metadata(videos))
    parts = {"attribute": attributes, "file": files, "view": views, "metadata": metadata}
    write_json(path, {"project": project, "config": config, **parts})


def _attributes(attributes: dict[str, Any], where: str) -> tuple[str, str]:
    """The keys of label and score, "" where there is none."""
    names = {
        key: str(parse_object(value, f"{where}, attribute {key}", ["aname"])["aname"]).lower()
        for key, value in attributes.items()
        if isinstance(value, dict) and value.get("anchor_id", SEGMENT) == SEGMENT
    }
    score = next((key for key, name in names.items() if name == "score"), "")
    return next((key for key in names if key != score), ""), score


def _file_of(parts: dict[str, Any], view: Any, where: str) -> str:
    listed = parse_object(view, where, ["fid_list"])["fid_list"]
    file = parts["file"].get(str(listed[0])) if isinstance(listed, list) and listed else None
    name = parse_name(where, parse_object(file, where, ["fname"])["fname"], "fname")
    parse_name(where, file_id(name), "fname")
    return name


def _option(attribute: dict[str, Any], said: Any) -> Any:
    """What was chosen from a list, or written."""
    options = attribute.get("options")
    return options.get(said, said) if isinstance(options, dict) and isinstance(said, str) else said


def _attribute(name: str) -> dict[str, Any]:
    return {"aname": name, "anchor_id": SEGMENT, "type": TEXT, "desc": "", "options": {}, "default_option_id": ""}


def _file(number: int, name: str) -> dict[str, Any]:
    return {"fid": str(number), "fname": name, "type": VIDEO, "loc": LOCAL, "src": name}


def _metadata(videos: Sequence[tuple[int, Annotation]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for n, timeline in videos:
        for m, one in enumerate(timeline.segments, start=1):
            said = {"1": one.label} if one.score is None else {"1": one.label, "2": repr(one.score)}
            yield f"{n}_{m}", {"vid": str(n), "flg": 0, "z": [one.start, one.end], "xy": [], "av": said}
