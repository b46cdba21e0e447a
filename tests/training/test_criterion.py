"""The training objective: finite for any batch, independent of padding, weighted by name."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.helpers.errors import raises
from wtal.core.config import Config
from wtal.core.errors import ConfigError
from wtal.core.methods import METHODS
from wtal.data.batching import Batch
from wtal.models.dfe import DFE, build_model
from wtal.models.memory import EmaMemory, confident_features
from wtal.training.criterion import compute_loss, forward_branches, loss_weights
from wtal.training.losses import LOSSES, LossInputs

CLASSES = 3
METHOD = pytest.mark.parametrize("method", METHODS)
MEMORY = pytest.mark.parametrize("memory", ["learned", "ema"])
LAST = 5  # of six steps: after warm-up and ramp-up


def make_batch(labels: list[list[int]], lengths: tuple[int, ...] = (12, 7), padding: int = 0) -> Batch:
    torch.manual_seed(1)
    mask = torch.arange(max(lengths) + padding)[None] < torch.tensor(lengths)[:, None]
    features = F.pad(torch.randn(len(lengths), max(lengths), 10), (0, 0, 0, padding), value=1e4)
    tags = torch.zeros(len(lengths), CLASSES)
    for row, present in zip(tags, labels, strict=True):
        row[present] = 1
    return Batch(features, mask, tags)


def make(settings, method: str, memory: str = "learned", **train: float) -> tuple[Config, nn.Module]:
    """Settings, and a network whose global branch differs from its local one."""
    config = settings(
        method, model={"memory": memory, "dropout": 0.0}, train={"distillation_rampup": 0.2, "warmup": 0.2, **train}
    )
    torch.manual_seed(0)
    network = build_model(config, (6, 4), CLASSES)
    with torch.no_grad():
        for name, values in network.named_parameters():
            if "memory" not in name:
                values.add_(0.2 * torch.randn_like(values))
    if isinstance(network, DFE) and isinstance(network.memory, EmaMemory):
        network.memory.update(torch.randn(CLASSES + 1, 16), torch.arange(CLASSES + 1))
    return config, network


def losses_of(network: nn.Module, batch: Batch, config: Config, step: int) -> tuple[Tensor, dict[str, Tensor]]:
    return compute_loss(network, *forward_branches(network, batch, config, step), batch, config, step)


def base_name(term: str) -> str:
    """The setting that holds the weight of a term."""
    return term.removeprefix("global_").removeprefix("memory_")


@METHOD
@MEMORY
@pytest.mark.parametrize("labels", [[[0], [0, 2]], [[], []], [[], [1]]], ids=str)
@pytest.mark.parametrize("step", [0, LAST])
def test_loss_and_gradient_are_finite(settings, method, memory, labels, step):
    config, network = make(settings, method, memory)
    loss, terms = losses_of(network, make_batch(labels), config, step)
    loss.backward()
    assert loss.isfinite() and all(term.isfinite() and term.shape == () for term in terms.values())
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())
    local = network.local if isinstance(network, DFE) else network
    assert local.classify.weight.grad.any()


@METHOD
@MEMORY
def test_single_snippets_and_single_videos_are_valid_batches(settings, method, memory):
    config, network = make(settings, method, memory)
    for labels, lengths in (([[0]], (9,)), ([[]], (1,)), ([[0], [0]], (1, 1))):
        loss, _ = losses_of(network, make_batch(labels, lengths), config, LAST)
        loss.backward()
        assert loss.isfinite() and all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


@METHOD
@MEMORY
@torch.no_grad()
def test_padding_changes_nothing(settings, method, memory):
    config, network = make(settings, method, memory)
    results = []
    for padding in (0, 5):
        torch.manual_seed(0)  # the control with shuffled classes draws
        results.append(losses_of(network.eval(), make_batch([[0], [0, 2]], padding=padding), config, LAST))
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-5)


@METHOD
@torch.no_grad()
def test_total_is_the_weighted_sum_of_the_terms(settings, method):
    config, network = make(settings, method)
    no_weights = dict.fromkeys(config.weights.model_dump(), 0.0)
    batch = make_batch([[0], [2]])
    for term in losses_of(network, batch, config, LAST)[1]:
        name = base_name(term)
        assert name in no_weights
        weights = config.weights.model_copy(update={**no_weights, name: 2.0})
        loss, terms = losses_of(network, batch, config.model_copy(update={"weights": weights}), LAST)
        weighted = [value for other, value in terms.items() if base_name(other) == name]
        torch.testing.assert_close(loss, 2.0 * torch.stack(weighted).sum(), msg=term)


def test_every_loss_has_a_weight_and_every_weight_a_loss(settings):
    config, network = make(settings, "dfe")
    _, terms = losses_of(network, make_batch([[0], [2]]), config, LAST)
    assert {base_name(term) for term in terms} == set(config.weights.model_dump())


def test_registered_loss_is_added_with_its_weight(settings, monkeypatch):
    def smoothness_loss(inputs: LossInputs) -> Tensor:
        return inputs.branch.attention.diff(dim=1).abs().mean()

    config = settings("dfe", weights={"smoothness": 0.5})
    network, batch = build_model(config, (6, 4), CLASSES), make_batch([[0], [2]])
    with raises(ConfigError, code="unknown-setting") as caught:
        loss_weights(config)
    assert "smoothness" in caught.value.message and all(name in caught.value.hint for name in LOSSES)
    monkeypatch.setitem(LOSSES, "smoothness", smoothness_loss)
    assert loss_weights(config)["smoothness"] == 0.5
    _, terms = losses_of(network, batch, config, LAST)
    assert {"smoothness", "global_smoothness"} <= terms.keys()
    assert "smoothness" not in losses_of(network, batch, settings("dfe"), LAST)[1], "without a weight it is not used"


@METHOD
def test_distillation_starts_after_the_warm_up(settings, method):
    config, network = make(settings, method, warmup=0.5)
    _, early = losses_of(network, make_batch([[0], [2]]), config, step=0)
    _, late = losses_of(network, make_batch([[0], [2]]), config, LAST)
    assert not any(name.startswith(("distillation", "global")) for name in early)
    assert any(name.startswith("distillation") for name in late) == (config.method_spec.teacher != "none")


@METHOD
@MEMORY
@pytest.mark.parametrize("local", ["dilated", "attention"])
def test_half_precision_gives_finite_gradients(settings, method, memory, local):
    """Autocast to bfloat16, as in training on a GPU."""
    config = settings(method, model={"memory": memory, "local": local})
    network, batch = build_model(config, (6, 4), CLASSES), make_batch([[0], [0, 2]])
    for _ in range(3):
        with torch.autocast("cpu", torch.bfloat16):
            branches = forward_branches(network, batch, config, LAST)
            loss, _ = compute_loss(network, *branches, batch, config, LAST)
        loss.backward()
        if isinstance(network, DFE) and isinstance(network.memory, EmaMemory):
            network.memory.update(*confident_features(branches[0], batch.labels, batch.mask))
    assert loss.isfinite() and all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("method", [name for name, spec in METHODS.items() if spec.teacher == "global"])
@MEMORY
def test_distillation_has_no_gradient_in_the_teacher(settings, method, memory):
    config, network = make(settings, method, memory)
    _, terms = losses_of(network, make_batch([[0], [2]]), config, LAST)
    torch.stack([term for name, term in terms.items() if name.startswith("distillation")]).sum().backward()
    for part in (network.memory, network.enhance):
        assert all(p.grad is None or not p.grad.any() for p in part.parameters())
    assert network.local.classify.weight.grad.any()


@pytest.mark.parametrize("method, changes", [("random-memory", False), ("shuffled-memory", True), ("dfe", True)])
def test_only_the_random_memory_is_not_trained(settings, method, changes):
    config, network = make(settings, method)
    initial = network.memory.prototypes.detach().clone()
    optimizer = torch.optim.Adam(network.parameters(), 1e-2, weight_decay=1e-2)
    for step in (0, LAST, LAST):
        loss, _ = losses_of(network, make_batch([[0], [1, 2]]), config, step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert torch.equal(network.memory.prototypes, initial) != changes
