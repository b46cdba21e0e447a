"""Scores of a checkpoint while training goes on: on validation segments or held-out video-level labels."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from wtal import checkpoint
from wtal.dataset import multi_hot
from wtal.evaluate import evaluate
from wtal.formats.plain import Folder
from wtal.localize import localize
from wtal.matching import average_precision
from wtal.predict import score_videos
from wtal.records import Video

TIOUS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)


def validator(folder: Folder, held_out: frozenset[str]) -> Callable[[Path, int], dict[str, float]]:
    """What `train` calls on each checkpoint: (checkpoint folder, step) -> scores by name, as fractions.

    With held-out sequences their video-level mAP; else the average mAP on the validation subset's segments.
    """
    if held_out:
        videos = [v.without_segments() for v in folder.subset("training") if v.id in held_out]
        return lambda saved, step: {"held_out_video_map": video_map(saved, folder, videos)}
    videos = list(folder.subset("validation"))
    return lambda saved, step: {"validation_map": segment_map(saved, folder, videos)}


def segment_map(saved: Path, folder: Folder, videos: list[Video]) -> float:
    """Average mAP over tIoU 0.1:0.7 of a checkpoint's local branch."""
    network, meta = checkpoint.load_local(saved)
    proposals = {
        video.id: localize(scores, meta.classes, folder.clock, meta.config.localize)
        for video, scores in score_videos(network, folder, videos, meta.config.train.topk_ratio)
    }
    return evaluate(proposals, videos, tious=TIOUS, subset=videos[0].subset).average()


def video_map(saved: Path, folder: Folder, videos: list[Video]) -> float:
    """Mean average precision of naming what happens in a video; needs no segment."""
    network, meta = checkpoint.load_local(saved)
    scored = score_videos(network, folder, videos, meta.config.train.topk_ratio)
    scores = np.stack([scores.video for _, scores in scored])  # N x C
    labels = multi_hot(videos, meta.classes).numpy() > 0  # N x C
    order = scores.argsort(0)[::-1]
    hits = np.take_along_axis(labels, order, 0).T  # C x N
    carried = hits.any(1)
    return float(np.mean([average_precision(row[None], int(row.sum()))[0] for row in hits[carried]]))
