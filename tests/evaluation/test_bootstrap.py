"""Bootstrap: counting proposals again equals scoring a data set of repeated videos."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.evaluation import TIOUS, perfect, scenes, score, score_with_matches, video
from wtal.data.layouts.activitynet import read_activitynet, read_proposals
from wtal.data.layouts.thumos import read_ambiguous
from wtal.evaluation.bootstrap import (
    Interval,
    compare_evaluations,
    draw_videos,
    interval,
    mean_differences,
    resampled_averages,
    resampled_map,
)
from wtal.evaluation.protocols import PROTOCOLS, EvaluationOptions


def repeat_videos(proposals, truth, counts):
    """A data set with as many copies of each video as `counts` says, each under another id."""
    names = {v.id: [f"{v.id} copy {n}" for n in range(count)] for v, count in zip(truth, counts, strict=True)}
    videos = [replace(v, id=name) for v in truth for name in names[v.id]]
    return {name: group for id, group in proposals.items() for name in names.get(id, [id])}, videos


def make_twelve_videos():
    """Ground truth, and perfect proposals whose scores differ between videos."""
    truth = [video(f"v{n}", ("x", 0.0, 10.0), ("y", 20.0, 30.0)) for n in range(12)]
    proposals = perfect(truth)
    return truth, {v.id: [p._replace(score=n / 12) for p in proposals[v.id]] for n, v in enumerate(truth)}


def every_second(proposals):
    return {id: group for n, (id, group) in enumerate(proposals.items()) if n % 2}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(scene=scenes(distinct=True), data=st.data())
@settings(max_examples=60, deadline=None)
def test_resampled_map_equals_map_of_repeated_videos(protocol, scene, data):
    proposals, truth = scene
    counts = data.draw(st.lists(st.integers(0, 3), min_size=len(truth), max_size=len(truth)))
    matches = score_with_matches(proposals, truth, protocol, tious=TIOUS).matches
    result = resampled_map(matches, matches.hits, np.array(counts)[:, None])[:, 0]
    repeated, videos = repeat_videos(proposals, truth, counts)
    if any(v.segments for v in videos):
        assert result == pytest.approx(score(repeated, videos, protocol, tious=TIOUS).map, abs=1e-12)
    else:
        assert np.isnan(result).all()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(scene=scenes(distinct=True))
@settings(max_examples=20, deadline=None)
def test_drawing_every_video_once_gives_the_result_itself(protocol, scene):
    evaluation = score_with_matches(*scene, protocol)
    copies = np.ones((len(scene[1]), 1), np.int64)
    resampled = resampled_map(evaluation.matches, evaluation.matches.hits, copies)[:, 0]
    assert resampled == pytest.approx(evaluation.result.map)


def test_draws_have_as_many_videos_as_the_data_and_a_fixed_seed():
    draws = draw_videos(7, 200)
    assert draws.shape == (7, 200) and set(draws.sum(0)) == {7}
    assert np.array_equal(draws, draw_videos(7, 200)) and not np.array_equal(draws, draw_videos(7, 200, seed=1))
    assert draws.mean() == 1 and np.allclose(draws.mean(1), 1, atol=0.3)


def test_interval_ignores_draws_without_segments():
    assert interval(0.5, np.array([np.nan, 0.0, 1.0])) == Interval(0.5, pytest.approx(0.025), pytest.approx(0.975))


def test_first_file_is_compared_with_each_other_file():
    truth, proposals = make_twelve_videos()
    files = {"all": proposals, "same": dict(proposals), "half": every_second(proposals)}
    comparison = compare_evaluations(files, truth, protocols=["activitynet", "wtalc"])
    pairs = [(protocol, name) for protocol in ("activitynet", "wtalc") for name in files]
    assert [(entry.result.protocol, entry.file) for entry in comparison.entries] == pairs
    assert [(d.protocol, d.other) for d in comparison.differences] == [pair for pair in pairs if pair[1] != "all"]
    same, half, *_ = (d.difference for d in comparison.differences)
    assert same == Interval(0.0, 0.0, 0.0)
    assert half.value == pytest.approx(0.5) and 0 < half.low < 0.5 < half.high < 1
    assert all(entry.average.low <= entry.average.value <= entry.average.high for entry in comparison.entries)
    assert json.loads(json.dumps(comparison.to_json()))["leads"][1]["difference"]["value"] == half.value


def test_interval_is_of_the_main_average():
    truth, proposals = make_twelve_videos()
    short = {id: [p._replace(end=p.end - 5.5) for p in group] for id, group in proposals.items()}  # tIoU 0.45
    (entry,) = compare_evaluations({"short": short}, truth, EvaluationOptions("thumos14-212")).entries
    assert entry.average == Interval(*[pytest.approx(4 / 7)] * 3)
    options = EvaluationOptions("thumos14-212", tious=[0.3, 0.4])
    (entry,) = compare_evaluations({"short": short}, truth, options).entries
    assert entry.average.value == 1


def test_draws_in_blocks_equal_draws_at_once():
    truth, proposals = make_twelve_videos()
    evaluation = score_with_matches(every_second(proposals), truth)
    at_once = resampled_map(evaluation.matches, evaluation.matches.hits, draw_videos(12, 250)).mean(0)
    assert np.ptp(at_once) > 0 and np.array_equal(resampled_averages(evaluation, num_draws=250), at_once)


def test_paired_interval_is_narrower_than_intervals_of_both_files(shared):
    folder = shared("thumos14")
    proposals = read_proposals(folder / "pmil_base_test.json")
    rng = np.random.default_rng(0)
    noisy = {
        id: [p._replace(score=p.score * float(rng.uniform(0.7, 1.3))) for p in group] for id, group in proposals.items()
    }
    ambiguous = read_ambiguous(folder / "Thumos14reduced-Annotations" / "Ambiguous_test.txt")
    truth = read_activitynet(folder / "acmnet_gt.json")
    options = EvaluationOptions("thumos14-212", ambiguous=ambiguous)
    comparison = compare_evaluations({"a": proposals, "b": noisy}, truth, options)
    assert comparison.entries[0].average.value == pytest.approx(0.4243, abs=2e-4)
    (difference,) = (d.difference for d in comparison.differences)
    assert 0 < difference.low < difference.value < difference.high < 0.02
    widths = [entry.average.high - entry.average.low for entry in comparison.entries]
    assert difference.high - difference.low < min(widths) / 2


def test_mean_of_several_evaluations_minus_others():
    truth, proposals = make_twelve_videos()
    files = {"full": proposals, "half": every_second(proposals)}
    full, half = (score_with_matches(file, truth) for file in files.values())
    expected = compare_evaluations(files, truth).differences[0].difference
    assert mean_differences([full], [half, full]) == [expected, Interval(0.0, 0.0, 0.0)]
    (mixed,) = mean_differences([full, half], [half])
    assert (2 * mixed.value, 2 * mixed.low, 2 * mixed.high) == pytest.approx(
        (expected.value, expected.low, expected.high)
    )
