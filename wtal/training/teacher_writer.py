"""Writes the teacher of stage two: the models of stage one, weighted by their accuracy on the tags, and the memory.

The tags of a training video are known, so only its classes and background get probability. Snippets that a person has
labeled get the probabilities of their labels.

The files are those of `wtal.models.teacher`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from wtal.core.config import describe_changes
from wtal.core.io import atomic_write_dir, write_json, write_tensors
from wtal.data.batching import TrainingDataset
from wtal.models.checkpoint import different_run
from wtal.models.global_branch import enhance, feature_parts, mean_posterior
from wtal.models.local_branch import run_in_windows
from wtal.models.memory import (
    MemoryWriter,
    Whitening,
    WhiteningEstimator,
    find_background_weight,
    weight_background,
)
from wtal.models.teacher import INFO_NAME, MEMORY_NAME, TARGETS_NAME, read_info
from wtal.training.tag_scores import tag_precision, video_scores

if TYPE_CHECKING:
    from wtal.core.config import Config

MIN_RELIABILITY = 1e-6


@dataclass(frozen=True)
class StageOneOutput:
    """Output of the models of stage one for one video."""

    cas: Tensor  # K x T x (C + 1)
    parts: Tensor  # T x P x H  unit vectors

    @classmethod
    def compute(
        cls, models: Sequence[nn.Module], features: NDArray[Any], device: torch.device | None = None
    ) -> "StageOneOutput":
        """Run the models, which are on a device, over T x D features. The result is on the CPU."""
        cas, parts = [], []
        for outputs in zip(*(run_in_windows(model, features, device=device) for model in models), strict=True):
            cas.append(torch.stack([output.cas[0] for output in outputs]))
            parts.append(feature_parts(outputs)[0])
        return cls(torch.cat(cas, 1).cpu(), torch.cat(parts).cpu())


@torch.inference_mode()
def write_teacher(
    config: "Config", data: TrainingDataset, models: Sequence[nn.Module], folder: Path, device: torch.device
) -> None:
    """Write the memory and the teacher's class probabilities of all training videos.

    Three passes over the videos: how reliable each model is, what is written to the memory, what is read from it. The
    background of all readings is weighted so that its mean probability is that of the models.

    Args:
        config: Settings of the run.
        data: The training videos, with their labeled snippets.
        models: The K models of stage one.
        folder: The folder to write, as a whole or not at all.
        device: Where the models run. The memory is on the CPU.
    """
    models = [model.to(device) for model in models]
    settings, spec = config.memory, config.method_spec
    reliability, whitening = _reliability_and_whitening(models, data, config, device)
    allowed = F.pad(data.labels, (0, 1), value=1.0) > 0  # N x (C + 1)

    writer = MemoryWriter(
        whitening,
        data.labels.shape[1],
        video_share=settings.video_share,
        min_probability=settings.min_probability,
        max_entries=settings.max_entries,
        seed=config.train.seed,
    )
    for video in range(len(data)):
        output = StageOneOutput.compute(models, data.features(video), device)
        posterior, is_labeled = _with_labels(mean_posterior(output.cas, reliability, allowed[video]), data, video)
        writer.write(video, output.parts, posterior, allowed[video], is_labeled)
    memory = writer.finish(settings.neighbours, settings.temperature)
    generator = torch.Generator().manual_seed(config.train.seed)
    if spec.memory == "shuffled":
        memory = memory.with_shuffled_classes(generator)
    elif spec.memory == "random":
        memory = memory.with_random_entries(generator)

    posteriors, readings = [], []  # of the allowed classes
    for video in range(len(data)):
        output = StageOneOutput.compute(models, data.features(video), device)
        posterior, _ = _with_labels(mean_posterior(output.cas, reliability, allowed[video]), data, video)
        selection = {"only": video} if spec.memory == "own" else {"exclude": video}
        reading = memory.read(whitening(output.parts), posterior, allowed[video], **selection)
        posteriors.append(posterior[:, allowed[video]])
        readings.append(reading[:, allowed[video]])
    background = [torch.cat([rows[:, -1] for rows in group]) for group in (readings, posteriors)]
    memory = replace(memory, background_weight=find_background_weight(background[0], float(background[1].mean())))

    targets = {}
    share = config.teacher.memory_share if spec.teacher == "memory" else 0.0
    for video, (posterior, reading) in enumerate(zip(posteriors, readings, strict=True)):
        target = torch.zeros(len(posterior), allowed.shape[1])
        target[:, allowed[video]] = enhance(posterior, weight_background(reading, memory.background_weight), share)
        targets[data.videos[video].id], _ = _with_labels(target, data, video)

    def write_all(part: Path) -> None:
        write_tensors(targets, part / TARGETS_NAME)
        memory.save(part / MEMORY_NAME)
        write_json(part / INFO_NAME, {**_identity(config, data), "reliability": reliability.tolist()})

    atomic_write_dir(folder, write_all)


def require_same_teacher(folder: Path, config: "Config", data: TrainingDataset) -> None:
    """Raise CheckpointError if the teacher in a folder was written with other settings or videos."""
    info, expected = read_info(folder), _identity(config, data)
    if {key: info.get(key) for key in expected} != expected:
        settings = info.get("config")
        changes = describe_changes(settings, config) if isinstance(settings, dict) else []
        raise different_run(folder, changes or ["other videos"])


def _with_labels(probabilities: Tensor, data: TrainingDataset, video: int) -> tuple[Tensor, Tensor]:
    """The probabilities T x (C + 1), those of labeled snippets replaced by their labels; and which these are, T."""
    labels = data.snippet_labels.get(data.videos[video].id)
    if labels is None:
        return probabilities, torch.zeros(len(probabilities), dtype=torch.bool)
    is_labeled = labels.sum(1) > 0
    return torch.where(is_labeled[:, None], labels, probabilities), is_labeled


def _reliability_and_whitening(
    models: Sequence[nn.Module], data: TrainingDataset, config: "Config", device: torch.device
) -> tuple[Tensor, Whitening]:
    """The first pass: how reliable each model is for each class, K x (C + 1), and how their features vary."""
    scores, estimator = [], WhiteningEstimator()
    for video in range(len(data)):
        output = StageOneOutput.compute(models, data.features(video), device)
        estimator.add(output.parts)
        scores.append(video_scores(output.cas, config.train.topk_ratio))
    precision = torch.stack([tag_precision(model_scores, data.labels) for model_scores in torch.stack(scores, 1)])
    reliability = F.pad(precision, (0, 1), value=1.0) ** config.teacher.reliability
    return reliability.clamp(min=MIN_RELIABILITY), estimator.finish(config.memory.shrinkage)


def _identity(config: "Config", data: TrainingDataset) -> dict[str, Any]:
    """What a teacher depends on, besides the weights of its models."""
    return {"config": config.model_dump(mode="json"), "videos": [video.id for video in data.videos]}
