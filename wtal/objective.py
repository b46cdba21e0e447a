"""The sum that training minimises: every term by its name, for one or two branches."""

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from wtal import losses
from wtal.dataset import Batch
from wtal.model import DFE, Chassis
from wtal.model.parts import Branch

if TYPE_CHECKING:
    from wtal.config import Config, TrainConfig

Terms = dict[str, Tensor]


def objective(model: Chassis | DFE, batch: Batch, config: "Config", step: int) -> tuple[Tensor, Terms]:
    """The loss of one step and its terms; also writes the ema memory's update through `Branch` alone.

    Until the warm-up is over the memory is not read and nobody teaches.
    """
    reading = step > config.train.warmup * config.train.steps
    local, teacher = _branches(model, batch, config.parts.teacher, reading)
    terms = chassis_terms(local, batch, config.train.topk_ratio)
    weights = config.weights.model_dump()
    if teacher is not None:
        for name, term in chassis_terms(teacher, batch, config.train.topk_ratio).items():
            terms[f"global_{name}"], weights[f"global_{name}"] = term, weights[name]
        if config.parts.teacher != "none":
            share = _ramp(config.train, step)
            for name, term in distillation_terms(local, teacher, batch, config.train.temperature).items():
                terms[name] = share * term
    if isinstance(model, DFE):
        terms |= memory_terms(model, config.parts.memory)
        model.memory.update(*confident_features(local, batch))
    return torch.stack([weights[name] * term for name, term in terms.items()]).sum(), terms


def chassis_terms(branch: Branch, batch: Batch, ratio: int) -> Terms:
    """What any branch is trained on."""
    suppressed = branch.suppressed
    return {
        "mil": losses.mil_loss(losses.topk_mean(branch.cas, batch.mask, ratio), batch.labels, background=1),
        "mil_suppressed": losses.mil_loss(
            losses.topk_mean(suppressed, batch.mask, ratio), batch.labels, background=0
        ),
        "exclusive": losses.exclusive_loss(branch.cas, batch.labels, batch.mask, ratio),
        "candidates": losses.candidates_loss(branch.cas, batch.labels, batch.mask),
        "coactivity": losses.coactivity_loss(branch.far, suppressed[..., :-1], batch.labels, batch.mask),
        "sparsity": losses.sparsity_loss(branch.attention, batch.mask),
        "guide": losses.guide_loss(branch.attention, branch.cas, batch.mask),
        "mutual": losses.mutual_loss(branch.attentions, batch.mask),
    }


def distillation_terms(local: Branch, teacher: Branch, batch: Batch, temperature: float) -> Terms:
    """What the local branch learns from its teacher, which is detached and knows the labels."""
    return {
        "distillation_attention": losses.distillation_attention_loss(
            local.attention, teacher.attention, batch.mask
        ),
        "distillation_cas": losses.distillation_cas_loss(
            local.cas, teacher.cas, teacher.attention, batch.labels, batch.mask, temperature
        ),
        "distillation_features": losses.distillation_features_loss(local.far, teacher.far, batch.mask),
    }


def memory_terms(model: DFE, kind: str) -> Terms:
    """The shared classifier must know each slot's class; the shuffled control draws the classes anew."""
    prototypes = model.memory.prototypes
    if not prototypes.requires_grad:
        return {}
    classes, slots, _ = prototypes.shape
    order = torch.randperm(classes) if kind == "shuffled" else torch.arange(classes)
    target = order.to(prototypes.device).repeat_interleave(slots)
    return {"prototypes": losses.prototypes_loss(model.local.classify(prototypes.flatten(0, 1)), target)}


@torch.no_grad()
def confident_features(branch: Branch, batch: Batch) -> tuple[Tensor, Tensor]:
    """Each carried class's mean over its video's most confident tenth. -> N x H, N classes.

    Background is carried by every video, where attention is lowest.
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
    return (features * chosen[..., None]).sum(1) / count[:, None], classes


def _branches(model: Chassis | DFE, batch: Batch, teacher: str, reading: bool) -> tuple[Branch, Branch | None]:
    if isinstance(model, DFE) and reading:
        return model.both_branches(batch.features, batch.mask)
    local = model(batch.features, batch.mask)
    if teacher == "dropout" and reading:
        return local, model(batch.features, batch.mask)
    return local, None


def _ramp(settings: "TrainConfig", step: int) -> float:
    """How much distillation counts: from 0 at the end of the warm-up to 1 when the ramp is over."""
    done = step / settings.steps - settings.warmup
    return 1.0 if settings.ramp == 0 else min(1.0, max(0.0, done / settings.ramp))
