"""The global branch: several local branches and the memory. It is the teacher; inference does not use it."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wtal.models.layers import BranchOutput
from wtal.models.memory import GlobalMemory

EPSILON = 1e-6  # keeps the logarithm of a probability finite


class Ensemble(nn.Module):
    """The local branches of stage one, averaged.

    Args:
        networks: K local branches.
        reliability: Weight of each network for each class, K x (C + 1).
    """

    reliability: Tensor

    def __init__(self, networks: Sequence[nn.Module], reliability: Tensor) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.register_buffer("reliability", reliability)

    @property
    def receptive_field(self) -> int:
        """Snippets on each side that the output of a snippet depends on."""
        return max(int(network.receptive_field) for network in self.networks)  # type: ignore[arg-type]  # every local branch has it

    def outputs(self, x: Tensor, mask: Tensor) -> list[BranchOutput]:
        """The output of each network."""
        return [network(x, mask) for network in self.networks]

    def forward(self, x: Tensor, mask: Tensor) -> BranchOutput:
        """Score the snippets of a batch over all classes. Arguments as for `LocalBranch`."""
        outputs = self.outputs(x, mask)
        cas = torch.stack([output.cas for output in outputs])
        posterior = mean_posterior(cas, self.reliability, torch.ones(cas.shape[-1], dtype=torch.bool))
        features = feature_parts(outputs).flatten(2)  # B x T x F
        attention = torch.stack([output.attention for output in outputs]).mean(0)
        return BranchOutput(features[None], features, attention[None], (posterior + EPSILON).log())


class GlobalBranch(nn.Module):
    """The ensemble enhanced by the memory, as one network, to evaluate what inference does not use.

    It reads the entries of all classes, since labels are not known at inference.

    Args:
        ensemble: The local branches of stage one.
        memory: The memory that was written with their features.
        share: Share of the memory in the class probabilities.
    """

    def __init__(self, ensemble: Ensemble, memory: GlobalMemory, share: float) -> None:
        super().__init__()
        self.ensemble, self.memory, self.share = ensemble, memory, share

    @property
    def receptive_field(self) -> int:
        """Snippets on each side that the output of a snippet depends on; reading the memory adds none."""
        return self.ensemble.receptive_field

    def forward(self, x: Tensor, mask: Tensor) -> BranchOutput:
        """Score the snippets of a batch. Arguments as for `LocalBranch`."""
        output = self.ensemble(x, mask)
        posterior, allowed = output.cas.exp(), torch.ones(output.cas.shape[-1], dtype=torch.bool)
        parts = output.features.unflatten(-1, self.memory.whitening.mean.shape)  # B x T x P x H
        reading = [
            self.memory.read(self.memory.whitening(part), probabilities, allowed)
            for part, probabilities in zip(parts, posterior, strict=True)
        ]
        enhanced = enhance(posterior, torch.stack(reading), self.share)
        return BranchOutput(output.embeddings, output.features, 1 - enhanced[None, ..., -1], (enhanced + EPSILON).log())


def mean_posterior(cas: Tensor, reliability: Tensor, allowed: Tensor) -> Tensor:
    """The class probabilities of snippets: the mean of K softmaxes over the allowed classes, weighted by class.

    Args:
        cas: Logits, K x ... x (C + 1).
        reliability: Weight of each network for each class, K x (C + 1).
        allowed: C + 1 booleans; the other classes get probability 0.

    Returns:
        ... x (C + 1).
    """
    probabilities = cas.float().masked_fill(~allowed, -torch.inf).softmax(-1)
    weights = reliability / reliability.sum(0)
    mean = torch.einsum("k...c,kc->...c", probabilities, weights)
    return mean / mean.sum(-1, keepdim=True)


def feature_parts(outputs: Sequence[BranchOutput]) -> Tensor:
    """What the memory holds of a snippet: its features in all networks, before and after local enhancement.

    Returns:
        Unit vectors, B x T x P x H.
    """
    parts = [part for output in outputs for part in (output.features, *output.embeddings)]
    return F.normalize(torch.stack(parts, 2).float(), dim=-1)


def enhance(posterior: Tensor, reading: Tensor, share: float) -> Tensor:
    """Global enhancement: the class probabilities of the ensemble mixed with those of the memory. ... x (C + 1)."""
    return torch.lerp(posterior, reading, share)
