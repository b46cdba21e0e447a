"""Annotated or predicted segments from any source: a file or folder of an annotation format, or a data set folder."""

from dataclasses import dataclass, field
from pathlib import Path

from wtal.core.errors import DataError
from wtal.core.structures import Segment
from wtal.data.annotations.base import Annotation
from wtal.data.annotations.convert import read_annotations
from wtal.data.annotations.registry import find_format
from wtal.data.dataset import is_dataset, load_dataset
from wtal.data.layouts.registry import require_not_layout
from wtal.data.problems import format_ids


@dataclass(frozen=True)
class SegmentSource:
    """The segments of a source.

    Attributes:
        path: The file or folder.
        segments: The segments of each video, in seconds. A video without segments has an empty list.
        durations: The durations in seconds that the source knows.
        remarks: What was ignored.
    """

    path: Path
    segments: dict[str, list[Segment]]
    durations: dict[str, float] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def read_segments(path: Path, format: str | None = None, fps: float | None = None) -> SegmentSource:
    """Read the segments of all videos. Videos that have tags and no segments are left out: nobody marked the times.

    Args:
        path: An annotation file, a folder of such files of one format, or a data set folder.
        format: Name of the format of a folder, and of files with its extension; otherwise the format is detected.
        fps: Frames per second, for formats that store frame numbers.

    Raises:
        ConfigError: The format is unknown, or `fps` is missing.
        DataError: The source cannot be read, is a public layout of features, or no video has its times marked.
    """
    if not path.exists():
        raise DataError("no such file or folder", path=path, code="file-not-found")
    remarks: list[str] = []
    if path.is_dir() and not format and is_dataset(path):
        dataset = load_dataset(path)
        annotations = [
            Annotation(video.id, video.segments, video.duration, video.subset, video.labels)
            for video in map(dataset.with_duration, dataset.videos)
        ]
        if partial := [v.id for v in dataset.videos if v.subset == "training" and v.segments and not v.complete]:
            remarks.append(
                f"{path}: {len(partial):,} training videos are not marked as complete ({format_ids(partial)}); "
                "what is not annotated counts as not happening"
            )
    else:
        if not format:
            require_not_layout(path)
        is_format_given = format and (path.is_dir() or path.suffix.lower() == find_format(format).extension)
        file, _ = read_annotations(path, format if is_format_given else None, fps)
        annotations = file.annotations
        remarks += map(str, file.warnings)
    timed = [annotation for annotation in annotations if annotation.segments or not annotation.tags]
    if not timed:
        raise DataError(
            "no video has a segment", path=path, hint="pass annotations with start and end times", code="no-segments"
        )
    if untimed := [annotation.id for annotation in annotations if annotation.tags and not annotation.segments]:
        remarks.append(
            f"{path}: {len(untimed):,} of {len(annotations):,} videos have tags without times and are left out "
            f"({format_ids(untimed)})"
        )
    return SegmentSource(
        path,
        {annotation.id: list(annotation.segments) for annotation in timed},
        {annotation.id: annotation.duration for annotation in annotations if annotation.duration is not None},
        tuple(remarks),
    )


def read_durations(data: Path, source: SegmentSource) -> dict[str, float]:
    """The durations in seconds that a data set folder knows. Raises DataError if it has no video of the source."""
    dataset = load_dataset(data)
    common_videos(source, SegmentSource(data, {video.id: [] for video in dataset.videos}))
    videos = map(dataset.with_duration, dataset.videos)
    return {video.id: video.duration for video in videos if video.duration is not None}


def common_videos(source: SegmentSource, reference: SegmentSource) -> tuple[list[str], list[str]]:
    """The ids of the videos that two sources have in common, in the order of the first, and remarks on the others.

    Raises:
        DataError: There is none; the message shows ids of both.
    """
    common = [id for id in source.segments if id in reference.segments]
    if not common:
        ids, reference_ids = format_ids(source.segments), format_ids(reference.segments)
        raise DataError(
            f"no video in common with {reference.path}: {ids} here, {reference_ids} there",
            path=source.path,
            hint="give the videos the same ids in both",
            code="no-common-videos",
        )
    remarks = []
    for first, second in ((source, reference), (reference, source)):
        if others := [id for id in first.segments if id not in second.segments]:
            remarks.append(
                f"{len(others):,} of {len(first.segments):,} videos of {first.path} are left out, "
                f"because {second.path} does not have them ({format_ids(others)})"
            )
    return common, remarks
