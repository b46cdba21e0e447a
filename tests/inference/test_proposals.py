"""From snippet scores to proposals: candidate runs, contrast, order, symmetry in time, recorded snippet times."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wtal.core.clock import SnippetClock
from wtal.core.config import LocalizeConfig
from wtal.inference.proposals import (
    MIN_REMAINING_FRACTION,
    MIN_SUPPORT,
    SnippetScores,
    candidates,
    confident_classes,
    generate_proposals,
    is_supported,
    outer_inner_contrast,
    runs_of_true,
)

CLOCK = SnippetClock(0.5, 2.0)
CLASSES = ("jump", "throw")


def mask_of(text: str) -> np.ndarray:
    return np.array([mark == "#" for mark in text])


def random_scores(length: int, seed: int, flat: bool = False) -> SnippetScores:
    rng = np.random.default_rng(seed)
    attention, cas, video = rng.random(length), rng.random((length, 3)), rng.random(2)
    if flat:
        attention[:], cas[:] = attention[0], cas[0]
    return SnippetScores(attention, cas / cas.sum(1, keepdims=True), video / video.sum())


@pytest.mark.parametrize(
    "text, expected",
    [
        ("..###..", [(2, 5)]),
        ("#....##", [(0, 1), (5, 7)]),
        ("#.#.#", [(0, 1), (2, 3), (4, 5)]),
        ("#######", [(0, 7)]),
        (".......", []),
        ("#", [(0, 1)]),
        (".", []),
        ("", []),
    ],
)
def test_runs_of_true(text, expected):
    rows, runs = runs_of_true(mask_of(text)[None])
    assert [tuple(run) for run in runs.tolist()] == expected and rows.tolist() == [0] * len(expected)


@given(st.lists(st.booleans(), max_size=40))
def test_runs_cover_exactly_what_is_true(mask):
    _, runs = runs_of_true(np.array(mask, dtype=bool)[None])
    covered = np.zeros(len(mask), bool)
    for start, end in runs:
        assert start < end and not covered[max(0, start - 1) : end].any(), "runs do not touch"
        covered[start:end] = True
    assert covered.tolist() == mask


def test_candidates_are_the_runs_above_each_threshold():
    curve = np.array([0.1, 0.6, 0.9, 0.6, 0.1])
    rows, runs = candidates(np.stack([curve, curve[::-1] + 0.3]), (0.5, 0.8, 0.95))
    assert sorted(zip(rows.tolist(), runs.tolist(), strict=True)) == [
        (0, [1, 4]),
        (0, [2, 3]),
        (1, [1, 4]),
        (1, [1, 4]),
        (1, [2, 3]),
    ]
    rows, runs = candidates(curve[None], ())
    assert rows.shape == (0,) and runs.shape == (0, 2)


@pytest.mark.parametrize(
    "curve, run, flank, expected",
    [
        ([0, 0, 1, 1, 0, 0], (2, 4), 0.25, 1),  # nothing outside
        ([1, 1, 1, 1, 1, 1], (2, 4), 0.25, 0),  # the same outside
        ([0, 4, 1, 1, 2, 0], (2, 4), 0.25, 1 - 3),  # at least one snippet on each side
        ([4, 0, 1, 1, 2, 2], (2, 4), 1.0, 1 - (4 + 0 + 2 + 2) / 4),  # two on each side
        ([1, 1, 3, 0], (0, 2), 0.25, 1 - 3),  # at the start only the right flank counts
        ([0, 3, 1, 1], (2, 4), 0.25, 1 - 3),  # and at the end the left one
        ([9, 9, 0, 2, 2], (3, 5), 5.0, 2 - 18 / 3),  # a flank ends where the video ends
        ([0.2, 0.4], (0, 2), 0.25, 0.3),  # the whole video: the outer mean is 0
        ([0.7], (0, 1), 0.25, 0.7),
    ],
)
def test_outer_inner_contrast(curve, run, flank, expected):
    contrast = outer_inner_contrast(np.array([curve], dtype=float), np.array([0]), np.array([run]), flank)
    assert contrast == pytest.approx([expected])


@pytest.mark.parametrize(
    "evidence, threshold, expected",
    [
        ([[0.5, 0.1, 0.1], [0.0, 0.4, 0.1]], 0.3, [0, 1]),  # each is high in another snippet
        ([[0.5, 0.4, 0.1]], 0.9, [0]),
        ([[0.2, 0.6]], 0.6, [1]),
        ([[0.2, 0.2], [0.0, 0.1]], 0.0, [0, 1]),
    ],
)
def test_confident_classes_pass_the_threshold_or_are_best(evidence, threshold, expected):
    assert confident_classes(np.array(evidence), threshold).tolist() == expected


def test_clear_actions_are_the_first_proposals():
    jump, throw = mask_of("...####..........."), mask_of("............###...")
    cas = np.stack([0.9 * jump + 0.02, 0.9 * throw + 0.02, 0.9 * ~(jump | throw) + 0.02], 1)
    scores = SnippetScores(0.9 * (jump | throw) + 0.05, cas / cas.sum(1, keepdims=True), np.array([0.5, 0.5]))
    proposals = generate_proposals(scores, CLASSES, CLOCK, LocalizeConfig())
    best = {label: next(p for p in proposals if p.label == label) for label in CLASSES}
    assert (best["jump"].start, best["jump"].end) == (2.0 + 3 * 0.5, 2.0 + 7 * 0.5)
    assert (best["throw"].start, best["throw"].end) == (2.0 + 12 * 0.5, 2.0 + 15 * 0.5)
    assert {p.label for p in proposals[:2]} == set(CLASSES)


def test_attention_gives_candidates_but_not_evidence():
    scores = random_scores(12, 0)
    assert np.array_equal(scores.evidence, scores.cas[:, :-1])
    cas_only = LocalizeConfig(attention_thresholds=())
    other = SnippetScores(np.zeros(12), scores.cas, scores.video)
    assert (
        generate_proposals(scores, CLASSES, CLOCK, cas_only)
        == generate_proposals(other, CLASSES, CLOCK, cas_only)
        != []
    )


@given(length=st.integers(1, 40), seed=st.integers(0, 999), flat=st.booleans())
def test_proposals_are_sorted_unique_and_inside_the_video(length, seed, flat):
    proposals = generate_proposals(random_scores(length, seed, flat), CLASSES, CLOCK, LocalizeConfig())
    start, end = CLOCK.seconds([0, length])
    assert all(start <= p.start < p.end <= end and p.label in CLASSES and np.isfinite(p.score) for p in proposals)
    assert [p.score for p in proposals] == sorted((p.score for p in proposals), reverse=True)
    assert len({(p.label, p.start, p.end) for p in proposals}) == len(proposals), "no duplicates"
    assert all(type(value) is float for p in proposals for value in (p.start, p.end, p.score)), (
        "JSON needs plain floats"
    )


@given(length=st.integers(1, 40), seed=st.integers(0, 999))
def test_reversed_video_has_mirrored_proposals(length, seed):
    scores = random_scores(length, seed)
    reversed_scores = SnippetScores(scores.attention[::-1], scores.cas[::-1], scores.video)
    forward, backward = (generate_proposals(s, CLASSES, CLOCK, LocalizeConfig()) for s in (scores, reversed_scores))
    total = float(CLOCK.seconds([0, length]).sum())
    expected = sorted((p.label, round(p.start, 6), round(p.end, 6), p.score) for p in forward)
    mirrored = sorted((p.label, round(total - p.end, 6), round(total - p.start, 6), p.score) for p in backward)
    assert [row[:3] for row in mirrored] == [row[:3] for row in expected]
    np.testing.assert_allclose([row[3] for row in mirrored], [row[3] for row in expected], atol=1e-9)


@given(length=st.integers(1, 40), seed=st.integers(0, 999))
def test_what_is_left_of_a_proposal_without_overlaps_has_evidence(length, seed):
    """Pieces that `remove_overlaps` may leave: those of 70 % at the start, in the middle and at the end."""
    rng = np.random.default_rng(seed)
    evidence = rng.random((1, length)) ** 8  # few high values
    start = rng.integers(0, length, 20)
    runs = np.stack([start, start + 1 + rng.integers(0, length - start)], 1)
    supported = is_supported(evidence, np.zeros(20, np.intp), runs)
    for (first, last), is_kept in zip(runs.tolist(), supported, strict=True):
        size = int(np.ceil(MIN_REMAINING_FRACTION * (last - first)))
        pieces = first, first + (last - first - size) // 2, last - size
        lowest = min(evidence[0, piece : piece + size].mean() for piece in pieces)
        assert is_kept == (lowest >= MIN_SUPPORT * evidence[0, first:last].mean() - 1e-12)


def test_low_plateau_beside_a_peak_is_no_proposal():
    curve = np.array([[0, 0.06, 0.06, 0.06, 0.06, 0.06, 0.06, 0.06, 1, 1, 0]])
    runs = np.array([[1, 10], [8, 10], [1, 8]])
    assert is_supported(curve, np.zeros(3, np.intp), runs).tolist() == [False, True, True]


def test_features_refine_the_boundaries_without_duplicates():
    scores = random_scores(40, 3)
    features = np.random.default_rng(0).normal(size=(40, 5))
    refined = generate_proposals(scores, CLASSES, CLOCK, LocalizeConfig(), features)
    assert refined != generate_proposals(scores, CLASSES, CLOCK, LocalizeConfig())
    assert len({(p.label, p.start, p.end) for p in refined}) == len(refined)
    unrefined = generate_proposals(scores, CLASSES, CLOCK, LocalizeConfig(boundary_reach=0), features)
    assert unrefined == generate_proposals(scores, CLASSES, CLOCK, LocalizeConfig())


def test_flat_scores_propose_the_whole_video_or_nothing():
    flat = SnippetScores(np.full(6, 0.55), np.full((6, 3), 1 / 3), np.array([0.5, 0.5]))
    proposals = generate_proposals(flat, CLASSES, CLOCK, LocalizeConfig())
    assert {(p.start, p.end) for p in proposals} == {(2.0, 5.0)} and len(proposals) == 2
    assert generate_proposals(SnippetScores(np.zeros(6), flat.cas, flat.video), CLASSES, CLOCK, LocalizeConfig()) == []


def test_single_snippet_is_a_valid_video():
    scores = SnippetScores(np.array([0.9]), np.array([[0.8, 0.1, 0.1]]), np.array([0.9, 0.1]))
    best = generate_proposals(scores, CLASSES, CLOCK, LocalizeConfig())[0]
    assert (best.label, best.start, best.end) == ("jump", 2.0, 2.5)


def test_recorded_snippet_times_are_used():
    clock = SnippetClock(1.0, edges=np.array([0.0, 1.0, 5.0, 5.5]))
    scores = SnippetScores(np.array([0.05, 0.95, 0.05]), np.full((3, 3), 1 / 3), np.array([1.0, 0.0]))
    assert {(p.start, p.end) for p in generate_proposals(scores, CLASSES, clock, LocalizeConfig())} == {(1.0, 5.0)}


def test_no_thresholds_give_no_proposals():
    settings = LocalizeConfig(attention_thresholds=(), evidence_thresholds=())
    assert generate_proposals(random_scores(9, 0), CLASSES, CLOCK, settings) == []
