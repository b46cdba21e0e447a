"""The `i3d` backbone: 1024 features of 16 RGB frames and, optionally, 1024 of their optical flow."""

import hashlib
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wtal.core.hardware import choose_device
from wtal.video.backbones.base import Backbone, BackboneOptions, Sampling, choose_precision
from wtal.video.backbones.i3d_network import FEATURES, fused_trunk, pool_features
from wtal.video.backbones.i3d_weights import load_weights
from wtal.video.backbones.optical_flow import METHOD, optical_flow

PIXEL_SCALE = 127.5  # maps colors from 0 to 255 to the network's -1 to 1
# Snippets per batch. On a CPU, 2 is as fast as any larger number, and 8 needs 240 to 370 MB more memory.
BATCH_SIZES = {"cpu": 2, "cuda": 16}


class I3D(Backbone):
    """Inflated 3D ConvNet (Carreira and Zisserman, 2017).

    The relative error of features in bfloat16, measured against float32, is below 0.02.

    Args:
        rgb_weights: RGB weights by name, as `load_weights` returns them.
        weights_hash: Hash of all weights, for the provenance.
        flow_weights: Weights of the flow stream, if it is used.
        device: Where to run the network.
        precision: `auto`, `float32` or `bfloat16`.
    """

    name = "i3d"
    sampling = Sampling(fps=25, stride=16, window=16, side=256, crop=224)
    accepted_options = frozenset({"weights", "flow_weights"})

    def __init__(
        self,
        rgb_weights: dict[str, Tensor],
        weights_hash: str,
        flow_weights: dict[str, Tensor] | None = None,
        device: torch.device | str = "cpu",
        precision: str = "auto",
    ) -> None:
        self.device = torch.device(device)
        self.precision = choose_precision(self.device, precision)
        self.dtype = getattr(torch, self.precision)
        self.weights = weights_hash
        self.flow = METHOD if flow_weights else ""
        self.widths = (FEATURES, FEATURES) if flow_weights else (FEATURES,)
        self.batch_size = BATCH_SIZES[self.device.type]
        self._rgb_trunk = fused_trunk(rgb_weights, self.dtype, self.device, PIXEL_SCALE)
        self._flow_trunk = fused_trunk(flow_weights, self.dtype, self.device) if flow_weights else None

    @classmethod
    def from_options(cls, options: BackboneOptions) -> Self:
        """Load the weights. Without `weights` the ones that `wtal weights` downloaded are used.

        Raises:
            DataError: Weights are missing or not I3D's.
        """
        device = choose_device(options.device)
        rgb, rgb_hash = load_weights(options.weights)
        if options.flow_weights is None:
            return cls(rgb, rgb_hash, None, device, options.precision)
        flow, flow_hash = load_weights(options.flow_weights, "flow")
        digest = hashlib.sha256(f"{rgb_hash} {flow_hash}".encode()).hexdigest()
        return cls(rgb, f"sha256:{digest}", flow, device, options.precision)

    @torch.inference_mode()
    def __call__(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """RGB frames, N x 16 x H x W x 3, to features, N x 1024, or N x 2048 with flow."""
        # -127.5 to 127.5 is exact in bfloat16, -1 to 1 is not: the weights of the stem are divided instead.
        groups = [pool_features(self._rgb_trunk(self._to_device(frames).sub_(PIXEL_SCALE)))]
        if self._flow_trunk is not None:
            groups.append(pool_features(self._flow_trunk(self._to_device(optical_flow(frames)))))
        return torch.cat(groups, 1).cpu().numpy()

    def _to_device(self, values: NDArray) -> Tensor:
        """N x T x H x W x C to N x C x T x H x W on the device, still channels-last in memory."""
        x = torch.from_numpy(np.ascontiguousarray(values)).to(self.device)
        return x.to(self.dtype, copy=True).permute(0, 4, 1, 2, 3)
