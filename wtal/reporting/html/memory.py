"""What a memory learned: how alike its classes are, how often slots were written, which moments are near them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from wtal.core.structures import Video
from wtal.data.batching import pad
from wtal.data.dataset import Dataset
from wtal.models.checkpoint import ModelMetadata
from wtal.models.dfe import DFE
from wtal.models.memory import LearnedMemory

NEAREST = 3  # moments of a slot, each from another video
BACKGROUND = "(background)"


@dataclass(frozen=True)
class Moment:
    """A snippet near to a slot: where and when (seconds), and the cosine."""

    video: str
    start: float
    end: float
    cosine: float


@dataclass(frozen=True)
class Slot:
    """One vector of the memory; `written` is None where it was learned by gradient."""

    label: str
    number: int  # among those of its class, from 1
    written: int | None
    moments: tuple[Moment, ...]


@dataclass(frozen=True)
class Memory:
    """All slots, and the cosines between the means of the classes' slots, background last. K x K"""

    classes: tuple[str, ...]
    alike: NDArray[np.float32]
    slots: tuple[Slot, ...]


@torch.inference_mode()
def recall(model: DFE, meta: ModelMetadata, folder: Dataset, videos: Sequence[Video]) -> Memory:
    """What the memory holds, and the moments of these videos that its reading finds most alike to each slot."""
    names = (*meta.classes, BACKGROUND)
    memory = model.memory
    means = F.normalize(memory.prototypes.mean(1), dim=-1)  # K x H
    there = (memory.written > 0).flatten()  # K * S
    keys = F.normalize(model.enhance.key(memory.prototypes.flatten(0, 1)), dim=-1)[there]  # N x H
    nearest: list[list[Moment]] = [[] for _ in keys]
    for video in videos:
        cosines, snippets = _nearest(model, keys, folder, video)
        clock = folder.clock_of(video.id)
        starts, ends = clock.seconds(snippets).tolist(), clock.seconds(np.add(snippets, 1)).tolist()
        for moments, *moment in zip(nearest, starts, ends, cosines, strict=True):
            moments.append(Moment(video.id, *moment))
            moments.sort(key=lambda moment: -moment.cosine)
            del moments[NEAREST:]
    labels = [(name, number + 1) for name in names for number in range(memory.written.shape[1])]
    learned = isinstance(memory, LearnedMemory)
    rows = zip(labels, memory.written.flatten().tolist(), there.tolist(), strict=True)
    written = [(*label, None if learned else times) for label, times, is_there in rows if is_there]
    slots = [Slot(*slot, tuple(moments)) for slot, moments in zip(written, nearest, strict=True)]
    return Memory(names, (means @ means.T).numpy(), tuple(slots))


def _nearest(model: DFE, keys: Tensor, folder: Dataset, video: Video) -> tuple[list[float], list[int]]:
    """Each slot's highest cosine in a video, and the snippet that has it. N, N"""
    branch = model(*pad([folder.features(video.id)]))
    queries = F.normalize(model.enhance.query(branch.far[0]), dim=-1)  # T x H
    cosines, snippets = (queries @ keys.T).max(0)
    return cosines.tolist(), snippets.tolist()
