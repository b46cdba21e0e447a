"""Agreement of two annotations: kappa over bins, matched bouts, and the metrics of BANOS."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.errors import raises
from wtal.core.errors import ConfigError
from wtal.core.structures import Segment
from wtal.evaluation.agreement import AgreementOptions, cohen_kappa, count_matches, measure_agreement

DURATION = 32.0
times = st.integers(0, 128).map(lambda quarters: quarters / 4)
segments = st.lists(
    st.tuples(st.sampled_from("abc"), times, times).map(lambda t: Segment(t[0], min(t[1:]), max(t[1:]))), max_size=8
)
QUARTERS = AgreementOptions(bin_width=0.25)


def agree(first, second, options=QUARTERS, duration=DURATION):
    return measure_agreement({"v": first}, {"v": second}, {"v": duration}, options)


def to_segments(sequence, width=1.0):
    """The runs of 1 in a text such as `0110`, one character per bin."""
    values = np.array([0, *map(int, sequence), 0])
    return [Segment("a", first * width, last * width) for first, last in np.flatnonzero(np.diff(values)).reshape(-1, 2)]


# --- Kappa ------------------------------------------------------------------------------------------------------------


def test_kappa_of_the_usual_example():
    # 20 times both yes, 15 times both no: p_o = 0.7, p_e = 0.5.
    counts = {("y", "y"): 20, ("y", "n"): 5, ("n", "y"): 10, ("n", "n"): 15}
    assert cohen_kappa(counts) == pytest.approx(0.4)
    assert cohen_kappa({("y", "y"): 7}) is None and cohen_kappa({}) is None


@given(segments)
def test_identical_annotations_agree_perfectly(group):
    agreement = agree(group, group)
    for scores in (*agreement.classes.values(), agreement.overall):
        assert scores.kappa in (1.0, None) and scores.equal_bins == 1.0
        assert scores.f1 in (1.0, None) and scores.matched == scores.events == scores.reference_events


@given(segments, segments)
def test_exchanging_the_annotations_exchanges_precision_and_recall(first, second):
    forth, back = agree(first, second), agree(second, first)
    for a, b in zip((*forth.classes.values(), forth.overall), (*back.classes.values(), back.overall), strict=True):
        assert (a.kappa, a.equal_bins, a.matched, a.f1) == (b.kappa, b.equal_bins, b.matched, b.f1)
        assert (a.precision, a.recall) == (b.recall, b.precision)
        assert a.segment_overlap == pytest.approx(b.segment_overlap)
        assert a.temporal_precision == pytest.approx(b.temporal_precision)


def test_kappa_of_unrelated_annotations_is_about_zero():
    rng = np.random.default_rng(0)
    first, second = ("".join(map(str, row)) for row in rng.integers(0, 2, (2, 20_000)))
    agreement = agree(to_segments(first), to_segments(second), AgreementOptions(bin_width=1.0), 20_000.0)
    assert abs(agreement.overall.kappa) < 0.03 and agreement.overall.equal_bins == pytest.approx(0.5, abs=0.02)


@given(segments, segments)
def test_bins_are_counted_as_if_one_by_one(first, second):
    centers = np.arange(0.125, DURATION, 0.25)

    def labels_at(group, time):
        return frozenset(segment.label for segment in group if segment.start <= time < segment.end)

    pairs = Counter((labels_at(first, time), labels_at(second, time)) for time in centers)
    agreement = agree(first, second)
    assert agreement.overall.kappa == cohen_kappa(pairs)
    for label, scores in agreement.classes.items():
        presence = Counter((label in a, label in b) for a, b in pairs.elements())
        assert scores.kappa == cohen_kappa(presence)


def test_overlapping_classes_are_compared_as_sets():
    both = [Segment("a", 0, 10), Segment("b", 0, 10)]
    agreement = agree(both, [Segment("a", 0, 10)], duration=20.0)
    assert agreement.classes["a"].kappa == 1.0 and agreement.classes["b"].kappa == 0.0
    assert agreement.overall.equal_bins == 0.5


@given(segments, segments, st.sampled_from([0.5, 4.0, 1024.0]))
def test_scores_do_not_depend_on_the_unit(first, second, factor):
    options = AgreementOptions(0.25 * factor, 0.5, 0.5 * factor)
    scaled = [[s._replace(start=s.start * factor, end=s.end * factor) for s in group] for group in (first, second)]
    assert agree(*scaled, options, DURATION * factor).classes == agree(first, second).classes


def test_bins_follow_a_frame_rate_despite_rounding():
    bouts = [(3, 7), (11, 12), (14, 33)]
    for rate in (10, 25, 29.97, 30):
        group = [Segment("a", first / rate, last / rate) for first, last in bouts]
        scores = agree(group, [Segment("a", 0, 34 / rate)], AgreementOptions(1 / rate), 34 / rate).classes["a"]
        assert scores.equal_bins == pytest.approx(24 / 34)


def test_unknown_duration_ends_with_the_last_bout():
    first, second = [Segment("a", 0, 5)], [Segment("a", 0, 10)]
    assert measure_agreement({"v": first}, {"v": second}).overall.equal_bins == 0.5
    assert agree(first, second, duration=20.0).overall.equal_bins == 0.75


def test_videos_add_up_and_those_of_one_annotation_are_ignored():
    first = {"v": [Segment("a", 0, 10)], "w": [Segment("b", 0, 5)], "x": [Segment("a", 0, 1)]}
    second = {"w": [Segment("b", 0, 5), Segment("b", 8, 9)], "v": [Segment("a", 4, 10)], "y": []}
    agreement = measure_agreement(first, second, dict.fromkeys("vwxy", 20.0))
    assert agreement.videos == ("v", "w") and list(agreement.classes) == ["a", "b"]
    assert agreement.overall.equal_bins == pytest.approx(1 - 5 / 40)
    assert (agreement.overall.events, agreement.overall.reference_events, agreement.overall.matched) == (2, 3, 2)


def test_nothing_to_compare():
    agreement = measure_agreement({"v": []}, {"w": []})
    assert agreement.videos == () and agreement.classes == {}
    assert agreement.overall.kappa is None and agreement.overall.f1 is None and agreement.overall.precision is None
    assert agree([], [], duration=10.0).overall.equal_bins == 1.0


# --- Bouts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "first, second, is_match",
    [
        ((0, 10), (0, 5), True),  # tIoU 0.5
        ((0, 10), (0, 4.9), False),
        ((1, 1.2), (1.4, 1.6), True),  # both ends within 0.5 s
        ((1.1, 3), (0.6, 3.5), True),
        ((0, 2), (1, 3), False),
        ((5, 5), (5.5, 5.5), True),  # points
        ((5, 5), (5.6, 5.6), False),
        ((5, 5), (1, 20), True),  # a point during a bout
        ((5, 5), (5.5, 20), True),
        ((5, 5), (5.6, 20), False),
    ],
)
def test_when_two_events_match(first, second, is_match):
    pair = [Segment("a", *first)], [Segment("a", *second)]
    assert count_matches(*pair, AgreementOptions()) == count_matches(*reversed(pair), AgreementOptions()) == is_match


def test_events_are_matched_one_to_one_and_as_many_as_possible():
    # The first bout could take either, the second only one of them.
    first, second = [Segment("a", 0, 10), Segment("a", 0, 5)], [Segment("a", 0, 6), Segment("a", 3, 12)]
    assert count_matches(first, second, AgreementOptions(tolerance=0)) == 2
    assert count_matches(first, second[:1], AgreementOptions()) == 1
    assert agree(first, [Segment("b", 0, 10)]).overall.matched == 0, "labels must be equal"


@pytest.mark.parametrize(
    "values", [{"bin_width": 0}, {"bin_width": float("nan")}, {"min_tiou": 1.1}, {"tolerance": -1}]
)
def test_options_out_of_range_are_rejected(values):
    with raises(ConfigError, code="invalid-value"):
        AgreementOptions(**values)


# Computed with banos 1.0.0, which is not a dependency:
# banos.score(*(pandas.DataFrame({"a": [int(c) for c in text]}) for text in (first, second)), matching="optimal")
@pytest.mark.parametrize(
    "first, second, expected",
    [
        ("0011110011100000110000", "0111100011111100001111", (2 / 3, 2 / 3, 0.55, 0.291666666667, 0.822222222222)),
        ("1100110011001100110011", "1111111100000000111100", (1 / 3, 1.0, 1 / 3, 0.206349206349, 0.619047619048)),
        ("0000011111111110000000", "0000011101101110000000", (1.0, 1 / 3, 0.266666666667, 0.12037037037, 1.0)),
    ],
)
@pytest.mark.parametrize("width", [1.0, 1 / 30])
def test_metrics_equal_those_of_banos(first, second, expected, width):
    options = AgreementOptions(width, min_tiou=0, tolerance=0)
    scores = agree(to_segments(first, width), to_segments(second, width), options, len(first) * width).classes["a"]
    quality = scores.segment_overlap, scores.temporal_precision, scores.intra_bout_continuity
    assert (scores.precision, scores.recall, *quality) == pytest.approx(expected)
