"""The chassis: embed, enhance locally, fuse, score. With local enhancement it is DFE's local branch."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from wtal.model.parts import Branch, Dropout, LocalEnhancement, Normalise


class Chassis(nn.Module):
    """From features to attention and CAS.

    `modalities` are the widths that sum to D; `local` makes one modality's enhancement (None: the baseline).
    """

    def __init__(
        self,
        modalities: Sequence[int],
        classes: int,
        width: int,
        dropout: float,
        normalise: str,
        local: Callable[[], LocalEnhancement],
    ) -> None:
        super().__init__()
        self.modalities = tuple(modalities)
        self.normalise = Normalise(sum(modalities), normalise)
        self.embed = nn.ModuleList(nn.Linear(dim, width) for dim in modalities)
        self.dropout = Dropout(dropout)
        self.local = nn.ModuleList(local() for _ in modalities)
        self.fuse = nn.Linear(width * len(modalities), width) if len(modalities) > 1 else nn.Identity()
        self.attend = nn.ModuleList(nn.Linear(width, 1) for _ in modalities)
        self.classify = nn.Linear(width, classes + 1)

    def forward(self, x: Tensor, mask: Tensor, centre: Tensor | None = None) -> Branch:
        """B x T x D, B x T -> Branch. `centre` (D): the mean of the video that x is a piece of."""
        x = self.normalise(x, mask, centre)
        near = [
            self.dropout(embed(part).relu())
            for embed, part in zip(self.embed, x.split(self.modalities, -1), strict=True)
        ]
        far = [local(part, mask) for local, part in zip(self.local, near, strict=True)]
        return self.head(torch.stack(near), self.fuse(torch.cat(far, -1)))

    def head(self, near: Tensor, far: Tensor) -> Branch:
        """M x B x T x H, B x T x H -> Branch.

        Whether sees far, where sees near: the classifier reads the enhanced features, attention the embedded
        ones before any mixing in time, which would blur the edges.
        """
        attentions = [attend(part)[..., 0].sigmoid() for attend, part in zip(self.attend, near, strict=True)]
        return Branch(near, far, torch.stack(attentions), self.classify(far))
