"""The `i3d` backbone: 1024 numbers a snippet of 16 pictures, and 1024 of its optical flow where asked."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wtal.core.errors import DataError
from wtal.video.backbones.base import Sampling
from wtal.video.backbones.i3d_network import LOGITS, WIDTH, fast, logits, pooled
from wtal.video.backbones.i3d_weights import load
from wtal.video.backbones.optical_flow import FLOW, optical_flow
from wtal.video.reader import read_snippets

PIXEL_SCALE = 127.5  # half of a colour's range: the network wants 0 to 255 as -1 to 1
# Snippets at a time. On a CPU two are as fast as any number, and eight take 240 to 370 MB more.
BATCH = {"cpu": 2, "cuda": 16}
WINDOW, STEP = 32, 8  # pictures seen at once to name what a whole video shows; from one window to the next


class I3D:
    """Each snippet by itself; bfloat16 features are within 0.02 of the float32 ones, relative to their length."""

    name = "i3d"
    sampling = Sampling(fps=25, stride=16, window=16, side=256, crop=224)

    def __init__(
        self,
        rgb_weights: dict[str, Tensor],
        weights_hash: str,
        flow_weights: dict[str, Tensor] | None = None,
        device: torch.device | str = "cpu",
        precision: str = "auto",
    ) -> None:
        """Weights as `weights.load` gives them; `weights_hash` is of all of them, `precision` auto or a name."""
        self.device = torch.device(device)
        self.precision = choose_precision(self.device) if precision == "auto" else precision
        self.dtype = getattr(torch, self.precision)
        self.weights = weights_hash
        self.flow = FLOW if flow_weights else ""
        self.widths: tuple[int, ...] = (WIDTH, WIDTH) if flow_weights else (WIDTH,)
        self.batch = BATCH[self.device.type]
        self._rgb = fast(rgb_weights, self.dtype, self.device, PIXEL_SCALE)
        self._flow = fast(flow_weights, self.dtype, self.device) if flow_weights else None

    @torch.inference_mode()
    def __call__(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """N x 16 x H x W x 3 RGB pictures -> N x 1024, or N x 2048 with flow."""
        # -127.5 to 127.5 is exact in bfloat16 too, -1 to 1 would not be: the stem's weights divide instead.
        groups = [pooled(self._rgb(self._put(pictures).sub_(PIXEL_SCALE)))]
        if self._flow is not None:
            groups.append(pooled(self._flow(self._put(optical_flow(pictures)))))
        return torch.cat(groups, 1).cpu().numpy()

    def _put(self, values: NDArray) -> Tensor:
        """N x T x H x W x C -> N x C x T x H x W, on the device, still channels-last in memory."""
        x = torch.from_numpy(np.ascontiguousarray(values)).to(self.device)
        return x.to(self.dtype, copy=True).permute(0, 4, 1, 2, 3)


def open_i3d(weights: Path | None, flow_weights: Path | None, device: torch.device, precision: str = "auto") -> I3D:
    """I3D with weights of these places; None means the ones that `wtal weights` got, and no flow.

    Raises DataError where weights are missing or not I3D's.
    """
    rgb, of_rgb = load(weights)
    if flow_weights is None:
        return I3D(rgb, of_rgb, None, device, precision)
    flow, of_flow = load(flow_weights, "flow")
    both = hashlib.sha256(f"{of_rgb} {of_flow}".encode()).hexdigest()
    return I3D(rgb, f"sha256:{both}", flow, device, precision)


def choose_precision(device: torch.device) -> str:
    """bfloat16 where the device multiplies it natively, which is where it is faster, else float32."""
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:  # convolutions in bfloat16 are oneDNN's; without it, or on ARM, they are slow or unmeasured
        can = torch.cpu.get_capabilities()
        native = torch.backends.mkldnn.is_available() and bool(can.get("avx512_bf16") or can.get("amx_bf16"))
    return "bfloat16" if native else "float32"


def class_probabilities(video: Path, weights: dict[str, Tensor]) -> NDArray[np.float32]:
    """What the published classifier says of a whole video, in float32: one probability a class, in its own order.

    The logits of all windows of 32 pictures, one every 8 and none beyond the ends, are averaged. It shows whether
    weights and decoding are right; no feature is made so. Raises DataError when the video cannot be decoded, or
    the weights have no classifier.
    """
    if f"{LOGITS}.bias" not in weights:
        raise DataError(f"{video}: the weights have no classifier ({LOGITS}); name those that `wtal weights` got")
    backbone = I3D(weights, "", precision="float32")
    features = [backbone(window[None]) for window in _windows(video)]
    mean = torch.from_numpy(np.mean(features, 0))  # 1 x 1024
    return logits(mean, weights).softmax(1)[0].numpy()


def _windows(video: Path) -> Iterator[NDArray[np.uint8]]:
    """T x 224 x 224 x 3, T = 32, or all there are of a shorter video."""
    sampling = replace(I3D.sampling, stride=STEP, window=STEP)
    seen: list[NDArray[np.uint8]] = []
    for part in read_snippets(video, sampling):
        own = max(1, round((part.end - part.start) * sampling.fps))  # the last part repeats its last picture
        seen = [*seen, *part.pictures[:own]][-WINDOW:]
        if len(seen) == WINDOW:
            yield np.stack(seen)
    if len(seen) < WINDOW:
        yield np.stack(seen)
