"""The exported file says what the model says, for any length and any padding, and is enough to draw a timeline."""

import errno
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from wtal import cli
from wtal.core.clock import SnippetClock
from wtal.core.errors import ConfigError, DataError
from wtal.data.batching import pad
from wtal.inference.localizer import Localizer, snippet_scores
from wtal.inference.onnx import export_onnx
from wtal.models import checkpoint
from wtal.models.dfe import build_local_branch

onnxruntime = pytest.importorskip("onnxruntime", reason="pip install 'wtal[onnx]'")

EXAMPLE = Path(__file__).parents[2] / "examples" / "onnx_timeline.py"
LENGTHS = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 48, 49, 100, 1000, 9999, 10_000)
CLASSES = ("jump", "läuft", "rest")
ARMS = {
    "dilated": ("dfe", (6, 4), {"dilations": [1, 4], "normalise": "training"}, {}),
    "attention": ("local", (10,), {"local": "attention", "smoothing": 0, "normalise": "video"}, {"topk_ratio": 5}),
    "smoothing alone": ("dfe", (10,), {"dilations": [], "smoothing": 3}, {"topk_ratio": 10**6}),
    "baseline": ("baseline", (10,), {"normalise": "video"}, {"topk_ratio": 1}),
}


@dataclass(frozen=True)
class Exported:
    """A model folder and what was written of it."""

    run: Path
    file: Path

    def __call__(self, features: np.ndarray, mask: np.ndarray) -> list[np.ndarray]:
        session = onnxruntime.InferenceSession(self.file, providers=["CPUExecutionProvider"])
        return session.run(["attention", "cas", "video"], {"features": features, "mask": mask})


def scores_of(run: Path, features: np.ndarray) -> list[np.ndarray]:
    network, meta = checkpoint.load_local(run)
    scores = snippet_scores(network, features, meta.config)
    return [scores.attention, scores.cas, scores.video]


def write_run(folder: Path, settings, method: str, widths: tuple[int, ...], model: dict, train: dict) -> Path:
    """A model as if long trained: no part of it is the identity any more."""
    torch.manual_seed(0)
    config = settings(method, model=model, train=train, localize={"temperature": 1.5})
    network = build_local_branch(config, widths, len(CLASSES))
    for weight in network.parameters():
        torch.nn.init.normal_(weight, 0, 1.5 / weight[0].numel() ** 0.5)
    if config.model.normalise == "training":
        network.normalise.mean.normal_()
        network.normalise.scale.uniform_(0.5, 2)
    folder.mkdir()
    checkpoint.write_model(
        folder, checkpoint.ModelMetadata(config, CLASSES, widths, SnippetClock(0.64, 0.1), 7), network
    )
    return folder


@pytest.fixture(scope="module", params=ARMS)
def exported(request, settings, tmp_path_factory) -> Exported:
    place = tmp_path_factory.mktemp("export")
    run = write_run(place / "run", settings, *ARMS[request.param])
    export_onnx(run, place / "new" / "model.onnx")
    return Exported(run, place / "new" / "model.onnx")


@pytest.fixture(scope="module")
def small(settings, tmp_path_factory) -> Path:
    return write_run(tmp_path_factory.mktemp("small") / "run", settings, *ARMS["baseline"])


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).normal(size=shape).astype(np.float32)


def test_it_agrees_for_every_length(exported):
    for length in LENGTHS:
        features = noise(length, 10)
        found = exported(features[None], np.ones((1, length), bool))
        for ours, theirs in zip(scores_of(exported.run, features), found, strict=True):
            np.testing.assert_allclose(theirs[0], ours, rtol=0, atol=1e-5, err_msg=f"T = {length}")


@pytest.mark.parametrize("lengths", [(1, 1), (1, 40), (17, 5, 33, 16), (8, 3, 2, 1, 7), (300, 299)])
def test_it_agrees_in_padded_batches(exported, lengths):
    features = [noise(length, 10) for length in lengths]
    found = exported(*(tensor.numpy() for tensor in pad(features)))
    for row, own in enumerate(features):
        attention, cas, video = scores_of(exported.run, own)
        for ours, theirs in ((attention, found[0]), (cas, found[1])):
            np.testing.assert_allclose(theirs[row, : len(own)], ours, rtol=0, atol=1e-5)
        np.testing.assert_allclose(found[2][row], video, rtol=0, atol=1e-5)


