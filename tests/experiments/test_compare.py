"""Methods against each other: what is shared, what is used again, what is refused."""

import json
import multiprocessing
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.data import TINIEST
from wtal.core.config import Config, parse_config
from wtal.core.errors import ConfigError, DataError, WtalError
from wtal.data.synthetic.features import write_synthetic
from wtal.experiments import runner as module
from wtal.experiments.compare import compare, data_names
from wtal.experiments.runner import RunSpec

METHODS = ("baseline", "dfe", "dfe-global")


def config(**train: object) -> Config:
    train = {"steps": 2, "save_every": 1, "batch_size": 2, "snippets": 8, **train}
    return parse_config({"model": {"width": 8}, "train": train})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set and a finished comparison, by two real worker processes."""
    place = tmp_path_factory.mktemp("compare")
    write_synthetic(place / "data", TINIEST)
    heard = []
    compare(
        [place / "data"],
        METHODS,
        2,
        "validation",
        config(),
        place / "out",
        2,
        lambda *said: heard.append(said),
    )
    assert [done for _, done, _ in heard] == [1, 2, 3, 4, 5, 6] and {total for *_, total in heard} == {6}
    return place


@pytest.fixture
def done(made: Path, tmp_path: Path) -> Path:
    """A copy of it to spoil."""
    return Path(shutil.copytree(made, tmp_path / "copy"))


def again(place: Path, methods=METHODS, seeds=2, settings=None, heard=None):
    return compare([place / "data"], methods, seeds, "validation", settings or config(), place / "out", 1, heard)


def state(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file's time of change and inode."""
    told = ("comparison.json", "README.md")  # written anew each time, from what the others hold
    found = [path for path in folder.rglob("*") if path.is_file() and path.name not in told]
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_ino) for path in found}


def test_comparison_json_says_it_all(made):
    told = json.loads((made / "out/comparison.json").read_text())
    assert told["subset"] == "validation" and told["checkpoint"] == "last" and told["seeds"] == 2
    assert [(s["data"], s["method"]) for s in told["scores"]] == [("data", name) for name in METHODS]
    for score in told["scores"]:
        assert len(score["averages"]) == 2 and np.shape(score["maps"]) == (2, 7)
        assert score["mean"] == pytest.approx(np.mean(score["averages"]))
        np.testing.assert_allclose(np.mean(score["maps"], axis=1), score["averages"])
    assert [(d["method"], d["other"]) for d in told["differences"]] == [("dfe", "baseline"), ("dfe", "dfe-global")]
    assert parse_config(told["config"]) == config()


def test_the_global_branch_is_scored_on_the_run_of_dfe(made):
    assert sorted(path.name for path in (made / "out/data").iterdir()) == ["baseline", "data.json", "dfe"]
    names = {path.name for path in (made / "out/data/dfe/seed-0").glob("*.json")}
    assert names == {
        f"{kind}-{method}-validation.json" for kind in ("proposals", "results") for method in ("dfe", "dfe-global")
    }


def test_finished_runs_are_used_again_without_a_worker(done, monkeypatch):
    monkeypatch.setattr(module, "ProcessPoolExecutor", None)
    before, first = state(done / "out"), json.loads((done / "out/comparison.json").read_text())
    scores, _ = again(done)
    assert state(done / "out") == before
    assert [list(score.averages) for score in scores] == [score["averages"] for score in first["scores"]]


def test_only_what_is_missing_is_run(done, serial_runs):
    (done / "out/data/dfe/seed-1/results-dfe-global-validation.json").unlink()
    shutil.rmtree(done / "out/data/baseline/seed-0")
    before, heard = state(done / "out"), []
    again(done, heard=lambda job, finished, total: heard.append((str(job), finished, total)))
    assert {job for job, *_ in heard} == {"data baseline seed 0", "data dfe-global seed 1"}
    assert [finished for _, finished, _ in heard] == [5, 6]
    changed = {path for path, stamp in state(done / "out").items() if before.get(path) != stamp}
    assert all("baseline/seed-0" in path or "dfe/seed-1" in path for path in changed)
    assert not any("checkpoint" in path for path in changed if "dfe" in path)


