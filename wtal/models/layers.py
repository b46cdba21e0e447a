"""What the networks are made of. Axes: B videos, T snippets, D input features, H width, M modalities.

Every part takes a mask (B x T, True on real snippets); padding never changes a real snippet's output.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wtal.core.distributed import Rows, draw_like


@dataclass(frozen=True)
class BranchOutput:
    """What one branch says of a batch."""

    near: Tensor  # M x B x T x H  each modality before any mixing in time
    far: Tensor  # B x T x H      fused, after local (and global) enhancement
    attentions: Tensor  # M x B x T  foreground probability, each modality's
    cas: Tensor  # B x T x (C + 1)  logits, the last class is background
    recall: Tensor | None = None  # B x T x (C + 1)  the global branch's: what the memory takes each snippet for

    @property
    def attention(self) -> Tensor:
        """Foreground probability, the modalities' mean. B x T."""
        return self.attentions.mean(0)

    @property
    def suppressed(self) -> Tensor:
        """CAS with the background's evidence suppressed by attention. B x T x (C + 1)."""
        return self.attention[..., None] * self.cas


class Normalise(nn.Module):
    """Input normalisation: none, by the training set's statistics, or by each video's own mean."""

    mean: Tensor
    scale: Tensor

    def __init__(self, dim: int, mode: str) -> None:
        super().__init__()
        self.mode = mode
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))

    def forward(self, x: Tensor, mask: Tensor, centre: Tensor | None = None) -> Tensor:
        """B x T x D -> B x T x D, zero on padding. `centre`: the video's mean, where x is a piece of it."""
        x = (x - self.mean) / self.scale
        if self.mode == "video":
            x = x - (_video_mean(x, mask) if centre is None else centre)
        return x * mask[..., None]


def _video_mean(x: Tensor, mask: Tensor) -> Tensor:
    """B x T x D -> B x 1 x D."""
    real = mask[..., None].to(x.dtype)
    return (x * real).sum(1, keepdim=True) / real.sum(1, keepdim=True).clamp(min=1)


class Dropout(nn.Module):
    """What nn.Dropout does, three times faster on a CPU: its random numbers are drawn as a whole array."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share
        self.rows: Rows | None = None  # of the whole batch: what one process would drop, several drop too

    def forward(self, x: Tensor) -> Tensor:
        """Zero a share of the numbers while training and scale the others up. B x ... -> B x ..."""
        if not self.training or self.share == 0:
            return x
        return x * (draw_like(x, self.rows) >= self.share) / (1 - self.share)


class Smoothing(nn.Module):
    """Each channel's own weighted mean over `reach` snippets each side; starts as the plain mean.

    Single snippets are noisy, and residual blocks alone would pass that noise on beside what they add.
    """

    def __init__(self, width: int, reach: int) -> None:
        super().__init__()
        self.reach = reach
        self.weight = nn.Parameter(torch.full((2 * reach + 1, width), 1 / (2 * reach + 1)))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """B x T x H -> B x T x H. Where the video ends, the snippets that are there count for the missing ones."""
        steps, t = 2 * self.reach + 1, x.shape[1]
        real = mask[..., None].to(x.dtype)
        near = F.pad(x * real, (0, 0, self.reach, self.reach))
        there = F.pad(real, (0, 0, self.reach, self.reach))
        total, count = torch.zeros_like(x), torch.zeros_like(real)
        for i in range(steps):
            total = total + near[:, i : i + t] * self.weight[i]
            count = count + there[:, i : i + t]
        return total * steps / count.clamp(min=1)


class DilatedBlock(nn.Module):
    """A residual dilated convolution along time (as TFE-DCN). Starts as the identity."""

    def __init__(self, width: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
        self.out = _zero(nn.Linear(width, width))
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """B x T x H -> B x T x H."""
        real = self.norm(x) * mask[..., None]
        mixed = self.mix(real.transpose(1, 2)).transpose(1, 2)
        return x + self.out(self.dropout(F.relu(mixed)))


class WindowedAttention(nn.Module):
    """Residual self-attention among the `window` snippets each side: cost grows linearly with T.

    Starts as the identity. Time is cut into blocks of `window`; each looks at itself and its two neighbours.
    """

    def __init__(self, width: int, window: int, dropout: float, heads: int = 4) -> None:
        super().__init__()
        self.window, self.heads = window, heads
        self.norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.out = _zero(nn.Linear(width, width))
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """B x T x H -> B x T x H."""
        b, t, h = x.shape
        w = self.window
        blocks = (t + w - 1) // w
        padding = blocks * w - t
        qkv = F.pad(self.query_key_value(self.norm(x)), (0, 0, 0, padding))
        query, key, value = qkv.view(b, blocks, w, 3, self.heads, h // self.heads).unbind(3)
        key, value = (_with_neighbours(part) for part in (key, value))
        real = _with_neighbours(F.pad(mask, (0, padding)).view(b, blocks, w))  # b x blocks x 3w
        distance = torch.arange(3 * w, device=x.device) - torch.arange(w, 2 * w, device=x.device)[:, None]
        # A snippet always sees itself, so that a row of padding has something to look at.
        seen = (distance.abs() <= w) & (real[:, :, None] | (distance == 0))  # b x blocks x w x 3w
        mixed = F.scaled_dot_product_attention(
            query.transpose(2, 3), key.transpose(2, 3), value.transpose(2, 3), attn_mask=seen[:, :, None]
        )
        mixed = mixed.transpose(2, 3).reshape(b, blocks * w, h)[:, :t]
        return x + self.out(self.dropout(mixed))


def _with_neighbours(blocks: Tensor) -> Tensor:
    """Each block of w with the one before and the one after. B x N x w x ... -> B x N x 3w x ..."""
    padded = torch.cat([torch.zeros_like(blocks[:, :1]), blocks, torch.zeros_like(blocks[:, :1])], 1)
    return torch.cat([padded[:, :-2], blocks, padded[:, 2:]], 2)


def _zero(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class LocalEnhancement(nn.Module):
    """Snippets of one video interact along time: smoothing, then residual blocks. No block: the identity."""

    def __init__(self, blocks: list[nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """B x T x H -> B x T x H."""
        for block in self.blocks:
            x = block(x, mask)
        return x


def topk_mean(cas: Tensor, mask: Tensor, ratio: int) -> Tensor:
    """Video logits: the mean of each class's ceil(T_valid / ratio) strongest snippets. B x T x K -> B x K."""
    k = torch.div(mask.sum(1) + ratio - 1, ratio, rounding_mode="floor").clamp(min=1)  # B
    longest = (cas.shape[1] + ratio - 1) // ratio
    strongest = cas.masked_fill(~mask[..., None], -torch.inf).topk(longest, dim=1).values
    chosen = torch.arange(longest, device=cas.device) < k[:, None]  # B x T/ratio
    return strongest.masked_fill(~chosen[..., None], 0).sum(1) / k[:, None]
