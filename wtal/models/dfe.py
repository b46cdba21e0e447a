"""Networks: `build` passes finished parts to them.

FROM: The chassis: embed, enhance locally, fuse, score. With local enhancement it is DFE's local branch.
FROM: DFE: the local branch, which alone runs at inference, and the global one it learns from.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from wtal.models.layers import (
    BranchOutput,
    DilatedBlock,
    Dropout,
    LocalEnhancement,
    Normalise,
    Smoothing,
    WindowedAttention,
)
from wtal.models.memory import EmaMemory, GlobalEnhancement, LearnedMemory

if TYPE_CHECKING:  # pydantic is not needed to run a model
    from wtal.core.config import Config


class LocalBranch(nn.Module):
    """From features to attention and CAS.

    `modalities` are the widths that sum to D; `local` makes one modality's enhancement (None: the baseline).
    """

    def __init__(
        self,
        modalities: Sequence[int],
        classes: int,
        width: int,
        dropout: float,
        normalise: str,
        local: Callable[[], LocalEnhancement],
    ) -> None:
        super().__init__()
        self.modalities = tuple(modalities)
        self.normalise = Normalise(sum(modalities), normalise)
        self.embed = nn.ModuleList(nn.Linear(dim, width) for dim in modalities)
        self.dropout = Dropout(dropout)
        self.local = nn.ModuleList(local() for _ in modalities)
        self.fuse = nn.Linear(width * len(modalities), width) if len(modalities) > 1 else nn.Identity()
        self.attend = nn.ModuleList(nn.Linear(width, 1) for _ in modalities)
        self.classify = nn.Linear(width, classes + 1)

    def forward(self, x: Tensor, mask: Tensor, centre: Tensor | None = None) -> BranchOutput:
        """B x T x D, B x T -> Branch. `centre` (D): the mean of the video that x is a piece of."""
        x = self.normalise(x, mask, centre)
        near = [
            self.dropout(embed(part).relu())
            for embed, part in zip(self.embed, x.split(self.modalities, -1), strict=True)
        ]
        far = [local(part, mask) for local, part in zip(self.local, near, strict=True)]
        return self.head(torch.stack(near), self.fuse(torch.cat(far, -1)))

    def head(self, near: Tensor, far: Tensor) -> BranchOutput:
        """M x B x T x H, B x T x H -> Branch.

        Whether sees far, where sees near: the classifier reads the enhanced features, attention the embedded
        ones before any mixing in time, which would blur the edges.
        """
        attentions = [attend(part)[..., 0].sigmoid() for attend, part in zip(self.attend, near, strict=True)]
        return BranchOutput(near, far, torch.stack(attentions), self.classify(far))


class DFE(nn.Module):
    """Dual-feature enhancement. Paper: Dual-Feature Enhancement for WTAL, ICASSP 2023."""

    def __init__(self, local: LocalBranch, memory: LearnedMemory | EmaMemory, enhance: GlobalEnhancement) -> None:
        super().__init__()
        self.local, self.memory, self.enhance = local, memory, enhance

    def forward(self, x: Tensor, mask: Tensor, centre: Tensor | None = None) -> BranchOutput:
        """Inference: the local branch alone. B x T x D, B x T -> Branch."""
        return self.local(x, mask, centre)

    def both_branches(self, x: Tensor, mask: Tensor, centre: Tensor | None = None) -> tuple[BranchOutput, BranchOutput]:
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


def build_local(config: "Config", modalities: Sequence[int], classes: int) -> LocalBranch:
    """The local branch: all that inference needs."""
    settings = config.model

    def local() -> LocalEnhancement:
        if not config.method_spec.local:
            return LocalEnhancement([])
        blocks: list[nn.Module] = [Smoothing(settings.width, settings.smoothing)]
        if settings.local == "attention":
            blocks.append(WindowedAttention(settings.width, settings.window, settings.dropout))
        else:
            blocks += [DilatedBlock(settings.width, d, settings.dropout) for d in settings.dilations]
        return LocalEnhancement(blocks)

    return LocalBranch(modalities, classes, settings.width, settings.dropout, settings.normalise, local)


def receptive_field(config: "Config") -> int:
    """How many snippets each side can change what the local branch says of one."""
    settings = config.model
    if not config.method_spec.local:
        return 0
    return settings.smoothing + (settings.window if settings.local == "attention" else sum(settings.dilations))


def build(config: "Config", modalities: Sequence[int], classes: int) -> LocalBranch | DFE:
    """The network to train: with memory and global enhancement where the method has them."""
    local = build_local(config, modalities, classes)
    if config.method_spec.memory == "none":
        return local
    settings = config.model
    memory: LearnedMemory | EmaMemory
    if config.method_spec.memory == "random":
        memory = LearnedMemory(classes + 1, settings.slots, settings.width, trained=False)
    elif settings.memory == "ema":
        memory = EmaMemory(classes + 1, settings.slots, settings.width, settings.momentum)
    else:
        memory = LearnedMemory(classes + 1, settings.slots, settings.width)
    return DFE(local, memory, GlobalEnhancement(settings.width))
