"""The global memory: what each class looks like across the videos, S slots of width H a class, background too."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LearnedMemory(nn.Module):
    """Slots are parameters, trained by the losses that read them."""

    written: Tensor
    is_empty, is_complete = False, True  # known without asking the device

    def __init__(self, classes: int, slots: int, width: int, trained: bool = True) -> None:
        super().__init__()
        self.prototypes = nn.Parameter(torch.randn(classes, slots, width) * width**-0.5, trained)
        self.register_buffer("written", torch.ones(classes, slots, dtype=torch.long))


class EmaMemory(nn.Module):
    """Slots follow a moving average of the classes' most confident snippets; no gradient."""

    prototypes: Tensor
    written: Tensor

    def __init__(self, classes: int, slots: int, width: int, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("prototypes", torch.zeros(classes, slots, width))
        self.register_buffer("written", torch.zeros(classes, slots, dtype=torch.long))

    @property
    def is_empty(self) -> bool:
        """Whether no slot was written yet."""
        return not self.written.any()

    @property
    def is_complete(self) -> bool:
        """Whether each class has a slot that was written."""
        return bool((self.written > 0).any(1).all())

    @torch.no_grad()
    def update(self, features: Tensor, classes: Tensor) -> None:
        """Write N x H pooled features of N classes. An empty slot takes a copy; then the most alike one moves."""
        for feature, c in zip(features.to(self.prototypes.dtype), classes.tolist(), strict=True):
            empty = (self.written[c] == 0).nonzero()
            if len(empty):
                slot = int(empty[0])
                self.prototypes[c, slot] = feature
            else:
                slot = int(F.cosine_similarity(self.prototypes[c], feature[None], dim=-1).argmax())
                self.prototypes[c, slot].lerp_(feature, 1 - self.momentum)
            self.written[c, slot] += 1


@dataclass(frozen=True)
class MemoryReadout:
    """What snippets take from the memory."""

    features: Tensor  # ... x H  enhanced by what was read
    recall: Tensor  # ... x K    share of the reading that went to each class's slots; sums to 1


class GlobalEnhancement(nn.Module):
    """Cross-attention from snippets to every class's slots. Starts as the identity.

    Alikeness is a cosine (our choice), so that a snippet is recalled by what it looks like, not by its strength.
    """

    def __init__(self, width: int, sharpness: float = 10.0) -> None:
        super().__init__()
        self.sharpness = sharpness
        self.query, self.key, self.value = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.out = nn.Linear(width, width, bias=False)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor, prototypes: Tensor, written: Tensor) -> MemoryReadout:
        """... x H features, K x S x H prototypes, K x S times written (some > 0). Unwritten slots are not read."""
        empty = written.flatten() == 0  # K * S
        slots = prototypes.flatten(0, 1).masked_fill(empty[:, None], 0)  # K * S x H
        alike = F.normalize(self.query(x), dim=-1) @ F.normalize(self.key(slots), dim=-1).T
        read = (self.sharpness * alike).masked_fill(empty, -torch.inf).softmax(-1)  # ... x K * S
        return MemoryReadout(x + self.out(read @ self.value(slots)), read.unflatten(-1, written.shape).sum(-1))
