"""The networks: padding changes nothing, each part reaches as far as it says, inference is the local branch."""

from collections.abc import Callable
from dataclasses import fields
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from wtal.core.config import METHODS
from wtal.models.dfe import DFE, build, build_local
from wtal.models.layers import (
    BranchOutput,
    DilatedBlock,
    Dropout,
    LocalEnhancement,
    Normalise,
    Smoothing,
    WindowedAttention,
)
from wtal.models.memory import EmaMemory, GlobalEnhancement, LearnedMemory

CLASSES, WIDTH = 3, 16
B, T = 2, 13  # no other axis is 13 long
LENGTHS = (T, 9)
METHOD = pytest.mark.parametrize("method", METHODS)
LOCAL = pytest.mark.parametrize("local", ["dilated", "attention"])
MODALITIES = pytest.mark.parametrize("modalities", [(7,), (4, 3)], ids=["one", "two"])


def stirred(network: nn.Module, seed: int = 0) -> nn.Module:
    """Weights far from their start, where zeros would hide what a part does; dropout off."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for values in network.parameters():
            values.add_(0.3 * torch.randn_like(values))
        for part in network.modules():
            if isinstance(part, EmaMemory):
                part.update(torch.randn(3, WIDTH), torch.tensor([0, 2, CLASSES]))
    return network.eval()


def videos(more: int = 0, garbage: float = 0.0) -> tuple[Tensor, Tensor]:
    """Two videos of 13 and 9 snippets, padded by `more`: B x T x 7 and the mask."""
    torch.manual_seed(1)
    real = torch.randn(B, T, 7)
    mask = torch.arange(T + more)[None] < torch.tensor(LENGTHS)[:, None]
    x = torch.full((B, T + more, 7), garbage) * torch.randn(B, T + more, 7)
    return torch.where(mask[..., None], torch.cat([real, x[:, T:]], 1), x), mask


def video_outputs(branch: BranchOutput, length: int) -> list[dict[str, Tensor]]:
    """Each video's real snippets in every field of a branch whose time axis has this length."""

    def of(values: Tensor, video: int) -> Tensor:
        time = values.shape.index(length)
        return values.select(time - 1, video).narrow(time - 1, 0, min(length, LENGTHS[video]))

    there = {f.name: getattr(branch, f.name) for f in fields(branch) if getattr(branch, f.name) is not None}
    return [{name: of(values, video) for name, values in there.items()} for video in range(B)]


def outputs(branch: BranchOutput) -> list[Tensor]:
    """What both branches have."""
    return [branch.near, branch.far, branch.attentions, branch.cas]


def branches(network: nn.Module, x: Tensor, mask: Tensor) -> list[BranchOutput]:
    return list(network.both_branches(x, mask)) if isinstance(network, DFE) else [network(x, mask)]


@METHOD
@LOCAL
@MODALITIES
@torch.inference_mode()
def test_padding_changes_nothing_and_batch_equals_single(settings, method, local, modalities):
    config = settings(method, model={"local": local, "normalise": "video"})
    network = stirred(build(config, modalities, CLASSES))
    x, mask = videos()
    padded = branches(network, *videos(more=6, garbage=1e6))
    for branch, long in zip(branches(network, x, mask), padded, strict=True):
        torch.testing.assert_close(video_outputs(long, T + 6), video_outputs(branch, T), rtol=1e-4, atol=1e-5)
    for video, length in enumerate(LENGTHS):
        alone = branches(network, x[video : video + 1, :length], mask[video : video + 1, :length])
        for branch, single in zip(branches(network, x, mask), alone, strict=True):
            for name, expected in video_outputs(branch, T)[video].items():
                value = getattr(single, name)
                torch.testing.assert_close(
                    value.reshape(expected.shape), expected, rtol=1e-4, atol=1e-5, msg=f"{name} of video {video}"
                )


@LOCAL
@MODALITIES
def test_one_snippet_is_a_video(settings, local, modalities):
    network = stirred(build(settings("dfe", model={"local": local}), modalities, CLASSES))
    for branch in network.both_branches(torch.randn(1, 1, 7), torch.ones(1, 1, dtype=torch.bool)):
        assert branch.cas.shape == (1, 1, CLASSES + 1) and branch.attention.shape == (1, 1)
        assert branch.cas.isfinite().all() and (branch.attention > 0).all() and (branch.attention < 1).all()


