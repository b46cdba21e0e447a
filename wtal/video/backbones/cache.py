"""Where downloaded weights are kept. It does not import PyTorch."""

import os
from pathlib import Path

from platformdirs import user_cache_dir


def cached_weights() -> Path:
    """The path of the downloaded weights, in the user's cache folder or the folder in the variable WTAL_CACHE."""
    return Path(os.environ.get("WTAL_CACHE") or user_cache_dir("wtal")) / "i3d-rgb-kinetics-400.safetensors"
