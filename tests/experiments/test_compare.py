"""Comparison of methods: what is shared, reused and refused."""

import json
import multiprocessing
import os
import shutil
from multiprocessing.connection import wait
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.data import TINIEST
from tests.helpers.errors import raises
from wtal.core.config import Config, parse_config
from wtal.core.errors import ConfigError, DataError, WtalError
from wtal.data.synthetic.features import write_synthetic
from wtal.experiments import runner
from wtal.experiments.compare import compare, dataset_names, run_config

METHODS = ("baseline", "dfe", "dfe-global", "shuffled-memory")


def config(**train: object) -> Config:
    train = {"steps": 2, "save_every": 1, "batch_size": 2, "snippets": 8, **train}
    return parse_config(
        {"model": {"width": 8}, "train": train, "teacher": {"models": 2}, "memory": {"min_probability": 0}}
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set and a finished comparison, made by two worker processes; read only."""
    folder = tmp_path_factory.mktemp("compare")
    write_synthetic(folder / "data", TINIEST)
    progress = []
    compare(
        folder / "data",
        folder / "out",
        METHODS,
        2,
        config=config(),
        workers=2,
        on_progress=lambda *state: progress.append(state),
    )
    assert [(finished, total) for _, finished, total in progress] == [(count, 8) for count in range(1, 9)]
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def compare_again(folder: Path, settings: Config | None = None, on_progress=None):
    return compare(
        folder / "data", folder / "out", METHODS, 2, config=settings or config(), workers=1, on_progress=on_progress
    )


def file_states(folder: Path) -> dict[str, tuple[int, int]]:
    """Modification time and inode of every file, except those that are always rewritten."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    files = [path for path in files if path.name not in ("comparison.json", "README.md")]
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_ino) for path in files}


def test_comparison_json(finished):
    written = json.loads((finished / "out/comparison.json").read_text())
    assert written["subset"] == "validation" and written["checkpoint"] == "last" and written["seeds"] == 2
    assert [(score["data"], score["method"]) for score in written["scores"]] == [("data", name) for name in METHODS]
    for score in written["scores"]:
        assert len(score["averages"]) == 2 and np.shape(score["maps"]) == (2, 7)
        assert score["mean"] == pytest.approx(np.mean(score["averages"]))
        np.testing.assert_allclose(np.mean(score["maps"], axis=1), score["averages"])
    others = [(d["method"], d["other"]) for d in written["differences"]]
    assert ("dfe", "baseline") in others and ("dfe", "dfe-global") in others
    assert parse_config(written["config"]) == config()


def test_global_branch_shares_the_run_of_dfe(finished):
    folders = sorted(path.name for path in (finished / "out/data").iterdir())
    assert folders == ["baseline", "data.json", "dfe", "shuffled-memory"]
    names = {path.name for path in (finished / "out/data/dfe/seed-0").glob("*.json")}
    assert names == {
        f"{kind}-{method}-validation.json" for kind in ("proposals", "results") for method in ("dfe", "dfe-global")
    }


def test_controls_share_stage_one_with_dfe(finished, tmp_path):
    """The models are trained once for each seed, and a control ends with the weights that it has alone."""
    for seed in (0, 1):
        dfe, control = (finished / f"out/data/{name}/seed-{seed}" for name in ("dfe", "shuffled-memory"))
        assert sorted(path.name for path in (dfe / "stage-one").iterdir()) == ["model-1", "model-2"]
        assert not (control / "stage-one").exists() and (control / "teacher").is_dir()
        assert (control / "teacher/targets.safetensors").read_bytes() != (
            dfe / "teacher/targets.safetensors"
        ).read_bytes()
    alone = runner.train(
        finished / "data", tmp_path / "alone", run_config(config(), "shuffled-memory", 0), device="cpu"
    )
    (last,) = (finished / "out/data/shuffled-memory/seed-0").glob("checkpoint-*")
    assert (alone / "model.safetensors").read_bytes() == (last / "model.safetensors").read_bytes()


def test_control_is_compared_before_dfe_is_trained(tmp_path, serial_runs):
    """Whichever method comes first trains stage one, in the folder of dfe."""
    write_synthetic(tmp_path / "data", TINIEST)
    for methods in (["dfe-no-memory"], ["dfe", "dfe-no-memory"]):
        compare(tmp_path / "data", tmp_path / "out", methods, 1, config=config(), workers=1)
    seed = tmp_path / "out/data/dfe/seed-0"
    assert (seed / "stage-one/model-2").is_dir() and (seed / "results-dfe-validation.json").is_file()


def test_finished_runs_are_reused_without_worker(folder, monkeypatch):
    monkeypatch.setattr(runner, "process_pool", None)
    states, written = file_states(folder / "out"), json.loads((folder / "out/comparison.json").read_text())
    comparison = compare_again(folder)
    assert file_states(folder / "out") == states
    averages = [score["averages"] for score in written["scores"]]
    assert [list(score.averages) for score in comparison.scores] == averages


