"""What a backbone is: how it samples a video, and the features that it computes for each snippet."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from wtal.data.provenance import Provenance

if TYPE_CHECKING:
    import torch

PRECISIONS = ("float32", "bfloat16")  # names of PyTorch dtypes


@dataclass(frozen=True)
class Sampling:
    """How a video is cut into snippets.

    Frames are sampled `fps` times a second by presentation time, whatever the frame rate of the file. Snippet i covers
    the sampled frames [i * stride, (i + 1) * stride). The backbone sees a window of `window` frames centered on the
    snippet; beyond the ends of the video the first and the last frame are repeated.

    Args:
        fps: Sampled frames per second.
        stride: Frames from one snippet to the next.
        window: Frames that the backbone sees of each snippet.
        side: Length of the shorter side of a frame after scaling, in pixels.
        crop: Side of the center square that is cut out, in pixels; None keeps the whole frame.
    """

    fps: float
    stride: int
    window: int
    side: int
    crop: int | None

    @property
    def seconds(self) -> float:
        """Seconds from one snippet to the next."""
        return self.stride / self.fps


@dataclass(frozen=True)
class BackboneOptions:
    """Which backbone to open, with which weights, on which device.

    Args:
        name: A name in `BACKBONES`, or the folder of a transformers model.
        weights: File or folder of the weights; None uses the downloaded ones.
        flow_weights: File of I3D's optical flow weights; None uses RGB alone.
        device: `auto`, `cpu` or `cuda`.
        precision: `auto`, `float32` or `bfloat16`.
    """

    name: str = "tiny"
    weights: Path | None = None
    flow_weights: Path | None = None
    device: str = "auto"
    precision: str = "auto"


class Backbone(ABC):
    """Computes features from frames. Subclass it and register the class in `BACKBONES` to add a backbone.

    A subclass defines `name`, `weights`, `sampling`, `widths` and `__call__`; the other attributes have defaults. The
    features of a snippet must depend on the frames of that snippet alone. Worker processes open the backbone again, so
    the class must be importable (defined at the top level of a module).

    Attributes:
        name: The name in `BACKBONES`; part of the provenance of the features.
        weights: Identifies the weights, such as `sha256:...`, or the version of a formula. It must change whenever the
            features would change, so that old and new features are not mixed.
        sampling: How a video is cut into snippets.
        widths: Number of features in each group, such as (1024, 1024) for RGB and flow; the sum is D.
        batch_size: Number of snippets to compute at a time.
        precision: `float32` or `bfloat16`, whichever the features are computed in.
        flow: How optical flow is computed; empty without it.
        accepted_options: The fields of `BackboneOptions` besides name, device and precision that `from_options` uses.
        single_core: Whether it runs on a single CPU core. Extraction then starts one process per core.
    """

    name: str
    weights: str
    sampling: Sampling
    widths: tuple[int, ...]
    batch_size: int = 8
    precision: str = "float32"
    flow: str = ""

    accepted_options: ClassVar[frozenset[str]] = frozenset()
    single_core: ClassVar[bool] = False

    @classmethod
    def from_options(cls, options: BackboneOptions) -> Self:
        """Open the backbone. The default calls the class without arguments."""
        return cls()

    @abstractmethod
    def __call__(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute the features of some snippets.

        Args:
            frames: RGB frames, N x window x H x W x 3.

        Returns:
            Features, N x D.
        """

    @property
    def provenance(self) -> Provenance:
        """Where the features come from: backbone, weights and sampling."""
        s = self.sampling
        return Provenance(self.name, self.weights, s.fps, s.stride, s.window, s.side, s.crop, self.flow)


def choose_precision(device: "torch.device", precision: str = "auto") -> str:
    """`auto` is bfloat16 where the device multiplies it natively (there it is faster), otherwise float32."""
    import torch

    if precision != "auto":
        return precision
    if device.type == "cuda":
        is_native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:  # oneDNN does the bfloat16 convolutions; without it they are slow, on ARM they are unmeasured
        cpu = torch.cpu.get_capabilities()
        is_native = torch.backends.mkldnn.is_available() and bool(cpu.get("avx512_bf16") or cpu.get("amx_bf16"))
    return "bfloat16" if is_native else "float32"
