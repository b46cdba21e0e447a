"""Scores over seeds, and paired differences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wtal.experiments.statistics import Score, differences_of, overall, paired_difference

PAIRS = st.lists(st.tuples(*[st.floats(0, 100).map(lambda x: round(x, 3))] * 2), min_size=1, max_size=6)


def score(data: str, method: str, *averages: float) -> Score:
    return Score(data, method, averages, tuple((value,) * 7 for value in averages))


def test_mean_over_data_sets_is_computed_for_each_seed():
    scores = [
        score("a", "dfe", 10, 20),
        score("b", "dfe", 30, 20),
        score("a", "local", 0, 0),
        score("b", "local", 8, 4),
    ]
    dfe, local = overall(scores)
    assert dfe.averages == (20, 20) and dfe.spread == 0 and local.averages == (4, 2) and local.data == "mean"
    (difference,) = differences_of([local, dfe])
    assert (difference.method, difference.other, difference.mean) == ("dfe", "local", 17)


@settings(max_examples=25, deadline=None)
@given(PAIRS, st.floats(-50, 50))
def test_paired_difference_is_symmetric_and_shifts_with_the_values(pairs, shift):
    values, others = np.array(pairs).T
    mean, low, high = paired_difference(values, others)
    assert low - 1e-9 <= mean <= high + 1e-9
    assert mean == pytest.approx(values.mean() - others.mean(), abs=1e-6)
    reverse_mean, reverse_low, reverse_high = paired_difference(others, values)
    assert reverse_mean == pytest.approx(-mean, abs=1e-6)
    # Percentiles of a finite number of draws: both ends are symmetric up to the distance between draws.
    tolerance = 0.05 * np.ptp(values - others) + 1e-6
    assert (reverse_low, reverse_high) == pytest.approx((-high, -low), abs=tolerance)
    assert paired_difference(values + shift, others + shift) == pytest.approx((mean, low, high), abs=tolerance)
    assert paired_difference(values + shift, others)[0] == pytest.approx(mean + shift, abs=1e-6)
