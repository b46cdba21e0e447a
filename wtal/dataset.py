"""From a folder of features and tags to batches of tensors. Axes: B videos, T snippets, D features, C classes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from wtal.errors import DataError
from wtal.formats.plain import Folder
from wtal.records import Video


@dataclass(frozen=True)
class Batch:
    """What one training step sees: features and tags, no segment."""

    features: Tensor  # B x T x D
    mask: Tensor  # B x T, True on real snippets
    labels: Tensor  # B x C, 1 for each tag


class TrainingSet:
    """The training sequences, stripped of their segments at the door.

    `held_out` names sequences to leave out. Raises DataError when nothing is left or nothing carries a label.
    """

    def __init__(self, folder: Folder, seed: int, held_out: frozenset[str] = frozenset()) -> None:
        videos = [v.without_segments() for v in folder.subset("training") if v.id not in held_out]
        if not any(v.labels for v in videos):
            raise DataError(f"{folder.path}: no training sequence carries a label; tag some of them")
        self.folder, self.seed = folder, seed
        self.videos = sorted(videos, key=lambda v: v.id)
        self.labels = multi_hot(self.videos, folder.classes)

    def __len__(self) -> int:
        return len(self.videos)

    def batch(self, step: int, size: int, snippets: int) -> Batch:
        """The batch of a step: it depends on the seed and the step alone, so that training can resume anywhere."""
        crop = np.random.default_rng([self.seed, 1, step])
        chosen = [self._order(position) for position in range(step * size, (step + 1) * size)]
        features = [_crop(self.folder.features(self.videos[i].id), snippets, crop) for i in chosen]
        return Batch(*pad(features), self.labels[chosen])

    def _order(self, position: int) -> int:
        """Which sequence stands at a position of the endless row of shuffled epochs."""
        epoch, place = divmod(position, len(self))
        return int(np.random.default_rng([self.seed, 0, epoch]).permutation(len(self))[place])


def held_out_ids(folder: Folder, share: float, seed: int) -> frozenset[str]:
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


def pad(features: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Arrays of T_i x D to B x T x D and their mask."""
    longest = max(len(f) for f in features)
    padded = torch.zeros(len(features), longest, features[0].shape[1])
    mask = torch.zeros(len(features), longest, dtype=torch.bool)
    for i, f in enumerate(features):
        padded[i, : len(f)] = torch.from_numpy(np.array(f, dtype=np.float32))
        mask[i, : len(f)] = True
    return padded, mask


def _crop(features: np.ndarray, snippets: int, rng: np.random.Generator) -> np.ndarray:
    start = rng.integers(0, max(1, len(features) - snippets + 1))
    return features[start : start + snippets]
