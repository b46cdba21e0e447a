"""Training of one network depends on seed, labels, features and targets, and resumes to the same weights."""

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

from tests.helpers.errors import raises
from wtal.core.errors import CheckpointError, ConfigError, DataError
from wtal.core.structures import Segment
from wtal.data.batching import DeviceCachedDataset, TrainingDataset, held_out_ids
from wtal.data.dataset import Dataset, load_dataset
from wtal.data.snippet_labels import segment_targets
from wtal.experiments.pipeline import train as train_on_folder
from wtal.models import checkpoint
from wtal.models.local_branch import build_model
from wtal.training import trainer
from wtal.training.criterion import compute_loss
from wtal.training.trainer import fit, fit_normalisation, learning_rate


def random_targets(dataset: Dataset, seed: int = 0) -> dict[str, torch.Tensor]:
    """Class probabilities of all training snippets."""
    draw = torch.Generator().manual_seed(seed)
    shape = len(dataset.classes) + 1
    return {
        video.id: torch.randn(len(dataset.features(video.id)), shape, generator=draw).softmax(-1)
        for video in dataset.subset("training")
    }


def weights(run: Path, file: str = "model.safetensors") -> dict[str, torch.Tensor]:
    return load_file(checkpoint.latest_checkpoint(run) / file)


