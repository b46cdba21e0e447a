"""The backbones by name, opened once in each process that extracts."""

from dataclasses import dataclass
from pathlib import Path

from wtal.core.errors import ConfigError
from wtal.core.hardware import choose_device, require_device
from wtal.data.provenance import Provenance
from wtal.video.backbones.base import PRECISIONS, Backbone

BUILT_IN = ("tiny", "i3d")
NAMES = "tiny, i3d, or the folder of a VideoMAE, V-JEPA 2, ViViT or TimeSformer model"


@dataclass(frozen=True)
class BackboneOptions:
    """Which backbone, with which weights, where. `name` is tiny, i3d or a folder of a transformers model."""

    name: str = "tiny"
    weights: Path | None = None  # None: the ones in the user's cache
    flow_weights: Path | None = None  # None: RGB alone
    device: str = "auto"
    precision: str = "auto"


def open_backbone(choice: BackboneOptions, threads: int | None = None) -> Backbone:
    """Load the weights and make it ready to run on so many threads (None: as many as PyTorch likes).

    Raises ConfigError or DataError saying what is missing.
    """
    _require_options(choice)
    if choice.name == "tiny":
        from wtal.video.backbones.handcrafted import Tiny

        return Tiny()
    import torch  # here: tiny does without, and starts at once

    if threads:
        torch.set_num_threads(threads)
    device = choose_device(choice.device)
    if choice.name == "i3d":
        from wtal.video.backbones.i3d import open_i3d

        return open_i3d(choice.weights, choice.flow_weights, device, choice.precision)
    from wtal.video.backbones.transformers import open_transformer

    return open_transformer(Path(choice.name), device, choice.precision)


def is_single_threaded(choice: BackboneOptions) -> bool:
    """Whether the backbone uses a single core, so that a process for each core is best."""
    return choice.name == "tiny"


def provenance_of(backbone: Backbone) -> Provenance:
    """What its features come from."""
    s = backbone.sampling
    return Provenance(backbone.name, backbone.weights, s.fps, s.stride, s.window, s.side, s.crop, backbone.flow)


def _require_options(choice: BackboneOptions) -> None:
    if choice.name not in BUILT_IN and not Path(choice.name).is_dir():
        raise ConfigError(f"there is no backbone {choice.name!r}; use {NAMES}")
    require_device(choice.device)
    if choice.precision not in ("auto", *PRECISIONS):
        raise ConfigError(f"there is no precision {choice.precision!r}; use auto, {', '.join(PRECISIONS)}")
    if choice.name == "tiny" and choice.device == "cuda":
        raise ConfigError("backbone tiny runs on the CPU alone; leave --device out")
    if choice.name != "i3d" and (choice.weights or choice.flow_weights):
        raise ConfigError(f"backbone {choice.name} takes no weights; leave --weights and --flow-weights out")
