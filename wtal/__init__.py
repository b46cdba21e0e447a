"""Weakly supervised temporal action localization: from tags to timelines."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wtal.predict import Localizer

__version__ = "0.1.0"
__all__ = ["Localizer", "__version__"]


def __getattr__(name: str) -> Any:
    """`wtal.Localizer`, loaded when asked for: importing wtal stays quick and needs no torch."""
    if name == "Localizer":
        from wtal.predict import Localizer

        return Localizer
    raise AttributeError(f"module 'wtal' has no attribute {name!r}")
