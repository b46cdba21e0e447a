"""mAP: what must stay true, a plain reference matcher, and the numbers of the public evaluators."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from wtal.cli import app
from wtal.core.clock import tiou
from wtal.core.errors import ConfigError, DataError
from wtal.core.structures import Segment, Video
from wtal.data.layouts.activitynet import read_activitynet, read_proposals, write_activitynet, write_proposals
from wtal.data.layouts.thumos import read_ambiguous
from wtal.evaluation.bootstrap import compare_evaluations
from wtal.evaluation.evaluate import evaluate, fitting_protocols
from wtal.evaluation.matching import average_precision, greedy_match, preference_order
from wtal.evaluation.protocols import PROTOCOLS
from wtal.evaluation.results import EvaluationResult, summary_lines
from wtal.experiments.pipeline import evaluate_file, short_names
from wtal.reporting.benchmark_report import render_evaluations
from wtal.reporting.tables import map_table

SECONDS = [name for name, rules in PROTOCOLS.items() if rules.snippet_rate is None]
TIOUS = (0.1, 0.3, 0.5, 0.7)


def video(id, *actions, subset="testing"):
    found = tuple(Segment(*action) for action in actions)
    return Video(id, subset, tuple(sorted({action.label for action in found})), 100.0, found)


def drawn(picture, label="x"):
    """`..aa..bb` -> (start, end) of each letter's run: 16 s a character, 25 whole snippets."""
    marks = sorted(set(picture) - {"."}, key=picture.index)
    return [(label, 16.0 * picture.index(mark), 16.0 * (picture.rindex(mark) + 1)) for mark in marks]


# Reference: one proposal, one threshold at a time


def reference(proposals, truth, rules, tious):
    """Label -> AP at each threshold, by the text of the protocol."""
    labels = sorted({action.label for found in truth for action in found.segments})
    return {
        label: tuple(reference_ap(proposals, truth, label, rules, threshold) for threshold in tious) for label in labels
    }


def reference_ap(proposals, truth, label, rules, threshold):
    actions = {
        found.id: [rules.truth_times((a.start, a.end)) for a in found.segments if a.label == label] for found in truth
    }
    ranked = sorted(
        ((p, id) for id, found in proposals.items() for p in found if p.label == label),
        key=lambda pair: -pair[0].score,
    )
    taken, hits = set(), []
    for proposal, id in ranked:
        start, end = rules.proposal_times((proposal.start, proposal.end))
        shared = np.array([float(tiou(start, end, *action)) for action in actions.get(id, [])])
        order = preference_order(shared[None], rules.best_first)[0]
        free = [(id, place) for place in order if shared[place] >= threshold and (id, place) not in taken]
        hits.append(bool(free))
        taken.update(free[:1])
    precision = [sum(hits[: n + 1]) / (n + 1) for n in range(len(hits))]
    if rules.interpolated:
        precision = [max(precision[n:]) for n in range(len(precision))]
    return sum(p for p, hit in zip(precision, hits, strict=True) if hit) / sum(map(len, actions.values()))


times = st.integers(0, 40).map(lambda tenths: tenths * 0.4)
spans = st.tuples(times, times).map(sorted).map(tuple)
labelled = st.tuples(st.sampled_from("xyz"), spans).map(lambda pair: (pair[0], *pair[1]))
truths = (
    st.lists(st.lists(labelled, max_size=6), min_size=1, max_size=3)
    .filter(any)
    .map(lambda lists: [video(f"v{place}", *actions) for place, actions in enumerate(lists)])
)


