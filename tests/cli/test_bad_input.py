"""Invalid input: one line on stderr, exit code 2, nothing lost and nothing half written. Never a traceback."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from tests.helpers.data import TINIEST
from tests.helpers.errors import raises
from wtal.cli import app
from wtal.core.errors import CheckpointError, DataError, WtalError
from wtal.core.io import append_line, directory_lock
from wtal.data.synthetic.features import write_synthetic
from wtal.inference.proposals import SnippetScores
from wtal.models import checkpoint

TINY = (
    "teacher.models=1",
    "model.width=8",
    "train.steps=2",
    "train.save_every=1",
    "train.batch_size=2",
    "train.snippets=8",
)
SETTINGS = [part for setting in TINY for part in ("--set", setting)]
FEATURES = "features/training_0000.npy"


def run_command(*arguments: object) -> tuple[int, str]:
    """The exit code and the output. An exception that reaches the user is raised here."""
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def refusal(*arguments: object) -> WtalError:
    """Run a command that must fail with one line and exit code 2, and return the error behind that line."""
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    lines = result.output.strip().splitlines()
    assert result.exit_code == 2 and len(lines) == 1 and lines[0].startswith("error: "), result.output
    error: BaseException | None = result.exception
    while error is not None and not isinstance(error, WtalError):
        error = error.__cause__ or error.__context__
    assert isinstance(error, WtalError) and lines[0] == f"error: {error}"
    return error


def refused(*arguments: object, code: str, path: object = None, location: str | None = None) -> WtalError:
    """As `refusal`, and check the code, path and location of the error."""
    error = refusal(*arguments)
    assert error.code == code, str(error)
    assert path is None or error.path == str(path)
    assert location is None or error.location == location
    return error


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a valid data set and a run on it; read only."""
    folder = tmp_path_factory.mktemp("bad input")
    write_synthetic(folder / "data", TINIEST)
    assert run_command("train", folder / "data", "--out", folder / "run", *SETTINGS)[0] == 0
    assert run_command("localize", folder / "run", folder / "data")[0] == 0
    return folder


@pytest.fixture
def data(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained / "data", tmp_path / "data"))


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained / "run", tmp_path / "run"))


def features_with(value: float) -> np.ndarray:
    features = np.ones((24, 5), np.float32)
    features[3:6] = value
    return features


@pytest.mark.parametrize(
    "features, code",
    [
        (features_with(np.nan), "non-finite"),
        (features_with(-np.inf), "non-finite"),
        (features_with(0).astype(float) + 1e60, "non-finite"),
        (features_with(0)[:, :4], "invalid-shape"),
        (features_with(0)[:0], "no-snippets"),
        (np.array([{}, None], dtype=object), "pickled-objects"),
        (None, "file-not-found"),
    ],
)
def test_invalid_features_are_refused_before_the_first_step(data, tmp_path, features, code):
    if features is None:
        (data / FEATURES).unlink()
    else:
        np.save(data / FEATURES, features, allow_pickle=True)
    refused("train", data, "--out", tmp_path / "run", *SETTINGS, code=code, path=data / FEATURES)
    assert not (tmp_path / "run").exists()


@pytest.fixture
def limited_time() -> Iterator[None]:
    """Raise an error in a test that waits for ever."""
    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, previous)


