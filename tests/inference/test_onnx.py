"""ONNX export: the file gives the scores of the model for any length and padding, and suffices for localization."""

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

from tests.helpers.errors import raises
from wtal import cli
from wtal.core.clock import SnippetClock
from wtal.core.errors import CheckpointError, ConfigError, DataError
from wtal.data.batching import pad
from wtal.inference.localizer import Localizer, snippet_scores
from wtal.inference.onnx import export_onnx
from wtal.models import checkpoint
from wtal.models.local_branch import build_model

onnxruntime = pytest.importorskip("onnxruntime", reason="pip install 'wtal[onnx]'")

EXAMPLE = Path(__file__).parents[2] / "examples" / "onnx_timeline.py"
LENGTHS = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 48, 49, 100, 1000, 9999, 10_000)
CLASSES = ("jump", "läuft", "rest")
MODELS = {
    "dilated": ("dfe", (6, 4), {"dilations": [1, 4]}, {}),
    "attention": ("local", (10,), {"local": "attention", "smoothing": 0}, {"topk_ratio": 5}),
    "smoothing alone": ("dfe", (10,), {"dilations": [], "smoothing": 3}, {"topk_ratio": 10**6}),
    "baseline": ("baseline", (10,), {}, {"topk_ratio": 1}),
}


@dataclass(frozen=True)
class Exported:
    """A model folder and its export."""

    run: Path
    file: Path

    def __call__(self, features: np.ndarray, mask: np.ndarray) -> list[np.ndarray]:
        session = onnxruntime.InferenceSession(self.file, providers=["CPUExecutionProvider"])
        return session.run(["attention", "cas", "video"], {"features": features, "mask": mask})


def scores_of(run: Path, features: np.ndarray) -> list[np.ndarray]:
    network, meta = checkpoint.load_model(run)
    scores = snippet_scores(network, features, meta.config)
    return [scores.attention, scores.cas, scores.video]


def write_run(folder: Path, settings, method: str, widths: tuple[int, ...], model: dict, train: dict) -> Path:
    """A model with random weights, so that no layer is the identity."""
    torch.manual_seed(0)
    config = settings(method, model=model, train=train, localize={"temperature": 1.5})
    network = build_model(config, widths, len(CLASSES))
    for weight in network.parameters():
        torch.nn.init.normal_(weight, 0, 1.5 / weight[0].numel() ** 0.5)
    network.normalise.mean.normal_()
    network.normalise.scale.uniform_(0.5, 2)
    network.normalise.limit.fill_(1.5)
    folder.mkdir()
    checkpoint.write_model(
        folder, checkpoint.ModelMetadata(config, CLASSES, widths, SnippetClock(0.64, 0.1), 7), network
    )
    return folder


SLOW = ("smoothing alone", "baseline")  # exporting a network takes seconds
PARAMS = [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in MODELS]


@pytest.fixture(scope="module", params=PARAMS)
def exported(request, settings, tmp_path_factory) -> Exported:
    folder = tmp_path_factory.mktemp("export")
    run = write_run(folder / "run", settings, *MODELS[request.param])
    export_onnx(run, folder / "new" / "model.onnx")
    return Exported(run, folder / "new" / "model.onnx")


@pytest.fixture(scope="module")
def small(settings, tmp_path_factory) -> Path:
    return write_run(tmp_path_factory.mktemp("small") / "run", settings, *MODELS["baseline"])


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).normal(size=shape).astype(np.float32)


@pytest.mark.slow
def test_scores_agree_for_every_length(exported):
    for length in LENGTHS:
        features = noise(length, 10)
        outputs = exported(features[None], np.ones((1, length), bool))
        for expected, output in zip(scores_of(exported.run, features), outputs, strict=True):
            np.testing.assert_allclose(output[0], expected, rtol=0, atol=1e-5, err_msg=f"T = {length}")


@pytest.mark.parametrize("lengths", [(1, 1), (1, 40), (17, 5, 33, 16), (8, 3, 2, 1, 7), (300, 299)])
def test_scores_agree_in_padded_batches(exported, lengths):
    features = [noise(length, 10) for length in lengths]
    outputs = exported(*(tensor.numpy() for tensor in pad(features)))
    for row, values in enumerate(features):
        attention, cas, video = scores_of(exported.run, values)
        for expected, output in ((attention, outputs[0]), (cas, outputs[1])):
            np.testing.assert_allclose(output[row, : len(values)], expected, rtol=0, atol=1e-5)
        np.testing.assert_allclose(outputs[2][row], video, rtol=0, atol=1e-5)


def test_file_contains_the_metadata_and_no_local_paths(exported):
    assert [path.name for path in exported.file.parent.iterdir()] == ["model.onnx"]
    texts = onnxruntime.InferenceSession(exported.file).get_modelmeta().custom_metadata_map
    metadata = {name: json.loads(text) for name, text in texts.items()}
    assert metadata == json.loads((exported.run / "config.json").read_text())
    assert metadata["classes"] == list(CLASSES) and metadata["snippet_seconds"] == 0.64
    content = exported.file.read_bytes()
    assert not any(str(path).encode() in content for path in (EXAMPLE.parents[2], exported.run, sys.prefix))


def test_example_prints_the_same_segments_without_torch(exported, tmp_path):
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
    process = subprocess.run(command, capture_output=True, encoding="utf-8", cwd=EXAMPLE.parents[2], check=False)
    assert process.returncode == 0, process.stderr
    expected = Localizer(exported.run)(features)
    assert len(expected) > 3
    rows = [line.split() for line in process.stdout.splitlines()]
    assert [(float(start), float(end), label) for start, _, end, _, _, label in rows] == [
        (round(p.start, 2), round(p.end, 2), p.label) for p in expected
    ]
    np.testing.assert_allclose([float(line[4]) for line in rows], [p.score for p in expected], atol=1e-3)


def test_export_command(small, tmp_path):
    file = tmp_path / "model.onnx"
    result = CliRunner(env={"COLUMNS": "200"}).invoke(cli.app, ["export", str(small), "--onnx", str(file)])
    assert result.exit_code == 0 and str(file) in result.output and file.is_file()


def test_export_never_overwrites_other_files(small, tmp_path):
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "other.onnx").write_bytes(b"another network")
    (tmp_path / "file").write_text("")
    for error, code, path in [
        (ConfigError, "invalid-value", small / "config.json"),
        (DataError, "not-a-file", tmp_path / "folder.onnx"),
        (DataError, "already-exists", tmp_path / "other.onnx"),
        (DataError, None, tmp_path / "file" / "model.onnx"),
    ]:
        with raises(error, code=code, path=path):
            export_onnx(small, path)
    assert (tmp_path / "other.onnx").read_bytes() == b"another network"
    with raises(CheckpointError, code="not-a-model", path=tmp_path):
        export_onnx(tmp_path, tmp_path / "model.onnx")


def test_missing_onnx_package_is_reported(small, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with raises(ConfigError, code="missing-dependency"):
        export_onnx(small, tmp_path / "model.onnx")


def test_full_disk_keeps_the_previous_file(small, exported, tmp_path, monkeypatch):
    def fill_disk(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    content = exported.file.read_bytes()
    (tmp_path / "model.onnx").write_bytes(content)
    monkeypatch.setattr("wtal.inference.onnx._to_onnx", fill_disk)
    with raises(DataError, code="disk-full", path=tmp_path / "model.onnx"):
        export_onnx(small, tmp_path / "model.onnx")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [content]
