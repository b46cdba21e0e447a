"""Snapshots of about twenty error messages, so that a change of their form is noticed.

Set UPDATE_SNAPSHOTS=1 to rewrite `messages.json` after an intended change.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.helpers.data import TINIEST
from wtal.cli import app
from wtal.data.synthetic.features import write_synthetic

SNAPSHOT = Path(__file__).with_name("messages.json")


def cut_features(data: Path) -> None:
    path = data / "features/training_0000.npy"
    path.write_bytes(path.read_bytes()[:150])


CASES = {
    "missing data set": (lambda data: None, "train TMP/none --out TMP/run"),
    "unknown setting": (lambda data: None, "train TMP/data --out TMP/run --set train.stps=3"),
    "setting out of range": (lambda data: None, "train TMP/data --out TMP/run --set model.dropout=2"),
    "unknown method": (lambda data: None, "train TMP/data --out TMP/run --method best"),
    "unknown device": (lambda data: None, "train TMP/data --out TMP/run --device abacus"),
    "conflicting options": (lambda data: None, "train TMP/data --out TMP/run --validate --hold-out 0.5"),
    "run folder is the data": (lambda data: None, "train TMP/data --out TMP/data"),
    "truncated features": (cut_features, "train TMP/data --out TMP/run"),
    "missing features": (
        lambda data: (data / "features/training_0000.npy").unlink(),
        "train TMP/data --out TMP/run",
    ),
    "non-finite features": (
        lambda data: np.save(data / "features/training_0000.npy", np.full((24, 5), np.nan, np.float32)),
        "train TMP/data --out TMP/run",
    ),
    "invalid JSON": (lambda data: (data / "annotations.json").write_text("{"), "train TMP/data --out TMP/run"),
    "missing clock": (lambda data: (data / "dataset.json").unlink(), "train TMP/data --out TMP/run"),
    "no model": (lambda data: None, "localize TMP/data TMP/data"),
    "no run": (lambda data: None, "localize TMP/none TMP/data"),
    "unknown protocol": (lambda data: None, "evaluate TMP/data/annotations.json TMP/data --protocol best"),
    "annotations as proposals": (lambda data: None, "evaluate TMP/data/annotations.json TMP/data"),
    "missing proposals": (lambda data: None, "evaluate TMP/none.json TMP/data"),
    "missing video folder": (lambda data: None, "init TMP/new --videos TMP/none --tags TMP/tags.csv"),
    "unknown layout": (lambda data: None, "convert TMP/data/features TMP/new"),
    "unknown annotation format": (lambda data: None, "convert TMP/data/annotations.json TMP/new.txt --to best"),
    "not a figure": (lambda data: None, "plot errors TMP/data/annotations.json TMP/data --out TMP/errors.doc"),
}


@pytest.mark.parametrize("name", CASES)
def test_message_is_unchanged(name, tmp_path):
    write_synthetic(tmp_path / "data", TINIEST)
    prepare, command = CASES[name]
    prepare(tmp_path / "data")
    result = CliRunner().invoke(app, command.replace("TMP", str(tmp_path)).split())
    message = result.output.strip().replace(str(tmp_path), "TMP")
    assert result.exit_code == 2 and len(message.splitlines()) == 1, message
    snapshots = json.loads(SNAPSHOT.read_text()) if SNAPSHOT.exists() else {}
    if os.environ.get("UPDATE_SNAPSHOTS"):
        snapshots[name] = message
        SNAPSHOT.write_text(json.dumps(snapshots, indent=1, ensure_ascii=False) + "\n")
    assert message == snapshots[name]
