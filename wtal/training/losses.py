"""Every loss is a formula: tensors in, a scalar out. Axes: B videos, T snippets, H width, C classes.

`cas` has C + 1 columns of logits, the last is background; `mask` is True on real snippets.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from wtal.models.layers import topk_mean

EPSILON = 1e-6  # keeps the logarithm of a probability finite


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over videos of each video's mean over its real snippets. B x T -> scalar."""
    return _per_video(values, mask).mean()


@torch.no_grad()
def match_mean_foreground(attention: Tensor, foreground: Tensor, mask: Tensor) -> Tensor:
    """Attention, its logits shifted until a video's mean is that of `foreground`. B x T each -> B x T."""
    logits, wanted = attention.float().logit(EPSILON), _per_video(foreground.float(), mask)
    low, high = torch.full_like(wanted, -20), torch.full_like(wanted, 20)
    for _ in range(24):  # each halves what is open
        middle = (low + high) / 2
        short = _per_video((logits + middle).sigmoid(), mask) < wanted
        low, high = torch.where(short, middle, low), torch.where(short, high, middle)
    return (logits + low).sigmoid()


def mil_loss(video_logits: Tensor, labels: Tensor, background: float) -> Tensor:
    """Cross-entropy of B x (C + 1) video logits with the normalised B x C labels and a background share.

    A video with nothing to name (no label, background 0) has no target and adds nothing.
    """
    target = torch.cat([labels, labels.new_full((len(labels), 1), background)], 1)
    target = target / target.sum(1, keepdim=True).clamp(min=1)
    return -(target * F.log_softmax(video_logits, 1)).sum(1).mean()


def class_competition_loss(classes: Tensor, labels: Tensor, mask: Tensor, ratio: int) -> Tensor:
    """Every class that a video carries, background too, wins its strongest snippets from the others.

    `mil_loss` lets classes that often come together share the same snippets; here a snippet's probabilities
    (B x T x (C + 1)) sum to one, so each class must find snippets of its own. labels B x C.
    """
    carried = _carried(labels)
    strongest = topk_mean(classes, mask, ratio)  # B x (C + 1)
    return -((strongest + EPSILON).log() * carried).sum(1).div(carried.sum(1)).mean()


def partial_label_loss(classes: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    """No snippet is of a class that its video does not carry: -log of what the carried ones share.

    `classes` are a snippet's probabilities, B x T x (C + 1); labels B x C.
    """
    with torch.autocast(classes.device.type, enabled=False):  # half precision would round 0.998 to a loss of 0
        share = torch.einsum("btc,bc->bt", classes.float(), _carried(labels))
    return masked_mean(-(share + EPSILON).log(), mask)


def high_and_low(features: Tensor, cas: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """What a video looks like where a class is high, and where low. B x T x H, B x T x C -> twice B x C x H."""
    high = F.softmax(cas.masked_fill(~mask[..., None], -torch.inf), 1)  # B x T x C
    low = (1 - high).masked_fill(~mask[..., None], 0)
    return _pool(features, high), _pool(features, low)


def co_activity_loss(high: Tensor, low: Tensor, labels: Tensor) -> Tensor:
    """CASL of W-TALC: in two videos that share a class, what is high in it agrees and differs from what is low.

    high and low B x C x H, labels B x C. Zero where no two videos share a label.
    """
    agree = torch.einsum("ich,jch->ijc", high, high)  # cosine of every two videos, class by class
    differ = torch.einsum("ich,jch->ijc", high, low)
    share = torch.einsum("ic,jc->ijc", labels, labels)
    share = share * (1 - torch.eye(len(labels), device=labels.device))[..., None]
    hinge = F.relu(0.5 + differ - agree)
    return (hinge * share).sum() / share.sum().clamp(min=1)


def _per_video(values: Tensor, mask: Tensor) -> Tensor:
    """Over each video's real snippets. B x T -> B x 1."""
    return values.masked_fill(~mask, 0).sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp(min=1)


def _carried(labels: Tensor) -> Tensor:
    """Labels with the background, which every video carries. B x C -> B x (C + 1)."""
    return F.pad(labels, (0, 1), value=1.0)


def _pool(features: Tensor, weights: Tensor) -> Tensor:
    """Unit vectors of the weighted sums. B x T x H, B x T x C -> B x C x H."""
    return F.normalize(torch.einsum("bth,btc->bch", features, weights), dim=-1)


def sparsity_loss(attention: Tensor, mask: Tensor) -> Tensor:
    """Actions are rare: the mean attention. B x T -> scalar."""
    return masked_mean(attention, mask)


def attention_background_consistency_loss(attention: Tensor, cas: Tensor, mask: Tensor) -> Tensor:
    """Attention and the class scores agree on background: |1 - attention - p(background)|."""
    background = F.softmax(cas, -1)[..., -1]  # B x T
    return masked_mean((1 - attention - background).abs(), mask)


def mutual_loss(attentions: Tensor, mask: Tensor) -> Tensor:
    """Each of M modalities' attention follows the others' mean. M x B x T; zero for a single modality."""
    count = len(attentions)
    if count == 1:
        return attentions.sum() * 0
    others = ((attentions.sum(0, keepdim=True) - attentions) / (count - 1)).detach()
    return masked_mean(((attentions - others) ** 2).mean(0), mask)


def prototypes_loss(logits: Tensor, classes: Tensor) -> Tensor:
    """The shared classifier recognises each memory slot as its class. N x (C + 1) logits, N classes."""
    return F.cross_entropy(logits, classes)


def distillation_attention_loss(local: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """The local attention follows the teacher's. B x T each."""
    return masked_mean((local - teacher.detach()) ** 2, mask)


def distillation_cas_loss(
    local: Tensor, teacher: Tensor, foreground: Tensor, labels: Tensor, mask: Tensor, temperature: float
) -> Tensor:
    """Pull the local class distribution toward the teacher's. B x T x (C + 1) logits each.

    The teacher knows the labels (B x C): classes that the video does not carry are struck from its softmax.
    Its background share is 1 - foreground (B x T), else background, which every video carries, takes all.
    """
    some = labels.sum(1) > 0  # B
    struck = ((labels == 0) & some[:, None])[:, None]
    classes = F.softmax((teacher.detach()[..., :-1] / temperature).masked_fill(struck, -torch.inf), -1)
    share = (foreground.detach() * some[:, None])[..., None]  # B x T x 1
    target = torch.cat([share * classes, 1 - share], -1)
    student = F.log_softmax(local / temperature, -1)
    per_snippet = (torch.xlogy(target, target) - target * student).sum(-1)  # B x T
    return temperature**2 * masked_mean(per_snippet, mask)


def distillation_features_loss(local: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """The local features turn toward the teacher's: 1 - cosine. B x T x H each."""
    return masked_mean(1 - F.cosine_similarity(local, teacher.detach(), dim=-1), mask)
