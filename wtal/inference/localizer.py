"""The `Localizer`: from a trained model and a video or its features to segments."""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from wtal.core.clock import SnippetClock
from wtal.core.config import Config
from wtal.core.errors import CheckpointError, ConfigError, DataError
from wtal.core.methods import load_method
from wtal.core.structures import Segment, Video
from wtal.core.text import format_list
from wtal.data.dataset import Dataset
from wtal.data.features import require_finite
from wtal.data.provenance import Provenance
from wtal.data.video_files import is_video_name
from wtal.inference.proposals import SnippetScores, generate_proposals
from wtal.models.checkpoint import ModelMetadata, load_model, write_model
from wtal.models.layers import topk_mean
from wtal.models.local_branch import WINDOW, run_in_windows
from wtal.models.teacher import load_ensemble, load_global_branch
from wtal.video.backbones.base import Backbone, BackboneOptions
from wtal.video.backbones.registry import BACKBONES, open_backbone
from wtal.video.extract_video import extract_features

STRIDE_TOLERANCE = 1e-3  # relative difference of snippet lengths that are taken as equal
HINT_EXTRACT = "extract the features as for training"


@dataclass(frozen=True)
class Localization:
    """The result for one video."""

    segments: list[Segment]  # proposals in seconds, highest-scoring first
    scores: SnippetScores
    clock: SnippetClock

    @property
    def times(self) -> NDArray[np.float64]:
        """The T + 1 snippet boundaries in seconds."""
        return self.clock.seconds(np.arange(len(self.scores.attention) + 1))


