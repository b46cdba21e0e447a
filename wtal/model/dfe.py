"""DFE: the local branch, which alone runs at inference, and the global one it learns from."""

from dataclasses import replace

from torch import Tensor, nn

from wtal.model.baseline import Chassis
from wtal.model.memory import EmaMemory, GlobalEnhancement, LearnedMemory
from wtal.model.parts import Branch


class DFE(nn.Module):
    """Dual-feature enhancement. Paper: Dual-Feature Enhancement for WTAL, ICASSP 2023."""

    def __init__(self, local: Chassis, memory: LearnedMemory | EmaMemory, enhance: GlobalEnhancement) -> None:
        super().__init__()
        self.local, self.memory, self.enhance = local, memory, enhance

    def forward(self, x: Tensor, mask: Tensor, centre: Tensor | None = None) -> Branch:
        """Inference: the local branch alone. B x T x D, B x T -> Branch."""
        return self.local(x, mask, centre)

    def both_branches(self, x: Tensor, mask: Tensor, centre: Tensor | None = None) -> tuple[Branch, Branch]:
        """Training and measuring: the local branch, and the global one over all classes' slots."""
        local = self(x, mask, centre)
        if self.memory.is_empty:
            return local, local
        memory = self.memory.prototypes, self.memory.written
        near, far = self.enhance(local.near, *memory), self.enhance(local.far, *memory)
        return local, replace(
            self.local.head(near.features, far.features),
            # A class without a slot cannot be recalled, and must not be held against the others.
            recall=far.recall if self.memory.is_complete else None,
        )
