"""Losses: finite whatever the batch, blind to padding, and zero where there is nothing to learn."""

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
TEMPERATURE = 2.0


@dataclass
class Sample:
    """All that a loss may ask for, from a student and a teacher."""

    features: Tensor  # B x T x H
    cas: Tensor  # B x T x (C + 1)
    attentions: Tensor  # 2 x B x T
    teacher_features: Tensor
    teacher_cas: Tensor
    teacher_attention: Tensor  # B x T
    mask: Tensor
    labels: Tensor  # B x C

    def learnable(self) -> list[Tensor]:
        return [v for f in fields(self) if (v := getattr(self, f.name)).requires_grad]


def sample(lengths: list[int], labels: list[list[int]], seed: int = 0, padding: int = 0, garbage=1e6) -> Sample:
    """Random outputs for videos of these lengths; `padding` more snippets, all padding full of garbage."""
    torch.manual_seed(seed)
    B, T = len(lengths), max(lengths)
    mask = torch.arange(T + padding)[None] < torch.tensor(lengths)[:, None]

    def drawn(values: Tensor, axis: int = 1) -> Tensor:
        more = values.new_zeros(*values.shape[:axis], padding, *values.shape[axis + 1 :])
        padded = torch.cat([values, more], axis)
        real = mask.reshape(mask.shape + (1,) * (padded.ndim - axis - 1))
        return torch.where(real, padded, garbage * torch.sin(torch.arange(padded.numel()) + 1.0).view_as(padded))

    wide, scores, attentions = torch.randn(2, B, T, H), torch.randn(2, B, T, C + 1), torch.rand(3, B, T)
    tags = torch.zeros(B, C)
    for row, carried in zip(tags, labels, strict=True):
        row[carried] = 1
    values = [
        drawn(wide[0]),
        drawn(scores[0]),
        drawn(attentions[:2], 2),
        drawn(wide[1]),
        drawn(scores[1]),
        drawn(attentions[2]),
    ]
    return Sample(*(value.requires_grad_() for value in values), mask, tags)


def coactivity(features: Tensor, cas: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    return losses.co_activity_loss(*losses.high_and_low(features, cas, mask), labels)


LOSSES: dict[str, Callable[[Sample], Tensor]] = {
    "mil_loss": lambda s: losses.mil_loss(losses.topk_mean(s.cas, s.mask, 3), s.labels, background=1),
    "mil_loss, suppressed": lambda s: losses.mil_loss(losses.topk_mean(s.cas, s.mask, 3), s.labels, background=0),
    "class_competition_loss": lambda s: losses.class_competition_loss(s.cas.softmax(-1), s.labels, s.mask, 3),
    "partial_label_loss": lambda s: losses.partial_label_loss(s.cas.softmax(-1), s.labels, s.mask),
    "co_activity_loss": lambda s: coactivity(s.features, s.cas[..., :-1], s.labels, s.mask),
    "sparsity_loss": lambda s: losses.sparsity_loss(s.attentions[0], s.mask),
    "attention_background_consistency_loss": lambda s: losses.attention_background_consistency_loss(
        s.attentions[0], s.cas, s.mask
    ),
    "mutual_loss": lambda s: losses.mutual_loss(s.attentions, s.mask),
    "distillation_attention_loss": lambda s: losses.distillation_attention_loss(
        s.attentions[0], s.teacher_attention, s.mask
    ),
    "distillation_cas_loss": lambda s: losses.distillation_cas_loss(
        s.cas, s.teacher_cas, s.teacher_attention, s.labels, s.mask, TEMPERATURE
    ),
    "distillation_features_loss": lambda s: losses.distillation_features_loss(s.features, s.teacher_features, s.mask),
}
ANY_LOSS = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
DISTILLATION = pytest.mark.parametrize("name", [name for name in LOSSES if name.startswith("distillation")])
BATCHES = {
    "mixed": ([7, 4, 1], [[0], [0, 2], []]),
    "no label at all": ([7, 4], [[], []]),
    "one video": ([6], [[1]]),
    "one video, no label": ([6], [[]]),
    "one snippet": ([1], [[0]]),
    "one snippet each": ([1, 1, 1], [[0], [0], []]),
}


def gradients(loss: Callable[[Sample], Tensor], s: Sample) -> list[Tensor]:
    found = torch.autograd.grad(loss(s), s.learnable(), allow_unused=True)
    return [torch.zeros_like(v) if g is None else g for g, v in zip(found, s.learnable(), strict=True)]


def test_every_loss_is_tested_here():
    """All but `prototypes_loss`, which sees no video, stand in the table above."""
    there = {name for name in vars(losses) if name.endswith("_loss")}
    assert there == {name.partition(",")[0] for name in LOSSES} | {"prototypes_loss"}


@ANY_LOSS
@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES)
def test_value_and_gradient_are_finite(loss, batch):
    s = sample(*batch, padding=2)
    assert loss(s).shape == () and loss(s).isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients(loss, s))