class Localizer:
    """A trained model that turns a video, or its features, into segments.

    Args:
        model: A run folder that `wtal train` wrote, a model folder, or a network in memory.
        meta: The metadata of the network in memory.
        branch: `local`; or, to evaluate what inference leaves out, `ensemble` or `global`.
        backbone: Device, precision or weights of the backbone that video files are processed with. By default the
            backbone of the model's features with its usual weights.
        method: For a model of a method of your own, `package.module:function` to allow importing it. The code of a
            model folder is never imported otherwise.

    Raises:
        CheckpointError: The folder holds no model, or its method is not registered.
        ConfigError: The branch or the method is unknown.

    Example:
        >>> localizer = Localizer("runs/mine")
        >>> localizer("clip.mp4")
        [Segment(label='jump', start=1.92, end=4.32, score=0.87), ...]
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | nn.Module,
        meta: ModelMetadata | None = None,
        *,
        branch: str = "local",
        backbone: BackboneOptions | None = None,
        method: str | None = None,
    ) -> None:
        self.path: Path | None = None
        self.branch, self._backbone_options = branch, backbone or BackboneOptions("")
        if isinstance(model, nn.Module):
            if meta is None:
                raise TypeError("a network in memory needs its metadata")
            self.network, self.meta = model, meta
            return
        if method is not None:
            load_method(method)
        self.path = Path(model)
        if is_video_name(self.path.name) and not self.path.is_dir():
            raise CheckpointError(
                "this is a video, not a model folder",
                path=self.path,
                hint='open the model first, as in Localizer("runs/mine")("clip.mp4")',
                code="not-a-model",
            )
        self.network, self.meta = _load_branch(self.path, branch)

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike[str],
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        **options: Any,
    ) -> "Localizer":
        """Open a run folder, a model folder, or a repository on the Hugging Face Hub.

        Args:
            name: A path, or `user/model`. The hub is asked only for names of this form that are no local path.
            revision: Branch, tag or commit on the hub.
            token: Access token for the hub.
            cache_dir: Folder for files from the hub.
            local_files_only: Use files from the hub only if they are in the cache.
            **options: As for the constructor.

        Raises:
            CheckpointError: There is no such folder or repository, or it holds no model.
        """
        if not _is_hub_name(name):
            return cls(name, **options)
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

        try:
            folder = snapshot_download(
                str(name),
                revision=revision,
                token=token,
                cache_dir=cache_dir,
                local_files_only=local_files_only,
                allow_patterns=["*.json", "*.safetensors"],
            )
        except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError) as error:
            raise CheckpointError(
                "neither a local folder nor a repository on the hub or in its cache",
                path=name,
                hint="pass the folder given as --out to `wtal train`",
                code="file-not-found",
            ) from error
        return cls(folder, **options)

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write a model folder: config.json and the weights."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        write_model(Path(folder), self.meta, self.network)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self.meta.classes

    @property
    def clock(self) -> SnippetClock:
        """Converts between snippets and seconds of features as in training."""
        return self.meta.clock

    @cached_property
    def backbone(self) -> Backbone:
        """The backbone whose features the model was trained on, opened at its first use.

        Raises:
            CheckpointError: The backbone is not recorded, not available, or another one than requested.
            ConfigError: An option is missing or not supported.
        """
        return _open_backbone(self.meta, self._backbone_options, self.path)

    def resolve_backbone(self) -> tuple[BackboneOptions, Provenance]:
        """Check the backbone as `backbone` does, without keeping it open: its options and what it computes.

        Worker processes open it again with these options.
        """
        backbone = self.backbone
        del self.backbone
        name = self._backbone_options.name or backbone.name
        return replace(self._backbone_options, name=name), backbone.provenance

    def __repr__(self) -> str:
        where = str(self.path) if self.path else "network in memory"
        return (
            f"Localizer({where!r}, method={self.meta.config.method!r}, branch={self.branch!r}, "
            f"classes=[{format_list(list(self.classes), 5)}], stride={self.clock.stride:g} s)"
        )

    def __call__(self, video: str | os.PathLike[str] | NDArray[Any]) -> list[Segment]:
        """Localize the actions of one video.

        Args:
            video: A video file, or its T x D features.

        Returns:
            Proposals with label, start and end in seconds, and score, highest-scoring first.

        Raises:
            DataError: The video cannot be decoded, the features have another width, or numbers are not finite.
            CheckpointError: The backbone of the model's features is not known or not available.
        """
        return self.localize(video).segments

    def localize(
        self,
        video: str | os.PathLike[str] | NDArray[Any],
        clock: SnippetClock | None = None,
        on_progress: Callable[[float], object] | None = None,
    ) -> Localization:
        """Localize the actions of one video; like calling the localizer, but returns the snippet scores too.

        Args:
            video: A video file, or its T x D features.
            clock: The snippet times of the features; by default those of training.
            on_progress: Called with the second of the video file that has been reached.
        """
        if isinstance(video, np.ndarray):
            return self._localize(video, clock or self.clock, Path("features"))
        features, origin = extract_features(video, self.backbone, on_progress)
        return self._localize(features, origin.clock, Path(video))

    def localize_videos(self, dataset: Dataset, videos: Iterable[Video]) -> Iterator[tuple[Video, Localization]]:
        """Localize videos of a data set, one at a time.

        Raises:
            CheckpointError: The data set does not match the model.
            DataError: Features are missing or not finite.
        """
        self.require_compatible(dataset)
        return (
            (
                video,
                self._localize(dataset.features(video.id), dataset.clock_of(video.id), dataset.features_path(video.id)),
            )
            for video in videos
        )

    def score_videos(self, dataset: Dataset, videos: Iterable[Video]) -> Iterator[tuple[Video, SnippetScores]]:
        """Only the snippet scores of videos of a data set, one video at a time. Raises like `localize_videos`."""
        self.require_compatible(dataset)
        return ((video, self._score(dataset.features(video.id), dataset.features_path(video.id))) for video in videos)

    def require_compatible(self, dataset: Dataset) -> None:
        """Raise CheckpointError if the data set has another backbone, widths, stride or classes than the model."""
        meta, hint = self.meta, HINT_EXTRACT
        if meta.provenance and dataset.provenance and meta.provenance != dataset.provenance:
            code = "provenance-mismatch"
            message = f"features of {dataset.provenance}; the model was trained on {meta.provenance}"
        elif not dataset.modalities:
            code = "no-features"
            message = f"has no features; the model was trained on {sum(meta.modalities)} per snippet"
        elif meta.modalities != dataset.modalities:
            code = "width-mismatch"
            width, expected = (" + ".join(map(str, modalities)) for modalities in (dataset.modalities, meta.modalities))
            message = f"features of width {width}; the model was trained on {expected}"
        elif abs(meta.clock.stride - dataset.clock.stride) > STRIDE_TOLERANCE * meta.clock.stride:
            code = "stride-mismatch"
            stride, expected = f"{dataset.clock.stride:g} s", f"{meta.clock.stride:g} s"
            message = f"snippets of {stride}; the model was trained on {expected}"
        elif meta.classes != dataset.classes:
            code, hint = "classes-mismatch", "train on this data set, or correct dataset.json"
            different = sorted(set(meta.classes) ^ set(dataset.classes)) or ["their order"]
            message = f"other classes than the model (different: {format_list(different)})"
        else:
            return
        raise CheckpointError(message, path=dataset.path, hint=hint, code=code)

    def _localize(self, features: NDArray[Any], clock: SnippetClock, path: Path) -> Localization:
        scores = self._score(features, path)
        segments = generate_proposals(scores, self.classes, clock, self.meta.config.localize, features)
        return Localization(segments, scores, clock)

    def _score(self, features: NDArray[Any], path: Path) -> SnippetScores:
        width = sum(self.meta.modalities)
        if features.ndim != 2 or features.shape[1] != width or len(features) == 0:
            shape = " x ".join(map(str, features.shape))
            raise DataError(f"expected T x {width} features, not {shape}", path=path, hint=HINT_EXTRACT, code="shape")
        require_finite(features, path)
        scores = snippet_scores(self.network, features, self.meta.config)
        if not all(np.isfinite(part).all() for part in (scores.attention, scores.cas, scores.video)):
            raise DataError(
                "the features are too large for the model", path=path, hint=HINT_EXTRACT, code="non-finite-scores"
            )
        return scores


@torch.inference_mode()
def snippet_scores(network: nn.Module, features: NDArray[Any], config: Config, window: int = WINDOW) -> SnippetScores:
    """Run one branch over the features of a video.

    Args:
        network: A branch; called with B x T x D features and B x T mask.
        features: T x D.
        config: The settings of the model.
        window: Snippets per window.
    """
    outputs = [(branch.attention, branch.cas) for branch in run_in_windows(network, features, window)]
    attention, cas = (torch.cat(parts, 1) for parts in zip(*outputs, strict=True))
    softened, video = class_probabilities(attention, cas, torch.ones(attention.shape, dtype=torch.bool), config)
    return SnippetScores(attention[0].numpy(), softened[0].numpy(), video[0].numpy())


def class_probabilities(attention: Tensor, cas: Tensor, mask: Tensor, config: Config) -> tuple[Tensor, Tensor]:
    """Class probabilities of snippets and of videos.

    Args:
        attention: B x T.
        cas: Logits, B x T x (C + 1).
        mask: B x T.
        config: The settings of the model.

    Returns:
        softmax(cas / temperature), B x T x (C + 1), and the probabilities of the videos, B x C.
    """
    video = F.softmax(topk_mean(attention[..., None] * cas, mask, config.train.topk_ratio)[:, :-1], -1)
    return F.softmax(cas / config.localize.temperature, -1), video


def _load_branch(path: Path, branch: str) -> tuple[nn.Module, ModelMetadata]:
    loaders = {"local": load_model, "ensemble": load_ensemble, "global": load_global_branch}
    if branch not in loaders:
        raise ConfigError(f"unknown branch {branch!r}", hint=f"use {', '.join(loaders)}", code="unknown-name")
    return loaders[branch](path)


def _is_hub_name(name: str | os.PathLike[str]) -> bool:
    """Whether a name has the form `user/model` and cannot be meant as a local path."""
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name) or is_video_name(Path(name).name):
        return False
    return not Path(name).parent.exists()


def _open_backbone(meta: ModelMetadata, options: BackboneOptions, path: Path | None) -> Backbone:
    expected = meta.provenance
    if expected is None:
        raise CheckpointError(
            "the backbone of the features that the model was trained on is not recorded",
            path=path,
            hint="train on features of `wtal extract`, or use `wtal localize`",
            code="unknown-provenance",
        )
    if expected.backbone not in BACKBONES:
        raise CheckpointError(
            f"the model was trained on {expected}, which cannot be extracted here",
            path=path,
            hint="use `wtal localize` with such features",
            code="unknown-backbone",
        )
    if expected.flow and options.flow_weights is None:
        raise ConfigError(
            f"the model was trained on {expected}",
            path=path,
            hint="add I3D's flow weights with --flow-weights",
            code="missing-option",
        )
    is_other_name = options.name in BACKBONES and options.name != expected.backbone  # reported before weights are read
    backbone = None if is_other_name else open_backbone(replace(options, name=options.name or expected.backbone))
    if backbone is None or backbone.provenance != expected:
        raise CheckpointError(
            f"the model was trained on {expected}, not on {backbone.provenance if backbone else options.name}",
            path=path,
            hint="leave --backbone and --weights out, or train a model on these features",
            code="provenance-mismatch",
        )
    return backbone
