"""The memory: how it is written, how it is read, and what is pooled for it."""

import pytest
import torch
from torch import nn

from wtal.models.layers import BranchOutput
from wtal.models.memory import EmaMemory, GlobalEnhancement, LearnedMemory, confident_features

CLASSES, WIDTH = 3, 16
B, T = 2, 13


def randomised(module: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    with torch.no_grad():
        for values in module.parameters():
            values.add_(0.3 * torch.randn_like(values))
    return module


def test_first_write_copies_and_later_writes_average():
    memory = EmaMemory(CLASSES + 1, 1, WIDTH, momentum=0.9)
    first, second = torch.randn(2, WIDTH)
    memory.update(first[None], torch.tensor([2]))
    assert torch.equal(memory.prototypes[2, 0], first)
    memory.update(second[None], torch.tensor([2]))
    torch.testing.assert_close(memory.prototypes[2, 0], 0.9 * first + 0.1 * second)
    assert memory.written[:, 0].tolist() == [0, 0, 2, 0]
    assert not memory.prototypes[[0, 1, 3]].any()


def test_empty_slots_are_filled_before_the_most_similar_one_is_updated():
    memory = EmaMemory(CLASSES + 1, 2, WIDTH, momentum=0.5)
    a, b = torch.eye(WIDTH)[:2]
    memory.update(torch.stack([a, b, 3 * b]), torch.tensor([1, 1, 1]))
    assert torch.equal(memory.prototypes[1], torch.stack([a, 2 * b]))


def test_ema_memory_keeps_float32():
    """On a GPU the features are bfloat16."""
    memory = EmaMemory(CLASSES + 1, 1, WIDTH, momentum=0.9)
    for _ in range(2):
        memory.update(torch.ones(1, WIDTH, dtype=torch.bfloat16), torch.tensor([0]))
    assert memory.prototypes.dtype == torch.float32 and memory.written[0, 0] == 2


def test_ema_memory_is_empty_until_written_and_complete_with_every_class():
    memory = EmaMemory(CLASSES + 1, 1, WIDTH, momentum=0.9)
    assert memory.is_empty and not memory.is_complete
    memory.update(torch.randn(2, WIDTH), torch.tensor([0, CLASSES]))
    assert not memory.is_empty and not memory.is_complete
    memory.update(torch.randn(2, WIDTH), torch.tensor([1, 2]))
    assert memory.is_complete
    assert not LearnedMemory(2, 1, WIDTH).is_empty and LearnedMemory(2, 1, WIDTH).is_complete


@torch.no_grad()
def test_confident_features_pool_the_top_tenth_of_each_class():
    """Class 0 is present in two snippets of 20: the tenth that is pooled, wherever the padding is."""
    torch.manual_seed(0)
    mask = torch.arange(23)[None] < torch.tensor([20, 7])[:, None]
    features, cas = torch.randn(2, 23, WIDTH), torch.randn(2, 23, CLASSES + 1)
    cas[0, :, 0], cas[0, [4, 9], 0] = -50, 50
    attentions = torch.rand(1, 2, 23)
    attentions[:, 0] = 0.5
    cas[~mask], attentions[:, ~mask], features[~mask] = torch.tensor([0, 0, 0, 90.0]), 0, 1e9
    branch = BranchOutput(torch.zeros(1, 2, 23, WIDTH), features, attentions, cas)
    pooled, classes = confident_features(branch, torch.tensor([[1.0, 0, 0], [0, 0, 0]]), mask)
    assert classes.tolist() == [0, CLASSES, CLASSES], "every video has background"
    torch.testing.assert_close(pooled[0], features[0, [4, 9]].mean(0))
    assert (pooled.abs() < 1e6).all(), "padding is not pooled"


def test_unwritten_slots_are_never_read():
    enhance, x = randomised(GlobalEnhancement(WIDTH)), torch.randn(B, T, WIDTH)
    prototypes, written = torch.randn(CLASSES + 1, 2, WIDTH), torch.tensor([[3, 0], [0, 0], [1, 1], [0, 7]])
    plain = enhance(x, prototypes, written)
    prototypes[written == 0] = torch.nan
    readout = enhance(x, prototypes, written)
    assert torch.equal(readout.features, plain.features) and not torch.equal(plain.features, x)
    assert torch.equal(readout.memory_assignment, plain.memory_assignment)
    assert not plain.memory_assignment[..., 1].any(), "class 1 has no slot"
    torch.testing.assert_close(plain.memory_assignment.sum(-1), torch.ones(B, T))


@pytest.mark.parametrize("scale", [0.1, 5.0])
def test_snippets_are_assigned_to_the_most_similar_class(scale):
    enhance, prototypes = GlobalEnhancement(WIDTH), torch.eye(WIDTH)[: CLASSES + 1, None]
    for projection in (enhance.query, enhance.key):
        nn.init.eye_(projection.weight)
    x = scale * torch.eye(WIDTH)[:CLASSES]
    assignment = enhance(x, prototypes, torch.ones(CLASSES + 1, 1)).memory_assignment
    assert assignment.argmax(-1).tolist() == [0, 1, 2] and (assignment.max(-1).values > 0.99).all()
