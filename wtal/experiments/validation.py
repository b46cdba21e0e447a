"""Scores of a checkpoint while training goes on: on validation segments or held-out video-level labels."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from torch import nn

from wtal.core.structures import Video
from wtal.data.batching import multi_hot
from wtal.data.dataset import Dataset
from wtal.evaluation.average_precision import average_precision
from wtal.evaluation.evaluate import evaluate
from wtal.evaluation.protocols import COMPARISON_TIOUS, EvaluationOptions
from wtal.inference.localizer import score_videos
from wtal.inference.proposals import generate_proposals

if TYPE_CHECKING:
    from wtal.core.config import Config


def validator(folder: Dataset, config: "Config", held_out: frozenset[str]) -> Callable[[nn.Module], dict[str, float]]:
    """What `train` calls at each checkpoint: the local branch -> scores by name, as fractions.

    With held-out sequences their video-level mAP; else the average mAP on the validation subset's segments.
    """
    if held_out:
        videos = [v.without_segments() for v in folder.subset("training") if v.id in held_out]
        return lambda network: {"held_out_video_map": video_map(network, config, folder, videos)}
    videos = list(folder.subset("validation"))
    return lambda network: {"validation_map": segment_map(network, config, folder, videos)}


def segment_map(network: nn.Module, config: "Config", folder: Dataset, videos: list[Video]) -> float:
    """Average mAP over tIoU 0.1:0.7 of a local branch."""
    proposals = {
        video.id: generate_proposals(scores, folder.classes, folder.clock_of(video.id), config.localize)
        for video, scores in score_videos(network, folder, videos, config)
    }
    return evaluate(proposals, videos, EvaluationOptions(tious=COMPARISON_TIOUS, subset=videos[0].subset)).average()


def video_map(network: nn.Module, config: "Config", folder: Dataset, videos: list[Video]) -> float:
    """Mean average precision of naming what happens in a video; needs no segment."""
    scored = score_videos(network, folder, videos, config)
    scores = np.stack([scores.video for _, scores in scored])  # N x C
    labels = multi_hot(videos, folder.classes).numpy() > 0  # N x C
    order = scores.argsort(0)[::-1]
    hits = np.take_along_axis(labels, order, 0).T  # C x N
    carried = hits.any(1)
    return float(np.mean([average_precision(row[None], int(row.sum()))[0] for row in hits[carried]]))
