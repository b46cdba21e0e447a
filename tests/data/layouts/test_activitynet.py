"""Result files: what is written is read; what is wrong is named."""

import json

import pytest

from wtal.core.errors import DataError
from wtal.core.structures import Segment
from wtal.data.layouts.activitynet import read_proposals, require_proposals_path, write_proposals

GOOD = {"label": "Diving", "score": 0.5, "segment": [1.0, 2.0]}


def written(tmp_path, results):
    path = tmp_path / "proposals.json"
    path.write_text(json.dumps({"version": "1", "results": results, "external_data": {}}))
    return path


def test_what_is_written_is_read(tmp_path):
    proposals = {"a": [Segment("Diving", -0.5, 2.25, 0.1), Segment("Élan", 3.0, 3.0, -7.0)], "b": []}
    write_proposals(tmp_path / "out.json", proposals)
    assert read_proposals(tmp_path / "out.json") == proposals
    assert set(json.loads((tmp_path / "out.json").read_text())) == {"version", "results", "external_data"}


def test_whole_numbers_become_floats(tmp_path):
    path = written(tmp_path, {"a": [{"label": "x", "score": 1, "segment": [0, 2]}]})
    (proposal,) = read_proposals(path)["a"]
    assert proposal == Segment("x", 0.0, 2.0, 1.0)
    assert isinstance(proposal.score, float)


def test_empty_results_are_results(tmp_path):
    assert read_proposals(written(tmp_path, {})) == {}


@pytest.mark.parametrize(
    "entry, said",
    [
        ({**GOOD, "segment": [2.0, 1.0]}, "ends at 1.0 s before it starts at 2.0 s"),
        ({**GOOD, "segment": [2.0]}, "segment is [2.0]"),
        ({**GOOD, "segment": [1, 2, 3]}, "segment is [1, 2, 3]"),
        ({**GOOD, "segment": None}, "segment is None"),
        ({**GOOD, "segment": "12"}, "segment is '12'"),
        ({**GOOD, "segment": ["1 s", "2"]}, "start is '1 s'"),
        ({**GOOD, "segment": {"s": 1, "e": 2}}, "segment is {'s': 1, 'e': 2}"),
        ({**GOOD, "segment": [0.0, float("inf")]}, "end is inf"),
        ({**GOOD, "score": float("nan")}, "score is nan"),
        ({**GOOD, "score": None}, "score is None"),
        ({**GOOD, "score": True}, "score is True"),
        ({**GOOD, "score": 10**400}, "score is 1000"),
        ({**GOOD, "segment": [0, -(10**4200)]}, "end is -1000"),
        ({**GOOD, "label": "\ud800"}, "label '\\ud800' holds half a character"),
        ({**GOOD, "label": "x" * 200_000}, "has 200,000 letters; shorten it"),
        ({**GOOD, "label": 3}, "label is 3"),
        ({**GOOD, "label": ""}, "label is ''"),
        ({"score": 0.5, "segment": [1, 2]}, 'has no "label"'),
        ({"label": "x", "segment": [1, 2]}, 'has no "score"'),
        ({"label": "x", "score": 0.5}, 'has no "segment"'),
        ([1, 2, 3], "is [1, 2, 3]"),
        (None, "is None"),
    ],
)
def test_a_bad_entry_is_named(tmp_path, entry, said):
    path = written(tmp_path, {"clip": [GOOD, entry]})
    with pytest.raises(DataError) as caught:
        read_proposals(path)
    assert str(caught.value).startswith(f"{path}, clip, proposal 2: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < len(str(path)) + 200


@pytest.mark.parametrize(
    "text, said",
    [
        ('{"version": "1", "results": {"a": [', "line 1: not valid JSON"),
        ("", "not valid JSON"),
        ("[]", 'has no "results"'),
        ('{"version": "1"}', 'has no "results"'),
        ('{"results": []}', 'has no "results"'),
        ('{"results": {"a": {"label": "x"}}}', "a: is not a list of proposals"),
        ('{"results": {"%s": 3}}' % ("x" * 99_999), "xxx ...: is not a list of proposals"),
        ('{"results": {"%s": []}}' % ("x" * 200_000), "xxx ... has 200,000 letters; shorten it"),
        ('{"results": {"\\udfff": []}}', "id '\\udfff' holds half a character"),
        ('{"results": {"\\udfff": [], "\\udfff": []}}', "id '\\udfff' holds half a character"),
        ('{"results": {"": []}}', "id is ''"),
        ('{"results": {"%s": [], "%s": []}}'.replace("%s", "x" * 999), 'xxx ..." appears twice'),
        (
            '{"results": {"a": [{"label": "x", "score": %s, "segment": [0, 1]}]}}' % ("9" * 9000),
            "a, proposal 1: score is inf; use a finite number",
        ),
    ],
)
def test_a_bad_file_is_named(tmp_path, text, said):
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"bad\.json") as caught:
        read_proposals(path)
    assert said in str(caught.value) and len(str(caught.value)) < len(str(path)) + 200


def test_a_loop_of_links_is_a_place_like_another(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(DataError, match="is one of the files to be read"):
        require_proposals_path(tmp_path / "a", [tmp_path / "a"])
    with pytest.raises(DataError, match="nothing can be written in"):
        require_proposals_path(tmp_path / "a/x", [tmp_path / "b"])
    require_proposals_path(tmp_path / "a", [tmp_path / "proposals.json"])
    write_proposals(tmp_path / "a", {})
    assert read_proposals(tmp_path / "a") == {}


def test_numbers_as_text_are_numbers_as_in_annotations(tmp_path):
    path = written(tmp_path, {"a": [{"label": " x ", "score": "0.5", "segment": ["1", "2.5"]}]})
    assert read_proposals(path) == {"a": [Segment(" x ", 1.0, 2.5, 0.5)]}


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.json: there is no such file"):
        read_proposals(tmp_path / "none.json")
