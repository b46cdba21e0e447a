"""Error analysis: each kind on hand-made cases, books that balance, and what must not depend on the telling."""

import io
import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from wtal.cli import app
from wtal.core.clock import tiou as overlap
from wtal.core.errors import ConfigError, DataError
from wtal.core.structures import Segment, Video
from wtal.data.layouts.activitynet import read_activitynet, read_proposals, write_activitynet, write_proposals
from wtal.evaluation.error_analysis import (
    BOUNDS,
    KINDS,
    SIZES,
    AnalysisInputs,
    analyse,
    coverages,
    crowds,
    distances,
    lengths,
    normalised_map,
    prepare_analysis,
    sizes_of,
)
from wtal.evaluation.evaluate import evaluate, evaluate_with_matches
from wtal.evaluation.matching import Intervals, average_precision, matched_segment
from wtal.evaluation.protocols import PROTOCOLS, find_protocol
from wtal.reporting.error_tables import render_analysis
from wtal.reporting.figures.paper import draw_analysis

NONE = dict.fromkeys(KINDS, 0)


def video(id, *actions, duration=100.0, subset="testing"):
    found = tuple(Segment(*action) for action in actions)
    return Video(id, subset, tuple(sorted({action.label for action in found})), duration, found)


def proposed(*entries):
    """(label, start, end, ...): the earlier the surer."""
    return [Segment(*entry, score=1.0 - number / 1000) for number, entry in enumerate(entries)]


def kinds_of(analysis):
    return {kind: count for kind, count in analysis.kinds.items() if count}


# Each kind by hand. One run (10 to 20) and one jump (50 to 60) in a video.

RUN, JUMP = ("run", 10.0, 20.0), ("jump", 50.0, 60.0)
CASES = {
    "the action itself": ([RUN], "true positive"),
    "half of it": ([("run", 10, 15)], "true positive"),  # tIoU is just 0.5
    "the same again, less sure": ([RUN, ("run", 11, 20)], "double detection"),
    "its place, another name": ([("jump", 10, 20)], "wrong label"),
    "half of another's": ([("run", 50, 55)], "wrong label"),
    "too short": ([("run", 10, 14.9)], "localization"),
    "a tenth": ([("run", 10, 11)], "localization"),  # tIoU is just 0.1
    "too short, and another name": ([("jump", 10, 14)], "confusion"),
    "under a tenth": ([("run", 10, 10.9)], "background"),
    "nothing there": ([("run", 30, 40)], "background"),
    "without length": ([("run", 15, 15)], "background"),
}


@pytest.mark.parametrize("entries, kind", CASES.values(), ids=CASES)
def test_each_kind_is_recognised(entries, kind):
    expected = {"true positive": 1, kind: 1} if len(entries) == 2 else {kind: 1}
    assert kinds_of(analyse({"v": proposed(*entries)}, [video("v", RUN, JUMP)])) == expected


def test_the_surer_one_is_no_double():
    found = analyse({"v": [Segment("run", 11, 20, 0.1), Segment("run", 10, 20, 0.9)]}, [video("v", RUN)])
    assert kinds_of(found) == {"true positive": 1, "double detection": 1}


def test_a_video_that_nobody_knows_is_background():
    assert kinds_of(analyse({"elsewhere": proposed(RUN)}, [video("v", RUN)])) == {"background": 1}


def test_a_label_that_no_action_has_is_not_scored():
    found = analyse({"v": proposed(RUN, ("swim", 10, 20))}, [video("v", RUN)])
    assert kinds_of(found) == {"true positive": 1}
    assert found.result.counts.proposals_of_other_labels == 1


def test_the_action_it_overlaps_most_decides():
    truth = [video("v", ("run", 10, 20), ("jump", 16, 30))]
    assert kinds_of(analyse({"v": proposed(("run", 17, 30))}, truth)) == {"wrong label": 1}
    assert kinds_of(analyse({"v": proposed(("run", 10, 24))}, truth)) == {"true positive": 1}


def test_two_labels_of_one_moment_make_no_wrong_label():
    """THUMOS14 marks each cliff dive as a dive too."""
    truth = [video("v", ("cliff diving", 10, 20), ("diving", 10, 20))]
    found = analyse({"v": proposed(("diving", 10, 20), ("diving", 10, 19), ("diving", 10, 13))}, truth)
    assert kinds_of(found) == {"true positive": 1, "double detection": 1, "localization": 1}


