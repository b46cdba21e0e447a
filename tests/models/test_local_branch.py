"""The local branch: padding changes nothing, receptive fields are exact, windows equal a single pass."""

from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from wtal.core.methods import METHODS
from wtal.models.layers import (
    UNLIMITED,
    BranchOutput,
    DilatedBlock,
    Dropout,
    LocalEnhancement,
    Normalise,
    Smoothing,
    WindowedAttention,
)
from wtal.models.local_branch import build_model, run_in_windows

CLASSES, WIDTH = 3, 16
B, T = 2, 13  # no other axis is 13 long
LENGTHS = (T, 9)
METHOD = pytest.mark.parametrize("method", METHODS)
LOCAL = pytest.mark.parametrize("local", ["dilated", "attention"])
MODALITIES = pytest.mark.parametrize("modalities", [(7,), (4, 3)], ids=["one", "two"])


def randomized(network: nn.Module, seed: int = 0) -> nn.Module:
    """Weights far from their initial values, which are zero in places; dropout off."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for values in network.parameters():
            values.add_(0.3 * torch.randn_like(values))
        for module in network.modules():
            if isinstance(module, Normalise):
                module.mean.normal_()
                module.scale.uniform_(0.5, 2)
                module.limit.fill_(5)
    return network.eval()


def videos(padding: int = 0, garbage: float = 0.0) -> tuple[Tensor, Tensor]:
    """Two videos of 13 and 9 snippets with `padding` more: B x T x 7 and the mask."""
    torch.manual_seed(1)
    valid = torch.randn(B, T, 7)
    mask = torch.arange(T + padding)[None] < torch.tensor(LENGTHS)[:, None]
    x = torch.full((B, T + padding, 7), garbage) * torch.randn(B, T + padding, 7)
    return torch.where(mask[..., None], torch.cat([valid, x[:, T:]], 1), x), mask


def video_outputs(branch: BranchOutput, length: int) -> list[dict[str, Tensor]]:
    """The real snippets of each video, in every field of a branch whose time axis has this length."""

    def of(values: Tensor, video: int) -> Tensor:
        time = values.shape.index(length)
        return values.select(time - 1, video).narrow(time - 1, 0, min(length, LENGTHS[video]))

    tensors = {f.name: getattr(branch, f.name) for f in fields(branch) if getattr(branch, f.name) is not None}
    return [{name: of(values, video) for name, values in tensors.items()} for video in range(B)]


@METHOD
@LOCAL
@MODALITIES
@torch.inference_mode()
def test_output_does_not_depend_on_padding_or_batch(settings, method, local, modalities):
    network = randomized(build_model(settings(method, model={"local": local}), modalities, CLASSES))
    x, mask = videos()
    plain, padded = network(x, mask), network(*videos(padding=6, garbage=1e6))
    torch.testing.assert_close(video_outputs(padded, T + 6), video_outputs(plain, T), rtol=1e-4, atol=1e-5)
    for video, length in enumerate(LENGTHS):
        alone = network(x[video : video + 1, :length], mask[video : video + 1, :length])
        for name, expected in video_outputs(plain, T)[video].items():
            value = getattr(alone, name).reshape(expected.shape)
            torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-5, msg=f"{name} of video {video}")


@LOCAL
@MODALITIES
def test_single_snippet_is_a_valid_video(settings, local, modalities):
    network = randomized(build_model(settings("local", model={"local": local}), modalities, CLASSES))
    branch = network(torch.randn(1, 1, 7), torch.ones(1, 1, dtype=torch.bool))
    assert branch.cas.shape == (1, 1, CLASSES + 1) and branch.attention.shape == (1, 1)
    assert branch.cas.isfinite().all() and (branch.attention > 0).all() and (branch.attention < 1).all()


@pytest.mark.parametrize("window", [1, 4, 12, 100])
def test_windows_together_are_a_single_pass(settings, window):
    network = randomized(build_model(settings("local"), (4, 3), CLASSES))
    features = np.random.default_rng(0).normal(size=(29, 7)).astype(np.float16)
    (whole,) = run_in_windows(network, features)
    windows = list(run_in_windows(network, features, window))
    assert [branch.cas.shape[1] for branch in windows[:-1]] == [window] * (len(windows) - 1)
    torch.testing.assert_close(torch.cat([branch.cas for branch in windows], 1), whole.cas, rtol=1e-4, atol=1e-5)
    embeddings = torch.cat([branch.embeddings for branch in windows], 2)
    torch.testing.assert_close(embeddings, whole.embeddings, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "block",
    [DilatedBlock(WIDTH, 2, 0.5), WindowedAttention(WIDTH, 3, 0.5), Smoothing(WIDTH, 0), LocalEnhancement([])],
    ids=lambda block: type(block).__name__,
)
def test_blocks_start_as_the_identity(block):
    x, mask = torch.randn(B, T, WIDTH), videos()[1]
    assert torch.equal(block.train()(x, mask)[mask], x[mask])


def test_local_enhancement_starts_as_smoothing(settings):
    x, mask = torch.randn(B, T, WIDTH), videos()[1]
    for local in ("dilated", "attention"):
        network = build_model(settings("local", model={"local": local, "smoothing": 2}), (4, 3), CLASSES).train()
        for enhance in network.local:
            assert torch.equal(enhance(x, mask), Smoothing(WIDTH, 2)(x, mask))


@pytest.mark.parametrize("radius", [0, 1, 2, 7, 40])
@torch.inference_mode()
def test_smoothing_starts_as_the_mean_of_the_existing_snippets(radius):
    x, mask = torch.randn(B, T, WIDTH), videos()[1]
    smoothed = Smoothing(WIDTH, radius)(x, mask)
    for video, length in enumerate(LENGTHS):
        for t in range(length):
            window = x[video, max(0, t - radius) : min(length, t + radius + 1)]
            torch.testing.assert_close(smoothed[video, t], window.mean(0))


@pytest.mark.parametrize("radius", [0, 1, 2, 7, 40])
@torch.inference_mode()
def test_smoothing_keeps_constant_features(radius):
    (_, mask), constant = videos(padding=3), torch.randn(WIDTH)
    x = torch.where(mask[..., None], constant, torch.tensor(1e6))
    torch.testing.assert_close(Smoothing(WIDTH, radius)(x, mask)[mask], constant.expand(sum(LENGTHS), WIDTH))


@torch.inference_mode()
def test_smoothing_has_weights_per_channel():
    smooth, x = Smoothing(2, 1), torch.randn(1, T, 2)
    smooth.weight[:] = torch.tensor([[1.0, 0], [0, 0], [0, 1]])  # the first channel looks back, the second ahead
    smoothed = smooth(x, torch.ones(1, T, dtype=torch.bool))
    torch.testing.assert_close(smoothed[0, 1:-1, 0], x[0, :-2, 0])
    torch.testing.assert_close(smoothed[0, 1:-1, 1], x[0, 2:, 1])


@pytest.mark.parametrize("probability", [0.0, 0.3, 0.9])
def test_dropout_keeps_the_mean_and_is_off_at_inference(probability):
    x, dropout = torch.full((400, 500), 3.0), Dropout(probability)
    assert torch.equal(dropout.eval()(x), x)
    torch.manual_seed(0)
    dropped = dropout.train()(x)
    assert dropped.mean().item() == pytest.approx(3, rel=0.03)
    assert (dropped == 0).float().mean().item() == pytest.approx(probability, abs=0.01)
    torch.testing.assert_close(dropped[dropped != 0].unique(), torch.tensor([3 / (1 - probability)]))


@LOCAL
@MODALITIES
@torch.inference_mode()
def test_baseline_and_local_differ_at_the_start_only_by_smoothing(settings, local, modalities):
    baseline = build_model(settings("baseline"), modalities, CLASSES).eval()
    x, mask = videos()
    for smoothing in (0, 2):
        model = {"local": local, "smoothing": smoothing}
        other = build_model(settings("local", model=model), modalities, CLASSES).eval()
        added = other.load_state_dict(baseline.state_dict(), strict=False)
        assert not added.unexpected_keys and all(key.startswith("local.") for key in added.missing_keys)
        assert torch.equal(baseline(x, mask).attentions, other(x, mask).attentions)
        # The classifier is linear, so it commutes with a mean over time.
        cas = Smoothing(CLASSES + 1, smoothing)(baseline(x, mask).cas, mask)
        torch.testing.assert_close(cas[mask], other(x, mask).cas[mask])


def affected(network: Callable[[Tensor, Tensor], Tensor], length: int, at: int, width: int) -> str:
    """Which snippets of the output change with one snippet of the input, as `..##.`."""
    x, mask = torch.randn(1, length, width), torch.ones(1, length, dtype=torch.bool)
    other = x.clone()
    other[0, at] = torch.randn(width)
    differs = ~torch.isclose(network(x, mask), network(other, mask), rtol=1e-4, atol=1e-6).all(-1)[0]
    return "".join("#" if d else "." for d in differs)


def window_around(length: int, at: int, each_side: int) -> str:
    return "".join("#" if abs(t - at) <= each_side else "." for t in range(length))


@pytest.mark.parametrize("window", [1, 3, 8, 40])
@pytest.mark.parametrize("at", [0, 7, 8, 15, 28])
@torch.inference_mode()
def test_receptive_field_of_windowed_attention(window, at):
    block = randomized(WindowedAttention(WIDTH, window, 0.0))
    assert affected(block, 29, at, WIDTH) == window_around(29, at, block.receptive_field)


@pytest.mark.parametrize("radius", [0, 1, 2, 8])
@pytest.mark.parametrize("at", [0, 1, 14, 27, 28])
@torch.inference_mode()
def test_receptive_field_of_smoothing(radius, at):
    block = randomized(Smoothing(WIDTH, radius))
    assert affected(block, 29, at, WIDTH) == window_around(29, at, block.receptive_field)


@pytest.mark.parametrize("dilations", [(1,), (3,), (1, 2, 4)])
@pytest.mark.parametrize("at", [0, 14, 28])
@torch.inference_mode()
def test_receptive_field_of_dilated_blocks(dilations, at):
    blocks = randomized(LocalEnhancement([DilatedBlock(WIDTH, d, 0.0) for d in dilations]))
    output = affected(blocks, 29, at, WIDTH)
    if len(dilations) == 1:  # only every d-th snippet
        assert output == "".join("#" if t - at in (-dilations[0], 0, dilations[0]) else "." for t in range(29))
    else:
        assert output == window_around(29, at, blocks.receptive_field)


@LOCAL
@torch.inference_mode()
def test_classifier_reads_mixed_features_and_attention_unmixed_ones(settings, local):
    model = {"local": local, "smoothing": 2, "dilations": (1, 2, 4), "window": 3}
    network = randomized(build_model(settings("local", model=model), (4, 3), CLASSES))
    attention = affected(lambda x, mask: network(x, mask).attentions.movedim(0, -1), 29, 14, 7)
    cas = affected(lambda x, mask: network(x, mask).cas, 29, 14, 7)
    assert attention == window_around(29, 14, 0)
    assert cas == window_around(29, 14, network.receptive_field)
    assert network.receptive_field == 2 + (3 if local == "attention" else 1 + 2 + 4)


def test_normalization_subtracts_divides_limits_and_zeroes_padding():
    normalise = Normalise(7)
    normalise.mean[:], normalise.scale[:], normalise.limit[()] = torch.arange(7.0), 2.0, 3.0
    normalise.scale[6] = UNLIMITED
    x, mask = videos(padding=4, garbage=1e6)
    normalized = normalise(5 + x, mask)
    assert not normalized[~mask].any() and normalized.abs().max() <= 3
    torch.testing.assert_close(normalized[mask][:, :6], ((5 + x[mask][:, :6] - torch.arange(6)) / 2).clamp(-3, 3))
    torch.testing.assert_close(normalized[mask][:, 6], torch.zeros(sum(LENGTHS)))


def test_normalization_starts_as_the_identity():
    x, mask = videos()
    assert torch.equal(Normalise(7)(1e20 * x, mask), 1e20 * x)


@LOCAL
def test_local_enhancement_adds_parameters_and_the_teacher_does_not(settings, local):
    sizes = {
        m: sum(p.numel() for p in build_model(settings(m, model={"local": local}), (7,), CLASSES).parameters())
        for m in METHODS
    }
    assert sizes.pop("baseline") < min(sizes.values()) == max(sizes.values())
