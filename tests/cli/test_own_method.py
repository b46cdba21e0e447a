"""A method of the user's own: trained, localized and compared by its import path, and never imported silently."""

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.helpers.data import TINIEST
from wtal.cli import app
from wtal.core.methods import METHODS
from wtal.data.layouts.activitynet import read_proposals
from wtal.data.synthetic.features import write_synthetic

METHOD = "own_method:build"
MODULE = '''
"""A linear network."""

import torch
from torch import nn

from wtal.models.layers import BranchOutput


class Linear(nn.Module):
    def __init__(self, width, hidden, num_classes):
        super().__init__()
        self.embed = nn.Linear(width, hidden)
        self.attend = nn.Linear(hidden, 1)
        self.classify = nn.Linear(hidden, num_classes + 1)

    def forward(self, features, mask):
        embeddings = self.embed(features * mask[..., None]).relu()  # B x T x H
        attention = torch.sigmoid(self.attend(embeddings))[..., 0]  # B x T
        return BranchOutput(embeddings[None], embeddings, attention[None], self.classify(embeddings))


def build(config, modalities, num_classes):
    return Linear(sum(modalities), config.model.width, num_classes)


not_a_function = 3


class Tensors(Linear):
    def forward(self, features, mask):
        return features


def build_tensors(config, modalities, num_classes):
    return Tensors(sum(modalities), 8, num_classes)


class Recurrent(Linear):
    def __init__(self, width, hidden, num_classes):
        super().__init__(hidden, hidden, num_classes)
        self.recurrent = nn.GRU(width, hidden, batch_first=True)

    def forward(self, features, mask):
        return super().forward(self.recurrent(features)[0], mask)


def build_recurrent(config, modalities, num_classes):
    return Recurrent(sum(modalities), 8, num_classes)


def build_nothing(config, modalities, num_classes):
    return None
'''


def wtal(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(map(str, words)))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result.exit_code, " ".join(result.output.split())


def forget() -> None:
    """The state of a new process."""
    METHODS.pop(METHOD, None)
    sys.modules.pop("own_method", None)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with own_method.py and a data set."""
    (tmp_path / "own_method.py").write_text(MODULE)
    write_synthetic(tmp_path / "data", TINIEST)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    forget()


SMALL = [word for setting in ("width=8",) for word in ("--set", f"model.{setting}")]
SMALL += [word for setting in ("steps=2", "batch_size=2", "save_every=2") for word in ("--set", f"train.{setting}")]


def test_own_method_is_trained_and_localized_through_the_command_line(folder: Path):
    assert wtal("train", "data", "--out", "run", "--method", METHOD, *SMALL)[0] == 0
    saved = json.loads((folder / "run/checkpoint-000002/config.json").read_text())
    assert saved["config"]["method"] == METHOD
    losses = json.loads((folder / "run/metrics.jsonl").read_text().splitlines()[-1])
    assert "mil" in losses and not any("distillation" in name for name in losses), "it has no teacher"
    assert f"`{METHOD}` (a network of its own)" in (folder / "run/checkpoint-000002/README.md").read_text()
    forget()
    code, output = wtal("localize", "run", "data")
    assert code == 2 and METHOD in output and "own_method" not in sys.modules
    code, output = wtal("localize", "run", "data", "--method", METHOD)
    assert code == 0 and read_proposals(folder / "run/proposals.json")
    forget()
    assert wtal("report", "run", "--data", "data", "--method", METHOD)[0] == 0
    forget()
    assert wtal("train", "data", "--out", "run", "--resume", "--method", METHOD, *SMALL)[0] == 0


def test_own_method_is_compared_in_worker_processes(folder: Path):
    options = ("--methods", f"local,{METHOD}", "--seeds", 1, "--subset", "testing", "--workers", 1, *SMALL)
    code, output = wtal("compare", "data", "--out", "runs", *options)
    assert code == 0, output
    scores = json.loads((folder / "runs/comparison.json").read_text())["scores"]
    assert [score["method"] for score in scores] == ["local", METHOD]


@pytest.mark.parametrize(
    "method",
    [
        "missing_module:build",
        "own_method:missing",
        "own_method:not_a_function",
        "own_method:build_nothing",
        "own_method:build_tensors",
        "dfa",
    ],
)
def test_method_that_cannot_be_built_is_rejected(folder: Path, method: str):
    code, output = wtal("train", "data", "--out", "run", "--method", method, *SMALL)
    assert code == 2 and method in output


def test_network_that_cannot_be_exported_is_an_error(folder: Path):
    pytest.importorskip("onnxscript", reason="needs the ONNX packages")
    method = "own_method:build_recurrent"
    assert wtal("train", "data", "--out", "run", "--method", method, *SMALL)[0] == 0
    code, output = wtal("export", "run", "--onnx", "model.onnx", "--method", method)
    assert code == 2 and method in output and not (folder / "model.onnx").exists()
