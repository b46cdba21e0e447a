"""Error analysis: each kind in hand-made cases, consistency with the evaluation, and invariants."""

import io
import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from tests.helpers.errors import raises
from tests.helpers.evaluation import perfect, proposed, score, score_with_matches, video
from wtal.core.clock import tiou as temporal_iou
from wtal.core.errors import ConfigError
from wtal.core.structures import Segment
from wtal.data.layouts.activitynet import read_activitynet, read_proposals
from wtal.evaluation.error_analysis import KINDS, analyse
from wtal.evaluation.evaluate import prepare_scoring
from wtal.evaluation.protocols import EvaluationOptions
from wtal.evaluation.sensitivity import SIZES
from wtal.reporting.error_tables import analysis_blocks
from wtal.reporting.figures.error_analysis import draw_analysis
from wtal.reporting.tables import open_output

NO_KINDS = dict.fromkeys(KINDS, 0)


def kinds_of(proposals, truth, **options):
    """Number of counted predictions of each kind that occurs."""
    return {kind: count for kind, count in analyse({"v": proposals}, truth, **options).kinds.items() if count}


# Hand-made cases: one run (10 to 20) and one jump (50 to 60) in a video

RUN, JUMP = ("run", 10.0, 20.0), ("jump", 50.0, 60.0)
CASES = {
    "exact": ([RUN], "true positive"),
    "tIoU 0.5": ([("run", 10, 15)], "true positive"),
    "lower score": ([RUN, ("run", 11, 20)], "double detection"),
    "other label": ([("jump", 10, 20)], "wrong label"),
    "half of other label": ([("run", 50, 55)], "wrong label"),
    "too short": ([("run", 10, 14.9)], "localization"),
    "tIoU 0.1": ([("run", 10, 11)], "localization"),
    "too short, other label": ([("jump", 10, 14)], "confusion"),
    "tIoU below 0.1": ([("run", 10, 10.9)], "background"),
    "no overlap": ([("run", 30, 40)], "background"),
    "zero length": ([("run", 15, 15)], "background"),
}


@pytest.mark.parametrize("segments, kind", CASES.values(), ids=CASES)
def test_kind_of_prediction(segments, kind):
    expected = {"true positive": 1, kind: 1} if len(segments) == 2 else {kind: 1}
    assert kinds_of(proposed(*segments), [video("v", RUN, JUMP)]) == expected


def test_highest_score_is_not_the_double_detection():
    proposals = [Segment("run", 11, 20, 0.1), Segment("run", 10, 20, 0.9)]
    assert kinds_of(proposals, [video("v", RUN)]) == {"true positive": 1, "double detection": 1}


def test_prediction_in_unknown_video_is_background():
    assert kinds_of(proposed(RUN), [video("w", RUN)]) == {"background": 1}


def test_label_without_ground_truth_is_not_scored():
    assert kinds_of(proposed(RUN, ("swim", 10, 20)), [video("v", RUN)]) == {"true positive": 1}


def test_segment_of_highest_overlap_decides():
    truth = [video("v", ("run", 10, 20), ("jump", 16, 30))]
    assert kinds_of(proposed(("run", 17, 30)), truth) == {"wrong label": 1}
    assert kinds_of(proposed(("run", 10, 24)), truth) == {"true positive": 1}


def test_second_label_of_the_same_time_is_not_a_wrong_label():
    """THUMOS14 labels every CliffDiving segment as Diving too."""
    truth = [video("v", ("cliff diving", 10, 20), ("diving", 10, 20))]
    kinds = kinds_of(proposed(("diving", 10, 20), ("diving", 10, 19), ("diving", 10, 13)), truth)
    assert kinds == {"true positive": 1, "double detection": 1, "localization": 1}


@pytest.mark.parametrize("tiou, kind", [(0.7, "true positive"), (0.71, "localization")])
def test_kind_depends_on_tiou(tiou, kind):
    assert kinds_of(proposed(("run", 10, 17)), [video("v", RUN)], tiou=tiou) == {kind: 1}


def test_ten_predictions_per_instance_are_counted():
    truth = [video("v", RUN)]
    background = [("run", 30 + step, 31 + step) for step in range(14)]
    analysis = analyse({"v": proposed(RUN, *background)}, truth)
    assert analysis.counted == 10 and analysis.beyond == NO_KINDS | {"background": 5}
    assert [sum(kinds.values()) for kinds in analysis.profile] == list(range(1, 11))
    hit_last = analyse({"v": proposed(*background, RUN)}, truth)
    assert hit_last.kinds == NO_KINDS | {"background": 10}
    assert hit_last.beyond == NO_KINDS | {"background": 4, "true positive": 1}
    assert hit_last.whole.missed == 1


