"""The sum that training minimises: every term by its name, for one or two branches."""

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from wtal.core.distributed import all_gather
from wtal.data.batching import Batch
from wtal.models.dfe import DFE, LocalBranch
from wtal.models.layers import BranchOutput
from wtal.models.memory import EmaMemory
from wtal.training import losses

if TYPE_CHECKING:
    from wtal.core.config import Config, MethodSpec, TrainConfig

LossTerms = dict[str, Tensor]


def compute_loss(model: LocalBranch | DFE, batch: Batch, config: "Config", step: int) -> tuple[Tensor, LossTerms]:
    """The loss of one step and its terms; what was confident is written to the memory.

    Until the warm-up is over the memory is not read and nobody teaches.
    """
    settings, parts = config.train, config.method_spec
    reading = step >= settings.warmup * settings.steps
    local, teacher = _branches(model, batch, parts, reading)
    terms = branch_losses(local, batch, settings.topk_ratio)
    weights = config.weights.model_dump()
    if teacher is not None:
        for name, term in _global_terms(teacher, batch, settings.topk_ratio).items():
            terms[name], weights[name] = term, weights[name.split("_", 1)[1]]
        if parts.teacher != "none":
            share = _rampup(settings, step)
            for name, term in distillation_losses(local, teacher, batch, settings.temperature).items():
                terms[name] = share * term
    if isinstance(model, DFE):
        terms |= memory_losses(model, parts.memory)
        if isinstance(model.memory, EmaMemory):
            # The read above went through a copy of the slots, so writing here does not disturb the gradient.
            model.memory.update(*confident_features(local, batch))
    return torch.stack([weights[name] * term for name, term in terms.items()]).sum(), terms


def branch_losses(branch: BranchOutput, batch: Batch, ratio: int) -> LossTerms:
    """What any branch is trained on."""
    suppressed, classes = branch.suppressed, F.softmax(branch.cas.float(), -1)
    high_low = losses.high_and_low(branch.far, suppressed[..., :-1], batch.mask)
    return {
        "mil": losses.mil_loss(losses.topk_mean(branch.cas, batch.mask, ratio), batch.labels, background=1),
        "mil_suppressed": losses.mil_loss(losses.topk_mean(suppressed, batch.mask, ratio), batch.labels, background=0),
        "class_competition": losses.class_competition_loss(classes, batch.labels, batch.mask, ratio),
        "partial_label": losses.partial_label_loss(classes, batch.labels, batch.mask),
        # The one loss that compares videos with each other: those of all processes.
        "co_activity": losses.co_activity_loss(*(all_gather(x, batch.rows) for x in (*high_low, batch.labels))),
        "sparsity": losses.sparsity_loss(branch.attention, batch.mask),
        "attention_background_consistency": losses.attention_background_consistency_loss(
            branch.attention, branch.cas, batch.mask
        ),
        "mutual": losses.mutual_loss(branch.attentions, batch.mask),
    }


def memory_assignment_losses(recall: Tensor, batch: Batch, ratio: int) -> LossTerms:
    """What the memory takes each snippet for must agree with the tags, as the classifier must."""
    return {
        "class_competition": losses.class_competition_loss(recall, batch.labels, batch.mask, ratio),
        "partial_label": losses.partial_label_loss(recall, batch.labels, batch.mask),
    }


def distillation_losses(local: BranchOutput, teacher: BranchOutput, batch: Batch, temperature: float) -> LossTerms:
    """What the local branch learns from its teacher, which is detached and knows the labels."""
    return {
        "distillation_attention": losses.distillation_attention_loss(local.attention, teacher.attention, batch.mask),
        "distillation_cas": losses.distillation_cas_loss(
            local.cas,
            teacher_logits(teacher),
            teacher_foreground(teacher, batch.mask),
            batch.labels,
            batch.mask,
            temperature,
        ),
        "distillation_features": losses.distillation_features_loss(local.far, teacher.far, batch.mask),
    }


def teacher_logits(teacher: BranchOutput) -> Tensor:
    """The teacher's logits: of two minds where there is a memory, the classifier's and what the memory recalls."""
    if teacher.recall is None:
        return teacher.cas
    return (F.softmax(teacher.cas.float(), -1) / 2 + teacher.recall.float() / 2 + losses.EPSILON).log()


