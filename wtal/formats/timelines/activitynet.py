"""ActivityNet's annotation file: actions with their durations and subsets, without scores."""

from collections.abc import Sequence
from pathlib import Path

from wtal.formats.activitynet import read_activitynet, write_activitynet
from wtal.formats.problem import short
from wtal.formats.timelines.timeline import Read, Timeline, seconds, segment, word
from wtal.records import Action, Video


def read(path: Path) -> Read:
    """The actions of each video. Raises DataError with the entry that is at fault."""
    return Read([_timeline(video, f"{path}, {short(video.id)}") for video in read_activitynet(path)], [])


def write(path: Path, timelines: Sequence[Timeline]) -> None:
    """Actions; a label that has no segment is written without one."""
    write_activitynet(path, [_video(timeline) for timeline in timelines])


def _timeline(video: Video, where: str) -> Timeline:
    segments = tuple(segment(where, action.label, action.start, action.end) for action in video.actions)
    timed = {one.label for one in segments}
    tags = tuple(tag for label in video.labels if (tag := word(where, label, "label")) not in timed)
    duration = None if video.duration is None else seconds(where, video.duration, "duration")
    subset = word(where, video.subset, "subset") if video.subset else ""
    return Timeline(word(where, video.id, "id"), segments, duration, subset, tags)


def _video(timeline: Timeline) -> Video:
    actions = tuple(Action(one.label, one.start, one.end) for one in timeline.segments)
    labels = sorted({*timeline.tags, *(action.label for action in actions)})
    return Video(timeline.id, timeline.subset, tuple(labels), timeline.duration, actions)
