"""From scores to proposals: runs drawn, contrast by hand, soft-NMS that only lowers, and time has no direction."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wtal.core.clock import SnippetClock
from wtal.core.config import LocalizeConfig
from wtal.inference.proposals import (
    SnippetScores,
    candidates,
    confident_classes,
    generate_proposals,
    outer_inner_contrast,
    runs,
)

CLOCK = SnippetClock(0.5, 2.0)
CLASSES = ("jump", "throw")


def drawn(picture: str) -> np.ndarray:
    return np.array([mark == "#" for mark in picture])


def random_scores(length: int, seed: int, flat: bool = False) -> SnippetScores:
    rng = np.random.default_rng(seed)
    attention, cas, video = rng.random(length), rng.random((length, 3)), rng.random(2)
    if flat:
        attention[:], cas[:] = attention[0], cas[0]
    return SnippetScores(attention, cas / cas.sum(1, keepdims=True), video / video.sum())


@pytest.mark.parametrize(
    "picture, expected",
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
def test_runs(picture, expected):
    rows, found = runs(drawn(picture)[None])
    assert [tuple(run) for run in found.tolist()] == expected and rows.tolist() == [0] * len(expected)


@given(st.lists(st.booleans(), max_size=40))
def test_runs_cover_what_is_true_and_nothing_else(mask):
    _, found = runs(np.array(mask, dtype=bool)[None])
    covered = np.zeros(len(mask), bool)
    for start, end in found:
        assert start < end and not covered[max(0, start - 1) : end].any(), "runs do not touch"
        covered[start:end] = True
    assert covered.tolist() == mask


def test_candidates_are_the_runs_above_each_threshold():
    curve = np.array([0.1, 0.6, 0.9, 0.6, 0.1])
    rows, found = candidates(np.stack([curve, curve[::-1] + 0.3]), (0.5, 0.8, 0.95))
    assert sorted(zip(rows.tolist(), found.tolist(), strict=True)) == [
        (0, [1, 4]),
        (0, [2, 3]),
        (1, [1, 4]),
        (1, [1, 4]),
        (1, [2, 3]),
    ]
    rows, found = candidates(curve[None], ())
    assert rows.shape == (0,) and found.shape == (0, 2)


@pytest.mark.parametrize(
    "curve, run, flank, expected",
    [
        ([0, 0, 1, 1, 0, 0], (2, 4), 0.25, 1),  # nothing outside
        ([1, 1, 1, 1, 1, 1], (2, 4), 0.25, 0),  # as much outside
        ([0, 4, 1, 1, 2, 0], (2, 4), 0.25, 1 - 3),  # one snippet each side, at the least
        ([4, 0, 1, 1, 2, 2], (2, 4), 1.0, 1 - (4 + 0 + 2 + 2) / 4),  # two each side
        ([1, 1, 3, 0], (0, 2), 0.25, 1 - 3),  # at the left edge only the right flank counts
        ([0, 3, 1, 1], (2, 4), 0.25, 1 - 3),  # and at the right edge the left one
        ([9, 9, 0, 2, 2], (3, 5), 5.0, 2 - 18 / 3),  # a flank ends where the video does
        ([0.2, 0.4], (0, 2), 0.25, 0.3),  # the whole video: outside counts as 0
        ([0.7], (0, 1), 0.25, 0.7),
    ],
)
def test_outer_inner_contrast_by_hand(curve, run, flank, expected):
    contrast = outer_inner_contrast(np.array([curve], dtype=float), np.array([0]), np.array([run]), flank)
    assert contrast == pytest.approx([expected])


@pytest.mark.parametrize(
    "video, threshold, expected",
    [([0.5, 0.4, 0.1], 0.3, [0, 1]), ([0.5, 0.4, 0.1], 0.9, [0]), ([0.2, 0.6], 0.6, [1])],
)
def test_classes_that_pass_or_the_best_one(video, threshold, expected):
    assert confident_classes(np.array(video), threshold).tolist() == expected


def test_an_action_that_is_plain_to_see_is_the_first_proposal():
    jump, throw = drawn("...####..........."), drawn("............###...")
    cas = np.stack([0.9 * jump + 0.02, 0.9 * throw + 0.02, 0.9 * ~(jump | throw) + 0.02], 1)
    scores = SnippetScores(0.9 * (jump | throw) + 0.05, cas / cas.sum(1, keepdims=True), np.array([0.5, 0.5]))
    found = generate_proposals(scores, CLASSES, CLOCK, LocalizeConfig())
    surest = {label: next(p for p in found if p.label == label) for label in CLASSES}
    assert (surest["jump"].start, surest["jump"].end) == (2.0 + 3 * 0.5, 2.0 + 7 * 0.5)
    assert (surest["throw"].start, surest["throw"].end) == (2.0 + 12 * 0.5, 2.0 + 15 * 0.5)
    assert {p.label for p in found[:2]} == set(CLASSES)


def test_evidence_is_each_class_s_probability_and_attention_only_proposes():
    scores = random_scores(12, 0)
    assert np.array_equal(scores.evidence, scores.cas[:, :-1])
    drawn_by_cas = LocalizeConfig(attention_thresholds=())
    other = SnippetScores(np.zeros(12), scores.cas, scores.video)
    assert (
        generate_proposals(scores, CLASSES, CLOCK, drawn_by_cas)
        == generate_proposals(other, CLASSES, CLOCK, drawn_by_cas)
        != []
    )


@given(length=st.integers(1, 40), seed=st.integers(0, 999), flat=st.booleans())
def test_proposals_lie_in_the_video_the_surest_first(length, seed, flat):
    found = generate_proposals(random_scores(length, seed, flat), CLASSES, CLOCK, LocalizeConfig())
    start, end = CLOCK.seconds([0, length])
    assert all(start <= p.start < p.end <= end and p.label in CLASSES and np.isfinite(p.score) for p in found)
    assert [p.score for p in found] == sorted((p.score for p in found), reverse=True)
    assert len({(p.label, p.start, p.end) for p in found}) == len(found), "no proposal twice"
    assert all(type(value) is float for p in found for value in (p.start, p.end, p.score)), "plain for JSON"


@given(length=st.integers(1, 40), seed=st.integers(0, 999))
def test_a_video_run_backwards_has_mirrored_proposals(length, seed):
    scores = random_scores(length, seed)
    backwards = SnippetScores(scores.attention[::-1], scores.cas[::-1], scores.video)
    forth, back = (generate_proposals(s, CLASSES, CLOCK, LocalizeConfig()) for s in (scores, backwards))
    total = float(CLOCK.seconds([0, length]).sum())
    there = sorted((p.label, round(p.start, 6), round(p.end, 6), p.score) for p in forth)
    here = sorted((p.label, round(total - p.end, 6), round(total - p.start, 6), p.score) for p in back)
    assert [row[:3] for row in there] == [row[:3] for row in here]
    np.testing.assert_allclose([row[3] for row in there], [row[3] for row in here], atol=1e-9)


def test_flat_scores_propose_the_whole_video_or_nothing():
    flat = SnippetScores(np.full(6, 0.55), np.full((6, 3), 1 / 3), np.array([0.5, 0.5]))
    found = generate_proposals(flat, CLASSES, CLOCK, LocalizeConfig())
    assert {(p.start, p.end) for p in found} == {(2.0, 5.0)} and len(found) == 2
    assert generate_proposals(SnippetScores(np.zeros(6), flat.cas, flat.video), CLASSES, CLOCK, LocalizeConfig()) == []


def test_one_snippet_is_a_video():
    one = SnippetScores(np.array([0.9]), np.array([[0.8, 0.1, 0.1]]), np.array([0.9, 0.1]))
    best = generate_proposals(one, CLASSES, CLOCK, LocalizeConfig())[0]
    assert (best.label, best.start, best.end) == ("jump", 2.0, 2.5)


def test_recorded_snippet_times_are_kept_to():
    clock = SnippetClock(1.0, edges=np.array([0.0, 1.0, 5.0, 5.5]))
    scores = SnippetScores(np.array([0.05, 0.95, 0.05]), np.full((3, 3), 1 / 3), np.array([1.0, 0.0]))
    assert {(p.start, p.end) for p in generate_proposals(scores, CLASSES, clock, LocalizeConfig())} == {(1.0, 5.0)}


def test_no_threshold_no_proposal():
    bare = LocalizeConfig(attention_thresholds=(), evidence_thresholds=())
    assert generate_proposals(random_scores(9, 0), CLASSES, CLOCK, bare) == []
