"""Losses: finite for any batch, independent of padding and order, and zero at their optimum."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from wtal.training import losses

C, H = 3, 5


@dataclass
class Sample:
    """The outputs of a branch and the class probabilities of a teacher, which the losses use."""

    features: Tensor  # B x T x H
    cas: Tensor  # B x T x (C + 1)
    attentions: Tensor  # 2 x B x T
    targets: Tensor  # B x T x (C + 1)
    mask: Tensor
    labels: Tensor  # B x C

    def learnable(self) -> list[Tensor]:
        return [v for f in fields(self) if (v := getattr(self, f.name)).requires_grad]


def sample(lengths: list[int], labels: list[list[int]], seed: int = 0, padding: int = 0, garbage=1e6) -> Sample:
    """Random outputs for videos of these lengths, with `padding` more snippets; all padding is garbage."""
    torch.manual_seed(seed)
    B, T = len(lengths), max(lengths)
    mask = torch.arange(T + padding)[None] < torch.tensor(lengths)[:, None]

    def padded(values: Tensor, axis: int = 1) -> Tensor:
        more = values.new_zeros(*values.shape[:axis], padding, *values.shape[axis + 1 :])
        longer = torch.cat([values, more], axis)
        valid = mask.reshape(mask.shape + (1,) * (longer.ndim - axis - 1))
        return torch.where(valid, longer, garbage * torch.sin(torch.arange(longer.numel()) + 1.0).view_as(longer))

    wide, scores, attentions = torch.randn(B, T, H), torch.randn(2, B, T, C + 1), torch.rand(2, B, T)
    tags = torch.zeros(B, C)
    for row, present in zip(tags, labels, strict=True):
        row[present] = 1
    values = [padded(wide), padded(scores[0]), padded(attentions, 2)]
    return Sample(*(value.requires_grad_() for value in values), padded(scores[1].softmax(-1)), mask, tags)


def co_activity(features: Tensor, cas: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    return losses.co_activity_loss(*losses.high_and_low(features, cas, mask), labels)


LOSSES: dict[str, Callable[[Sample], Tensor]] = {
    "mil_loss": lambda s: losses.mil_loss(losses.topk_mean(s.cas, s.mask, 3), s.labels, background=1),
    "mil_loss, suppressed": lambda s: losses.mil_loss(losses.topk_mean(s.cas, s.mask, 3), s.labels, background=0),
    "class_competition_loss": lambda s: losses.class_competition_loss(s.cas.softmax(-1), s.labels, s.mask, 3),
    "partial_label_loss": lambda s: losses.partial_label_loss(s.cas.softmax(-1), s.labels, s.mask),
    "co_activity_loss": lambda s: co_activity(s.features, s.cas[..., :-1], s.labels, s.mask),
    "sparsity_loss": lambda s: losses.sparsity_loss(s.attentions[0], s.mask),
    "attention_background_consistency_loss": lambda s: losses.attention_background_consistency_loss(
        s.attentions[0], s.cas, s.mask
    ),
    "mutual_loss": lambda s: losses.mutual_loss(s.attentions, s.mask),
    "distillation_attention_loss": lambda s: losses.distillation_attention_loss(s.attentions[0], s.targets, s.mask),
    "distillation_cas_loss": lambda s: losses.distillation_cas_loss(s.cas, s.targets, s.mask),
    "labelled_attention_loss": lambda s: losses.labelled_attention_loss(s.attentions[0], s.targets * s.mask[..., None]),
    "labelled_cas_loss": lambda s: losses.labelled_cas_loss(s.cas, s.targets * s.mask[..., None]),
}
ANY_LOSS = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
BATCHES = {
    "mixed": ([7, 4, 1], [[0], [0, 2], []]),
    "no label at all": ([7, 4], [[], []]),
    "one video": ([6], [[1]]),
    "one video, no label": ([6], [[]]),
    "one snippet": ([1], [[0]]),
    "one snippet each": ([1, 1, 1], [[0], [0], []]),
}


def gradients(loss: Callable[[Sample], Tensor], s: Sample) -> list[Tensor]:
    gradients = torch.autograd.grad(loss(s), s.learnable(), allow_unused=True)
    return [torch.zeros_like(v) if g is None else g for g, v in zip(gradients, s.learnable(), strict=True)]


def test_the_table_of_this_module_covers_every_loss():
    functions = {name for name in vars(losses) if name.endswith("_loss")}
    assert functions == {name.partition(",")[0] for name in LOSSES}


@ANY_LOSS
@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES)
def test_value_and_gradient_are_finite(loss, batch):
    s = sample(*batch, padding=2)
    assert loss(s).shape == () and loss(s).isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients(loss, s))


@ANY_LOSS
@pytest.mark.parametrize("scale", [0.0, 1e3])
def test_flat_and_extreme_outputs_give_finite_losses(loss, scale):
    s = sample([7, 4, 4], [[0], [0, 2], []])
    for value in s.learnable():
        value.data *= scale
    s.attentions.data.clamp_(0, 1)
    assert loss(s).isfinite() and all(gradient.isfinite().all() for gradient in gradients(loss, s))


@ANY_LOSS
@pytest.mark.parametrize("garbage", [1.0, 1e6, -1e12])
def test_padding_changes_nothing(loss, garbage):
    batch = BATCHES["mixed"]
    plain, padded = sample(*batch, garbage=0.0), sample(*batch, padding=5, garbage=garbage)
    torch.testing.assert_close(loss(padded), loss(plain))
    for short, long in zip(gradients(loss, plain), gradients(loss, padded), strict=True):
        axis = short.shape.index(7)  # T
        torch.testing.assert_close(long.narrow(axis, 0, short.shape[axis]), short)
        assert not long.narrow(axis, short.shape[axis], 5).any(), "padding gets no gradient"


@ANY_LOSS
def test_loss_does_not_depend_on_the_order_of_videos(loss):
    lengths, labels = [7, 4, 5, 2], [[0], [0, 2], [], [2]]
    s, order = sample(lengths, labels), torch.tensor([2, 0, 3, 1])
    values = {f.name: getattr(s, f.name) for f in fields(s)}
    permuted = [v[:, order] if name == "attentions" else v[order] for name, v in values.items()]
    torch.testing.assert_close(loss(Sample(*permuted)), loss(s))


@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    ratio=st.integers(1, 15),
    padding=st.integers(0, 5),
    seed=st.integers(0, 99),
)
def test_topk_mean_equals_a_plain_loop(lengths, ratio, padding, seed):
    s = sample(lengths, [[]] * len(lengths), seed, padding)
    pooled = losses.topk_mean(s.cas, s.mask, ratio)
    for b, length in enumerate(lengths):
        k = -(-length // ratio)
        for c in range(C + 1):
            ranked = sorted(s.cas[b, :length, c].tolist(), reverse=True)
            assert pooled[b, c].item() == pytest.approx(sum(ranked[:k]) / k, abs=1e-5)


def test_masked_mean_weights_videos_equally():
    values, mask = torch.tensor([[1.0, 1.0, 1.0], [4.0, 9.0, 9.0]]), torch.tensor([[1, 1, 1], [1, 0, 0]]).bool()
    assert losses.masked_mean(values, mask) == 2.5


def test_mil_loss_of_confident_logits_is_the_entropy_of_the_target():
    labels = torch.tensor([[0.0, 1.0, 0.0]])
    confident = torch.tensor([[0.0, 60.0, 0.0, 0.0]])
    assert losses.mil_loss(confident, labels, background=0) == pytest.approx(0, abs=1e-6)
    two = torch.tensor([[0.0, 60.0, 0.0, 60.0]])
    assert losses.mil_loss(two, labels, background=1).item() == pytest.approx(torch.tensor(2.0).log().item())
    assert losses.mil_loss(torch.randn(2, 4), torch.zeros(2, 3), background=0) == 0


def test_mutual_loss_is_zero_for_one_modality_and_for_equal_ones():
    s = sample([7, 4], [[0], [1]])
    assert losses.mutual_loss(s.attentions[:1], s.mask) == 0
    assert losses.mutual_loss(s.attentions[:1].expand(3, -1, -1), s.mask).item() == pytest.approx(0, abs=1e-7)
    assert losses.mutual_loss(s.attentions, s.mask) > 0


def test_co_activity_loss_is_zero_without_shared_labels():
    loss = LOSSES["co_activity_loss"]
    assert loss(sample([7, 4, 5], [[0], [1], [2]])) == 0
    assert loss(sample([7, 4, 5], [[0], [1], [0]])) > 0


def test_co_activity_loss_is_lower_if_the_shared_class_has_similar_features():
    """Two videos, each with class 0 in its first snippet, with equal or different features there."""
    cas = torch.zeros(2, 4, C)
    cas[:, 0, 0] = 9
    mask, labels = torch.ones(2, 4, dtype=torch.bool), torch.tensor([[1.0, 0, 0], [1.0, 0, 0]])
    equal, different = torch.zeros(2, 4, H), torch.zeros(2, 4, H)
    equal[:, 1:, 1] = different[:, 1:, 1] = 1
    equal[:, 0, 0] = different[0, 0, 0] = different[1, 0, 2] = 1
    low, high = (co_activity(x, cas, labels, mask) for x in (equal, different))
    assert low < 0.01 < high


@pytest.mark.parametrize("name", ["distillation_cas_loss", "distillation_attention_loss"])
def test_gradient_of_distillation_points_to_the_teacher(name):
    """It is zero exactly where the student has the teacher's probabilities, on real snippets."""
    s = sample([7, 4], [[0], [1, 2]])
    foreground = 1 - s.targets[..., -1]
    equal = replace(
        s,
        cas=(s.targets.clamp(min=1e-9).log() + 5).requires_grad_(),
        attentions=foreground.clamp(0, 1)[None].clone().requires_grad_(),
    )
    assert all(gradient.abs().max() < 1e-5 for gradient in gradients(LOSSES[name], equal))
    assert any(gradient.abs().max() > 1e-3 for gradient in gradients(LOSSES[name], s))
    assert LOSSES[name](equal) < LOSSES[name](s)


