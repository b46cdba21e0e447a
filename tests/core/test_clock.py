"""Seconds and snippets are inverse; tIoU is symmetric, between 0 and 1, and 1 for equal intervals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.errors import raises
from wtal.core.clock import SnippetClock, tiou
from wtal.core.errors import DataError

TIMES = st.floats(-1e4, 1e4)
LENGTHS = st.floats(1e-3, 1e4)
INTERVALS = st.tuples(TIMES, LENGTHS).map(lambda pair: (pair[0], pair[0] + pair[1]))


@given(stride=st.floats(1e-3, 1e3), offset=TIMES, snippet=st.floats(0, 1e5))
def test_seconds_and_snippets_are_inverse(stride, offset, snippet):
    clock = SnippetClock(stride, offset)
    assert clock.snippets(clock.seconds(snippet)) == pytest.approx(snippet, rel=1e-9, abs=1e-6)
    assert clock.seconds(snippet + 1) - clock.seconds(snippet) == pytest.approx(stride, rel=1e-4, abs=1e-9)


@given(gaps=st.lists(st.floats(0.01, 10), min_size=1, max_size=20), offset=TIMES, fraction=st.floats(0, 1))
def test_recorded_times_replace_stride_and_are_inverse(gaps, offset, fraction):
    edges = offset + np.cumsum([0.0, *gaps])
    clock = SnippetClock(1.0, edges=edges)
    np.testing.assert_array_equal(clock.seconds(np.arange(len(edges))), edges)
    snippet = fraction * len(gaps)
    assert clock.snippets(clock.seconds(snippet)) == pytest.approx(snippet, abs=1e-6)


@pytest.mark.parametrize("arguments", [(0.0, 0.0), (-1.0, 0.0), (np.nan, 0.0), (np.inf, 0.0), (1.0, np.nan)])
def test_invalid_clock_is_rejected(arguments):
    with raises(DataError, code="invalid-value"):
        SnippetClock(*arguments)


@pytest.mark.parametrize("edges", [[0.0, 1.0, 1.0], [0.0, 2.0, 1.0], [0.0, np.nan, 2.0]])
def test_recorded_times_that_do_not_ascend_are_rejected(edges):
    with raises(DataError, code="invalid-value"):
        SnippetClock(1.0, edges=np.array(edges))


@pytest.mark.parametrize(
    "a, b, expected",
    [
        ("###...", "###...", 1),
        ("###...", "..###.", 1 / 5),
        ("######", "..##..", 1 / 3),
        ("##....", "..##..", 0),
        ("#.....", ".....#", 0),
    ],
)
def test_tiou_of_drawn_intervals(a, b, expected):
    (start, end), (other_start, other_end) = [(drawing.index("#"), drawing.rindex("#") + 1) for drawing in (a, b)]
    assert tiou(start, end, other_start, other_end) == pytest.approx(expected)


@given(a=INTERVALS, b=INTERVALS)
def test_tiou_is_symmetric_bounded_and_1_for_equal_intervals(a, b):
    assert tiou(*a, *b) == tiou(*b, *a)
    assert 0 <= tiou(*a, *b) <= 1 + 1e-9
    assert tiou(*a, *a) == pytest.approx(1)


def test_tiou_does_not_overflow():
    largest = np.finfo(np.float64).max
    assert tiou(-largest, largest, -largest, largest) == 1
    assert tiou(-largest, largest, 0, largest) == pytest.approx(0.5)
    assert tiou(-largest, -largest / 2, largest / 2, largest) == 0


def test_tiou_of_empty_intervals_is_0_and_intervals_are_broadcast():
    assert tiou(2, 2, 2, 2) == 0
    starts, ends = np.array([0.0, 1.0, 5.0]), np.array([2.0, 3.0, 6.0])
    assert tiou(starts[:, None], ends[:, None], starts, ends).shape == (3, 3)
