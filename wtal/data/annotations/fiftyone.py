"""FiftyOne temporal detections (labels.json): frames counted from 1, first and last inclusive."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wtal.core.errors import DataError
from wtal.core.io import write_json
from wtal.core.structures import Segment
from wtal.data.annotations.base import (
    Annotation,
    AnnotationFile,
    AnnotationFormat,
    count_warnings,
    from_frames,
    has_keys,
    to_frames,
)
from wtal.data.layouts.activitynet import load_json
from wtal.data.parsing import Location, parse_list, parse_name, parse_object, parse_segment
from wtal.data.problems import abbreviate


def read(path: Path, fps: float) -> AnnotationFile:
    """Read the detections of each video. Raises DataError with the invalid detection."""
    value, duplicate_keys = load_json(path)
    if duplicate_keys:
        raise DataError(
            f"the key {abbreviate(repr(duplicate_keys[0]))} appears twice",
            path=path,
            hint="merge the two entries",
            code="duplicate-key",
        )
    file = Location(path)
    value = parse_object(file, value, ["labels"])
    classes = None if value.get("classes") is None else parse_list(file.child("classes"), value["classes"])
    annotations, with_attributes = [], 0
    for id, detections in parse_object(file.child("labels"), value["labels"]).items():
        segments = []
        for number, entry in enumerate(parse_list(file.child(id), [] if detections is None else detections), start=1):
            location = file.child(id).child(f"detection {number}")
            detection = parse_object(location, entry, ["label"])
            with_attributes += bool(detection.get("attributes"))
            segments.append(_segment(location, detection, classes, fps))
        annotations.append(Annotation(parse_name(file, id, "id"), tuple(segments)))
    return AnnotationFile(annotations, count_warnings(path, {"attributes of detections are ignored": with_attributes}))


def write(path: Path, annotations: Sequence[Annotation], fps: float) -> None:
    """Write the detections of each video, with labels as strings."""
    labels = {
        annotation.id: [_detection(segment, fps) for segment in annotation.segments] for annotation in annotations
    }
    write_json(path, {"labels": labels})


def _segment(location: Location, detection: dict[str, Any], classes: list[Any] | None, fps: float) -> Segment:
    label = detection["label"]
    if classes is not None:  # labels are indices
        if isinstance(label, bool) or not isinstance(label, int) or not 0 <= label < len(classes):
            raise location.error(
                f"label is {abbreviate(repr(label))}", 'use an index of the list "classes", counted from 0'
            )
        label = classes[label]
    support = detection.get("support")
    times = detection.get("timestamps") if support is None else support
    if not isinstance(times, list) or len(times) != 2:
        raise location.error('"support" must be a list of two frames', 'use {"label", "support": [first, last]}')
    start, end = times if support is None else from_frames(location, times[0], times[1], fps)
    return parse_segment(location, label, start, end, detection.get("confidence"))


def _detection(segment: Segment, fps: float) -> dict[str, Any]:
    detection: dict[str, Any] = {"label": segment.label, "support": list(to_frames(segment, fps))}
    return detection if segment.score is None else {**detection, "confidence": segment.score}


FORMAT = AnnotationFormat(
    name="fiftyone",
    title="FiftyOne",
    extension=".json",
    read=read,
    write=write,
    detect=has_keys("labels"),
    needs_fps=True,
    allows_zero_length=False,
    usage_hint="FiftyOne imports it as labels.json beside a folder named data that contains the video.",
)
