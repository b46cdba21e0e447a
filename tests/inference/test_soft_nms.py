"""Soft-NMS in rounds: what one by one gives, scores only sink, and groups leave one another alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wtal.core.clock import tiou
from wtal.inference.proposals import overlapping_pairs, soft_nms


def one_by_one(segments, scores, sigma, min_score):
    """The plain form: choose the surest, lower all others, again."""
    scores, left, kept = scores.astype(float), np.ones(len(scores), bool), []
    while left.any():
        best = int(np.where(left, scores, -np.inf).argmax())
        if scores[best] < min_score:
            break
        left[best] = False
        kept.append(best)
        scores = np.where(left, scores * np.exp(-(tiou(*segments[best], *segments.T) ** 2) / sigma), scores)
    return kept, scores[kept]


def alone(segments, scores, sigma, min_score):
    return soft_nms(segments, scores, np.zeros(len(scores), int), sigma, min_score)


# Whole seconds, so that edges meet and segments and scores are often the same.
COARSE = st.lists(
    st.tuples(st.integers(0, 20), st.integers(1, 9), st.integers(0, 5), st.integers(0, 2)), max_size=40
).map(lambda rows: np.array(rows, float).reshape(-1, 4))


@given(COARSE, st.sampled_from([0.05, 0.3, 2.0]), st.sampled_from([0.0, 1e-3, 0.3]))
def test_rounds_choose_what_one_by_one_chooses(rows, sigma, min_score):
    segments = np.stack([rows[:, 0], rows[:, 0] + rows[:, 1]], 1)
    scores, groups = rows[:, 2] / 5, rows[:, 3].astype(int)
    kept, lowered = soft_nms(segments, scores, groups, sigma, min_score)
    assert lowered.tolist() == sorted(lowered, reverse=True)
    for group in range(3):
        (mine,) = np.nonzero(groups == group)
        expected, theirs = one_by_one(segments[mine], scores[mine], sigma, min_score)
        ours = groups[kept] == group
        assert set(kept[ours]) == set(mine[expected])
        found = dict(zip(kept[ours].tolist(), lowered[ours], strict=True))
        np.testing.assert_allclose([found[i] for i in mine[expected].tolist()], theirs, rtol=1e-12)


@given(COARSE)
def test_every_overlapping_pair_once(rows):
    segments, groups = np.stack([rows[:, 0], rows[:, 0] + rows[:, 1]], 1), rows[:, 3].astype(int)
    one, other = overlapping_pairs(segments, groups)
    shared = tiou(*segments.T[:, :, None], *segments.T[:, None]) > 0
    expected = np.argwhere(np.triu(shared & (groups[:, None] == groups), 1))
    assert sorted(map(sorted, zip(one.tolist(), other.tolist(), strict=True))) == expected.tolist()


SEGMENTS = st.lists(st.tuples(st.floats(0, 50), st.floats(0.1, 20), st.floats(1e-3, 2)), min_size=1, max_size=12).map(
    lambda rows: (np.array([(s, s + d) for s, d, _ in rows]), np.array([score for *_, score in rows]))
)


@given(SEGMENTS, st.floats(0.05, 2))
def test_soft_nms_only_lowers_and_leaves_the_best(found, sigma):
    segments, scores = found
    kept, lowered = alone(segments, scores, sigma, 0.0)
    assert sorted(kept.tolist()) == list(range(len(scores))), "each at most once; with no least score all of them"
    assert (lowered <= scores[kept]).all() and (lowered >= 0).all()
    assert lowered[0] == scores.max(), "the surest one is not lowered"
    assert (np.diff(lowered) <= 0).all(), "the surest first"
    some, above = alone(segments, scores, sigma, 0.1)
    assert (above >= 0.1).all() and some.tolist() == kept[: len(some)].tolist()


def test_a_single_segment_and_segments_apart_are_untouched():
    assert alone(np.array([[1.0, 2.0]]), np.array([0.4]), 0.3, 1e-3) == (
        pytest.approx([0]),
        pytest.approx([0.4]),
    )
    apart = np.array([[0.0, 1.0], [1.0, 2.0], [5.0, 6.0]])
    kept, scores = alone(apart, np.array([0.2, 0.9, 0.5]), 0.3, 1e-3)
    assert kept.tolist() == [1, 2, 0] and scores.tolist() == [0.9, 0.5, 0.2]


def test_segments_that_overlap_are_lowered_by_the_gaussian_and_none_are_none():
    twice = np.array([[1.0, 3.0], [1.0, 3.0]])
    kept, scores = alone(twice, np.array([0.8, 0.9]), 0.5, 0.0)
    assert kept.tolist() == [1, 0] and scores == pytest.approx([0.9, 0.8 * np.exp(-2)])
    kept, scores = alone(np.array([[0.0, 2.0], [1.0, 3.0]]), np.array([0.9, 0.8]), 0.5, 0.0)
    assert scores == pytest.approx([0.9, 0.8 * np.exp(-((1 / 3) ** 2) / 0.5)])
    kept, scores = alone(np.empty((0, 2)), np.empty(0), 0.5, 0.0)
    assert len(kept) == len(scores) == 0
