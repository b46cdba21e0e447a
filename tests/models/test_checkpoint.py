"""Checkpoints: atomic, complete after a round trip, and readable across versions."""

import errno
import json
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from tests.helpers.errors import raises
from wtal.core.clock import SnippetClock
from wtal.core.errors import CheckpointError, ConfigError, DataError
from wtal.core.methods import METHODS, MethodSpec
from wtal.models import checkpoint
from wtal.models.checkpoint import ModelMetadata
from wtal.models.local_branch import build_model

X, MASK = torch.sin(torch.arange(90.0)).view(1, 9, 10), torch.ones(1, 9, dtype=torch.bool)


def make(settings, method: str = "dfe", step: int = 4) -> tuple[ModelMetadata, nn.Module]:
    config = settings(method)
    torch.manual_seed(3)
    network = build_model(config, (6, 4), 2).eval()
    return ModelMetadata(config, ("jump", "größe"), (6, 4), SnippetClock(0.64, 0.1), step), network


def save(folder: Path, meta: ModelMetadata, network: nn.Module) -> Path:
    checkpoint.save_checkpoint(folder, meta, network, {"a": torch.zeros(1)})
    return folder


def edit_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("method", METHODS)
@torch.inference_mode()
def test_model_survives_a_round_trip(settings, tmp_path, method):
    meta, network = make(settings, method)
    network.normalise.limit.fill_(0.5)
    loaded, loaded_meta = checkpoint.load_model(save(tmp_path / "checkpoint-000004", meta, network))
    assert loaded_meta == meta and not loaded.training
    assert torch.equal(loaded(X, MASK).cas, network(X, MASK).cas)


def test_run_without_checkpoint_is_told_from_other_folders(tmp_path):
    with raises(CheckpointError, code="not-a-model", path=tmp_path):
        checkpoint.require_checkpoint(tmp_path)
    (tmp_path / "stage-one").mkdir()
    with raises(CheckpointError, code="no-checkpoint", path=tmp_path):
        checkpoint.require_checkpoint(tmp_path)


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
    checkpoint.load_model(tmp_path)


@pytest.mark.parametrize("size", [0, 5, 200])
def test_truncated_or_missing_weights_are_rejected(settings, tmp_path, size):
    folder = save(tmp_path / "model", *make(settings))
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    with raises(CheckpointError, code="unreadable-weights", path=path):
        checkpoint.load_model(folder)
    path.unlink()
    with raises(CheckpointError, code="unreadable-weights", path=path):
        checkpoint.read_weights(path)


@pytest.mark.parametrize(
    "change",
    [
        {"classes": ["jump"]},
        {"modalities": [10]},
        {"modalities": [1_000_000] * 500},  # would take 64 GB
        {"config": {"method": "local", "model": {"width": 4096}}},
        {"config": {"method": "local", "model": {"width": 32}}},
    ],
    ids=str,
)
def test_weights_that_do_not_fit_the_settings_are_rejected(settings, tmp_path, change):
    folder = save(tmp_path / "model", *make(settings))
    edit_config(folder, **change)
    with raises(CheckpointError, code="weights-mismatch", path=folder):
        checkpoint.load_model(folder)


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
        checkpoint.load_model(folder)


def test_folder_without_a_model_is_rejected(tmp_path):
    with raises(CheckpointError, code="not-a-model", path=tmp_path):
        checkpoint.load_model(tmp_path)
    with raises(CheckpointError, code="file-not-found", path=tmp_path / "missing"):
        checkpoint.load_model(tmp_path / "missing")


def age(folder: Path, format: int | None, **sections: object) -> None:
    """Make a model look like one of an older format: with these settings, and weights without a limit."""
    values = json.loads((folder / "config.json").read_text())
    for name in ("teacher", "memory"):
        del values["config"][name]
    for name, changes in sections.items():
        values["config"][name] = {**values["config"][name], **changes} if isinstance(changes, dict) else changes
    values = {**values, "format": format, "wtal": "0.1.0"}
    if format is None:
        del values["format"]
    (folder / "config.json").write_text(json.dumps(values))
    weights = load_file(folder / "model.safetensors")
    del weights["normalise.limit"]
    save_file(weights, folder / "model.safetensors")


