"""The networks: the local branch, which alone runs at inference, and DFE, which trains it with a global memory."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from wtal.core.errors import ConfigError
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
    """From features to attention and CAS: embed each modality, enhance it along time, fuse, score.

    Args:
        modalities: Width of each modality; they sum to D.
        classes: Number of classes C, without background.
        width: Hidden width H.
        dropout: Dropout probability.
        normalise: Input normalisation, `none`, `training` or `video`.
        local: Makes the local enhancement of one modality.
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

    @property
    def receptive_field(self) -> int:
        """Snippets on each side that the output of a snippet depends on."""
        enhance = self.local[0]  # those of the other modalities are built alike
        assert isinstance(enhance, LocalEnhancement)
        return enhance.receptive_field

    def forward(self, x: Tensor, mask: Tensor, centre: Tensor | None = None) -> BranchOutput:
        """Score the snippets of a batch.

        Args:
            x: Features, B x T x D.
            mask: True on real snippets, B x T.
            centre: The mean of the whole video if x is only a part of it, D.
        """
        x = self.normalise(x, mask, centre)
        embeddings = [
            self.dropout(embed(modality).relu())
            for embed, modality in zip(self.embed, x.split(self.modalities, -1), strict=True)
        ]
        enhanced = [enhance(modality, mask) for enhance, modality in zip(self.local, embeddings, strict=True)]
        return self.predict_heads(torch.stack(embeddings), self.fuse(torch.cat(enhanced, -1)))

    def predict_heads(self, embeddings: Tensor, features: Tensor) -> BranchOutput:
        """Compute attention and CAS. Both branches share these heads.

        The classifier reads temporally mixed features; attention reads unmixed ones, which keeps boundaries sharp.

        Args:
            embeddings: M x B x T x H.
            features: B x T x H.
        """
        attentions = [attend(part)[..., 0].sigmoid() for attend, part in zip(self.attend, embeddings, strict=True)]
        return BranchOutput(embeddings, features, torch.stack(attentions), self.classify(features))


class DFE(nn.Module):
    """Dual-feature enhancement (Dual-Feature Enhancement for WTAL, ICASSP 2023)."""

    def __init__(self, local: LocalBranch, memory: LearnedMemory | EmaMemory, enhance: GlobalEnhancement) -> None:
        super().__init__()
        self.local, self.memory, self.enhance = local, memory, enhance

    def forward(self, x: Tensor, mask: Tensor, centre: Tensor | None = None) -> BranchOutput:
        """Inference: the local branch alone. Arguments as for `LocalBranch`."""
        return self.local(x, mask, centre)

    def both_branches(self, x: Tensor, mask: Tensor, centre: Tensor | None = None) -> tuple[BranchOutput, BranchOutput]:
        """Training: the local branch, and the global branch, which reads the slots of all classes.

        As long as the memory is empty, both are the local branch.
        """
        local = self(x, mask, centre)
        if self.memory.is_empty:
            return local, local
        memory = self.memory.prototypes, self.memory.written
        embeddings, features = self.enhance(local.embeddings, *memory), self.enhance(local.features, *memory)
        return local, replace(
            self.local.predict_heads(embeddings.features, features.features),
            # Without a slot, a class cannot be assigned, so the assignment would favour the other classes.
            memory_assignment=features.memory_assignment if self.memory.is_complete else None,
        )


class GlobalBranch(nn.Module):
    """The global branch as a network of its own, to evaluate what inference leaves out."""

    def __init__(self, model: DFE) -> None:
        super().__init__()
        self.model = model

    @property
    def receptive_field(self) -> int:
        """Snippets on each side that the output of a snippet depends on; reading the memory adds none."""
        return self.model.local.receptive_field

    def forward(self, x: Tensor, mask: Tensor, centre: Tensor | None = None) -> BranchOutput:
        """Arguments as for `LocalBranch`."""
        return self.model.both_branches(x, mask, centre)[1]


def build_model(config: "Config", modalities: Sequence[int], classes: int) -> nn.Module:
    """Build the network to train: the local branch, or DFE if the method has a memory, or the user's own network.

    Raises:
        ConfigError: The method is not registered.
    """
    spec, settings = config.method_spec, config.model
    if spec.build is not None or spec.memory == "none":
        return build_inference_model(config, modalities, classes)
    local = build_local_branch(config, modalities, classes)
    memory: LearnedMemory | EmaMemory
    if spec.memory == "random":
        memory = LearnedMemory(classes + 1, settings.slots, settings.width, trained=False)
    elif settings.memory == "ema":
        memory = EmaMemory(classes + 1, settings.slots, settings.width, settings.momentum)
    else:
        memory = LearnedMemory(classes + 1, settings.slots, settings.width)
    return DFE(local, memory, GlobalEnhancement(settings.width))


def build_inference_model(config: "Config", modalities: Sequence[int], classes: int) -> nn.Module:
    """Build what inference needs: the local branch alone, or the user's own network.

    Raises:
        ConfigError: The method is not registered.
    """
    build = config.method_spec.build
    if build is None:
        return build_local_branch(config, modalities, classes)
    try:
        inspect.signature(build).bind(config, modalities, classes)
    except (TypeError, ValueError) as error:  # ValueError: a function without a signature
        raise ConfigError(
            f"method {config.method!r} cannot be called with (config, modalities, num_classes)",
            hint="define it as build(config, modalities, num_classes)",
            code="invalid-method",
        ) from error
    model = build(config, modalities, classes)
    if not isinstance(model, nn.Module):
        raise ConfigError(
            f"method {config.method!r} returned {type(model).__name__}",
            hint="return a torch.nn.Module",
            code="invalid-method",
        )
    return model


def build_local_branch(config: "Config", modalities: Sequence[int], classes: int) -> LocalBranch:
    """Build the local branch of a built-in method."""
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
