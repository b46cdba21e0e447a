"""Weakly supervised temporal action localization: train on video-level tags, predict segments.

Everything in `dir(wtal)` is public. It is loaded on first use, so that `import wtal` stays fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wtal.core.clock import SnippetClock
    from wtal.core.config import Config, parse_config, read_config
    from wtal.core.errors import CheckpointError, ConfigError, DataError, WtalError
    from wtal.core.structures import Segment, Video
    from wtal.data.dataset import Dataset, load_dataset
    from wtal.evaluation.protocols import EvaluationOptions
    from wtal.evaluation.results import EvaluationResult
    from wtal.experiments.compare import compare
    from wtal.experiments.pipeline import evaluate, localize, train
    from wtal.inference.localizer import Localizer
    from wtal.inference.predict import predict
    from wtal.video.extract_video import extract_features

__version__ = "0.2.0"

# Public name -> the module that defines it.
_PUBLIC = {
    "CheckpointError": "wtal.core.errors",
    "Config": "wtal.core.config",
    "ConfigError": "wtal.core.errors",
    "DataError": "wtal.core.errors",
    "Dataset": "wtal.data.dataset",
    "EvaluationOptions": "wtal.evaluation.protocols",
    "EvaluationResult": "wtal.evaluation.results",
    "Localizer": "wtal.inference.localizer",
    "Segment": "wtal.core.structures",
    "SnippetClock": "wtal.core.clock",
    "Video": "wtal.core.structures",
    "WtalError": "wtal.core.errors",
    "compare": "wtal.experiments.compare",
    "evaluate": "wtal.experiments.pipeline",
    "extract_features": "wtal.video.extract_video",
    "load_dataset": "wtal.data.dataset",
    "localize": "wtal.experiments.pipeline",
    "parse_config": "wtal.core.config",
    "predict": "wtal.inference.predict",
    "read_config": "wtal.core.config",
    "train": "wtal.experiments.pipeline",
}

__all__ = [
    "CheckpointError",
    "Config",
    "ConfigError",
    "DataError",
    "Dataset",
    "EvaluationOptions",
    "EvaluationResult",
    "Localizer",
    "Segment",
    "SnippetClock",
    "Video",
    "WtalError",
    "__version__",
    "compare",
    "evaluate",
    "extract_features",
    "load_dataset",
    "localize",
    "parse_config",
    "predict",
    "read_config",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'wtal' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
