"""From a trained model and features to snippet scores and a timeline."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from huggingface_hub import ModelHubMixin, snapshot_download
from numpy.typing import NDArray

from wtal import checkpoint
from wtal.dataset import pad
from wtal.errors import CheckpointError, DataError
from wtal.features import require_finite
from wtal.formats.plain import Folder
from wtal.localize import SnippetScores, localize
from wtal.losses import topk_mean
from wtal.model import DFE, Chassis
from wtal.model.parts import Branch
from wtal.records import Proposal, Video

Network = Callable[[torch.Tensor, torch.Tensor], Branch]


class Localizer(ModelHubMixin):
    """A trained local branch with all it needs to turn features into a timeline.

    `Localizer.from_pretrained(folder)` opens a run or model folder, or a repository on the hub;
    `save_pretrained(folder)` writes one. Raises CheckpointError when the folder is no model.
    """

    def __init__(self, network: Chassis, meta: checkpoint.Meta) -> None:
        self.network, self.meta = network, meta

    def __call__(self, features: NDArray[Any]) -> list[Proposal]:
        """T x D features of one video -> proposals (label, start, end in seconds, score), the surest first.

        Raises DataError when the width is not the model's or a number is not finite.
        """
        width = sum(self.meta.modalities)
        if features.ndim != 2 or features.shape[1] != width or len(features) == 0:
            found = " x ".join(map(str, features.shape))
            raise DataError(f"features: expected T x {width}, found {found}; extract them as for training")
        require_finite(features, Path("features"))
        scores = snippet_scores(self.network, features, self.meta.config.train.topk_ratio)
        return localize(scores, self.meta.classes, self.meta.clock, self.meta.config.localize)

    def _save_pretrained(self, save_directory: Path) -> None:
        checkpoint.write(save_directory, self.meta, self.network)

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None,
        cache_dir: str | Path | None,
        force_download: bool,
        local_files_only: bool,
        token: str | bool | None,
        **_: Any,
    ) -> "Localizer":
        folder = Path(model_id)
        if not folder.is_dir():
            folder = Path(
                snapshot_download(
                    model_id,
                    revision=revision,
                    cache_dir=cache_dir,
                    force_download=force_download,
                    local_files_only=local_files_only,
                    token=token,
                )
            )
        return cls(*checkpoint.load_local(folder))


@torch.inference_mode()
def snippet_scores(network: Network, features: NDArray[Any], ratio: int) -> SnippetScores:
    """One video's T x D features through one branch. `ratio` is r of the video logits."""
    x, mask = pad([features])
    branch = network(x, mask)
    video = F.softmax(topk_mean(branch.suppressed, mask, ratio)[0, :-1], -1)
    return SnippetScores(branch.attention[0].numpy(), F.softmax(branch.cas[0], -1).numpy(), video.numpy())


def load_network(run: Path, branch: str) -> tuple[Network, checkpoint.Meta]:
    """The `local` branch or, to measure what inference leaves out, the `global` one."""
    if branch == "local":
        return checkpoint.load_local(run)
    model, meta = checkpoint.load_both(run)
    return global_branch(model), meta


def global_branch(model: DFE) -> Network:
    """The branch that inference leaves out."""
    return lambda x, mask: model.both_branches(x, mask)[1]


def require_fit(meta: checkpoint.Meta, folder: Folder) -> None:
    """Raise CheckpointError, naming both sides, where a model and a data set differ in widths or classes."""
    if meta.modalities != folder.modalities:
        raise CheckpointError(
            f"{folder.path}: features are {_sum(folder.modalities)} wide, the model was trained on "
            f"{_sum(meta.modalities)}; extract them as for training"
        )
    if meta.classes != folder.classes:
        odd = sorted(set(meta.classes) ^ set(folder.classes)) or ["the same ones in another order"]
        raise CheckpointError(
            f"{folder.path}: its classes are not the model's (differing: {', '.join(odd[:5])}); "
            f"train on this data set, or mend `classes` in dataset.json"
        )


def score_videos(
    network: Network, folder: Folder, videos: Iterable[Video], ratio: int
) -> Iterator[tuple[Video, SnippetScores]]:
    """The snippet scores of each video, one at a time. Raises DataError where features are not finite."""
    for video in videos:
        features = folder.features(video.id)
        require_finite(features, folder.features_path(video.id))
        yield video, snippet_scores(network, features, ratio)


def _sum(widths: Sequence[int]) -> str:
    return " + ".join(map(str, widths))