@ANY_LOSS
@pytest.mark.parametrize("scale", [0.0, 1e3])
def test_flat_and_extreme_outputs_are_finite_too(loss, scale):
    s = sample([7, 4, 4], [[0], [0, 2], []])
    for value in s.learnable():
        value.data *= scale
    for shares in (s.attentions, s.teacher_attention):
        shares.data.clamp_(0, 1)
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
        assert not long.narrow(axis, short.shape[axis], 5).any(), "padding is not learned from"


@ANY_LOSS
def test_the_order_of_the_videos_does_not_matter(loss):
    lengths, labels = [7, 4, 5, 2], [[0], [0, 2], [], [2]]
    s, order = sample(lengths, labels), torch.tensor([2, 0, 3, 1])
    values = {f.name: getattr(s, f.name) for f in fields(s)}
    turned = [v[:, order] if name == "attentions" else v[order] for name, v in values.items()]
    torch.testing.assert_close(loss(Sample(*turned)), loss(s))


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
        strongest = -(-length // ratio)
        for c in range(C + 1):
            ranked = sorted(s.cas[b, :length, c].tolist(), reverse=True)
            assert pooled[b, c].item() == pytest.approx(sum(ranked[:strongest]) / strongest, abs=1e-5)


def test_masked_mean_weighs_videos_alike():
    values, mask = torch.tensor([[1.0, 1.0, 1.0], [4.0, 9.0, 9.0]]), torch.tensor([[1, 1, 1], [1, 0, 0]]).bool()
    assert losses.masked_mean(values, mask) == 2.5


def test_mil_of_sure_logits_tends_to_what_the_target_leaves_open():
    labels = torch.tensor([[0.0, 1.0, 0.0]])
    sure = torch.tensor([[0.0, 60.0, 0.0, 0.0]])
    assert losses.mil_loss(sure, labels, background=0) == pytest.approx(0, abs=1e-6)
    two = torch.tensor([[0.0, 60.0, 0.0, 60.0]])
    assert losses.mil_loss(two, labels, background=1).item() == pytest.approx(torch.tensor(2.0).log().item())
    assert losses.mil_loss(torch.randn(2, 4), torch.zeros(2, 3), background=0) == 0


def test_prototypes_that_are_recognised_cost_nothing():
    classes = torch.tensor([0, 0, 1, 2])
    perfect = 60 * torch.nn.functional.one_hot(classes, C + 1).float()
    assert losses.prototypes_loss(perfect, classes) == pytest.approx(0, abs=1e-6)
    assert losses.prototypes_loss(perfect, classes.flip(0)) > 1


def test_one_modality_agrees_with_itself_and_two_may_not():
    s = sample([7, 4], [[0], [1]])
    assert losses.mutual_loss(s.attentions[:1], s.mask) == 0
    assert losses.mutual_loss(s.attentions[:1].expand(3, -1, -1), s.mask).item() == pytest.approx(0, abs=1e-7)
    assert losses.mutual_loss(s.attentions, s.mask) > 0


def test_coactivity_asks_nothing_of_videos_that_share_no_label():
    loss = LOSSES["co_activity_loss"]
    assert loss(sample([7, 4, 5], [[0], [1], [2]])) == 0
    assert loss(sample([7, 4, 5], [[0], [1], [0]])) > 0


def test_coactivity_is_lower_where_the_shared_class_looks_alike():
    """Two videos, each high in class 0 in its first snippet: alike there, or unlike."""
    cas = torch.zeros(2, 4, C)
    cas[:, 0, 0] = 9
    mask, labels = torch.ones(2, 4, dtype=torch.bool), torch.tensor([[1.0, 0, 0], [1.0, 0, 0]])
    alike, unlike = torch.zeros(2, 4, H), torch.zeros(2, 4, H)
    alike[:, 1:, 1] = unlike[:, 1:, 1] = 1
    alike[:, 0, 0] = unlike[0, 0, 0] = unlike[1, 0, 2] = 1
    near, far = (coactivity(x, cas, labels, mask) for x in (alike, unlike))
    assert near < 0.01 < far


@pytest.mark.parametrize("name", ["distillation_attention_loss", "distillation_features_loss"])
def test_distillation_is_zero_when_the_student_is_the_teacher(name):
    s = sample([7, 4], [[0, 1], []])
    same = replace(s, teacher_features=s.features, teacher_attention=s.attentions[0])
    assert LOSSES[name](same).item() == pytest.approx(0, abs=1e-6)
    assert LOSSES[name](s) > 0.01


@DISTILLATION
def test_the_teacher_gets_no_gradient_and_the_student_does(name):
    s = sample([7, 4], [[0], [1, 2]])
    LOSSES[name](s).backward()
    for value in (s.teacher_features, s.teacher_cas, s.teacher_attention):
        assert value.grad is None or not value.grad.any()
    assert any(v.grad is not None and v.grad.any() for v in (s.features, s.cas, s.attentions))


LABELS = pytest.mark.parametrize("carried", [[], [1], [0, 2], [0, 1, 2]], ids=str)


def taught(s: Sample) -> Tensor:
    """What the student of a single video is pulled toward, read off the gradient. T x (C + 1)."""
    (gradient,) = torch.autograd.grad(LOSSES["distillation_cas_loss"](s), s.cas)
    student = torch.softmax(s.cas / TEMPERATURE, -1)
    return (student - gradient * s.cas.shape[1] / TEMPERATURE)[0].detach()


@LABELS
def test_the_taught_distribution_is_of_carried_classes_and_of_background(carried):
    s = sample([7], [carried])
    target, attention = taught(s), s.teacher_attention[0]
    absent = [c for c in range(C) if c not in carried]
    torch.testing.assert_close(target.sum(1), torch.ones(7))
    torch.testing.assert_close(target[:, absent], torch.zeros(7, len(absent)), atol=1e-6, rtol=0)
    torch.testing.assert_close(target[:, -1], 1 - attention if carried else torch.ones(7))
    if carried:  # in the teacher's own proportions
        among = torch.softmax(s.teacher_cas[0][:, carried] / TEMPERATURE, -1)
        torch.testing.assert_close(target[:, carried], attention[:, None] * among)


@LABELS
def test_a_student_that_says_what_is_taught_has_nothing_to_learn(carried):
    s = sample([7], [carried])
    student = TEMPERATURE * taught(s).clamp(min=1e-9).log()
    assert LOSSES["distillation_cas_loss"](replace(s, cas=student[None])).item() == pytest.approx(0, abs=1e-5)
    assert LOSSES["distillation_cas_loss"](s) > 0.01


def test_what_the_teacher_holds_of_classes_not_carried_and_of_background_counts_nothing():
    s = sample([7], [[0, 1]])
    before = taught(s)
    s.teacher_cas.data[..., [2, 3]] += 1e3
    torch.testing.assert_close(taught(s), before)
    s.teacher_cas.data[..., 1] += 1
    assert not torch.allclose(taught(s), before)


def sure(*pictures: str) -> Tensor:
    """A video a picture, a digit a snippet: logits that are sure of that class; `.` is background."""
    won = torch.tensor([[C if mark == "." else int(mark) for mark in picture] for picture in pictures])
    return 60 * torch.nn.functional.one_hot(won, C + 1).float()


def carrying(*carried: list[int]) -> Tensor:
    return torch.stack([torch.zeros(C).index_fill_(0, torch.tensor(c, dtype=torch.long), 1) for c in carried])


def everywhere(cas: Tensor) -> Tensor:
    return torch.ones(cas.shape[:2], dtype=torch.bool)


def test_exclusive_is_zero_where_each_class_wins_its_own_snippets():
    cas, labels = sure("00.22.", "......", ".11111"), carrying([0, 2], [], [1])
    assert losses.class_competition_loss(cas.softmax(-1), labels, everywhere(cas), 6).item() == pytest.approx(
        0, abs=1e-5
    )
    missed = losses.class_competition_loss(cas.softmax(-1), labels, everywhere(cas), 3).item()
    assert missed == pytest.approx(np.log(2) / 2 / 3, abs=1e-4), "half the third's background is sought in vain"


def test_exclusive_is_larger_where_two_classes_share_their_snippets():
    own, labels = sure("00.22."), carrying([0, 2])
    shared = own.clone()
    shared[:, :2] = shared[:, 3:5] = torch.tensor([60.0, 0, 60, 0])
    loss = losses.class_competition_loss(shared.softmax(-1), labels, everywhere(shared), 3)
    assert loss.item() == pytest.approx(2 / 3 * np.log(2), abs=1e-4), "both win by half what they share"
    mil, mil_own = (losses.mil_loss(losses.topk_mean(x, everywhere(x), 3), labels, 1) for x in (shared, own))
    torch.testing.assert_close(mil, mil_own, msg="which the other loss does not mind")
    missed = losses.class_competition_loss(sure("00....").softmax(-1), labels, everywhere(own), 3)
    assert missed > loss, "and a class with no snippet at all is worse"


def test_candidates_are_the_carried_classes_and_background():
    cas = sure("00.22.", "......")
    assert losses.partial_label_loss(cas.softmax(-1), carrying([0, 2], []), everywhere(cas)).item() == pytest.approx(
        0, abs=1e-6
    )
    assert losses.partial_label_loss(cas.softmax(-1), carrying([0], []), everywhere(cas)) > 2, (
        "two snippets of a class not there"
    )
    either = torch.tensor([[[30.0, 0, 30, 0]]])
    assert losses.partial_label_loss(either.softmax(-1), carrying([0, 2]), everywhere(either)).item() == pytest.approx(
        0, abs=1e-6
    )


@given(st.integers(0, 999), st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_levelled_attention_keeps_its_order_and_takes_the_wanted_mean(seed, level, wanted):
    draw = torch.Generator().manual_seed(seed)
    attention = (torch.rand(3, 9, generator=draw) * 0.2 + level * 0.8).clamp(0.01, 0.99)
    foreground = torch.rand(3, 9, generator=draw) * 0.01 + wanted * 0.99
    mask = torch.arange(9) < torch.tensor([9, 4, 1])[:, None]
    found = losses.match_mean_foreground(attention, foreground, mask)
    garbage = losses.match_mean_foreground(attention.masked_fill(~mask, 1.0), foreground.masked_fill(~mask, 0.0), mask)
    for row, other, aim, real, same in zip(attention, found, foreground, mask, garbage, strict=True):
        assert other[real].mean().item() == pytest.approx(aim[real].mean().item(), abs=1e-4)
        assert torch.equal(row[real].argsort(), other[real].argsort())
        torch.testing.assert_close(other[real], same[real], rtol=0, atol=0)


def test_attention_at_the_wanted_level_stays_and_extremes_are_finite():
    mask = torch.ones(1, 6, dtype=torch.bool)
    attention = torch.tensor([[0.1, 0.3, 0.5, 0.5, 0.7, 0.9]])
    torch.testing.assert_close(
        losses.match_mean_foreground(attention, attention.flip(1), mask), attention, atol=1e-4, rtol=0
    )
    for extreme in (torch.zeros(1, 6), torch.ones(1, 6)):
        for one, other in ((attention, extreme), (extreme, attention), (extreme, 1 - extreme)):
            assert losses.match_mean_foreground(one, other, mask).isfinite().all()
            assert abs(losses.match_mean_foreground(one, other, mask).mean() - other.mean()) < 1e-2
