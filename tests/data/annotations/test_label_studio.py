"""Label Studio tasks: the documented format, and tasks that Label Studio exports."""

import json
import tempfile
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from jsonschema import Draft202012Validator

from tests.helpers.annotations import FPS, annotations
from tests.helpers.errors import raises
from wtal.core.errors import DataError
from wtal.core.structures import Segment
from wtal.data.annotations.base import Annotation, ConversionWarning
from wtal.data.annotations.label_studio import read, write

# From /guide/task_format, /guide/export and /tags/timelinelabels of https://labelstud.io.
SCHEMA = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["data"],
        "properties": {
            "data": {"type": "object", "required": ["video"], "properties": {"video": {"type": "string"}}},
            "annotations": {"type": "array", "items": {"$ref": "#/$defs/result"}},
            "predictions": {"type": "array", "items": {"$ref": "#/$defs/result"}},
        },
    },
    "$defs": {
        "result": {
            "type": "object",
            "required": ["result"],
            "properties": {
                "model_version": {"type": "string"},
                "score": {"type": "number", "minimum": 0, "maximum": 1},
                "result": {"type": "array", "items": {"$ref": "#/$defs/region"}},
            },
        },
        "region": {
            "type": "object",
            "required": ["id", "from_name", "to_name", "type", "value"],
            "properties": {
                "id": {"type": "string"},
                "from_name": {"const": "timelineLabels"},
                "to_name": {"const": "video"},
                "type": {"const": "timelinelabels"},
                "score": {"type": "number"},
                "value": {
                    "type": "object",
                    "required": ["ranges", "timelinelabels"],
                    "properties": {
                        "ranges": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/range"}},
                        "timelinelabels": {"type": "array", "minItems": 1, "items": {"type": "string"}},
                    },
                },
            },
        },
        "range": {
            "type": "object",
            "required": ["start", "end"],
            "properties": {name: {"type": "integer", "minimum": 1} for name in ("start", "end")},
        },
    },
}


def write_to_string(annotations: list[Annotation]) -> str:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "tasks.json", annotations, FPS)
        return (Path(folder) / "tasks.json").read_text(encoding="utf-8")


@settings(max_examples=30, deadline=None)
@given(written=annotations)
def test_tasks_match_the_schema(written):
    tasks = json.loads(write_to_string(written))
    Draft202012Validator(SCHEMA).validate(tasks)
    for task in tasks:
        for result in task.get("predictions", []) + task.get("annotations", []):
            ids = [region["id"] for region in result["result"]]
            assert len(set(ids)) == len(ids)
            assert all(r["start"] <= r["end"] for region in result["result"] for r in region["value"]["ranges"])


@settings(max_examples=10, deadline=None)
@given(written=annotations)
def test_tasks_are_valid_for_the_sdk(written):
    """`pip install label-studio-sdk` validates tasks against a labeling interface without a server."""
    interface = pytest.importorskip("label_studio_sdk.label_interface").LabelInterface
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Video", name="video", value="$video")
    control = ElementTree.SubElement(view, "TimelineLabels", name="timelineLabels", toName="video")
    plain = {s.label: f"class {n}" for n, s in enumerate(s for a in written for s in a.segments)}  # valid in its XML
    for label in [*plain.values(), "none"]:
        ElementTree.SubElement(control, "Label", value=label)
    project = interface(ElementTree.tostring(view, "unicode"))
    project.validate()
    renamed = [Annotation(a.id, tuple(s._replace(label=plain[s.label]) for s in a.segments)) for a in written]
    for task in json.loads(write_to_string(renamed)):
        for prediction in task.get("predictions", []):
            assert project.validate_prediction(prediction, return_errors=True) == []
        assert all(project.validate_annotation(annotation) for annotation in task.get("annotations", []))


