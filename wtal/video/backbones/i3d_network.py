"""The network of I3D (Carreira and Zisserman, 2017): Inception-v1 inflated to three dimensions, and a faster form.

Modules and weights have the names of the usual PyTorch ports. Axes: N snippets, C channels, T frames.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import convert_conv3d_weight_memory_format
from torch.nn.utils.fusion import fuse_conv_bn_eval

FEATURES = 1024  # channels of the last block
STEM = "Conv3d_1a_7x7"
LOGITS = "logits.conv3d"
Triple = tuple[int, int, int]

# Channels of each block: branch 0; branch 1, reduced and convolved; branch 2, the same; branch 3.
BLOCKS = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
POOLS_BEFORE: dict[str, tuple[str, Triple, Triple]] = {
    "Mixed_3b": ("MaxPool3d_3a_3x3", (1, 3, 3), (1, 2, 2)),
    "Mixed_4b": ("MaxPool3d_4a_3x3", (3, 3, 3), (2, 2, 2)),
    "Mixed_5b": ("MaxPool3d_5a_2x2", (2, 2, 2), (2, 2, 2)),
}


def same_padding(sizes: Sequence[int], kernel: Sequence[int], stride: Sequence[int]) -> list[tuple[int, int]]:
    """TensorFlow's SAME padding at the start and the end of each axis. If the total is odd, the end gets one more."""
    totals = [max(k - (size % s or s), 0) for size, k, s in zip(sizes, kernel, stride, strict=True)]
    return [(total // 2, total - total // 2) for total in totals]


class Unit(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(inputs, outputs, kernel, stride, bias=False)
        self.bn: nn.Module = nn.BatchNorm3d(outputs, eps=1e-3)
        self.bn.num_batches_tracked = None  # only used in training

    def forward(self, x: Tensor) -> Tensor:
        conv = self.conv3d
        padding = same_padding(x.shape[2:], conv.kernel_size, conv.stride)
        if any(start != end for start, end in padding):
            x = F.pad(x, [p for axis in reversed(padding) for p in axis])
            padding = [(0, 0)] * 3
        x = F.conv3d(x, conv.weight, conv.bias, conv.stride, [start for start, _ in padding])
        return F.relu_(self.bn(x))


class Pool(nn.Module):
    """Max pooling with SAME padding: where the padding is odd, `ceil_mode` lets the last window exceed the end."""

    def __init__(self, kernel: Triple, stride: Triple) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        padding = [start for start, _ in same_padding(x.shape[2:], self.kernel, self.stride)]
        return F.max_pool3d(x, self.kernel, self.stride, padding, ceil_mode=True)


class Mixed(nn.Module):
    """An Inception block: four branches with receptive fields of different sizes, concatenated along the channels."""

    def __init__(self, inputs: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.b0 = Unit(inputs, widths[0])
        self.b1a, self.b1b = Unit(inputs, widths[1]), Unit(widths[1], widths[2], 3)
        self.b2a, self.b2b = Unit(inputs, widths[3]), Unit(widths[3], widths[4], 3)
        self.b3a: nn.Module = Pool((3, 3, 3), (1, 1, 1))
        self.b3b = Unit(inputs, widths[5])

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.b3a(x))], 1)


class Trunk(nn.Sequential):
    """Everything up to the last block: N x C x T x H x W in [-1, 1] to N x 1024 x T/8 x H/32 x W/32.

    C is 3 for RGB and 2 for flow.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.add_module(STEM, Unit(channels, 64, 7, 2))
        self.add_module("MaxPool3d_2a_3x3", Pool((1, 3, 3), (1, 2, 2)))
        self.add_module("Conv3d_2b_1x1", Unit(64, 64))
        self.add_module("Conv3d_2c_3x3", Unit(64, 192, 3))
        width = 192
        for name, widths in BLOCKS.items():
            if name in POOLS_BEFORE:
                pool, kernel, stride = POOLS_BEFORE[name]
                self.add_module(pool, Pool(kernel, stride))
            self.add_module(name, Mixed(width, widths))
            width = widths[0] + widths[2] + widths[4] + widths[5]


def weight_shapes(channels: int) -> dict[str, tuple[int, ...]]:
    """The name and shape of every weight below the classifier."""
    with torch.device("meta"):
        return {name: tuple(value.shape) for name, value in Trunk(channels).state_dict().items()}


def load_trunk(weights: dict[str, Tensor]) -> Trunk:
    """The network as published. It holds the given tensors, not copies."""
    with torch.device("meta"):
        trunk = Trunk(weights[f"{STEM}.conv3d.weight"].shape[1])
    state = trunk.state_dict()  # keeps the version numbers; without them batch norm expects a batch count
    state.update({name: weights[name] for name in state})
    trunk.load_state_dict(state, assign=True)
    return trunk.eval().requires_grad_(False)


def fused_trunk(weights: dict[str, Tensor], dtype: torch.dtype, device: torch.device, scale: float = 1.0) -> Trunk:
    """The same function for inputs in [-scale, scale], several times as fast: batch norm is folded into the weights.

    Inputs must be channels-last and of the same dtype.
    """
    trunk = load_trunk(weights)
    for unit in [module for module in trunk.modules() if isinstance(module, Unit)]:
        assert isinstance(unit.bn, nn.BatchNorm3d)
        unit.conv3d, unit.bn = fuse_conv_bn_eval(unit.conv3d, unit.bn), nn.Identity()
    stem = trunk.get_submodule(STEM)
    assert isinstance(stem, Unit)
    stem.conv3d.weight.div_(scale)
    for block in trunk.children():
        if isinstance(block, Mixed):
            block.b3a = SeparableMaxPool()
    convert_conv3d_weight_memory_format(trunk.to(device, dtype), torch.channels_last_3d)
    if dtype == torch.bfloat16 and device.type == "cpu":
        trunk.set_submodule(STEM, PairedStem(stem.conv3d))
    return trunk


class SeparableMaxPool(nn.Module):
    """`Pool` of 3 x 3 x 3 with stride 1, computed axis by axis in a third of the time."""

    def forward(self, x: Tensor) -> Tensor:
        for axis in (4, 3, 2):
            steps = x.shape[axis] - 1
            maxima = x.clone()
            for target, source in ((0, 1), (1, 0)):
                view = maxima.narrow(axis, target, steps)
                torch.maximum(view, x.narrow(axis, source, steps), out=view)
            x = maxima
        return x


class PairedStem(nn.Module):
    """The first unit on pairs of neighboring pixels: twice the channels, half the width, a kernel of 7 x 7 x 4.

    oneDNN multiplies bfloat16 values in groups of 2 and 4. With 3 channels a quarter of that is wasted; with pairs the
    padded eighth column adds a seventh.
    """

    def __init__(self, conv: nn.Conv3d) -> None:
        super().__init__()
        assert conv.bias is not None
        pairs = F.pad(conv.weight, (0, 1)).unflatten(4, (4, 2))  # 64 x C x 7 x 7 x 4 x 2
        weight = pairs.permute(0, 5, 1, 2, 3, 4).flatten(1, 2)  # 64 x 2C x 7 x 7 x 4
        self.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last_3d), requires_grad=False)
        self.bias = conv.bias

    def forward(self, x: Tensor) -> Tensor:
        (t0, t1), (h0, h1), (w0, w1) = same_padding(x.shape[2:], (7, 7, 7), (2, 2, 2))
        x = F.pad(x, (w0, w1 + 1, h0, h1, t0, t1))  # + 1 for the eighth column of the kernel, which is zero
        x = x.contiguous(memory_format=torch.channels_last_3d)
        pairs = x.permute(0, 2, 3, 4, 1).unflatten(3, (-1, 2)).flatten(4)  # N x T x H x W/2 x 2C
        return F.relu_(F.conv3d(pairs.permute(0, 4, 1, 2, 3), self.weight, self.bias, (2, 2, 1)))


def pool_features(x: Tensor) -> Tensor:
    """The published average over 2 x 7 x 7 positions, then the mean over time: N x 1024 x T x 7 x 7 to N x 1024.

    For other spatial sizes than 7 x 7, all positions are averaged.
    """
    x = x.float().mean((3, 4))  # N x 1024 x T
    return F.avg_pool1d(x, min(2, x.shape[2]), 1).mean(2)


def class_logits(features: Tensor, weights: dict[str, Tensor]) -> Tensor:
    """The published classifier: N x 1024 to N x classes. It is linear, so it can follow the mean over time."""
    return F.linear(features, weights[f"{LOGITS}.weight"].flatten(1), weights[f"{LOGITS}.bias"])
