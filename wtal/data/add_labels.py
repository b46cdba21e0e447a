"""Add segments and points to the training videos of a data set folder."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from wtal.core.errors import DataError
from wtal.core.io import directory_lock, read_json, require_folder, write_json
from wtal.core.structures import Video
from wtal.core.text import format_count, format_list
from wtal.data.annotations.base import Annotation
from wtal.data.dataset import Dataset, load_dataset
from wtal.data.problems import abbreviate, format_ids
from wtal.data.snippet_labels import TRAINING_SEGMENTS_NAME


@dataclass(frozen=True)
class AddedLabels:
    """What `add_labels` wrote.

    Attributes:
        videos: Number of videos that got labels.
        segments: Number of segments.
        points: Number of points.
        complete: Number of videos with a complete timeline.
        remarks: Which annotations were not used, and which timelines cannot be complete.
    """

    videos: int
    segments: int
    points: int
    complete: int
    remarks: tuple[str, ...]


def add_labels(folder: Path, annotations: Sequence[Annotation], complete: bool = False) -> AddedLabels:
    """Write segments and points into annotations.json, in place of those that a video had.

    The tags of a video with a complete timeline are the labels of its segments. Any other video keeps its tags, and the
    labels of the annotation are added to them. A timeline with points is never complete.

    Args:
        folder: The data set folder.
        annotations: The segments and points (zero length) of some videos. The ids are those of the data set.
        complete: All timelines are complete, also those that do not say so.

    Returns:
        What was written.

    Raises:
        DataError: The times of a video are in training_segments.json. Or a label is unknown, a segment lies after the
            end of its video, a complete timeline has a tag without segments, segments are predictions that are
            alternatives, no training video is annotated, another process writes to the folder, or annotations.json
            cannot be read or written. Nothing is written then.
    """
    require_folder(folder, "pass the folder with annotations.json or tags.csv")
    with directory_lock(folder, "wait for it, and run it again"):
        dataset = load_dataset(folder)
        path = folder / "annotations.json"
        if not path.is_file():
            raise DataError(
                "the labels of this data set are in tags.csv",
                path=folder / "tags.csv",
                hint="write the times there, as `swim[12.5 to 40]` or `swim@12.5`",
                code="unsupported-format",
            )
        content = read_json(path)
        database = content.get("database", content)
        training = {video.id: video for video in dataset.subset("training")}
        used = [
            annotation for annotation in annotations if annotation.id in training and _has_labels(annotation, complete)
        ]
        if not used:
            raise _no_video_error(folder, annotations, training)
        _require_not_overridden(folder, used)
        stated_complete = [annotation for annotation in used if complete or annotation.complete]
        with_points = [annotation.id for annotation in stated_complete if any(s.is_point for s in annotation.segments)]
        complete_ids = {annotation.id for annotation in stated_complete} - {*with_points}
        for annotation in used:
            _require_valid(dataset, training[annotation.id], annotation, annotation.id in complete_ids)
            _update_entry(database[annotation.id], annotation, annotation.id in complete_ids)
        write_json(path, content)
    segments = [segment for annotation in used for segment in annotation.segments]
    points = sum(segment.is_point for segment in segments)
    return AddedLabels(
        len(used),
        len(segments) - points,
        points,
        len(complete_ids),
        tuple(_remarks(dataset, annotations, used, with_points)),
    )


def _require_not_overridden(folder: Path, annotations: Sequence[Annotation]) -> None:
    """Raise DataError if training would read the times of these videos from training_segments.json instead."""
    path = folder / TRAINING_SEGMENTS_NAME
    overridden = [a.id for a in annotations if a.id in read_json(path)] if path.is_file() else []
    if overridden:
        raise DataError(
            f"has the complete timelines of {format_ids(overridden)}; training uses them instead of added labels",
            path=path,
            hint="move the file out of the data set, or remove these videos from it",
            code="already-labelled",
        )


def _has_labels(annotation: Annotation, complete: bool) -> bool:
    return bool(annotation.segments) or complete or annotation.complete


def _update_entry(entry: dict[str, Any], annotation: Annotation, complete: bool) -> None:
    labels = {segment.label for segment in annotation.segments}
    old_labels = {old["label"] for old in entry.get("annotations", [])}
    tags = [] if complete else sorted((old_labels | set(annotation.tags)) - labels)
    rows = [{"label": label, "segment": [start, end]} for label, start, end, _ in sorted(annotation.segments)]
    entry["annotations"] = [{"label": label} for label in tags] + rows
    entry["timeline"] = "complete" if complete else "partial"


def _require_valid(dataset: Dataset, video: Video, annotation: Annotation, complete: bool) -> None:
    """Raise DataError for unknown labels, timelines that cannot be complete, alternatives, or times after the end."""

    def error(message: str, hint: str, code: str) -> DataError:
        return DataError(message, path=dataset.path, location=video.id, hint=hint, code=code)

    labels = {segment.label for segment in annotation.segments}
    if unknown := sorted((labels | set(annotation.tags)) - set(dataset.classes)):
        hint = f"use {format_list(dataset.classes)}, or add it to `classes` in dataset.json"
        raise error(f"unknown class {abbreviate(repr(unknown[0]))}", hint, "unknown-name")
    if complete and (untimed := set(annotation.tags) - labels):
        message = f"the timeline is not complete: start and end of {abbreviate(repr(min(untimed)))} are unknown"
        raise error(message, "add them, or do not mark the timeline as complete", "incomplete")
    scored = sorted(segment for segment in annotation.segments if segment.score is not None)
    if any(first.label == second.label and second.start < first.end for first, second in pairwise(scored)):
        message = "the segments are alternatives: some of one class overlap and have scores"
        raise error(message, "use timeline.json of `wtal predict`, after a person has checked it", "alternatives")
    duration = dataset.with_duration(video).duration
    if duration is None or dataset.about.get("beyond_duration") is True:
        return
    for label, start, end, _ in annotation.segments:
        # The features of a video of unknown duration can end before it, so the end of a segment does not count.
        if (start if video.duration is None else end) > duration + dataset.clock.stride:
            message = (
                f"{abbreviate(label)} from {start:g} to {end:g} s is after the end of the video, at {duration:g} s"
            )
            raise error(message, "is it another video, or were frames counted at another rate?", "invalid-segment")


def _no_video_error(folder: Path, annotations: Sequence[Annotation], training: Collection[str]) -> DataError:
    if not annotations or any(annotation.id in training for annotation in annotations):
        hint = "mark times first; --complete says of a video without any that nothing happens in it"
        return DataError("the annotations have no segments or points", path=folder, hint=hint, code="no-segments")
    given = format_ids(annotation.id for annotation in annotations)
    expected = format_ids(sorted(training))
    return DataError(
        f"no training video is annotated; the annotations are of {given}, the training videos are {expected}",
        path=folder,
        hint="name the videos as in the data set",
        code="no-common-videos",
    )


def _remarks(
    dataset: Dataset, annotations: Sequence[Annotation], used: Sequence[Annotation], with_points: Sequence[str]
) -> list[str]:
    used_ids, known = {annotation.id for annotation in used}, {video.id for video in dataset.videos}
    unused = [annotation.id for annotation in annotations if annotation.id not in used_ids]
    groups = {
        "not in the data set": [id for id in unused if id not in known],
        "not a training video with segments": [id for id in unused if id in known],
        "with points, so the timeline is partial": with_points,
    }
    return [f"{format_count(len(ids), 'video')} {why}: {format_ids(ids)}" for why, ids in groups.items() if ids]
