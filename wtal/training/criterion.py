"""The training objective: the losses of the local branch and of its teacher, weighted by name and summed."""

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wtal.core.errors import ConfigError
from wtal.data.batching import Batch
from wtal.models.dfe import DFE
from wtal.models.layers import BranchOutput
from wtal.training.losses import (
    EPSILON,
    LOSSES,
    LossInputs,
    class_competition_loss,
    distillation_attention_loss,
    distillation_cas_loss,
    distillation_features_loss,
    match_mean_foreground,
    partial_label_loss,
    prototypes_loss,
)

if TYPE_CHECKING:
    from wtal.core.config import Config, TrainConfig, WeightsConfig


class LossTerm(NamedTuple):
    """One summand of the total loss."""

    name: str  # in metrics.jsonl
    weight: float
    value: Tensor  # scalar


def loss_weights(config: "Config") -> dict[str, float]:
    """The weight of each loss by name.

    Raises:
        ConfigError: A weight belongs to no loss (code `unknown-setting`).
    """
    weights = config.weights.model_dump()
    unknown = next((name for name in config.weights.model_extra or {} if name not in LOSSES), None)
    if unknown is not None:
        names = ", ".join(dict.fromkeys([*type(config.weights).model_fields, *LOSSES]))
        hint = f"known losses: {names}; add a loss of your own to wtal.training.losses.LOSSES"
        raise ConfigError(f"unknown loss weights.{unknown}", hint=hint, code="unknown-setting")
    return weights


def forward_branches(
    model: nn.Module, batch: Batch, config: "Config", step: int
) -> tuple[BranchOutput, BranchOutput | None]:
    """Run the local branch and, after the warm-up, its teacher if the method has one.

    The teacher is the global branch of a model that has `both_branches`, or a second dropout pass of the local branch.
    """
    spec, inputs = config.method_spec, (batch.features, batch.mask)
    if step < config.train.warmup * config.train.steps:
        return model(*inputs), None
    if both_branches := getattr(model, "both_branches", None):
        local, teacher = both_branches(*inputs)
        return local, _shuffle_classes(teacher) if spec.memory == "shuffled" else teacher
    return model(*inputs), model(*inputs) if spec.teacher == "dropout" else None


def compute_loss(
    model: nn.Module,
    local: BranchOutput,
    teacher: BranchOutput | None,
    batch: Batch,
    config: "Config",
    step: int,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Compute the total loss of one step.

    Args:
        model: The network, for the classification loss on the slots of its memory.
        local: Output of the local branch.
        teacher: Output of the teacher, None without one.
        batch: The batch, for labels and mask.
        config: Settings.
        step: Number of the step, from 0.

    Returns:
        The total, a scalar, and each term by its name in metrics.jsonl, unweighted.
    """
    weights, train = loss_weights(config), config.train
    terms = branch_terms("", local, batch, weights, train.topk_ratio)
    if teacher is not None:
        terms += branch_terms("global_", teacher, batch, weights, train.topk_ratio)
        if teacher.memory_assignment is not None:
            terms += memory_assignment_terms(teacher.memory_assignment, batch, weights, train.topk_ratio)
        if config.method_spec.teacher != "none":
            terms += distillation_terms(local, teacher, batch, config.weights, train, step)
    if isinstance(model, DFE) and model.memory.prototypes.requires_grad:
        loss = prototypes_loss(*classify_slots(model, shuffled=config.method_spec.memory == "shuffled"))
        terms.append(LossTerm("prototypes", config.weights.prototypes, loss))
    total = torch.stack([term.weight * term.value for term in terms]).sum()
    return total, {term.name: term.value for term in terms}


def branch_terms(
    prefix: str, branch: BranchOutput, batch: Batch, weights: dict[str, float], topk_ratio: int
) -> list[LossTerm]:
    """All losses of `LOSSES` that have a weight, for one branch."""
    inputs = LossInputs.of(branch, batch.labels, batch.mask, topk_ratio, batch.rows)
    return [
        LossTerm(f"{prefix}{name}", weights[name], loss(inputs)) for name, loss in LOSSES.items() if name in weights
    ]


def memory_assignment_terms(
    assignment: Tensor, batch: Batch, weights: dict[str, float], topk_ratio: int
) -> list[LossTerm]:
    """The memory assignment (B x T x (C + 1)) must agree with the labels, as the class probabilities must."""
    competition = class_competition_loss(assignment, batch.labels, batch.mask, topk_ratio)
    partial = partial_label_loss(assignment, batch.labels, batch.mask)
    return [
        LossTerm("memory_class_competition", weights["class_competition"], competition),
        LossTerm("memory_partial_label", weights["partial_label"], partial),
    ]


def distillation_terms(
    local: BranchOutput, teacher: BranchOutput, batch: Batch, weights: "WeightsConfig", train: "TrainConfig", step: int
) -> list[LossTerm]:
    """What the local branch learns from its teacher, which is detached and knows the labels."""
    share = distillation_rampup(train, step)
    attention = distillation_attention_loss(local.attention, teacher.attention, batch.mask)
    cas = distillation_cas_loss(
        local.cas,
        teacher_logits(teacher),
        teacher_foreground(teacher, batch.mask),
        batch.labels,
        batch.mask,
        train.temperature,
    )
    features = distillation_features_loss(local.features, teacher.features, batch.mask)
    return [
        LossTerm("distillation_attention", weights.distillation_attention, share * attention),
        LossTerm("distillation_cas", weights.distillation_cas, share * cas),
        LossTerm("distillation_features", weights.distillation_features, share * features),
    ]


def distillation_rampup(train: "TrainConfig", step: int) -> float:
    """The factor of the distillation losses: rises from 0 at the end of the warm-up to 1."""
    progress = step / train.steps - train.warmup
    return 1.0 if train.distillation_rampup == 0 else min(1.0, max(0.0, progress / train.distillation_rampup))


def teacher_logits(teacher: BranchOutput) -> Tensor:
    """The teacher's class logits: with a memory, the log of the mean of class probabilities and memory assignment."""
    if teacher.memory_assignment is None:
        return teacher.cas
    return (F.softmax(teacher.cas.float(), -1) / 2 + teacher.memory_assignment.float() / 2 + EPSILON).log()


def teacher_foreground(teacher: BranchOutput, mask: Tensor) -> Tensor:
    """The teacher's foreground probability: attention, shifted to the mean foreground of the class scores. B x T.

    The losses hardly constrain the level of attention. Where it is high on background too, distillation would raise
    the class scores there.
    """
    return match_mean_foreground(teacher.attention, 1 - F.softmax(teacher.cas.float(), -1)[..., -1], mask)


def classify_slots(model: DFE, shuffled: bool) -> tuple[Tensor, Tensor]:
    """The classifier's logits for each memory slot, N x (C + 1), and the class of each; shuffled, classes are drawn."""
    classes, slots, _ = model.memory.prototypes.shape
    draw = torch.randperm if shuffled else torch.arange
    target = draw(classes, device=model.memory.prototypes.device).repeat_interleave(slots)
    return model.local.classify(model.memory.prototypes.flatten(0, 1)), target


def _shuffle_classes(teacher: BranchOutput) -> BranchOutput:
    """The control whose slots belong to other classes at every step."""
    if teacher.memory_assignment is None:
        return teacher
    order = torch.randperm(teacher.memory_assignment.shape[-1], device=teacher.memory_assignment.device)
    return replace(teacher, memory_assignment=teacher.memory_assignment[..., order])
