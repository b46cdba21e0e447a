"""Checkpoints: atomic, complete after a round trip, readable across versions; inference needs no memory."""

import errno
import json
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from tests.helpers.errors import raises
from wtal.core.clock import SnippetClock
from wtal.core.errors import CheckpointError, ConfigError, DataError
from wtal.core.methods import METHODS, MethodSpec
from wtal.models import checkpoint
from wtal.models.checkpoint import ModelMetadata
from wtal.models.dfe import DFE, build_model
from wtal.models.memory import EmaMemory, GlobalEnhancement, LearnedMemory

MEMORY = pytest.mark.parametrize("memory", ["learned", "ema"])
X, MASK = torch.sin(torch.arange(90.0)).view(1, 9, 10), torch.ones(1, 9, dtype=torch.bool)


def make(settings, method: str = "dfe", memory: str = "learned", step: int = 4) -> tuple[ModelMetadata, nn.Module]:
    config = settings(method, model={"memory": memory})
    torch.manual_seed(3)
    network = build_model(config, (6, 4), 2).eval()
    if isinstance(network, DFE):
        if isinstance(network.memory, EmaMemory):
            network.memory.update(torch.randn(2, 16), torch.tensor([0, 1]))
        nn.init.normal_(network.enhance.out.weight)
    return ModelMetadata(config, ("jump", "größe"), (6, 4), SnippetClock(0.64, 0.1), step), network


def save(folder: Path, meta: ModelMetadata, network: nn.Module) -> Path:
    checkpoint.save_checkpoint(folder, meta, network, {"a": torch.zeros(1)})
    return folder


def edit_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("method", METHODS)
@MEMORY
@torch.inference_mode()
def test_local_branch_survives_a_round_trip(settings, tmp_path, method, memory):
    meta, network = make(settings, method, memory)
    local, loaded_meta = checkpoint.load_local(save(tmp_path / "checkpoint-000004", meta, network))
    assert loaded_meta == meta and not local.training
    assert torch.equal(local(X, MASK).cas, network(X, MASK).cas)


@MEMORY
@torch.inference_mode()
def test_both_branches_survive_a_round_trip(settings, tmp_path, memory):
    meta, network = make(settings, memory=memory)
    loaded, _ = checkpoint.load_both(save(tmp_path / "model", meta, network))
    for branch, expected in zip(loaded.both_branches(X, MASK), network.both_branches(X, MASK), strict=True):
        assert torch.equal(branch.cas, expected.cas) and torch.equal(branch.attention, expected.attention)
    assert torch.equal(loaded.memory.written, network.memory.written)


@MEMORY
def test_inference_loads_neither_memory_nor_cross_attention(settings, tmp_path, memory, monkeypatch):
    meta, network = make(settings, memory=memory)
    folder = save(tmp_path / "model", meta, network)
    keys = set(load_file(folder / "model.safetensors"))
    assert keys == set(network.local.state_dict())
    assert not any(word in key for key in keys for word in ("memory", "enhance", "prototypes", "query"))
    (folder / "global.safetensors").unlink()
    (folder / "training.safetensors").unlink()

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("inference builds the local branch alone")

    for part in (LearnedMemory, EmaMemory, GlobalEnhancement, DFE):
        monkeypatch.setattr(part, "__init__", fail)
    checkpoint.load_local(folder)


def test_method_without_memory_has_no_global_branch(settings, tmp_path):
    folder = save(tmp_path / "model", *make(settings, "local"))
    assert not (folder / "global.safetensors").exists()
    with raises(CheckpointError, code="no-global-branch", path=folder):
        checkpoint.load_both(folder)


def test_latest_complete_checkpoint_is_used(settings, tmp_path):
    meta, network = make(settings)
    assert checkpoint.latest_checkpoint(tmp_path) is None
    for step in (2, 100, 40):
        save(tmp_path / f"checkpoint-{step:06d}", replace(meta, step=step), network)
    (tmp_path / "checkpoint-000200").mkdir()
    assert checkpoint.latest_checkpoint(tmp_path) == tmp_path / "checkpoint-000100"
    assert checkpoint.read_meta(tmp_path).step == 100
    assert checkpoint.latest_checkpoint(tmp_path / "checkpoint-000002") == tmp_path / "checkpoint-000002"


@pytest.mark.parametrize(
    "error",
    [SafetensorError("I/O error: No space left on device (os error 28)"), OSError(errno.ENOSPC, "No space left")],
    ids=["safetensors", "others"],
)
def test_full_disk_keeps_the_previous_checkpoint(settings, tmp_path, monkeypatch, error):
    """safetensors reports a full disk with an exception of its own."""
    meta, network = make(settings)
    save(tmp_path / "checkpoint-000002", meta, network)

    def fill_disk(_: object, path: str) -> None:
        Path(path).write_bytes(b"half")
        raise error

    monkeypatch.setattr(safetensors.torch, "save_file", fill_disk)
    with raises(DataError, path=tmp_path / "checkpoint-000004"):
        save(tmp_path / "checkpoint-000004", meta, network)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-000002"]
    checkpoint.load_local(tmp_path)


