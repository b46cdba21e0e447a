"""ActivityNet's JSON files: annotations and proposals are read as they were written, and errors are located."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.errors import raises
from tests.helpers.strategies import videos
from wtal.core.errors import DataError
from wtal.core.structures import Segment
from wtal.data.layouts.activitynet import (
    parse_activitynet,
    read_activitynet,
    read_proposals,
    require_proposals_path,
    write_activitynet,
    write_proposals,
)

PROPOSAL = {"label": "Diving", "score": 0.5, "segment": [1.0, 2.0]}


# Annotations


def write_text(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "annotations.json"
    path.write_text(text, encoding="utf-8")
    return path


@settings(deadline=None, max_examples=60)
@given(expected=st.lists(videos(), max_size=4, unique_by=lambda video: video.id))
def test_annotations_roundtrip(tmp_path_factory, expected):
    path = tmp_path_factory.mktemp("round") / "annotations.json"
    write_activitynet(path, expected)
    assert read_activitynet(path) == expected


@pytest.mark.parametrize("name, subset", [("train", "training"), ("Val", "validation"), ("TEST", "testing")])
def test_subset_names_are_normalized(tmp_path, name, subset):
    assert read_activitynet(write_text(tmp_path, f'{{"v": {{"subset": "{name}"}}}}'))[0].subset == subset


@pytest.mark.parametrize(
    "text, code, location",
    [
        ("", "invalid-json", "line 1"),
        ('{"database":\n {"a": {"subset": "tra', "invalid-json", "line 2"),
        ("[" * 100_000, "invalid-json", None),
        ("[]", "missing-key", None),
        ('{"database": []}', "missing-key", None),
        ('{"results": {}}', "not-annotations", None),
        ('{"database": {"a": 1}}', "invalid-type", "a"),
        ('{"database": {"a": {"annotations": {}}}}', "invalid-type", "a"),
        ('{"database": {"a": {}, "a": {}}}', "duplicate-id", None),
        ('{"database": {"a": {"subset": 3}}}', "invalid-value", "a"),
        ('{"database": {"a": {"duration": "long"}}}', "invalid-value", "a"),
        ('{"database": {"a": {"duration": NaN}}}', "invalid-value", "a"),
        ('{"database": {"a": {"annotations": [{}]}}}', "missing-key", "a, annotation 1"),
        ('{"database": {"a": {"annotations": ["x"]}}}', "missing-key", "a, annotation 1"),
        ('{"database": {"a": {"annotations": [{"label": "x", "segment": [3, 1]}]}}}', "invalid-value", None),
        ('{"database": {"a": {"annotations": [{"label": "x", "segment": [NaN, 1]}]}}}', "invalid-value", None),
        ('{"database": {"a": {"annotations": [{"label": "x", "segment": [1, "end"]}]}}}', "invalid-value", None),
        ('{"database": {"a": {"annotations": [{"label": "x", "segment": 0}]}}}', "invalid-value", "a, annotation 1"),
    ],
)
def test_malformed_annotations_are_located(tmp_path, text, code, location):
    path = write_text(tmp_path, text)
    with raises(DataError, code=code, path=path, location=location):
        read_activitynet(path)


def test_each_problem_is_collected_and_the_rest_is_kept(tmp_path):
    path = write_text(tmp_path, '{"database": {"a": 1, "b": {"duration": -1}, "c": {}}}')
    parsed, problems = parse_activitynet(path)
    assert [(video.id, video.duration) for video in parsed] == [("b", None), ("c", None)]
    assert len(problems) == 2 and all(problem.fatal for problem in problems)


def test_public_annotations(shared):
    parsed = read_activitynet(shared("anet", "anet_anno_action.json"))
    assert (len(parsed), parsed[0].duration) == (19_228, 82.73)
    parsed = read_activitynet(shared("thumos14", "basnet_gt.json"))
    testing = [video for video in parsed if video.subset == "testing"]
    assert (len(testing), sum(len(video.segments) for video in testing)) == (210, 3311)


# Proposals


def write_results(tmp_path: Path, results: Any) -> Path:
    path = tmp_path / "proposals.json"
    path.write_text(json.dumps({"version": "1", "results": results, "external_data": {}}))
    return path


def test_proposals_roundtrip(tmp_path):
    proposals = {"a": [Segment("Diving", -0.5, 2.25, 0.1), Segment("Élan", 3.0, 3.0, -7.0)], "b": []}
    write_proposals(tmp_path / "out.json", proposals)
    assert read_proposals(tmp_path / "out.json") == proposals
    assert set(json.loads((tmp_path / "out.json").read_text())) == {"version", "results", "external_data"}


@pytest.mark.parametrize(
    "entry, expected",
    [
        ({"label": "x", "score": 1, "segment": [0, 2]}, Segment("x", 0.0, 2.0, 1.0)),
        ({"label": " x ", "score": "0.5", "segment": ["1", "2.5"]}, Segment(" x ", 1.0, 2.5, 0.5)),
    ],
)
def test_integers_and_strings_become_floats(tmp_path, entry, expected):
    (proposal,) = read_proposals(write_results(tmp_path, {"a": [entry]}))["a"]
    assert proposal == expected and isinstance(proposal.score, float)


@pytest.mark.parametrize(
    "entry, code",
    [
        ({**PROPOSAL, "segment": [2.0, 1.0]}, "invalid-value"),
        ({**PROPOSAL, "segment": [2.0]}, "invalid-value"),
        ({**PROPOSAL, "segment": [1, 2, 3]}, "invalid-value"),
        ({**PROPOSAL, "segment": None}, "invalid-value"),
        ({**PROPOSAL, "segment": "12"}, "invalid-value"),
        ({**PROPOSAL, "segment": ["1 s", "2"]}, "invalid-value"),
        ({**PROPOSAL, "segment": {"s": 1, "e": 2}}, "invalid-value"),
        ({**PROPOSAL, "segment": [0.0, float("inf")]}, "invalid-value"),
        ({**PROPOSAL, "score": float("nan")}, "invalid-value"),
        ({**PROPOSAL, "score": None}, "invalid-value"),
        ({**PROPOSAL, "score": True}, "invalid-value"),
        ({**PROPOSAL, "score": 10**400}, "invalid-value"),
        ({**PROPOSAL, "segment": [0, -(10**4200)]}, "invalid-value"),
        ({**PROPOSAL, "label": "\ud800"}, "invalid-unicode"),
        ({**PROPOSAL, "label": "x" * 200_000}, "invalid-value"),
        ({**PROPOSAL, "label": 3}, "invalid-value"),
        ({**PROPOSAL, "label": ""}, "invalid-value"),
        ({"score": 0.5, "segment": [1, 2]}, "missing-key"),
        ({"label": "x", "segment": [1, 2]}, "missing-key"),
        ({"label": "x", "score": 0.5}, "missing-key"),
        ([1, 2, 3], "invalid-type"),
        (None, "invalid-type"),
    ],
)
def test_malformed_proposal_is_located(tmp_path, entry, code):
    path = write_results(tmp_path, {"clip": [PROPOSAL, entry]})
    with raises(DataError, code=code, path=path, location="clip, proposal 2") as caught:
        read_proposals(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < len(str(path)) + 200


@pytest.mark.parametrize(
    "text, code",
    [
        ('{"version": "1", "results": {"a": [', "invalid-json"),
        ("", "invalid-json"),
        ("[]", "missing-key"),
        ('{"version": "1"}', "missing-key"),
        ('{"results": []}', "missing-key"),
        ('{"database": {}}', "not-proposals"),
        ('{"results": {"a": {"label": "x"}}}', "invalid-type"),
        ('{"results": {"%s": 3}}' % ("x" * 99_999), "invalid-type"),
        ('{"results": {"%s": []}}' % ("x" * 200_000), "invalid-value"),
        ('{"results": {"\\udfff": []}}', "invalid-unicode"),
        ('{"results": {"\\udfff": [], "\\udfff": []}}', "invalid-unicode"),
        ('{"results": {"": []}}', "invalid-value"),
        ('{"results": {"%s": [], "%s": []}}'.replace("%s", "x" * 999), "duplicate-id"),
        ('{"results": {"a": [{"label": "x", "score": %s, "segment": [0, 1]}]}}' % ("9" * 9000), "invalid-value"),
    ],
)
def test_malformed_file_is_rejected(tmp_path, text, code):
    path = tmp_path / "bad.json"
    path.write_text(text)
    with raises(DataError, code=code, path=path) as caught:
        read_proposals(path)
    assert len(str(caught.value)) < len(str(path)) + 200


def test_missing_file_is_reported(tmp_path):
    with raises(DataError, code="file-not-found", path=tmp_path / "none.json"):
        read_proposals(tmp_path / "none.json")


def test_only_proposals_are_overwritten(tmp_path):
    path = tmp_path / "proposals.json"
    require_proposals_path(path)
    write_proposals(path, {})
    require_proposals_path(path)
    with raises(DataError, code="output-is-input", path=path):
        require_proposals_path(path, [path])
    path.write_text('{"database": {}}')
    with raises(DataError, code="already-exists", path=path):
        require_proposals_path(path)


def test_output_path_may_be_loop_of_links(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with raises(DataError, code="output-is-input", path=tmp_path / "a"):
        require_proposals_path(tmp_path / "a", [tmp_path / "a"])
    with raises(DataError, code="not-a-directory"):
        require_proposals_path(tmp_path / "a/x", [tmp_path / "b"])
    require_proposals_path(tmp_path / "a", [tmp_path / "proposals.json"])
    write_proposals(tmp_path / "a", {})
    assert read_proposals(tmp_path / "a") == {}


@pytest.mark.parametrize("timeline, complete", [("complete", True), ("partial", False), (None, False)])
def test_timelines_roundtrip(tmp_path, timeline, complete):
    entry = {"subset": "training", "annotations": [{"label": "run", "segment": [2.5, 2.5]}]}
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps({"database": {"a": entry | ({"timeline": timeline} if timeline else {})}}))
    (video,) = read_activitynet(path)
    assert (video.complete, video.segments) == (complete, (Segment("run", 2.5, 2.5),)) and video.segments[0].is_point
    write_activitynet(tmp_path / "copy.json", [video])
    assert read_activitynet(tmp_path / "copy.json") == [video]


def test_complete_timeline_with_a_tag_without_times_is_partial(tmp_path):
    path = tmp_path / "annotations.json"
    rows = [{"label": "run", "segment": [1, 2]}, {"label": "jump"}]
    path.write_text(
        json.dumps({"database": {"a": {"subset": "training", "annotations": rows, "timeline": "complete"}}})
    )
    (video,), (problem,) = parse_activitynet(path)
    assert not video.complete and video.labels == ("jump", "run")
    assert (problem.code, problem.location, problem.fatal) == ("incomplete", "a", False)


@pytest.mark.parametrize("timeline", ["whole", 1, None, [], True], ids=str)
def test_unknown_timeline_is_an_error(tmp_path, timeline):
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps({"database": {"a": {"subset": "training", "annotations": [], "timeline": timeline}}}))
    with raises(DataError, code="invalid-value", path=path, location="a"):
        read_activitynet(path)
