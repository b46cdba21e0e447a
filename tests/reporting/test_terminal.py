"""Predicted segments as text: lanes of characters and a list."""

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from wtal.core.structures import Segment
from wtal.inference.predict import VideoPrediction
from wtal.reporting.terminal import lane, render_timeline


@pytest.mark.parametrize(
    "times, expected",
    [
        ([(0, 10)], "██████████"),
        ([(2, 5)], "··███·····"),
        ([(0, 1), (9, 10)], "█········█"),
        ([(4, 4.01)], "····█·····"),
        ([(9.99, 10)], "·········█"),
        ([], "··········"),
    ],
)
def test_lane_marks_segments(times, expected):
    assert lane([Segment("a", *segment, 1.0) for segment in times], 0, 10, 10) == expected


@given(
    start=st.floats(0, 1e5),
    length=st.floats(0.04, 1e5),
    shares=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=5),
    width=st.integers(1, 120),
)
def test_lane_has_its_width_and_shows_every_segment(start, length, shares, width):
    segments = [Segment("a", start + min(s) * length, start + max(s) * length, 1.0) for s in shares]
    row = lane(segments, start, start + length, width)
    assert len(row) == width and ("█" in row) == bool(shares)


def render(prediction: VideoPrediction, width: int = 80) -> str:
    out = io.StringIO()
    render_timeline(prediction, prediction.proposals, Console(file=out, width=width))
    return out.getvalue()


def test_timeline_shows_lanes_and_times_and_no_markup():
    segments = (Segment("javelin", 10.0, 20.0, 0.8), Segment("[b]long jump[/nope]", 60.0, 90.0, 0.9))
    text = render(VideoPrediction("clip", Path("clip.mp4"), 0.0, 100.0, segments))
    assert "[b]long jump[/nope]" in text and "1:00" in text and "1:30" in text and "30.0 s" in text
    assert text.index("javelin") < text.index("long jump")
    assert text.count("javelin") == 2, "in a lane and in the list"
    assert max(map(len, text.splitlines())) <= 80


def test_timeline_without_segments():
    assert render(VideoPrediction("clip", Path("clip.mp4"), 0.0, 3.0)).splitlines() == ["clip  0:03", "  no segments"]


def test_long_label_does_not_hide_the_numbers():
    label = "a class with a very very very long name"
    *lanes, _, line = render(
        VideoPrediction("clip", Path("c"), 0.0, 3.0, (Segment(label, 1.0, 2.0, 0.9),)), 60
    ).splitlines()
    assert max(map(len, lanes)) <= 60 and line.endswith(f"0.90  {label}")
    assert line.index("0.90") < 45
