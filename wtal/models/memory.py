"""The global memory: snippets of every class from all training videos. It has no weights; reading it learns nothing.

Axes: T snippets, P parts of a feature, H width of a part, F = P H, C classes; class index C is background.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from wtal.core.errors import CheckpointError, DataError
from wtal.core.io import read_tensors, write_tensors

MAX_LOG_WEIGHT = 20.0
BISECTIONS = 60
EPSILON = 1e-9


@dataclass(frozen=True)
class Whitening:
    """Makes the dimensions of each part of a feature uncorrelated and of similar variance.

    Without whitening, the cosine of any two snippets is high, because a few directions dominate that all snippets
    share.

    Attributes:
        mean: P x H.
        projection: P x H x H.
    """

    mean: Tensor
    projection: Tensor

    def __call__(self, parts: Tensor) -> Tensor:
        """Unit vectors; the cosine of two is the mean of the cosines of their parts. T x P x H -> T x F."""
        whitened = torch.einsum("tph,phk->tpk", parts - self.mean, self.projection)
        return F.normalize(whitened, dim=-1).flatten(1) / len(self.mean) ** 0.5


class WhiteningEstimator:
    """Collects mean and covariance of the parts over all snippets, one video at a time."""

    def __init__(self) -> None:
        self._count, self._sum, self._products = 0, torch.zeros(()), torch.zeros(())

    def add(self, parts: Tensor) -> None:
        """Add the snippets of a video, T x P x H."""
        parts = parts.double()
        self._count += len(parts)
        self._sum = self._sum + parts.sum(0)
        self._products = self._products + torch.einsum("tph,tpk->phk", parts, parts)

    def finish(self, shrinkage: float) -> Whitening:
        """The whitening of what was added.

        Args:
            shrinkage: Added to every variance, relative to the mean variance: weak directions are often noise.
        """
        mean = self._sum / self._count
        covariance = self._products / self._count - torch.einsum("ph,pk->phk", mean, mean)
        variances, directions = torch.linalg.eigh(covariance)  # P x H, P x H x H
        variances = variances.clamp(min=0)
        variances = variances + shrinkage * variances.mean(1, keepdim=True) + torch.finfo(torch.float32).tiny
        return Whitening(mean.float(), (directions * variances[:, None] ** -0.5).float())


@dataclass(frozen=True)
class GlobalMemory:
    """Entries of all classes, each a unit vector with its class and the snippet it comes from.

    Attributes:
        entries: N x F, sorted by class.
        classes: N class indices.
        videos: N indices of training videos.
        snippets: N indices of snippets in their videos.
        whitening: From the parts of a feature to a unit vector.
        num_classes: Number of classes C, without background.
        neighbours: Reading compares with this many nearest entries of each class.
        temperature: Of the cosines when the memory is read.
        background_weight: Factor of the background in a reading, from `find_background_weight`.
    """

    entries: Tensor
    classes: Tensor
    videos: Tensor
    snippets: Tensor
    whitening: Whitening
    num_classes: int
    neighbours: int
    temperature: float
    background_weight: float = 1.0

    def of_class(self, index: int) -> tuple[Tensor, Tensor]:
        """The entries of a class, n x F, and their videos, n."""
        start, stop = torch.searchsorted(self.classes, torch.tensor([index, index + 1])).tolist()
        return self.entries[start:stop], self.videos[start:stop]

    def counts(self) -> Tensor:
        """The number of entries of each class, C + 1."""
        return torch.bincount(self.classes, minlength=self.num_classes + 1)

    def similarity(self, features: Tensor, index: int, exclude: int | None = None, only: int | None = None) -> Tensor:
        """How much snippets look like a class: the mean cosine to the nearest entries.

        Args:
            features: Unit vectors, T x F.
            index: The class.
            exclude: A video whose entries are not read.
            only: Read only the entries of this video.

        Returns:
            T; an empty tensor if there is no entry to compare with.
        """
        entries, videos = self.of_class(index)
        if exclude is not None:
            entries = entries[videos != exclude]
        if only is not None:
            entries = entries[videos == only]
        if not len(entries):
            return features.new_empty(0)
        return (features @ entries.T).topk(min(self.neighbours, len(entries)), 1).values.mean(1)

    def read(
        self,
        features: Tensor,
        posterior: Tensor,
        allowed: Tensor,
        exclude: int | None = None,
        only: int | None = None,
    ) -> Tensor:
        """The class probabilities of snippets according to the memory: softmax of the similarities.

        A class without entries keeps its posterior probability; the other classes share the rest. Then the background
        is multiplied by its weight, and the probabilities are normalized.

        Args:
            features: Unit vectors, T x F.
            posterior: Class probabilities without the memory, T x (C + 1).
            allowed: The classes that the video may contain, C + 1 booleans. The others get probability 0.
            exclude: A video whose entries are not read.
            only: Read only the entries of this video.

        Returns:
            T x (C + 1).
        """
        reading = torch.full_like(posterior, -torch.inf)
        for index in allowed.nonzero().flatten().tolist():
            similarity = self.similarity(features, index, exclude, only)
            if len(similarity):
                reading[:, index] = similarity / self.temperature
        is_known = reading[0] > -torch.inf  # C + 1
        kept = posterior * (allowed & ~is_known)
        if not is_known.any():
            return kept
        return weight_background(kept + reading.softmax(1) * (1 - kept.sum(1, keepdim=True)), self.background_weight)

    def with_shuffled_classes(self, generator: torch.Generator) -> "GlobalMemory":
        """A control: the classes of all entries are permuted."""
        order = self.classes[torch.randperm(len(self.classes), generator=generator)].sort(stable=True)
        rows = order.indices
        return replace(self, entries=self.entries[rows], videos=self.videos[rows], snippets=self.snippets[rows])

    def with_random_entries(self, generator: torch.Generator) -> "GlobalMemory":
        """A control: every entry is a random unit vector."""
        return replace(self, entries=F.normalize(torch.randn(self.entries.shape, generator=generator), dim=-1))

    def save(self, path: Path) -> None:
        """Write a safetensors file. Raises DataError if the disk is full."""
        numbers = [self.num_classes, self.neighbours, self.temperature, self.background_weight]
        settings = torch.tensor(numbers, dtype=torch.float64)
        tensors = {
            "entries": self.entries,
            "classes": self.classes,
            "videos": self.videos,
            "snippets": self.snippets,
            "mean": self.whitening.mean,
            "projection": self.whitening.projection,
            "settings": settings,
        }
        write_tensors(tensors, path)

    @classmethod
    def load(cls, path: Path) -> "GlobalMemory":
        """Read a file that `save` wrote.

        Raises:
            CheckpointError: It is missing or damaged (code `unreadable-weights`).
        """
        try:
            tensors = read_tensors(path)
            num_classes, neighbours, temperature, background_weight = tensors.pop("settings").tolist()
            whitening = Whitening(tensors.pop("mean"), tensors.pop("projection"))
            memory = cls(
                **tensors,
                whitening=whitening,
                num_classes=int(num_classes),
                neighbours=int(neighbours),
                temperature=temperature,
                background_weight=background_weight,
            )
            memory._check()
            return memory
        except (DataError, KeyError, OverflowError, RuntimeError, TypeError, ValueError) as error:
            raise CheckpointError(
                "the memory is missing or incomplete", path=path, hint="train again", code="unreadable-weights"
            ) from error

    def _check(self) -> None:
        """Raise ValueError if shapes, types or values do not fit together."""
        parts, size = self.whitening.mean.shape
        indices = (self.classes, self.videos, self.snippets)
        is_consistent = self.whitening.projection.shape == (parts, size, size)
        if not is_consistent or self.entries.shape != (len(self.entries), parts * size):
            raise ValueError("the shapes of entries and whitening differ")
        if any(index.shape != (len(self.entries),) or index.dtype != torch.int64 for index in indices):
            raise ValueError("the shapes of entries and classes differ")
        floats = (self.entries, self.whitening.mean, self.whitening.projection)
        if not all(tensor.dtype == torch.float32 and tensor.isfinite().all() for tensor in floats):
            raise ValueError("not finite")
        if not (self.num_classes > 0 and self.neighbours > 0 and 0 < self.temperature < math.inf):
            raise ValueError("settings are out of range")
        if not math.isfinite(self.background_weight):
            raise ValueError("settings are out of range")
        if len(self.classes) and not 0 <= int(self.classes.min()) <= int(self.classes.max()) <= self.num_classes:
            raise ValueError("classes are out of range")


def weight_background(probabilities: Tensor, weight: float) -> Tensor:
    """Class probabilities after the background was multiplied by a weight and the sum restored to 1. ... x (C + 1)."""
    if weight == 1:
        return probabilities
    weights = torch.ones(probabilities.shape[-1])
    weights[-1] = weight
    weighted = probabilities * weights
    return weighted / weighted.sum(-1, keepdim=True)


def find_background_weight(background: Tensor, share: float) -> float:
    """The weight of the background with which its mean probability is a given share.

    Cosines of similar size give the background and the classes of a video about half of the probability each, whatever
    their share of the recording. Where actions are rare, students of such a teacher find segments that are too long.

    Args:
        background: Probabilities of the background, N.
        share: Their mean after weighting, from 0 to 1.

    Returns:
        The weight, between exp(-20) and exp(20).
    """
    low, high = -MAX_LOG_WEIGHT, MAX_LOG_WEIGHT
    odds = torch.logit(background.double(), EPSILON)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if float((odds + middle).sigmoid().mean()) < share else (low, middle)
    return math.exp((low + high) / 2)


class MemoryWriter:
    """Collects the entries of a memory in one pass over the training videos.

    Args:
        whitening: From the parts of a feature to a unit vector.
        num_classes: Number of classes C, without background.
        video_share: The share of a video that is written, divided among its classes.
        min_probability: Less probable snippets are not written.
        max_entries: Entries of each class; of more, a random choice is kept.
        seed: Of this choice.
    """

    def __init__(
        self,
        whitening: Whitening,
        num_classes: int,
        *,
        video_share: float,
        min_probability: float,
        max_entries: int,
        seed: int,
    ) -> None:
        self.whitening, self.video_share, self.min_probability = whitening, video_share, min_probability
        self.max_entries = max_entries
        self._generator = torch.Generator().manual_seed(seed)
        self._kept: list[list[_Entry]] = [[] for _ in range(num_classes + 1)]

    def write(
        self, video: int, parts: Tensor, posterior: Tensor, allowed: Tensor, is_labeled: Tensor | None = None
    ) -> None:
        """Write the most probable snippets of each class of a video. Those with a label are kept before all others.

        Args:
            video: Index of the video.
            parts: Features, T x P x H.
            posterior: Class probabilities, T x (C + 1).
            allowed: The classes of the video and background, C + 1 booleans.
            is_labeled: Whether a person has labeled the snippet, T booleans; None: no snippet.
        """
        classes = allowed.nonzero().flatten().tolist()
        count = min(math.ceil(self.video_share * len(posterior) / len(classes)), len(posterior))
        for index in classes:
            probability, snippets = posterior[:, index].topk(count)
            snippets = snippets[probability > self.min_probability]
            ranks = torch.rand(len(snippets), generator=self._generator)
            if is_labeled is not None:
                ranks = ranks - is_labeled[snippets].float()
            vectors = self.whitening(parts[snippets])
            self._kept[index] += map(_Entry, ranks.tolist(), [video] * len(ranks), snippets.tolist(), vectors)
            if len(self._kept[index]) > 2 * self.max_entries:
                self._discard(index)

    def finish(self, neighbours: int, temperature: float) -> GlobalMemory:
        """The memory, to be read with this number of neighbors and temperature."""
        for index in range(len(self._kept)):
            self._discard(index)
        rows = [(index, entry) for index, kept in enumerate(self._kept) for entry in kept]
        vectors = [entry.vector for _, entry in rows]
        return GlobalMemory(
            torch.stack(vectors) if vectors else torch.empty(0, self.whitening.mean.numel()),
            torch.tensor([index for index, _ in rows], dtype=torch.long),
            torch.tensor([entry.video for _, entry in rows], dtype=torch.long),
            torch.tensor([entry.snippet for _, entry in rows], dtype=torch.long),
            self.whitening,
            len(self._kept) - 1,
            neighbours,
            temperature,
        )

    def _discard(self, index: int) -> None:
        """Keep the entries of a class with the lowest ranks, which is a uniform choice, in the order of writing."""
        kept = self._kept[index]
        if len(kept) > self.max_entries:
            highest = sorted(entry.rank for entry in kept)[self.max_entries - 1]
            self._kept[index] = [entry for entry in kept if entry.rank <= highest]


class _Entry(NamedTuple):
    rank: float  # random, below 0 for a labeled snippet
    video: int
    snippet: int
    vector: Tensor  # F
