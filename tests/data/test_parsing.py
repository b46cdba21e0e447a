"""Checks of values read from files."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.errors import raises
from wtal.core.errors import DataError
from wtal.core.structures import Segment
from wtal.data.parsing import (
    MAX_SECONDS,
    Location,
    parse_list,
    parse_name,
    parse_number,
    parse_object,
    parse_seconds,
    parse_segment,
)


@pytest.fixture
def location(tmp_path):
    return Location(tmp_path / "file", "line 3")


@pytest.mark.parametrize("value", [1.5, "1.5", " 1.5 ", "15e-1"])
def test_numbers_may_be_text(value, location):
    assert parse_number(location, value, "score") == 1.5


def test_negative_zero_becomes_zero(location):
    assert math.copysign(1, parse_number(location, -0.0, "score")) == 1
    assert math.copysign(1, parse_number(location, "-0", "score")) == 1


@pytest.mark.parametrize("value", [None, True, "", "x", "1_0", "nan", math.inf, 10**400, [1], {}])
def test_other_values_are_not_numbers(value, location):
    with raises(DataError, code="invalid-value", path=location.path, location="line 3"):
        parse_number(location, value, "score")


@pytest.mark.parametrize("value", [-0.1, MAX_SECONDS + 1, "-1"])
def test_times_out_of_range_are_rejected(value, location):
    with raises(DataError, code="invalid-value"):
        parse_seconds(location, value, "start")


def test_names_are_stripped(location):
    assert parse_name(location, "  long jump\n", "label") == "long jump"


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("", "invalid-value"),
        (" ", "invalid-value"),
        (3, "invalid-value"),
        (None, "invalid-value"),
        ("x" * 100_001, "invalid-value"),
        ("a\ud800", "invalid-unicode"),
    ],
)
def test_invalid_names_are_rejected(value, code, location):
    with raises(DataError, code=code, path=location.path, location="line 3"):
        parse_name(location, value, "label")


HIDDEN_LABELS = [
    *("\u200b", "r\u200bun", "\u202enur", "run\u2066", "\ufeffrun", "ru\u00adn", "\u200e run", "\U000e0041run"),
    *("\u3164", "\u2800", "\u200d", "\u0301"),
]


@pytest.mark.parametrize("label", HIDDEN_LABELS)
def test_labels_that_cannot_be_seen_are_rejected(label, location):
    with raises(DataError, code="hidden-character", path=location.path, location="line 3"):
        parse_segment(location, label, 1, 2)


@pytest.mark.parametrize("label", ["跳远 🏃", "👨\u200d👩\u200d👧", "می\u200cخواهم", "e\u0301", "a\tb", "❤\ufe0f"])
def test_labels_of_any_language_are_accepted(label, location):
    assert parse_segment(location, label, 1, 2).label == label


def test_segments_are_checked(location):
    assert parse_segment(location, " run ", "1", 2) == Segment("run", 1.0, 2.0)
    assert parse_segment(location, "run", 1, 1, "0.5") == Segment("run", 1.0, 1.0, 0.5)
    with raises(DataError, code="invalid-value", location="line 3"):
        parse_segment(location, "run", 2, 1)


def test_json_types_and_keys_are_checked(location):
    assert parse_object(location, {"a": 1}, ["a"]) == {"a": 1}
    assert parse_list(location, []) == []
    with raises(DataError, code="missing-key", location="line 3"):
        parse_object(location, {}, ["a"])
    with raises(DataError, code="invalid-type", location="line 3"):
        parse_object(location, [])
    with raises(DataError, code="invalid-type", location="line 3"):
        parse_list(location, {})


@given(st.text())
def test_errors_are_one_short_line(name):
    error = Location(None).child(name).child("segment 1").error("is wrong", "fix it")
    assert len(str(error).splitlines()) == 1 and len(str(error)) < 200
