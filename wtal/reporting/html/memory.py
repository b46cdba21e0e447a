"""Summary of the memory of a run: how much it holds of each class, similarity of the classes, typical snippets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from wtal.core.clock import SnippetClock
from wtal.models.memory import GlobalMemory

TYPICAL_SNIPPETS = 3  # per class, each from another video
BACKGROUND = "(background)"


@dataclass(frozen=True)
class TypicalSnippet:
    """An entry close to the mean of its class: video, start and end in seconds, and the cosine similarity."""

    video: str
    start: float
    end: float
    cosine: float


@dataclass(frozen=True)
class ClassSummary:
    """What the memory holds of one class.

    Args:
        label: The class.
        entries: Number of entries.
        videos: Number of videos that they come from.
        typical: The entries closest to the mean of the class, by falling similarity.
    """

    label: str
    entries: int
    videos: int
    typical: tuple[TypicalSnippet, ...]


@dataclass(frozen=True)
class MemorySummary:
    """All classes of a memory.

    Args:
        classes: Names of the classes, the background last. K
        similarity: Cosines between the mean entries of the classes; 0 for a class without entries. K x K
        rows: One summary for each class.
    """

    classes: tuple[str, ...]
    similarity: NDArray[np.float32]
    rows: tuple[ClassSummary, ...]


def summarize_memory(
    memory: GlobalMemory, classes: Sequence[str], videos: Sequence[str], clock_of: Callable[[str], SnippetClock]
) -> MemorySummary:
    """Summarize a memory.

    Args:
        memory: The memory.
        classes: Names of the classes, without background.
        videos: Ids of the training videos, in the order of the memory.
        clock_of: The snippet clock of a video.
    """
    names = (*classes, BACKGROUND)
    means = torch.zeros(len(names), memory.entries.shape[1])
    for row, index in zip(means, range(len(names)), strict=True):
        if len(entries := memory.of_class(index)[0]):
            row += F.normalize(entries.mean(0), dim=0)
    rows = [_summarize_class(memory, index, name, means[index], videos, clock_of) for index, name in enumerate(names)]
    return MemorySummary(names, (means @ means.T).numpy(), tuple(rows))


def _summarize_class(
    memory: GlobalMemory,
    index: int,
    name: str,
    mean: Tensor,
    ids: Sequence[str],
    clock_of: Callable[[str], SnippetClock],
) -> ClassSummary:
    entries, videos = memory.of_class(index)
    snippets = memory.snippets[memory.classes == index].tolist()
    cosines = entries @ mean
    typical: dict[int, TypicalSnippet] = {}  # by video
    for row in cosines.argsort(descending=True).tolist():
        video = int(videos[row])
        if video not in typical:
            start, end = clock_of(ids[video]).seconds(np.array([snippets[row], snippets[row] + 1])).tolist()
            typical[video] = TypicalSnippet(ids[video], start, end, float(cosines[row]))
        if len(typical) == TYPICAL_SNIPPETS:
            break
    return ClassSummary(name, len(entries), len(videos.unique()), tuple(typical.values()))
