"""The main steps through the command line, and what all commands share: help, interrupts, logs, next steps."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.helpers.data import TINIEST
from wtal import __version__, cli
from wtal.cli.app import HELP_LISTS, ORDER, interrupt_hint
from wtal.data.snippet_labels import describe_labels
from wtal.data.synthetic.features import write_synthetic

TINY = ("teacher.models=1", "model.width=8", "train.batch_size=2", "train.snippets=8")
SETTINGS = [part for setting in TINY for part in ("--set", setting)]
COMMAND = [sys.executable, "-W", "error", "-c", "from wtal.cli import main; main()"]


def wtal(*arguments: object, columns: int = 80) -> str:
    """Run a command that must succeed, as in a pipe of that width, and return its output."""
    result = CliRunner(env={"COLUMNS": str(columns)}).invoke(cli.app, [str(a) for a in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    write_synthetic(folder / "data", TINIEST)
    return folder


@pytest.fixture(scope="module")
def training_output(folder: Path) -> str:
    """The output of `wtal train`, which writes `run`."""
    steps = ["--set", "train.steps=3", "--set", "train.save_every=2"]
    return wtal("train", folder / "data", "--out", folder / "run", "--validate", *SETTINGS, *steps)


def test_check_summarizes_the_data_set(folder):
    output = wtal("check", folder / "data")
    assert "2 classes" in output and "3 + 2" in output


def test_train_prints_the_next_command(folder, training_output):
    assert f"{folder}/run/checkpoint-000003" in training_output
    assert training_output.splitlines()[-1] == f"next: wtal localize {folder}/run {folder}/data"
    records = [json.loads(line) for line in (folder / "run/metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records if "loss" in record] == [1, 2, 3]
    assert [record["step"] for record in records if "validation_map" in record] == [2, 3]


def test_suggest_lists_training_videos_and_the_next_step(folder, training_output):
    output = wtal("suggest", folder / "run", folder / "data", "--count", "2")
    assert output.count("training_") == 2 and "testing_" not in output
    assert output.splitlines()[-1].startswith("next: ") and "wtal label" in output


def test_added_labels_are_trained_on(tmp_path):
    write_synthetic(tmp_path / "data", TINIEST)
    label = json.loads((tmp_path / "data/dataset.json").read_text())["classes"][0]
    rows = ["video,label,start,end", f"training_0000,{label},1,1", f"training_0001,{label},1,4", f"x,{label},1,4"]
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    output = wtal("label", tmp_path / "data", tmp_path / "labels.csv")
    assert "1 segment and 1 point in 2 training videos" in output and "note: " in output
    steps = ["--method", "local", "--set", "train.steps=1"]
    output = wtal("train", tmp_path / "data", "--out", tmp_path / "run", "--supervision", "all", *SETTINGS, *steps)
    (config,) = (tmp_path / "run").glob("checkpoint-*/config.json")
    counts = json.loads(config.read_text())["labels"]
    assert (counts["points"], counts["partial"], counts["complete"]) == (1, 1, 0)
    assert f"labels: {describe_labels(counts)}\n" in output


def test_next_command_names_an_existing_subset(tmp_path):
    (tmp_path / "tagged").mkdir()
    (tmp_path / "tagged/tags.csv").write_text("video,labels\na,run\nb,jump\n")
    (tmp_path / "tagged/dataset.json").write_text('{"snippet_seconds": 0.5}')
    (tmp_path / "tagged/features").mkdir()
    for id in "ab":
        np.save(tmp_path / f"tagged/features/{id}.npy", np.ones((12, 4), np.float16))
    run = tmp_path / "my run"
    output = wtal("train", tmp_path / "tagged", "--out", run, *SETTINGS, "--set", "train.steps=1")
    assert output.splitlines()[-1] == f"next: wtal localize '{run}' {tmp_path}/tagged --subset training"
    assert "2 sequences of training" in wtal("localize", run, tmp_path / "tagged", "--subset", "training")


def test_localize_and_evaluate(folder, training_output):
    assert f"{folder}/run/proposals.json" in wtal("localize", folder / "run", folder / "data")
    wtal("localize", folder / "run", folder / "data", "--branch", "global", "--out", folder / "global.json")
    options = ["--classes", "--tiou", "0.5", "--tiou", "0.5", "--out", folder / "run/results.json"]
    output = wtal("evaluate", folder / "run/proposals.json", folder / "data", *options)
    result = json.loads((folder / "run/results.json").read_text())
    assert result["tious"] == [0.5] and set(result["per_class"]) == {"jump", "throw"}
    assert "jump" in output and "2 videos" in output and f"{folder}/run/results.json" in output


def test_widest_table_fits_a_terminal(folder, training_output):
    wtal("localize", folder / "run", folder / "data")
    lines = wtal("evaluate", folder / "run/proposals.json", folder / "data", "--classes").splitlines()
    assert any("0.1:0.7" in line for line in lines)
    assert not any("…" in line for line in lines)


def test_compare_runs_in_separate_processes(folder):
    options = ["--methods", "baseline, dfe", "--seeds", "1", "--workers", "2", "--set", "train.steps=2"]
    process = subprocess.run(
        [*COMMAND, "compare", str(folder / "data"), "--out", str(folder / "out"), *options, *SETTINGS],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "80", "NO_COLOR": "1"},
    )
    assert process.returncode == 0 and process.stderr == "", process.stderr
    lines = process.stdout.splitlines()
    assert [line.split("  ")[0] for line in lines[:2]] == ["runs 1/2", "runs 2/2"]
    assert max(map(len, lines[:-1])) <= 80 and "dfe - baseline" in process.stdout
    assert f"{folder}/out/comparison.json" in lines[-1] and "\x1b" not in process.stdout
    comparison = json.loads((folder / "out/comparison.json").read_text())
    assert {(s["data"], s["method"]) for s in comparison["scores"]} == {("data", "baseline"), ("data", "dfe")}


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize(
    "models, steps, checkpoints",
    [(1, 120, "run/checkpoint-*"), (2, 40, "run/stage-one/*/checkpoint-*")],
    ids=["stage two", "workers in stage one"],
)
def test_interrupted_training_resumes(folder, tmp_path, models, steps, checkpoints):
    arguments = ["train", str(folder / "data"), "--out", str(tmp_path / "run"), *SETTINGS, "--workers", str(models)]
    for setting in (f"train.steps={steps}", "train.save_every=1", f"teacher.models={models}"):
        arguments += ["--set", setting]
    # The parent may ignore SIGINT, as nohup and some CI systems do; the child must not inherit that.
    command = ["-c", "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"]
    command[1] += "; from wtal.cli import main; main()"
    with subprocess.Popen(
        [sys.executable, *command, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        first_line = process.stdout.readline()  # printed after the first step, which saves a checkpoint
        while not list(tmp_path.glob(f"{checkpoints}/config.json")):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        output, error = process.communicate()
    assert process.returncode == 130 and "--resume" in error and len(error.splitlines()) == 1, error
    assert first_line.startswith(f"training 1/{steps * (models + 1)}  loss ") and "\x1b" not in first_line + output
    assert not list((tmp_path / "run").glob(".*.part"))
    wtal(*arguments, "--resume")
    assert (tmp_path / f"run/checkpoint-{steps:06d}/model.safetensors").is_file()


def test_interrupt_exits_with_130(folder, training_output, monkeypatch):
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("wtal.experiments.pipeline.localize", stop)
    result = CliRunner().invoke(cli.app, ["localize", str(folder / "run"), str(folder / "data")])
    assert result.exit_code == 130 and "nothing was written" in result.output


def test_bugs_are_not_hidden(folder, monkeypatch):
    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("wtal.data.validation.validate_dataset", fail)
    result = CliRunner().invoke(cli.app, ["check", str(folder / "data")])
    assert isinstance(result.exception, RuntimeError)


def test_help_imports_nothing_heavy():
    code = "import sys, wtal.cli; print(*sorted({'torch', 'numpy', 'pydantic', 'scipy'} & set(sys.modules)))"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.stdout == "\n" and process.stderr == ""


@pytest.mark.parametrize(
    "command", [*ORDER, *(f"plot {name}" for name in ("errors", "precision", "training", "methods"))]
)
def test_every_command_has_help_with_an_example(command):
    output = wtal(*command.split(), "--help")
    assert all(len(line) <= 80 for line in output.splitlines())
    assert "Example" in output and f"wtal {command} " in output + " " and "<bool>" not in output
    assert not any(placeholder in output for placeholder in HELP_LISTS)


def test_help_lists_all_commands_in_order_of_use():
    lines = wtal("--help").splitlines()
    listed = [line.split()[1] for line in lines if line.startswith("│ ") and line[2] not in " -"]
    assert listed == ORDER


def test_help_lists_registered_names():
    for placeholder, command in (("{methods}", "train"), ("{protocols}", "evaluate"), ("{formats}", "convert")):
        words = "".join(wtal(command, "--help", columns=200).split())
        assert all(name.replace(" ", "") in words for name in HELP_LISTS[placeholder]()), placeholder


def test_version():
    assert wtal("--version") == f"wtal {__version__}\n"


@pytest.mark.parametrize(
    "command, hint",
    [
        ("train", "saved results are kept, continue with --resume"),
        ("evaluate", "nothing was written"),
        ("extract", "saved results are kept, run it again to continue"),
    ],
)
def test_interrupt_says_what_is_kept(command, hint):
    assert interrupt_hint(command) == hint


def test_tables_that_are_found_in_a_folder_are_named(own_videos, tmp_path):
    videos = shutil.copytree(own_videos / "videos", tmp_path / "videos")
    (videos / "timelines").mkdir()
    shutil.copy(own_videos / "tags.csv", videos / "timelines")
    output = wtal("init", tmp_path / "data", "--videos", videos, "--tags", videos)
    assert str(Path("timelines/tags.csv")) in output