def test_distillation_of_certain_targets_can_reach_zero():
    cas, mask = confident_cas("00.22."), torch.ones(1, 6, dtype=torch.bool)
    targets = cas.softmax(-1)
    assert losses.distillation_cas_loss(cas, targets, mask).item() == pytest.approx(0, abs=1e-5)
    attention = torch.tensor([[1.0, 1, 0, 1, 1, 0]])
    assert losses.distillation_attention_loss(attention, targets, mask).item() == pytest.approx(0, abs=1e-5)
    assert losses.distillation_attention_loss(1 - attention, targets, mask) > 5


def confident_cas(*videos: str) -> Tensor:
    """Logits that are confident of the class given by each digit; `.` is background."""
    classes = torch.tensor([[C if mark == "." else int(mark) for mark in video] for video in videos])
    return 60 * torch.nn.functional.one_hot(classes, C + 1).float()


def multi_hot(*labels: list[int]) -> Tensor:
    return torch.stack([torch.zeros(C).index_fill_(0, torch.tensor(c, dtype=torch.long), 1) for c in labels])


def full_mask(cas: Tensor) -> Tensor:
    return torch.ones(cas.shape[:2], dtype=torch.bool)


def test_class_competition_is_zero_if_each_class_wins_snippets_of_its_own():
    cas, labels = confident_cas("00.22.", "......", ".11111"), multi_hot([0, 2], [], [1])
    assert losses.class_competition_loss(cas.softmax(-1), labels, full_mask(cas), 6).item() == pytest.approx(
        0, abs=1e-5
    )
    missing = losses.class_competition_loss(cas.softmax(-1), labels, full_mask(cas), 3).item()
    assert missing == pytest.approx(np.log(2) / 2 / 3, abs=1e-4), "the third video has one background snippet of two"


