"""ActivityNet's two JSON files: ground truth (segments without scores) and results (segments with scores)."""

from collections.abc import Sequence
from pathlib import Path

from wtal.core.structures import Segment, Video
from wtal.data.annotations.base import Annotation, AnnotationFile, AnnotationFormat, has_keys
from wtal.data.layouts.activitynet import read_activitynet, read_proposals, write_activitynet, write_proposals
from wtal.data.parsing import Location, parse_label, parse_name, parse_seconds, parse_segment


def read_ground_truth(path: Path) -> AnnotationFile:
    """Read the segments, tags, duration and subset of each video. Raises DataError with the invalid entry."""
    return AnnotationFile([_from_video(video, Location(path).child(video.id)) for video in read_activitynet(path)], [])


def write_ground_truth(path: Path, annotations: Sequence[Annotation]) -> None:
    """Write segments without scores; a tag is written as a label without a segment."""
    write_activitynet(path, map(_to_video, annotations))


def read_results(path: Path) -> AnnotationFile:
    """Read the scored segments of each video. Raises DataError with the invalid entry."""
    annotations = []
    for id, segments in read_proposals(path).items():
        location = Location(path).child(id)
        annotations.append(
            Annotation(
                parse_name(Location(path), id, "id"), tuple(parse_segment(location, *segment) for segment in segments)
            )
        )
    return AnnotationFile(annotations, [])


def write_results(path: Path, annotations: Sequence[Annotation]) -> None:
    """Write scored segments; a segment without a score gets 1.0."""
    write_proposals(
        path,
        {
            annotation.id: [segment._replace(score=segment.confidence) for segment in annotation.segments]
            for annotation in annotations
        },
    )


def _from_video(video: Video, location: Location) -> Annotation:
    segments = tuple(parse_segment(location, *segment) for segment in video.segments)
    labels = {segment.label for segment in segments}
    tags = (parse_label(location, label) for label in video.labels)
    return Annotation(
        parse_name(location, video.id, "id"),
        segments,
        None if video.duration is None else parse_seconds(location, video.duration, "duration"),
        parse_name(location, video.subset, "subset") if video.subset else "",
        tuple(tag for tag in tags if tag not in labels),
        complete=video.complete,
    )


def _to_video(annotation: Annotation) -> Video:
    segments = tuple(Segment(segment.label, segment.start, segment.end) for segment in annotation.segments)
    labels = sorted({*annotation.tags, *(segment.label for segment in segments)})
    return Video(annotation.id, annotation.subset, tuple(labels), annotation.duration, segments, annotation.complete)


GROUND_TRUTH = AnnotationFormat(
    name="activitynet",
    title="ActivityNet annotations",
    extension=".json",
    read=read_ground_truth,
    write=write_ground_truth,
    detect=has_keys("database"),
    keeps=frozenset({"empty videos", "durations", "subsets", "tags", "complete timelines"}),
)
RESULTS = AnnotationFormat(
    name="results",
    title="ActivityNet results",
    extension=".json",
    read=read_results,
    write=write_results,
    detect=has_keys("results"),
    requires_scores=True,
)
