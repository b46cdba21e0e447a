"""Labels of single snippets of the training videos, from segments, points and complete timelines.

A segment labels the snippets whose middle lies in it, and a point the snippet that it lies in. In a complete timeline
all other snippets are background; otherwise they have no label. A timeline with points is never complete, because the
extent of these instances is unknown.

Training on tags reads none of them. The supervised bound has targets instead: every snippet of every training video has
a label.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wtal.core.errors import DataError
from wtal.core.io import read_json
from wtal.core.structures import Segment, Video
from wtal.core.text import format_count
from wtal.data.dataset import Dataset

TRAINING_SEGMENTS_NAME = "training_segments.json"
HINT_FORMAT = 'write it as {"video": [["label", start, end], ...]}, times in seconds'


def snippet_labels(dataset: Dataset, supervision: str, held_out: frozenset[str] = frozenset()) -> dict[str, Tensor]:
    """The labels of the training snippets, as shares of the classes and background.

    Args:
        dataset: The data set. A video in training_segments.json has the complete timeline of that file.
        supervision: The labels that are used: `tags` (none of them), `points`, `segments` or `all`.
        held_out: Ids of training videos to leave out.

    Returns:
        T x (C + 1) for each video with a labeled snippet, by its id; zeros for a snippet without a label.

    Raises:
        DataError: No snippet is labeled (code `no-segments`), or training_segments.json is invalid.
    """
    if supervision == "tags":
        return {}
    videos = _labeled_videos(dataset, supervision, held_out)
    labels = {video.id: _label_snippets(dataset, video) for video in videos if video.segments or video.complete}
    labels = {id: shares for id, shares in labels.items() if shares.any()}
    if not labels:
        kind = "segments or points" if supervision == "all" else supervision
        add = "add them with `wtal label`"
        if (dataset.path / TRAINING_SEGMENTS_NAME).is_file():
            add = f"{TRAINING_SEGMENTS_NAME} replaces the times of its videos: move it to another folder and {add}"
        raise DataError(
            f"no training video has {kind}",
            path=dataset.path,
            hint=f"{add}, or train with --supervision tags",
            code="no-segments",
        )
    return labels


def count_labels(dataset: Dataset, supervision: str, held_out: frozenset[str] = frozenset()) -> dict[str, int]:
    """The number of training videos with each kind of label that is used.

    Args:
        dataset: The data set.
        supervision: The labels that are used, as in `snippet_labels`.
        held_out: Ids of training videos to leave out.

    Returns:
        The number of videos with `tags`; and, if more than tags are used, of those with `points`, with `partial`
        timelines of segments, and with `complete` timelines.

    Raises:
        DataError: training_segments.json is invalid.
    """
    training = [video for video in dataset.subset("training") if video.id not in held_out]
    counts = {"tags": sum(bool(video.labels) for video in training)}
    if supervision == "tags":
        return counts
    videos = _labeled_videos(dataset, supervision, held_out)
    kinds = Counter(kind for video in videos for kind in _label_kinds(video))
    return counts | {kind: kinds[kind] for kind in ("points", "partial", "complete")}


def describe_labels(counts: Mapping[str, int]) -> str:
    """The counts of `count_labels` as text, such as `249 videos with tags, 20 with points`."""
    if "tags" not in counts:
        return "not recorded"
    kinds = {"points": "with points", "partial": "with some segments", "complete": "with a complete timeline"}
    parts = [f"{counts[kind]:,} {text}" for kind, text in kinds.items() if counts.get(kind)]
    return ", ".join([f"{format_count(counts['tags'], 'video')} with tags", *parts])


def segment_targets(dataset: Dataset, held_out: frozenset[str] = frozenset()) -> dict[str, Tensor]:
    """Class probabilities of all training snippets, for the supervised bound.

    The timeline of every training video counts as complete.

    Args:
        dataset: The data set. The segments are those of training_segments.json, or else of its training videos.
        held_out: Ids of training videos to leave out.

    Returns:
        T x (C + 1) for each training video, by its id.

    Raises:
        DataError: No training video has segments (code `no-segments`), or training_segments.json is invalid.
    """
    segments = training_segments(dataset)
    ids = [video.id for video in dataset.subset("training") if video.id not in held_out]
    return {id: snippet_targets(dataset, id, segments.get(id, ())) for id in ids}


def snippet_targets(dataset: Dataset, video_id: str, segments: Sequence[Segment]) -> Tensor:
    """Class probabilities of the snippets of a video from its complete timeline. T x (C + 1)."""
    return _label_snippets(dataset, Video(video_id, "", (), None, tuple(segments), complete=True))


def training_segments(dataset: Dataset) -> dict[str, list[Segment]]:
    """The true segments of the training videos by id.

    Raises:
        DataError: There are none (code `no-segments`), or training_segments.json is invalid.
    """
    segments = {video.id: [s for s in video.segments if not s.is_point] for video in _annotated_videos(dataset)}
    if not any(segments.values()):
        raise DataError(
            "no training video has segments",
            path=dataset.path,
            hint=f"add {TRAINING_SEGMENTS_NAME}, or segments in annotations.json, or train on tags",
            code="no-segments",
        )
    return segments


def _annotated_videos(dataset: Dataset) -> list[Video]:
    """The training videos, with the complete timelines of training_segments.json where it exists."""
    videos = dataset.subset("training")
    path = dataset.path / TRAINING_SEGMENTS_NAME
    if not path.is_file():
        return list(videos)
    segments = _read(path, dataset)
    return [replace(v, segments=tuple(segments[v.id]), complete=True) if v.id in segments else v for v in videos]


def _labeled_videos(dataset: Dataset, supervision: str, held_out: frozenset[str]) -> list[Video]:
    """The training videos, each with only those labels that a kind of supervision uses."""
    videos = []
    for video in _annotated_videos(dataset):
        if video.id not in held_out:
            has_points = any(segment.is_point for segment in video.segments)
            kinds = ("points", "segments") if supervision == "all" else (supervision,)
            segments = tuple(s for s in video.segments if ("points" if s.is_point else "segments") in kinds)
            complete = video.complete and not has_points and "segments" in kinds
            videos.append(replace(video, segments=segments, complete=complete))
    return videos


def _label_kinds(video: Video) -> list[str]:
    """Which kinds of `count_labels` a video has."""
    if video.complete:
        return ["complete"]
    return sorted({"points" if segment.is_point else "partial" for segment in video.segments})


def _label_snippets(dataset: Dataset, video: Video) -> Tensor:
    """The labels of the snippets of a video as shares of the classes and background, T x (C + 1)."""
    edges = dataset.clock_of(video.id).seconds(np.arange(len(dataset.features(video.id)) + 1))
    middles = torch.as_tensor((edges[1:] + edges[:-1]) / 2)
    shares = torch.zeros(len(middles), len(dataset.classes) + 1)
    for segment in video.segments:
        column = dataset.classes.index(segment.label)
        if not segment.is_point:
            shares[(middles >= segment.start) & (middles < segment.end), column] = 1
        elif edges[0] <= segment.start <= edges[-1]:
            snippet = int(np.searchsorted(edges, segment.start, side="right")) - 1
            shares[min(snippet, len(middles) - 1), column] = 1
    if video.complete:
        shares[:, -1] = (shares.sum(1) == 0).float()
    return shares / shares.sum(1, keepdim=True).clamp(min=1)


def _read(path: Path, dataset: Dataset) -> dict[str, list[Segment]]:
    content = read_json(path)
    try:
        segments = {
            id: [Segment(str(label), float(start), float(end)) for label, start, end in rows]
            for id, rows in content.items()
        }
    except (AttributeError, TypeError, ValueError) as error:
        raise DataError(
            "not a list of segments for each video", path=path, hint=HINT_FORMAT, code="invalid-value"
        ) from error
    known = set(dataset.classes)
    for id, rows in segments.items():
        for segment in rows:
            if not segment.start <= segment.end:  # also NaN
                raise DataError(
                    f"a segment from {segment.start} to {segment.end}",
                    path=path,
                    location=id,
                    hint=HINT_FORMAT,
                    code="invalid-value",
                )
            if segment.label not in known:
                raise DataError(
                    f"unknown class {segment.label!r}",
                    path=path,
                    location=id,
                    hint="use the classes of dataset.json",
                    code="unknown-name",
                )
    return segments
