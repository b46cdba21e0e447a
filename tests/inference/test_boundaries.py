import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wtal.inference.boundaries import MAX_MOVE, explained_variance, refine_boundaries

REACH = 0.15


def step(length, change, dims=6, noise=0.1, seed=0):
    """Features that change once, and class scores that change gradually around that time."""
    rng = np.random.default_rng(seed)
    features = rng.normal(0, noise, (length, dims)) + rng.normal(size=dims) * (np.arange(length) >= change)[:, None]
    probability = 1 / (1 + np.exp(-(np.arange(length) - change) / 3))
    return features, np.stack([probability, 1 - probability], 1)


@pytest.mark.parametrize("start", [17, 18, 20, 22, 23])
def test_boundary_moves_to_the_change_of_the_features(start):
    features, cas = step(40, 20)
    runs = np.array([[start, 40]])
    assert refine_boundaries(runs, features, cas, REACH).tolist() == [[20, 40]]


def test_boundary_does_not_move_further_than_allowed():
    features, cas = step(400, 200)
    moved = refine_boundaries(np.array([[180, 220], [100, 390]]), features, cas, REACH)
    assert moved[0, 0] <= 180 + 6 and moved[1, 0] <= 100 + MAX_MOVE


@given(length=st.integers(1, 50), dims=st.integers(1, 5), seed=st.integers(0, 999), reach=st.floats(0.01, 1))
def test_refined_runs_are_inside_the_video_and_not_empty(length, dims, seed, reach):
    rng = np.random.default_rng(seed)
    start = rng.integers(0, length, 20)
    runs = np.stack([start, start + 1 + rng.integers(0, length - start)], 1)
    features, cas = rng.normal(size=(length, dims)), rng.dirichlet(np.ones(3), length)
    refined = refine_boundaries(runs, features, cas, reach)
    assert np.all((refined[:, 0] >= 0) & (refined[:, 0] < refined[:, 1]) & (refined[:, 1] <= length))
    assert np.all(refined[runs[:, 0] == 0, 0] == 0) and np.all(refined[runs[:, 1] == length, 1] == length)
    limit = np.clip(np.rint(reach * np.diff(runs, axis=1)), 1, MAX_MOVE)
    assert np.all(np.abs(refined - runs) <= limit)


@given(seed=st.integers(0, 999), scale=st.sampled_from([0.01, 100.0]), offset=st.sampled_from([0.0, 30.0]))
def test_scale_offset_and_constant_dimensions_of_features_do_not_matter(seed, scale, offset):
    rng = np.random.default_rng(seed)
    features, cas = rng.normal(size=(30, 8)), rng.dirichlet(np.ones(3), 30)
    other = np.concatenate([features * scale + offset, np.full((30, 2), offset)], 1)
    runs = np.array([[3, 10], [12, 29], [5, 25]])
    np.testing.assert_array_equal(
        refine_boundaries(runs, features, cas, REACH), refine_boundaries(runs, other, cas, REACH)
    )


@given(seed=st.integers(0, 999))
def test_reversed_video_has_mirrored_runs(seed):
    rng = np.random.default_rng(seed)
    features, cas = rng.normal(size=(30, 4)), rng.dirichlet(np.ones(3), 30)
    runs = np.array([[3, 10], [12, 29], [5, 25]])
    forward = refine_boundaries(runs, features, cas, REACH)
    backward = refine_boundaries(30 - runs[:, ::-1], features[::-1], cas[::-1], REACH)
    np.testing.assert_array_equal(backward, 30 - forward[:, ::-1])


def test_boundaries_stay_where_nothing_changes():
    runs = np.array([[2, 7], [0, 10]])
    assert refine_boundaries(runs, np.full((10, 3), 7.0), np.full((10, 2), 0.5), REACH).tolist() == runs.tolist()


def test_no_runs_give_no_runs():
    none = np.zeros((0, 2), np.intp)
    assert refine_boundaries(none, np.zeros((5, 2)), np.full((5, 2), 0.5), REACH).shape == (0, 2)


@given(length=st.integers(2, 12), seed=st.integers(0, 999))
def test_explained_variance_equals_its_definition(length, seed):
    windows = np.random.default_rng(seed).normal(size=(3, length, 4))
    expected = np.zeros((3, length - 1))
    for row, window in enumerate(windows):
        total = ((window - window.mean(0)) ** 2).sum()
        for split in range(1, length):
            within = sum(((part - part.mean(0)) ** 2).sum() for part in (window[:split], window[split:]))
            expected[row, split - 1] = 1 - within / total
    np.testing.assert_allclose(explained_variance(windows), expected, atol=1e-9)
