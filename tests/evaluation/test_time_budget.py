"""Time budgets: counts, durations and shares of the recording."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wtal.core.structures import Segment
from wtal.evaluation.time_budget import merge_intervals, time_budget

times = st.integers(0, 400).map(lambda quarters: quarters / 4)  # sums of quarters are exact
segments = st.lists(
    st.tuples(st.sampled_from("ab"), times, times).map(lambda t: Segment(t[0], min(t[1:]), max(t[1:]))), max_size=12
)


def shift(segments, seconds):
    return [segment._replace(start=segment.start + seconds, end=segment.end + seconds) for segment in segments]


def test_budget_of_known_segments():
    groups = {
        "v": [Segment("a", 0, 4), Segment("a", 2, 6), Segment("b", 1, 2), Segment("a", 8, 8)],
        "w": [Segment("a", 5, 6)],
    }
    budget = time_budget(groups, {"v": 10.0, "w": 30.0}, classes=["c"])
    assert budget.classes == ("a", "b", "c") and budget.duration == 40 and budget.untimed == ()
    in_v = budget.videos["v"]["a"]
    assert (in_v.bouts, in_v.points, in_v.total, in_v.mean, in_v.median) == (2, 1, 8, 4, 4)
    assert (in_v.occupied, in_v.share) == (6, 0.6), "overlapping bouts of a class count once"
    overall = budget.overall["a"]
    assert (overall.bouts, overall.points, overall.total, overall.mean, overall.median) == (3, 1, 9, 3, 4)
    assert overall.share == pytest.approx(7 / 40)
    absent = budget.videos["w"]["c"]
    assert (absent.bouts, absent.total, absent.mean, absent.share) == (0, 0, None, 0.0)
    assert budget.overlapping == 1 and budget.beyond_end == 0


def test_points_are_counted_and_add_no_time():
    budget = time_budget({"v": [Segment("a", 3, 3), Segment("a", 3, 3)]}, {"v": 10.0}).overall["a"]
    assert (budget.bouts, budget.points, budget.total, budget.mean, budget.share) == (0, 2, 0, None, 0.0)


def test_share_is_unknown_without_the_duration_of_a_recording():
    budget = time_budget({"v": [Segment("a", 0, 5)], "w": []}, {"v": 10.0})
    assert budget.videos["v"]["a"].share == 0.5 and budget.videos["w"]["a"].share is None
    assert budget.overall["a"].share is None and budget.overall["a"].total == 5
    assert budget.duration is None and budget.untimed == ("w",)


def test_share_counts_time_inside_the_recording():
    budget = time_budget({"v": [Segment("a", -2, 2), Segment("a", 8, 14), Segment("a", 20, 30)]}, {"v": 10.0})
    assert budget.overall["a"].share == 0.4 and budget.overall["a"].total == 20 and budget.beyond_end == 2


def test_nothing_to_count():
    assert time_budget({}).overall == {} and time_budget({}).duration == 0
    assert time_budget({"v": []}, {"v": 0.0}, classes=["a"]).overall["a"].share is None


@given(segments, segments)
def test_budget_of_a_concatenation_adds_up(first, second):
    parts = {"v": first, "w": second}
    apart = time_budget(parts, {"v": 100.0, "w": 100.0}, classes="ab")
    joined = time_budget({"x": first + shift(second, 100)}, {"x": 200.0}, classes="ab")
    assert joined.overall == apart.overall
    for label, budget in joined.overall.items():
        of_parts = [apart.videos[id][label] for id in parts]
        for name in ("bouts", "points", "total", "occupied"):
            assert getattr(budget, name) == sum(getattr(part, name) for part in of_parts)


@given(segments, st.sampled_from([0.25, 2.0, 1024.0]))
def test_times_scale_with_the_unit_and_shares_do_not(group, factor):
    scaled = [segment._replace(start=segment.start * factor, end=segment.end * factor) for segment in group]
    for label, budget in time_budget({"v": group}, {"v": 128.0}).overall.items():
        other = time_budget({"v": scaled}, {"v": 128.0 * factor}).overall[label]
        assert (other.bouts, other.points, other.share) == (budget.bouts, budget.points, budget.share)
        assert (other.total, other.occupied) == (budget.total * factor, budget.occupied * factor)


@given(segments)
def test_a_class_never_takes_more_than_the_recording_or_its_total(group):
    for budget in time_budget({"v": group}, {"v": 100.0}).overall.values():
        assert 0 <= budget.share <= 1 and budget.occupied <= budget.total


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9)).map(lambda t: (t[0], t[0] + t[1]))))
def test_merged_intervals_cover_the_same_positions(intervals):
    merged = merge_intervals(intervals)
    covered = {position for start, end in intervals for position in range(start, end)}
    assert sorted(covered) == [position for start, end in merged for position in range(start, end)]
    assert all(end < start for (_, end), (start, _) in pairwise(merged))
