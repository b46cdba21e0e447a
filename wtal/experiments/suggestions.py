"""Suggest which videos to label next, and which moments in them, by the gain that is expected from their labels.

A moment is uncertain if the models of stage one disagree about it, or if they and the memory disagree. The expected
gain of a video is high if it has many uncertain instances of classes that have few labels so far. The order is greedy:
the gain of a video depends on the videos before it, so the suggestions differ from each other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from wtal.core.errors import DataError
from wtal.data.batching import multi_hot
from wtal.data.dataset import Dataset
from wtal.inference.localizer import Localizer
from wtal.models.checkpoint import read_meta
from wtal.models.global_branch import enhance, mean_posterior
from wtal.models.teacher import STAGE_ONE_DIR, TEACHER_DIR, load_stage_one, read_teacher, require_teacher
from wtal.training.teacher_writer import StageOneOutput

UNCERTAINTY_WEIGHT = 5.0  # an instance counts 1, and this for each nat of its uncertainty
MAX_MOMENTS = 5


@dataclass(frozen=True)
class Moment:
    """A time to look at.

    Attributes:
        time: Seconds.
        label: The class that the model expects there.
        uncertainty: Disagreement in nats: of the models, and of models and memory.
    """

    time: float
    label: str
    uncertainty: float


@dataclass(frozen=True)
class Suggestion:
    """A video that should be labeled.

    Attributes:
        video_id: Its id.
        gain: Expected gain, given that the videos before it are labeled; 1 for the first one.
        labels: The classes that contribute to the gain, in descending order of their contribution.
        moments: The most uncertain expected instances, in order of time.
    """

    video_id: str
    gain: float
    labels: tuple[str, ...]
    moments: tuple[Moment, ...]


def suggest(run: Path, dataset: Dataset, count: int, *, stage_one: Path | None = None) -> list[Suggestion]:
    """Choose the training videos with the highest expected gain from labels.

    Args:
        run: Run folder of a method with two stages, with its teacher.
        dataset: The data set, with the labels that it has so far.
        count: Number of videos.
        stage_one: Folder of the models of stage one that the run was trained with; None: in the run folder.

    Returns:
        At most `count` suggestions, the highest gain first. Videos with segments, points or a complete timeline are not
        suggested.

    Raises:
        CheckpointError: The run has no models of stage one, or does not fit the data set.
        DataError: Every training video is labeled (code `nothing-to-suggest`).
    """
    stage_one = stage_one or run / STAGE_ONE_DIR
    require_teacher(run, stage_one)
    Localizer(run).require_compatible(dataset)
    videos = dataset.subset("training")
    candidates = [video for video in videos if not (video.segments or video.complete) and video.labels]
    if not candidates:
        raise DataError(
            "every training video with tags has points or segments",
            path=dataset.path,
            hint="add videos, or train with --supervision all",
            code="nothing-to-suggest",
        )
    instances = _expected_instances(run, stage_one, dataset, [video.id for video in candidates])
    gains = {id: _gain(rows, len(dataset.classes)) for id, rows in instances.items()}
    counts = np.zeros(len(dataset.classes))
    for video in videos:
        for segment in video.segments:
            counts[dataset.classes.index(segment.label)] += 1
    chosen = greedy_order(gains, counts, count)
    first_gain = chosen[0][1] or 1.0  # 0 if no video has an expected instance
    return [
        Suggestion(id, gain / first_gain, _labels(gains[id], dataset.classes), _moments(instances[id], dataset, id))
        for id, gain in chosen
    ]


def greedy_order(
    gains: Mapping[str, NDArray[np.float64]], counts: NDArray[np.float64], limit: int
) -> list[tuple[str, float]]:
    """Choose items one by one; each adds as much as possible to the sum of log(1 + amount) over the classes.

    Args:
        gains: What each item adds to the amount of each class, C values.
        counts: The amounts before the first item, C values.
        limit: Maximum number of items.

    Returns:
        The items in the order in which they are chosen, and what each adds to the sum.
    """
    remaining, amounts = dict(sorted(gains.items())), counts.astype(np.float64)
    chosen: list[tuple[str, float]] = []
    while remaining and len(chosen) < limit:
        added = {id: float(np.log1p(gain / (1 + amounts)).sum()) for id, gain in remaining.items()}
        best = max(added, key=added.__getitem__)
        amounts = amounts + remaining.pop(best)
        chosen.append((best, added[best]))
    return chosen


@dataclass(frozen=True)
class _Instance:
    """A run of snippets that most probably belong to one class."""

    label: int
    snippet: int  # the most uncertain one
    uncertainty: float  # mean over the run
    peak: float  # uncertainty of that snippet


@torch.inference_mode()
def _expected_instances(run: Path, stage_one: Path, dataset: Dataset, ids: Sequence[str]) -> dict[str, list[_Instance]]:
    """The instances that the teacher expects in each of these videos."""
    meta = read_meta(run)
    models, teacher = load_stage_one(stage_one, meta.config), read_teacher(run / TEACHER_DIR)
    by_id = {video.id: video for video in dataset.videos}
    labels = multi_hot([by_id[id] for id in ids], dataset.classes)
    memory, memory_index = teacher.memory, {id: index for index, id in enumerate(teacher.videos)}
    result = {}
    for id, tags in zip(ids, labels, strict=True):
        allowed = F.pad(tags, (0, 1), value=1.0) > 0
        output = StageOneOutput.compute(models, dataset.features(id))
        posterior = mean_posterior(output.cas, teacher.reliability, allowed)
        reading = memory.read(memory.whitening(output.parts), posterior, allowed, exclude=memory_index.get(id))
        by_model = output.cas.float().masked_fill(~allowed, -torch.inf).softmax(-1)  # K x T x (C + 1)
        uncertainty = disagreement(by_model) + disagreement(torch.stack([posterior, reading]))
        expected = enhance(posterior, reading, meta.config.teacher.memory_share).argmax(1)
        result[id] = _instances(expected.numpy(), uncertainty.numpy(), len(dataset.classes))
    return result


def disagreement(probabilities: Tensor) -> Tensor:
    """How much several predictions differ: the entropy of their mean minus their mean entropy, in nats.

    This is the Jensen-Shannon divergence, and the mutual information of BALD (Houlsby et al., 2011).

    Args:
        probabilities: K x T x C.

    Returns:
        T values, 0 where all predictions are equal.
    """
    return (_entropy(probabilities.mean(0)) - _entropy(probabilities).mean(0)).clamp(min=0)


def _entropy(probabilities: Tensor) -> Tensor:
    return torch.special.entr(probabilities).sum(-1)


def _instances(expected: NDArray[np.int64], uncertainty: NDArray[np.float32], background: int) -> list[_Instance]:
    """The runs of snippets of one class, from the most probable class and the uncertainty of each snippet."""
    edges = [0, *(np.flatnonzero(np.diff(expected)) + 1).tolist(), len(expected)]
    result = []
    for start, end in pairwise(edges):
        if expected[start] != background:
            part = uncertainty[start:end]
            peak = int(part.argmax())
            result.append(_Instance(int(expected[start]), start + peak, float(part.mean()), float(part[peak])))
    return result


def _gain(instances: Sequence[_Instance], num_classes: int) -> NDArray[np.float64]:
    """What the labels of these instances add to each class, C values."""
    gain = np.zeros(num_classes)
    for instance in instances:
        gain[instance.label] += 1 + UNCERTAINTY_WEIGHT * instance.uncertainty
    return gain


def _labels(gain: NDArray[np.float64], classes: Sequence[str]) -> tuple[str, ...]:
    return tuple(classes[index] for index in np.argsort(-gain, kind="stable") if gain[index] > 0)


def _moments(instances: Sequence[_Instance], dataset: Dataset, id: str) -> tuple[Moment, ...]:
    most_uncertain = sorted(instances, key=lambda instance: -instance.peak)[:MAX_MOMENTS]
    clock = dataset.clock_of(id)
    moments = [
        Moment(float(clock.seconds(np.array([i.snippet + 0.5]))[0]), dataset.classes[i.label], i.peak)
        for i in most_uncertain
    ]
    return tuple(sorted(moments, key=lambda moment: moment.time))
