"""The global memory: what each class looks like across all videos. K = C + 1 classes, S slots per class, H width."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wtal.core.distributed import Rows, all_gather
from wtal.models.layers import BranchOutput


class LearnedMemory(nn.Module):
    """Slots are parameters, trained by the losses that read them.

    Args:
        classes: Number of classes K, background included.
        slots: Slots per class.
        width: Width H of a slot.
        trained: False freezes the random initial values.
    """

    written: Tensor  # K x S
    is_empty, is_complete = False, True  # constants: reading `written` would make the host wait for the GPU

    def __init__(self, classes: int, slots: int, width: int, trained: bool = True) -> None:
        super().__init__()
        self.prototypes = nn.Parameter(torch.randn(classes, slots, width) * width**-0.5, trained)
        self.register_buffer("written", torch.ones(classes, slots, dtype=torch.long))


class EmaMemory(nn.Module):
    """Slots are moving averages of the most confident snippets of their class; no gradient.

    Args:
        classes: Number of classes K, background included.
        slots: Slots per class.
        width: Width H of a slot.
        momentum: Weight of the old value when a slot is updated.
    """

    prototypes: Tensor  # K x S x H
    written: Tensor  # K x S  how often each slot was written

    def __init__(self, classes: int, slots: int, width: int, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("prototypes", torch.zeros(classes, slots, width))
        self.register_buffer("written", torch.zeros(classes, slots, dtype=torch.long))

    @property
    def is_empty(self) -> bool:
        """Whether no slot has been written yet."""
        return not self.written.any()

    @property
    def is_complete(self) -> bool:
        """Whether each class has a slot that has been written."""
        return bool((self.written > 0).any(1).all())

    @torch.no_grad()
    def update(self, features: Tensor, classes: Tensor) -> None:
        """Write pooled features: into an empty slot of the class, or else averaged into the most similar slot.

        Args:
            features: N x H.
            classes: N class indices.
        """
        for feature, c in zip(features.to(self.prototypes.dtype), classes.tolist(), strict=True):
            empty = (self.written[c] == 0).nonzero()
            if len(empty):
                slot = int(empty[0])
                self.prototypes[c, slot] = feature
            else:
                slot = int(F.cosine_similarity(self.prototypes[c], feature[None], dim=-1).argmax())
                self.prototypes[c, slot].lerp_(feature, 1 - self.momentum)
            self.written[c, slot] += 1


@torch.no_grad()
def confident_features(
    branch: BranchOutput, labels: Tensor, mask: Tensor, rows: Rows | None = None
) -> tuple[Tensor, Tensor]:
    """Pool the features of the most confident snippets of each class in each video, to be written to the memory.

    For a class the evidence is attention times its probability; for background, (1 - attention) times its probability.
    The tenth of a video with the highest evidence is averaged. Every video has background.

    Args:
        branch: Output of the local branch.
        labels: B x C.
        mask: True on real snippets, B x T.
        rows: In distributed training, which rows of the whole batch these are.

    Returns:
        N x H means and their N class indices, of the whole batch.
    """
    scores = F.softmax(branch.cas.float(), -1)
    foreground = branch.attention[..., None] * scores[..., :-1]
    background = (1 - branch.attention[..., None]) * scores[..., -1:]
    evidence = torch.cat([foreground, background], -1).masked_fill(~mask[..., None], -1)
    present = F.pad(labels, (0, 1), value=1.0).nonzero()  # N x 2: video, class
    videos, classes = present.unbind(1)
    count = (mask.sum(1) // 10).clamp(min=1)[videos]  # N
    ranked = evidence[videos, :, classes].argsort(1, descending=True)  # N x T
    selected = torch.arange(ranked.shape[1], device=ranked.device) < count[:, None]
    features = branch.features[videos[:, None], ranked].float()  # N x T x H
    means = (features * selected[..., None]).sum(1) / count[:, None]  # N x H
    return (means, classes) if rows is None else _gather_means(means, present, labels, rows)


def _gather_means(means: Tensor, present: Tensor, labels: Tensor, rows: Rows) -> tuple[Tensor, Tensor]:
    """The N x H means of all processes and their N classes, in the order of the whole batch."""
    dense = means.new_zeros(len(labels), labels.shape[1] + 1, means.shape[1])  # B x (C + 1) x H
    dense[present[:, 0], present[:, 1]] = means
    videos, classes = F.pad(all_gather(labels, rows), (0, 1), value=1.0).nonzero().unbind(1)
    return all_gather(dense, rows)[videos, classes], classes


@dataclass(frozen=True)
class MemoryReadout:
    """The result of reading the memory."""

    features: Tensor  # ... x H  the input plus what was read
    memory_assignment: Tensor  # ... x K  share of the attention that went to the slots of each class; sums to 1


class GlobalEnhancement(nn.Module):
    """Cross-attention from snippets to the slots of every class. Starts as the identity.

    Similarity is a cosine (our choice), so that the assignment does not depend on the magnitude of the features.
    """

    def __init__(self, width: int, sharpness: float = 10.0) -> None:
        super().__init__()
        self.sharpness = sharpness
        self.query, self.key, self.value = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.out = nn.Linear(width, width, bias=False)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor, prototypes: Tensor, written: Tensor) -> MemoryReadout:
        """Read the memory.

        Args:
            x: Features, ... x H.
            prototypes: K x S x H.
            written: How often each slot was written, K x S; at least one above 0. Unwritten slots are not read.
        """
        empty = written.flatten() == 0  # K * S
        slots = prototypes.flatten(0, 1).masked_fill(empty[:, None], 0)  # K * S x H
        similarity = F.normalize(self.query(x), dim=-1) @ F.normalize(self.key(slots), dim=-1).T
        weights = (self.sharpness * similarity).masked_fill(empty, -torch.inf).softmax(-1)  # ... x K * S
        return MemoryReadout(x + self.out(weights @ self.value(slots)), weights.unflatten(-1, written.shape).sum(-1))
