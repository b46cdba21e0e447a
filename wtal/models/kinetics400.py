"""The classifier of I3D as a model: 400 classes of Kinetics, without any training.

It is a fully supervised recognition model (Carreira and Zisserman, 2017), not trained on the classes of the user. The
weights are those of the published network. The features of a snippet are the mean over time of what the published
classifier reads, and it is linear, so it gives the published logits.
"""

from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wtal.models.layers import BranchOutput

if TYPE_CHECKING:
    from wtal.core.config import Config

METHOD = f"{__name__}:build"
# Snippets before and after that are averaged. The published network was trained on 64 frames, four snippets of 16.
RADIUS = 2
BACKGROUND_LOGIT = -1e4  # the classifier has no background class: its probability is 0


def class_names() -> tuple[str, ...]:
    """The 400 classes in the order of the logits."""
    return tuple(files("wtal.models").joinpath("kinetics400.txt").read_text(encoding="utf-8").splitlines())


def build(config: "Config", modalities: Sequence[int], num_classes: int) -> nn.Module:
    """The network, as a method of `wtal.core.methods`."""
    return SnippetClassifier(sum(modalities), num_classes)


class SnippetClassifier(nn.Module):
    """A linear classifier of snippets, averaged over time.

    The attention of a snippet is its highest class probability.

    Args:
        width: D.
        num_classes: C.
    """

    receptive_field = RADIUS

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(width, num_classes)

    def forward(self, x: Tensor, mask: Tensor) -> BranchOutput:
        """B x T x D features and B x T mask to logits, B x T x (C + 1), and attention."""
        logits = _moving_average(self.classifier(x.float()), mask)
        attention = F.softmax(logits, -1).amax(-1) * mask
        cas = F.pad(logits, (0, 1), value=BACKGROUND_LOGIT)
        return BranchOutput(x[None], x, attention[None], cas)


def _moving_average(x: Tensor, mask: Tensor) -> Tensor:
    """The mean over `RADIUS` snippets on each side and the snippet itself, of those inside the video. B x T x C."""
    weight = mask.to(x.dtype)[:, None]  # B x 1 x T
    kernel = torch.ones(1, 1, 2 * RADIUS + 1, dtype=x.dtype, device=x.device)
    count = F.conv1d(weight, kernel, padding=RADIUS).clamp(min=1)
    total = F.avg_pool1d(x.mT * weight, 2 * RADIUS + 1, 1, RADIUS) * (2 * RADIUS + 1)
    return (total / count).mT
