"""A run depends on the seed, the tags and the features alone, however often it is broken off."""

import json
import shutil
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from safetensors.torch import load_file
from torch.utils._python_dispatch import TorchDispatchMode

from wtal.core.errors import CheckpointError, ConfigError, DataError
from wtal.data.batching import DeviceCachedDataset, TrainingDataset, held_out_ids
from wtal.data.dataset import load_dataset
from wtal.experiments.pipeline import train_run
from wtal.models import checkpoint
from wtal.models.dfe import build
from wtal.training import trainer as training
from wtal.training.trainer import learning_rate, train

MEMORY = pytest.mark.parametrize("memory", ["learned", "ema"])


def weights(run: Path, file: str = "model.safetensors") -> dict[str, torch.Tensor]:
    return load_file(checkpoint.latest_checkpoint(run) / file)


def same(one: Path, other: Path, file: str = "model.safetensors") -> bool:
    a, b = weights(one, file), weights(other, file)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def metrics(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def stop_at(last: int):
    def progress(step, terms):
        if step == last:
            raise KeyboardInterrupt

    return progress


@MEMORY
@pytest.mark.parametrize("local", ["dilated", "attention"])
def test_the_same_seed_gives_the_same_weights_and_another_does_not(tiny, tmp_path, settings, memory, local):
    model = {"memory": memory, "local": local}
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        torch.manual_seed(len(name) + seed)  # what was drawn before does not matter
        train(settings(model=model, train={"seed": seed}), tiny, tmp_path / name, device="cpu")
    assert same(tmp_path / "a", tmp_path / "b") and metrics(tmp_path / "a") == metrics(tmp_path / "b")
    assert not same(tmp_path / "a", tmp_path / "c")


@MEMORY
@pytest.mark.parametrize("normalise", ["none", "training"])
@pytest.mark.parametrize("step", [1, 3, 4, 6])
def test_a_run_broken_off_and_resumed_ends_the_same(tiny, tmp_path, settings, memory, normalise, step):
    config = settings(model={"memory": memory, "normalise": normalise})
    train(config, tiny, tmp_path / "whole", device="cpu")
    with pytest.raises(KeyboardInterrupt):
        train(config, tiny, tmp_path / "broken", device="cpu", progress=stop_at(step))
    train(config, tiny, tmp_path / "broken", resume=True, device="cpu")
    for file in ("model.safetensors", "global.safetensors", "training.safetensors"):
        assert same(tmp_path / "whole", tmp_path / "broken", file)
    assert (tmp_path / "whole/metrics.jsonl").read_text() == (tmp_path / "broken/metrics.jsonl").read_text()


@pytest.mark.parametrize("method", ["baseline", "self-distillation", "shuffled-memory", "random-memory"])
def test_the_controls_resume_to_the_same_weights_too(tiny, tmp_path, settings, method):
    config = settings(method)
    train(config, tiny, tmp_path / "whole", device="cpu")
    with pytest.raises(KeyboardInterrupt):
        train(config, tiny, tmp_path / "broken", device="cpu", progress=stop_at(5))
    train(config, tiny, tmp_path / "broken", resume=True, device="cpu")
    assert same(tmp_path / "whole", tmp_path / "broken")


@pytest.mark.parametrize("tidy", [True, False], ids=["interrupted", "killed"])
@pytest.mark.parametrize("write", [1, 3, 4, 6])
def test_a_run_killed_while_it_writes_a_checkpoint_resumes(tiny, tmp_path, settings, monkeypatch, write, tidy):
    """Three files a checkpoint. A killed process tidies nothing up, and in a container its id comes again."""
    config, written, save_file = settings(), [], safetensors.torch.save_file

    def die(tensors, path):
        written.append(path)
        if len(written) == write:
            Path(path).write_bytes(b"half")
            raise KeyboardInterrupt
        save_file(tensors, path)

    with monkeypatch.context() as patch:
        patch.setattr(safetensors.torch, "save_file", die)
        if not tidy:
            patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        with pytest.raises(KeyboardInterrupt):
            train(config, tiny, tmp_path / "broken", device="cpu")
    train(config, tiny, tmp_path / "broken", resume=True, device="cpu")
    train(config, tiny, tmp_path / "whole", device="cpu")
    assert same(tmp_path / "whole", tmp_path / "broken")
    assert metrics(tmp_path / "whole") == metrics(tmp_path / "broken")


def test_a_last_line_cut_off_is_dropped(tiny, tmp_path, settings):
    config = settings()
    train(config, tiny, tmp_path / "whole", device="cpu")
    with pytest.raises(KeyboardInterrupt):
        train(config, tiny, tmp_path / "broken", device="cpu", progress=stop_at(5))
    with (tmp_path / "broken/metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "loss": 0.1')
    train(config, tiny, tmp_path / "broken", resume=True, device="cpu")
    assert metrics(tmp_path / "whole") == metrics(tmp_path / "broken")


def strength(network):
    """Stands for a score: depends on the weights alone."""
    return {"score": float(network.classify.weight.detach().abs().sum())}


def scored(run):
    return {row["step"]: row["score"] for row in metrics(run) if "score" in row}


def test_the_scores_are_those_of_the_checkpoint_and_in_its_step_s_only_line(tiny, tmp_path, settings):
    last = train(settings(), tiny, tmp_path, device="cpu", validate=strength)
    assert [row["step"] for row in metrics(tmp_path)] == [1, 2, 3, 4, 5, 6] and list(scored(tmp_path)) == [2, 4, 6]
    assert scored(tmp_path)[6] == strength(checkpoint.load_local(last)[0])["score"]


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("moment", ["before its score", "after it"])
def test_scores_of_a_checkpoint_are_not_lost(tiny, tmp_path, settings, monkeypatch, count, moment):
    """Broken off at a checkpoint, before its score or between that and its files, a resumed run has all of them."""
    train(settings(), tiny, tmp_path / "whole", device="cpu", validate=strength)
    done = []

    def break_off(network):
        done.append("score")
        if len(done) < count:
            return strength(network)
        if moment == "before its score":
            raise KeyboardInterrupt
        patch.setattr(safetensors.torch, "save_file", interrupt)
        return strength(network)

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        train(settings(), tiny, tmp_path / "broken", device="cpu", validate=break_off)
    train(settings(), tiny, tmp_path / "broken", resume=True, device="cpu", validate=strength)
    assert metrics(tmp_path / "broken") == metrics(tmp_path / "whole") and same(tmp_path / "broken", tmp_path / "whole")


def test_scoring_checkpoints_changes_and_chooses_nothing(tiny, tmp_path, settings):
    def spoil(network):
        """Draws numbers, and writes on what it is given."""
        assert not network.training
        with torch.no_grad():
            network.classify.weight.fill_(0)
        return {"score": -float(torch.rand(()))}

    last = train(settings(), tiny, tmp_path / "scored", device="cpu", validate=spoil)
    train(settings(), tiny, tmp_path / "plain", device="cpu")
    for file in ("model.safetensors", "training.safetensors"):
        assert same(tmp_path / "scored", tmp_path / "plain", file)
    assert checkpoint.read_meta(last).step == 6


def test_resuming_a_finished_run_leaves_it_alone_and_none_starts_it(tiny, tmp_path, settings):
    train(settings(), tiny, tmp_path / "a", resume=True, device="cpu")
    before = {p: p.read_bytes() for p in (tmp_path / "a").rglob("*") if p.is_file()}
    train(settings(), tiny, tmp_path / "a", resume=True, device="cpu")
    assert {p: p.read_bytes() for p in (tmp_path / "a").rglob("*") if p.is_file()} == before
    train(settings(), tiny, tmp_path / "b", device="cpu")
    assert same(tmp_path / "a", tmp_path / "b")


@pytest.mark.parametrize(
    "other",
    [
        {"train": {"learning_rate": 0.1}},
        {"train": {"seed": 1}},
        {"model": {"memory": "ema"}},
        {"weights": {"mil": 2}},
    ],
    ids=str,
)
def test_another_run_is_not_resumed_nor_overwritten(tiny, tmp_path, settings, other):
    train(settings(), tiny, tmp_path, device="cpu")
    before = weights(tmp_path)
    changed = settings(**{"model": {"memory": "learned"}, **other})
    with pytest.raises(CheckpointError, match="other settings"):
        train(changed, tiny, tmp_path, resume=True, device="cpu")
    with pytest.raises(CheckpointError, match="other settings"):
        train(settings(), replace(tiny, classes=tiny.classes[::-1]), tmp_path, resume=True, device="cpu")
    held_out = frozenset({"training_0000"})
    with pytest.raises(CheckpointError, match="held-out sequences"):
        train(settings(), tiny, tmp_path, resume=True, device="cpu", held_out=held_out)
    with pytest.raises(CheckpointError, match="holds a run already; go on with --resume"):
        train(settings(), tiny, tmp_path, device="cpu")
    assert all(torch.equal(value, before[name]) for name, value in weights(tmp_path).items())


@MEMORY
def test_segments_are_invisible_to_training(tiny, tmp_path, settings, memory):
    """Made-up segments on every training label: the weights are the same to the bit."""
    marked = tmp_path / "marked"
    shutil.copytree(tiny.path, marked)
    annotations = json.loads((marked / "annotations.json").read_text())
    rng = np.random.default_rng(0)
    for entry in annotations["database"].values():
        if entry["subset"] == "training":
            for annotation in entry["annotations"]:
                annotation["segment"] = sorted(rng.uniform(0, entry["duration"], 2).round(3).tolist())
    (marked / "annotations.json").write_text(json.dumps(annotations))
    folder = load_dataset(marked)
    assert all(v.segments for v in folder.subset("training") if v.labels), "they are there to be seen"
    config = settings(model={"memory": memory})
    train(config, folder, tmp_path / "a", device="cpu")
    train(config, tiny, tmp_path / "b", device="cpu")
    for file in ("model.safetensors", "global.safetensors", "training.safetensors"):
        assert same(tmp_path / "a", tmp_path / "b", file)
    assert metrics(tmp_path / "a") == metrics(tmp_path / "b")


def test_other_subsets_are_invisible_to_training(tiny, tmp_path, settings):
    alone = replace(tiny, videos=tiny.subset("training"))
    train(settings(), alone, tmp_path / "a", device="cpu")
    train(settings(), tiny, tmp_path / "b", device="cpu")
    assert same(tmp_path / "a", tmp_path / "b")


def test_what_is_held_out_is_invisible_to_training(tiny, tmp_path, settings):
    held = held_out_ids(tiny, 0.25, 0)
    left = replace(tiny, videos=tuple(v for v in tiny.videos if v.id not in held))
    train(settings(), tiny, tmp_path / "a", device="cpu", held_out=held)
    train(settings(), left, tmp_path / "b", device="cpu")
    assert same(tmp_path / "a", tmp_path / "b")


def test_a_copy_under_another_name_is_neither_removed_nor_resumed(tiny, tmp_path, settings):
    with pytest.raises(KeyboardInterrupt):
        train(settings(), tiny, tmp_path, device="cpu", progress=stop_at(5))
    shutil.copytree(checkpoint.latest_checkpoint(tmp_path), tmp_path / "checkpoint-best")
    train(settings(), tiny, tmp_path, device="cpu", resume=True)
    assert checkpoint.latest_checkpoint(tmp_path) == tmp_path / "checkpoint-000006"
    assert (tmp_path / "checkpoint-best" / "model.safetensors").is_file()


def test_one_checkpoint_stays_and_each_step_is_logged(tiny, tmp_path, settings):
    told = []
    last = train(settings(), tiny, tmp_path, device="cpu", progress=lambda step, terms: told.append((step, terms)))
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-000006"] == [last.name]
    assert [row["step"] for row in metrics(tmp_path)] == [1, 2, 3, 4, 5, 6] == [step for step, _ in told]
    assert all(np.isfinite(list(row.values())).all() for row in metrics(tmp_path))


def test_what_the_memory_has_written_survives_the_averaging_of_weights(tiny, tmp_path, settings):
    """Counts are not averaged: a slot written in training is read when the global branch is measured."""
    train(settings(model={"memory": "ema"}), tiny, tmp_path, device="cpu")
    trained = weights(tmp_path, "training.safetensors")["model.memory.written"]
    assert trained.any()
    assert torch.equal(weights(tmp_path, "global.safetensors")["memory.written"], trained)


def test_features_that_are_not_finite_are_refused_at_the_door(tiny, tmp_path, settings):
    spoilt = tmp_path / "set"
    shutil.copytree(tiny.path, spoilt)
    name = tiny.subset("training")[0].id
    np.save(spoilt / "features" / f"{name}.npy", np.full((24, 10), np.nan, np.float16))
    with pytest.raises(DataError, match=name):
        train_run(spoilt, tmp_path / "run", settings(), device="cpu")
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite_stops_training_and_says_what_to_do(tiny, tmp_path, settings):
    with pytest.raises(ConfigError, match=r"step \d+: the loss is (nan|inf), training diverged; lower train\."):
        train(settings(train={"learning_rate": 1e30}), tiny, tmp_path, device="cpu")


def act_as_on_a_gpu(monkeypatch: pytest.MonkeyPatch, every: int) -> None:
    """Features on the device, and terms read in blocks of steps; but on the processor."""
    monkeypatch.setattr(training, "READ_EVERY", {"cpu": every})
    monkeypatch.setattr(training, "cache_on_device", DeviceCachedDataset)


@pytest.fixture(params=[4, 100], ids="read every {}".format)
def as_on_a_gpu(request, monkeypatch):
    act_as_on_a_gpu(monkeypatch, request.param)


def test_terms_read_late_and_features_on_the_device_change_nothing(tiny, tmp_path, settings, monkeypatch):
    config, told = settings(train={"save_every": 5, "steps": 11}), []
    train(config, tiny, tmp_path / "plain", device="cpu", validate=strength)
    act_as_on_a_gpu(monkeypatch, 4)
    train(config, tiny, tmp_path / "late", device="cpu", validate=strength, progress=lambda *now: told.append(now))
    for file in ("model.safetensors", "global.safetensors", "training.safetensors"):
        assert same(tmp_path / "plain", tmp_path / "late", file)
    assert metrics(tmp_path / "plain") == metrics(tmp_path / "late")
    assert [step for step, _ in told] == list(range(1, 12))


@pytest.mark.parametrize("step", [1, 3, 5, 6])
def test_a_run_whose_terms_are_read_late_resumes_to_the_same(tiny, tmp_path, settings, as_on_a_gpu, step):
    config = settings()
    train(config, tiny, tmp_path / "whole", device="cpu")
    with pytest.raises(KeyboardInterrupt):
        train(config, tiny, tmp_path / "broken", device="cpu", progress=stop_at(step))
    train(config, tiny, tmp_path / "broken", resume=True, device="cpu")
    assert same(tmp_path / "whole", tmp_path / "broken", "training.safetensors")
    assert metrics(tmp_path / "whole") == metrics(tmp_path / "broken")


def test_divergence_is_seen_before_anything_is_saved(tiny, tmp_path, settings, as_on_a_gpu):
    config = settings(train={"learning_rate": 1e30, "save_every": 6})
    with pytest.raises(ConfigError, match=r"step [2-5]: the loss is (nan|inf), training diverged"):
        train(config, tiny, tmp_path, device="cpu")
    assert checkpoint.latest_checkpoint(tmp_path) is None


class Waiting(TorchDispatchMode):
    """Counts what would have a GPU waited for: numbers, and sizes that depend on numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, operation, types, arguments=(), named=None):
        name = operation.overloadpacket.__name__
        if name in ("_local_scalar_dense", "nonzero", "masked_select", "unique", "_unique2"):
            self.seen.append(name)
        return operation(*arguments, **(named or {}))


@pytest.mark.parametrize("method", ["baseline", "self-distillation", "dfe", "random-memory", "shuffled-memory"])
def test_a_step_waits_for_nothing_on_the_device(tiny, settings, method):
    config, cpu = settings(method), torch.device("cpu")
    model = build(config, tiny.modalities, len(tiny.classes))
    averaged, data = deepcopy(model), DeviceCachedDataset(TrainingDataset(tiny, 0), cpu)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    with Waiting() as waiting:
        for step in range(6):
            training._step(model, optimizer, data.batch(step, 3, 20), config, step)
            training._average(averaged, model, 0.9)
    assert not waiting.seen


def test_the_rate_falls_from_what_is_set_to_almost_nothing(settings):
    config = settings(train={"steps": 100, "learning_rate": 0.5})
    rates = [learning_rate(config, step) for step in range(100)]
    assert rates[0] == 0.5 and rates == sorted(rates, reverse=True) and 0 < rates[-1] < 1e-3