def test_scored_segments_are_predictions_with_frames_counted_from_one(tmp_path):
    path = tmp_path / "tasks.json"
    write(path, [Annotation("v", (Segment("run", 0.08, 0.2, 0.5),)), Annotation("w", (Segment("run", 0, 1),))], FPS)
    scored, unscored = json.loads(path.read_text())
    region = {
        "id": "segment-1",
        "from_name": "timelineLabels",
        "to_name": "video",
        "type": "timelinelabels",
        "value": {"ranges": [{"start": 3, "end": 5}], "timelinelabels": ["run"]},
        "score": 0.5,
    }
    assert scored == {"data": {"video": "v"}, "predictions": [{"model_version": "wtal", "result": [region]}]}
    assert unscored["data"] == {"video": "w"}
    assert unscored["annotations"][0]["result"][0]["value"]["ranges"] == [{"start": 1, "end": 25}]


def test_partly_scored_segments_are_an_annotation(tmp_path):
    path = tmp_path / "tasks.json"
    mixed = Annotation("v", (Segment("run", 0.0, 1.0, 0.5), Segment("run", 2.0, 3.0)))
    write(path, [mixed, Annotation("w")], FPS)
    first, second = json.loads(path.read_text())
    assert [region.get("score") for region in first["annotations"][0]["result"]] == [0.5, None]
    assert "predictions" not in first and second["annotations"] == [{"result": []}]
    assert read(path, FPS).annotations[0] == mixed


VALUE = {"ranges": [{"start": 3, "end": 5}], "timelinelabels": ["run", "jump"]}
REGION = {"type": "timelinelabels", "value": VALUE, "origin": "manual", "to_name": "video", "from_name": "actions"}
CHOICE = {"type": "choices", "value": {"choices": ["good"]}}


def exported(tmp_path: Path, **task: object) -> Path:
    """An exported file with one task."""
    path = tmp_path / "export.json"
    path.write_text(json.dumps([{"id": 7, "data": {"clip": "/data/upload/1/4f-beach.v2.mp4"}, "meta": {}, **task}]))
    return path


def test_reader_accepts_exported_tasks(tmp_path):
    annotations = [{"id": 1, "result": [REGION, CHOICE]}]
    path = exported(tmp_path, annotations=annotations, predictions=[{"result": "not read"}])
    (annotation,), warnings = read(path, FPS)
    segments = (Segment("run", 0.08, 0.2), Segment("jump", 0.08, 0.2))
    assert annotation == Annotation("4f-beach.v2", segments, file_name="4f-beach.v2.mp4")
    assert warnings == [ConversionWarning("results of other types are ignored", 1, str(path))]


def test_predictions_are_read_if_there_is_no_annotation(tmp_path):
    predictions = [{"result": [{**REGION, "score": 0.5}]}]
    for empty in ([], None, [{"result": [REGION], "was_cancelled": True}]):
        (annotation,), _ = read(exported(tmp_path, annotations=empty, predictions=predictions), FPS)
        assert [segment.score for segment in annotation.segments] == [0.5, 0.5]


def test_several_annotations_of_a_task_are_merged_with_a_warning(tmp_path):
    cancelled = {"result": [REGION, CHOICE], "was_cancelled": True}
    path = exported(tmp_path, annotations=[cancelled, {"result": [REGION]}, {"result": [REGION]}])
    (annotation,), (warning,) = read(path, FPS)
    assert len(annotation.segments) == 4
    assert "several annotations" in warning.message and warning.count == 1


@pytest.mark.parametrize(
    ("content", "code", "location"),
    [
        ('[{"data": {"video": "v"}}, {"data": {"video": "x/v.mp4"}}]', "duplicate-id", None),
        ('[{"data": {}}]', "invalid-value", "task 1"),
        ('[{"data": {"video": "v"}, "annotations": {}}]', "invalid-type", "task 1, annotations"),
        ('[{"data": {"video": "v"}, "annotations": [{}]}]', "missing-key", "task 1, annotations"),
        ('[{"data": {"video": "v"}, "annotations": [{"result": [{"value": 3}]}]}]', "invalid-type", "task 1, result 1"),
        ("7", "invalid-type", "task 1"),
        ("[" * 100_000, "invalid-json", None),
    ],
)
def test_invalid_tasks_are_rejected(content, code, location, tmp_path):
    path = tmp_path / "tasks.json"
    path.write_text(content)
    with raises(DataError, code=code, path=path, location=location):
        read(path, FPS)
