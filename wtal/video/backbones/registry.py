"""The backbones by name.

To add a backbone, subclass `Backbone` in a file of its own and add one line to `BACKBONES`. From Python, without
changing the package: `BACKBONES["mine"] = MyBackbone`.
"""

from pathlib import Path
from pkgutil import resolve_name

from wtal.core.errors import ConfigError
from wtal.core.hardware import require_device
from wtal.video.backbones.base import PRECISIONS, Backbone, BackboneOptions
from wtal.video.backbones.cache import cached_weights

TRANSFORMERS = "wtal.video.backbones.transformers:TransformersBackbone"

# Name -> class, or "module:class" for a class that is imported when it is used: most of them import PyTorch.
BACKBONES: dict[str, type[Backbone] | str] = {
    "tiny": "wtal.video.backbones.handcrafted:Tiny",
    "i3d": "wtal.video.backbones.i3d:I3D",
    "videomae": TRANSFORMERS,
    "vjepa2": TRANSFORMERS,
    "vivit": TRANSFORMERS,
    "timesformer": TRANSFORMERS,
}


def find_backbone(name: str) -> type[Backbone]:
    """The class of a backbone by its name in `BACKBONES`, or by the folder of a transformers model.

    Raises:
        ConfigError: There is no such backbone.
    """
    backbone = BACKBONES.get(name) or (TRANSFORMERS if name and Path(name).is_dir() else None)
    if backbone is None:
        raise ConfigError(
            f"unknown backbone {name!r}",
            hint=f"use {', '.join(BACKBONES)}, or the folder of a transformers model",
            code="unknown-name",
        )
    return resolve_name(backbone) if isinstance(backbone, str) else backbone


def recommended_backbone() -> str:
    """`i3d` if its weights have been downloaded, else `tiny`, which needs none."""
    return "i3d" if cached_weights().is_file() else "tiny"


def open_backbone(backbone: str | Backbone | BackboneOptions) -> Backbone:
    """Load a backbone, ready to compute features.

    Args:
        backbone: A name in `BACKBONES`, the folder of a transformers model, or options with either as the name. An
            open backbone is returned unchanged.

    Raises:
        ConfigError: The backbone, device or precision is unknown, or the backbone does not support an option.
        DataError: The weights are missing or unsuitable.
    """
    if isinstance(backbone, Backbone):
        return backbone
    options = BackboneOptions(backbone) if isinstance(backbone, str) else backbone
    backbone_class = find_backbone(options.name)
    _require_supported(options, backbone_class)
    return backbone_class.from_options(options)


def _require_supported(options: BackboneOptions, backbone_class: type[Backbone]) -> None:
    require_device(options.device)
    if options.precision not in ("auto", *PRECISIONS):
        raise ConfigError(
            f"unknown precision {options.precision!r}", hint=f"use auto, {', '.join(PRECISIONS)}", code="unknown-name"
        )
    if backbone_class.single_core and options.device == "cuda":
        raise ConfigError(
            f"backbone {options.name} runs on the CPU only", hint="remove --device", code="unsupported-option"
        )
    for field in ("weights", "flow_weights"):
        if getattr(options, field) and field not in backbone_class.accepted_options:
            flag = f"--{field.replace('_', '-')}"
            raise ConfigError(
                f"backbone {options.name} does not support {flag}", hint=f"remove {flag}", code="unsupported-option"
            )