def test_the_kinds_follow_the_tiou():
    told = [kinds_of(analyse({"v": proposed(("run", 10, 17))}, [video("v", RUN)], tiou=t)) for t in (0.7, 0.71)]
    assert told == [{"true positive": 1}, {"localization": 1}]


def test_ten_for_each_instance_count():
    entries = [RUN, *(("run", 30 + step, 31 + step) for step in range(14))]
    found = analyse({"v": proposed(*entries)}, [video("v", RUN)])
    assert found.counted == 10 and found.beyond == NONE | {"background": 5}
    assert [sum(kinds.values()) for kinds in found.profile] == list(range(1, 11))
    late = analyse({"v": proposed(*entries[1:], RUN)}, [video("v", RUN)])
    assert late.kinds == NONE | {"background": 10}
    assert late.beyond == NONE | {"background": 4, "true positive": 1}
    assert late.whole.missed == 1, "a hit behind the top-10G finds nothing for anybody who looks at those"


# What must be true of any file

LABELS = ("a", "b", "c")
spans = st.tuples(st.integers(0, 20), st.integers(1, 8)).map(lambda span: (span[0], span[0] + span[1]))
labelled = st.tuples(st.sampled_from(LABELS), spans).map(lambda entry: (entry[0], *map(float, entry[1])))
films = st.dictionaries(st.sampled_from("uvw"), st.lists(labelled, max_size=6), min_size=1)
truths = films.filter(lambda films: any(films.values())).map(
    lambda films: [video(id, *actions, duration=30.0) for id, actions in films.items()]
)
scored = st.tuples(labelled, st.integers(0, 5)).map(lambda entry: Segment(*entry[0], entry[1] / 5))
files = st.dictionaries(st.sampled_from("uvwx"), st.lists(scored, max_size=25))
tious = st.sampled_from((0.1, 0.3, 0.5, 0.75, 1.0))
protocols = st.sampled_from(("activitynet", "thumos14-212", "thumos14-snippet", "wtalc"))


@settings(max_examples=40, deadline=None)
@given(files, truths, protocols, tious)
def test_the_books_balance(proposals, truth, protocol, tiou):
    found = analyse(proposals, truth, protocol, tiou)
    everything = {kind: found.kinds[kind] + found.beyond[kind] for kind in KINDS}
    assert list(found.kinds) == list(KINDS)
    assert sum(everything.values()) == found.result.counts.proposals
    assert found.kinds["true positive"] == found.whole.instances - found.whole.missed
    counts = [[kinds[kind] for kind in KINDS] for kinds in found.profile]
    assert np.all(np.diff(counts, axis=0) >= 0)
    for trait in found.traits:
        assert sum(group.instances for group in trait.groups) + trait.unknown == found.whole.instances
        assert sum(group.missed for group in trait.groups) == found.whole.missed
        assert [group.size for group in trait.groups] == list(SIZES)
        assert all((group.normalised_map is None) is (group.instances == 0) for group in trait.groups)
    scores = [group.normalised_map for trait in found.traits for group in trait.groups]
    assert all(0 <= score <= 1 + 1e-9 for score in scores if score is not None)
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["kinds"] == found.kinds


@settings(max_examples=40, deadline=None)
@given(files, truths, protocols, tious)
def test_each_kind_is_what_its_definition_says(proposals, truth, protocol, tiou):
    """One prediction at a time, from the overlaps alone; hits are those of the evaluation."""
    rules = find_protocol(protocol)
    layout = prepare_analysis(proposals, truth, rules)
    hits = evaluate_with_matches(proposals, truth, protocol, tious=[tiou]).ranked.hits[0]
    assert np.array_equal(matched_segment(layout.proposals, layout.actions, rules, (tiou,))[0] >= 0, hits)
    expected = dict(NONE)
    p, a = layout.proposals, layout.actions
    for row, hit in enumerate(hits):
        there = np.flatnonzero(a.video == p.video[row])
        pairs = [(float(overlap(p.start[row], p.end[row], a.start[i], a.end[i])), a.label[i]) for i in there]
        best, own = max([(share, label == p.label[row]) for share, label in pairs], default=(0.0, True))
        missed_names = ("localization", "confusion") if best < tiou else ("double detection", "wrong label")
        error = "background" if best < 0.1 else missed_names[0 if own else 1]
        expected["true positive" if hit else error] += 1
    found = analyse(proposals, truth, protocol, tiou)
    assert {kind: found.kinds[kind] + found.beyond[kind] for kind in KINDS} == expected


