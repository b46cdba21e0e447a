"""VIA 3 projects: media names, and projects that VIA saves."""

import json

import pytest

from tests.helpers.errors import raises
from wtal.core.errors import DataError
from wtal.core.structures import Segment
from wtal.data.annotations.base import Annotation
from wtal.data.annotations.via import read


@pytest.fixture
def project() -> dict:
    """A project as VIA saves it: one labeled segment and one box in a frame."""
    action = {"aname": "Action", "anchor_id": "FILE1_Z2_XY0", "type": 4, "options": {"r": "run", "j": "jump"}}
    box = {"aname": "box", "anchor_id": "FILE1_Z0_XY1", "type": 1, "options": {}}
    return {
        "project": {"vid_list": ["1", "2"]},
        "config": {},
        "attribute": {"9": box, "1": action},
        "file": {"1": {"fid": 1, "fname": "films/a.b.mp4"}, "2": {"fid": 2, "fname": "c"}},
        "view": {"1": {"fid_list": [1]}, "2": {"fid_list": ["2"]}},
        "metadata": {
            "1_x": {"vid": "1", "flg": 0, "z": [7.295, 35.045], "xy": [], "av": {"1": "r"}},
            "1_y": {"vid": "1", "flg": 0, "z": [3.0], "xy": [2, 1, 1, 5, 5], "av": {"9": "ball"}},
        },
    }


def test_reader_accepts_saved_projects(project, tmp_path):
    path = tmp_path / "via.json"
    path.write_text(json.dumps(project))
    annotations, (warning,) = read(path)
    assert annotations == [Annotation("a.b", (Segment("run", 7.295, 35.045),), file_name="a.b.mp4"), Annotation("c")]
    assert "not temporal segments" in warning.message and warning.count == 1


def test_other_attributes_are_ignored_with_a_warning(project, tmp_path):
    path = tmp_path / "via.json"
    project["attribute"]["2"] = {**project["attribute"]["1"], "aname": "Who", "options": {}}
    project["metadata"]["1_x"]["av"]["2"] = "Ann"
    path.write_text(json.dumps(project))
    annotations, warnings = read(path)
    assert annotations[0].segments == (Segment("run", 7.295, 35.045),)
    assert "other than a label and a score" in warnings[1].message and warnings[1].count == 1


def test_score_is_the_attribute_with_that_name(project, tmp_path):
    path = tmp_path / "via.json"
    project["attribute"] = {"5": {**project["attribute"]["1"], "aname": "Score"}, **project["attribute"]}
    project["metadata"]["1_x"]["av"]["5"] = "0.25"
    path.write_text(json.dumps(project))
    assert read(path).annotations[0].segments == (Segment("run", 7.295, 35.045, 0.25),)


@pytest.mark.parametrize(
    ("section", "value", "location"),
    [
        ("view", {"1": {"fid_list": []}}, "view, 1"),
        ("view", {"1": {"fid_list": [7]}}, "view, 1"),
        ("metadata", {"m": {"vid": 7, "z": [1, 2], "av": {}}}, "metadata, m"),
        ("metadata", {"m": {"vid": 1, "z": 3, "av": {}}}, "metadata, m"),
        ("metadata", {"m": {"vid": 1, "z": [1, 2], "av": {}}}, "metadata, m"),  # no label
        ("attribute", [], "attribute"),
    ],
)
def test_invalid_projects_are_rejected(project, section, value, location, tmp_path):
    path = tmp_path / "via.json"
    path.write_text(json.dumps({**project, section: value}))
    with raises(DataError, path=path, location=location):
        read(path)


def test_two_files_with_the_same_video_id_are_rejected(project, tmp_path):
    path = tmp_path / "via.json"
    project["file"]["2"]["fname"] = "other/a.b.mkv"
    path.write_text(json.dumps(project))
    with raises(DataError, code="duplicate-id", path=path):
        read(path)
