"""Two stages: resumed to the same bits after any interruption, from tags alone, to a model that needs no teacher."""

import json
import multiprocessing
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from multiprocessing.connection import wait
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from safetensors.torch import load_file

from tests.helpers.errors import raises
from wtal.core.config import Config, flatten
from wtal.core.errors import CheckpointError, ConfigError, DataError, WtalError
from wtal.core.methods import METHODS
from wtal.data.dataset import Dataset, load_dataset
from wtal.data.snippet_labels import TRAINING_SEGMENTS_NAME
from wtal.experiments import pipeline
from wtal.inference.localizer import Localizer
from wtal.models import checkpoint
from wtal.models.local_branch import build_model
from wtal.models.teacher import load_ensemble, load_global_branch, load_memory
from wtal.training import stages
from wtal.training.stages import total_steps, train

MODELS, STEPS = 2, 6  # of the settings of these tests
TAUGHT = [name for name, spec in METHODS.items() if spec.has_two_stages and spec.trained_as is None]
WEAK = [name for name, spec in METHODS.items() if spec.teacher != "segments" and spec.trained_as is None]


def tensors(folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    """All tensors below a folder, by file."""
    return {str(path.relative_to(folder)): load_file(path) for path in sorted(folder.rglob("*.safetensors"))}


def assert_same(folder: Path, other: Path) -> None:
    """The same files with the same bits: weights and optimizers of all stages, memory and targets, and the losses."""
    a, b = tensors(folder), tensors(other)
    assert a.keys() == b.keys() and a
    for file in a:
        assert a[file].keys() == b[file].keys()
        assert all(torch.equal(a[file][name], b[file][name]) for name in a[file]), file
    for path in folder.rglob("metrics.jsonl"):
        assert path.read_text() == (other / path.relative_to(folder)).read_text()


def stop_at(last: int) -> Callable[[int, object], None]:
    def on_progress(step: int, losses: object) -> None:
        if step == last:
            raise KeyboardInterrupt

    return on_progress


def file_states(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Content and modification time of every file."""
    return {str(p): (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def config(settings) -> Config:
    return settings("dfe")


@pytest.fixture(scope="module")
def whole(tiny, config, tmp_path_factory) -> Path:
    """A run that was never interrupted; read only."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(config, tiny, folder, device="cpu")
    return folder


@pytest.fixture
def run(whole, tmp_path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(whole, tmp_path / "copy"))


# Interrupted and resumed.


@pytest.mark.parametrize(
    "step",
    [1, 3, STEPS, STEPS + 3, 2 * STEPS, 2 * STEPS + 1, 2 * STEPS + 3, 3 * STEPS],
)
def test_run_killed_at_any_step_resumes_to_the_same_bits(tiny, tmp_path, config, whole, step):
    with pytest.raises(KeyboardInterrupt):
        train(config, tiny, tmp_path / "run", device="cpu", on_progress=stop_at(step))
    train(config, tiny, tmp_path / "run", resume=True, device="cpu")
    assert_same(tmp_path / "run", whole)


@pytest.mark.parametrize("cleanup", [True, False], ids=["interrupted", "killed"])
@pytest.mark.parametrize("file", ["targets.safetensors", "memory.safetensors"])
def test_run_killed_while_the_teacher_is_written_resumes_to_the_same_bits(
    tiny, tmp_path, config, whole, monkeypatch, file, cleanup
):
    save_file = safetensors.torch.save_file

    with monkeypatch.context() as patch:

        def die(tensors: object, path: Path) -> None:
            if Path(path).name != file:
                save_file(tensors, path)
                return
            Path(path).write_bytes(b"half")
            if not cleanup:  # a killed process leaves temporary files
                patch.setattr(shutil, "rmtree", lambda *_, **__: None)
            raise KeyboardInterrupt

        patch.setattr(safetensors.torch, "save_file", die)
        with pytest.raises(KeyboardInterrupt):
            train(config, tiny, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run/teacher").exists()
    train(config, tiny, tmp_path / "run", resume=True, device="cpu")
    assert_same(tmp_path / "run/teacher", whole / "teacher")
    for part in ("stage-one", "checkpoint-000006"):  # not temporary files
        assert_same(tmp_path / "run" / part, whole / part)


@pytest.mark.parametrize("written", [False, True], ids=["before the teacher", "after the teacher"])
def test_run_killed_between_the_stages_resumes_to_the_same_bits(tmp_path, tiny, config, run, whole, written):
    shutil.rmtree(run / "checkpoint-000006")
    (run / "metrics.jsonl").unlink()
    if not written:
        shutil.rmtree(run / "teacher")
    train(config, tiny, run, resume=True, device="cpu")
    assert_same(run, whole)


@pytest.mark.parametrize("method", [method for method in TAUGHT if method != "dfe"])
def test_controls_resume_to_the_same_bits(tiny, tmp_path, settings, method):
    config = settings(method, train={"steps": 4})
    train(config, tiny, tmp_path / "whole", device="cpu")
    for last in (3, 2 * 4 + 3):
        with pytest.raises(KeyboardInterrupt):
            train(config, tiny, tmp_path / "run", resume=True, device="cpu", on_progress=stop_at(last))
    train(config, tiny, tmp_path / "run", resume=True, device="cpu")
    assert_same(tmp_path / "run", tmp_path / "whole")


@pytest.mark.parametrize("deleted", [False, True], ids=["complete", "without teacher"])
def test_resuming_a_finished_run_changes_nothing(tiny, config, run, deleted):
    if deleted:
        shutil.rmtree(run / "stage-one")
        shutil.rmtree(run / "teacher")
    states = {path: content for path, (content, _) in file_states(run).items()}
    assert train(config, tiny, run, resume=True, device="cpu") == run / "checkpoint-000006"
    assert {path: content for path, (content, _) in file_states(run).items()} == states


@pytest.mark.parametrize("method", ["local", "dfe", "supervised"])
def test_progress_counts_the_steps_of_all_stages(tiny, tmp_path, settings, method):
    steps, config = [], settings(method, train={"steps": 2})
    with_segments = annotated(tiny, tmp_path / "set")
    train(config, with_segments, tmp_path / "run", device="cpu", on_progress=lambda step, _: steps.append(step))
    assert steps == sorted(steps) and set(steps) == set(range(1, total_steps(config) + 1))
    assert total_steps(config) == (2 * (MODELS + 1) if method == "dfe" else 2)


# Refused.


@pytest.mark.parametrize("step", [1, STEPS + 1, 2 * STEPS + 1, 2 * STEPS + 3])
def test_partial_run_is_not_started_again_without_resume(tiny, tmp_path, config, step):
    with pytest.raises(KeyboardInterrupt):
        train(config, tiny, tmp_path / "run", device="cpu", on_progress=stop_at(step))
    states = file_states(tmp_path / "run")
    with raises(CheckpointError, code="already-exists", path=tmp_path / "run"):
        train(config, tiny, tmp_path / "run", device="cpu")
    assert file_states(tmp_path / "run") == states


OTHER = {
    "seed": {"train": {"seed": 1}},
    "steps": {"train": {"steps": 8}},
    "width": {"model": {"width": 8}},
    "models": {"teacher": {"models": 3}},
    "memory share": {"teacher": {"memory_share": 0.9}},
    "temperature": {"memory": {"temperature": 0.2}},
}


@pytest.mark.parametrize("step", [3, 2 * STEPS + 1, 2 * STEPS + 3, 3 * STEPS])
@pytest.mark.parametrize("other", OTHER.values(), ids=OTHER)
def test_run_is_not_resumed_with_another_setting(tiny, tmp_path, settings, config, run, step, other):
    if step < 3 * STEPS:
        shutil.rmtree(run)
        with pytest.raises(KeyboardInterrupt):
            train(config, tiny, run, device="cpu", on_progress=stop_at(step))
    weights = tensors(run)
    with raises(CheckpointError, code="different-run") as caught:
        train(settings("dfe", **other), tiny, run, resume=True, device="cpu")
    assert str(caught.value.path).startswith(str(run))
    ((section, values),) = other.items()
    ((name, value),) = values.items()
    change = f"{section}.{name} = {flatten(config)[f'{section}.{name}']}, not {value}"
    assert change in caught.value.message and caught.value.message.count(" = ") == 1
    after = tensors(run)
    assert all(torch.equal(after[file][name], value) for file in weights for name, value in weights[file].items())


@pytest.mark.parametrize("method", ["dfe-no-memory", "shuffled-memory"])
@pytest.mark.parametrize("finished", [False, True], ids=["after the teacher", "finished"])
def test_run_is_not_resumed_with_another_method_or_other_videos(tiny, settings, config, run, method, finished):
    if not finished:
        shutil.rmtree(run / "checkpoint-000006")
    with raises(CheckpointError, code="different-run") as caught:
        train(settings(method), tiny, run, resume=True, device="cpu")
    assert method in caught.value.message
    with raises(CheckpointError, code="different-run") as caught:
        train(config, tiny, run, resume=True, device="cpu", held_out=frozenset({"training_0000"}))
    assert "held-out videos" in caught.value.message and " = " not in caught.value.message
    with raises(CheckpointError, code="different-run") as caught:
        train(config, replace(tiny, classes=tiny.classes[::-1]), run, resume=True, device="cpu")
    assert "classes" in caught.value.message


# Processes.


def test_processes_train_the_weights_of_one_process(tiny, tmp_path, config, whole):
    steps = []
    train(config, tiny, tmp_path / "run", device="cpu", workers=2, on_progress=lambda step, _: steps.append(step))
    assert_same(tmp_path / "run", whole)
    assert steps == sorted(steps) and steps[-1] == total_steps(config)


@pytest.mark.slow
def test_interrupt_ends_the_processes_and_the_run_resumes(tiny, tmp_path, config, whole):
    others = set(multiprocessing.active_children())  # of other tests
    with pytest.raises(KeyboardInterrupt):
        train(config, tiny, tmp_path / "run", device="cpu", workers=2, on_progress=stop_at(3))
    assert not (tmp_path / "run/teacher").exists()
    for process in set(multiprocessing.active_children()) - others:
        assert wait([process.sentinel], 60)  # `is_alive` can be wrong while the pool joins the process
    train(config, tiny, tmp_path / "run", resume=True, device="cpu")
    for part in ("stage-one/model-1/checkpoint-000006", "stage-one/model-2/checkpoint-000006", "checkpoint-000006"):
        assert_same(tmp_path / "run" / part, whole / part)


@pytest.mark.slow
def test_error_in_a_process_ends_training_and_is_the_same_as_without(tiny, tmp_path, settings):
    config = settings("dfe", train={"learning_rate": 1e30})
    with raises(ConfigError, code="training-diverged"):
        train(config, tiny, tmp_path / "run", device="cpu", workers=2)


@pytest.mark.slow
def test_killed_process_is_reported_and_the_run_resumes(tiny, tmp_path, config, whole, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(stages, "_fit_in_worker", exit_worker)
        with raises(WtalError, code="worker-died"):
            train(config, tiny, tmp_path / "run", device="cpu", workers=2)
    train(config, tiny, tmp_path / "run", resume=True, device="cpu")
    assert_same(tmp_path / "run", whole)


def exit_worker(*_: object) -> None:
    os._exit(9)


# What is trained.


def test_seeds_of_the_models_differ(tiny, tmp_path, config, whole, settings):
    seeds = [checkpoint.read_meta(folder).config.train.seed for folder in sorted((whole / "stage-one").iterdir())]
    other = [stages.stage_one_config(settings("dfe", train={"seed": 1}), number + 1).train.seed for number in range(2)]
    assert len({0, *seeds, *other}) == 2 * MODELS + 1
    first, second = (load_file(path) for path in sorted((whole / "stage-one").glob("*/checkpoint-*/model.safetensors")))
    assert not torch.equal(first["classify.weight"], second["classify.weight"])


def test_models_of_stage_one_are_local_branches_trained_alone(tiny, tmp_path, config, whole):
    alone = stages.stage_one_config(config, 2)
    assert alone.method == "local"
    train(alone, tiny, tmp_path / "run", device="cpu")
    assert_same(tmp_path / "run", whole / "stage-one/model-2")


@torch.inference_mode()
def test_checkpoint_is_a_local_branch_that_needs_neither_memory_nor_stage_one(tiny, config, run):
    features = tiny.features(tiny.subset("testing")[0].id)
    expected = Localizer(run).localize(features)
    shutil.rmtree(run / "stage-one")
    shutil.rmtree(run / "teacher")
    files = {path.name for path in (run / "checkpoint-000006").iterdir()}
    assert files == {"config.json", "model.safetensors", "training.safetensors"}
    shapes = {name: value.shape for name, value in load_file(run / "checkpoint-000006/model.safetensors").items()}
    local = build_model(config.model_copy(update={"method": "local"}), tiny.modalities, len(tiny.classes))
    assert shapes == {name: value.shape for name, value in local.state_dict().items()}, "no memory, no other model"
    (run / "checkpoint-000006/training.safetensors").unlink()
    assert Localizer(run).localize(features).segments == expected.segments != []
    for load in (load_ensemble, load_global_branch):
        with raises(CheckpointError, code="no-global-branch", path=run):
            load(run)


@torch.inference_mode()
def test_teacher_can_be_loaded_to_be_evaluated(tiny, whole):
    (ensemble, meta), (enhanced, _) = load_ensemble(whole), load_global_branch(whole)
    assert meta.config.method == "dfe" and not ensemble.training and not enhanced.training
    assert len(ensemble.networks) == MODELS and load_memory(whole).num_classes == len(tiny.classes)
    features = np.asarray(tiny.features("testing_0000"), np.float32)
    x, mask = torch.tensor(features)[None], torch.ones(1, len(features), dtype=torch.bool)
    first = checkpoint.load_model(whole / "stage-one/model-1")[0]
    assert torch.equal(ensemble.outputs(x, mask)[0].cas, first(x, mask).cas)


@pytest.mark.parametrize("method", ["baseline", "local"])
def test_method_without_a_teacher_has_no_global_branch(tiny, tmp_path, settings, method):
    train(settings(method, train={"steps": 1}), tiny, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run/stage-one").exists()
    for load in (load_ensemble, load_global_branch):
        with raises(CheckpointError, code="no-global-branch", path=tmp_path / "run"):
            load(tmp_path / "run")
    with raises(CheckpointError):
        load_memory(tmp_path / "run")


def test_shared_stage_one_is_trained_once_and_changes_nothing(tiny, tmp_path, settings, config, whole):
    shared = tmp_path / "shared"
    train(config, tiny, tmp_path / "dfe", device="cpu", stage_one=shared)
    states = {path: state for path, state in file_states(shared).items() if "model.safetensors" in path}
    train(settings("shuffled-memory"), tiny, tmp_path / "shuffled", device="cpu", stage_one=shared)
    after = {path: state for path, state in file_states(shared).items() if "model.safetensors" in path}
    assert after == states and len(states) == MODELS
    assert_same(shared, whole / "stage-one")
    assert_same(tmp_path / "dfe/teacher", whole / "teacher")
    assert_same(tmp_path / "dfe/checkpoint-000006", whole / "checkpoint-000006")
    train(settings("shuffled-memory"), tiny, tmp_path / "alone", device="cpu")
    assert_same(tmp_path / "shuffled/checkpoint-000006", tmp_path / "alone/checkpoint-000006")


def test_methods_end_with_different_weights(tiny, tmp_path, settings, config):
    weights = []
    for method in TAUGHT:
        last = train(settings(method), tiny, tmp_path / method, device="cpu", stage_one=tmp_path / "shared")
        weights.append(load_file(last / "model.safetensors")["classify.weight"])
    assert not any(torch.equal(a, b) for i, a in enumerate(weights) for b in weights[:i])


# Segments.


def annotated(tiny: Dataset, folder: Path, seed: int = 0) -> Dataset:
    """A copy of the data set with random segments for every label of a training video."""
    shutil.copytree(tiny.path, folder)
    annotations, rng = json.loads((folder / "annotations.json").read_text()), np.random.default_rng(seed)
    for entry in annotations["database"].values():
        if entry["subset"] == "training":
            for annotation in entry["annotations"]:
                annotation["segment"] = sorted(rng.uniform(0, entry["duration"], 2).round(3).tolist())
    (folder / "annotations.json").write_text(json.dumps(annotations))
    dataset = load_dataset(folder)
    assert all(video.segments for video in dataset.subset("training") if video.labels)
    return dataset


@pytest.mark.parametrize("file", ["random segments", "not JSON"])
@pytest.mark.parametrize("method", WEAK)
def test_training_on_tags_does_not_use_segments(tiny, tmp_path, settings, method, file):
    dataset = annotated(tiny, tmp_path / "set")
    segments = {video.id: [[tiny.classes[0], 1.0, 7.0]] for video in tiny.subset("training")}
    (dataset.path / TRAINING_SEGMENTS_NAME).write_text(json.dumps(segments) if file == "random segments" else "{")
    config = settings(method, train={"steps": 3})
    train(config, dataset, tmp_path / "a", device="cpu")
    train(config, tiny, tmp_path / "b", device="cpu")
    assert_same(tmp_path / "a", tmp_path / "b")


@pytest.mark.parametrize("method", TAUGHT)
def test_training_uses_neither_other_subsets_nor_held_out_videos(tiny, tmp_path, settings, method):
    held_out = frozenset({tiny.subset("training")[1].id})
    rest = replace(tiny, videos=tuple(v for v in tiny.subset("training") if v.id not in held_out))
    config = settings(method, train={"steps": 2})
    train(config, tiny, tmp_path / "a", device="cpu", held_out=held_out)
    train(config, rest, tmp_path / "b", device="cpu")
    assert_same(tmp_path / "a", tmp_path / "b")


def test_supervised_training_uses_segments_and_not_tags(tiny, tmp_path, settings):
    config = settings("supervised", train={"steps": 3})
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(config, annotated(tiny, tmp_path / f"set {name}", seed), tmp_path / name, device="cpu")
    assert_same(tmp_path / "a", tmp_path / "b")
    first, other = (load_file(tmp_path / name / "checkpoint-000003/model.safetensors") for name in "ac")
    assert not torch.equal(first["classify.weight"], other["classify.weight"])


def test_supervised_run_resumes_to_the_same_bits(tiny, tmp_path, settings):
    dataset, config = annotated(tiny, tmp_path / "set"), settings("supervised")
    train(config, dataset, tmp_path / "whole", device="cpu")
    with pytest.raises(KeyboardInterrupt):
        train(config, dataset, tmp_path / "run", device="cpu", on_progress=stop_at(3))
    train(config, dataset, tmp_path / "run", resume=True, device="cpu")
    assert_same(tmp_path / "run", tmp_path / "whole")


def test_supervised_training_needs_segments(tiny, tmp_path, settings):
    with raises(DataError, code="no-segments", path=tiny.path):
        train(settings("supervised"), tiny, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


# Labels beyond tags.


def labeled(tiny: Dataset, folder: Path) -> Dataset:
    """A copy in which one training video has a point, one a segment, and one a complete timeline."""
    shutil.copytree(tiny.path, folder)
    content = json.loads((folder / "annotations.json").read_text())
    a, b = tiny.classes[:2]
    rows = [(a, 3.0, 3.0)], [(b, 4.0, 9.0)], [(a, 2.0, 8.0), (b, 10.0, 12.0)]
    for number, segments in enumerate(rows):
        entry = content["database"][f"training_{number:04}"]
        tags = [{"label": label} for label in (a, b)]
        entry["annotations"] = [*tags, *({"label": label, "segment": [s, e]} for label, s, e in segments)]
    entry["timeline"] = "complete"
    (folder / "annotations.json").write_text(json.dumps(content))
    return load_dataset(folder)


def weights_of(run: Path) -> dict[str, torch.Tensor]:
    (folder,) = run.glob("checkpoint-*")
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("method", ["local", "dfe"])
def test_each_kind_of_supervision_trains_other_weights(tiny, tmp_path, settings, method):
    dataset = labeled(tiny, tmp_path / "set")
    for supervision in ("tags", "points", "segments", "all"):
        config = settings(method, train={"steps": 3, "supervision": supervision})
        train(config, dataset, tmp_path / supervision, device="cpu")
    weights = [weights_of(tmp_path / name)["classify.weight"] for name in ("tags", "points", "segments", "all")]
    assert all(not torch.equal(a, b) for a, b in combinations(weights, 2))
    counts = checkpoint.read_meta(tmp_path / "all").label_counts
    assert {kind: counts[kind] for kind in counts if kind != "tags"} == {"points": 1, "partial": 1, "complete": 1}
    assert checkpoint.read_meta(tmp_path / "tags").label_counts.keys() == {"tags"}


@pytest.mark.parametrize("step", [3, 2 * STEPS + 1, 3 * STEPS - 2])
def test_run_with_labels_resumes_to_the_same_bits(tiny, tmp_path, settings, step):
    dataset, config = labeled(tiny, tmp_path / "set"), settings("dfe", train={"supervision": "all"})
    train(config, dataset, tmp_path / "whole", device="cpu")
    with pytest.raises(KeyboardInterrupt):
        train(config, dataset, tmp_path / "run", device="cpu", on_progress=stop_at(step))
    train(config, dataset, tmp_path / "run", resume=True, device="cpu")
    assert_same(tmp_path / "run", tmp_path / "whole")


def test_supervised_method_is_trained_on_its_targets_alone(tiny, tmp_path, settings):
    dataset = labeled(tiny, tmp_path / "set")
    for supervision in ("tags", "all"):
        config = settings("supervised", train={"steps": 3, "supervision": supervision})
        train(config, dataset, tmp_path / supervision, device="cpu")
    first, second = weights_of(tmp_path / "tags"), weights_of(tmp_path / "all")
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_run_is_not_resumed_with_other_labels(tiny, tmp_path, settings):
    config = settings("local", train={"supervision": "all"})
    train(config, labeled(tiny, tmp_path / "set"), tmp_path / "run", device="cpu")
    content = json.loads((tmp_path / "set/annotations.json").read_text())
    content["database"]["training_0001"]["annotations"][-1]["segment"] = [5.0, 9.0]
    (tmp_path / "set/annotations.json").write_text(json.dumps(content))
    with raises(CheckpointError, code="different-run", path=tmp_path / "run"):
        train(config, load_dataset(tmp_path / "set"), tmp_path / "run", resume=True, device="cpu")


def test_supervision_without_labels_is_refused_before_anything_is_written(tiny, tmp_path, settings):
    with raises(DataError, code="no-segments", path=tiny.path):
        pipeline.train(tiny.path, tmp_path / "run", settings("dfe", train={"supervision": "points"}), device="cpu")
    assert not (tmp_path / "run").exists()