@pytest.mark.parametrize(
    "arguments",
    [
        ["convert", "{pipe}.eaf", "{out}.csv"],
        ["convert", "{pipe}.csv", "{out}.srt"],
        ["benchmark", "hapt", "--raw", "{pipe}.zip", "--out", "{out}"],
        ["train", "{data}", "--config", "{pipe}.toml", "--out", "{out}"],
        ["evaluate", "{pipe}.json", "{data}"],
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
@pytest.mark.usefixtures("limited_time")
def test_named_pipe_is_refused(trained, arguments, tmp_path):
    suffix = next(Path(argument).suffix for argument in arguments if "{pipe}" in argument)
    os.mkfifo(tmp_path / f"pipe{suffix}")
    paths = {"pipe": tmp_path / "pipe", "out": tmp_path / "out", "data": trained / "data", "run": trained / "run"}
    code, output = run_command(*(argument.format(**paths) for argument in arguments))
    assert code in (1, 2) and "regular file" in output, output
    assert not (tmp_path / "out").is_file()


def test_all_invalid_features_are_counted(data, tmp_path):
    shutil.rmtree(data / "features")
    error = refused("train", data, "--out", tmp_path / "run", code="file-not-found")
    assert "3 more" in str(error)


def test_sequences_of_one_snippet_are_valid(data, tmp_path):
    for path in (data / "features").iterdir():
        np.save(path, np.ones((1, 5), np.float16))
    assert run_command("train", data, "--out", tmp_path / "run", *SETTINGS)[0] == 0
    assert run_command("localize", tmp_path / "run", data)[0] == 0


@pytest.mark.parametrize("name", ["annotations.json", "dataset.json"])
@pytest.mark.parametrize(
    "content, codes",
    [
        (b"", {"invalid-json"}),
        (b"{", {"invalid-json"}),
        (b"[1]", {"missing-key", "invalid-type"}),
        (b"\xff\xfe{", {"invalid-encoding"}),
        (b'{"database": {"a": 3}}', {"invalid-type", "invalid-value"}),
        (b"[" * 100_000, {"invalid-json"}),
        (b'{"a": 1' + b"0" * 5000 + b"}", {"invalid-type", "invalid-value"}),
    ],
    ids=["empty", "cut off", "list", "encoding", "entry", "deeply nested", "huge number"],
)
def test_invalid_json_is_refused(data, tmp_path, name, content, codes):
    (data / name).write_bytes(content)
    error = refusal("train", data, "--out", tmp_path / "run")
    assert error.code in codes and error.path == str(data / name)


@pytest.mark.parametrize(
    "change, code",
    [
        (lambda v: v["training_0000"]["annotations"].append({"label": "[red]"}), "unknown-name"),
        (lambda v: v["testing_0000"]["annotations"].append({"label": "jump", "segment": [5, 1]}), "invalid-value"),
        (lambda v: [v.pop(id) for id in list(v) if "training" in id], "unknown-name"),
        (lambda v: [entry.update(annotations=[]) for entry in v.values()], "no-labels"),
        (lambda v: v.update({"../out": v["training_0000"]}), "invalid-id"),
        (lambda v: v.update({"new": v["training_0000"]}), "file-not-found"),
    ],
)
def test_invalid_annotations_are_refused(data, tmp_path, change, code):
    annotations = json.loads((data / "annotations.json").read_text())
    change(annotations["database"])
    (data / "annotations.json").write_text(json.dumps(annotations))
    assert refused("train", data, "--out", tmp_path / "run", code=code).path.startswith(str(data))


@pytest.mark.parametrize(
    "content, code, location",
    [
        (b"vid;label\na;b\n", "invalid-header", "line 1"),
        (b'video,labels\ntraining_0000,"ju"mp\n', "invalid-csv", "line 2"),
        (b"video,labels\ntraining_0000,j\xfcmp\n", "invalid-encoding", "line 2"),
        (b"video," + b"labels" * 1000, "invalid-header", "line 1"),
        (b"video,labels\n", "no-videos", None),
    ],
    ids=["header", "quote", "encoding", "long header", "empty"],
)
def test_invalid_tags_are_refused(data, tmp_path, content, code, location):
    (data / "annotations.json").unlink()
    (data / "tags.csv").write_bytes(content)
    error = refused("train", data, "--out", tmp_path / "run", code=code, path=data / "tags.csv", location=location)
    assert len(str(error)) < 400


def test_check_warns_if_there_is_nothing_to_train_on(data):
    annotations = json.loads((data / "annotations.json").read_text())
    annotations["database"] = {id: v for id, v in annotations["database"].items() if "training" not in id}
    (data / "annotations.json").write_text(json.dumps(annotations))
    exit_code, output = run_command("check", data)
    assert exit_code == 0 and "training subset is empty" in output


@pytest.mark.parametrize(
    "options, code",
    [
        (["--method", "[red]"], "invalid-value"),
        (["--seed", "-1"], "invalid-value"),
        (["--set", "train.stps=3"], "unknown-setting"),
        (["--set", "train.steps"], "invalid-override"),
        (["--config", "none.toml"], "file-not-found"),
        (["--device", "abacus"], "unknown-name"),
        (["--validate", "--hold-out", "0.5"], "conflicting-options"),
        (["--supervision", "boxes"], "invalid-value"),
        (["--supervision", "segments"], "no-segments"),
        (["--method", "supervised"], "no-segments"),
        (["--hold-out", "0.01"], "invalid-value"),
        (["--hold-out", "0.9"], "invalid-value"),
    ],
)
def test_invalid_options_are_refused(data, tmp_path, options, code):
    refused("train", data, "--out", tmp_path / "run", *options, code=code)
    assert not (tmp_path / "run").exists()


def test_missing_gpu_is_refused(data, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    refused("train", data, "--out", tmp_path / "run", "--device", "cuda", code="no-gpu")


@pytest.mark.parametrize("content", ["[train", "a = 1\na = 2", "\0"])
def test_invalid_toml_is_refused(data, tmp_path, content):
    (tmp_path / "c.toml").write_text(content)
    options = ["--out", tmp_path / "run", "--config", tmp_path / "c.toml"]
    refused("train", data, *options, code="invalid-toml", path=tmp_path / "c.toml")


def test_usage_errors_exit_with_2(data, tmp_path):
    for arguments in (["trian"], ["train", data], ["train", data, "--out", tmp_path, "--hold-out", "2"], []):
        assert run_command(*arguments)[0] == 2


def test_unusable_run_folders_are_refused(data, run, tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "foreign/checkpoint-500").mkdir(parents=True)
    for name in ("file", "file/below", "data", "foreign", "run"):
        refusal("train", data, "--out", tmp_path / name, *SETTINGS)
    assert run_command("train", data, "--out", tmp_path / ("a" * 300), *SETTINGS)[0] == 2
    assert (tmp_path / "file").read_text() == "mine" and (tmp_path / "foreign/checkpoint-500").is_dir()
    for name, code in (("file", "not-a-model"), ("data", "not-a-model"), ("none", "file-not-found")):
        refused("localize", tmp_path / name, data, code=code, path=tmp_path / name)


def test_second_training_in_one_folder_is_refused(data, run):
    with directory_lock(run):
        refused("train", data, "--out", run, *SETTINGS, "--resume", code="locked", path=run)
    assert run_command("train", data, "--out", run, *SETTINGS, "--resume")[0] == 0


def test_resuming_with_other_settings_is_refused(data, run):
    refused("train", data, "--out", run, *SETTINGS, "--seed", "9", "--resume", code="different-run", path=run)


def edit(**values: object) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return change


def garbage(name: str, content: bytes = b"\x07garbage" * 9) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


def not_finite(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file({name: weight * np.nan for name, weight in weights.items()}, folder / "model.safetensors")


@pytest.mark.parametrize(
    "change, code",
    [
        (garbage("model.safetensors"), "unreadable-weights"),
        (lambda c: (c / "model.safetensors").unlink(), "unreadable-weights"),
        (not_finite, "training-diverged"),
        (garbage("config.json", b"{"), "invalid-json"),
        (garbage("config.json", b"[" * 100_000), "invalid-json"),
        (garbage("config.json", b"null"), "invalid-checkpoint"),
        (edit(classes=[1, 2]), "invalid-checkpoint"),
        (edit(classes="ab"), "invalid-checkpoint"),
        (edit(modalities=[3.5, 2]), "invalid-checkpoint"),
        (edit(modalities=[-3, 8]), "invalid-checkpoint"),
        (edit(snippet_seconds="x"), "invalid-checkpoint"),
        (edit(snippet_seconds=0), "invalid-checkpoint"),
        (edit(step=-1), "invalid-checkpoint"),
        (edit(config=3), "invalid-checkpoint"),
        (edit(config={"nope": 1}), "unknown-setting"),
        (edit(config={"model": {"width": 12}}), "weights-mismatch"),
        (edit(modalities=[2, 3]), "weights-mismatch"),
    ],
)
def test_damaged_checkpoints_are_refused(data, run, change, code):
    (folder,) = run.glob("checkpoint-*")
    proposals = (run / "proposals.json").read_bytes()
    change(folder)
    refused("localize", run, data, code=code)
    assert (run / "proposals.json").read_bytes() == proposals


@pytest.mark.parametrize(
    "info",
    [
        {"classes": ["throw", "jump"]},
        {"classes": ["jump", "throw", "[bold]"]},
        {"modalities": [2, 3]},
        {"snippet_seconds": 2.0},
    ],
    ids=["order of classes", "other class", "modalities", "stride"],
)
def test_model_of_other_data_is_refused(data, run, info):
    path = data / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | info))
    error = refusal("localize", run, data)
    assert isinstance(error, CheckpointError) and str(data) in str(error)


def test_unknown_subset_and_branch_are_refused(data, run):
    refused("localize", run, data, "--subset", "none", code="unknown-name", path=data)
    refusal("localize", run, data, "--branch", "both")


def test_non_finite_scores_are_not_written(data, run, tmp_path, monkeypatch):
    scores = SnippetScores(np.full(9, np.nan), np.ones((9, 3)) / 3, np.ones(2) / 2)
    monkeypatch.setattr("wtal.inference.localizer.snippet_scores", lambda *_: scores)
    error = refusal("localize", run, data, "--out", tmp_path / "p.json")
    assert "features/testing_0000.npy" in str(error)
    assert not (tmp_path / "p.json").exists()


@pytest.mark.parametrize(
    "content, code, location",
    [
        ("{", "invalid-json", "line 1"),
        ("[" * 100_000, "invalid-json", None),
        ("null", "missing-key", None),
        ('{"database": {}}', "not-proposals", None),
        ('{"results": {"a": [], "a": []}}', "duplicate-id", None),
        ('{"results": {"a": [3]}}', "invalid-type", "a, proposal 1"),
        ('{"results": {"a": ["%s"]}}' % ("x" * 999), "invalid-type", "a, proposal 1"),
    ],
    ids=lambda text: str(text)[:20],
)
def test_invalid_proposals_are_refused(trained, tmp_path, content, code, location):
    path = tmp_path / "p.json"
    path.write_text(content)
    error = refused("evaluate", path, trained / "data", code=code, path=path, location=location)
    assert len(str(error)) < len(str(path)) + 250
    assert not (tmp_path / "results.json").exists()


@pytest.mark.parametrize(
    "options, code",
    [
        (["--tiou", "2"], "invalid-value"),
        (["--protocol", "[red]"], "unknown-name"),
        (["--subset", "training"], "no-segments"),
        (["--ambiguous", "none.txt"], "file-not-found"),
        (["--ambiguous", "run/proposals.json"], "invalid-value"),
        (["--out", "data"], "output-is-input"),
        (["--out", "/dev/full"], "not-a-file"),
    ],
)
def test_invalid_evaluations_are_refused(trained, monkeypatch, options, code):
    monkeypatch.chdir(trained)
    error = refused("evaluate", "run/proposals.json", "data", *options, code=code)
    assert len(str(error)) < 250


def test_invalid_ground_truth_is_refused(trained, tmp_path):
    proposals = trained / "run/proposals.json"
    refused("evaluate", proposals, proposals, code="not-annotations", path=proposals)
    (tmp_path / "tags.csv").write_text("video,labels\na,jump\n")
    refused("evaluate", proposals, tmp_path, code="no-segments", path=tmp_path)
    refused("evaluate", proposals, tmp_path / "none", code="file-not-found", path=tmp_path / "none")
    (tmp_path / "t.json").write_text('{"database": {"a": {"subset": "testing", "annotations": []}}}')
    refused("evaluate", proposals, tmp_path / "t.json", code="no-segments")


def test_names_may_contain_markup_spaces_and_accents(trained, tmp_path):
    data, run = tmp_path / "[red]dä ta[/nope]", tmp_path / "[bold]r ün"
    shutil.copytree(trained / "data", data)
    text = (data / "annotations.json").read_text().replace('"throw"', '"[red]x[/nope]"')
    (data / "annotations.json").write_text(text)
    path = data / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"classes": ["jump", "[red]x[/nope]"]}))
    assert f"{run}/checkpoint-000002" in run_command("train", data, "--out", run, *SETTINGS)[1]
    assert f"{run}/proposals.json" in run_command("localize", run, data)[1]
    code, output = run_command("evaluate", run / "proposals.json", data, "--classes", "--out", run / "results.json")
    assert code == 0 and "[red]x[/nope]" in output and f"{run}/results.json" in output
    assert "[red]x[/nope]" in run_command("check", data)[1]