@pytest.mark.parametrize(
    "block",
    [DilatedBlock(WIDTH, 2, 0.5), WindowedAttention(WIDTH, 3, 0.5), Smoothing(WIDTH, 0), LocalEnhancement([])],
    ids=lambda block: type(block).__name__,
)
def test_a_block_starts_as_the_identity(block):
    x, mask = torch.randn(B, T, WIDTH), videos()[1]
    assert torch.equal(block.train()(x, mask)[mask], x[mask])


def test_local_enhancement_starts_as_its_smoothing(settings):
    x, mask = torch.randn(B, T, WIDTH), videos()[1]
    for local in ("dilated", "attention"):
        network = build_local(settings("local", model={"local": local, "smoothing": 2}), (4, 3), CLASSES).train()
        for enhance in network.local:
            assert torch.equal(enhance(x, mask), Smoothing(WIDTH, 2)(x, mask))


@pytest.mark.parametrize("reach", [0, 1, 2, 7, 40])
@torch.inference_mode()
def test_smoothing_starts_as_the_mean_of_the_snippets_that_are_there(reach):
    x, mask = torch.randn(B, T, WIDTH), videos()[1]
    smoothed = Smoothing(WIDTH, reach)(x, mask)
    for video, length in enumerate(LENGTHS):
        for t in range(length):
            near = x[video, max(0, t - reach) : min(length, t + reach + 1)]
            torch.testing.assert_close(smoothed[video, t], near.mean(0))


@pytest.mark.parametrize("reach", [0, 1, 2, 7, 40])
@torch.inference_mode()
def test_smoothing_leaves_what_is_constant_at_the_edges_and_beside_padding_too(reach):
    (_, mask), constant = videos(more=3), torch.randn(WIDTH)
    x = torch.where(mask[..., None], constant, torch.tensor(1e6))
    torch.testing.assert_close(Smoothing(WIDTH, reach)(x, mask)[mask], constant.expand(sum(LENGTHS), WIDTH))


@torch.inference_mode()
def test_smoothing_weighs_each_channel_by_itself():
    smooth, x = Smoothing(2, 1), torch.randn(1, T, 2)
    smooth.weight[:] = torch.tensor([[1.0, 0], [0, 0], [0, 1]])  # the first looks back, the second ahead
    smoothed = smooth(x, torch.ones(1, T, dtype=torch.bool))
    torch.testing.assert_close(smoothed[0, 1:-1, 0], x[0, :-2, 0])
    torch.testing.assert_close(smoothed[0, 1:-1, 1], x[0, 2:, 1])


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_dropout_keeps_the_mean_in_training_and_is_nothing_at_rest(share):
    x, dropout = torch.full((400, 500), 3.0), Dropout(share)
    assert torch.equal(dropout.eval()(x), x)
    torch.manual_seed(0)
    dropped = dropout.train()(x)
    assert dropped.mean().item() == pytest.approx(3, rel=0.03)
    assert (dropped == 0).float().mean().item() == pytest.approx(share, abs=0.01)
    torch.testing.assert_close(dropped[dropped != 0].unique(), torch.tensor([3 / (1 - share)]))


@LOCAL
@MODALITIES
@torch.inference_mode()
def test_baseline_and_local_agree_at_the_start_but_for_smoothing(settings, local, modalities):
    baseline = build(settings("baseline"), modalities, CLASSES).eval()
    x, mask = videos()
    for smoothing in (0, 2):
        model = {"local": local, "smoothing": smoothing}
        other = build(settings("local", model=model), modalities, CLASSES).eval()
        added = other.load_state_dict(baseline.state_dict(), strict=False)
        assert not added.unexpected_keys and all(key.startswith("local.") for key in added.missing_keys)
        assert torch.equal(baseline(x, mask).attentions, other(x, mask).attentions)
        # What is linear commutes with a plain mean over time.
        cas = Smoothing(CLASSES + 1, smoothing)(baseline(x, mask).cas, mask)
        torch.testing.assert_close(cas[mask], other(x, mask).cas[mask])