def teacher_foreground(teacher: BranchOutput, mask: Tensor) -> Tensor:
    """The teacher's foreground share: attention tells which snippets, the classifier how many. B x T.

    The losses hardly tie attention to a level; where it is high on background too, so would the class scores be.
    """
    return losses.match_mean_foreground(teacher.attention, 1 - F.softmax(teacher.cas.float(), -1)[..., -1], mask)


def memory_losses(model: DFE, kind: str) -> LossTerms:
    """The shared classifier must know each slot's class; the shuffled control draws the classes anew."""
    prototypes = model.memory.prototypes
    if not prototypes.requires_grad:
        return {}
    classes, slots, _ = prototypes.shape
    draw = torch.randperm if kind == "shuffled" else torch.arange
    target = draw(classes, device=prototypes.device).repeat_interleave(slots)
    return {"prototypes": losses.prototypes_loss(model.local.classify(prototypes.flatten(0, 1)), target)}


@torch.no_grad()
def confident_features(branch: BranchOutput, batch: Batch) -> tuple[Tensor, Tensor]:
    """Each carried class's mean over its video's most confident tenth. -> N x H, N classes.

    Background is carried by every video, where attention is lowest. N counts the whole batch's, on every process.
    """
    scores = F.softmax(branch.cas, -1)
    evidence = torch.cat(
        [
            branch.attention[..., None] * scores[..., :-1],
            (1 - branch.attention[..., None]) * scores[..., -1:],
        ],
        -1,
    ).masked_fill(~batch.mask[..., None], -1)
    carried = F.pad(batch.labels, (0, 1), value=1.0).nonzero()  # N x 2
    videos, classes = carried.unbind(1)
    count = (batch.mask.sum(1) // 10).clamp(min=1)[videos]  # N
    ranked = evidence[videos, :, classes].argsort(1, descending=True)  # N x T
    chosen = torch.arange(ranked.shape[1], device=ranked.device) < count[:, None]
    features = branch.far[videos[:, None], ranked]  # N x T x H
    means = (features * chosen[..., None]).sum(1) / count[:, None]  # N x H
    return (means, classes) if batch.rows is None else _everyones(means, carried, batch)


def _everyones(means: Tensor, carried: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """All processes' N x H means and their N classes, in the whole batch's order. carried N x 2 (video, class)."""
    dense = means.new_zeros(len(batch.labels), batch.labels.shape[1] + 1, means.shape[1])  # B x (C + 1) x H
    dense[carried[:, 0], carried[:, 1]] = means
    videos, classes = F.pad(all_gather(batch.labels, batch.rows), (0, 1), value=1.0).nonzero().unbind(1)
    return all_gather(dense, batch.rows)[videos, classes], classes


def _global_terms(teacher: BranchOutput, batch: Batch, ratio: int) -> LossTerms:
    """The second branch's losses, under names of their own; the weights are those of the first's."""
    terms = {f"global_{name}": term for name, term in branch_losses(teacher, batch, ratio).items()}
    if teacher.recall is not None:
        terms |= {
            f"recall_{name}": term for name, term in memory_assignment_losses(teacher.recall, batch, ratio).items()
        }
    return terms


def _branches(
    model: LocalBranch | DFE, batch: Batch, parts: "MethodSpec", reading: bool
) -> tuple[BranchOutput, BranchOutput | None]:
    if isinstance(model, DFE) and reading:
        local, teacher = model.both_branches(batch.features, batch.mask)
        return local, _shuffled(teacher) if parts.memory == "shuffled" else teacher
    local = model(batch.features, batch.mask)
    if parts.teacher == "dropout" and reading:
        return local, model(batch.features, batch.mask)
    return local, None


def _shuffled(teacher: BranchOutput) -> BranchOutput:
    """The control whose slots belong to other classes at every step."""
    if teacher.recall is None:
        return teacher
    order = torch.randperm(teacher.recall.shape[-1], device=teacher.recall.device)
    return replace(teacher, recall=teacher.recall[..., order])


def _rampup(settings: "TrainConfig", step: int) -> float:
    """How much distillation counts: from 0 at the end of the warm-up to 1 when the ramp is over."""
    done = step / settings.steps - settings.warmup
    return 1.0 if settings.distillation_rampup == 0 else min(1.0, max(0.0, done / settings.distillation_rampup))
