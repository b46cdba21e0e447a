"""VIA 3 projects (VGG Image Annotator for video): times in seconds; a second attribute stores the scores."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wtal.core.io import read_json, write_json
from wtal.core.structures import Segment
from wtal.data.annotations.base import (
    Annotation,
    AnnotationFile,
    AnnotationFormat,
    check_unique_ids,
    count_warnings,
    has_keys,
    media_id,
)
from wtal.data.parsing import Location, parse_name, parse_object, parse_segment

TEMPORAL_SEGMENT = "FILE1_Z2_XY0"  # anchor of attributes of a time range in one file
TEXT_ATTRIBUTE = 1
VIDEO_FILE = 4
LOCAL_FILE = 1
SECTIONS = ("attribute", "file", "view", "metadata")


def read(path: Path) -> AnnotationFile:
    """Read the temporal segments of each file.

    The label is the first attribute of temporal segments that is not named "score".

    Raises:
        DataError: With the invalid entry.
    """
    project = parse_object(Location(path), read_json(path), SECTIONS)
    attributes, files, views, metadata = (parse_object(Location(path, name), project[name]) for name in SECTIONS)
    label_key, score_key = _attribute_keys(Location(path), attributes)
    media = {id: _media(Location(path, "view").child(id), view, files) for id, view in views.items()}
    check_unique_ids(map(media_id, media.values()), path)
    segments: dict[str, list[Segment]] = {view: [] for view in media}
    other_regions = other_attributes = 0
    for key, entry in metadata.items():
        location = Location(path, "metadata").child(key)
        region = parse_object(location, entry, ["vid", "z", "av"])
        times, view, values = region["z"], str(region["vid"]), parse_object(location, region["av"])
        if not isinstance(times, list) or view not in media:
            raise location.error('"z" is not a list, or "vid" is not a view', "save the project in VIA again")
        if len(times) != 2 or region.get("xy"):
            other_regions += 1  # a region of a frame
            continue
        label = _attribute_value(attributes[label_key], values.get(label_key)) if label_key else None
        score = None if values.get(score_key) == "" else values.get(score_key)
        other_attributes += any(value for key, value in values.items() if key not in (label_key, score_key))
        segments[view].append(parse_segment(location, label, times[0], times[1], score))
    annotations = [Annotation.from_media(media[view], segments[view]) for view in media]
    warnings = {
        "regions that are not temporal segments are ignored": other_regions,
        "segments have attributes other than a label and a score, which are ignored": other_attributes,
    }
    return AnnotationFile(annotations, count_warnings(path, warnings))


def write(path: Path, annotations: Sequence[Annotation]) -> None:
    """Write a project with one file per video and the labels as text attributes."""
    videos = {str(number): annotation for number, annotation in enumerate(annotations, start=1)}
    attributes = {"1": _attribute("label")}
    if any(segment.score is not None for annotation in annotations for segment in annotation.segments):
        attributes["2"] = _attribute("score")
    project = {
        "project": {
            "pid": "__VIA_PROJECT_ID__",
            "rev": "__VIA_PROJECT_REV_ID__",
            "rev_timestamp": "__VIA_PROJECT_REV_TIMESTAMP__",
            "pname": "wtal",
            "data_format_version": "3.1.1",
            "creator": "wtal",
            "created": 0,
            "vid_list": list(videos),
        },
        "config": {"file": {"loc_prefix": {"1": "", "2": "", "3": "", "4": ""}}, "ui": {}},
        "attribute": attributes,
        "file": {id: _file(id, annotation.media_name) for id, annotation in videos.items()},
        "view": {id: {"fid_list": [id]} for id in videos},
        "metadata": {
            f"{id}_{number}": _region(id, segment)
            for id, annotation in videos.items()
            for number, segment in enumerate(annotation.segments, start=1)
        },
    }
    write_json(path, project)


def _attribute_keys(location: Location, attributes: dict[str, Any]) -> tuple[str, str]:
    """The keys of the attributes that hold the label and the score; "" if there is none."""
    names = {
        key: str(parse_object(location.child(f"attribute {key}"), value, ["aname"])["aname"]).lower()
        for key, value in attributes.items()
        if isinstance(value, dict) and value.get("anchor_id", TEMPORAL_SEGMENT) == TEMPORAL_SEGMENT
    }
    score_key = next((key for key, name in names.items() if name == "score"), "")
    return next((key for key in names if key != score_key), ""), score_key


def _attribute_value(attribute: dict[str, Any], value: Any) -> Any:
    """The text of an option that was selected, or the value that was entered."""
    options = attribute.get("options")
    return options.get(value, value) if isinstance(options, dict) and isinstance(value, str) else value


def _media(location: Location, view: Any, files: dict[str, Any]) -> str:
    """The name of the first file of a view."""
    file_ids = parse_object(location, view, ["fid_list"])["fid_list"]
    file = files.get(str(file_ids[0])) if isinstance(file_ids, list) and file_ids else None
    name = parse_name(location, parse_object(location, file, ["fname"])["fname"], "fname")
    parse_name(location, media_id(name), "fname")
    return name


def _attribute(name: str) -> dict[str, Any]:
    return {
        "aname": name,
        "anchor_id": TEMPORAL_SEGMENT,
        "type": TEXT_ATTRIBUTE,
        "desc": "",
        "options": {},
        "default_option_id": "",
    }


def _file(id: str, name: str) -> dict[str, Any]:
    return {"fid": id, "fname": name, "type": VIDEO_FILE, "loc": LOCAL_FILE, "src": name}


def _region(view: str, segment: Segment) -> dict[str, Any]:
    values = {"1": segment.label} if segment.score is None else {"1": segment.label, "2": repr(segment.score)}
    return {"vid": view, "flg": 0, "z": [segment.start, segment.end], "xy": [], "av": values}


FORMAT = AnnotationFormat(
    name="via",
    title="VIA 3",
    extension=".json",
    read=read,
    write=write,
    detect=has_keys("metadata", "attribute"),
    normalize_id=media_id,
    usage_hint="Load it in VIA 3 as a project and select the video file there.",
)
