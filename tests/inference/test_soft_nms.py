"""Soft-NMS: equal to one-by-one selection, scores only decrease, and groups are independent."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wtal.core.clock import tiou
from wtal.inference.soft_nms import overlapping_pairs, soft_nms


def reference_soft_nms(segments, scores, sigma, min_score):
    """The definition: choose the highest-scoring segment, lower the scores of all others, repeat."""
    scores, is_left, kept = scores.astype(float), np.ones(len(scores), bool), []
    while is_left.any():
        best = int(np.where(is_left, scores, -np.inf).argmax())
        if scores[best] < min_score:
            break
        is_left[best] = False
        kept.append(best)
        scores = np.where(is_left, scores * np.exp(-(tiou(*segments[best], *segments.T) ** 2) / sigma), scores)
    return kept, scores[kept]


def soft_nms_of_class(segments, scores, sigma, min_score):
    return soft_nms(segments, scores, np.zeros(len(scores), int), sigma, min_score)


# Whole seconds, so that boundaries, segments and scores often coincide.
COARSE = st.lists(
    st.tuples(st.integers(0, 20), st.integers(1, 9), st.integers(0, 5), st.integers(0, 2)), max_size=40
).map(lambda rows: np.array(rows, float).reshape(-1, 4))


@given(COARSE, st.sampled_from([0.05, 0.3, 2.0]), st.sampled_from([0.0, 1e-3, 0.3]))
def test_soft_nms_equals_its_definition(rows, sigma, min_score):
    segments = np.stack([rows[:, 0], rows[:, 0] + rows[:, 1]], 1)
    scores, groups = rows[:, 2] / 5, rows[:, 3].astype(int)
    kept, lowered = soft_nms(segments, scores, groups, sigma, min_score)
    assert lowered.tolist() == sorted(lowered, reverse=True)
    for group in range(3):
        (members,) = np.nonzero(groups == group)
        expected, expected_scores = reference_soft_nms(segments[members], scores[members], sigma, min_score)
        in_group = groups[kept] == group
        assert set(kept[in_group]) == set(members[expected])
        score_of = dict(zip(kept[in_group].tolist(), lowered[in_group], strict=True))
        np.testing.assert_allclose([score_of[i] for i in members[expected].tolist()], expected_scores, rtol=1e-12)


@given(COARSE)
def test_overlapping_pairs_are_listed_once(rows):
    segments, groups = np.stack([rows[:, 0], rows[:, 0] + rows[:, 1]], 1), rows[:, 3].astype(int)
    first, second = overlapping_pairs(segments, groups)
    shared = tiou(*segments.T[:, :, None], *segments.T[:, None]) > 0
    expected = np.argwhere(np.triu(shared & (groups[:, None] == groups), 1))
    assert sorted(map(sorted, zip(first.tolist(), second.tolist(), strict=True))) == expected.tolist()


SEGMENTS = st.lists(st.tuples(st.floats(0, 50), st.floats(0.1, 20), st.floats(1e-3, 2)), min_size=1, max_size=12).map(
    lambda rows: (np.array([(s, s + d) for s, d, _ in rows]), np.array([score for *_, score in rows]))
)


@given(SEGMENTS, st.floats(0.05, 2))
def test_scores_decrease_except_the_highest(scored, sigma):
    segments, scores = scored
    kept, lowered = soft_nms_of_class(segments, scores, sigma, 0.0)
    assert sorted(kept.tolist()) == list(range(len(scores))), "without a minimum score all are kept, once"
    assert (lowered <= scores[kept]).all() and (lowered >= 0).all()
    assert lowered[0] == scores.max(), "the highest score stays"
    assert (np.diff(lowered) <= 0).all(), "sorted"
    subset, above = soft_nms_of_class(segments, scores, sigma, 0.1)
    assert (above >= 0.1).all() and subset.tolist() == kept[: len(subset)].tolist()


def test_segments_without_overlap_keep_their_scores():
    assert soft_nms_of_class(np.array([[1.0, 2.0]]), np.array([0.4]), 0.3, 1e-3) == (
        pytest.approx([0]),
        pytest.approx([0.4]),
    )
    separate = np.array([[0.0, 1.0], [1.0, 2.0], [5.0, 6.0]])
    kept, scores = soft_nms_of_class(separate, np.array([0.2, 0.9, 0.5]), 0.3, 1e-3)
    assert kept.tolist() == [1, 2, 0] and scores.tolist() == [0.9, 0.5, 0.2]


def test_overlapping_segments_are_lowered_by_the_gaussian():
    equal = np.array([[1.0, 3.0], [1.0, 3.0]])
    kept, scores = soft_nms_of_class(equal, np.array([0.8, 0.9]), 0.5, 0.0)
    assert kept.tolist() == [1, 0] and scores == pytest.approx([0.9, 0.8 * np.exp(-2)])
    kept, scores = soft_nms_of_class(np.array([[0.0, 2.0], [1.0, 3.0]]), np.array([0.9, 0.8]), 0.5, 0.0)
    assert scores == pytest.approx([0.9, 0.8 * np.exp(-((1 / 3) ** 2) / 0.5)])
    kept, scores = soft_nms_of_class(np.empty((0, 2)), np.empty(0), 0.5, 0.0)
    assert len(kept) == len(scores) == 0