@st.composite
def scenes(draw, distinct=False):
    """Ground truth, and proposals also for a video and a class that it does not have."""
    truth = draw(truths)
    found = draw(st.lists(st.tuples(st.integers(0, 3), labelled), max_size=25))
    score = st.integers(0, 10**6) if distinct else st.integers(0, 8)
    scores = draw(st.lists(score, min_size=len(found), max_size=len(found), unique=distinct))
    proposals = {}
    for (place, (label, start, end)), value in zip(found, scores, strict=True):
        proposals.setdefault(f"v{place}", []).append(Segment(label, start, end, value / 8))
    return proposals, truth


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(scene=scenes())
@settings(max_examples=60, deadline=None)
def test_the_fast_matcher_is_the_plain_one(protocol, scene):
    proposals, truth = scene
    ours = evaluate(proposals, truth, protocol, tious=TIOUS).per_class
    plain = reference(proposals, truth, PROTOCOLS[protocol], TIOUS)
    assert ours.keys() == plain.keys()
    for label in ours:
        assert ours[label] == pytest.approx(plain[label], abs=1e-12)


# What must stay true


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_perfect_proposals_score_one(protocol):
    truth = [video("a", *drawn("aa..bbb"), *drawn("..cc", "y")), video("b", *drawn(".a.b"))]
    perfect = {v.id: [Segment(a.label, a.start, a.end, 1.0) for a in v.segments] for v in truth}
    assert evaluate(perfect, truth, protocol, tious=[0.5, 1.0]).map == (1.0, 1.0)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(scene=scenes(distinct=True), data=st.data())
@settings(max_examples=30, deadline=None)
def test_the_order_of_the_input_is_irrelevant(protocol, scene, data):
    proposals, truth = scene
    ids = data.draw(st.permutations(sorted(proposals)))
    shuffled = {id: data.draw(st.permutations(proposals[id])) for id in ids}
    assert evaluate(shuffled, truth, protocol).per_class == evaluate(proposals, truth, protocol).per_class


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(scene=scenes(), late=labelled)
@settings(max_examples=30, deadline=None)
def test_a_last_false_positive_never_helps(protocol, scene, late):
    proposals, truth = scene
    before = evaluate(proposals, truth, protocol)
    after = evaluate(proposals | {"nowhere": [Segment(*late, -1.0)]}, truth, protocol)
    assert np.all(np.array(after.map) <= np.array(before.map))


@pytest.mark.parametrize("protocol", SECONDS)
@given(scene=scenes())
@settings(max_examples=30, deadline=None)
def test_doubling_time_changes_nothing_in_seconds(protocol, scene):
    proposals, truth = scene
    slower = {id: [p._replace(start=2 * p.start, end=2 * p.end) for p in found] for id, found in proposals.items()}
    slow_truth = [
        replace(v, segments=tuple(Segment(a.label, 2 * a.start, 2 * a.end) for a in v.segments)) for v in truth
    ]
    assert evaluate(slower, slow_truth, protocol).map == evaluate(proposals, truth, protocol).map


@given(scene=scenes())
@settings(max_examples=30, deadline=None)
def test_map_is_the_mean_over_classes(scene):
    result = evaluate(*scene)
    assert result.map == pytest.approx(np.mean(list(result.per_class.values()), axis=0))
    assert all(0 <= value <= 1 for value in result.map)


@given(scene=scenes())
@settings(max_examples=30, deadline=None)
def test_one_action_is_found_less_at_a_higher_tiou(scene):
    # With several, a looser threshold may let a proposal take the action of a later one.
    proposals, truth = scene
    single = [replace(v, segments=v.segments[:1]) for v in truth]
    found = np.array(list(evaluate(proposals, single, tious=TIOUS).per_class.values()))
    assert np.all(np.diff(found, axis=1) <= 1e-12)


# In pictures


@pytest.mark.parametrize(
    "truth, proposed, expected",
    [
        ("..aa..bb..", "..aa..bb..", 1.0),
        ("..aa..bb..", "..aa......", 0.5),
        ("..aa......", "......aabb", 0.0),
        ("aaaa......", ".......aaa", 0.0),
        ("aa........", "bbb...aaa.", 1.0),  # two thirds overlap is enough at 0.5
    ],
)
def test_pictures(truth, proposed, expected):
    spans = [Segment(*span, score=-span[1]) for span in drawn(proposed)]  # the earlier, the surer
    assert evaluate({"v": spans}, [video("v", *drawn(truth))], tious=0.5).map == (expected,)


