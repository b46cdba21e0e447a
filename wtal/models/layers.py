"""Building blocks of the networks. Axes: B videos, T snippets, D input features, H width, M modalities, C classes.

Every layer takes a mask (B x T, True on real snippets); padding never changes the output of a real snippet.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wtal.core.distributed import Rows, uniform_like

UNLIMITED = torch.finfo(torch.float32).max


@dataclass(frozen=True)
class BranchOutput:
    """What one branch computes for a batch."""

    embeddings: Tensor  # M x B x T x H  each modality, before any mixing along time
    features: Tensor  # B x T x H  fused, after local (and global) enhancement
    attentions: Tensor  # M x B x T  foreground probability of each modality
    cas: Tensor  # B x T x (C + 1)  logits; the last class is background

    @property
    def attention(self) -> Tensor:
        """Foreground probability, the mean over modalities. B x T."""
        return self.attentions.mean(0)

    def snippets(self, selection: slice) -> "BranchOutput":
        """The output for a part of the snippets."""
        return BranchOutput(
            self.embeddings[:, :, selection],
            self.features[:, selection],
            self.attentions[:, :, selection],
            self.cas[:, selection],
        )

    @property
    def suppressed(self) -> Tensor:
        """CAS weighted by attention, which suppresses the background. B x T x (C + 1)."""
        return self.attention[..., None] * self.cas


class Normalise(nn.Module):
    """Input normalization by statistics of the training set: subtract, divide, limit. At first the identity.

    Finite numbers stand for "no limit" and for "ignore this dimension", so that all weights of a model are finite.
    """

    mean: Tensor
    scale: Tensor
    limit: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))
        self.register_buffer("limit", torch.tensor(UNLIMITED))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Normalise B x T x D features; padding (mask B x T) becomes zero."""
        x = ((x - self.mean) / self.scale).clamp(-self.limit, self.limit)
        return x * mask[..., None]


class Dropout(nn.Module):
    """The same as nn.Dropout, but three times faster on a CPU: it draws one array of uniform numbers."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability
        self.rows: Rows | None = None  # in distributed training: which rows of the whole batch this process has

    def forward(self, x: Tensor) -> Tensor:
        """B x ... -> B x ..."""
        if not self.training or self.probability == 0:
            return x
        return x * (uniform_like(x, self.rows) >= self.probability) / (1 - self.probability)


class Smoothing(nn.Module):
    """A weighted mean of each channel over `radius` snippets on each side; starts as the plain mean.

    Single snippets are noisy, and the residual blocks would pass this noise on.
    """

    def __init__(self, width: int, radius: int) -> None:
        super().__init__()
        self.radius = radius
        self.weight = nn.Parameter(torch.full((2 * radius + 1, width), 1 / (2 * radius + 1)))

    @property
    def receptive_field(self) -> int:
        """Snippets on each side that the output depends on."""
        return self.radius

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """B x T x H -> B x T x H. At the ends of a video, the mean is over the snippets that exist."""
        size, t = 2 * self.radius + 1, x.shape[1]
        valid = mask[..., None].to(x.dtype)
        padded = F.pad(x * valid, (0, 0, self.radius, self.radius))
        padded_valid = F.pad(valid, (0, 0, self.radius, self.radius))
        total, count = torch.zeros_like(x), torch.zeros_like(valid)
        for i in range(size):
            total = total + padded[:, i : i + t] * self.weight[i]
            count = count + padded_valid[:, i : i + t]
        return total * size / count.clamp(min=1)


class DilatedBlock(nn.Module):
    """A residual dilated convolution along time, as in TFE-DCN. Starts as the identity."""

    def __init__(self, width: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
        self.out = _zero_init(nn.Linear(width, width))
        self.dropout = Dropout(dropout)

    @property
    def receptive_field(self) -> int:
        """Snippets on each side that the output depends on."""
        return int(self.mix.dilation[0])

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """B x T x H -> B x T x H."""
        valid = self.norm(x) * mask[..., None]
        mixed = self.mix(valid.transpose(1, 2)).transpose(1, 2)
        return x + self.out(self.dropout(F.relu(mixed)))


class WindowedAttention(nn.Module):
    """Residual self-attention over `window` snippets on each side; cost grows linearly with T. Starts as the identity.

    Time is cut into blocks of `window` snippets; each block attends to itself and its two neighbors.
    """

    def __init__(self, width: int, window: int, dropout: float, heads: int = 4) -> None:
        super().__init__()
        self.window, self.heads = window, heads
        self.norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.out = _zero_init(nn.Linear(width, width))
        self.dropout = Dropout(dropout)

    @property
    def receptive_field(self) -> int:
        """Snippets on each side that the output depends on."""
        return self.window

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """B x T x H -> B x T x H."""
        b, t, h = x.shape
        w = self.window
        blocks = (t + w - 1) // w
        padding = blocks * w - t
        qkv = F.pad(self.query_key_value(self.norm(x)), (0, 0, 0, padding))
        query, key, value = qkv.view(b, blocks, w, 3, self.heads, h // self.heads).unbind(3)
        key, value = (_with_neighbors(part) for part in (key, value))
        valid = _with_neighbors(F.pad(mask, (0, padding)).view(b, blocks, w))  # b x blocks x 3w
        distance = torch.arange(3 * w, device=x.device) - torch.arange(w, 2 * w, device=x.device)[:, None]
        # A snippet always attends to itself, so that the softmax of a row of padding is defined.
        visible = (distance.abs() <= w) & (valid[:, :, None] | (distance == 0))  # b x blocks x w x 3w
        mixed = F.scaled_dot_product_attention(
            query.transpose(2, 3), key.transpose(2, 3), value.transpose(2, 3), attn_mask=visible[:, :, None]
        )
        mixed = mixed.transpose(2, 3).reshape(b, blocks * w, h)[:, :t]
        return x + self.out(self.dropout(mixed))


def _with_neighbors(blocks: Tensor) -> Tensor:
    """Concatenate each block with the previous and the next one. B x N x w x ... -> B x N x 3w x ..."""
    padded = torch.cat([torch.zeros_like(blocks[:, :1]), blocks, torch.zeros_like(blocks[:, :1])], 1)
    return torch.cat([padded[:, :-2], blocks, padded[:, 2:]], 2)


def _zero_init(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class LocalEnhancement(nn.Module):
    """Mixes the snippets of one video along time: smoothing, then residual blocks. Without blocks: the identity."""

    def __init__(self, blocks: list[nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    @property
    def receptive_field(self) -> int:
        """Snippets on each side that the output depends on."""
        return sum(block.receptive_field for block in self.blocks)  # type: ignore[misc]  # every block has it

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """B x T x H -> B x T x H."""
        for block in self.blocks:
            x = block(x, mask)
        return x


def topk_mean(cas: Tensor, mask: Tensor, ratio: int) -> Tensor:
    """Video logits: for each class, the mean of its ceil(T_valid / ratio) highest snippets.

    Args:
        cas: Snippet scores, B x T x K.
        mask: True on real snippets, B x T.
        ratio: r of the paper's top-k pooling.

    Returns:
        B x K.
    """
    k = torch.div(mask.sum(1) + ratio - 1, ratio, rounding_mode="floor").clamp(min=1)  # B
    longest = (cas.shape[1] + ratio - 1) // ratio
    highest = cas.masked_fill(~mask[..., None], -torch.inf).topk(longest, dim=1).values
    selected = torch.arange(longest, device=cas.device) < k[:, None]  # B x T/ratio
    return highest.masked_fill(~selected[..., None], 0).sum(1) / k[:, None]
