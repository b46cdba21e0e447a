"""The sum that training minimises: finite for any batch, blind to padding, and the teacher only teaches."""

import pytest
import torch
import torch.nn.functional as F

from wtal.core.config import METHODS
from wtal.data.batching import Batch
from wtal.models.dfe import DFE, build
from wtal.models.memory import EmaMemory
from wtal.training.criterion import compute_loss, confident_features

CLASSES = 3
METHOD = pytest.mark.parametrize("method", METHODS)
MEMORY = pytest.mark.parametrize("memory", ["learned", "ema"])
LAST = 5  # of the six steps: past warm-up and ramp


def make_batch(labels: list[list[int]], lengths: tuple[int, ...] = (12, 7), padding: int = 0) -> Batch:
    torch.manual_seed(1)
    mask = torch.arange(max(lengths) + padding)[None] < torch.tensor(lengths)[:, None]
    x = F.pad(torch.randn(len(lengths), max(lengths), 10), (0, 0, 0, padding), value=1e4)
    tags = torch.zeros(len(lengths), CLASSES)
    for row, carried in zip(tags, labels, strict=True):
        row[carried] = 1
    return Batch(x, mask, tags)


def make(settings, method, memory="learned", **train):
    """A configuration and its network, with the global branch no longer equal to the local one."""
    config = settings(
        method, model={"memory": memory, "dropout": 0.0}, train={"distillation_rampup": 0.2, "warmup": 0.2, **train}
    )
    torch.manual_seed(0)
    network = build(config, (6, 4), CLASSES)
    with torch.no_grad():
        for name, values in network.named_parameters():
            if "memory" not in name:
                values.add_(0.2 * torch.randn_like(values))
    if isinstance(network, DFE) and isinstance(network.memory, EmaMemory):
        network.memory.update(torch.randn(CLASSES + 1, 16), torch.arange(CLASSES + 1))
    return config, network


@METHOD
@MEMORY
@pytest.mark.parametrize("labels", [[[0], [0, 2]], [[], []], [[], [1]]], ids=str)
@pytest.mark.parametrize("step", [0, LAST])
def test_every_batch_has_a_finite_loss_and_gradient(settings, method, memory, labels, step):
    config, network = make(settings, method, memory)
    loss, terms = compute_loss(network, make_batch(labels), config, step)
    loss.backward()
    assert loss.isfinite() and all(term.isfinite() and term.shape == () for term in terms.values())
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())
    local = network.local if isinstance(network, DFE) else network
    assert local.classify.weight.grad.any()


@METHOD
@MEMORY
def test_single_snippets_and_single_videos_are_batches(settings, method, memory):
    config, network = make(settings, method, memory)
    for labels, lengths in (([[0]], (9,)), ([[]], (1,)), ([[0], [0]], (1, 1))):
        loss, _ = compute_loss(network, make_batch(labels, lengths), config, LAST)
        loss.backward()
        assert loss.isfinite() and all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


