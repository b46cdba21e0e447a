"""FiftyOne: the labels.json of temporal detections, in frames counted from 1, first and last included."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wtal.core.errors import DataError
from wtal.core.io import write_json
from wtal.data.annotations.base import (
    Annotation,
    AnnotationFile,
    Segment,
    frames,
    of_frames,
    parse_list,
    parse_name,
    parse_object,
    segment,
)
from wtal.data.layouts.activitynet import load_json
from wtal.data.problems import abbreviate


def read(path: Path, fps: float) -> AnnotationFile:
    """The detections of each video. Raises DataError with the detection that is at fault."""
    value, repeated = load_json(path)
    if repeated:
        raise DataError(f'{path}: "{repeated[0]}" appears twice, one would be lost; join the two entries')
    labels = parse_object(parse_object(value, str(path), ["labels"])["labels"], f"{path}, labels")
    classes = value.get("classes")
    found, attributes = [], 0
    for id, detections in labels.items():
        where = f"{path}, {abbreviate(id)}"
        listed = [
            parse_object(detection, f"{where}, detection {number}", ["label"])
            for number, detection in enumerate(parse_list([] if detections is None else detections, where), start=1)
        ]
        attributes += sum(bool(detection.get("attributes")) for detection in listed)
        segments = tuple(
            _segment(detection, f"{where}, detection {number}", classes, fps)
            for number, detection in enumerate(listed, start=1)
        )
        found.append(Annotation(parse_name(str(path), id, "id"), segments))
    return AnnotationFile(
        found, [f"{path}: the attributes of {attributes} detections are left out"] if attributes else []
    )


def write(path: Path, timelines: Sequence[Annotation], fps: float) -> None:
    """Detections by video, their labels as names."""
    write_json(path, {"labels": {t.id: [_detection(one, fps) for one in t.segments] for t in timelines}})


def _segment(detection: dict[str, Any], where: str, classes: Any, fps: float) -> Segment:
    label = detection["label"]
    if classes is not None:
        label = _named(label, parse_list(classes, f"{where}, classes"), where)
    support = detection.get("support")
    edges = detection.get("timestamps") if support is None else support
    if not isinstance(edges, list) or len(edges) != 2:
        raise DataError(f'{where}: has no "support" of two frames; use {{"label", "support": [first, last]}}')
    start, end = edges if support is None else of_frames(where, edges[0], edges[1], fps)
    return segment(where, label, start, end, detection.get("confidence"))


def _named(label: Any, classes: list[Any], where: str) -> Any:
    if isinstance(label, bool) or not isinstance(label, int) or not 0 <= label < len(classes):
        raise DataError(f'{where}: label is {abbreviate(repr(label))}; use the place of a class in "classes", from 0')
    return classes[label]


def _detection(one: Segment, fps: float) -> dict[str, Any]:
    found: dict[str, Any] = {"label": one.label, "support": list(frames(one, fps))}
    return found if one.score is None else {**found, "confidence": one.score}
