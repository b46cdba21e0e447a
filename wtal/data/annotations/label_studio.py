"""Label Studio tasks with TimelineLabels: frames counted from 1, first and last inclusive.

A task whose segments all have scores is written with predictions, any other with an annotation. The labeling
interface of the project needs a Video tag named `video` and a TimelineLabels tag named `timelineLabels`.
"""

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
    from_frames,
    has_keys,
    media_id,
    to_frames,
)
from wtal.data.parsing import Location, parse_list, parse_name, parse_object, parse_segment

REGION_TYPE = "timelinelabels"
VIDEO_TAG = "video"
LABELS_TAG = "timelineLabels"


def read(path: Path, fps: float) -> AnnotationFile:
    """Read the annotations of each task, or its predictions if it has no annotations.

    Raises:
        DataError: With the invalid task and region.
    """
    value = read_json(path)
    annotations = []
    other_results = multiple = 0
    for task_number, entry in enumerate(value if isinstance(value, list) else [value], start=1):
        location = Location(path, f"task {task_number}")
        task = parse_object(location, entry, ["data"])
        media = _media(location, parse_object(location, task["data"]))
        results = _results(location, task)
        multiple += len(results) > 1
        segments: list[Segment] = []
        for result in results:
            for number, region in enumerate(parse_list(location, result), start=1):
                region_location = location.child(f"result {number}")
                region = parse_object(region_location, region, ["value"])
                if region.get("type", REGION_TYPE) == REGION_TYPE:
                    segments += _segments(region_location, region, fps)
                else:
                    other_results += 1
        annotations.append(Annotation.from_media(media, segments))
    check_unique_ids((annotation.id for annotation in annotations), path)
    warnings = {
        "results of other types are ignored": other_results,
        "tasks have several annotations, which are merged": multiple,
    }
    return AnnotationFile(annotations, count_warnings(path, warnings))


def write(path: Path, annotations: Sequence[Annotation], fps: float) -> None:
    """Write one task per video, to import into a project."""
    write_json(path, [_task(annotation, fps) for annotation in annotations])


def _media(location: Location, data: dict[str, Any]) -> str:
    """The path or URL of a task's video: data.video, or the first string if the interface uses another name."""
    value = data.get(VIDEO_TAG, next((value for value in data.values() if isinstance(value, str)), None))
    media = parse_name(location, value, "data.video")
    parse_name(location, media_id(media), "data.video")
    return media


def _results(location: Location, task: dict[str, Any]) -> list[Any]:
    """The result lists of the annotations that were not cancelled, or else of the predictions."""
    annotations, predictions = (
        [
            parse_object(location.child(key), entry, ["result"])
            for entry in parse_list(location.child(key), [] if task.get(key) is None else task[key])
        ]
        for key in ("annotations", "predictions")
    )
    submitted = [annotation for annotation in annotations if not annotation.get("was_cancelled")]
    return [entry["result"] for entry in submitted or predictions]


def _segments(location: Location, region: dict[str, Any], fps: float) -> list[Segment]:
    """One segment for each range and label of a region."""
    value = parse_object(location, region["value"], ["ranges", REGION_TYPE])
    segments: list[Segment] = []
    for entry in parse_list(location, value["ranges"]):
        frames = parse_object(location, entry, ["start", "end"])
        start, end = from_frames(location, frames["start"], frames["end"], fps)
        labels = parse_list(location, value[REGION_TYPE])
        segments += [parse_segment(location, label, start, end, region.get("score")) for label in labels]
    return segments


def _task(annotation: Annotation, fps: float) -> dict[str, Any]:
    result = [_region(number, segment, fps) for number, segment in enumerate(annotation.segments, start=1)]
    data = {VIDEO_TAG: annotation.media_name}
    if result and all(segment.score is not None for segment in annotation.segments):
        return {"data": data, "predictions": [{"model_version": "wtal", "result": result}]}
    return {"data": data, "annotations": [{"result": result}]}


def _region(number: int, segment: Segment, fps: float) -> dict[str, Any]:
    first, last = to_frames(segment, fps)
    return {
        "id": f"segment-{number}",
        "from_name": LABELS_TAG,
        "to_name": VIDEO_TAG,
        "type": REGION_TYPE,
        "value": {"ranges": [{"start": first, "end": last}], REGION_TYPE: [segment.label]},
        **({} if segment.score is None else {"score": segment.score}),
    }


FORMAT = AnnotationFormat(
    name="labelstudio",
    title="Label Studio",
    extension=".json",
    read=read,
    write=write,
    detect=lambda content: isinstance(content, list) or has_keys("data")(content),
    needs_fps=True,
    allows_zero_length=False,
    normalize_id=media_id,
    usage_hint="Label Studio loads videos by URL: replace the file name in data.video by the URL of the video.",
)
