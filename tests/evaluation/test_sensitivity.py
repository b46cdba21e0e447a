"""Traits of ground-truth segments, and the normalized mAP of the segments of one size."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.evaluation import proposed, video
from wtal.evaluation.error_analysis import analyse
from wtal.evaluation.evaluate import prepare_scoring
from wtal.evaluation.matching import matched_segment
from wtal.evaluation.protocols import PROTOCOLS
from wtal.evaluation.sensitivity import (
    SIZE_BOUNDS,
    class_counts,
    coverages,
    distances,
    lengths,
    normalised_map,
    size_indices,
)

RUN = ("run", 10.0, 20.0)
spans = st.tuples(st.integers(0, 20), st.integers(1, 8)).map(lambda span: (span[0], span[0] + span[1]))


def test_traits_of_each_segment():
    film = video("v", ("a", 0.0, 0.5), ("a", 2.5, 10.0), ("b", 9.0, 9.5), ("a", 50.0, 100.0))
    assert lengths(film).tolist() == [0.5, 7.5, 0.5, 50]
    assert coverages(film).tolist() == [0.5, 7.5, 0.5, 50]
    assert class_counts(film).tolist() == [3, 3, 1, 3]
    assert distances(film).tolist() == [2, 0, 0, 40]
    assert distances(video("w", RUN)).tolist() == [np.inf]


@given(st.lists(spans, max_size=8))
def test_distance_is_to_the_nearest_other_segment(spans):
    film = video("v", *(("a", float(start), float(end)) for start, end in spans))
    expected = [
        min(
            (max(a.start - b.end, b.start - a.end, 0.0) for j, b in enumerate(film.segments) if i != j),
            default=np.inf,
        )
        for i, a in enumerate(film.segments)
    ]
    assert distances(film).tolist() == expected


def test_size_bound_belongs_to_the_smaller_size():
    assert SIZE_BOUNDS == (1, 3, 10, 30)
    values = np.array([0, 1, 4.3 - 3.3, 1.01, 3, 10, 30, 30.1, np.inf, np.nan])
    assert size_indices(values).tolist() == [0, 0, 0, 1, 1, 2, 3, 4, 4, -1]


def test_coverage_is_unknown_without_duration():
    analysis = analyse({}, [video("v", RUN, duration=None)])
    coverage = analysis.traits[1]
    assert coverage.unknown == 1 and not any(group.instances for group in coverage.groups)
    assert len(analysis.notes) == 1 and "coverage" in analysis.notes[0]


def test_normalised_map_of_two_classes():
    """Classes with 3 segments and 1, so N is 2. The single segment is found after a false positive."""
    truth = [video("v", ("a", 0, 1), ("a", 2, 3), ("a", 4, 5), ("b", 10, 11))]
    inputs = prepare_scoring({"v": proposed(("b", 50, 60), ("b", 10, 11))}, truth)
    matched = matched_segment(inputs.proposals, inputs.ground_truth, PROTOCOLS["activitynet"], (0.5,))
    single = inputs.ground_truth.label == 1
    assert normalised_map(inputs, matched, single, True) == pytest.approx(2 / 3)  # R N / (R N + 1) with R = 1
    assert normalised_map(inputs, matched, ~single, True) == 0
    assert normalised_map(inputs, matched, single | ~single, True) == pytest.approx(1 / 3)


def test_proposals_that_match_other_groups_are_ignored():
    truth = [video("v", ("a", 0, 1), ("a", 20, 40))]
    analysis = analyse({"v": proposed(("a", 20, 40), ("a", 0, 1))}, truth)
    assert [group.normalised_map for group in analysis.traits[0].groups] == [1, None, None, 1, None]
