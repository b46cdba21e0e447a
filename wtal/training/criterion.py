"""The training objective: losses on the tags, on labeled snippets, and on the teacher's class probabilities."""

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from wtal.core.errors import ConfigError
from wtal.data.batching import Batch
from wtal.models.layers import BranchOutput
from wtal.training.losses import (
    LOSSES,
    LossInputs,
    distillation_attention_loss,
    distillation_cas_loss,
    labelled_attention_loss,
    labelled_cas_loss,
)

if TYPE_CHECKING:
    from wtal.core.config import Config


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


def compute_loss(branch: BranchOutput, batch: Batch, config: "Config") -> tuple[Tensor, dict[str, Tensor]]:
    """Compute the total loss of one step.

    Without a teacher it is the weighted sum of the losses on the tags. With a teacher, these count less, and
    distillation is added. With true segments as targets, the losses on the tags do not count. Labeled snippets add
    their own losses to each.

    Args:
        branch: Output of the network for the batch.
        batch: The batch: labels, mask and, with a teacher, targets.
        config: Settings.

    Returns:
        The total, a scalar, and each term by its name in metrics.jsonl, unweighted.

    Raises:
        ConfigError: The network of a custom method returns something else (code `invalid-method`).
    """
    if not isinstance(branch, BranchOutput):
        raise ConfigError(
            f"the network of method {config.method!r} returns {type(branch).__name__}",
            hint="return a wtal.models.layers.BranchOutput",
            code="invalid-method",
        )
    weights = loss_weights(config)
    factor = 1.0 if batch.targets is None else config.teacher.weak_losses
    if config.method_spec.teacher == "segments":
        factor = 0.0
    inputs = LossInputs.from_branch(branch, batch.labels, batch.mask, config.train.topk_ratio, batch.rows)
    used = {name: loss for name, loss in LOSSES.items() if factor and name in weights}
    terms = [LossTerm(name, factor * weights[name], loss(inputs)) for name, loss in used.items()]
    if batch.targets is not None:
        terms += distillation_terms(branch, batch.targets, batch.mask, weights)
    if batch.snippet_labels is not None:
        terms += labeled_terms(branch, batch.snippet_labels, weights)
    total = torch.stack([term.weight * term.value for term in terms]).sum()
    return total, {term.name: term.value for term in terms}


def labeled_terms(branch: BranchOutput, snippet_labels: Tensor, weights: dict[str, float]) -> list[LossTerm]:
    """The losses of the labeled snippets. `snippet_labels` is B x T x (C + 1)."""
    cas = labelled_cas_loss(branch.cas, snippet_labels)
    attention = labelled_attention_loss(branch.attention, snippet_labels)
    return [
        LossTerm("labelled_cas", weights["labelled_cas"], cas),
        LossTerm("labelled_attention", weights["labelled_attention"], attention),
    ]


def distillation_terms(
    branch: BranchOutput, targets: Tensor, mask: Tensor, weights: dict[str, float]
) -> list[LossTerm]:
    """What the local branch learns from the class probabilities of its teacher, B x T x (C + 1)."""
    cas = distillation_cas_loss(branch.cas, targets, mask)
    attention = distillation_attention_loss(branch.attention, targets, mask)
    return [
        LossTerm("distillation_cas", weights["distillation_cas"], cas),
        LossTerm("distillation_attention", weights["distillation_attention"], attention),
    ]