def test_class_competition_is_larger_if_two_classes_share_their_snippets():
    separate, labels = confident_cas("00.22."), multi_hot([0, 2])
    shared = separate.clone()
    shared[:, :2] = shared[:, 3:5] = torch.tensor([60.0, 0, 60, 0])
    loss = losses.class_competition_loss(shared.softmax(-1), labels, full_mask(shared), 3)
    assert loss.item() == pytest.approx(2 / 3 * np.log(2), abs=1e-4), "each has probability 1/2 in the shared snippets"
    mil, mil_separate = (losses.mil_loss(losses.topk_mean(x, full_mask(x), 3), labels, 1) for x in (shared, separate))
    torch.testing.assert_close(mil, mil_separate, msg="the MIL loss does not see the difference")
    missed = losses.class_competition_loss(confident_cas("00....").softmax(-1), labels, full_mask(separate), 3)
    assert missed > loss, "a class without any snippet is worse"


def test_partial_label_loss_allows_the_classes_of_the_video_and_background():
    cas = confident_cas("00.22.", "......")
    assert losses.partial_label_loss(cas.softmax(-1), multi_hot([0, 2], []), full_mask(cas)).item() == pytest.approx(
        0, abs=1e-6
    )
    assert losses.partial_label_loss(cas.softmax(-1), multi_hot([0], []), full_mask(cas)) > 2, (
        "two snippets of an absent class"
    )
    either = torch.tensor([[[30.0, 0, 30, 0]]])
    assert losses.partial_label_loss(either.softmax(-1), multi_hot([0, 2]), full_mask(either)).item() == pytest.approx(
        0, abs=1e-6
    )
