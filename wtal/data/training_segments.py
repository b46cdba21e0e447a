"""True segments of training videos, for the supervised bound alone. Training on tags never reads them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wtal.core.errors import DataError
from wtal.core.io import read_json
from wtal.core.structures import Segment
from wtal.data.dataset import Dataset

FILE_NAME = "training_segments.json"
HINT = 'write it as {"video": [["label", start, end], ...]}, times in seconds'


def segment_targets(dataset: Dataset, held_out: frozenset[str] = frozenset()) -> dict[str, Tensor]:
    """Class probabilities of the training snippets from true segments: by id, T x (C + 1).

    A snippet belongs to the segments that its middle lies in, in equal shares, or else to background.

    Args:
        dataset: The data set. The segments are those of training_segments.json, or else of its training videos.
        held_out: Ids of training videos to leave out.

    Raises:
        DataError: No training video has segments (code `no-segments`), or training_segments.json is invalid.
    """
    segments = training_segments(dataset)
    ids = [video.id for video in dataset.subset("training") if video.id not in held_out]
    return {id: snippet_targets(dataset, id, segments.get(id, ())) for id in ids}


def snippet_targets(dataset: Dataset, video_id: str, segments: Sequence[Segment]) -> Tensor:
    """Class probabilities of the snippets of a video from its true segments. T x (C + 1)."""
    edges = dataset.clock_of(video_id).seconds(np.arange(len(dataset.features(video_id)) + 1))
    middle = torch.as_tensor((edges[1:] + edges[:-1]) / 2)
    targets = torch.zeros(len(middle), len(dataset.classes) + 1)
    for segment in segments:
        inside = (middle >= segment.start) & (middle < segment.end)
        targets[inside, dataset.classes.index(segment.label)] = 1
    targets[:, -1] = (targets.sum(1) == 0).float()
    return targets / targets.sum(1, keepdim=True)


def training_segments(dataset: Dataset) -> dict[str, list[Segment]]:
    """The true segments of the training videos by id.

    Raises:
        DataError: There are none (code `no-segments`), or training_segments.json is invalid.
    """
    path = dataset.path / FILE_NAME
    annotated = {video.id: list(video.segments) for video in dataset.subset("training")}
    segments = _read(path, dataset) if path.is_file() else annotated
    if not any(segments.get(id) for id in annotated):
        raise DataError(
            "no training video has segments",
            path=dataset.path,
            hint=f"add {FILE_NAME}, or segments in annotations.json, or train on tags",
            code="no-segments",
        )
    return segments


def _read(path: Path, dataset: Dataset) -> dict[str, list[Segment]]:
    content = read_json(path)
    try:
        segments = {
            id: [Segment(str(label), float(start), float(end)) for label, start, end in rows]
            for id, rows in content.items()
        }
    except (AttributeError, TypeError, ValueError) as error:
        raise DataError("not a list of segments for each video", path=path, hint=HINT, code="invalid-value") from error
    known = set(dataset.classes)
    for id, rows in segments.items():
        for segment in rows:
            if not segment.start <= segment.end:  # also NaN
                raise DataError(
                    f"a segment from {segment.start} to {segment.end}",
                    path=path,
                    location=id,
                    hint=HINT,
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
