"""Seconds and snippets are each other's inverse; tIoU is symmetric, between 0 and 1, and 1 for the same."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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


@given(gaps=st.lists(st.floats(0.01, 10), min_size=1, max_size=20), offset=TIMES, share=st.floats(0, 1))
def test_recorded_edges_hold_and_are_inverse_too(gaps, offset, share):
    edges = offset + np.cumsum([0.0, *gaps])
    clock = SnippetClock(1.0, edges=edges)
    np.testing.assert_array_equal(clock.seconds(np.arange(len(edges))), edges)
    snippet = share * len(gaps)
    assert clock.snippets(clock.seconds(snippet)) == pytest.approx(snippet, abs=1e-6)


@pytest.mark.parametrize("wrong", [(0.0, 0.0), (-1.0, 0.0), (np.nan, 0.0), (np.inf, 0.0), (1.0, np.nan)])
def test_a_clock_that_does_not_run_is_refused(wrong):
    with pytest.raises(DataError, match="use a stride above 0"):
        SnippetClock(*wrong)


@pytest.mark.parametrize("edges", [[0.0, 1.0, 1.0], [0.0, 2.0, 1.0], [0.0, np.nan, 2.0]])
def test_edges_that_do_not_ascend_are_refused(edges):
    with pytest.raises(DataError, match="do not ascend"):
        SnippetClock(1.0, edges=np.array(edges))


@pytest.mark.parametrize(
    "one, other, expected",
    [
        ("###...", "###...", 1),
        ("###...", "..###.", 1 / 5),
        ("######", "..##..", 1 / 3),
        ("##....", "..##..", 0),
        ("#.....", ".....#", 0),
    ],
)
def test_tiou_in_pictures(one, other, expected):
    (a, b), (c, d) = [(drawn.index("#"), drawn.rindex("#") + 1) for drawn in (one, other)]
    assert tiou(a, b, c, d) == pytest.approx(expected)


@given(one=INTERVALS, other=INTERVALS)
def test_tiou_is_symmetric_and_bounded_and_one_with_itself(one, other):
    shared = tiou(*one, *other)
    assert shared == tiou(*other, *one)
    assert 0 <= shared <= 1 + 1e-9
    assert tiou(*one, *one) == pytest.approx(1)


def test_no_times_are_too_far_apart_to_be_compared():
    far = np.finfo(np.float64).max
    assert tiou(-far, far, -far, far) == 1
    assert tiou(-far, far, 0, far) == pytest.approx(0.5)
    assert tiou(-far, -far / 2, far / 2, far) == 0


def test_empty_intervals_share_nothing_and_intervals_broadcast():
    assert tiou(2, 2, 2, 2) == 0
    starts, ends = np.array([0.0, 1.0, 5.0]), np.array([2.0, 3.0, 6.0])
    assert tiou(starts[:, None], ends[:, None], starts, ends).shape == (3, 3)