def test_gain_of_removing_false_positives():
    """A false positive before the only hit: 1/2 becomes 1 without it. At tIoU 0.1 and 0.2 it is the hit."""
    proposals = {"v": proposed(("run", 10, 12.5), ("run", 10, 20))}
    analysis = analyse(proposals, [video("v", ("run", 10, 20))], EvaluationOptions("thumos14-212"))
    assert analysis.map_at_tiou == 0.5 and analysis.gains["localization"].at_tiou == 0.5
    assert analysis.gains["localization"].average == pytest.approx(5 / 7 * 0.5)  # 0.3 to 0.7
    assert analysis.gains["background"].average == analysis.gains["double detection"].average == 0


@pytest.mark.parametrize("proposals", [{}, {"v": []}])
def test_without_proposals_every_segment_is_missed(proposals):
    analysis = analyse(proposals, [video("v", RUN, JUMP)])
    assert analysis.counted == 0 and analysis.whole.missed == analysis.whole.instances == 2
    assert analysis.whole.miss_rate == 1 and analysis.whole.normalised_map == 0


@pytest.mark.parametrize("tiou", [0.01, 1.5])
def test_tiou_out_of_range_is_rejected(tiou):
    with raises(ConfigError, code="invalid-value"):
        analyse({}, [video("v", RUN)], tiou=tiou)


# Invariants

spans = st.tuples(st.integers(0, 20), st.integers(1, 8)).map(lambda span: (span[0], span[0] + span[1]))
labeled = st.tuples(st.sampled_from("abc"), spans).map(lambda pair: (pair[0], *map(float, pair[1])))
truths = (
    st.dictionaries(st.sampled_from("uvw"), st.lists(labeled, max_size=6), min_size=1)
    .filter(lambda videos: any(videos.values()))
    .map(lambda videos: [video(id, *segments, duration=30.0) for id, segments in videos.items()])
)
scored = st.tuples(labeled, st.integers(0, 5)).map(lambda pair: Segment(*pair[0], pair[1] / 5))
files = st.dictionaries(st.sampled_from("uvwx"), st.lists(scored, max_size=25))
tious = st.sampled_from((0.1, 0.3, 0.5, 0.75, 1.0))
options = st.sampled_from(("activitynet", "thumos14-212", "thumos14-snippet", "wtalc")).map(EvaluationOptions)


@settings(max_examples=40, deadline=None)
@given(files, truths, options, tious)
def test_counts_add_up(proposals, truth, options, tiou):
    analysis = analyse(proposals, truth, options, tiou)
    assert list(analysis.kinds) == list(KINDS)
    total = sum(analysis.kinds.values()) + sum(analysis.beyond.values())
    assert total == analysis.result.counts.proposals
    assert analysis.kinds["true positive"] == analysis.whole.instances - analysis.whole.missed
    counts = [list(kinds.values()) for kinds in analysis.profile]
    assert np.all(np.diff(counts, axis=0) >= 0)
    for trait in analysis.traits:
        assert sum(group.instances for group in trait.groups) + trait.unknown == analysis.whole.instances
        assert sum(group.missed for group in trait.groups) == analysis.whole.missed
        assert [group.size for group in trait.groups] == list(SIZES)
        assert all((group.normalised_map is None) is (group.instances == 0) for group in trait.groups)
    scores = [group.normalised_map for trait in analysis.traits for group in trait.groups]
    assert all(0 <= value <= 1 + 1e-9 for value in scores if value is not None)
    assert json.loads(json.dumps(analysis.to_json(), allow_nan=False))["kinds"] == analysis.kinds


@settings(max_examples=40, deadline=None)
@given(files, truths, options, tious)
def test_kinds_follow_their_definition(proposals, truth, options, tiou):
    """One prediction at a time, from the overlaps alone; hits are those of the evaluation."""
    inputs = prepare_scoring(proposals, truth, options)
    hits = score_with_matches(proposals, truth, options.protocol, tious=[tiou]).matches.hits[0]
    expected = dict(NO_KINDS)
    p, s = inputs.proposals, inputs.ground_truth
    for row, hit in enumerate(hits):
        pairs = [
            (float(temporal_iou(p.start[row], p.end[row], s.start[i], s.end[i])), s.label[i] == p.label[row])
            for i in np.flatnonzero(s.video == p.video[row])
        ]
        highest, is_own_label = max(pairs, default=(0.0, True))
        kinds = ("localization", "confusion") if highest < tiou else ("double detection", "wrong label")
        error = "background" if highest < 0.1 else kinds[0 if is_own_label else 1]
        expected["true positive" if hit else error] += 1
    analysis = analyse(proposals, truth, options, tiou)
    assert {kind: analysis.kinds[kind] + analysis.beyond[kind] for kind in KINDS} == expected