def test_the_best_action_or_the_first_in_the_file():
    truth = [video("v", ("x", 0.0, 64.0), ("x", 0.0, 32.0))]
    proposals = {"v": [Segment("x", 0.0, 32.0, 0.9), Segment("x", 0.0, 32.0, 0.8)]}
    assert evaluate(proposals, truth, "thumos14-212", tious=0.6).map == (0.5,)
    assert evaluate(proposals, truth, "wtalc", tious=0.5).map == (1.0,)
    wider = {"v": [Segment("x", 0.0, 40.0, 0.9), Segment("x", 0.0, 60.0, 0.8)]}
    assert evaluate(wider, truth, "thumos14-snippet", tious=0.6).map == (1.0,)
    # First come, first in file: 40 s takes the long action, and 60 s finds only the short one left.
    assert evaluate(wider, truth, "wtalc", tious=0.6).map == (0.5,)


def test_a_second_hit_is_a_false_positive():
    truth = [video("v", ("x", 0.0, 10.0), ("x", 50.0, 60.0))]
    proposals = {"v": [Segment("x", 0, 10, 0.9), Segment("x", 0, 10, 0.8), Segment("x", 50, 60, 0.7)]}
    assert evaluate(proposals, truth, tious=0.5).map[0] == pytest.approx((1 + 2 / 3) / 2)


@pytest.mark.parametrize("interpolated, expected", [(True, (2 / 3 + 2 / 3) / 4), (False, (0.5 + 2 / 3) / 4)])
def test_the_envelope(interpolated, expected):
    hits = np.array([[False, True, True]])
    assert average_precision(hits, 4, interpolated) == pytest.approx(expected)


def test_no_proposals_no_precision():
    assert average_precision(np.zeros((2, 0), bool), 3).tolist() == [0.0, 0.0]


# Odd input


def test_empty_results_score_zero_and_say_so():
    result = evaluate({}, [video("v", *drawn("aa"))])
    assert set(result.map) == {0.0}
    assert any("no proposal at all for x" in note for note in result.notes)
    assert result.counts.videos_without_proposals == 1


def test_unknown_videos_are_false_positives_and_unknown_labels_are_not():
    truth = [video("v", *drawn("aa"))]
    right, wrong = Segment("x", 0, 32, 0.5), Segment("x", 0, 32, 0.9)
    elsewhere = evaluate({"v": [right], "w": [wrong]}, truth, tious=0.5)
    assert elsewhere.map == (0.5,)
    assert elsewhere.counts.proposals_elsewhere == 1
    assert any("count as false positives" in note for note in elsewhere.notes)
    other = evaluate({"v": [right, wrong._replace(label="y")]}, truth, tious=0.5)
    assert other.map == (1.0,)
    assert other.counts.proposals_of_other_labels == 1
    assert other.counts.labels_without_truth == ("y",)


def test_a_video_of_the_subset_without_actions_still_counts():
    truth = [video("v", *drawn("aa")), video("empty")]
    proposals = {"empty": [Segment("x", 0, 32, 0.9)], "v": [Segment("x", 0, 32, 0.5)]}
    result = evaluate(proposals, truth, tious=0.5)
    assert result.map == (0.5,)
    assert result.counts.videos == 2


def test_times_beyond_the_video_and_no_length():
    truth = [video("v", ("x", 0.0, 10.0), ("x", 300.0, 310.0), ("x", 20.0, 20.0))]
    spans = [(-5.0, 10.0), (299.0, 400.0), (5.0, 5.0), (20.0, 20.0)]
    proposals = {"v": [Segment("x", *span, 1 - n / 10) for n, span in enumerate(spans)]}
    result = evaluate(proposals, truth, tious=0.5)
    assert result.map[0] == pytest.approx(1 / 3)
    assert result.counts.instances_of_no_length == 1
    assert result.counts.proposals_of_no_length == 2


