"""FiftyOne temporal detections."""

import json

import pytest

from tests.helpers.annotations import FPS
from tests.helpers.errors import raises
from wtal.core.errors import DataError
from wtal.core.structures import Segment
from wtal.data.annotations.base import Annotation
from wtal.data.annotations.fiftyone import read, write


def test_frames_are_counted_from_one_and_inclusive(tmp_path):
    path = tmp_path / "labels.json"
    write(path, [Annotation("v", (Segment("run", 0.0, 0.2, 0.9), Segment("hop", 0.2, 0.2)))], FPS)
    assert json.loads(path.read_text())["labels"]["v"] == [
        {"label": "run", "support": [1, 5], "confidence": 0.9},
        {"label": "hop", "support": [6, 6]},
    ]


def test_reader_accepts_class_indices_timestamps_and_videos_without_detections(tmp_path):
    path = tmp_path / "labels.json"
    detections = [{"label": 1, "support": [1, 5]}, {"label": 0, "timestamps": [0.5, 1.5]}]
    path.write_text(json.dumps({"classes": ["a", "b"], "labels": {"v": detections, "w": None}}))
    assert read(path, FPS).annotations == [
        Annotation("v", (Segment("b", 0.0, 0.2), Segment("a", 0.5, 1.5))),
        Annotation("w"),
    ]


def test_attributes_are_ignored_with_a_warning(tmp_path):
    path = tmp_path / "labels.json"
    path.write_text('{"labels": {"v": [{"label": "a", "support": [1, 2], "attributes": {"x": 1}}]}}')
    (annotation,), (warning,) = read(path, FPS)
    assert annotation.segments == (Segment("a", 0.0, 0.08),)
    assert "attributes" in warning.message and warning.count == 1


@pytest.mark.parametrize(
    ("content", "code", "location"),
    [
        ('{"labels": []}', "invalid-type", "labels"),
        ('{"labels": {"v": {}}}', "invalid-type", "v"),
        ('{"labels": {"v": [{"label": "x"}]}}', "invalid-value", "v, detection 1"),
        ('{"labels": {"v": [{"support": [1, 2]}]}}', "missing-key", "v, detection 1"),
        ('{"labels": {"v": [], "v": []}}', "duplicate-key", None),
        (
            '{"classes": ["x"], "labels": {"v": [{"label": 1, "support": [1, 2]}]}}',
            "invalid-value",
            "v, detection 1",
        ),
    ],
)
def test_invalid_files_are_rejected(content, code, location, tmp_path):
    path = tmp_path / "labels.json"
    path.write_text(content)
    with raises(DataError, code=code, path=path, location=location):
        read(path, FPS)