@pytest.mark.parametrize("size", [0, 5, 200])
def test_truncated_or_missing_weights_are_rejected(settings, tmp_path, size):
    folder = save(tmp_path / "model", *make(settings))
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    with raises(CheckpointError, code="unreadable-weights", path=path):
        checkpoint.load_local(folder)
    (folder / "global.safetensors").unlink()
    with raises(CheckpointError, code="unreadable-weights", path=folder / "global.safetensors"):
        checkpoint.read_tensors(folder / "global.safetensors")


@pytest.mark.parametrize(
    "change",
    [
        {"classes": ["jump"]},
        {"modalities": [10]},
        {"config": {"method": "local", "model": {"width": 32}}},
    ],
    ids=str,
)
def test_weights_that_do_not_fit_the_settings_are_rejected(settings, tmp_path, change):
    folder = save(tmp_path / "model", *make(settings))
    edit_config(folder, **change)
    with raises(CheckpointError, code="weights-mismatch", path=folder):
        checkpoint.load_local(folder)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"config": {}}',
        '{"config": {"method": "dfa"}, "classes": ["a"], "modalities": [1]}',
        '{"config": {}, "classes": ["a"], "modalities": [1], "snippet_seconds": 0, "offset_seconds": 0, "step": 1}',
        '{"config": {}, "classes": 3, "modalities": [1], "snippet_seconds": 1, "offset_seconds": 0, "step": 1}',
        '{"config": [], "classes": ["a"], "modalities": [1], "snippet_seconds": 1, "offset_seconds": 0, "step": 1}',
    ],
)
def test_malformed_config_is_rejected(settings, tmp_path, text):
    folder = save(tmp_path / "model", *make(settings))
    (folder / "config.json").write_text(text)
    with raises((CheckpointError, ConfigError), path=folder / "config.json"):
        checkpoint.load_local(folder)


def test_folder_without_a_model_is_rejected(tmp_path):
    with raises(CheckpointError, code="not-a-model", path=tmp_path):
        checkpoint.load_local(tmp_path)
    with raises(CheckpointError, code="file-not-found", path=tmp_path / "missing"):
        checkpoint.load_local(tmp_path / "missing")


def test_settings_of_version_0_1_are_read_under_their_present_names(settings, tmp_path):
    """wtal 0.1.0 wrote no format number and called some settings otherwise."""
    meta, network = make(settings)
    folder = save(tmp_path / "model", meta, network)
    values = json.loads((folder / "config.json").read_text())
    del values["format"]
    train, weights = values["config"]["train"], values["config"]["weights"]
    train |= {"average": 0.5, "ramp": 0.25}
    weights |= {"exclusive": 2.0, "candidates": 4.0, "coactivity": 0.5, "guide": 0.3}
    for name in ("ema_decay", "distillation_rampup"):
        del train[name]
    for name in ("class_competition", "partial_label", "co_activity", "attention_background_consistency"):
        del weights[name]
    (folder / "config.json").write_text(json.dumps(values | {"wtal": "0.1.0"}))
    network, read = checkpoint.load_local(folder)
    config = read.config
    assert (config.train.ema_decay, config.train.distillation_rampup) == (0.5, 0.25)
    assert (config.weights.class_competition, config.weights.partial_label) == (2.0, 4.0)
    assert (config.weights.co_activity, config.weights.attention_background_consistency) == (0.5, 0.3)
    assert not config.weights.model_extra
    assert replace(read, config=meta.config) == meta


def test_newer_format_is_rejected_naming_both_versions(settings, tmp_path):
    folder = save(tmp_path / "model", *make(settings))
    edit_config(folder, format=checkpoint.FORMAT + 1, wtal="9.8.7")
    with raises(CheckpointError, code="unsupported-version", path=folder / "config.json") as caught:
        checkpoint.load_local(folder)
    assert "9.8.7" in caught.value.message


class OwnNetwork(nn.Module):
    receptive_field = 0

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classify = nn.Linear(10, classes + 1)


@pytest.mark.parametrize("method", ["my_method", "my_module:build"])
def test_own_method_is_loaded_only_if_it_is_registered(settings, tmp_path, monkeypatch, method):
    monkeypatch.setitem(METHODS, method, MethodSpec(build=lambda config, modalities, classes: OwnNetwork(classes)))
    meta, network = make(settings, method)
    folder = save(tmp_path / "model", meta, network)
    loaded, _ = checkpoint.load_local(folder)
    assert torch.equal(loaded.classify.weight, network.classify.weight)
    monkeypatch.delitem(METHODS, method)
    (tmp_path / "my_module.py").write_text("raise AssertionError('imported from a model folder')")
    monkeypatch.chdir(tmp_path)
    with raises((CheckpointError, ConfigError)) as caught:
        checkpoint.load_local(folder)
    assert method in caught.value.message
