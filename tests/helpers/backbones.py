"""Backbones that interrupt an extraction at a known moment. Worker processes import them from here."""

import os
import signal
import time
from pathlib import Path
from typing import Self

import numpy as np

from wtal.video import local_executor
from wtal.video.backbones.base import BackboneOptions
from wtal.video.backbones.handcrafted import Tiny


class CrashOnWhite(Tiny):
    """Kills its process when the first frame is white."""

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        if frames[0, 0].min() > 200:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(frames)


class CrashOnce(Tiny):
    """Kills its process unless the file `weights` exists, which it creates before."""

    accepted_options = frozenset({"weights"})

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    @classmethod
    def from_options(cls, options: BackboneOptions) -> Self:
        assert options.weights
        return cls(options.weights)

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        if not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(frames)


class BlockAfterFirst(Tiny):
    """Computes one batch. The next one waits until the parent process has stopped the extraction."""

    batches = 0

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        self.batches += 1
        while self.batches > 1 and not local_executor._worker.stop.value:
            time.sleep(0.01)
        return super().__call__(frames)


class BlockOnWhite(Tiny):
    """Waits when the first frame is white, until the parent process has stopped the extraction."""

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        while frames[0, 0].min() > 200 and not local_executor._worker.stop.value:
            time.sleep(0.01)
        return super().__call__(frames)
