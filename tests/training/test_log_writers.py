"""Losses for TensorBoard and Weights & Biases: every step once, also after a resume; nothing without the package."""

import json
import os
import sys

import pytest

from tests.helpers.errors import raises
from wtal.core.config import Config
from wtal.core.errors import ConfigError
from wtal.experiments.pipeline import train
from wtal.training.log_writers import LOG_WRITERS, open_log, require_log

FAKE_WANDB = """
import json, os
from types import SimpleNamespace

class Run:
    def __init__(self, dir, id, **options):
        self.folder = os.path.join(dir, "wandb", f"offline-run-{len(os.listdir(os.path.join(dir, 'wandb')))}-{id}")
        self.step = int(os.environ.get("FAKE_FIRST_STEP", 0))
        os.mkdir(self.folder)
        options["settings"] = vars(options["settings"])
        self.write({"id": id, **options})

    def write(self, value):
        with open(os.path.join(self.folder, "log.jsonl"), "a") as file:
            file.write(json.dumps(value) + "\\n")

    def log(self, values, step):
        self.write({"step": step, **values})

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.write({"exit_code": 0 if kind is None else 1})

init, Settings = Run, SimpleNamespace
"""


@pytest.fixture
def wandb(tmp_path, monkeypatch):
    """A package `wandb` that writes what it is called with, and a user who has not configured it."""
    (tmp_path / "packages/wandb").mkdir(parents=True)
    (tmp_path / "packages/wandb/__init__.py").write_text(FAKE_WANDB)
    monkeypatch.syspath_prepend(tmp_path / "packages")
    monkeypatch.setattr(os, "environ", {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")})
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    yield
    sys.modules.pop("wandb", None)


def wandb_runs(run):
    """What the fake package wrote for each run below a folder, in order of creation."""
    paths = sorted(run.rglob("offline-run-*/log.jsonl"), key=lambda path: path.stat().st_mtime_ns)
    return [list(map(json.loads, path.read_text().splitlines())) for path in paths]


def stop_at(last):
    def on_progress(step, losses):
        if step == last:
            raise KeyboardInterrupt

    return on_progress


def logged(run):
    """The steps and losses in metrics.jsonl."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_wandb_is_offline_and_has_every_step_once_after_a_resume(tiny, tmp_path, settings, wandb):
    run, config = tmp_path / "run", settings("local")
    with pytest.raises(KeyboardInterrupt):
        train(tiny.path, run, config, log="wandb", device="cpu", on_progress=stop_at(5))
    ((first, *_, end),) = wandb_runs(run)
    assert first["mode"] == "offline" and first["config"] == config.model_dump(mode="json") and end == {"exit_code": 1}
    train(tiny.path, run, config, log="wandb", resume=True, device="cpu")
    ((resumed, *steps, end),) = wandb_runs(run)
    assert resumed["id"] == first["id"] and end == {"exit_code": 0}
    assert steps == logged(run) and [step["step"] for step in steps] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("setting", ["WANDB_MODE", "WANDB_API_KEY"])
def test_wandb_uses_the_settings_of_the_user_and_skips_steps_of_the_server(tmp_path, wandb, monkeypatch, setting):
    monkeypatch.setitem(os.environ, setting, "x")
    monkeypatch.setitem(os.environ, "FAKE_FIRST_STEP", "3")
    with open_log("wandb", tmp_path / "run", Config(), {2: {"loss": 1.0}, 3: {"loss": 2.0}}) as write:
        write({4: {"loss": 3.0}})
    ((start, *steps, _),) = wandb_runs(tmp_path / "run")
    assert start["mode"] is None and steps == [{"step": 3, "loss": 2.0}, {"step": 4, "loss": 3.0}]


def test_models_of_stage_one_are_runs_of_the_same_group(tiny, tmp_path, settings, wandb):
    train(tiny.path, tmp_path / "mine", settings("dfe", train={"steps": 2}), log="wandb", device="cpu")
    starts = [run[0] for run in wandb_runs(tmp_path / "mine")]
    assert {start["group"] for start in starts} == {"mine"} and len({start["id"] for start in starts}) == 3
    assert sorted((start["job_type"], start["name"]) for start in starts) == [
        ("stage one", "model-1"),
        ("stage one", "model-2"),
        ("train", "mine"),
    ]


def test_tensorboard_has_every_step_once_after_a_resume(tiny, tmp_path, settings):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run, config = tmp_path / "run", settings("local")
    with pytest.raises(KeyboardInterrupt):
        train(tiny.path, run, config, log="tensorboard", device="cpu", on_progress=stop_at(5))
    train(tiny.path, run, config, log="tensorboard", resume=True, device="cpu")
    assert len(list((run / "tensorboard").iterdir())) == 1
    events = accumulator.EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    values = [(event.step, event.value) for event in events.Scalars("loss")]
    assert values == [(step["step"], pytest.approx(step["loss"])) for step in logged(run)]


def test_log_does_not_change_the_metrics(tiny, tmp_path, settings, wandb):
    for name in (None, "wandb"):
        train(tiny.path, tmp_path / str(name), settings("local"), log=name, device="cpu")
    assert logged(tmp_path / "wandb") == logged(tmp_path / "None")
    assert not (tmp_path / "None/wandb").exists()


@pytest.mark.parametrize("name", LOG_WRITERS)
def test_missing_package_is_reported_with_its_extra_before_training(tiny, tmp_path, settings, monkeypatch, name):
    monkeypatch.setattr("wtal.training.log_writers.find_spec", lambda name: None)
    with raises(ConfigError, code="missing-dependency") as caught:
        train(tiny.path, tmp_path / "run", settings("local"), log=name, device="cpu")
    assert f"wtal[{name}]" in caught.value.hint and not (tmp_path / "run").exists()


def test_folder_of_logs_is_not_taken_for_the_package(tmp_path, monkeypatch):
    (tmp_path / "wandb").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    with raises(ConfigError, code="missing-dependency"):
        require_log("wandb")


def test_unknown_log_is_rejected():
    require_log(None)
    with raises(ConfigError, code="unknown-name"):
        require_log("mlflow")
