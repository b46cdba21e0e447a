"""The global memory: what each class looks like across the videos, S slots of width H a class, background too."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LearnedMemory(nn.Module):
    """Slots are parameters, trained by the losses that read them."""

    written: Tensor

    def __init__(self, classes: int, slots: int, width: int, trained: bool = True) -> None:
        super().__init__()
        self.prototypes = nn.Parameter(torch.randn(classes, slots, width) * width**-0.5, trained)
        self.register_buffer("written", torch.ones(classes, slots, dtype=torch.long))

    def update(self, features: Tensor, classes: Tensor) -> None:
        """Nothing to write: the optimizer does."""


class EmaMemory(nn.Module):
    """Slots follow a moving average of the classes' most confident snippets; no gradient."""

    prototypes: Tensor
    written: Tensor

    def __init__(self, classes: int, slots: int, width: int, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("prototypes", torch.zeros(classes, slots, width))
        self.register_buffer("written", torch.zeros(classes, slots, dtype=torch.long))

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


class GlobalEnhancement(nn.Module):
    """Cross-attention from snippets to every class's slots. Starts as the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.out = nn.Linear(width, width, bias=False)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor, prototypes: Tensor, written: Tensor) -> Tensor:
        """... x H features, K x S x H prototypes, K x S times written -> ... x H. Unwritten slots are not read."""
        slots = prototypes[written > 0]  # N x H
        if len(slots) == 0:
            return x
        scores = self.query(x) @ self.key(slots).T / x.shape[-1] ** 0.5
        return x + self.out(scores.softmax(-1) @ self.value(slots))