@settings(max_examples=40, deadline=None)
@given(files, truths, protocols, tious)
def test_gains_are_those_of_the_evaluation(proposals, truth, protocol, tiou):
    """Mending is leaving out: nothing is lost by it, and without any error precision is as good as recall."""
    found = analyse(proposals, truth, protocol, tiou)
    assert found.map_at_tiou == pytest.approx(evaluate(proposals, truth, protocol, [tiou]).map[0])
    assert found.result == evaluate(proposals, truth, protocol)
    assert list(found.gains) == list(KINDS[1:])
    for kind, gain in found.gains.items():
        assert gain.at_tiou >= -1e-12 and gain.average >= -1e-12
        if not found.kinds[kind] + found.beyond[kind]:
            assert gain.at_tiou == 0


def test_what_mending_is_worth_by_hand():
    """A false positive before the only hit: 1/2 becomes 1 without it; at tIoU 0.1 and 0.2 it is the hit."""
    truth = [video("v", ("run", 10, 20))]
    found = analyse({"v": proposed(("run", 10, 12.5), ("run", 10, 20))}, truth, "thumos14-212")
    assert found.map_at_tiou == 0.5 and found.gains["localization"].at_tiou == 0.5
    assert found.gains["localization"].average == pytest.approx(5 / 7 * 0.5)  # 0.3 to 0.7
    assert found.gains["background"].average == found.gains["double detection"].average == 0


@settings(max_examples=25, deadline=None)
@given(files, truths, protocols, tious)
def test_it_does_not_depend_on_the_order_of_the_videos(proposals, truth, protocol, tiou):
    """Where no two scores are equal: equal ones keep the order given, as in the evaluation."""
    number = iter(range(1000))
    proposals = {id: [p._replace(score=p.score + next(number) / 1e6) for p in found] for id, found in proposals.items()}
    turned = analyse(dict(reversed(proposals.items())), truth[::-1], protocol, tiou)
    found = analyse(proposals, truth, protocol, tiou)
    assert turned.profile == found.profile and turned.beyond == found.beyond
    assert turned.gains == found.gains and turned.traits == found.traits


@settings(max_examples=25, deadline=None)
@given(files, truths, tious)
def test_time_may_run_at_half_the_speed(proposals, truth, tiou):
    slow = {id: [p._replace(start=2 * p.start, end=2 * p.end) for p in found] for id, found in proposals.items()}
    slower = [video(v.id, *((a.label, 2 * a.start, 2 * a.end) for a in v.segments), duration=60) for v in truth]
    one, other = analyse(proposals, truth, tiou=tiou), analyse(slow, slower, tiou=tiou)
    assert (one.profile, one.beyond, one.gains) == (other.profile, other.beyond, other.gains)
    assert one.traits[1:3] == other.traits[1:3], "coverage and number know no seconds"


@settings(max_examples=20, deadline=None)
@given(files, truths)
def test_videos_in_which_nothing_happens_change_nothing(proposals, truth):
    more = analyse(proposals | {"empty": []}, [*truth, video("empty"), video("training", RUN, subset="training")])
    found = analyse(proposals, truth)
    assert (more.profile, more.gains, more.traits) == (found.profile, found.gains, found.traits)


@settings(max_examples=20, deadline=None)
@given(truths)
def test_perfect_proposals_are_all_true(truth):
    """Each action once, so that not even equal ones are doubles."""
    found = analyse({v.id: proposed(*((a.label, a.start, a.end) for a in v.segments)) for v in truth}, truth)
    assert kinds_of(found) == {"true positive": found.whole.instances}
    assert found.whole.missed == 0 and found.whole.normalised_map == pytest.approx(1)
    assert all(gain.average == 0 for gain in found.gains.values())
    scores = [group.normalised_map for trait in found.traits for group in trait.groups if group.instances]
    assert scores == pytest.approx([1] * len(scores))


@pytest.mark.parametrize("proposals", [{}, {"v": []}])
def test_without_proposals_all_is_missed(proposals):
    found = analyse(proposals, [video("v", RUN, JUMP)])
    assert found.counted == 0 and found.whole.missed == found.whole.instances == 2
    assert found.whole.miss_rate == 1 and found.whole.normalised_map == 0


