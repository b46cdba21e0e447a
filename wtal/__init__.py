"""Weakly supervised temporal action localization: train on video-level tags, predict segments."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wtal.inference.localizer import Localizer
    from wtal.video.extract_video import extract_features

__version__ = "0.2.0"

# Public name -> the module that defines it. Loaded on first use, so that `import wtal` stays fast.
_PUBLIC = {"Localizer": "wtal.inference.localizer", "extract_features": "wtal.video.extract_video"}

__all__ = ["Localizer", "__version__", "extract_features"]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'wtal' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