def test_one_file_holds_all_and_tells_nothing_of_this_machine(exported):
    assert [path.name for path in exported.file.parent.iterdir()] == ["model.onnx"]
    about = onnxruntime.InferenceSession(exported.file).get_modelmeta().custom_metadata_map
    said = {name: json.loads(text) for name, text in about.items()}
    assert said == json.loads((exported.run / "config.json").read_text())
    assert said["classes"] == list(CLASSES) and said["snippet_seconds"] == 0.64
    held = exported.file.read_bytes()
    assert not any(str(path).encode() in held for path in (EXAMPLE.parents[2], exported.run, sys.prefix))


def test_the_example_draws_the_same_timeline_without_torch(exported, tmp_path):
    features = noise(60, 10)
    np.save(tmp_path / "clip01.npy", features)
    absent = "torch pydantic scipy safetensors huggingface_hub onnx"
    run = f"""
import runpy, sys
sys.modules |= dict.fromkeys({absent.split()})
sys.argv = ["onnx_timeline.py", {str(exported.file)!r}, {str(tmp_path / "clip01.npy")!r}]
runpy.run_path({str(EXAMPLE)!r}, run_name="__main__")
"""
    command = [sys.executable, "-W", "error", "-c", run]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", cwd=EXAMPLE.parents[2], check=False)
    assert done.returncode == 0, done.stderr
    expected = Localizer.from_pretrained(exported.run)(features)
    assert len(expected) > 3
    drawn = [line.split() for line in done.stdout.splitlines()]
    assert [(float(start), float(end), label) for start, _, end, _, _, label in drawn] == [
        (round(p.start, 2), round(p.end, 2), p.label) for p in expected
    ]
    np.testing.assert_allclose([float(line[4]) for line in drawn], [p.score for p in expected], atol=1e-3)


def test_the_command(small, tmp_path):
    file = tmp_path / "model.onnx"
    done = CliRunner(env={"COLUMNS": "200"}).invoke(cli.app, ["export", str(small), "--onnx", str(file)])
    assert done.exit_code == 0, done.output
    assert done.output == f"3 classes, 10 numbers a snippet, {file.stat().st_size / 1e6:.2f} MB: {file}\n"


def refused(run: Path, file: Path) -> str:
    done = CliRunner(env={"COLUMNS": "200"}).invoke(cli.app, ["export", str(run), "--onnx", str(file)])
    assert done.exit_code == 2
    assert done.output.count("\n") == 1
    return done.output


def test_what_cannot_be_is_one_sentence(small, tmp_path):
    assert "not a run or model folder" in refused(tmp_path, tmp_path / "a.onnx")
    assert "name a file that ends in .onnx" in refused(small, small / "config.json")
    (tmp_path / "b.onnx").mkdir()
    assert "b.onnx: is a folder" in refused(small, tmp_path / "b.onnx")
    (tmp_path / "own.onnx").write_bytes(b"somebody's network")
    assert "holds something else than an export of ours" in refused(small, tmp_path / "own.onnx")
    assert (tmp_path / "own.onnx").read_bytes() == b"somebody's network"
    (tmp_path / "file").write_text("")
    assert f"{tmp_path / 'file' / 'c.onnx'}: " in refused(small, tmp_path / "file" / "c.onnx")


def test_without_the_packages_it_says_which_to_install(small, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ConfigError, match=r"pip install 'wtal\[onnx\]'"):
        export_onnx(small, tmp_path / "model.onnx")


def test_a_full_disk_leaves_the_old_file(small, exported, tmp_path, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    old = exported.file.read_bytes()
    (tmp_path / "model.onnx").write_bytes(old)
    monkeypatch.setattr("wtal.inference.onnx._program", full)
    with pytest.raises(DataError, match="the disk is full"):
        export_onnx(small, tmp_path / "model.onnx")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [old]
