"""The losses: pure functions of tensors that return a scalar, and their registry `LOSSES`.

Axes: B videos, T snippets, H width, C classes. `cas` has C + 1 columns of logits, the last is background; `mask` is
True on real snippets. To add a loss, write a function of `LossInputs` and add a line to `LOSSES`; its weight is the
setting `weights.NAME`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from wtal.core.distributed import Rows, all_gather
from wtal.models.layers import BranchOutput, topk_mean

EPSILON = 1e-6  # keeps the logarithm of a probability finite


@dataclass(frozen=True)
class LossInputs:
    """What a loss can use: the output of one branch for a batch, the tags, and what several losses share.

    In distributed training these are the rows of one process, and `rows` says which; otherwise it is None.
    """

    branch: BranchOutput
    labels: Tensor  # B x C, 1 for each tag of a video
    mask: Tensor  # B x T
    topk_ratio: int  # r: video logits are the mean of the top T / r snippets
    rows: Rows | None
    suppressed: Tensor  # B x T x (C + 1)  attention times CAS
    probabilities: Tensor  # B x T x (C + 1)  softmax of CAS
    high: Tensor  # B x C x H  features where a class is high
    low: Tensor  # B x C x H  features where a class is low

    @classmethod
    def from_branch(
        cls, branch: BranchOutput, labels: Tensor, mask: Tensor, topk_ratio: int, rows: Rows | None = None
    ) -> "LossInputs":
        """Compute what several losses share."""
        suppressed, probabilities = branch.suppressed, F.softmax(branch.cas.float(), -1)
        high, low = high_and_low(branch.features, suppressed[..., :-1], mask)
        return cls(branch, labels, mask, topk_ratio, rows, suppressed, probabilities, high, low)


Loss = Callable[[LossInputs], Tensor]


def mil_loss(video_logits: Tensor, labels: Tensor, background: float) -> Tensor:
    """Cross-entropy of the video logits with the normalized labels: -sum_c y_c log softmax(s)_c, y = labels / |labels|.

    A video without any target (no label, background 0) adds nothing.

    Args:
        video_logits: B x (C + 1).
        labels: B x C.
        background: Target of the background class before normalization, 1 or 0.
    """
    target = torch.cat([labels, labels.new_full((len(labels), 1), background)], 1)
    target = target / target.sum(1, keepdim=True).clamp(min=1)
    return -(target * F.log_softmax(video_logits, 1)).sum(1).mean()


def class_competition_loss(probabilities: Tensor, labels: Tensor, mask: Tensor, ratio: int) -> Tensor:
    """The classes of a video compete for its snippets: -mean_c log(mean of the top T / r of p_tc).

    c runs over the labels and background. `mil_loss` lets classes that often occur together share the same snippets;
    here the probabilities of a snippet sum to one, so the classes compete for it.

    Args:
        probabilities: B x T x (C + 1).
        labels: B x C.
        mask: B x T.
        ratio: r.
    """
    present = _with_background(labels)
    highest = topk_mean(probabilities, mask, ratio)  # B x (C + 1)
    return -((highest + EPSILON).log() * present).sum(1).div(present.sum(1)).mean()


def partial_label_loss(probabilities: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    """No snippet belongs to a class that its video does not have: -mean_t log(sum of p_tc), c in labels or background.

    Args:
        probabilities: B x T x (C + 1).
        labels: B x C.
        mask: B x T.
    """
    with torch.autocast(probabilities.device.type, enabled=False):  # bfloat16 would round 0.998 to a loss of 0
        total = torch.einsum("btc,bc->bt", probabilities.float(), _with_background(labels))
    return masked_mean(-(total + EPSILON).log(), mask)


def high_and_low(features: Tensor, cas: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Features of a video where a class is high, and where it is low, as unit vectors.

    The weights are a = softmax over time of cas, and 1 - a.

    Args:
        features: B x T x H.
        cas: B x T x C.
        mask: B x T.

    Returns:
        B x C x H twice.
    """
    high = F.softmax(cas.masked_fill(~mask[..., None], -torch.inf), 1)  # B x T x C
    low = (1 - high).masked_fill(~mask[..., None], 0)
    return _pool(features, high), _pool(features, low)


def co_activity_loss(high: Tensor, low: Tensor, labels: Tensor) -> Tensor:
    """Videos that share a class agree where it is high: max(0, 0.5 + cos(high_i, low_j) - cos(high_i, high_j)).

    The mean over pairs of videos i != j and their shared classes; 0 if there are none. This is the CASL of W-TALC.

    Args:
        high: B x C x H, from `high_and_low`.
        low: B x C x H.
        labels: B x C.
    """
    agreement = torch.einsum("ich,jch->ijc", high, high)  # cosines
    difference = torch.einsum("ich,jch->ijc", high, low)
    shared = torch.einsum("ic,jc->ijc", labels, labels)
    shared = shared * (1 - torch.eye(len(labels), device=labels.device))[..., None]
    hinge = F.relu(0.5 + difference - agreement)
    return (hinge * shared).sum() / shared.sum().clamp(min=1)