def test_parent_folders_of_an_output_are_created(trained, tmp_path):
    path = tmp_path / "new/folder/p.json"
    assert run_command("localize", trained / "run", trained / "data", "--out", path)[0] == 0 and path.is_file()


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_folder_is_refused(trained, tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    refusal("localize", trained / "run", trained / "data", "--out", tmp_path / "closed/p.json")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_full_disk_under_a_log_is_reported():
    with raises(DataError, code="disk-full", path="/dev/full"):
        append_line(Path("/dev/full"), "{}")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
@pytest.mark.parametrize("limit", [10, 3000])
def test_disk_that_fills_while_a_checkpoint_is_written_loses_nothing(data, run, limit):
    """Neither the old checkpoint nor the run is lost, whichever file does not fit."""
    model, meta = checkpoint.load_model(run)
    (folder,) = run.glob("checkpoint-*")
    contents = {path.name: path.read_bytes() for path in folder.iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with raises(DataError, path=folder):
            checkpoint.save_checkpoint(folder, meta, model, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == contents
    assert not list(run.glob(".*.part"))


def test_unusual_standard_streams(trained):
    """A pipe that closes early, a closed stdin, an ASCII terminal, and stdout on a full disk."""
    command = f"{sys.executable} -W error -c 'from wtal.cli import main; main()' check '{trained}/data'"

    def shell(text: str, **environment: str) -> tuple[int, str]:
        process = subprocess.run(
            ["bash", "-o", "pipefail", "-c", text],
            capture_output=True,
            text=True,
            env={**os.environ, **environment},
        )
        return process.returncode, process.stderr + process.stdout

    assert "Traceback" not in shell(f"{command} | head -n 1")[1]
    code, output = shell(f"{command} <&-", PYTHONIOENCODING="ascii", COLUMNS="20", NO_COLOR="1")
    assert code == 0 and output.isascii() and "\x1b" not in output and "Traceback" not in output
    if Path("/dev/full").exists():
        code, output = shell(f"{command} >/dev/full")
        assert code != 0 and "Traceback" not in output and "no space left" in output.lower()


@pytest.mark.parametrize("words", ["evaluate . {0}", "evaluate loop {0}", "evaluate {0} {0} --out ."])
def test_paths_that_are_not_files_are_refused(trained, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    refusal(*(word.format(trained / "data" / "annotations.json") for word in words.split()))
    assert [path.name for path in tmp_path.iterdir()] == ["loop"]