def test_an_interrupted_run_goes_on_and_ends_the_same(done, serial_runs):
    run = done / "out/data/dfe/seed-0"
    first = (run / "results-dfe-validation.json").read_text()
    (saved,) = run.glob("checkpoint-*")
    weights = (saved / "model.safetensors").read_bytes()
    shutil.rmtree(run)

    def stop(step: int, _: object) -> None:
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        module.train_run(done / "data", run, config(seed=0), progress=stop, device="cpu")
    assert (run / "checkpoint-000001").is_dir()
    again(done)
    assert (run / saved.name / "model.safetensors").read_bytes() == weights
    assert (run / "results-dfe-validation.json").read_text() == first


def test_other_settings_are_refused_and_nothing_is_touched(done):
    before = state(done / "out")
    with pytest.raises(ConfigError, match=r"seed-0: was made with another train.steps; name another --out"):
        again(done, settings=config(steps=3))
    assert state(done / "out") == before


def test_other_data_under_the_same_name_are_refused(done, tmp_path):
    write_synthetic(tmp_path / "other/data", TINIEST, seed=1)
    with pytest.raises(ConfigError, match="holds runs of other data"):
        compare([tmp_path / "other/data"], ["dfe"], 1, "validation", config(), done / "out")
    moved = (done / "data").rename(tmp_path / "data")
    compare([moved], ["dfe"], 1, "validation", config(), done / "out")


def test_a_run_at_fault_leaves_the_others(done, serial_runs):
    shutil.rmtree(done / "out/data/baseline/seed-1")
    features = done / "data/features/training_0000.npy"
    size = np.load(features).shape
    np.save(features, np.full(size, np.nan, np.float16))
    before = state(done / "out")
    with pytest.raises(DataError, match=r"training_0000\.npy: snippets .* NaN"):
        again(done)
    assert state(done / "out") == before


def test_an_error_in_a_worker_arrives_as_itself(done):
    shutil.rmtree(done / "out/data/baseline/seed-1")
    features = done / "data/features/training_0000.npy"
    np.save(features, np.full(np.load(features).shape, np.nan, np.float16))
    with pytest.raises(DataError, match=r"training_0000\.npy: snippets .* NaN"):
        again(done)


def test_a_worker_that_is_killed_is_said(done, monkeypatch):
    shutil.rmtree(done / "out/data/baseline/seed-1")
    monkeypatch.setattr(module, "_run_group", die)
    with pytest.raises(WtalError, match="was killed from outside"):
        again(done)
    time.sleep(0.1)
    assert not multiprocessing.active_children()


def test_what_cannot_be_compared(made, tmp_path):
    out = tmp_path / "out"
    for methods, said in (([], "no method to compare"), (["dfe", "nope"], "method 'nope' is not registered")):
        with pytest.raises(ConfigError, match=said):
            compare([made / "data"], methods, 1, "validation", config(), out)
    with pytest.raises(DataError, match="nothing in training has a start and an end to score against"):
        compare([made / "data"], ["dfe"], 1, "training", config(), out)
    with pytest.raises(DataError, match="no such folder"):
        compare([tmp_path / "none"], ["dfe"], 1, "validation", config(), out)
    assert not out.exists()


def test_methods_and_folders_named_twice_count_once(made, done):
    scores, differences = compare(
        [done / "data", done / "out/../data"], ["dfe", "dfe"], 2, "validation", config(), done / "out"
    )
    assert [score.method for score in scores] == ["dfe"] and differences == []


def test_folders_of_one_name_are_told_apart():
    a, b, c = Path("/x/a/data"), Path("/x/b/data"), Path("/x/hapt")
    assert data_names([a]) == {a: "data"}
    assert data_names([a, c]) == {a: "data", c: "hapt"}
    assert data_names([a, b]) == {a: "a-data", b: "b-data"}
    runs = {RunSpec(d, name, "dfe", config(), "testing", Path("o")).run for d, name in data_names([a, b]).items()}
    assert len(runs) == 2


def die(_: object) -> None:
    os._exit(9)
