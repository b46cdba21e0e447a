"""Scores of a checkpoint during training, on validation segments or on the labels of held-out videos."""

from collections.abc import Callable, Sequence

import numpy as np
from torch import nn

from wtal.core.config import Config
from wtal.core.structures import Video
from wtal.data.batching import multi_hot
from wtal.data.dataset import Dataset
from wtal.evaluation.average_precision import average_precision
from wtal.evaluation.evaluate import evaluate
from wtal.evaluation.protocols import EvaluationOptions
from wtal.inference.batch import localize_many
from wtal.inference.localizer import Localizer
from wtal.models.checkpoint import ModelMetadata


def make_validator(
    dataset: Dataset, config: Config, held_out: frozenset[str]
) -> Callable[[nn.Module], dict[str, float]]:
    """A function that scores a local branch; it returns fractions by name.

    With held-out videos it computes their video-level mAP, otherwise the average mAP on the validation segments.
    """
    meta = ModelMetadata(config, dataset.classes, dataset.modalities, dataset.clock, 0)
    if held_out:
        videos = [video.without_segments() for video in dataset.subset("training") if video.id in held_out]
        return lambda network: {"held_out_video_map": video_map(Localizer(network, meta), dataset, videos)}
    videos = list(dataset.subset("validation"))
    return lambda network: {"validation_map": segment_map(Localizer(network, meta), dataset, videos)}


def segment_map(localizer: Localizer, dataset: Dataset, videos: Sequence[Video]) -> float:
    """Average mAP of the segments under the default protocol."""
    options = EvaluationOptions(subset=videos[0].subset)
    return evaluate(localize_many(localizer, dataset, videos), videos, options).average()


def video_map(localizer: Localizer, dataset: Dataset, videos: Sequence[Video]) -> float:
    """mAP of the video-level scores. It is computed from the labels of the videos, not segments."""
    scores = np.stack([scores.video for _, scores in localizer.score_videos(dataset, videos)])  # N x C
    labels = multi_hot(videos, dataset.classes).numpy() > 0  # N x C
    hits = np.take_along_axis(labels, scores.argsort(0)[::-1], 0).T  # C x N, by descending score
    has_videos = hits.any(1)
    return float(np.mean([average_precision(row[None], int(row.sum()))[0] for row in hits[has_videos]]))
