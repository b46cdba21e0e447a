"""Arithmetic of the timeline figure."""

import numpy as np
import pytest

from tests.helpers.errors import raises
from tests.helpers.timeline import make_timeline
from wtal.core.errors import DataError
from wtal.core.structures import Segment
from wtal.reporting.figures.layout import (
    assign_rows,
    opacities,
    proposal_rows,
    spread_positions,
    tick_step,
    truncate_text,
    value_range,
)


@pytest.mark.parametrize(
    "segments, rows",
    [([(0, 2), (2, 4)], [0, 0]), ([(1, 3), (0, 2)], [1, 0]), ([(0, 9)] * 6, [0, 1, 2, 3, 3, 3])],
)
def test_overlapping_segments_get_separate_rows(segments, rows):
    assert assign_rows([Segment("dive", *segment) for segment in segments]) == rows


def test_proposals_get_a_row_per_class_and_the_rest_share_the_last():
    proposals = [Segment(str(i), 0.0, 1.0, i / 10) for i in range(10)]
    rows = proposal_rows(make_timeline(proposals=proposals), ["2"])
    assert rows == {"2": 0, "9": 1, "8": 2, "7": 3, "6": 4, "5": 5, "4": 6, "3": 6, "1": 6, "0": 6}


def test_curves_of_different_lengths_are_rejected():
    with raises(DataError, code="shape-mismatch", location="video video_1"):
        make_timeline(attention=np.zeros(39))


def test_small_arithmetic():
    assert tick_step(0.64) == 0.1 and tick_step(312) == 60 and tick_step(100_000) == 10_800
    assert opacities([1.0, 1.0]).tolist() == [1, 1] and opacities([0.0, 5.0]).tolist() == [0.12, 1]
    assert value_range(np.array([[0.2, 0.9]])) == (0, 1) and value_range(np.array([[-2.5, 3.2]])) == (-3, 4)
    assert sorted(spread_positions([1.0, 1.0, 0.0], 0.5, 1.0)) == [0.0, 0.5, 1.0]
    assert truncate_text("abcdefgh", 4, len, min_length=3) == "abc…" and truncate_text("abcdefgh", 4, len) == ""