REMOVED = {
    "model": {"normalise": "training", "memory": "ema", "slots": 2, "momentum": 0.9},
    "train": {"warmup": 0.25, "distillation_rampup": 0.25, "temperature": 2.0},
    "weights": {"prototypes": 0.1, "distillation_features": 0.0},
    "localize": {"video_threshold": 0.1},
}


@pytest.mark.parametrize("format", [None, 1, 2])
@pytest.mark.parametrize("method", ["dfe", "local", "shuffled-memory", "self-distillation", "dfe-no-distillation"])
@torch.inference_mode()
def test_model_of_an_older_format_is_opened(settings, tmp_path, format, method):
    """The scores are those of its local branch; settings that no longer exist are left out."""
    meta, network = make(settings)
    folder = save(tmp_path / "model", meta, network)
    age(folder, format, method=method, **REMOVED)
    (folder / "global.safetensors").write_bytes(b"the memory of an older format is not read")
    loaded, read = checkpoint.load_model(folder)
    assert torch.equal(loaded(X, MASK).cas, network(X, MASK).cas)
    assert read.config.method in METHODS and not read.config.weights.model_extra
    assert (read.config.train.ema_decay, read.config.train.steps) == (meta.config.train.ema_decay, 6)
    assert replace(read, config=meta.config) == meta


@pytest.mark.parametrize("format", [None, 1, 2])
@torch.inference_mode()
def test_model_of_an_older_format_without_normalization_is_opened(settings, tmp_path, format):
    meta, network = make(settings, "local")
    folder = save(tmp_path / "model", meta, network)
    age(folder, format, model={"normalise": "none"})
    loaded, _ = checkpoint.load_model(folder)
    assert torch.equal(loaded(X, MASK).cas, network(X, MASK).cas)


@pytest.mark.parametrize("format", [None, 1, 2])
def test_model_that_normalizes_each_video_is_refused(settings, tmp_path, format):
    folder = save(tmp_path / "model", *make(settings))
    age(folder, format, model={"normalise": "video"})
    with raises(CheckpointError, code="unsupported-version", path=folder / "config.json"):
        checkpoint.load_model(folder)


def test_removed_settings_are_unknown_in_the_present_format(settings, tmp_path):
    folder = save(tmp_path / "model", *make(settings))
    values = json.loads((folder / "config.json").read_text())
    values["config"]["model"]["normalise"] = "training"
    (folder / "config.json").write_text(json.dumps(values))
    with raises(ConfigError, code="unknown-setting"):
        checkpoint.load_model(folder)


def test_settings_of_version_0_1_are_read_under_their_present_names(settings, tmp_path):
    """wtal 0.1.0 wrote no format number and called some settings otherwise."""
    meta, network = make(settings)
    folder = save(tmp_path / "model", meta, network)
    age(folder, None)
    values = json.loads((folder / "config.json").read_text())
    train, weights = values["config"]["train"], values["config"]["weights"]
    train |= {"average": 0.5, "ramp": 0.25}
    weights |= {"exclusive": 2.0, "candidates": 4.0, "coactivity": 0.5, "guide": 0.3}
    del train["ema_decay"]
    for name in ("class_competition", "partial_label", "co_activity", "attention_background_consistency"):
        del weights[name]
    (folder / "config.json").write_text(json.dumps(values))
    _, read = checkpoint.load_model(folder)
    config = read.config
    assert config.train.ema_decay == 0.5
    assert (config.weights.class_competition, config.weights.partial_label) == (2.0, 4.0)
    assert (config.weights.co_activity, config.weights.attention_background_consistency) == (0.5, 0.3)
    assert not config.weights.model_extra
    assert replace(read, config=meta.config) == meta


def test_newer_format_is_rejected_naming_both_versions(settings, tmp_path):
    folder = save(tmp_path / "model", *make(settings))
    edit_config(folder, format=checkpoint.FORMAT + 1, wtal="9.8.7")
    with raises(CheckpointError, code="unsupported-version", path=folder / "config.json") as caught:
        checkpoint.load_model(folder)
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
    loaded, _ = checkpoint.load_model(folder)
    assert torch.equal(loaded.classify.weight, network.classify.weight)
    monkeypatch.delitem(METHODS, method)
    (tmp_path / "my_module.py").write_text("raise AssertionError('imported from a model folder')")
    monkeypatch.chdir(tmp_path)
    with raises((CheckpointError, ConfigError)) as caught:
        checkpoint.load_model(folder)
    assert method in caught.value.message
