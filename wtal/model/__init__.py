"""Networks: `build` passes finished parts to them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import nn

from wtal.model.baseline import Chassis
from wtal.model.dfe import DFE
from wtal.model.memory import EmaMemory, GlobalEnhancement, LearnedMemory
from wtal.model.parts import DilatedBlock, LocalEnhancement, Smoothing, WindowedAttention

if TYPE_CHECKING:  # pydantic is not needed to run a model
    from wtal.config import Config


def build_local(config: "Config", modalities: Sequence[int], classes: int) -> Chassis:
    """The local branch: all that inference needs."""
    settings = config.model

    def local() -> LocalEnhancement:
        if not config.parts.local:
            return LocalEnhancement([])
        blocks: list[nn.Module] = [Smoothing(settings.width, settings.smoothing)]
        if settings.local == "attention":
            blocks.append(WindowedAttention(settings.width, settings.window, settings.dropout))
        else:
            blocks += [DilatedBlock(settings.width, d, settings.dropout) for d in settings.dilations]
        return LocalEnhancement(blocks)

    return Chassis(modalities, classes, settings.width, settings.dropout, settings.normalise, local)


def reach(config: "Config") -> int:
    """How many snippets each side can change what the local branch says of one."""
    settings = config.model
    if not config.parts.local:
        return 0
    return settings.smoothing + (settings.window if settings.local == "attention" else sum(settings.dilations))


def build(config: "Config", modalities: Sequence[int], classes: int) -> Chassis | DFE:
    """The network to train: with memory and global enhancement where the method has them."""
    local = build_local(config, modalities, classes)
    if config.parts.memory == "none":
        return local
    settings = config.model
    memory: LearnedMemory | EmaMemory
    if config.parts.memory == "random":
        memory = LearnedMemory(classes + 1, settings.slots, settings.width, trained=False)
    elif settings.memory == "ema":
        memory = EmaMemory(classes + 1, settings.slots, settings.width, settings.momentum)
    else:
        memory = LearnedMemory(classes + 1, settings.slots, settings.width)
    return DFE(local, memory, GlobalEnhancement(settings.width))


__all__ = ["DFE", "Chassis", "build", "build_local", "reach"]