@MODALITIES
@pytest.mark.parametrize("memory", ["learned", "ema"])
@torch.inference_mode()
def test_the_global_branch_starts_equal_to_the_local_one(settings, modalities, memory):
    network = build(settings("dfe", model={"memory": memory}), modalities, CLASSES).train()
    if memory == "ema":
        network.memory.update(torch.randn(CLASSES + 1, WIDTH), torch.arange(CLASSES + 1))
    local, other = network.both_branches(*videos())
    assert all(map(torch.equal, outputs(local), outputs(other)))
    assert other.recall is not None, "though it has read the memory"


@MODALITIES
@pytest.mark.parametrize("memory", ["learned", "ema"])
@torch.inference_mode()
def test_inference_is_the_local_branch_whatever_the_memory_holds(settings, modalities, memory):
    network = stirred(build(settings("dfe", model={"memory": memory}), modalities, CLASSES))
    before = outputs(network(*videos()))
    assert all(map(torch.equal, before, outputs(network.local(*videos()))))
    enhanced = network.both_branches(*videos())[1].cas
    network.memory.prototypes.fill_(torch.nan)
    network.enhance.out.weight.fill_(torch.nan)
    assert all(map(torch.equal, before, outputs(network(*videos()))))
    assert not torch.equal(network(*videos()).cas, enhanced), "the memory is read by the global branch"


def changed(network: Callable[[Tensor, Tensor], Tensor], length: int, at: int, width: int, real: int) -> str:
    """A picture of where the output differs after one snippet of the input is another."""
    x, mask = torch.randn(1, length, width), torch.arange(length)[None] < real
    other = x.clone()
    other[0, at] = torch.randn(width)
    differs = ~torch.isclose(network(x, mask), network(other, mask), rtol=1e-4, atol=1e-6).all(-1)[0]
    return "".join("#" if d else "." for d in differs)


def reach(length: int, at: int, each_side: int) -> str:
    return "".join("#" if abs(t - at) <= each_side else "." for t in range(length))


@pytest.mark.parametrize("window", [1, 3, 8, 40])
@pytest.mark.parametrize("at", [0, 7, 8, 15, 28])
@torch.inference_mode()
def test_windowed_attention_sees_its_window_each_side(window, at):
    block = stirred(WindowedAttention(WIDTH, window, 0.0))
    assert changed(block, 29, at, WIDTH, real=29) == reach(29, at, window)


@pytest.mark.parametrize("reaching", [0, 1, 2, 8])
@pytest.mark.parametrize("at", [0, 1, 14, 27, 28])
@torch.inference_mode()
def test_smoothing_sees_its_reach_each_side(reaching, at):
    block = stirred(Smoothing(WIDTH, reaching))
    assert changed(block, 29, at, WIDTH, real=29) == reach(29, at, reaching)


@pytest.mark.parametrize("dilations", [(1,), (3,), (1, 2, 4)])
@pytest.mark.parametrize("at", [0, 14, 28])
@torch.inference_mode()
def test_dilated_blocks_see_the_sum_of_their_dilations(dilations, at):
    blocks = stirred(LocalEnhancement([DilatedBlock(WIDTH, d, 0.0) for d in dilations]))
    drawn = changed(blocks, 29, at, WIDTH, real=29)
    if len(dilations) == 1:  # only every d-th snippet
        assert drawn == "".join("#" if t - at in (-dilations[0], 0, dilations[0]) else "." for t in range(29))
    else:
        assert drawn == reach(29, at, sum(dilations))


@LOCAL
@torch.inference_mode()
def test_whether_sees_far_and_where_sees_near(settings, local):
    model = {"local": local, "normalise": "none", "smoothing": 2, "dilations": (1, 2, 4), "window": 3}
    network = stirred(build_local(settings("local", model=model), (4, 3), CLASSES))
    near = changed(lambda x, mask: network(x, mask).attentions.movedim(0, -1), 29, 14, 7, real=29)
    far = changed(lambda x, mask: network(x, mask).cas, 29, 14, 7, real=29)
    assert near == reach(29, 14, 0)
    assert far == reach(29, 14, 2 + (3 if local == "attention" else 1 + 2 + 4))


@pytest.mark.parametrize("mode", ["none", "training", "video"])
def test_normalisation_zeroes_padding_and_video_takes_off_the_mean(mode):
    x, mask = videos(more=4, garbage=1e6)
    normalised = Normalise(7, mode)(5 + x, mask)
    assert not normalised[~mask].any()
    if mode == "video":
        torch.testing.assert_close(normalised.sum(1), torch.zeros(B, 7), atol=1e-4, rtol=0)
        torch.testing.assert_close(Normalise(7, mode)(9 + x, mask), normalised, atol=1e-4, rtol=0)