# Traits


def test_traits_by_hand():
    film = video("v", ("a", 0.0, 0.5), ("a", 2.5, 10.0), ("b", 9.0, 9.5), ("a", 50.0, 100.0))
    assert lengths(film).tolist() == [0.5, 7.5, 0.5, 50]
    assert coverages(film).tolist() == [0.5, 7.5, 0.5, 50]
    assert crowds(film).tolist() == [3, 3, 1, 3]
    assert distances(film).tolist() == [2, 0, 0, 40]
    assert distances(video("w", RUN)).tolist() == [np.inf]


@given(st.lists(spans, max_size=8))
def test_the_distance_is_to_the_nearest_other(spans):
    film = video("v", *(("a", float(start), float(end)) for start, end in spans))
    expected = [
        min(
            (max(a.start - b.end, b.start - a.end, 0.0) for j, b in enumerate(film.segments) if i != j),
            default=np.inf,
        )
        for i, a in enumerate(film.segments)
    ]
    assert distances(film).tolist() == expected


def test_a_bound_belongs_to_the_smaller_size():
    assert BOUNDS == (1, 3, 10, 30)
    values = np.array([0, 1, 4.3 - 3.3, 1.01, 3, 10, 30, 30.1, np.inf, np.nan])
    assert sizes_of(values).tolist() == [0, 0, 0, 1, 1, 2, 3, 4, 4, -1]


def test_a_video_of_unknown_duration_has_no_coverage():
    found = analyse({}, [video("v", RUN, duration=None)])
    coverage = found.traits[1]
    assert coverage.unknown == 1 and not any(group.instances for group in coverage.groups)
    assert found.notes == ("1 instances are in videos of unknown duration; they have no coverage",)


def test_the_normalised_map_by_hand():
    """Two classes with 3 and 1 actions, so N is 2. The lone one is found after a false positive."""
    truth = [video("v", ("a", 0, 1), ("a", 2, 3), ("a", 4, 5), ("b", 10, 11))]
    layout = prepare_analysis({"v": proposed(("b", 50, 60), ("b", 10, 11))}, truth, PROTOCOLS["activitynet"])
    taken = matched_segment(layout.proposals, layout.actions, PROTOCOLS["activitynet"], (0.5,))
    lone = layout.actions.label == 1
    assert normalised_map(layout, taken, lone, True) == pytest.approx(2 / 3)  # R N / (R N + 1) with R = 1
    assert normalised_map(layout, taken, ~lone, True) == 0
    assert normalised_map(layout, taken, lone | ~lone, True) == pytest.approx(1 / 3)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_the_precision_of_all_classes_at_once_is_that_of_each(seed, interpolated):
    draw = np.random.default_rng(seed)
    predicted, there = draw.integers(0, 30, 6), draw.integers(0, 4, 6) + (np.arange(6) == 2)

    def of_labels(counts):
        label = np.repeat(np.arange(6), counts)
        return Intervals(label, label, *np.zeros((3, len(label))))

    layout = AnalysisInputs((), tuple("abcdef"), of_labels(predicted), of_labels(there))
    hits, kept = draw.random((2, predicted.sum())) < 0.5
    hits &= there[layout.proposals.label] > 0
    each = [
        average_precision(hits[None, own & (hits | kept)], count, interpolated)[0]
        for own, count in zip(layout.proposals.label == np.arange(6)[:, None], there, strict=True)
        if count
    ]
    assert layout.mean_precision(hits, kept & ~hits, interpolated) == pytest.approx(np.mean(each))


def test_thousands_of_classes_are_analysed_at_once():
    names = [f"c{place}" for place in range(3000)]
    truth = [video(f"v{name}", (name, 0, 10)) for name in names]
    entries = {f"v{name}": proposed((name, 50, 60), (name, 0, 9)) for name in names}
    begun = time.process_time()
    assert analyse(entries, truth).map_at_tiou == pytest.approx(0.5)
    assert time.process_time() - begun < 5


def test_a_group_is_not_blamed_for_what_finds_another():
    truth = [video("v", ("a", 0, 1), ("a", 20, 40))]
    found = analyse({"v": proposed(("a", 20, 40), ("a", 0, 1))}, truth)
    assert [group.normalised_map for group in found.traits[0].groups] == [1, None, None, 1, None]


# The real thing, and the command


