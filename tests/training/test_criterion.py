"""The training objective: finite for any batch, independent of padding, weighted by name and by the teacher."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.helpers.errors import raises
from wtal.core.config import Config
from wtal.core.errors import ConfigError
from wtal.core.methods import METHODS
from wtal.data.batching import Batch
from wtal.models.local_branch import build_model
from wtal.training.criterion import compute_loss, loss_weights
from wtal.training.losses import LOSSES, LossInputs

CLASSES = 3
METHOD = pytest.mark.parametrize("method", METHODS)
DISTILLATION = {"distillation_cas", "distillation_attention"}
LABELED = {"labelled_cas", "labelled_attention"}


def make_batch(method: str, labels: list[list[int]], lengths: tuple[int, ...] = (12, 7), padding: int = 0) -> Batch:
    """A random batch, with targets if the method has a teacher; the first snippets of the last video are labeled."""
    torch.manual_seed(1)
    mask = torch.arange(max(lengths) + padding)[None] < torch.tensor(lengths)[:, None]
    features = F.pad(torch.randn(len(lengths), max(lengths), 10), (0, 0, 0, padding), value=1e4)
    targets = F.pad(torch.randn(len(lengths), max(lengths), CLASSES + 1).softmax(-1), (0, 0, 0, padding))
    tags = torch.zeros(len(lengths), CLASSES)
    for row, present in zip(tags, labels, strict=True):
        row[present] = 1
    snippet_labels = targets.clone()
    snippet_labels[:-1] = 0
    snippet_labels[-1, 3:] = 0
    targets = None if METHODS[method].teacher == "none" else targets
    return Batch(features, mask, tags, targets=targets, snippet_labels=snippet_labels)


def make(settings, method: str, **sections: dict[str, object]) -> tuple[Config, nn.Module]:
    """Settings, and a network with random weights."""
    config = settings(method, **{"model": {"dropout": 0.0}, **sections})
    torch.manual_seed(0)
    network = build_model(config, (6, 4), CLASSES)
    with torch.no_grad():
        for values in network.parameters():
            values.add_(0.2 * torch.randn_like(values))
    return config, network


def losses_of(network: nn.Module, batch: Batch, config: Config) -> tuple[Tensor, dict[str, Tensor]]:
    return compute_loss(network(batch.features, batch.mask), batch, config)


@METHOD
@pytest.mark.parametrize("labels", [[[0], [0, 2]], [[], []], [[], [1]]], ids=str)
def test_loss_and_gradient_are_finite(settings, method, labels):
    config, network = make(settings, method)
    loss, terms = losses_of(network, make_batch(method, labels), config)
    loss.backward()
    assert loss.isfinite() and all(term.isfinite() and term.shape == () for term in terms.values())
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())
    assert network.classify.weight.grad.any()


@METHOD
def test_single_snippets_and_single_videos_are_valid_batches(settings, method):
    config, network = make(settings, method)
    for labels, lengths in (([[0]], (9,)), ([[]], (1,)), ([[0], [0]], (1, 1))):
        loss, _ = losses_of(network, make_batch(method, labels, lengths), config)
        loss.backward()
        assert loss.isfinite() and all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


@METHOD
@torch.no_grad()
def test_padding_changes_nothing(settings, method):
    config, network = make(settings, method)
    plain, padded = (
        losses_of(network.eval(), make_batch(method, [[0], [0, 2]], padding=padding), config) for padding in (0, 5)
    )
    torch.testing.assert_close(padded, plain, rtol=1e-4, atol=1e-5)


def factor_of(name: str, config: Config) -> float:
    """How much a term counts besides its weight."""
    if name in DISTILLATION | LABELED or config.method_spec.teacher == "none":
        return 1.0
    return config.teacher.weak_losses


@METHOD
@torch.no_grad()
def test_total_is_the_weighted_sum_of_the_terms(settings, method):
    config, network = make(settings, method, teacher={"weak_losses": 0.25})
    no_weights = dict.fromkeys(config.weights.model_dump(), 0.0)
    batch = make_batch(method, [[0], [2]])
    for name in losses_of(network, batch, config)[1]:
        weights = config.weights.model_copy(update={**no_weights, name: 2.0})
        loss, terms = losses_of(network, batch, config.model_copy(update={"weights": weights}))
        torch.testing.assert_close(loss, 2.0 * factor_of(name, config) * terms[name], msg=name)


@METHOD
def test_terms_follow_from_the_teacher(settings, method):
    config, network = make(settings, method)
    terms = losses_of(network, make_batch(method, [[0], [2]]), config)[1].keys()
    teacher = config.method_spec.teacher
    assert (terms >= DISTILLATION) == (teacher != "none")
    assert terms >= LABELED
    assert terms - DISTILLATION - LABELED == (set() if teacher == "segments" else set(LOSSES))


def test_tags_count_for_nothing_in_supervised_training(settings):
    config, network = make(settings, "supervised")
    batch = make_batch("supervised", [[0], [2]])
    other = replace(batch, labels=1 - batch.labels)
    assert torch.equal(losses_of(network, batch, config)[0], losses_of(network, other, config)[0])


def test_tags_can_be_switched_off_in_stage_two(settings):
    config, network = make(settings, "dfe", teacher={"weak_losses": 0})
    assert losses_of(network, make_batch("dfe", [[0], [2]]), config)[1].keys() == DISTILLATION | LABELED


@METHOD
def test_labeled_snippets_alone_have_labeled_losses(settings, method):
    config, network = make(settings, method)
    batch = make_batch(method, [[0], [2]])
    unlabeled = replace(batch, snippet_labels=torch.zeros_like(batch.snippet_labels))
    terms = losses_of(network, batch, config)[1]
    without = losses_of(network, unlabeled, config)[1]
    assert all(terms[name] > 0 and without[name] == 0 for name in LABELED)
    assert all(torch.equal(terms[name], without[name]) for name in terms.keys() - LABELED)


def test_every_loss_has_a_weight_and_every_weight_a_loss(settings):
    config, network = make(settings, "dfe")
    _, terms = losses_of(network, make_batch("dfe", [[0], [2]]), config)
    assert terms.keys() == set(config.weights.model_dump())


@pytest.mark.parametrize("method", ["local", "dfe"])
def test_registered_loss_is_added_with_its_weight(settings, monkeypatch, method):
    def smoothness_loss(inputs: LossInputs) -> Tensor:
        return inputs.branch.attention.diff(dim=1).abs().mean()

    config = settings(method, weights={"smoothness": 0.5})
    network, batch = build_model(config, (6, 4), CLASSES), make_batch(method, [[0], [2]])
    with raises(ConfigError, code="unknown-setting") as caught:
        loss_weights(config)
    assert "smoothness" in caught.value.message and all(name in caught.value.hint for name in LOSSES)
    monkeypatch.setitem(LOSSES, "smoothness", smoothness_loss)
    assert loss_weights(config)["smoothness"] == 0.5
    assert "smoothness" in losses_of(network, batch, config)[1]
    assert "smoothness" not in losses_of(network, batch, settings(method))[1], "without a weight it is not used"


@METHOD
@pytest.mark.parametrize("local", ["dilated", "attention"])
def test_half_precision_gives_finite_gradients(settings, method, local):
    """Autocast to bfloat16, as in training on a GPU."""
    config = settings(method, model={"local": local})
    network, batch = build_model(config, (6, 4), CLASSES), make_batch(method, [[0], [0, 2]])
    for _ in range(3):
        with torch.autocast("cpu", torch.bfloat16):
            loss, _ = losses_of(network, batch, config)
        loss.backward()
    assert loss.isfinite() and all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())
