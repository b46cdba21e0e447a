"""Stored predictions."""

import errno
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from tests.helpers.errors import raises
from wtal.core.errors import DataError
from wtal.core.structures import Segment
from wtal.web.predictions import StoredPrediction, prediction_path, read_prediction, uncertainty, write_prediction
from wtal.web.videos import VideoFile

FILE = VideoFile("a.mp4", 3, 4)
CURVES = (
    np.arange(5) * 0.64,
    np.array([0, 0.25, 0.5, 1], np.float32),
    np.array([[0, 1], [0.5, 0.5], [1, 0], [0, 0]], np.float16),
)
PREDICTION = StoredPrediction(
    "a.mp4",
    "3 abc",
    25.0,
    ("a", "b"),
    (Segment("b", 0.25, 1.5, 0.75), Segment("a", 1.0, 2.0, 1e-12)),
    *CURVES,
)


def no_fingerprint(file: VideoFile) -> str:
    return ""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = prediction_path(tmp_path, FILE, "model")
    path.parent.mkdir()
    return path


def assert_equal(prediction: StoredPrediction | None, expected: StoredPrediction) -> None:
    assert prediction is not None
    for name in ("video", "fingerprint", "fps", "classes", "proposals"):
        assert getattr(prediction, name) == getattr(expected, name)
    for name in ("edges", "attention", "cas"):
        np.testing.assert_array_equal(getattr(prediction, name), getattr(expected, name))


def test_prediction_roundtrip(path):
    assert read_prediction(path, FILE, no_fingerprint) is None
    write_prediction(path, PREDICTION)
    assert_equal(read_prediction(path, FILE, no_fingerprint), PREDICTION)


def test_reads_predictions_of_version_0_1_0(path):
    tensors = {
        "labels": np.array([1, 0], np.int32),
        "segments": np.array([[0.25, 1.5, 0.75], [1.0, 2.0, 1e-12]]),
        "edges": CURVES[0],
        "attention": CURVES[1],
        "cas": CURVES[2],
    }
    metadata = {"of": ["a.mp4", "3 abc"], "fps": 25.0, "classes": ["a", "b"]}
    assert path.parent.name == "found"
    path.write_bytes(save(tensors, {"found": json.dumps(metadata)}))
    assert_equal(read_prediction(path, FILE, no_fingerprint), PREDICTION)


def test_prediction_belongs_to_one_file_and_one_model(path, tmp_path):
    write_prediction(path, PREDICTION)
    paths = {prediction_path(tmp_path, file, "model") for file in (VideoFile("a.mp4", 5, 4), VideoFile("a.mp4", 3, 5))}
    assert len(paths | {path, prediction_path(tmp_path, FILE, "other")}) == 4
    renamed = VideoFile("b.mp4", 3, 4)
    assert prediction_path(tmp_path, renamed, "model") == path
    assert read_prediction(path, renamed, lambda file: "3 abc") is not None
    assert read_prediction(path, renamed, lambda file: "3 other") is None


def test_uncertainty_is_the_entropy_where_something_may_happen():
    def of(rows: list[list[float]], attention: list[float]) -> float:
        curves = np.arange(len(rows) + 1.0), np.array(attention, np.float32), np.array(rows, np.float16)
        return uncertainty(StoredPrediction("a.mp4", "", None, ("a", "b"), (), *curves))

    third = 1 / 3
    assert of([[third, third], [0, 0]], [0.9, 0.0]) == pytest.approx(1, abs=1e-3)
    assert of([[1, 0], [third, third]], [0.9, 0.0]) == pytest.approx(0.5, abs=1e-3)
    assert of([[0, 0], [0, 0]], [0.0, 0.0]) == 0
    assert of([[1, 0], [0, 0.2]], [0.9, 0.0]) == pytest.approx(0, abs=1e-3), "without attention or action"


def test_damaged_prediction_is_ignored(path):
    write_prediction(path, PREDICTION)
    path.write_bytes(path.read_bytes()[:-9])
    assert read_prediction(path, FILE, no_fingerprint) is None


def test_full_disk_is_reported(path, monkeypatch):
    def fail(path: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with raises(DataError, code="disk-full", path=path):
        write_prediction(path, PREDICTION)
    assert not list(path.parent.iterdir())