def test_a_real_file(shared):
    tiou, expected = 0.5, (2214, 8578, 523, 7557, 544, 8233)
    folder = shared("thumos14")
    truth = read_activitynet(folder / "acmnet_gt.json")
    found = analyse(read_proposals(folder / "pmil_base_test.json"), truth, "thumos14-snippet", tiou)
    assert tuple(found.kinds.values()) == expected
    assert sum(expected) + sum(found.beyond.values()) == 31587
    assert found.map_at_tiou == pytest.approx(found.result.map[found.result.tious.index(tiou)])
    assert found.whole.missed == 3358 - expected[0]


@pytest.fixture
def place(tmp_path):
    truth = [video("v", RUN, JUMP), video("w", JUMP)]
    write_activitynet(tmp_path / "truth.json", truth)
    write_proposals(tmp_path / "p.json", {"v": proposed(RUN, ("run", 10, 14), ("jump", 80, 90))})
    return tmp_path


def call(*arguments):
    told = CliRunner().invoke(app, ["analyse", *map(str, arguments)])
    return told.exit_code, told.output


def test_the_command(place):
    code, said = call(place / "p.json", place / "truth.json", "--out", place / "new")
    assert code == 0, said
    assert "3 of 3" in said and "localization" in said and "distance to the next action" in said
    written = json.loads((place / "new" / "analysis.json").read_text())
    found = analyse(read_proposals(place / "p.json"), read_activitynet(place / "truth.json"))
    assert written == json.loads(json.dumps(found.to_json()))
    assert call(place / "p.json", place / "truth.json")[0] == 0, "beside the proposals, where nobody says otherwise"
    pictures = [(folder / "analysis.png").read_bytes() for folder in (place, place / "new")]
    assert pictures[0] == pictures[1], "the same numbers, the same picture"


@pytest.mark.parametrize(
    "options, said",
    [
        (["p.json", "truth.json", "--protocol", "all"], "is not known"),
        (["p.json", "truth.json", "--tiou", "0.05"], "below 0.1 all is background"),
        (["p.json", "truth.json", "--tiou", "1.5"], "tIoU thresholds are"),
        (["p.json", "truth.json", "--subset", "training"], "marks no start and end"),
        (["p.json", "truth.json", "--out", "p.json"], "is a file; name a folder"),
        (["none.json", "truth.json"], "there is no such file"),
        ([".", "truth.json"], "is a folder, not proposals"),
        (["truth.json", "truth.json"], "holds annotations, not proposals"),
        (["p.json", "p.json"], "holds proposals, not annotations"),
        (["analysis.json", "truth.json"], "is one of the files to be read"),
    ],
)
def test_bad_input_is_one_sentence(place, monkeypatch, options, said):
    monkeypatch.chdir(place)
    before = sorted(place.iterdir())
    code, output = call(*options)
    assert code == 2 and said in output and len(output.strip().splitlines()) == 1, output
    assert sorted(place.iterdir()) == before


@pytest.mark.parametrize("name", ["analysis.json", "analysis.png"])
def test_somebody_s_own_files_are_not_replaced(place, tmp_path, name):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / name).write_text("{}")
    code, said = call(place / "p.json", place / "truth.json", "--out", tmp_path / "other")
    assert code == 2 and said.count("\n") == 1 and f"{name}: " in said
    assert [path.read_text() for path in (tmp_path / "other").iterdir()] == ["{}"]
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    code, said = call(place / "p.json", place / "truth.json", "--out", tmp_path / "loop")
    assert code == 2 and said.count("\n") == 1


def test_bad_input_from_python():
    with pytest.raises(ConfigError, match="all is background"):
        analyse({}, [video("v", RUN)], tiou=0.01)
    for far in (float("nan"), 1e308):
        with pytest.raises(DataError, match="not all finite"):
            analyse({"v": [Segment("run", -far, far, 1)]}, [video("v", RUN)])
    analyse({"v": [Segment("run", -1e100, 1e100, 1)]}, [video("v", ("run", -1e100, 1e100))])


@pytest.mark.parametrize("proposals", [{}, {"v": proposed(RUN)}])
def test_little_can_be_shown_too(tmp_path, proposals):
    found = analyse(proposals, [video("v", RUN)])
    for width in (30, 100):
        console = Console(file=io.StringIO(), width=width)
        render_analysis(found, console)
        assert "missed" in console.file.getvalue()
    draw_analysis(tmp_path / "a.png", found)
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
