"""`python -m benchmarks models`: rebuilds models and prints a row for each."""

import re

import pytest

from benchmarks import measure, models
from tests.helpers.data import TINIEST
from tests.helpers.errors import raises
from wtal.core.errors import ConfigError
from wtal.data.synthetic.features import write_synthetic


@pytest.fixture
def run_tool(tmp_path, settings, monkeypatch, capsys):
    """Call it with a tiny data set `hapt` and small settings; returns what it prints."""
    write_synthetic(tmp_path / "shared/hapt", TINIEST)
    monkeypatch.setattr(measure, "SHARED", tmp_path / "shared")
    monkeypatch.setattr(models, "CONFIG", settings("dfe", train={"steps": 2}))

    def call(*names):
        models.main(tmp_path / "runs", names)
        return capsys.readouterr().out

    return call


def test_model_is_trained_once_and_gets_a_row_with_its_hash(run_tool, tmp_path):
    table = run_tool("hapt")
    assert re.search(r"^\| `hapt` \| .* `[0-9a-f]{16}` \|$", table, re.MULTILINE)
    (weights,) = (tmp_path / "runs/hapt").glob("checkpoint-*/model.safetensors")
    written = weights.stat().st_mtime_ns
    assert run_tool("hapt") == table and weights.stat().st_mtime_ns == written


def test_unknown_model_is_rejected(run_tool):
    with raises(ConfigError, code="unknown-name"):
        run_tool("nowhere")
