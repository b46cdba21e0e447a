"""ActivityNet's result file: proposals, each with a score.

FROM: ActivityNet's annotation file: actions with their durations and subsets, without scores.
"""

from collections.abc import Sequence
from pathlib import Path

from wtal.core.structures import Segment, Video
from wtal.data.annotations.base import Annotation, AnnotationFile, parse_name, seconds, segment
from wtal.data.layouts.activitynet import read_activitynet, read_proposals, write_activitynet, write_proposals
from wtal.data.problems import abbreviate


def read_ground_truth_file(path: Path) -> AnnotationFile:
    """The actions of each video. Raises DataError with the entry that is at fault."""
    return AnnotationFile([_timeline(video, f"{path}, {abbreviate(video.id)}") for video in read_activitynet(path)], [])


def write_ground_truth_file(path: Path, timelines: Sequence[Annotation]) -> None:
    """Actions; a label that has no segment is written without one."""
    write_activitynet(path, [_video(timeline) for timeline in timelines])


def _timeline(video: Video, where: str) -> Annotation:
    segments = tuple(segment(where, action.label, action.start, action.end) for action in video.segments)
    timed = {one.label for one in segments}
    tags = tuple(tag for label in video.labels if (tag := parse_name(where, label, "label")) not in timed)
    duration = None if video.duration is None else seconds(where, video.duration, "duration")
    subset = parse_name(where, video.subset, "subset") if video.subset else ""
    return Annotation(parse_name(where, video.id, "id"), segments, duration, subset, tags)


def _video(timeline: Annotation) -> Video:
    actions = tuple(Segment(one.label, one.start, one.end) for one in timeline.segments)
    labels = sorted({*timeline.tags, *(action.label for action in actions)})
    return Video(timeline.id, timeline.subset, tuple(labels), timeline.duration, actions)


def read_predictions_file(path: Path) -> AnnotationFile:
    """The proposals of each video. Raises DataError with the entry that is at fault."""
    found = [
        Annotation(
            parse_name(str(path), id, "id"), tuple(segment(f"{path}, {abbreviate(id)}", *one) for one in proposals)
        )
        for id, proposals in read_proposals(path).items()
    ]
    return AnnotationFile(found, [])


def write_predictions_file(path: Path, timelines: Sequence[Annotation]) -> None:
    """Proposals; a segment without a score is as sure as can be."""
    write_proposals(
        path,
        {
            timeline.id: [
                Segment(s.label, s.start, s.end, 1.0 if s.score is None else s.score) for s in timeline.segments
            ]
            for timeline in timelines
        },
    )
