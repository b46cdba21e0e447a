"""From a trained model and features to snippet scores and a timeline."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from huggingface_hub import ModelHubMixin, snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError
from numpy.typing import NDArray

from wtal.core.config import Config
from wtal.core.errors import CheckpointError, ConfigError, DataError
from wtal.core.structures import Segment, Video
from wtal.data.batching import pad
from wtal.data.dataset import Dataset
from wtal.data.features import require_finite
from wtal.inference.proposals import SnippetScores, generate_proposals
from wtal.models import checkpoint
from wtal.models.dfe import GlobalBranch
from wtal.models.layers import topk_mean

Network = torch.nn.Module
WINDOW = 4096  # snippets that go through the network at once


class Localizer(ModelHubMixin):
    """A trained local branch with all it needs to turn features into a timeline.

    `Localizer.from_pretrained(folder)` opens a run or model folder, or a repository on the hub;
    `save_pretrained(folder)` writes one. Raises CheckpointError when the folder is no model.
    """

    def __init__(self, network: torch.nn.Module, meta: checkpoint.ModelMetadata) -> None:
        self.network, self.meta = network, meta

    def __call__(self, features: NDArray[Any]) -> list[Segment]:
        """T x D features of one video -> proposals (label, start, end in seconds, score), the surest first.

        Raises DataError when the width is not the model's or a number is not finite.
        """
        width = sum(self.meta.modalities)
        if features.ndim != 2 or features.shape[1] != width or len(features) == 0:
            found = " x ".join(map(str, features.shape))
            raise DataError(f"features: expected T x {width}, found {found}; extract them as for training")
        require_finite(features, Path("features"))
        scores = snippet_scores(self.network, features, self.meta.config)
        _require_finite_scores(scores, Path("features"))
        return generate_proposals(scores, self.meta.classes, self.meta.clock, self.meta.config.localize)

    @classmethod
    def from_pretrained(cls, place: str | Path, **options: Any) -> "Localizer":  # type: ignore[override]
        """Open a run or model folder, or a repository on the hub. Raises CheckpointError when it is none."""
        try:
            return super().from_pretrained(checkpoint.latest_checkpoint(Path(place)) or place, **options)
        except (HFValidationError, RepositoryNotFoundError, LocalEntryNotFoundError) as error:
            raise CheckpointError(
                f"{place}: not a run or model folder, nor a repository that the hub or its cache knows; "
                f"name the --out of train"
            ) from error

    def _save_pretrained(self, save_directory: Path) -> None:
        checkpoint.write_model(save_directory, self.meta, self.network)

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
def snippet_scores(network: Network, features: NDArray[Any], config: Config, window: int = WINDOW) -> SnippetScores:
    """One video's T x D features through one branch; CAS as softened probabilities.

    In windows that overlap as far as local enhancement reaches: the scores of one piece, with only a window of
    features in memory.
    """
    centre = _centre(features, window) if config.model.normalise == "video" else None
    count = len(features)
    around: int = network.receptive_field  # type: ignore[assignment]
    attention, cas = torch.empty(1, count), []
    for start in range(0, count, window):
        first = max(0, start - around)
        branch = network(*pad([features[first : start + window + around]]), centre)
        inside = slice(start - first, start - first + window)
        attention[:, start : start + window] = branch.attention[:, inside]
        cas.append(branch.cas[:, inside])
    softened, video = probabilities(attention, torch.cat(cas, 1), torch.ones(1, count, dtype=torch.bool), config)
    return SnippetScores(attention[0].numpy(), softened[0].numpy(), video[0].numpy())


def probabilities(
    attention: torch.Tensor, cas: torch.Tensor, mask: torch.Tensor, config: Config
) -> tuple[torch.Tensor, torch.Tensor]:
    """B x T, B x T x (C + 1) logits, B x T -> CAS as softened probabilities, and each video's classes, B x C."""
    video = F.softmax(topk_mean(attention[..., None] * cas, mask, config.train.topk_ratio)[:, :-1], -1)
    return F.softmax(cas / config.localize.temperature, -1), video


def _centre(features: NDArray[Any], window: int) -> torch.Tensor:
    """The video's mean, a window at a time. T x D -> D."""
    total = sum(np.sum(features[i : i + window], 0, dtype=np.float64) for i in range(0, len(features), window))
    return torch.as_tensor(total / len(features), dtype=torch.float32)


def load_network(run: Path, branch: str) -> tuple[Network, checkpoint.ModelMetadata]:
    """The `local` branch or, to measure what inference leaves out, the `global` one. Raises ConfigError."""
    if branch == "local":
        return checkpoint.load_local(run)
    if branch != "global":
        raise ConfigError(f"there is no branch {branch!r}; use local, or global to measure it")
    model, meta = checkpoint.load_both(run)
    return GlobalBranch(model), meta


def require_compatible(meta: checkpoint.ModelMetadata, folder: Dataset) -> None:
    """Raise CheckpointError, naming both, where model and data set differ in backbone, widths, stride, classes."""
    if meta.provenance and folder.provenance and meta.provenance != folder.provenance:
        raise CheckpointError(
            f"{folder.path}: features of {folder.provenance}; the model was trained on {meta.provenance}; "
            f"extract them as for training"
        )
    if meta.modalities != folder.modalities:
        raise CheckpointError(
            f"{folder.path}: features are {_sum(folder.modalities)} wide, the model was trained on "
            f"{_sum(meta.modalities)}; extract them as for training"
        )
    ours, theirs = meta.clock.stride, folder.clock.stride
    if abs(ours - theirs) > 1e-3 * ours:
        raise CheckpointError(
            f"{folder.path}: a snippet every {theirs:g} s, the model was trained on one every {ours:g} s; "
            f"extract the features as for training, or mend snippet_seconds in dataset.json"
        )
    if meta.classes != folder.classes:
        odd = sorted(set(meta.classes) ^ set(folder.classes)) or ["the same ones in another order"]
        raise CheckpointError(
            f"{folder.path}: its classes are not the model's (differing: {', '.join(odd[:5])}); "
            f"train on this data set, or mend `classes` in dataset.json"
        )


def score_videos(
    network: Network, folder: Dataset, videos: Iterable[Video], config: Config
) -> Iterator[tuple[Video, SnippetScores]]:
    """The snippet scores of each video, one at a time. Raises DataError where features or scores are not finite."""
    for video in videos:
        features, path = folder.features(video.id), folder.features_path(video.id)
        require_finite(features, path)
        scores = snippet_scores(network, features, config)
        _require_finite_scores(scores, path)
        yield video, scores


def _require_finite_scores(scores: SnippetScores, path: Path) -> None:
    if not all(np.isfinite(part).all() for part in (scores.attention, scores.cas, scores.video)):
        raise DataError(f"{path}: the numbers are too large for the model; extract them as for training")


def _sum(widths: Sequence[int]) -> str:
    return " + ".join(map(str, widths))
