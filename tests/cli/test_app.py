"""The whole road through the command line, and what stands beside it: help, interrupts, logs, next steps."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.helpers.data import TINIEST
from wtal import __version__, cli
from wtal.cli import train
from wtal.core import config
from wtal.data.synthetic.features import write_synthetic
from wtal.evaluation import protocols

TINY = ("model.width=8", "train.batch_size=2", "train.snippets=8")
SETTINGS = [part for setting in TINY for part in ("--set", setting)]
COMMAND = [sys.executable, "-W", "error", "-c", "from wtal.cli import main; main()"]
COMMANDS = (
    *("init", "extract", "predict", "doctor", "weights"),
    *("check", "convert", "train", "localize", "evaluate", "compare", "memory", "demo"),
)


def wtal(*arguments: object, columns: int = 80) -> str:
    """What was said in a pipe of that width; the command must succeed."""
    done = CliRunner(env={"COLUMNS": str(columns)}).invoke(cli.app, [str(a) for a in arguments])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("cli")
    write_synthetic(place / "data", TINIEST)
    return place


@pytest.fixture(scope="module")
def trained(place: Path) -> str:
    """What `train` said; the run is in `run`."""
    steps = ["--set", "train.steps=3", "--set", "train.save_every=2"]
    return wtal("train", place / "data", "--out", place / "run", "--validate", *SETTINGS, *steps)


def test_check(place):
    said = wtal("check", place / "data")
    assert "2 classes, 5 numbers a snippet (3 + 2)" in said and "ready to train and score" in said


def test_train_says_what_comes_next(place, trained):
    assert f"dfe: 3 steps, last checkpoint {place}/run/checkpoint-000003" in trained
    assert trained.splitlines()[-1] == f"next: wtal localize {place}/run {place}/data"
    logged = [json.loads(line) for line in (place / "run/metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in logged if "loss" in line] == [1, 2, 3]
    assert [line["step"] for line in logged if "validation_map" in line] == [2, 3]


def test_what_comes_next_names_a_subset_that_is_there(place, tmp_path):
    (tmp_path / "tagged").mkdir()
    (tmp_path / "tagged/tags.csv").write_text("video,labels\na,run\nb,jump\n")
    (tmp_path / "tagged/dataset.json").write_text('{"snippet_seconds": 0.5}')
    (tmp_path / "tagged/features").mkdir()
    for id in "ab":
        np.save(tmp_path / f"tagged/features/{id}.npy", np.ones((12, 4), np.float16))
    run = tmp_path / "my run"
    said = wtal("train", tmp_path / "tagged", "--out", run, *SETTINGS, "--set", "train.steps=1")
    assert said.splitlines()[-1] == f"next: wtal localize '{run}' {tmp_path}/tagged --subset training"
    assert "in 2 sequences of training" in wtal("localize", run, tmp_path / "tagged", "--subset", "training")


def test_localize_and_evaluate(place, trained):
    said = wtal("localize", place / "run", place / "data")
    assert f"2 sequences of testing: {place}/run/proposals.json" in said
    wtal("localize", place / "run", place / "data", "--branch", "global", "--out", place / "global.json")
    said = wtal("evaluate", place / "run/proposals.json", place / "data", "--classes", "--tiou", "0.5", "--tiou", "0.5")
    told = json.loads((place / "run/results.json").read_text())
    assert told["tious"] == [0.5] and set(told["per_class"]) == {"jump", "throw"}
    assert "jump" in said and "2 videos" in said and f"written to {place}/run/results.json" in said


def test_the_table_of_the_longest_protocol_fits_a_terminal(place, trained):
    wtal("localize", place / "run", place / "data")
    lines = wtal("evaluate", place / "run/proposals.json", place / "data", "--classes").splitlines()
    assert any("0.5-0.95" in line for line in lines) and not any("…" in line for line in lines)


def test_memory_shows_each_class_and_its_neighbours(place, trained):
    shown = wtal("memory", place / "run")
    assert "(background)" in shown and "learned" in shown and "nearest classes" in shown


def test_compare_in_processes_of_its_own(place):
    data = str(place / "data")
    options = ["--methods", "baseline, dfe", "--seeds", "1", "--workers", "2", "--set", "train.steps=2"]
    done = subprocess.run(
        [*COMMAND, "compare", data, "--out", str(place / "out"), *options, *SETTINGS],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "80", "NO_COLOR": "1"},
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr
    lines = done.stdout.splitlines()
    assert [line.split("  ")[0] for line in lines[:2]] == ["runs 1/2", "runs 2/2"]
    assert max(map(len, lines[:-1])) <= 80 and "dfe - baseline" in done.stdout
    assert lines[-1] == f"written to {place}/out/comparison.json" and "\x1b" not in done.stdout
    told = json.loads((place / "out/comparison.json").read_text())
    assert {(s["data"], s["method"]) for s in told["scores"]} == {("data", "baseline"), ("data", "dfe")}


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_an_interrupted_training_says_how_to_go_on_and_does(place, tmp_path):
    arguments = ["train", str(place / "data"), "--out", str(tmp_path / "run"), *SETTINGS]
    steps = ["--set", "train.steps=120", "--set", "train.save_every=1"]
    process = subprocess.Popen(
        [*COMMAND, *arguments, *steps], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    end = time.monotonic() + 60
    while not list(tmp_path.glob("run/checkpoint-*/config.json")) and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=60)
    assert process.returncode == 130 and said == "interrupted; what was saved stays, go on with --resume\n"
    assert "\x1b" not in out and out.startswith("training 1/120  loss ")
    assert not list((tmp_path / "run").glob(".*.part"))
    assert "last checkpoint" in wtal(*arguments, "--resume", *steps)
    assert (tmp_path / "run/checkpoint-000120/model.safetensors").is_file()


def test_an_interrupt_of_another_command(place, trained, monkeypatch):
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("wtal.experiments.pipeline.localize_run", stop)
    done = CliRunner().invoke(cli.app, ["localize", str(place / "run"), str(place / "data")])
    assert done.exit_code == 130 and done.output == "interrupted; what was saved stays, nothing was written\n"


def test_our_own_faults_are_not_dressed_up(place, monkeypatch):
    def fault(*_: object) -> None:
        raise RuntimeError("ours")

    monkeypatch.setattr("wtal.data.validation.validate_dataset", fault)
    done = CliRunner().invoke(cli.app, ["check", str(place / "data")])
    assert isinstance(done.exception, RuntimeError)


def test_help_is_quick_and_imports_nothing_heavy():
    code = "import sys, wtal.cli; print(*sorted({'torch', 'numpy', 'pydantic', 'scipy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "\n" and done.stderr == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command):
    said = wtal(command, "--help")
    assert f"wtal {command}" in said or f"{command} [OPTIONS]" in said
    assert all(len(line) <= 80 for line in said.splitlines())


def test_help_names_all_there_is():
    assert list(config.METHODS) == train.METHODS.split(", ")
    assert list(protocols.PROTOCOLS) == train.PROTOCOLS.split(", ")
    assert all(command in wtal("--help") for command in COMMANDS)
    assert "RUN/proposals.json" in wtal("localize", "--help")
    assert wtal("--version") == f"wtal {__version__}\n"