def test_only_missing_runs_are_run(folder, serial_runs):
    (folder / "out/data/dfe/seed-1/results-dfe-global-validation.json").unlink()
    shutil.rmtree(folder / "out/data/baseline/seed-0")
    states, progress = file_states(folder / "out"), []
    compare_again(folder, on_progress=lambda spec, finished, _: progress.append((str(spec), finished)))
    assert {name for name, _ in progress} == {"data baseline seed 0", "data dfe-global seed 1"}
    assert [finished for _, finished in progress] == [7, 8]
    changed = {path for path, state in file_states(folder / "out").items() if states.get(path) != state}
    assert all("baseline/seed-0" in path or "dfe/seed-1" in path for path in changed)
    assert not any("checkpoint" in path for path in changed if "dfe" in path)


def test_interrupted_run_continues_with_the_same_result(folder, serial_runs):
    run = folder / "out/data/dfe/seed-0"
    results = (run / "results-dfe-validation.json").read_text()
    (saved,) = run.glob("checkpoint-*")
    weights = (saved / "model.safetensors").read_bytes()
    shutil.rmtree(run)

    def interrupt(step: int, _: object) -> None:
        if step == 2 * 2 + 2:  # the second step of stage two
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner.train(folder / "data", run, config(seed=0), on_progress=interrupt, device="cpu")
    assert (run / "checkpoint-000001").is_dir()
    compare_again(folder)
    assert (run / saved.name / "model.safetensors").read_bytes() == weights
    assert (run / "results-dfe-validation.json").read_text() == results


def test_other_settings_are_rejected(folder):
    states = file_states(folder / "out")
    with raises(ConfigError, code="other-settings") as caught:
        compare_again(folder, settings=config(steps=3))
    assert "train.steps" in caught.value.message and "seed-" in caught.value.path
    assert file_states(folder / "out") == states


def test_other_data_of_the_same_name_are_rejected_and_moved_data_accepted(folder, tmp_path):
    write_synthetic(tmp_path / "other/data", TINIEST, seed=1)
    with raises(ConfigError, code="other-data", path=folder / "out/data"):
        compare(tmp_path / "other/data", folder / "out", ["dfe"], 1, config=config())
    moved = (folder / "data").rename(tmp_path / "data")
    compare(moved, folder / "out", ["dfe"], 1, config=config())


def test_invalid_features_are_rejected_and_runs_kept(folder):
    shutil.rmtree(folder / "out/data/baseline/seed-1")
    features = folder / "data/features/training_0000.npy"
    np.save(features, np.full(np.load(features).shape, np.nan, np.float16))
    states = file_states(folder / "out")
    with raises(DataError) as caught:
        compare_again(folder)
    assert str(features) in str(caught.value)
    assert file_states(folder / "out") == states


def test_error_in_worker_is_raised_with_the_name_of_the_run(folder, monkeypatch):
    shutil.rmtree(folder / "out/data/baseline/seed-1")
    (folder / "out/data/baseline/seed-1").write_text("not a folder")
    with raises(DataError) as caught:
        compare_again(folder)
    assert "data baseline seed 1" in caught.value.message and "baseline/seed-1" in str(caught.value.path)


def test_killed_worker_is_reported(folder, monkeypatch):
    shutil.rmtree(folder / "out/data/baseline/seed-1")
    monkeypatch.setattr(runner, "_run_group", exit_worker)
    others = set(multiprocessing.active_children())  # of other tests
    with raises(WtalError, code="worker-died"):
        compare_again(folder)
    for process in set(multiprocessing.active_children()) - others:
        assert wait([process.sentinel], 60)  # `is_alive` can be wrong while the pool joins the process


def exit_worker(_: object) -> None:
    os._exit(9)


@pytest.mark.parametrize(
    "data, methods, subset, error, code",
    [
        ("data", [], "validation", ConfigError, "unknown-method"),
        ("data", ["dfe", "nope"], "validation", ConfigError, "unknown-method"),
        ("data", ["dfe"], "training", DataError, "no-segments"),
        ("none", ["dfe"], "validation", DataError, None),
    ],
)
def test_invalid_arguments_are_rejected_before_anything_is_written(
    finished, tmp_path, data, methods, subset, error, code
):
    with raises(error, code=code):
        compare(finished / data, tmp_path / "out", methods, 1, subset, config())
    assert not (tmp_path / "out").exists()


def test_repeated_methods_and_folders_count_once(folder):
    paths = [folder / "data", folder / "out/../data"]
    comparison = compare(paths, folder / "out", ["dfe", "dfe"], 2, config=config())
    assert [score.method for score in comparison.scores] == ["dfe"] and comparison.differences == []


def test_data_sets_of_the_same_name_get_distinct_names():
    a, b, c = Path("/x/a/data"), Path("/x/b/data"), Path("/x/hapt")
    assert dataset_names([a]) == {a: "data"}
    assert dataset_names([a, c]) == {a: "data", c: "hapt"}
    assert dataset_names([a, b]) == {a: "a-data", b: "b-data"}