def sparsity_loss(attention: Tensor, mask: Tensor) -> Tensor:
    """Actions are rare: mean_t a_t. Attention B x T."""
    return masked_mean(attention, mask)


def attention_background_consistency_loss(attention: Tensor, cas: Tensor, mask: Tensor) -> Tensor:
    """Attention and class scores agree on the background: mean_t |1 - a_t - p_t(background)|."""
    background = F.softmax(cas, -1)[..., -1]  # B x T
    return masked_mean((1 - attention - background).abs(), mask)


def mutual_loss(attentions: Tensor, mask: Tensor) -> Tensor:
    """The attention of each modality follows the mean of the others, detached: mean_tm (a_tm - a_t,others)^2.

    Args:
        attentions: M x B x T; with a single modality the loss is 0.
        mask: B x T.
    """
    count = len(attentions)
    if count == 1:
        return attentions.sum() * 0
    others = ((attentions.sum(0, keepdim=True) - attentions) / (count - 1)).detach()
    return masked_mean(((attentions - others) ** 2).mean(0), mask)


def distillation_cas_loss(cas: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """The class scores follow the teacher: -mean_t sum_c g_tc log softmax(s_t)_c.

    Args:
        cas: Logits, B x T x (C + 1).
        targets: The teacher's class probabilities g, B x T x (C + 1).
        mask: B x T.
    """
    return masked_mean(-(targets * F.log_softmax(cas.float(), -1)).sum(-1), mask)


def distillation_attention_loss(attention: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Attention follows the teacher's foreground: binary cross-entropy with 1 - g_t,background.

    Args:
        attention: B x T.
        targets: The teacher's class probabilities g, B x T x (C + 1).
        mask: B x T.
    """
    attention, foreground = attention.float().clamp(EPSILON, 1 - EPSILON), 1 - targets[..., -1]
    per_snippet = -foreground * attention.log() - (1 - foreground) * (1 - attention).log()
    return masked_mean(per_snippet, mask)


def labelled_cas_loss(cas: Tensor, snippet_labels: Tensor) -> Tensor:
    """Cross-entropy of the labeled snippets: mean over all videos of the mean over the labeled snippets of each.

    A video without labeled snippets adds 0.

    Args:
        cas: Logits, B x T x (C + 1).
        snippet_labels: Shares of the classes and background, B x T x (C + 1); zeros for a snippet without a label.
    """
    return distillation_cas_loss(cas, snippet_labels, snippet_labels.sum(-1) > 0)


def labelled_attention_loss(attention: Tensor, snippet_labels: Tensor) -> Tensor:
    """Binary cross-entropy of attention on the labeled snippets; the mean is that of `labelled_cas_loss`.

    Args:
        attention: B x T.
        snippet_labels: Shares of the classes and background, B x T x (C + 1); zeros for a snippet without a label.
    """
    return distillation_attention_loss(attention, snippet_labels, snippet_labels.sum(-1) > 0)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over videos of the mean over the real snippets of each video. B x T -> scalar."""
    return (values.masked_fill(~mask, 0).sum(1) / mask.sum(1).clamp(min=1)).mean()


def _with_background(labels: Tensor) -> Tensor:
    """Add background, which every video has. B x C -> B x (C + 1)."""
    return F.pad(labels, (0, 1), value=1.0)


def _pool(features: Tensor, weights: Tensor) -> Tensor:
    """Unit vectors of the weighted sums. B x T x H, B x T x C -> B x C x H."""
    return F.normalize(torch.einsum("bth,btc->bch", features, weights), dim=-1)


# The losses of one branch, by the name of their weight in the settings.
LOSSES: dict[str, Loss] = {
    "mil": lambda x: mil_loss(topk_mean(x.branch.cas, x.mask, x.topk_ratio), x.labels, background=1),
    "mil_suppressed": lambda x: mil_loss(topk_mean(x.suppressed, x.mask, x.topk_ratio), x.labels, background=0),
    "class_competition": lambda x: class_competition_loss(x.probabilities, x.labels, x.mask, x.topk_ratio),
    "partial_label": lambda x: partial_label_loss(x.probabilities, x.labels, x.mask),
    # Compares videos with each other, so it needs those of all processes.
    "co_activity": lambda x: co_activity_loss(*(all_gather(part, x.rows) for part in (x.high, x.low, x.labels))),
    "sparsity": lambda x: sparsity_loss(x.branch.attention, x.mask),
    "attention_background_consistency": lambda x: attention_background_consistency_loss(
        x.branch.attention, x.branch.cas, x.mask
    ),
    "mutual": lambda x: mutual_loss(x.branch.attentions, x.mask),
}