@METHOD
@MEMORY
@torch.no_grad()
def test_padding_changes_nothing(settings, method, memory):
    (config, network), (_, other) = make(settings, method, memory), make(settings, method, memory)
    torch.manual_seed(0)  # the shuffled control draws
    loss, terms = compute_loss(network.eval(), make_batch([[0], [0, 2]]), config, LAST)
    torch.manual_seed(0)
    padded, others = compute_loss(other.eval(), make_batch([[0], [0, 2]], padding=5), config, LAST)
    torch.testing.assert_close((padded, others), (loss, terms), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(other.state_dict(), network.state_dict(), rtol=1e-4, atol=1e-5)


@METHOD
@torch.no_grad()
def test_the_sum_is_of_the_named_terms(settings, method):
    """A weight of zero leaves its term out; the weights are the settings' own."""
    config, network = make(settings, method)
    nothing = dict.fromkeys(config.weights.model_dump(), 0.0)
    for name, value in compute_loss(network, make_batch([[0], [2]]), config, LAST)[1].items():
        own = name.removeprefix("global_").removeprefix("recall_")
        assert own in nothing
        alone = config.model_copy(update={"weights": config.weights.model_copy(update={**nothing, own: 2.0})})
        loss, terms = compute_loss(network, make_batch([[0], [2]]), alone, LAST)
        same = [term for other, term in terms.items() if other.removeprefix("global_").removeprefix("recall_") == own]
        torch.testing.assert_close(loss, 2.0 * torch.stack(same).sum(), msg=f"{name} {value}")


@METHOD
def test_nobody_teaches_before_the_warm_up_is_over(settings, method):
    config, network = make(settings, method, warmup=0.5)
    _, early = compute_loss(network, make_batch([[0], [2]]), config, step=0)
    _, late = compute_loss(network, make_batch([[0], [2]]), config, LAST)
    assert not any(name.startswith(("distillation", "global")) for name in early)
    assert any(name.startswith("distillation") for name in late) == (config.method_spec.teacher != "none")


@METHOD
@MEMORY
@pytest.mark.parametrize("local", ["dilated", "attention"])
def test_half_precision_is_enough(settings, method, memory, local):
    """What a GPU does in training, on the processor: autocast to bfloat16, twice, so that the memory moves."""
    config = settings(method, model={"memory": memory, "local": local})
    network = build(config, (6, 4), CLASSES)
    for _ in range(3):
        with torch.autocast("cpu", torch.bfloat16):
            loss, _ = compute_loss(network, make_batch([[0], [0, 2]]), config, LAST)
        loss.backward()
    assert loss.isfinite() and all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("method", [name for name, parts in METHODS.items() if parts.teacher == "global"])
@MEMORY
def test_distillation_moves_the_student_alone(settings, method, memory):
    config, network = make(settings, method, memory)
    _, terms = compute_loss(network, make_batch([[0], [2]]), config, LAST)
    torch.stack([term for name, term in terms.items() if name.startswith("distillation")]).sum().backward()
    for part in (network.memory, network.enhance):
        assert all(p.grad is None or not p.grad.any() for p in part.parameters())
    assert network.local.classify.weight.grad.any()


@METHOD
def test_only_labels_that_a_video_carries_write(settings, method):
    config = settings(method, model={"memory": "ema"})
    network = build(config, (6, 4), CLASSES)
    if config.method_spec.memory in ("none", "random"):
        return
    compute_loss(network, make_batch([[1], []]), config, step=0)
    assert network.memory.written.sum(1).tolist()[:CLASSES] == [0, 1, 0]
    assert not network.memory.prototypes[[0, 2]].any()


@torch.no_grad()
def test_what_is_written_comes_from_the_confident_snippets_of_carriers(settings):
    """Class 0 shows in two snippets of 20: the tenth that is pooled, wherever the padding lies."""
    _, network = make(settings, "local")
    batch = make_batch([[0], []], lengths=(20, 7), padding=3)
    branch = network.eval()(batch.features, batch.mask)
    branch.cas[0, :, 0], branch.cas[0, [4, 9], 0] = -50, 50
    branch.attentions[:, 0] = 0.5
    branch.cas[~batch.mask] = torch.tensor([0, 0, 0, 90.0])  # padding shouts background, and must not be heard
    branch.attentions[:, ~batch.mask] = 0
    branch.far[~batch.mask] = 1e9
    features, classes = confident_features(branch, batch)
    assert classes.tolist() == [0, CLASSES, CLASSES], "and every video has background"
    torch.testing.assert_close(features[0], branch.far[0, [4, 9]].mean(0))
    assert (features.abs() < 1e6).all()


@pytest.mark.parametrize("method, moves", [("random-memory", False), ("shuffled-memory", True), ("dfe", True)])
@MEMORY
def test_the_random_memory_never_changes(settings, method, moves, memory):
    config, network = make(settings, method, memory)
    before = network.memory.prototypes.detach().clone()
    optimizer = torch.optim.Adam(network.parameters(), 1e-2, weight_decay=1e-2)
    for step in (0, LAST, LAST):
        loss, _ = compute_loss(network, make_batch([[0], [1, 2]]), config, step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert torch.equal(network.memory.prototypes, before) != moves
