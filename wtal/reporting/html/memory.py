"""Summary of a trained memory: similarity of its classes, writes to its slots, and the snippets closest to them."""

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

NEAREST_SNIPPETS = 3  # per slot, each from another video
BACKGROUND = "(background)"


@dataclass(frozen=True)
class NearestSnippet:
    """A snippet close to a slot: video, start and end in seconds, and the cosine similarity."""

    video: str
    start: float
    end: float
    cosine: float


@dataclass(frozen=True)
class SlotSummary:
    """One vector of the memory.

    Args:
        label: Its class.
        number: Its number among the slots of the class, from 1.
        writes: How often it was written; None if it was learned by gradient.
        nearest: The snippets closest to it, by falling similarity.
    """

    label: str
    number: int
    writes: int | None
    nearest: tuple[NearestSnippet, ...]


@dataclass(frozen=True)
class MemorySummary:
    """All written slots of a memory.

    Args:
        classes: Names of the classes, the background last. K
        similarity: Cosines between the means of the classes' slots. K x K
        slots: Summaries by class, then by number.
    """

    classes: tuple[str, ...]
    similarity: NDArray[np.float32]
    slots: tuple[SlotSummary, ...]


@torch.inference_mode()
def summarize_memory(model: DFE, meta: ModelMetadata, dataset: Dataset, videos: Sequence[Video]) -> MemorySummary:
    """Summarize the memory of a model.

    Args:
        model: Both branches.
        meta: Its metadata, for the names of the classes.
        dataset: Holds the features of the videos.
        videos: The snippets closest to each slot are searched in these, with the keys and queries that reading the
            memory uses.
    """
    classes = (*meta.classes, BACKGROUND)
    memory = model.memory
    means = F.normalize(memory.prototypes.mean(1), dim=-1)  # K x H
    is_written = (memory.written > 0).flatten()  # K * S
    keys = F.normalize(model.enhance.key(memory.prototypes.flatten(0, 1)), dim=-1)[is_written]  # N x H
    nearest: list[list[NearestSnippet]] = [[] for _ in keys]
    for video in videos:
        cosines, snippets = _nearest_snippets(model, keys, dataset, video)
        clock = dataset.clock_of(video.id)
        starts, ends = clock.seconds(snippets).tolist(), clock.seconds(np.add(snippets, 1)).tolist()
        for candidates, start, end, cosine in zip(nearest, starts, ends, cosines, strict=True):
            candidates.append(NearestSnippet(video.id, start, end, cosine))
            candidates.sort(key=lambda snippet: -snippet.cosine)
            del candidates[NEAREST_SNIPPETS:]
    names = [(label, number + 1) for label in classes for number in range(memory.written.shape[1])]
    is_learned = isinstance(memory, LearnedMemory)
    rows = zip(names, memory.written.flatten().tolist(), is_written.tolist(), strict=True)
    written = [(*name, None if is_learned else writes) for name, writes, is_used in rows if is_used]
    slots = [SlotSummary(*slot, tuple(snippets)) for slot, snippets in zip(written, nearest, strict=True)]
    return MemorySummary(classes, (means @ means.T).numpy(), tuple(slots))


def _nearest_snippets(model: DFE, keys: Tensor, dataset: Dataset, video: Video) -> tuple[list[float], list[int]]:
    """The highest cosine of each key in a video, and the snippet that has it. N, N"""
    branch = model(*pad([dataset.features(video.id)]))
    queries = F.normalize(model.enhance.query(branch.features[0]), dim=-1)  # T x H
    cosines, snippets = (queries @ keys.T).max(0)
    return cosines.tolist(), snippets.tolist()
