"""What a backbone is: how it wants a video cut into snippets, and the numbers that it makes of each."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

PRECISIONS = ("float32", "bfloat16")  # as PyTorch names them


@dataclass(frozen=True)
class Sampling:
    """How a video is cut: pictures are taken `fps` times a second by time, whatever rate the file has.

    Snippet i covers pictures [i * stride, (i + 1) * stride); the backbone sees `window` pictures centred on it,
    the first and the last picture repeated beyond the ends. Each is scaled so that its shorter side has `side`
    pixels; `crop` is the side of the centre square that is seen, None for the whole picture.
    """

    fps: float
    stride: int
    window: int
    side: int
    crop: int | None

    @property
    def seconds(self) -> float:
        """From one snippet to the next."""
        return self.stride / self.fps


class Backbone(Protocol):
    """Pictures in, features out. Each snippet's features depend on its own pictures alone."""

    @property
    def name(self) -> str:
        """As provenance names it: tiny, i3d, videomae, ..."""
        ...

    @property
    def weights(self) -> str:
        """sha256:... of what was loaded; without weights, which formula it is."""
        ...

    @property
    def precision(self) -> str:
        """What it computes in: float32 or bfloat16."""
        ...

    @property
    def flow(self) -> str:
        """How optical flow is computed, empty without it."""
        ...

    @property
    def sampling(self) -> Sampling:
        """How it wants a video cut."""
        ...

    @property
    def widths(self) -> tuple[int, ...]:
        """Of the feature groups (RGB and flow: 1024, 1024); they sum to D."""
        ...

    @property
    def batch(self) -> int:
        """Snippets at a time that suit it."""
        ...

    def __call__(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """N x window x H x W x 3 RGB pictures -> N x D."""
        ...