def test_slots_not_written_are_never_read():
    enhance, x = stirred(GlobalEnhancement(WIDTH)), torch.randn(B, T, WIDTH)
    prototypes, written = torch.randn(CLASSES + 1, 2, WIDTH), torch.tensor([[3, 0], [0, 0], [1, 1], [0, 7]])
    plain = enhance(x, prototypes, written)
    prototypes[written == 0] = torch.nan
    again = enhance(x, prototypes, written)
    assert torch.equal(again.features, plain.features) and not torch.equal(plain.features, x)
    assert torch.equal(again.recall, plain.recall) and not plain.recall[..., 1].any(), "class 1 has no slot"
    torch.testing.assert_close(plain.recall.sum(-1), torch.ones(B, T))


def test_an_empty_memory_says_nothing(settings):
    network = build(settings("dfe", model={"memory": "ema"}), (4, 3), CLASSES).eval()
    local, other = network.both_branches(*videos())
    assert other is local and other.recall is None


def test_nothing_is_recalled_until_every_class_has_a_slot(settings):
    network = build(settings("dfe", model={"memory": "ema"}), (4, 3), CLASSES).eval()
    network.memory.update(torch.randn(2, WIDTH), torch.tensor([0, CLASSES]))
    assert network.both_branches(*videos())[1].recall is None


def test_a_snippet_recalls_the_class_that_it_looks_like():
    enhance, prototypes = GlobalEnhancement(WIDTH), torch.eye(WIDTH)[: CLASSES + 1, None]
    for projection in (enhance.query, enhance.key):
        nn.init.eye_(projection.weight)
    recall = enhance(5 * torch.eye(WIDTH)[:CLASSES], prototypes, torch.ones(CLASSES + 1, 1)).recall
    assert recall.argmax(-1).tolist() == [0, 1, 2] and (recall.max(-1).values > 0.99).all()


def test_the_first_write_copies_and_later_ones_move():
    memory = EmaMemory(CLASSES + 1, 1, WIDTH, momentum=0.9)
    first, second = torch.randn(2, WIDTH)
    memory.update(first[None], torch.tensor([2]))
    assert torch.equal(memory.prototypes[2, 0], first)
    memory.update(second[None], torch.tensor([2]))
    torch.testing.assert_close(memory.prototypes[2, 0], 0.9 * first + 0.1 * second)
    assert memory.written[:, 0].tolist() == [0, 0, 2, 0]
    assert not memory.prototypes[[0, 1, 3]].any()


def test_a_class_fills_its_slots_before_any_moves():
    memory = EmaMemory(CLASSES + 1, 2, WIDTH, momentum=0.5)
    a, b = torch.eye(WIDTH)[:2]
    memory.update(torch.stack([a, b, 3 * b]), torch.tensor([1, 1, 1]))
    assert torch.equal(memory.prototypes[1], torch.stack([a, 2 * b])), "the most alike slot moves"


def test_the_ema_memory_takes_what_half_precision_hands_it():
    """On a GPU the features come from autocast in bfloat16; the memory keeps float32."""
    memory = EmaMemory(CLASSES + 1, 1, WIDTH, momentum=0.9)
    for _ in range(2):
        memory.update(torch.ones(1, WIDTH, dtype=torch.bfloat16), torch.tensor([0]))
    assert memory.prototypes.dtype == torch.float32 and memory.written[0, 0] == 2


def test_a_learned_memory_is_trained_unless_it_is_the_random_control(settings):
    assert LearnedMemory(4, 2, WIDTH).prototypes.requires_grad
    for method, trained in (("dfe", True), ("shuffled-memory", True), ("random-memory", False)):
        network = build(settings(method, model={"memory": "learned"}), (7,), CLASSES)
        assert network.memory.prototypes.requires_grad == trained


@LOCAL
def test_the_operators_differ_only_in_the_local_part(settings, local):
    sizes = {
        m: sum(p.numel() for p in build(settings(m, model={"local": local}), (7,), CLASSES).parameters())
        for m in ("baseline", "local", "dfe")
    }
    assert all(small < large for small, large in pairwise(sizes.values()))