def test_equal_scores_keep_the_order_of_the_file():
    truth = [video("v", *drawn("aa"))]
    right, wrong = Segment("x", 0, 32, 0.5), Segment("x", 70, 90, 0.5)
    assert evaluate({"v": [right, wrong]}, truth, tious=0.5).map == (1.0,)
    assert evaluate({"v": [wrong, right]}, truth, tious=0.5).map == (0.5,)


def test_both_labels_of_one_moment_are_scored():
    truth = [video("v", ("CliffDiving", 0.0, 10.0), ("Diving", 0.0, 10.0))]
    result = evaluate({"v": [Segment("Diving", 0, 10, 1.0)]}, truth, tious=0.5)
    assert result.per_class == {"CliffDiving": (0.0,), "Diving": (1.0,)}


@pytest.mark.parametrize("here, there", [("v_abc", "abc"), ("abc", "v_abc")])
def test_activitynet_ids_with_and_without_v(here, there):
    result = evaluate({there: [Segment("x", 0, 32, 1.0)]}, [video(here, *drawn("aa"))], tious=0.5)
    assert result.map == (1.0,)
    assert any("v_" in note for note in result.notes)


def test_ids_that_exist_are_never_renamed():
    truth = [video("abc", *drawn("aa")), video("v_abc", *drawn("....aa"))]
    proposals = {v.id: [Segment("x", a.start, a.end, 1.0) for a in v.segments] for v in truth}
    result = evaluate(proposals, truth, tious=0.5)
    assert result.map == (1.0,)
    assert result.notes == ()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_refused(bad):
    with pytest.raises(DataError, match=r"^v: .*finite"):
        evaluate({"v": [Segment("x", 0, 1, bad)]}, [video("v", *drawn("aa"))])


# Subsets, thresholds, notes


def test_the_testing_subset_is_scored_by_default():
    truth = [video("t", *drawn("aa"), subset="training"), video("v", *drawn("aa"), subset="test")]
    proposals = {"t": [Segment("x", 70, 80, 0.9)], "v": [Segment("x", 0, 32, 0.5)]}
    result = evaluate(proposals, truth, tious=0.5)
    assert (result.map, result.subset) == ((1.0,), "testing")
    assert result.counts.proposals_of_other_subsets == 1
    assert any("none was asked for" in note for note in result.notes)
    assert evaluate(proposals, truth, subset="train").subset == "training"


def test_validation_where_testing_has_no_times():
    truth = [Video("t", "testing", ("x",)), video("v", *drawn("aa"), subset="validation")]
    assert evaluate({}, truth).subset == "validation"
    with pytest.raises(DataError, match='in "testing" or videos without a subset, but in "validation"; name such'):
        evaluate({}, truth, "thumos14-212")  # THUMOS14 trains on its validation videos
    with pytest.raises(DataError, match='no start and end in "testing"'):
        evaluate({}, truth, subset="test")


@pytest.mark.parametrize("protocol", ["activitynet", "thumos14-snippet", "wtalc"])
@pytest.mark.parametrize("far", [1e308, 1e101, float("inf"), float("nan")])
def test_numbers_that_nobody_can_count_with_are_refused_without_a_warning(protocol, far):
    truth, found = [video("v", ("x", 0.0, 5.0))], {"v": [Segment("x", 0.0, 5.0, 0.9)]}
    for wrong in (Segment("x", -far, far, 0.9), Segment("x", far, far, 0.9), Segment("x", 0.0, 5.0, far)):
        with pytest.raises(DataError, match=r"v: Segment.* is not all finite numbers up to"):
            evaluate({"v": [*found["v"], wrong]}, truth, protocol)
    with pytest.raises(DataError, match=r"v: Segment.* is not all finite numbers up to"):
        evaluate(found, [video("v", ("x", -far, far))], protocol)
    evaluate({"v": [Segment("x", -1e100, 1e100, -1e100)]}, [video("v", ("x", -1e100, 1e100))], protocol)


