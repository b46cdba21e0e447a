"""A checkpoint is whole or not there, holds what it says, and its inference part knows no memory."""

import errno
import json
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from wtal.core.clock import SnippetClock
from wtal.core.config import METHODS
from wtal.core.errors import CheckpointError, ConfigError, DataError
from wtal.models import checkpoint
from wtal.models.checkpoint import ModelMetadata
from wtal.models.dfe import DFE, build
from wtal.models.memory import EmaMemory, GlobalEnhancement, LearnedMemory

MEMORY = pytest.mark.parametrize("memory", ["learned", "ema"])
X, MASK = torch.sin(torch.arange(90.0)).view(1, 9, 10), torch.ones(1, 9, dtype=torch.bool)


def make(settings, method="dfe", memory="learned", step=4):
    config = settings(method, model={"memory": memory})
    torch.manual_seed(3)
    network = build(config, (6, 4), 2).eval()
    if isinstance(network, DFE):
        if isinstance(network.memory, EmaMemory):
            network.memory.update(torch.randn(2, 16), torch.tensor([0, 1]))
        torch.nn.init.normal_(network.enhance.out.weight)
    return ModelMetadata(config, ("jump", "größe"), (6, 4), SnippetClock(0.64, 0.1), step), network


def saved(folder: Path, meta: ModelMetadata, network: torch.nn.Module) -> Path:
    checkpoint.save_checkpoint(folder, meta, network, {"a": torch.zeros(1)})
    return folder


@pytest.mark.parametrize("method", METHODS)
@MEMORY
@torch.inference_mode()
def test_the_local_branch_goes_there_and_back(settings, tmp_path, method, memory):
    meta, network = make(settings, method, memory)
    local, read = checkpoint.load_local(saved(tmp_path / "checkpoint-000004", meta, network))
    assert read == meta and not local.training
    assert torch.equal(local(X, MASK).cas, network(X, MASK).cas)


@MEMORY
@torch.inference_mode()
def test_both_branches_go_there_and_back(settings, tmp_path, memory):
    meta, network = make(settings, memory=memory)
    both, _ = checkpoint.load_both(saved(tmp_path / "model", meta, network))
    for one, other in zip(both.both_branches(X, MASK), network.both_branches(X, MASK), strict=True):
        assert torch.equal(one.cas, other.cas) and torch.equal(one.attention, other.attention)
    assert torch.equal(both.memory.written, network.memory.written)


@MEMORY
def test_inference_holds_neither_memory_nor_cross_attention(settings, tmp_path, memory, monkeypatch):
    meta, network = make(settings, memory=memory)
    folder = saved(tmp_path / "model", meta, network)
    keys = set(load_file(folder / "model.safetensors"))
    assert keys == set(network.local.state_dict())
    assert not any(word in key for key in keys for word in ("memory", "enhance", "prototypes", "query"))
    (folder / "global.safetensors").unlink()
    (folder / "training.safetensors").unlink()

    def never(*_, **__):
        raise AssertionError("inference builds the local branch alone")

    for part in (LearnedMemory, EmaMemory, GlobalEnhancement, DFE):
        monkeypatch.setattr(part, "__init__", never)
    checkpoint.load_local(folder)


def test_a_method_without_memory_has_no_global_branch(settings, tmp_path):
    folder = saved(tmp_path / "model", *make(settings, "local"))
    assert not (folder / "global.safetensors").exists()
    with pytest.raises(CheckpointError, match="method local has no global branch"):
        checkpoint.load_both(folder)


def test_the_newest_whole_checkpoint_is_found(settings, tmp_path):
    meta, network = make(settings)
    assert checkpoint.latest_checkpoint(tmp_path) is None
    for step in (2, 100, 40):
        saved(tmp_path / f"checkpoint-{step:06d}", replace(meta, step=step), network)
    (tmp_path / "checkpoint-000200").mkdir()
    assert checkpoint.latest_checkpoint(tmp_path) == tmp_path / "checkpoint-000100"
    assert checkpoint.read_meta(tmp_path).step == 100
    assert checkpoint.latest_checkpoint(tmp_path / "checkpoint-000002") == tmp_path / "checkpoint-000002"


@pytest.mark.parametrize(
    "error",
    [SafetensorError("I/O error: No space left on device (os error 28)"), OSError(errno.ENOSPC, "No space left")],
    ids=["safetensors", "others"],
)
def test_a_full_disk_leaves_the_checkpoint_before(settings, tmp_path, monkeypatch, error):
    """safetensors tells of a full disk in an error of its own."""
    meta, network = make(settings)
    saved(tmp_path / "checkpoint-000002", meta, network)

    def full(tensors, path):
        Path(path).write_bytes(b"half")
        raise error

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(DataError, match=r"checkpoint-000004: .*free some space"):
        saved(tmp_path / "checkpoint-000004", meta, network)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-000002"]
    checkpoint.load_local(tmp_path)


@pytest.mark.parametrize("left", [0, 5, 200])
def test_weights_cut_off_or_missing_are_named(settings, tmp_path, left):
    folder = saved(tmp_path / "model", *make(settings))
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:left])
    with pytest.raises(CheckpointError, match=r"model\.safetensors: missing or cut off"):
        checkpoint.load_local(folder)
    (folder / "global.safetensors").unlink()
    with pytest.raises(CheckpointError, match="missing or cut off"):
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
def test_weights_that_do_not_fit_their_settings_are_refused(settings, tmp_path, change):
    folder = saved(tmp_path / "model", *make(settings))
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | change))
    with pytest.raises(CheckpointError, match="do not fit"):
        checkpoint.load_local(folder)


@pytest.mark.parametrize(
    "change",
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
def test_a_config_that_is_no_model_is_named(settings, tmp_path, change):
    folder = saved(tmp_path / "model", *make(settings))
    (folder / "config.json").write_text(change)
    with pytest.raises((CheckpointError, ConfigError), match=r"config\.json"):
        checkpoint.load_local(folder)


def test_a_folder_that_is_no_run_is_named(tmp_path):
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(CheckpointError, match="not a run or model folder"):
            checkpoint.load_local(place)
