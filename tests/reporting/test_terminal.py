"""The timeline as a terminal shows it."""

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from wtal.core.structures import Segment
from wtal.inference.video import VideoPrediction
from wtal.reporting.terminal import lane, render_timeline


@pytest.mark.parametrize(
    "spans, picture",
    [
        ([(0, 10)], "██████████"),
        ([(2, 5)], "··███·····"),
        ([(0, 1), (9, 10)], "█········█"),
        ([(4, 4.01)], "····█·····"),
        ([(9.99, 10)], "·········█"),
        ([], "··········"),
    ],
)
def test_lane(spans, picture):
    assert lane([Segment("a", *span, 1.0) for span in spans], 0, 10, 10) == picture


@given(
    start=st.floats(0, 1e5),
    length=st.floats(0.04, 1e5),
    spans=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=5),
    columns=st.integers(1, 120),
)
def test_a_lane_is_as_wide_as_it_should_be_and_shows_every_proposal(start, length, spans, columns):
    found = [Segment("a", start + min(s) * length, start + max(s) * length, 1.0) for s in spans]
    row = lane(found, start, start + length, columns)
    assert len(row) == columns and ("█" in row) == bool(spans)


def shown(timeline: VideoPrediction, width: int = 80) -> str:
    out = io.StringIO()
    render_timeline(timeline, timeline.proposals, Console(file=out, width=width))
    return out.getvalue()


def test_render_draws_lanes_and_times():
    proposals = (
        Segment("javelin", 10.0, 20.0, 0.8),
        Segment("[b]long jump[/nope]", 60.0, 90.0, 0.9),
    )
    said = shown(VideoPrediction("clip", Path("clip.mp4"), 0.0, 100.0, proposals))
    assert "[b]long jump[/nope]" in said and "1:00" in said and "1:30" in said and "30.0 s" in said
    assert said.index("javelin") < said.index("long jump"), "in the order of time"
    assert said.count("javelin") == 2, "a lane and a line"
    assert max(map(len, said.splitlines())) <= 80


def test_a_video_in_which_nothing_is_found_says_so():
    assert "nothing found" in shown(VideoPrediction("clip", Path("clip.mp4"), 0.0, 3.0))


def test_a_narrow_terminal_is_not_overflown():
    proposals = (Segment("a class with a very very very long name", 1.0, 2.0, 0.9),)
    *lanes, _, line = shown(VideoPrediction("clip", Path("c"), 0.0, 3.0, proposals), 60).splitlines()
    assert max(map(len, lanes)) <= 60 and line.endswith("0.90  a class with a very very very long name")
    assert line.index("0.90") < 45
