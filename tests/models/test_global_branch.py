"""The averaged models of stage one and the memory as one network: padding, windows, weights and shares."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from wtal.models.global_branch import Ensemble, GlobalBranch, enhance, feature_parts, mean_posterior
from wtal.models.layers import Normalise
from wtal.models.local_branch import build_model, run_in_windows
from wtal.models.memory import GlobalMemory, MemoryWriter, WhiteningEstimator

CLASSES, WIDTH, MODELS = 3, 16, 2
EVERY_CLASS = torch.ones(CLASSES + 1, dtype=torch.bool)
LENGTHS = (13, 9)


def make_ensemble(settings) -> Ensemble:
    """Two models with random weights and limits."""
    torch.manual_seed(0)
    networks = []
    for _ in range(MODELS):
        network = build_model(settings("local"), (4, 3), CLASSES).eval()
        with torch.no_grad():
            for values in network.parameters():
                values.add_(0.3 * torch.randn_like(values))
        for layer in network.modules():
            if isinstance(layer, Normalise):
                layer.limit.fill_(5)
        networks.append(network)
    return Ensemble(networks, torch.rand(MODELS, CLASSES + 1) + 0.1).eval()


@torch.inference_mode()
def write_memory(ensemble: Ensemble) -> GlobalMemory:
    """A memory of three random videos."""
    videos = [torch.randn(1, 40, 7, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
    mask, estimator = torch.ones(1, 40, dtype=torch.bool), WhiteningEstimator()
    parts = [feature_parts(ensemble.outputs(x, mask))[0] for x in videos]
    for part in parts:
        estimator.add(part)
    writer = MemoryWriter(estimator.finish(1.0), CLASSES, video_share=0.5, min_probability=0.0, max_entries=30, seed=0)
    for video, (x, part) in enumerate(zip(videos, parts, strict=True)):
        writer.write(video, part, ensemble(x, mask).cas[0].exp(), EVERY_CLASS)
    return writer.finish(neighbours=4, temperature=0.1)


@pytest.fixture(scope="module", params=["ensemble", "global"])
def network(request, settings) -> nn.Module:
    ensemble = make_ensemble(settings)
    return ensemble if request.param == "ensemble" else GlobalBranch(ensemble, write_memory(ensemble), 0.5).eval()


def videos(padding: int = 0, garbage: float = 0.0) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    valid, length = torch.randn(2, max(LENGTHS), 7), max(LENGTHS) + padding
    mask = torch.arange(length)[None] < torch.tensor(LENGTHS)[:, None]
    x = torch.full((2, length, 7), garbage) * torch.randn(2, length, 7)
    return torch.where(mask[..., None], torch.cat([valid, x[:, max(LENGTHS) :]], 1), x), mask


@torch.inference_mode()
def test_output_does_not_depend_on_padding_or_batch(network):
    (x, mask), (longer, longer_mask) = videos(), videos(padding=6, garbage=1e6)
    plain, padded = network(x, mask), network(longer, longer_mask)
    for video, length in enumerate(LENGTHS):
        alone = network(x[video : video + 1, :length], mask[video : video + 1, :length])
        for other in (plain.cas[video, :length], padded.cas[video, :length]):
            torch.testing.assert_close(other, alone.cas[0], rtol=1e-4, atol=1e-5)
        for other in (plain.attention[video, :length], padded.attention[video, :length]):
            torch.testing.assert_close(other, alone.attention[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("window", [1, 7, 40])
def test_windows_together_are_a_single_pass(network, window):
    features = np.random.default_rng(0).normal(size=(41, 7)).astype(np.float32)
    (whole,), parts = run_in_windows(network, features), list(run_in_windows(network, features, window))
    assert len(parts) == -(-41 // window)
    for name in ("cas", "attention"):
        joined = torch.cat([getattr(part, name) for part in parts], 1)
        torch.testing.assert_close(joined, getattr(whole, name), rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_logits_are_logarithms_of_probabilities(network):
    x, mask = videos()
    branch = network(x, mask)
    torch.testing.assert_close(branch.cas.exp().sum(-1), torch.ones(mask.shape), atol=1e-4, rtol=0)
    assert ((branch.attention >= 0) & (branch.attention <= 1)).all()


@torch.inference_mode()
def test_share_of_the_memory_goes_from_the_ensemble_to_the_reading(settings):
    ensemble, (x, mask) = make_ensemble(settings), videos()
    memory, local = write_memory(ensemble), ensemble(x, mask)
    without, half, alone = (GlobalBranch(ensemble, memory, share)(x, mask).cas.exp() for share in (0.0, 0.5, 1.0))
    torch.testing.assert_close(without, local.cas.exp(), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(half, (without + alone) / 2, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(alone, without, atol=0.01)


def test_feature_parts_are_unit_vectors_of_all_networks(settings):
    outputs = make_ensemble(settings).outputs(*videos())
    parts = feature_parts(outputs)
    assert parts.shape == (2, max(LENGTHS), MODELS * 3, WIDTH)  # fused features and two modalities of each network
    torch.testing.assert_close(parts.norm(dim=-1)[0], torch.ones(max(LENGTHS), MODELS * 3))


# The mean over models.


def logits(models: int = 3) -> Tensor:
    return torch.randn(models, 5, CLASSES + 1, generator=torch.Generator().manual_seed(0))


def test_mean_posterior_of_models_that_count_the_same_is_the_mean():
    cas = logits()
    for weight in (1.0, 0.01):
        posterior = mean_posterior(cas, torch.full((3, CLASSES + 1), weight), EVERY_CLASS)
        torch.testing.assert_close(posterior, cas.softmax(-1).mean(0))


def test_mean_posterior_of_one_model_is_its_softmax():
    torch.testing.assert_close(
        mean_posterior(logits(1), torch.tensor([[0.1, 0.9, 1e-6, 1.0]]), EVERY_CLASS), logits(1)[0].softmax(-1)
    )


@pytest.mark.parametrize("classes", [[], [1], [0, 2]], ids=str)
def test_mean_posterior_is_restricted_to_the_allowed_classes(classes):
    allowed = torch.zeros(CLASSES + 1, dtype=torch.bool)
    allowed[[*classes, CLASSES]] = True
    reliability, cas = torch.rand(3, CLASSES + 1) + 0.01, logits()
    posterior = mean_posterior(cas, reliability, allowed)
    assert not posterior[:, ~allowed].any()
    torch.testing.assert_close(posterior.sum(-1), torch.ones(5))
    extreme = cas.masked_fill(~allowed, 1e4)
    assert torch.equal(mean_posterior(extreme, reliability, allowed), posterior), "other logits do not matter"


def test_unreliable_model_is_ignored_for_its_class_only():
    """Model 0 is unreliable for class 0: its probability of class 0 does not matter there."""
    reliability = torch.ones(2, CLASSES + 1)
    reliability[0, 0] = 1e-6
    confident = torch.full((2, 1, CLASSES + 1), 0.0)
    confident[0, 0, 0] = 20.0  # model 0 is sure of class 0
    confident[1, 0, 1] = 20.0  # model 1 of class 1
    posterior = mean_posterior(confident, reliability, EVERY_CLASS)[0]
    assert posterior[0] < 1e-4 and posterior[1] > 0.99
    assert mean_posterior(confident, torch.ones(2, CLASSES + 1), EVERY_CLASS)[0, 0] == pytest.approx(0.5, abs=1e-4)


def test_order_of_models_does_not_matter():
    reliability, order = torch.rand(3, CLASSES + 1), torch.tensor([2, 0, 1])
    torch.testing.assert_close(
        mean_posterior(logits()[order], reliability[order], EVERY_CLASS),
        mean_posterior(logits(), reliability, EVERY_CLASS),
    )


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_enhancement_of_distributions_is_a_distribution(share):
    posterior, reading = logits(2).softmax(-1)
    enhanced = enhance(posterior, reading, share)
    torch.testing.assert_close(enhanced.sum(-1), torch.ones(5))
    torch.testing.assert_close(enhanced, (1 - share) * posterior + share * reading)
