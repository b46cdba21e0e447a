"""How well a model predicts the tags of the training videos. No segment is needed, so training may use it."""

from pathlib import Path

import torch
from torch import Tensor

from wtal.data.batching import TrainingDataset
from wtal.data.dataset import Dataset
from wtal.models.checkpoint import load_model
from wtal.models.layers import topk_mean
from wtal.models.local_branch import run_in_windows

MAX_VIDEOS = 200  # checked for signs of a collapse
MIN_GAIN_OVER_CHANCE = 0.2  # of 1, which is a perfect ranking
MIN_DEVIATION = 0.01  # of class probabilities within a video
REMEDY = (
    "check that the tags are right and that each class has several videos with and without it, use features of a "
    "stronger backbone, or lower train.learning_rate and train longer"
)


def video_scores(cas: Tensor, topk_ratio: int) -> Tensor:
    """The score of each class in a video: the mean of its highest snippet probabilities.

    Args:
        cas: Logits, B x T x (C + 1).
        topk_ratio: r: the mean is over the top T / r snippets.

    Returns:
        B x C.
    """
    mask = torch.ones(cas.shape[:2], dtype=torch.bool)
    return topk_mean(cas.float().softmax(-1), mask, topk_ratio)[:, :-1]


def tag_precision(scores: Tensor, labels: Tensor) -> Tensor:
    """The average precision of each class's score as a ranking of the videos that have its tag.

    Args:
        scores: N x C.
        labels: N x C.

    Returns:
        C; a class without a video has 1.
    """
    precision = torch.ones(labels.shape[1])
    for c in labels.any(0).nonzero().flatten().tolist():
        hits = labels[scores[:, c].argsort(descending=True, stable=True), c].double()
        precision[c] = (hits.cumsum(0) / torch.arange(1, len(hits) + 1))[hits > 0].mean()
    return precision


def find_collapse(run_dir: Path, dataset: Dataset) -> str | None:
    """Look for signs that training has failed, from the tags of at most 200 training videos.

    Returns:
        What is wrong and what to do, or None.
    """
    model, meta = load_model(run_dir)
    data = TrainingDataset(dataset, 0)
    videos = torch.linspace(0, len(data) - 1, min(len(data), MAX_VIDEOS)).long()
    scores, deviations = [], []
    for video in videos.tolist():
        cas = torch.cat([output.cas for output in run_in_windows(model, data.features(video))], 1)
        scores.append(video_scores(cas, meta.config.train.topk_ratio)[0])
        deviations.append(cas[0].softmax(-1).std(0, correction=0).max())
    if torch.stack(deviations).mean() < MIN_DEVIATION:
        return f"the class scores are the same for all snippets of a video; {REMEDY}"
    labels = data.labels[videos]
    is_varied = labels.any(0) & ~labels.all(0)
    if not is_varied.any():
        return None
    precision = tag_precision(torch.stack(scores), labels)[is_varied].mean()
    chance = labels[:, is_varied].mean()
    if (precision - chance) / (1 - chance) >= MIN_GAIN_OVER_CHANCE:
        return None
    return (
        "the class scores predict the tags of the training videos little better than chance (average precision "
        f"{100 * precision:.0f} %, by chance {100 * chance:.0f} %); {REMEDY}"
    )
