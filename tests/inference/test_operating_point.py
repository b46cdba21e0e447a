"""Operating points: thresholds are optimal, timelines satisfy their constraints, and calibrations survive JSON."""

import json
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.errors import raises
from wtal.core.errors import DataError
from wtal.core.structures import Segment
from wtal.inference.operating_point import (
    LABELS,
    MIN_SHARE,
    SEGMENTS,
    Calibration,
    CalibrationScores,
    OperatingPoint,
    pooled,
)
from wtal.inference.postprocessing import SegmentConstraints, remove_overlaps, sort_by_time

CLASSES = ("jump", "run", "throw")
NO_CONSTRAINTS = SegmentConstraints()


def operating_point(
    thresholds: dict[str, float | None], constraints: SegmentConstraints = NO_CONSTRAINTS
) -> OperatingPoint:
    return OperatingPoint("f1", SEGMENTS, "validation", 1, thresholds, {}, constraints)


scores = st.integers(1, 20).map(lambda n: n / 20)
seconds = st.integers(0, 400).map(lambda n: n / 2)
proposals = st.lists(
    st.builds(
        lambda label, start, length, score: Segment(label, start, start + length, score),
        st.sampled_from(CLASSES),
        seconds,
        st.integers(1, 80).map(float),
        scores,
    ),
    max_size=25,
)
constraints = st.builds(
    SegmentConstraints,
    max_per_minute=st.none() | st.integers(1, 4),
    min_duration=st.sampled_from([0.0, 3.0]),
    max_duration=st.sampled_from([None, 30.0]),
    co_occurring=st.sampled_from([(), (("jump", "run"),)]),
)
thresholds = st.fixed_dictionaries({label: st.none() | scores for label in CLASSES})
rows = st.lists(st.tuples(scores, st.booleans()), max_size=20)


def calibration_scores(rows: list[tuple[float, bool]], missed: int) -> CalibrationScores:
    rows = sorted(rows, reverse=True)
    correct = tuple(is_correct for _, is_correct in rows)
    return CalibrationScores(tuple(score for score, _ in rows), correct, sum(correct) + missed)


# Timelines.


