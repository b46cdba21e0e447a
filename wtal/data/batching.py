"""From a folder of features and tags to batches of tensors. Axes: B videos, T snippets, D features, C classes."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wtal.core.distributed import Rows
from wtal.core.errors import DataError
from wtal.core.structures import Video
from wtal.data.dataset import Dataset


@dataclass(frozen=True)
class Batch:
    """What one training step sees: features and tags, no segment."""

    features: Tensor  # B x T x D
    mask: Tensor  # B x T, True on real snippets
    labels: Tensor  # B x C, 1 for each tag
    rows: Rows | None = None  # which of the whole batch's these are; None: all

    def to(self, device: torch.device) -> "Batch":
        """The same on a device; the host does not wait for the copies."""
        if self.features.device.type == device.type:
            return self
        features, mask, labels = (
            value.pin_memory().to(device, non_blocking=True) for value in (self.features, self.mask, self.labels)
        )
        return Batch(features, mask, labels, self.rows)


@dataclass(frozen=True)
class Crop:
    """What a batch shows of a sequence."""

    video: int
    start: int
    length: int


class TrainingDataset:
    """The training sequences, stripped of their segments at the door.

    `held_out` names sequences to leave out. Raises DataError when nothing is left or nothing carries a label.
    """

    def __init__(self, folder: Dataset, seed: int, held_out: frozenset[str] = frozenset()) -> None:
        videos = [v.without_segments() for v in folder.subset("training") if v.id not in held_out]
        if not any(v.labels for v in videos):
            raise DataError(f"{folder.path}: no training sequence carries a label; tag some of them")
        self.folder, self.seed = folder, seed
        self.videos = sorted(videos, key=lambda v: v.id)
        self.labels = multi_hot(self.videos, folder.classes)
        self._lengths: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self.videos)

    def batch(self, step: int, size: int, snippets: int, rows: Rows | None = None) -> Batch:
        """The batch of a step, or some rows of it, padded like the whole; no other sequence's features are read."""
        crops = self.crops(step, size, snippets)
        own = crops if rows is None else crops[rows.taken]
        features = [self.features(crop.video)[crop.start : crop.start + crop.length] for crop in own]
        padded = pad(features, max(crop.length for crop in crops))
        return Batch(*padded, self.labels[[crop.video for crop in own]], rows)

    def crops(self, step: int, size: int, snippets: int) -> list[Crop]:
        """What a step sees: it depends on the seed and the step alone, so that training can resume anywhere."""
        drawn = np.random.default_rng([self.seed, 1, step])
        chosen = [self._order(position) for position in range(step * size, (step + 1) * size)]
        return [_crop(i, self.length(i), snippets, drawn) for i in chosen]

    def features(self, video: int) -> NDArray[np.generic]:
        """A sequence's memory-mapped features, T x D."""
        return self.folder.features(self.videos[video].id)

    @property
    def width(self) -> int:
        """D."""
        return self.features(0).shape[1]

    def kept_dtype(self) -> torch.dtype:
        """What holds all features without loss: half precision where all were stored so."""
        stored = {self.features(i).dtype for i in range(len(self))}
        return torch.float16 if stored == {np.dtype(np.float16)} else torch.float32

    def length(self, video: int) -> int:
        """T of a sequence; its file is looked at once."""
        if video not in self._lengths:
            self._lengths[video] = len(self.features(video))
        return self._lengths[video]

    def _order(self, position: int) -> int:
        """Which sequence stands at a position of the endless row of shuffled epochs."""
        epoch, place = divmod(position, len(self))
        return int(np.random.default_rng([self.seed, 0, epoch]).permutation(len(self))[place])


class DeviceCachedDataset:
    """The same batches from one tensor on the device, where the features fit: a step copies none of them."""

    def __init__(self, data: TrainingDataset, device: torch.device) -> None:
        self.data, self.device = data, device
        lengths = [data.length(i) for i in range(len(data))]
        self.starts = np.cumsum([0, *lengths])
        self.features = torch.empty(self.starts[-1], data.width, dtype=data.kept_dtype(), device=device)
        for i, (start, length) in enumerate(zip(self.starts, lengths, strict=False)):
            self.features[start : start + length] = torch.from_numpy(np.array(data.features(i), np.float32))
        self.labels = data.labels.to(device)

    def batch(self, step: int, size: int, snippets: int, rows: Rows | None = None) -> Batch:
        """What `TrainingSet.batch` gives, to the bit."""
        crops = self.data.crops(step, size, snippets)
        own = crops if rows is None else crops[rows.taken]
        places = torch.tensor([(c.video, self.starts[c.video] + c.start, c.length) for c in own])
        video, start, length = places.to(self.device, non_blocking=True).unbind(1)
        along = torch.arange(max(crop.length for crop in crops), device=self.device)
        mask = along < length[:, None]
        features = self.features[start[:, None] + along * mask].float()
        return Batch(features.masked_fill(~mask[..., None], 0), mask, self.labels[video], rows)


def cache_on_device(data: TrainingDataset, device: torch.device) -> TrainingDataset | DeviceCachedDataset:
    """The data where they are quickest: on a GPU if they fill no more than half of what is free there."""
    if device.type != "cuda":
        return data
    size = sum(data.length(i) for i in range(len(data))) * data.width * data.kept_dtype().itemsize
    return DeviceCachedDataset(data, device) if size <= torch.cuda.mem_get_info(device)[0] / 2 else data


def prefetch(batch_of: Callable[[int], Batch], steps: Iterable[int]) -> Iterator[tuple[int, Batch]]:
    """Each step with its batch, the next of which is read while this one is worked on."""
    reader = ThreadPoolExecutor(1)
    coming: tuple[int, Future[Batch]] | None = None
    try:
        for step in steps:
            ready, coming = coming, (step, reader.submit(batch_of, step))
            if ready is not None:
                yield ready[0], ready[1].result()
        if coming is not None:
            yield coming[0], coming[1].result()
    finally:
        reader.shutdown(wait=False, cancel_futures=True)  # who was interrupted does not wait for a slow disk


def held_out_ids(folder: Dataset, share: float, seed: int) -> frozenset[str]:
    """A share of the training sequences, drawn from the seed, to look at instead of a validation subset."""
    ids = sorted(v.id for v in folder.subset("training"))
    count = round(share * len(ids))
    return frozenset(np.random.default_rng([seed, 2]).permutation(ids)[:count].tolist())


def multi_hot(videos: Sequence[Video], classes: Sequence[str]) -> Tensor:
    """Tags as N x C ones and zeros."""
    labels = torch.zeros(len(videos), len(classes))
    for row, video in zip(labels, videos, strict=True):
        row[[classes.index(label) for label in video.labels]] = 1
    return labels


def pad(features: Sequence[np.ndarray], longest: int | None = None) -> tuple[Tensor, Tensor]:
    """Arrays of T_i x D to B x T x D and their mask; T is the longest's where nothing else is asked for."""
    longest = longest or max(len(f) for f in features)
    padded = torch.empty(len(features), longest, features[0].shape[1])
    mask = torch.zeros(len(features), longest, dtype=torch.bool)
    for i, f in enumerate(features):
        padded[i, : len(f)].numpy()[:] = f  # one copy, from the file to its place
        padded[i, len(f) :] = 0
        mask[i, : len(f)] = True
    return padded, mask


def _crop(video: int, length: int, snippets: int, rng: np.random.Generator) -> Crop:
    start = int(rng.integers(0, max(1, length - snippets + 1)))
    return Crop(video, start, min(length, snippets))