def test_nothing_to_score_against_is_said():
    with pytest.raises(DataError, match="without a subset, nor anywhere else; give other ground truth"):
        evaluate({}, [Video("v", "testing", ("x",))])
    with pytest.raises(DataError, match="twice"):
        evaluate({}, [video("v", *drawn("aa")), video("v", *drawn("aa"))])
    with pytest.raises(DataError, match="leaves out every video"):
        evaluate({}, [video("video_test_0000270", *drawn("aa"))], "thumos14-210")


def test_unknown_protocols_and_thresholds_are_refused():
    truth = [video("v", *drawn("aa"))]
    with pytest.raises(ConfigError, match="use one of activitynet, thumos14-210"):
        evaluate({}, truth, "thumos")
    for bad in (0.0, 1.1, [], float("nan")):
        with pytest.raises(ConfigError, match="above 0"):
            evaluate({}, truth, tious=bad)


def test_a_threshold_is_the_number_that_is_meant():
    truth = [video("v", ("x", 0.0, 10.0))]
    result = evaluate({"v": [Segment("x", 0, 3, 1.0)]}, truth, tious=np.linspace(0.1, 0.7, 7))
    assert result.tious == (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
    assert result.map[:4] == (1.0, 1.0, 1.0, 0.0)
    assert result.average(0.1, 0.5) == pytest.approx(0.6)
    with pytest.raises(ConfigError):
        result.average(0.8, 0.9)


def test_the_ambiguous_list_removes_and_its_absence_is_said():
    truth = [video("v", ("x", 0.0, 16.0))]
    proposals = {"v": [Segment("x", 32.0, 48.0, 0.9), Segment("x", 0.0, 16.0, 0.5)]}
    ambiguous = {"v": [(40.0, 41.0)], "unknown": [(0.0, 99.0)]}
    for protocol in ("thumos14-snippet", "wtalc"):
        without = evaluate(proposals, truth, protocol, tious=0.5)
        assert without.map == (0.5,)
        assert any("NO AMBIGUOUS LIST" in note for note in without.notes)
        result = evaluate(proposals, truth, protocol, tious=0.5, ambiguous=ambiguous)
        assert result.map == (1.0,)
        assert result.counts.proposals_ambiguous == 1
        assert not any("NO AMBIGUOUS LIST" in note for note in result.notes)
    unused = evaluate(proposals, truth, "thumos14-212", tious=0.5, ambiguous=ambiguous)
    assert unused.map == (0.5,)
    assert any("has no use for the ambiguous list" in note for note in unused.notes)


def test_another_ground_truth_than_the_name_promises_is_said():
    result = evaluate({}, [video("v", *drawn("aa"))], "thumos14-212")
    assert result.notes[0].startswith("NOT COMPARABLE: thumos14-212 means 212 videos and 3,358 instances")


def test_results_survive_the_disk_and_are_shown():
    truth = [video("v", *drawn("aa")), video("video_test_0000270", *drawn("aa"))]
    result = evaluate({"v": [Segment("x", 0, 32, 1.0)]}, truth, "thumos14-210", checkpoint="last")
    assert EvaluationResult.from_json(json.loads(json.dumps(result.to_json()))) == result
    with pytest.raises(DataError, match="not evaluation results"):
        EvaluationResult.from_json({"map": [1.0]})
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(map_table(result, classes=True))
    text = console.export_text()
    assert "thumos14-210" in text and "checkpoint: last" in text and "100.0" in text and "0.3-0.7" in text
    assert "1 videos, 1 instances of 1 classes, 1 proposals" in summary_lines(result)
    assert any("video_test_0000270 with 1 instances" in line for line in summary_lines(result))


# Numbers of the public evaluators on one system's output; percent at 0.1:0.1:0.7, then the average

GOLDEN = {
    "thumos14-210": (69.09, 63.13, 54.24, 44.59, 33.94, 23.28, 12.47, 42.96),
    "thumos14-212": (68.33, 62.41, 53.60, 44.03, 33.48, 22.92, 12.23, 42.43),
    "thumos14-snippet": (68.07, 62.86, 54.02, 45.50, 36.34, 24.69, 12.33, 43.40),
    "wtalc": (66.66, 61.76, 52.99, 44.37, 36.12, 23.65, 11.76, 42.47),
}


@pytest.fixture(scope="module")
def thumos(shared):
    folder = shared("thumos14")
    ambiguous = read_ambiguous(folder / "Thumos14reduced-Annotations" / "Ambiguous_test.txt")
    truths = {name: read_activitynet(folder / f"{name}_gt.json") for name in ("acmnet", "basnet")}
    return read_proposals(folder / "pmil_base_test.json"), truths, ambiguous


@pytest.mark.parametrize("protocol", GOLDEN)
def test_golden_numbers(thumos, protocol):
    proposals, truths, ambiguous = thumos
    result = evaluate(proposals, truths["acmnet"], protocol, ambiguous=ambiguous)
    rules = PROTOCOLS[protocol]
    assert (result.counts.videos, result.counts.instances) == (rules.videos, rules.instances)
    found = 100 * np.array([*result.map, result.average(0.1, 0.7)])
    assert found[-1] == pytest.approx(GOLDEN[protocol][-1], abs=0.02)
    # Equal tIoUs of whole snippets fall as numpy sorts them, which on a CPU without AVX2 moves 0.1 by 0.03.
    assert found == pytest.approx(GOLDEN[protocol], abs=0.04 if protocol == "thumos14-snippet" else 0.02)


def test_the_210_videos_come_from_either_file(thumos):
    proposals, truths, _ = thumos
    ours = [evaluate(proposals, truths[name], "thumos14-210") for name in ("acmnet", "basnet")]
    assert ours[0].map == pytest.approx(ours[1].map, abs=2e-4)
    assert ours[0].counts.instances_left_out == 47
    short = evaluate(proposals, truths["basnet"], "thumos14-212")
    assert any("NOT COMPARABLE" in note and "gives 210 and 3,311" in note for note in short.notes)


def test_seventeen_instances_round_to_nothing(thumos):
    proposals, truths, ambiguous = thumos
    result = evaluate(proposals, truths["acmnet"], "thumos14-snippet", ambiguous=ambiguous)
    assert result.counts.instances_of_no_length == 17


# Several files, several protocols


def test_multithumos_means_65_classes():
    truth = [video("v", *[(f"c{n}", 2.0 * n, 2.0 * n + 1) for n in range(65)])]
    perfect = {"v": [Segment(a.label, a.start, a.end, 1.0) for a in truth[0].segments]}
    result = evaluate(perfect, truth, "multithumos")
    assert result.tious == tuple(n / 10 for n in range(1, 10)) and result.averages == ((0.1, 0.9),)
    assert result.average(0.1, 0.9) == 1 and result.notes == ()
    assert "multithumos" in fitting_protocols(truth)
    fewer = [replace(truth[0], segments=truth[0].segments[1:])]
    (note,) = evaluate({"v": perfect["v"][1:]}, fewer, "multithumos").notes
    assert note == "NOT COMPARABLE: multithumos means 65 classes, this ground truth gives 64"
    assert fitting_protocols(fewer) == ["activitynet"]


def test_protocols_that_fit(thumos):
    _, truths, _ = thumos
    everywhere = ["activitynet", "thumos14-210", "thumos14-212", "thumos14-snippet", "wtalc"]
    assert fitting_protocols(truths["acmnet"]) == everywhere
    assert fitting_protocols(truths["basnet"]) == everywhere[:2]
    assert fitting_protocols([video("v", *drawn("aa"), subset="validation")]) == everywhere[:1]


@pytest.fixture
def files(tmp_path):
    """Two files of the same name, and ground truth of two videos."""
    truth = [video(id, *drawn("aa..bb")) for id in ("v", "w")]
    write_activitynet(tmp_path / "truth.json", truth)
    good = {v.id: [Segment(a.label, a.start, a.end, 1.0) for a in v.segments] for v in truth}
    for name, found in {"good": good, "half": {"v": good["v"]}}.items():
        (tmp_path / name).mkdir()
        write_proposals(tmp_path / name / "p.json", found)
    return [tmp_path / "good/p.json", tmp_path / "half/p.json", tmp_path / "truth.json"]


def wtal(*arguments, columns=100):
    """Exit code and all that was said."""
    done = CliRunner(env={"COLUMNS": str(columns)}).invoke(app, [str(a) for a in arguments])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


def test_one_file_under_one_protocol_is_as_ever(files, tmp_path):
    good, _, truth = files
    code, said = wtal("evaluate", good, truth, "--protocol", "thumos14-212")
    assert code == 0 and f"written to {tmp_path}/good/results.json" in said and "interval" not in said
    written = EvaluationResult.from_json(json.loads((tmp_path / "good/results.json").read_text()))
    assert written == evaluate(read_proposals(good), read_activitynet(truth), "thumos14-212")


def test_several_files_stand_side_by_side(files, tmp_path):
    code, said = wtal("evaluate", *files, "--protocol", "thumos14-212")
    assert code == 0 and f"written to {tmp_path}/good/evaluations.json" in said
    assert "good/p.json - half/p.json" in said and "+50.0" in said
    assert said.count("NOT COMPARABLE: thumos14-212 means") == 1
    assert "thumos14-212 (half/p.json): 1 videos have no proposal" in said
    told = json.loads((tmp_path / "good/evaluations.json").read_text())
    assert told["files"] == {"good/p.json": str(files[0]), "half/p.json": str(files[1])}
    assert [EvaluationResult.from_json(entry["result"]).map[0] for entry in told["entries"]] == [1.0, 0.5]
    assert told["leads"][0]["difference"]["value"] == 0.5 and told["draws"] == 1000
    assert not (tmp_path / "good/results.json").exists()


@pytest.mark.parametrize("columns", [80, 120])
def test_all_protocols_that_fit(files, tmp_path, columns):
    out = tmp_path / "all.json"
    code, said = wtal("evaluate", files[0], files[2], "--protocol", "all", "--out", out, columns=columns)
    assert code == 0 and json.loads(out.read_text())["not_fitting"] == [n for n in PROTOCOLS if n != "activitynet"]
    assert "as they mean other ground truth than this: thumos14-210, thumos14-212, " in said
    assert all(len(line) <= columns for line in said[: said.index("activitynet: 2 videos")].splitlines())


def test_the_tables_of_thumos_fit_a_terminal(thumos):
    proposals, truths, ambiguous = thumos
    few = dict(list(proposals.items())[:60])
    names = fitting_protocols(truths["acmnet"])
    found = compare_evaluations(
        {"a": few, "b/with a long name.json": few}, truths["acmnet"], names, ambiguous=ambiguous
    )
    for width in (80, 100, 120):
        console = Console(width=width, record=True, file=io.StringIO())
        render_evaluations(found, console)
        text = console.export_text()
        tables = text[: text.index("all protocols: ")]
        assert max(map(len, tables.splitlines()[:-1])) <= width and "…" not in text
        assert "thumos14-snippet" in text and "first in file" in text and ".1-.5 .3-.7 .1-.7" in text
    assert text.count("has no use for the ambiguous list") == 1


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["good/p.json", "none.json", "truth.json"], "none.json: there is no such file"),
        (["good/p.json", "half/../good/p.json", "truth.json"], "is named twice; name each file of proposals once"),
        (["truth.json", "good/p.json", "half/p.json"], "truth.json: holds annotations, not proposals"),
        (["good", "good/p.json", "truth.json"], "good: is a folder, not proposals; name files of proposals first"),
        (["good/p.json", "truth.json", "--protocol", "all,foo"], 'protocol "all,foo" is not known; use one of'),
        (["good/p.json", "half/p.json", "truth.json", "--classes"], "--classes is for one file under one protocol"),
        (["good/p.json", "half/p.json", "truth.json", "--out", "half/p.json"], "is one of the files to be read"),
        (["good/p.json", "truth.json", "--out", "good/p.json"], "is one of the files to be read"),
        (["good/p.json", "half/p.json", "truth.json", "--tiou", "2"], "tIoU thresholds are [2.0]"),
        (["good/p.json", "truth.json", "--protocol", "all", "--subset", "train"], 'no start and end in "training"'),
    ],
)
def test_several_files_at_fault(files, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    code, output = wtal("evaluate", *arguments)
    assert code == 2 and said in output and len(output.strip().splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before and "results" in files[0].read_text()


def test_one_file_alone_is_asked_for_the_other(files):
    code, said = wtal("evaluate", files[0])
    assert code == 2 and "Missing argument" in said and "{TRUTH}" in said


@pytest.mark.parametrize(
    "paths, names",
    [
        (["a/p.json"], ["p.json"]),
        (["a/p.json", "b/q.json"], ["p.json", "q.json"]),
        (["a/p.json", "b/p.json", "c.json"], ["a/p.json", "b/p.json", "c.json"]),
        (["r/a/p.json", "s/a/p.json"], ["r/a/p.json", "s/a/p.json"]),
        (["p.json", "a/p.json"], ["p.json", "a/p.json"]),
    ],
)
def test_files_are_told_apart_by_the_ends_of_their_paths(paths, names):
    assert short_names([Path(path) for path in paths]) == names


def test_a_score_may_lie_beside_the_truth_but_not_in_its_place(tmp_path):
    data, run = tmp_path / "data", tmp_path / "data/runs/dfe"
    run.mkdir(parents=True)
    found = [video("v", ("x", 1.0, 5.0))]
    write_activitynet(data / "annotations.json", found)
    (data / "dataset.json").write_text('{"snippet_seconds": 1.0}')
    for place in (data, run):
        write_proposals(place / "p.json", {"v": [Segment("x", 1.0, 5.0, 0.9)]})
        for _ in range(2):  # the second time over the first one's results
            evaluate_file(place / "p.json", data, out=place / "results.json")
    before = {path: path.read_bytes() for path in data.iterdir() if path.is_file()}
    for name in ("annotations.json", "dataset.json"):
        with pytest.raises(DataError, match="is one of the files to be read"):
            evaluate_file(run / "p.json", data, out=data / name)
    with pytest.raises(DataError, match="is one of the files to be read"):
        evaluate_file(run / "p.json", data / "annotations.json", out=data / "annotations.json")
    assert before == {path: path.read_bytes() for path in before}


@pytest.mark.parametrize("alike", [False, True], ids=["each its own list", "all the same list"])
def test_each_takes_the_first_that_is_free(alike):
    draw = np.random.default_rng(0)
    for _ in range(60):
        size = draw.integers(0, 60, 2)
        lists = [
            np.arange(size[1]) if alike else draw.permutation(size[1])[: draw.integers(0, 9)] for _ in range(size[0])
        ]
        expected, gone = np.full(size[0], -1), set[int]()
        for proposal, liked in enumerate(lists):
            expected[proposal] = next((action for action in liked.tolist() if action not in gone), -1)
            gone.add(int(expected[proposal]))
        proposals = np.repeat(np.arange(size[0]), [len(liked) for liked in lists])
        actions = np.concatenate([np.empty(0, int), *lists])
        assert np.array_equal(greedy_match(proposals, actions, tuple(size)), expected)