@given(proposals, constraints, thresholds)
def test_timeline_satisfies_thresholds_and_constraints(segments, constraints, thresholds):
    shown = operating_point(thresholds, constraints).apply(segments)
    assert shown == sort_by_time(shown)
    for p in shown:
        assert p.score >= (thresholds[p.label] or 2)
        assert constraints.min_duration <= p.end - p.start <= (constraints.max_duration or 400)
        assert any(p.label == s.label and p.score == s.score and s.start <= p.start < p.end <= s.end for s in segments)
    for i, a in enumerate(shown):
        for b in shown[:i]:
            assert b.end <= a.start or {a.label, b.label} == {"jump", "run"} == set(sum(constraints.co_occurring, ()))
    minutes = [p.start // 60 for p in shown]
    assert all(minutes.count(minute) <= (constraints.max_per_minute or 25) for minute in minutes)


@given(proposals, constraints, thresholds, st.randoms(use_true_random=False))
def test_timeline_is_idempotent_and_independent_of_order(segments, constraints, thresholds, rng: random.Random):
    point = operating_point(thresholds, constraints)
    shown = point.apply(segments)
    assert point.apply(shown) == shown
    assert point.apply(rng.sample(segments, len(segments))) == shown


@given(proposals, constraints, thresholds, st.sampled_from(CLASSES), scores)
def test_higher_threshold_only_removes_segments(segments, constraints, thresholds, label, increase):
    raised = thresholds | {label: None if thresholds[label] is None else thresholds[label] + increase}
    shown = operating_point(thresholds, constraints).apply(segments)
    assert operating_point(raised, constraints).apply(segments) == [
        p for p in shown if p.label != label or p.score >= (raised[label] or 2)
    ]


@given(proposals, constraints, thresholds)
def test_thresholds_from_tags_decide_which_classes_are_shown(segments, constraints, thresholds):
    point = replace(operating_point(thresholds, constraints), source=LABELS)
    shown = point.apply(segments)
    candidates = remove_overlaps(segments, constraints)
    best = {label: max((p.score for p in candidates if p.label == label), default=-1) for label in CLASSES}
    expected = {label for label in CLASSES if thresholds[label] is not None and best[label] >= thresholds[label]}
    assert {p.label for p in shown} == expected
    assert all(p.score >= min(MIN_SHARE * max(best.values()), best[p.label]) for p in shown)
    assert shown == sort_by_time(shown) and set(shown) <= set(candidates)


def test_empty_input_gives_an_empty_timeline():
    assert operating_point({"jump": 0.1}).apply([]) == []
    assert operating_point({}).apply([Segment("jump", 0.0, 2.0, 0.9)]) == []


# Thresholds.


@pytest.mark.parametrize(
    "scores, correct, total, f1, precise",
    [
        ((0.9, 0.7, 0.5, 0.3), (1, 1, 0, 0), 2, 0.6, 0.6),
        ((0.9, 0.7, 0.5, 0.3), (1, 0, 1, 0), 2, 0.4, 0.8),
        ((0.9, 0.7, 0.5), (1, 1, 1), 3, 0.5, 0.5),  # all correct: the lowest score
        ((0.9, 0.7), (0, 1), 1, 0.7, None),  # the precision is never reached
        ((0.9, 0.9, 0.5), (1, 0, 1), 2, 0.5, None),  # equal scores are not separated
        ((0.9, 0.7), (0, 0), 2, None, None),
        ((), (), 2, None, None),
    ],
)
def test_best_threshold(scores, correct, total, f1, precise):
    scores_of_class = CalibrationScores(scores, tuple(map(bool, correct)), total)
    assert scores_of_class.best_threshold() == pytest.approx(f1)
    assert scores_of_class.best_threshold(0.9) == pytest.approx(precise)


@given(rows, st.integers(0, 5), st.floats(0.01, 1))
def test_no_other_threshold_is_better(rows, missed, precision):
    scores_of_class = calibration_scores(rows, missed)
    others = [scores_of_class.result_of(score) for score, _ in rows]
    best = scores_of_class.result_of(scores_of_class.best_threshold())
    assert all((best.f1 or 0) >= other.f1 for other in others)
    precise = scores_of_class.result_of(scores_of_class.best_threshold(precision))
    assert precise.precision is None or precise.precision >= precision
    assert all(precise.correct >= other.correct for other in others if other.precision >= precision)


def test_adjacent_floats_are_separated():
    scores_of_class = CalibrationScores((1.0, 1.0 - 2**-53), (True, False), 1)
    assert scores_of_class.result_of(scores_of_class.best_threshold()).shown == 1


@given(rows, rows)
def test_pooled_scores_are_those_of_all_classes(rows_a, rows_b):
    parts = [calibration_scores(rows_a, 1), calibration_scores(rows_b, 2)]
    assert pooled(parts) == calibration_scores(rows_a + rows_b, 3)


# The file.


@given(rows, st.integers(0, 3), constraints)
def test_calibration_survives_json(rows, missed, constraints):
    scores = {"jump": calibration_scores(rows, missed)}
    calibration = Calibration("m", SEGMENTS, "validation", 3, constraints, scores)
    assert Calibration.from_json(json.loads(json.dumps(calibration.to_json()))) == calibration


# As written by wtal 0.1.0.
VALID = {
    "model": "m",
    "source": LABELS,
    "subset": "validation",
    "videos": 3,
    "limits": {"per_minute": None, "shortest": 0.0, "longest": None, "together": []},
    "evidence": {"jump": {"scores": [0.5], "right": [True], "there": 1}},
}


def test_file_format_has_not_changed():
    scores = {"jump": CalibrationScores((0.5,), (True,), 1)}
    calibration = Calibration("m", LABELS, "validation", 3, NO_CONSTRAINTS, scores)
    assert json.loads(json.dumps(calibration.to_json())) == VALID
    assert Calibration.from_json(VALID) == calibration


@pytest.mark.parametrize(
    "values",
    [
        [],
        {},
        VALID | {"more": 1},
        VALID | {"videos": "three"},
        VALID | {"limits": VALID["limits"] | {"per_minute": 0}},
        VALID | {"limits": VALID["limits"] | {"together": [["jump"]]}},
        VALID | {"evidence": {"jump": {"scores": [0.1, 0.5], "right": [True, True], "there": 2}}},
        VALID | {"evidence": {"jump": {"scores": [0.5], "right": [], "there": 2}}},
        VALID | {"evidence": {"jump": {"scores": [0.5], "right": [True], "there": 0}}},
        VALID | {"evidence": {"jump": {"scores": ["a"], "right": [True], "there": 1}}},
        VALID | {"evidence": {"jump": {"scores": [0.5], "right": [True], "there": 10**400}}},
        VALID | {"evidence": {"jump": 3}},
    ],
)
def test_malformed_file_is_rejected(values, tmp_path):
    with raises(DataError, code="invalid-data", path=tmp_path):
        Calibration.from_json(values, tmp_path)