def same(run_a: Path, run_b: Path, file: str = "model.safetensors") -> bool:
    a, b = weights(run_a, file), weights(run_b, file)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def metrics(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def stop_at(last: int):
    def on_progress(step, losses):
        if step == last:
            raise KeyboardInterrupt

    return on_progress


@pytest.mark.parametrize("local", ["dilated", "attention"])
def test_weights_depend_on_the_seed_alone(tiny, tmp_path, settings, local):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        torch.manual_seed(len(name) + seed)  # earlier draws do not matter
        fit(settings("local", model={"local": local}, train={"seed": seed}), tiny, tmp_path / name, device="cpu")
    assert same(tmp_path / "a", tmp_path / "b") and metrics(tmp_path / "a") == metrics(tmp_path / "b")
    assert not same(tmp_path / "a", tmp_path / "c")


@pytest.mark.parametrize("taught", [False, True], ids=["tags alone", "teacher"])
@pytest.mark.parametrize("step", [1, 3, 4, 6])
def test_resumed_run_ends_with_the_same_weights(tiny, tmp_path, settings, taught, step):
    config, targets = settings(), random_targets(tiny) if taught else None
    fit(config, tiny, tmp_path / "whole", device="cpu", targets=targets)
    with pytest.raises(KeyboardInterrupt):
        fit(config, tiny, tmp_path / "resumed", device="cpu", targets=targets, on_progress=stop_at(step))
    fit(config, tiny, tmp_path / "resumed", resume=True, device="cpu", targets=targets)
    for file in ("model.safetensors", "training.safetensors"):
        assert same(tmp_path / "whole", tmp_path / "resumed", file)
    assert (tmp_path / "whole/metrics.jsonl").read_text() == (tmp_path / "resumed/metrics.jsonl").read_text()


def test_weights_depend_on_the_targets(tiny, tmp_path, settings):
    for name, targets in (("a", random_targets(tiny)), ("b", random_targets(tiny)), ("c", random_targets(tiny, 1))):
        fit(settings(), tiny, tmp_path / name, device="cpu", targets=targets)
    assert same(tmp_path / "a", tmp_path / "b") and not same(tmp_path / "a", tmp_path / "c")


def test_network_learns_its_targets(tiny, tmp_path, settings):
    """The distillation loss falls to the entropy of the targets when these can be told from the features."""
    rows = [row["distillation_cas"] for row in metrics(learn_first_feature(tiny, settings, tmp_path))]
    assert rows[-1] < 0.5 * rows[0]


def learn_first_feature(tiny: Dataset, settings, run: Path) -> Path:
    """Train on targets that are class 0 where the first feature is high, and background elsewhere."""
    features = {video.id: torch.tensor(np.asarray(tiny.features(video.id), np.float32)) for video in tiny.videos}
    median = torch.cat(list(features.values()))[:, 0].median()
    targets = {}
    for id, x in features.items():
        targets[id] = torch.zeros(len(x), len(tiny.classes) + 1)
        targets[id][torch.arange(len(x)), torch.where(x[:, 0] > median, 0, -1)] = 1
    config = settings("supervised", model={"smoothing": 0}, train={"steps": 60, "learning_rate": 0.02})
    fit(config, tiny, run, device="cpu", targets=targets)
    return run


@pytest.mark.parametrize("cleanup", [True, False], ids=["interrupted", "killed"])
@pytest.mark.parametrize("write", [1, 2, 3, 6])
def test_run_killed_while_writing_a_checkpoint_resumes(tiny, tmp_path, settings, monkeypatch, write, cleanup):
    """A checkpoint has two files. A killed process leaves temporary files; in a container its pid is used again."""
    config, written, save_file = settings(), [], safetensors.torch.save_file

    def die(tensors, path):
        written.append(path)
        if len(written) == write:
            Path(path).write_bytes(b"half")
            raise KeyboardInterrupt
        save_file(tensors, path)

    with monkeypatch.context() as patch:
        patch.setattr(safetensors.torch, "save_file", die)
        if not cleanup:
            patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        with pytest.raises(KeyboardInterrupt):
            fit(config, tiny, tmp_path / "resumed", device="cpu")
    fit(config, tiny, tmp_path / "resumed", resume=True, device="cpu")
    fit(config, tiny, tmp_path / "whole", device="cpu")
    assert same(tmp_path / "whole", tmp_path / "resumed")
    assert metrics(tmp_path / "whole") == metrics(tmp_path / "resumed")


def test_truncated_last_line_of_the_log_is_dropped(tiny, tmp_path, settings):
    config = settings()
    fit(config, tiny, tmp_path / "whole", device="cpu")
    with pytest.raises(KeyboardInterrupt):
        fit(config, tiny, tmp_path / "resumed", device="cpu", on_progress=stop_at(5))
    with (tmp_path / "resumed/metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "loss": 0.1')
    fit(config, tiny, tmp_path / "resumed", resume=True, device="cpu")
    assert metrics(tmp_path / "whole") == metrics(tmp_path / "resumed")


def weight_norm(network):
    """A score that depends on the weights alone."""
    return {"score": float(network.classify.weight.detach().abs().sum())}


def scores(run):
    return {row["step"]: row["score"] for row in metrics(run) if "score" in row}


def test_scores_belong_to_the_checkpoints_and_are_logged_with_them(tiny, tmp_path, settings):
    last = fit(settings(), tiny, tmp_path, device="cpu", validate=weight_norm)
    assert [row["step"] for row in metrics(tmp_path)] == [1, 2, 3, 4, 5, 6] and list(scores(tmp_path)) == [2, 4, 6]
    assert scores(tmp_path)[6] == weight_norm(checkpoint.load_model(last)[0])["score"]


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("moment", ["before the score", "after the score"])
def test_resumed_run_has_all_scores(tiny, tmp_path, settings, monkeypatch, count, moment):
    """Interrupted at a checkpoint, before its score is computed, or after that but before its files are written."""
    fit(settings(), tiny, tmp_path / "whole", device="cpu", validate=weight_norm)
    calls = []

    def interrupted_score(network):
        calls.append("score")
        if len(calls) < count:
            return weight_norm(network)
        if moment == "before the score":
            raise KeyboardInterrupt
        patch.setattr(safetensors.torch, "save_file", interrupt)
        return weight_norm(network)

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        fit(settings(), tiny, tmp_path / "resumed", device="cpu", validate=interrupted_score)
    fit(settings(), tiny, tmp_path / "resumed", resume=True, device="cpu", validate=weight_norm)
    assert metrics(tmp_path / "resumed") == metrics(tmp_path / "whole") and same(
        tmp_path / "resumed", tmp_path / "whole"
    )


def test_validation_does_not_affect_training(tiny, tmp_path, settings):
    def modify(network):
        """Draws random numbers and changes the network."""
        assert not network.training
        with torch.no_grad():
            network.classify.weight.fill_(0)
        return {"score": -float(torch.rand(()))}

    last = fit(settings(), tiny, tmp_path / "scored", device="cpu", validate=modify)
    fit(settings(), tiny, tmp_path / "plain", device="cpu")
    for file in ("model.safetensors", "training.safetensors"):
        assert same(tmp_path / "scored", tmp_path / "plain", file)
    assert checkpoint.read_meta(last).step == 6


def test_resume_leaves_a_finished_run_unchanged_and_starts_a_missing_one(tiny, tmp_path, settings):
    fit(settings(), tiny, tmp_path / "a", resume=True, device="cpu")
    content = {p: p.read_bytes() for p in (tmp_path / "a").rglob("*") if p.is_file()}
    fit(settings(), tiny, tmp_path / "a", resume=True, device="cpu")
    assert {p: p.read_bytes() for p in (tmp_path / "a").rglob("*") if p.is_file()} == content
    fit(settings(), tiny, tmp_path / "b", device="cpu")
    assert same(tmp_path / "a", tmp_path / "b")


@pytest.mark.parametrize(
    "other",
    [
        {"train": {"learning_rate": 0.1}},
        {"train": {"seed": 1}},
        {"model": {"smoothing": 1}},
        {"weights": {"mil": 2}},
    ],
    ids=str,
)
def test_different_run_is_neither_resumed_nor_overwritten(tiny, tmp_path, settings, other):
    fit(settings(), tiny, tmp_path, device="cpu")
    expected = weights(tmp_path)
    changed = settings(**other)
    with raises(CheckpointError, code="different-run", path=tmp_path):
        fit(changed, tiny, tmp_path, resume=True, device="cpu")
    with raises(CheckpointError, code="different-run", path=tmp_path):
        fit(settings(), replace(tiny, classes=tiny.classes[::-1]), tmp_path, resume=True, device="cpu")
    held_out = frozenset({"training_0000"})
    with raises(CheckpointError, code="different-run", path=tmp_path):
        fit(settings(), tiny, tmp_path, resume=True, device="cpu", held_out=held_out)
    with raises(CheckpointError, code="already-exists", path=tmp_path):
        fit(settings(), tiny, tmp_path, device="cpu")
    assert all(torch.equal(value, expected[name]) for name, value in weights(tmp_path).items())


@pytest.mark.parametrize("method, supervision", [("local", "tags"), ("local", "segments"), ("supervised", "tags")])
def test_run_is_not_resumed_with_other_labels(tiny, tmp_path, settings, method, supervision):
    first, *others = tiny.subset("training")

    def with_labels(*labels: str, start: float = 2.0) -> Dataset:
        segments = tuple(Segment(label, start, 6.0) for label in labels)
        return replace(tiny, videos=(replace(first, labels=labels, segments=segments), *others))

    config = settings(method, train={"supervision": supervision, "steps": 2})
    targets = segment_targets if method == "supervised" else lambda dataset: None
    dataset = with_labels(tiny.classes[0])

    def resume(dataset: Dataset) -> None:
        fit(config, dataset, tmp_path, resume=True, device="cpu", targets=targets(dataset))

    resume(dataset)
    resume(dataset)
    with raises(CheckpointError, code="different-run", path=tmp_path):
        resume(with_labels(tiny.classes[1]))
    if (method, supervision) == ("local", "tags"):
        resume(with_labels(tiny.classes[0], start=3.0))
    else:
        with raises(CheckpointError, code="different-run", path=tmp_path):
            resume(with_labels(tiny.classes[0], start=3.0))


def test_run_without_recorded_labels_is_resumed(tiny, tmp_path, settings):
    config = settings("local", train={"steps": 2})
    path = fit(config, tiny, tmp_path, device="cpu") / "config.json"
    content = json.loads(path.read_text())
    del content["labels"], content["label_fingerprint"]
    path.write_text(json.dumps(content))
    fit(config, tiny, tmp_path, resume=True, device="cpu")


def test_training_does_not_use_segments(tiny, tmp_path, settings):
    """With random segments for every training label the weights are identical."""
    annotated = tmp_path / "annotated"
    shutil.copytree(tiny.path, annotated)
    annotations = json.loads((annotated / "annotations.json").read_text())
    rng = np.random.default_rng(0)
    for entry in annotations["database"].values():
        if entry["subset"] == "training":
            for annotation in entry["annotations"]:
                annotation["segment"] = sorted(rng.uniform(0, entry["duration"], 2).round(3).tolist())
    (annotated / "annotations.json").write_text(json.dumps(annotations))
    dataset = load_dataset(annotated)
    assert all(v.segments for v in dataset.subset("training") if v.labels)
    fit(settings(), dataset, tmp_path / "a", device="cpu")
    fit(settings(), tiny, tmp_path / "b", device="cpu")
    for file in ("model.safetensors", "training.safetensors"):
        assert same(tmp_path / "a", tmp_path / "b", file)
    assert metrics(tmp_path / "a") == metrics(tmp_path / "b")


def test_training_does_not_use_other_subsets(tiny, tmp_path, settings):
    training_only = replace(tiny, videos=tiny.subset("training"))
    fit(settings(), training_only, tmp_path / "a", device="cpu")
    fit(settings(), tiny, tmp_path / "b", device="cpu")
    assert same(tmp_path / "a", tmp_path / "b")


def test_training_does_not_use_held_out_videos(tiny, tmp_path, settings):
    held_out = held_out_ids(tiny, 0.25, 0)
    rest = replace(tiny, videos=tuple(v for v in tiny.videos if v.id not in held_out))
    fit(settings(), tiny, tmp_path / "a", device="cpu", held_out=held_out)
    fit(settings(), rest, tmp_path / "b", device="cpu")
    assert same(tmp_path / "a", tmp_path / "b")


def test_copied_checkpoint_is_neither_removed_nor_resumed(tiny, tmp_path, settings):
    with pytest.raises(KeyboardInterrupt):
        fit(settings(), tiny, tmp_path, device="cpu", on_progress=stop_at(5))
    shutil.copytree(checkpoint.latest_checkpoint(tmp_path), tmp_path / "checkpoint-best")
    fit(settings(), tiny, tmp_path, device="cpu", resume=True)
    assert checkpoint.latest_checkpoint(tmp_path) == tmp_path / "checkpoint-000006"
    assert (tmp_path / "checkpoint-best" / "model.safetensors").is_file()


def test_last_checkpoint_is_kept_and_each_step_is_logged(tiny, tmp_path, settings):
    steps = []
    last = fit(settings(), tiny, tmp_path, device="cpu", on_progress=lambda step, losses: steps.append(step))
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-000006"] == [last.name]
    assert [row["step"] for row in metrics(tmp_path)] == [1, 2, 3, 4, 5, 6] == steps
    assert all(np.isfinite(list(row.values())).all() for row in metrics(tmp_path))


def test_non_finite_features_are_rejected_before_training(tiny, tmp_path, settings):
    damaged = tmp_path / "set"
    shutil.copytree(tiny.path, damaged)
    name = tiny.subset("training")[0].id
    np.save(damaged / "features" / f"{name}.npy", np.full((24, 10), np.nan, np.float16))
    with pytest.raises(DataError, match=name):
        train_on_folder(damaged, tmp_path / "run", settings(), device="cpu")
    assert not (tmp_path / "run").exists()


def test_diverging_training_stops(tiny, tmp_path, settings):
    with raises(ConfigError, code="training-diverged"):
        fit(settings(train={"learning_rate": 1e30}), tiny, tmp_path, device="cpu")


def simulate_gpu(monkeypatch: pytest.MonkeyPatch, log_every: int) -> None:
    """Features cached on the device and losses read every few steps, but on the CPU."""
    monkeypatch.setattr(trainer, "LOG_EVERY", {"cpu": log_every})
    monkeypatch.setattr(trainer, "cache_on_device", DeviceCachedDataset)


@pytest.fixture(params=[4, 100], ids="log every {}".format)
def simulated_gpu(request, monkeypatch):
    simulate_gpu(monkeypatch, request.param)


def test_logging_in_blocks_and_caching_features_change_nothing(tiny, tmp_path, settings, monkeypatch):
    config, steps = settings(train={"save_every": 5, "steps": 11}), []
    targets = random_targets(tiny)
    fit(config, tiny, tmp_path / "plain", device="cpu", validate=weight_norm, targets=targets)
    simulate_gpu(monkeypatch, 4)
    fit(
        config,
        tiny,
        tmp_path / "blocks",
        device="cpu",
        validate=weight_norm,
        targets=targets,
        on_progress=lambda step, losses: steps.append(step),
    )
    for file in ("model.safetensors", "training.safetensors"):
        assert same(tmp_path / "plain", tmp_path / "blocks", file)
    assert metrics(tmp_path / "plain") == metrics(tmp_path / "blocks")
    assert steps == list(range(1, 12))


@pytest.mark.parametrize("step", [1, 3, 5, 6])
def test_run_that_logs_in_blocks_resumes_to_the_same_weights(tiny, tmp_path, settings, simulated_gpu, step):
    config = settings()
    fit(config, tiny, tmp_path / "whole", device="cpu")
    with pytest.raises(KeyboardInterrupt):
        fit(config, tiny, tmp_path / "resumed", device="cpu", on_progress=stop_at(step))
    fit(config, tiny, tmp_path / "resumed", resume=True, device="cpu")
    assert same(tmp_path / "whole", tmp_path / "resumed", "training.safetensors")
    assert metrics(tmp_path / "whole") == metrics(tmp_path / "resumed")


def test_diverged_weights_are_not_saved(tiny, tmp_path, settings, simulated_gpu):
    config = settings(train={"learning_rate": 1e30, "save_every": 6})
    with raises(ConfigError, code="training-diverged"):
        fit(config, tiny, tmp_path, device="cpu")
    assert checkpoint.latest_checkpoint(tmp_path) is None


class SynchronizingOperations(TorchDispatchMode):
    """Records operations that make the host wait for a GPU: reading numbers, and sizes that depend on numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, operation, types, arguments=(), named=None):
        name = operation.overloadpacket.__name__
        if name in ("_local_scalar_dense", "nonzero", "masked_select", "unique", "_unique2"):
            self.names.append(name)
        return operation(*arguments, **(named or {}))


@pytest.mark.parametrize("method", ["baseline", "local", "dfe", "supervised"])
def test_a_step_never_waits_for_the_device(tiny, settings, method):
    config, cpu = settings(method), torch.device("cpu")
    model = build_model(config, tiny.modalities, len(tiny.classes)).train()
    targets = None if config.method_spec.teacher == "none" else random_targets(tiny)
    averaged, data = deepcopy(model), DeviceCachedDataset(TrainingDataset(tiny, 0, targets=targets), cpu)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    with SynchronizingOperations() as recorded:
        for step in range(6):
            batch = data.batch(step, 3, 20)
            loss, _ = compute_loss(model(batch.features, batch.mask), batch, config)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            trainer.update_average(averaged, model, 0.9)
    assert not recorded.names


@pytest.mark.parametrize(
    "changes, variable, expected",
    [({}, None, 1), ({}, "2", 2), ({"model": {"width": 4096}, "train": {"batch_size": 4096}}, None, 2)],
    ids=["default", "OMP_NUM_THREADS", "large network"],
)
def test_small_networks_are_trained_with_one_thread(tiny, settings, monkeypatch, changes, variable, expected):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if variable:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
    torch.set_num_threads(2)
    try:
        with trainer.limited_threads(settings(**changes), tiny, torch.device("cpu")):
            assert torch.get_num_threads() == expected
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_learning_rate_falls_from_its_setting_to_almost_zero(settings):
    config = settings(train={"steps": 100, "learning_rate": 0.5})
    rates = [learning_rate(config, step) for step in range(100)]
    assert rates[0] == 0.5 and rates == sorted(rates, reverse=True) and 0 < rates[-1] < 1e-3


# Input normalization.


def changed_copy(dataset: Dataset, folder: Path, change) -> Dataset:
    """A copy of a data set with changed features, in float64."""
    shutil.copytree(dataset.path, folder)
    for path in (folder / "features").glob("*.npy"):
        np.save(path, change(np.load(path).astype(np.float64)))
    return load_dataset(folder)


def normalized_inputs(dataset: Dataset, settings) -> torch.Tensor:
    """What the network reads of all training snippets, N x D."""
    model = build_model(settings("local"), dataset.modalities, len(dataset.classes))
    data = TrainingDataset(dataset, 0)
    fit_normalisation(model, data)
    batch = data.batch(0, len(data), 1000)
    normalized = model.normalise(batch.features, batch.mask)
    assert not normalized[~batch.mask].any() and (~batch.mask).any(), "padding stays 0"
    return normalized[batch.mask]


@pytest.mark.parametrize(
    "change",
    [lambda x: 0.01 * x, lambda x: 100 * x, lambda x: x - 30, lambda x: 0.1 * x + 1, lambda x: np.float16(8) * x],
    ids=["x / 100", "100 x", "x - 30", "x / 10 + 1", "8 x"],
)
def test_normalized_inputs_depend_neither_on_scale_nor_on_shift(tiny, tmp_path, settings, change):
    expected = normalized_inputs(tiny, settings)
    other = normalized_inputs(changed_copy(tiny, tmp_path / "set", change), settings)
    torch.testing.assert_close(other, expected, rtol=1e-3, atol=1e-3)
    assert expected.std() > 0.1


def test_modalities_are_normalized_independently(tiny, tmp_path, settings):
    width = tiny.modalities[0]
    scaled = changed_copy(tiny, tmp_path / "set", lambda x: x * np.where(np.arange(x.shape[1]) < width, 0.01, 7))
    torch.testing.assert_close(
        normalized_inputs(scaled, settings), normalized_inputs(tiny, settings), rtol=1e-3, atol=1e-3
    )


def test_dead_dimensions_become_zero_and_do_not_affect_others(tiny, tmp_path, settings):
    def kill(x: np.ndarray) -> np.ndarray:
        return np.where(np.arange(x.shape[1]) == 2, 7.25, x)

    dead = normalized_inputs(changed_copy(tiny, tmp_path / "set", kill), settings)
    assert not dead[:, 2].any() and (dead[:, [0, 1, *range(3, 10)]].std(0) > 0.05).all()


def test_features_that_never_change_are_valid(tiny, tmp_path, settings):
    constant = changed_copy(tiny, tmp_path / "set", lambda x: np.full_like(x, 3.0))
    assert not normalized_inputs(constant, settings).any()
    fit(settings("local", train={"steps": 1}), constant, tmp_path / "run", device="cpu")


def test_outliers_are_limited_to_five(tiny, tmp_path, settings):
    def outlier(x: np.ndarray) -> np.ndarray:
        x = x.copy()
        x[0, 0] = 1e4
        return x

    normalized = normalized_inputs(changed_copy(tiny, tmp_path / "set", outlier), settings)
    assert normalized.max() == 5 and normalized.min() >= -5


def test_strong_dimensions_stay_stronger_but_less_so(tiny, tmp_path, settings):
    """A dimension that varies a hundred times as much as another one varies ten times as much afterwards."""

    def stretch(x: np.ndarray) -> np.ndarray:
        x = x.copy()
        x[:, 1] = 0.01 * x[:, 0]
        return x

    high, low = normalized_inputs(changed_copy(tiny, tmp_path / "set", stretch), settings).std(0)[:2]
    assert (high / low).item() == pytest.approx(10, rel=0.1)


def test_normalization_is_saved_with_the_model(tiny, tmp_path, settings):
    fit(settings("local"), tiny, tmp_path, device="cpu")
    data, (network, _) = TrainingDataset(tiny, 0), checkpoint.load_model(tmp_path)
    batch = data.batch(0, len(data), 1000)
    torch.testing.assert_close(
        network.normalise(batch.features, batch.mask)[batch.mask], normalized_inputs(tiny, settings)
    )
