"""What users do wrong: one clear sentence, exit code 2, nothing lost. Never a traceback."""

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from tests.helpers.data import TINIEST
from wtal.cli import app
from wtal.core.errors import DataError
from wtal.core.io import append_line, directory_lock
from wtal.data.synthetic.features import write_synthetic
from wtal.inference.proposals import SnippetScores
from wtal.models import checkpoint

TINY = ("model.width=8", "train.steps=2", "train.save_every=1", "train.batch_size=2", "train.snippets=8")
SETTINGS = [part for setting in TINY for part in ("--set", setting)]
FIRST = "features/training_0000.npy"


def wtal(*arguments: object) -> tuple[int, str]:
    """The exit code and all that was said. An exception that reaches the user is raised here."""
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


def refused(*arguments: object) -> str:
    """The one sentence of a refusal."""
    code, said = wtal(*arguments)
    sentences = said.strip().splitlines()
    assert code == 2 and len(sentences) == 1 and sentences[0].startswith("error: "), said
    return sentences[0]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a good data set and a run on it."""
    place = tmp_path_factory.mktemp("bad input")
    write_synthetic(place / "data", TINIEST)
    assert wtal("train", place / "data", "--out", place / "run", *SETTINGS)[0] == 0
    assert wtal("localize", place / "run", place / "data")[0] == 0
    return place


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "data", tmp_path / "data"))


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "run", tmp_path / "run"))


def numbers(value: float) -> np.ndarray:
    features = np.ones((24, 5), np.float32)
    features[3:6] = value
    return features


@pytest.mark.parametrize(
    "features, said",
    [
        (numbers(np.nan), f"{FIRST}: snippets 3-5 (3 in all) are NaN or infinite; extract"),
        (numbers(-np.inf), f"{FIRST}: snippets 3-5 (3 in all) are NaN or infinite; extract"),
        (numbers(0).astype(float) + 1e60, f"{FIRST}: snippets 0-23 (24 in all) are NaN or infinite"),
        (numbers(0)[:, :4], f"{FIRST}: expected T x 5 features, found 24 x 4"),
        (numbers(0)[:0], f"{FIRST}: has 0 snippets"),
        (np.array([{}, None], dtype=object), f"{FIRST}: holds Python objects, which are never unpickled"),
        (None, f"{FIRST}: there is no such feature file; extract it, or correct the id"),
    ],
)
def test_faulty_features_are_refused_before_the_first_step(data, tmp_path, features, said):
    if features is None:
        (data / FIRST).unlink()
    else:
        np.save(data / FIRST, features, allow_pickle=True)
    assert said in refused("train", data, "--out", tmp_path / "run", *SETTINGS)
    assert not (tmp_path / "run").exists()


def test_all_faulty_features_are_counted(data, tmp_path):
    shutil.rmtree(data / "features")
    said = refused("train", data, "--out", tmp_path / "run")
    assert "(3 more such; `wtal check` lists them)" in said


def test_sequences_of_one_snippet_are_no_obstacle(data, tmp_path):
    for path in (data / "features").iterdir():
        np.save(path, np.ones((1, 5), np.float16))
    assert wtal("train", data, "--out", tmp_path / "run", *SETTINGS)[0] == 0
    assert wtal("localize", tmp_path / "run", data)[0] == 0


@pytest.mark.parametrize("name", ["annotations.json", "dataset.json"])
@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[1]", b"\xff\xfe{", b'{"database": {"a": 3}}', b"[" * 100_000, b'{"a": 1' + b"0" * 5000 + b"}"],
    ids=lambda content: repr(content[:20]),
)
def test_broken_json(data, tmp_path, name, content):
    (data / name).write_bytes(content)
    assert f"{data}/{name}" in refused("train", data, "--out", tmp_path / "run")


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda v: v["training_0000"]["annotations"].append({"label": "[red]"}), "unknown label '[red]'"),
        (lambda v: v["testing_0000"]["annotations"].append({"label": "jump", "segment": [5, 1]}), "swap them"),
        (lambda v: [v.pop(id) for id in list(v) if "training" in id], "has no subset 'training'"),
        (lambda v: [entry.update(annotations=[]) for entry in v.values()], "no training sequence carries a label"),
        (lambda v: v.update({"../out": v["training_0000"]}), "the id cannot be a file name"),
        (lambda v: v.update({"new": v["training_0000"]}), "new.npy: there is no such feature file"),
    ],
)
def test_annotations_at_fault(data, tmp_path, change, said):
    annotations = json.loads((data / "annotations.json").read_text())
    change(annotations["database"])
    (data / "annotations.json").write_text(json.dumps(annotations))
    assert said in refused("train", data, "--out", tmp_path / "run")


@pytest.mark.parametrize(
    "content, said",
    [
        (b"vid;label\na;b\n", "line 1: the header is `vid;label`; the first line must be `video,labels`"),
        (b'video,labels\ntraining_0000,"ju"mp\n', "line 2: a quote is out of place"),
        (b"video,labels\ntraining_0000,j\xfcmp\n", "line 2: not UTF-8 text; save the file as UTF-8"),
        (b"video," + b"labels" * 1000, "..."),
        (b"video,labels\n", "has a header but no video"),
    ],
)
def test_tags_at_fault(data, tmp_path, content, said):
    (data / "annotations.json").unlink()
    (data / "tags.csv").write_bytes(content)
    sentence = refused("train", data, "--out", tmp_path / "run")
    assert f"{data}/tags.csv" in sentence and said in sentence and len(sentence) < 400


def test_check_says_that_there_is_nothing_to_train_on(data):
    annotations = json.loads((data / "annotations.json").read_text())
    annotations["database"] = {id: v for id, v in annotations["database"].items() if "training" not in id}
    (data / "annotations.json").write_text(json.dumps(annotations))
    assert "nothing is in training" in wtal("check", data)[1]


@pytest.mark.parametrize(
    "options, said",
    [
        (["--method", "[red]"], "method is '[red]'"),
        (["--seed", "-1"], "train.seed is -1"),
        (["--set", "train.stps=3"], "unknown setting train.stps"),
        (["--set", "train.steps"], "write section.name=value"),
        (["--config", "none.toml"], "none.toml: there is no such file"),
        (["--device", "abacus"], "there is no device 'abacus'; use auto, cpu, cuda"),
        (["--validate", "--hold-out", "0.5"], "choose one"),
        (["--hold-out", "0.01"], "of 4 training sequences is none; hold out more"),
        (["--hold-out", "0.9"], "leaves no sequence with a label in training"),
    ],
)
def test_options_at_fault(data, tmp_path, options, said):
    assert said in refused("train", data, "--out", tmp_path / "run", *options)
    assert not (tmp_path / "run").exists()


def test_a_gpu_where_there_is_none(data, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert "there is no GPU" in refused("train", data, "--out", tmp_path / "run", "--device", "cuda")


@pytest.mark.parametrize("content", ["[train", "a = 1\na = 2", "\0"])
def test_bad_toml(data, tmp_path, content):
    (tmp_path / "c.toml").write_text(content)
    said = refused("train", data, "--out", tmp_path / "run", "--config", tmp_path / "c.toml")
    assert "c.toml: not valid TOML" in said


def test_usage_errors_exit_with_2_too(data, tmp_path):
    for arguments in (["trian"], ["train", data], ["train", data, "--out", tmp_path, "--hold-out", "2"], []):
        assert wtal(*arguments)[0] == 2


def test_places_that_are_no_run_folder(data, run, tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "alien/checkpoint-500").mkdir(parents=True)
    for place, said in {
        "file": "cannot be the folder to write to",
        "file/below": "cannot be the folder to write to",
        "data": "is the data set itself",
        "alien": "is no checkpoint of wtal and would be in the way",
        "run": "holds a run already; go on with --resume",
        "a" * 300: "file name too long",
    }.items():
        assert said in refused("train", data, "--out", tmp_path / place, *SETTINGS)
    assert (tmp_path / "file").read_text() == "mine" and (tmp_path / "alien/checkpoint-500").is_dir()
    for place in ("file", "data", "none"):
        assert "not a run or model folder" in refused("localize", tmp_path / place, data)


def test_two_trainings_in_one_folder(data, run):
    with directory_lock(run):
        said = refused("train", data, "--out", run, *SETTINGS, "--resume")
    assert "another process is writing there" in said
    assert wtal("train", data, "--out", run, *SETTINGS, "--resume")[0] == 0


def test_other_settings_are_not_resumed(data, run):
    said = refused("train", data, "--out", run, *SETTINGS, "--seed", "9", "--resume")
    assert "was trained with other settings" in said


def edit(**values: object) -> Callable[[Path], object]:
    def change(saved: Path) -> None:
        path = saved / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return change


def garbage(name: str, content: bytes = b"\x07garbage" * 9) -> Callable[[Path], object]:
    return lambda saved: (saved / name).write_bytes(content)


def not_finite(saved: Path) -> None:
    weights = load_file(saved / "model.safetensors")
    save_file({name: weight * np.nan for name, weight in weights.items()}, saved / "model.safetensors")


@pytest.mark.parametrize(
    "change, said",
    [
        (garbage("model.safetensors"), "model.safetensors"),
        (lambda c: (c / "model.safetensors").unlink(), "model.safetensors"),
        (not_finite, "the weights are not finite"),
        (garbage("config.json", b"{"), "config.json, line 1: not valid JSON"),
        (garbage("config.json", b"[" * 100_000), "config.json"),
        (garbage("config.json", b"null"), "config.json"),
        (edit(classes=[1, 2]), "classes.0: input should be a valid string"),
        (edit(classes="ab"), "classes: input should be a valid list"),
        (edit(modalities=[3.5, 2]), "modalities.0: input should be a valid integer"),
        (edit(modalities=[-3, 8]), "modalities.0: input should be greater than"),
        (edit(snippet_seconds="x"), "snippet_seconds: input should be a valid number"),
        (edit(snippet_seconds=0), "snippet_seconds: input should be greater than 0"),
        (edit(step=-1), "step: input should be greater than"),
        (edit(config=3), "config: input should be a valid dictionary"),
        (edit(config={"nope": 1}), "unknown setting nope"),
        (edit(config={"model": {"width": 12}}), "the weights do not fit config.json"),
        (edit(modalities=[2, 3]), "the weights do not fit config.json"),
    ],
)
def test_checkpoints_at_fault(data, run, change, said):
    (saved,) = run.glob("checkpoint-*")
    before = (run / "proposals.json").read_bytes()
    change(saved)
    assert said in refused("localize", run, data)
    assert (run / "proposals.json").read_bytes() == before


@pytest.mark.parametrize(
    "about, said",
    [
        ({"classes": ["throw", "jump"]}, "the same ones in another order"),
        ({"classes": ["jump", "throw", "[bold]"]}, "differing: [bold]"),
        ({"modalities": [2, 3]}, "features are 2 + 3 wide, the model was trained on 3 + 2"),
        ({"snippet_seconds": 2.0}, "a snippet every 2 s, the model was trained on one every 0.5 s"),
    ],
)
def test_a_model_of_other_data(data, run, about, said):
    path = data / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | about))
    assert said in refused("localize", run, data)


def test_what_to_localize(data, run):
    assert "has no subset 'none'; it has 'training'" in refused("localize", run, data, "--subset", "none")
    assert "there is no branch 'both'" in refused("localize", run, data, "--branch", "both")


def test_scores_that_are_not_finite_are_not_written(data, run, tmp_path, monkeypatch):
    scores = SnippetScores(np.full(9, np.nan), np.ones((9, 3)) / 3, np.ones(2) / 2)
    monkeypatch.setattr("wtal.inference.localizer.snippet_scores", lambda *_: scores)
    said = refused("localize", run, data, "--out", tmp_path / "p.json")
    assert "features/testing_0000.npy: the numbers are too large for the model" in said
    assert not (tmp_path / "p.json").exists()


@pytest.mark.parametrize(
    "content, said",
    [
        ("{", "line 1: not valid JSON"),
        ("[" * 100_000, "not JSON that can be read"),
        ("null", 'has no "results"'),
        ('{"database": {}}', "holds annotations, not proposals"),
        ('{"results": {"a": [], "a": []}}', '"a" appears twice'),
        ('{"results": {"a": [3]}}', "a, proposal 1: is 3"),
        ('{"results": {"a": ["%s"]}}' % ("x" * 999), "xxx ...; use"),
    ],
    ids=lambda text: text[:20],
)
def test_proposals_at_fault(made, tmp_path, content, said):
    (tmp_path / "p.json").write_text(content)
    assert said in refused("evaluate", tmp_path / "p.json", made / "data")
    assert not (tmp_path / "results.json").exists()


@pytest.mark.parametrize(
    "options, said",
    [
        (["--tiou", "2"], "tIoU thresholds are [2.0]"),
        (["--protocol", "[red]"], 'protocol "[red]" is not known; use one of activitynet'),
        (["--subset", "training"], 'marks no start and end in "training"'),
        (["--ambiguous", "none.txt"], "none.txt: there is no such file"),
        (["--ambiguous", "run/proposals.json"], "proposals.json, line 1: "),
        (["--out", "data"], "data: is no ordinary file"),
        (["--out", "/dev/full"], "/dev/full: is no ordinary file"),
    ],
)
def test_evaluations_at_fault(made, monkeypatch, options, said):
    monkeypatch.chdir(made)
    sentence = refused("evaluate", "run/proposals.json", "data", *options)
    assert said in sentence and len(sentence) < 250


def test_ground_truth_at_fault(made, tmp_path):
    proposals = made / "run/proposals.json"
    assert "holds proposals, not annotations" in refused("evaluate", proposals, proposals)
    (tmp_path / "tags.csv").write_text("video,labels\na,jump\n")
    assert "tags.csv says what happens, not when" in refused("evaluate", proposals, tmp_path)
    assert "no ground truth there" in refused("evaluate", proposals, tmp_path / "none")
    (tmp_path / "t.json").write_text('{"database": {"a": {"subset": "testing", "annotations": []}}}')
    assert "marks no start and end" in refused("evaluate", proposals, tmp_path / "t.json")


def test_names_with_markup_spaces_and_accents(made, tmp_path):
    data, run = tmp_path / "[red]dä ta[/nope]", tmp_path / "[bold]r ün"
    shutil.copytree(made / "data", data)
    text = (data / "annotations.json").read_text().replace('"throw"', '"[red]x[/nope]"')
    (data / "annotations.json").write_text(text)
    path = data / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"classes": ["jump", "[red]x[/nope]"]}))
    assert f"{run}/checkpoint-000002" in wtal("train", data, "--out", run, *SETTINGS)[1]
    assert f"{run}/proposals.json" in wtal("localize", run, data)[1]
    code, said = wtal("evaluate", run / "proposals.json", data, "--classes")
    assert code == 0 and "[red]x[/nope]" in said and f"{run}/results.json" in said
    assert "[red]x[/nope]" in wtal("check", data)[1]


def test_parents_of_an_output_are_made(made, tmp_path):
    place = tmp_path / "new/folder/p.json"
    assert wtal("localize", made / "run", made / "data", "--out", place)[0] == 0 and place.is_file()


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(made, tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    said = refused("localize", made / "run", made / "data", "--out", tmp_path / "closed/p.json")
    assert "permission denied" in said


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_under_a_log():
    with pytest.raises(DataError, match="/dev/full: the disk is full"):
        append_line(Path("/dev/full"), "{}")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
@pytest.mark.parametrize("limit", [10, 3000])
def test_a_disk_that_fills_while_a_checkpoint_is_written(data, run, limit):
    """Neither the old checkpoint nor the run is lost, whichever file is the one that has no room."""
    model, meta = checkpoint.load_local(run)
    (place,) = run.glob("checkpoint-*")
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(DataError, match=str(place)):
            checkpoint.save_checkpoint(place, meta, model, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before
    assert not list(run.glob(".*.part"))


def test_output_that_goes_nowhere(made):
    """A pipe that closes early, a closed stdin, a full disk behind stdout, a terminal of few letters."""
    command = f"{sys.executable} -W error -c 'from wtal.cli import main; main()' check '{made}/data'"

    def shell(text: str, **environment: str) -> tuple[int, str]:
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", text],
            capture_output=True,
            text=True,
            env={**os.environ, **environment},
        )
        return done.returncode, done.stderr + done.stdout

    assert "Traceback" not in shell(f"{command} | head -n 1")[1]
    code, said = shell(f"{command} <&-", PYTHONIOENCODING="ascii", COLUMNS="20", NO_COLOR="1")
    assert code == 0 and said.isascii() and "\x1b" not in said and "Traceback" not in said
    if Path("/dev/full").exists():
        code, said = shell(f"{command} >/dev/full")
        assert code != 0 and "Traceback" not in said and "no space left" in said.lower()


@pytest.mark.parametrize("words", ["evaluate . {0}", "evaluate loop {0}", "evaluate {0} {0} --out ."])
def test_paths_that_name_no_file(made, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    refused(*(word.format(made / "data" / "annotations.json") for word in words.split()))
    assert [path.name for path in tmp_path.iterdir()] == ["loop"]
