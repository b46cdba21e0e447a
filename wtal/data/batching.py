"""Batches of tensors from a data set folder. Axes: B videos, T snippets, D features, C classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wtal.core.distributed import Rows
from wtal.core.errors import DataError
from wtal.core.structures import Video
from wtal.data.dataset import Dataset

ALL_VIDEOS, CROPS, HELD_OUT, LABELED_VIDEOS = range(4)  # independent streams of random numbers of one seed


@dataclass(frozen=True)
class Batch:
    """The input of one training step: features, tags, targets of a teacher, and labels of snippets.

    Attributes:
        features: B x T x D.
        mask: B x T, True for real snippets, False for padding.
        labels: B x C, 1 for each tag.
        rows: Which rows of the whole batch these are, if several processes share it; None for all.
        targets: Class probabilities of the snippets, B x T x (C + 1); None without a teacher.
        snippet_labels: Shares of the classes and background in the labels of the snippets, B x T x (C + 1), zeros for a
            snippet without a label; None if no snippet of the data set has one.
    """

    features: Tensor
    mask: Tensor
    labels: Tensor
    rows: Rows | None = None
    targets: Tensor | None = None
    snippet_labels: Tensor | None = None

    def to(self, device: torch.device) -> "Batch":
        """The batch on a device; the copies are asynchronous."""
        if self.features.device.type == device.type:
            return self
        features, mask, labels, targets, snippet_labels = (
            None if value is None else value.pin_memory().to(device, non_blocking=True)
            for value in (self.features, self.mask, self.labels, self.targets, self.snippet_labels)
        )
        assert features is not None and mask is not None and labels is not None
        return Batch(features, mask, labels, self.rows, targets, snippet_labels)


@dataclass(frozen=True)
class Crop:
    """A part of a video: `length` snippets from `start` of the video with index `video`."""

    video: int
    start: int
    length: int


class TrainingDataset:
    """The training videos of a data set with their tags, and with targets or labels of snippets if these are passed.

    Args:
        dataset: The data set.
        seed: Determines the order of the videos and the crops.
        held_out: Ids of videos to exclude.
        targets: Class probabilities of the snippets from a teacher, by video id, T x (C + 1) each.
        snippet_labels: As `wtal.data.snippet_labels.snippet_labels` returns them: T x (C + 1) for each video with a
            labeled snippet, by its id.
        labelled_share: Share of each batch that is drawn from these videos, as crops with a labeled snippet. It has no
            effect if every video is labeled and none is cropped.

    Raises:
        DataError: No training video is left that has a label.
    """

    def __init__(
        self,
        dataset: Dataset,
        seed: int,
        held_out: frozenset[str] = frozenset(),
        targets: Mapping[str, Tensor] | None = None,
        snippet_labels: Mapping[str, Tensor] | None = None,
        labelled_share: float = 0.0,
    ) -> None:
        videos = [v.without_segments() for v in dataset.subset("training") if v.id not in held_out]
        if not any(v.labels for v in videos):
            raise DataError("no training video has a label", path=dataset.path, hint="add labels", code="no-labels")
        self.dataset, self.seed = dataset, seed
        self.videos = sorted(videos, key=lambda v: v.id)
        self.labels = multi_hot(self.videos, dataset.classes)
        self.targets = targets
        self.snippet_labels = snippet_labels or {}
        self._labeled = [index for index, video in enumerate(self.videos) if video.id in self.snippet_labels]
        self._labeled_share = labelled_share if self._labeled else 0.0
        self._lengths: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self.videos)

    def batch(self, step: int, size: int, snippets: int, rows: Rows | None = None) -> Batch:
        """The batch of a training step. It depends on the seed and the step only.

        Args:
            step: The step, from 0.
            size: B of the whole batch.
            snippets: Maximum T; longer videos are cropped at random.
            rows: The rows to load. They are padded like the whole batch.
        """
        crops = self.crops(step, size, snippets)
        selected = crops if rows is None else crops[rows.selection]
        features = [self.features(crop.video)[crop.start : crop.start + crop.length] for crop in selected]
        length = max(crop.length for crop in crops)
        labels = self.labels[[crop.video for crop in selected]]
        targets, snippet_labels = (self._crop_values(table, selected, length) for table in self.snippet_tables())
        return Batch(*pad(features, length), labels, rows, targets, snippet_labels)

    def crops(self, step: int, size: int, snippets: int) -> list[Crop]:
        """The crops of the whole batch of a step. They depend on the seed and the step only, so training can resume."""
        rng = np.random.default_rng([self.seed, CROPS, step])
        num_labeled = round(self._labeled_share * size) if self._can_miss_labels(snippets) else 0
        num_any = size - num_labeled
        videos = [self._shuffled(i, len(self), ALL_VIDEOS) for i in range(step * num_any, (step + 1) * num_any)]
        crops = [_random_crop(video, self.length(video), snippets, rng) for video in videos]
        for i in range(step * num_labeled, (step + 1) * num_labeled):
            video = self._labeled[self._shuffled(i, len(self._labeled), LABELED_VIDEOS)]
            crops.append(self._crop_with_label(video, snippets, rng))
        return crops

    def features(self, video: int) -> NDArray[np.generic]:
        """The memory-mapped features of a video, T x D."""
        return self.dataset.features(self.videos[video].id)

    @property
    def width(self) -> int:
        """D."""
        return self.features(0).shape[1]

    def cache_dtype(self) -> torch.dtype:
        """The dtype that holds all features without loss: float16 if all are stored so, else float32."""
        stored = {self.features(i).dtype for i in range(len(self))}
        return torch.float16 if stored == {np.dtype(np.float16)} else torch.float32

    def length(self, video: int) -> int:
        """T of a video. Its file is opened once."""
        if video not in self._lengths:
            self._lengths[video] = len(self.features(video))
        return self._lengths[video]

    def snippet_tables(self) -> tuple[Mapping[str, Tensor] | None, Mapping[str, Tensor] | None]:
        """The targets and the snippet labels by video id; None if there are none."""
        return self.targets, self.snippet_labels or None

    def _crop_values(self, table: Mapping[str, Tensor] | None, crops: Sequence[Crop], length: int) -> Tensor | None:
        """The values of the snippets of crops, padded with zeros to B x `length` x (C + 1)."""
        if table is None:
            return None
        padded = torch.zeros(len(crops), length, self.labels.shape[1] + 1)
        for row, crop in zip(padded, crops, strict=True):
            if (values := table.get(self.videos[crop.video].id)) is not None:
                row[: crop.length] = values[crop.start : crop.start + crop.length]
        return padded

    def _crop_with_label(self, video: int, snippets: int, rng: np.random.Generator) -> Crop:
        """A random crop that contains a labeled snippet."""
        length = self.length(video)
        labeled = self.snippet_labels[self.videos[video].id].any(1).nonzero().flatten()
        snippet = int(labeled[int(rng.integers(len(labeled)))])
        start = snippet - int(rng.integers(min(length, snippets)))
        return Crop(video, min(max(start, 0), max(0, length - snippets)), min(length, snippets))

    def _can_miss_labels(self, snippets: int) -> bool:
        """Whether a random crop can lack labels: of a video without any, or of one longer than `snippets`."""
        return len(self._labeled) < len(self) or any(self.length(video) > snippets for video in self._labeled)

    def _shuffled(self, position: int, count: int, stream: int) -> int:
        """The number below `count` at a position in the endless sequence of shuffled epochs."""
        epoch, index = divmod(position, count)
        return int(np.random.default_rng([self.seed, stream, epoch]).permutation(count)[index])


class DeviceCachedDataset:
    """A training data set whose features are all in one tensor on the device, so that a step copies none of them."""

    def __init__(self, data: TrainingDataset, device: torch.device) -> None:
        self.data, self.device = data, device
        lengths = [data.length(i) for i in range(len(data))]
        self.starts = np.cumsum([0, *lengths])
        self.features = torch.empty(self.starts[-1], data.width, dtype=data.cache_dtype(), device=device)
        for i, (start, length) in enumerate(zip(self.starts, lengths, strict=False)):
            self.features[start : start + length] = torch.from_numpy(np.array(data.features(i), np.float32))
        self.labels = data.labels.to(device)
        self.targets, self.snippet_labels = (self._concatenate(table) for table in data.snippet_tables())

    def batch(self, step: int, size: int, snippets: int, rows: Rows | None = None) -> Batch:
        """The same batch as `TrainingDataset.batch`, bit for bit."""
        crops = self.data.crops(step, size, snippets)
        selected = crops if rows is None else crops[rows.selection]
        table = torch.tensor([(c.video, self.starts[c.video] + c.start, c.length) for c in selected])
        video, start, length = table.to(self.device, non_blocking=True).unbind(1)
        offset = torch.arange(max(crop.length for crop in crops), device=self.device)
        mask = offset < length[:, None]
        index = start[:, None] + offset * mask
        features = self.features[index].float().masked_fill(~mask[..., None], 0)
        targets, snippet_labels = (
            None if values is None else values[index].masked_fill(~mask[..., None], 0)
            for values in (self.targets, self.snippet_labels)
        )
        return Batch(features, mask, self.labels[video], rows, targets, snippet_labels)

    def _concatenate(self, table: Mapping[str, Tensor] | None) -> Tensor | None:
        """The values of all snippets, zeros for videos that are not in the table."""
        if table is None:
            return None
        num_columns = self.data.labels.shape[1] + 1
        missing = (torch.zeros(self.data.length(i), num_columns) for i in range(len(self.data)))
        parts = [table.get(video.id, zeros) for video, zeros in zip(self.data.videos, missing, strict=True)]
        return torch.cat(parts).to(self.device)


def cache_on_device(data: TrainingDataset, device: torch.device) -> TrainingDataset | DeviceCachedDataset:
    """The data set with its features on the GPU, if they fill at most half of its free memory."""
    if device.type != "cuda":
        return data
    size = sum(data.length(i) for i in range(len(data))) * data.width * data.cache_dtype().itemsize
    return DeviceCachedDataset(data, device) if size <= torch.cuda.mem_get_info(device)[0] / 2 else data


def held_out_ids(dataset: Dataset, fraction: float, seed: int) -> frozenset[str]:
    """The ids of a random fraction of the training videos, for validation without a validation subset."""
    ids = sorted(v.id for v in dataset.subset("training"))
    count = round(fraction * len(ids))
    return frozenset(np.random.default_rng([seed, HELD_OUT]).permutation(ids)[:count].tolist())


def multi_hot(videos: Sequence[Video], classes: Sequence[str]) -> Tensor:
    """The tags of N videos as N x C zeros and ones."""
    labels = torch.zeros(len(videos), len(classes))
    for row, video in zip(labels, videos, strict=True):
        row[[classes.index(label) for label in video.labels]] = 1
    return labels


def pad(features: Sequence[np.ndarray], length: int | None = None) -> tuple[Tensor, Tensor]:
    """Pad arrays of T_i x D with zeros.

    Args:
        features: The arrays.
        length: T, by default the longest T_i.

    Returns:
        B x T x D features and B x T mask.
    """
    length = length or max(len(f) for f in features)
    padded = torch.empty(len(features), length, features[0].shape[1])
    mask = torch.zeros(len(features), length, dtype=torch.bool)
    for i, f in enumerate(features):
        padded[i, : len(f)].numpy()[:] = f  # a single copy, from the file to the tensor
        padded[i, len(f) :] = 0
        mask[i, : len(f)] = True
    return padded, mask


def _random_crop(video: int, length: int, snippets: int, rng: np.random.Generator) -> Crop:
    start = int(rng.integers(0, max(1, length - snippets + 1)))
    return Crop(video, start, min(length, snippets))
