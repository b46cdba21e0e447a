"""The local branch: the network that training produces, and the only one that runs at inference."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wtal.core.errors import ConfigError
from wtal.data.batching import pad
from wtal.models.layers import (
    BranchOutput,
    DilatedBlock,
    Dropout,
    LocalEnhancement,
    Normalise,
    Smoothing,
    WindowedAttention,
)

if TYPE_CHECKING:  # pydantic is not needed to run a model
    from wtal.core.config import Config

WINDOW = 4096  # snippets that go through a network at once


class LocalBranch(nn.Module):
    """From features to attention and CAS: embed each modality, enhance it along time, fuse, score.

    Args:
        modalities: Width of each modality; they sum to D.
        classes: Number of classes C, without background.
        width: Hidden width H.
        dropout: Dropout probability.
        build_enhancement: Builds the local enhancement of one modality.
    """

    def __init__(
        self,
        modalities: Sequence[int],
        classes: int,
        width: int,
        dropout: float,
        build_enhancement: Callable[[], LocalEnhancement],
    ) -> None:
        super().__init__()
        self.modalities = tuple(modalities)
        self.normalise = Normalise(sum(modalities))
        self.embed = nn.ModuleList(nn.Linear(dim, width) for dim in modalities)
        self.dropout = Dropout(dropout)
        self.local = nn.ModuleList(build_enhancement() for _ in modalities)
        self.fuse = nn.Linear(width * len(modalities), width) if len(modalities) > 1 else nn.Identity()
        self.attend = nn.ModuleList(nn.Linear(width, 1) for _ in modalities)
        self.classify = nn.Linear(width, classes + 1)

    @property
    def receptive_field(self) -> int:
        """Snippets on each side that the output of a snippet depends on."""
        enhance = self.local[0]  # those of the other modalities are built alike
        assert isinstance(enhance, LocalEnhancement)
        return enhance.receptive_field

    def forward(self, x: Tensor, mask: Tensor) -> BranchOutput:
        """Score the snippets of a batch.

        The classifier reads temporally mixed features; attention reads unmixed ones, which keeps boundaries sharp.

        Args:
            x: Features, B x T x D.
            mask: True on real snippets, B x T.
        """
        x = self.normalise(x, mask)
        embeddings = [
            self.dropout(embed(modality).relu())
            for embed, modality in zip(self.embed, x.split(self.modalities, -1), strict=True)
        ]
        enhanced = [enhance(modality, mask) for enhance, modality in zip(self.local, embeddings, strict=True)]
        features = self.fuse(torch.cat(enhanced, -1))
        attentions = [attend(part)[..., 0].sigmoid() for attend, part in zip(self.attend, embeddings, strict=True)]
        return BranchOutput(torch.stack(embeddings), features, torch.stack(attentions), self.classify(features))


def build_model(config: "Config", modalities: Sequence[int], classes: int) -> nn.Module:
    """Build the network of a method: the local branch, or the user's own network.

    Raises:
        ConfigError: The method is not registered.
    """
    build = config.method_spec.build
    if build is None:
        return _build_local_branch(config, modalities, classes)
    try:
        inspect.signature(build).bind(config, modalities, classes)
    except (TypeError, ValueError) as error:  # ValueError: a function without a signature
        raise ConfigError(
            f"method {config.method!r} cannot be called with (config, modalities, num_classes)",
            hint="define it as build(config, modalities, num_classes)",
            code="invalid-method",
        ) from error
    model = build(config, modalities, classes)
    if not isinstance(model, nn.Module):
        raise ConfigError(
            f"method {config.method!r} returned {type(model).__name__}",
            hint="return a torch.nn.Module",
            code="invalid-method",
        )
    return model


def _build_local_branch(config: "Config", modalities: Sequence[int], classes: int) -> LocalBranch:
    settings = config.model

    def build_enhancement() -> LocalEnhancement:
        if not config.method_spec.local:
            return LocalEnhancement([])
        blocks: list[nn.Module] = [Smoothing(settings.width, settings.smoothing)]
        if settings.local == "attention":
            blocks.append(WindowedAttention(settings.width, settings.window, settings.dropout))
        else:
            blocks += [DilatedBlock(settings.width, d, settings.dropout) for d in settings.dilations]
        return LocalEnhancement(blocks)

    return LocalBranch(modalities, classes, settings.width, settings.dropout, build_enhancement)


@torch.inference_mode()
def run_in_windows(
    network: nn.Module, features: NDArray[Any], window: int = WINDOW, device: torch.device | None = None
) -> Iterator[BranchOutput]:
    """Run a network over the features of a video, one window of snippets after the other.

    Windows overlap by the receptive field of the network. Together the results equal that of a single pass, but only a
    window of features is in memory. A network of your own without a `receptive_field` gets the whole video.

    Args:
        network: Called with B x T x D features and B x T mask.
        features: T x D.
        window: Snippets per window.
        device: The device of the network; None: CPU.

    Yields:
        The output for each window, without the overlap.
    """
    field = getattr(network, "receptive_field", None)
    if not isinstance(field, int):
        window, field = len(features), 0
    for start in range(0, len(features), window):
        first = max(0, start - field)
        x, mask = (part.to(device) for part in pad([features[first : start + window + field]]))
        yield network(x, mask).snippets(slice(start - first, start - first + window))
