"""Average precision against plain definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wtal.evaluation.average_precision import (
    average_precision,
    mean_average_precision,
    precision_envelope,
    resampled_precision_sum,
)


def test_envelope_is_highest_precision_from_each_rank_on():
    precision = np.array([[0.5, 0.2, 0.4], [0.1, 0.3, 0.2]])
    assert precision_envelope(precision).tolist() == [[0.5, 0.4, 0.4], [0.3, 0.3, 0.2]]
    assert np.array_equal(precision_envelope(precision.T, axis=0), precision_envelope(precision).T)


@pytest.mark.parametrize("interpolated, expected", [(True, (2 / 3 + 2 / 3) / 4), (False, (0.5 + 2 / 3) / 4)])
def test_average_precision(interpolated, expected):
    hits = np.array([[False, True, True]])
    assert average_precision(hits, 4, interpolated) == pytest.approx(expected)


def test_average_precision_without_proposals_is_zero():
    assert average_precision(np.zeros((2, 0), bool), 3).tolist() == [0.0, 0.0]


@given(
    rows=st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 5)), max_size=30),
    interpolated=st.booleans(),
)
def test_resampled_precision_equals_precision_of_repeated_rows(rows, interpolated):
    hits = np.array([[hit for hit, _, _ in rows]], dtype=bool)
    copies = np.array([pair for _, *pair in rows], dtype=np.int64).reshape(-1, 2)  # N x draws
    result = resampled_precision_sum(hits, copies, interpolated)
    for draw, column in enumerate(copies.T):
        expected = average_precision(np.repeat(hits, column, axis=1), 1, interpolated)
        assert result[:, draw] == pytest.approx(expected, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_mean_average_precision_equals_mean_over_classes(seed, interpolated):
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(6), rng.integers(0, 30, 6))
    instances = rng.integers(0, 4, 6) + (np.arange(6) == 2)
    hits, kept = rng.random((2, len(label))) < 0.5
    hits &= instances[label] > 0
    expected = [
        average_precision(hits[None, (label == index) & (hits | kept)], count, interpolated)[0]
        for index, count in enumerate(instances)
        if count
    ]
    result = mean_average_precision(label, hits, kept & ~hits, instances, interpolated)
    assert result == pytest.approx(np.mean(expected))
