"""The bootstrap: counting again is the same as scoring a truly resampled data set."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wtal.core.structures import Segment, Video
from wtal.data.layouts.activitynet import read_activitynet, read_proposals
from wtal.data.layouts.thumos import read_ambiguous
from wtal.evaluation.bootstrap import (
    Interval,
    compare_evaluations,
    draw_videos,
    interval,
    resampled_averages,
    resampled_map,
    summed_precision,
)
from wtal.evaluation.evaluate import evaluate, evaluate_with_matches
from wtal.evaluation.matching import average_precision
from wtal.evaluation.protocols import PROTOCOLS

TIOUS = (0.1, 0.3, 0.5, 0.7)
times = st.tuples(st.integers(0, 40), st.integers(0, 40)).map(lambda pair: tuple(0.4 * t for t in sorted(pair)))
labelled = st.tuples(st.sampled_from("xyz"), times).map(lambda pair: (pair[0], *pair[1]))


@st.composite
def scenes(draw):
    """Ground truth of up to four videos; proposals of distinct scores, also in a video that it does not have."""
    lists = draw(st.lists(st.lists(labelled, max_size=5), min_size=1, max_size=4).filter(any))
    truth = [video(f"v{place}", *actions) for place, actions in enumerate(lists)]
    found = draw(st.lists(st.tuples(st.integers(0, 4), labelled), max_size=25))
    scores = draw(st.lists(st.integers(), min_size=len(found), max_size=len(found), unique=True))
    order = np.argsort(np.argsort(np.array(scores, dtype=object)))
    proposals = {}
    for (place, span), score in zip(found, order.tolist(), strict=True):
        proposals.setdefault(f"v{place}", []).append(Segment(*span, float(score)))
    return proposals, truth


def video(id, *actions):
    found = tuple(Segment(*action) for action in actions)
    return Video(id, "testing", tuple(sorted({action.label for action in found})), 100.0, found)


def copied(proposals, truth, counts):
    """A data set in which each video truly stands as often as it was drawn, each copy under its own name."""
    names = {v.id: [f"{v.id} copy {n}" for n in range(count)] for v, count in zip(truth, counts, strict=True)}
    videos = [replace(v, id=name) for v in truth for name in names[v.id]]
    return {name: found for id, found in proposals.items() for name in names.get(id, [id])}, videos


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(scene=scenes(), data=st.data())
@settings(max_examples=60, deadline=None)
def test_counting_again_is_scoring_a_resampled_data_set(protocol, scene, data):
    proposals, truth = scene
    counts = data.draw(st.lists(st.integers(0, 3), min_size=len(truth), max_size=len(truth)))
    ranked = evaluate_with_matches(proposals, truth, protocol, TIOUS).ranked
    fast = resampled_map(ranked, ranked.hits, np.array(counts)[:, None])[:, 0]
    again, videos = copied(proposals, truth, counts)
    if any(v.segments for v in videos):
        assert fast == pytest.approx(evaluate(again, videos, protocol, TIOUS).map, abs=1e-12)
    else:
        assert np.isnan(fast).all()


@given(
    rows=st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 5)), max_size=30),
    interpolated=st.booleans(),
)
def test_counting_copies_is_the_plain_precision_of_repeated_rows(rows, interpolated):
    hits = np.array([[hit for hit, _, _ in rows]], dtype=bool)
    counts = np.array([pair for _, *pair in rows], dtype=np.int64).reshape(-1, 2)  # N x draws
    fast = summed_precision(hits, counts, interpolated)
    for draw, column in enumerate(counts.T):
        plain = average_precision(np.repeat(hits, column, axis=1), 1, interpolated)
        assert fast[:, draw] == pytest.approx(plain, abs=1e-9)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(scene=scenes())
@settings(max_examples=20, deadline=None)
def test_every_video_once_is_the_result_itself(protocol, scene):
    judged = evaluate_with_matches(*scene, protocol)
    once = np.ones((len(scene[1]), 1), np.int64)
    assert resampled_map(judged.ranked, judged.ranked.hits, once)[:, 0] == pytest.approx(judged.result.map)


def test_a_draw_is_as_large_as_the_whole_and_always_the_same():
    drawn = draw_videos(7, 200)
    assert drawn.shape == (7, 200) and set(drawn.sum(0)) == {7}
    assert np.array_equal(drawn, draw_videos(7, 200)) and not np.array_equal(drawn, draw_videos(7, 200, seed=1))
    assert drawn.mean() == 1 and np.allclose(drawn.mean(1), 1, atol=0.3)


def test_draws_without_an_action_do_not_count():
    assert interval(0.5, np.array([np.nan, 0.0, 1.0])) == Interval(0.5, pytest.approx(0.025), pytest.approx(0.975))


def twelve_videos():
    truth = [video(f"v{n}", ("x", 0.0, 10.0), ("y", 20.0, 30.0)) for n in range(12)]
    perfect = {v.id: [Segment(a.label, a.start, a.end, n / 12) for a in v.segments] for n, v in enumerate(truth)}
    return truth, perfect


def test_the_first_file_is_compared_with_each_of_the_others():
    truth, perfect = twelve_videos()
    half = {id: found for n, (id, found) in enumerate(perfect.items()) if n % 2}
    found = compare_evaluations({"all": perfect, "same": dict(perfect), "half": half}, truth, ["activitynet", "wtalc"])
    assert [(e.result.protocol, e.file) for e in found.entries[:3]] == [
        ("activitynet", n) for n in ("all", "same", "half")
    ]
    assert [(lead.protocol, lead.other) for lead in found.leads] == [
        (protocol, name) for protocol in ("activitynet", "wtalc") for name in ("same", "half")
    ]
    same, less, *_ = (lead.difference for lead in found.leads)
    assert same == Interval(0.0, 0.0, 0.0)
    assert less.value == pytest.approx(0.5) and 0 < less.low < 0.5 < less.high < 1
    assert all(e.average.low <= e.average.value <= e.average.high for e in found.entries)
    assert json.loads(json.dumps(found.to_json()))["leads"][1]["difference"]["value"] == less.value


def test_the_interval_is_of_the_main_average():
    truth, perfect = twelve_videos()
    short = {id: [p._replace(end=p.end - 5.5) for p in found] for id, found in perfect.items()}  # tIoU 0.45
    (entry,) = compare_evaluations({"short": short}, truth, ["thumos14-212"]).entries
    assert entry.average == Interval(*[pytest.approx(4 / 7)] * 3)
    (chosen,) = compare_evaluations({"short": short}, truth, ["thumos14-212"], tious=[0.3, 0.4]).entries
    assert chosen.average.value == 1


def test_more_draws_than_one_block():
    truth, perfect = twelve_videos()
    judged = evaluate_with_matches({id: found for n, (id, found) in enumerate(perfect.items()) if n % 2}, truth)
    at_once = resampled_map(judged.ranked, judged.ranked.hits, draw_videos(12, 250)).mean(0)
    assert np.ptp(at_once) > 0 and np.array_equal(resampled_averages(judged, draws=250), at_once)


def test_a_real_file_against_its_copy_with_other_scores(shared):
    folder = shared("thumos14")
    proposals = read_proposals(folder / "pmil_base_test.json")
    noise = np.random.default_rng(0)
    other = {
        id: [p._replace(score=p.score * float(noise.uniform(0.7, 1.3))) for p in found]
        for id, found in proposals.items()
    }
    ambiguous = read_ambiguous(folder / "Thumos14reduced-Annotations" / "Ambiguous_test.txt")
    truth = read_activitynet(folder / "acmnet_gt.json")
    found = compare_evaluations({"a": proposals, "b": other}, truth, ["thumos14-212"], ambiguous=ambiguous)
    assert found.entries[0].average.value == pytest.approx(0.4243, abs=2e-4)
    (lead,) = found.leads
    assert 0 < lead.difference.low < lead.difference.value < lead.difference.high < 0.02
    own = [entry.average.high - entry.average.low for entry in found.entries]
    assert lead.difference.high - lead.difference.low < min(own) / 2  # what pairing is for