@settings(max_examples=40, deadline=None)
@given(files, truths, options, tious)
def test_map_is_that_of_the_evaluation_and_gains_are_not_negative(proposals, truth, options, tiou):
    analysis = analyse(proposals, truth, options, tiou)
    expected = score(proposals, truth, options.protocol, tious=[tiou]).map[0]
    assert analysis.map_at_tiou == pytest.approx(expected)
    assert analysis.result == score(proposals, truth, options.protocol)
    assert list(analysis.gains) == list(KINDS[1:])
    for kind, gain in analysis.gains.items():
        assert gain.at_tiou >= -1e-12 and gain.average >= -1e-12
        if not analysis.kinds[kind] + analysis.beyond[kind]:
            assert gain.at_tiou == 0


@settings(max_examples=25, deadline=None)
@given(files, truths, options, tious)
def test_order_of_videos_does_not_matter(proposals, truth, options, tiou):
    """If no two scores are equal: equal ones keep their order, as in the evaluation."""
    number = iter(range(1000))
    proposals = {id: [p._replace(score=p.score + next(number) / 1e6) for p in group] for id, group in proposals.items()}
    analysis = analyse(proposals, truth, options, tiou)
    reverse = analyse(dict(reversed(proposals.items())), truth[::-1], options, tiou)
    assert (reverse.profile, reverse.beyond) == (analysis.profile, analysis.beyond)
    assert (reverse.gains, reverse.traits) == (analysis.gains, analysis.traits)


@settings(max_examples=25, deadline=None)
@given(files, truths, tious)
def test_scaling_time_changes_nothing_but_sizes_in_seconds(proposals, truth, tiou):
    slow = {id: [p._replace(start=2 * p.start, end=2 * p.end) for p in group] for id, group in proposals.items()}
    slow_truth = [video(v.id, *((s.label, 2 * s.start, 2 * s.end) for s in v.segments), duration=60) for v in truth]
    normal, scaled = analyse(proposals, truth, tiou=tiou), analyse(slow, slow_truth, tiou=tiou)
    assert (normal.profile, normal.beyond, normal.gains) == (scaled.profile, scaled.beyond, scaled.gains)
    assert normal.traits[1:3] == scaled.traits[1:3]  # coverage and number of instances


@settings(max_examples=20, deadline=None)
@given(files, truths)
def test_videos_without_segments_change_nothing(proposals, truth):
    more = analyse(proposals | {"empty": []}, [*truth, video("empty"), video("training", RUN, subset="training")])
    analysis = analyse(proposals, truth)
    assert (more.profile, more.gains, more.traits) == (analysis.profile, analysis.gains, analysis.traits)


@settings(max_examples=20, deadline=None)
@given(truths)
def test_perfect_proposals_have_no_errors(truth):
    analysis = analyse(perfect(truth), truth)
    assert analysis.kinds == NO_KINDS | {"true positive": analysis.whole.instances}
    assert analysis.whole.missed == 0 and analysis.whole.normalised_map == pytest.approx(1)
    assert all(gain.average == 0 for gain in analysis.gains.values())
    scores = [group.normalised_map for trait in analysis.traits for group in trait.groups if group.instances]
    assert scores == pytest.approx([1] * len(scores))


# Scale and output


def test_thousands_of_classes_take_seconds():
    names = [f"c{index}" for index in range(3000)]
    truth = [video(f"v{name}", (name, 0, 10)) for name in names]
    proposals = {f"v{name}": proposed((name, 50, 60), (name, 0, 9)) for name in names}
    start = time.process_time()
    assert analyse(proposals, truth).map_at_tiou == pytest.approx(0.5)
    assert time.process_time() - start < 5


def test_kinds_of_a_published_system(shared):
    folder, expected = shared("thumos14"), (2214, 8578, 523, 7557, 544, 8233)
    truth, proposals = read_activitynet(folder / "acmnet_gt.json"), read_proposals(folder / "pmil_base_test.json")
    analysis = analyse(proposals, truth, EvaluationOptions("thumos14-snippet"), 0.5)
    assert tuple(analysis.kinds.values()) == expected
    assert sum(expected) + sum(analysis.beyond.values()) == 31587
    assert analysis.map_at_tiou == pytest.approx(analysis.result.map[analysis.result.tious.index(0.5)])
    assert analysis.whole.missed == 3358 - expected[0]


@pytest.mark.parametrize("proposals", [{}, {"v": proposed(RUN)}])
def test_analysis_of_few_proposals_is_rendered(tmp_path, proposals):
    analysis = analyse(proposals, [video("v", RUN)])
    for width in (30, 100):
        console = Console(file=io.StringIO(), width=width)
        with open_output(console) as output:
            output.print(analysis_blocks(analysis))
        assert "missed" in console.file.getvalue()
    draw_analysis(tmp_path / "a.png", analysis)
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
