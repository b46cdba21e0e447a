"""From raw proposals to a timeline a person would believe."""

import json
import math
import random
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from wtal.cli import app
from wtal.core.errors import ConfigError, DataError
from wtal.core.io import read_json, write_json
from wtal.core.structures import Segment, Video
from wtal.data.dataset import load_dataset, write_dataset_info
from wtal.inference import calibration
from wtal.inference.calibration import (
    CALIBRATION_NAME,
    LABELS,
    SEGMENTS,
    Calibration,
    CalibrationScores,
    OperatingPoint,
    apply,
    calibrate,
    load_segment_filter,
    pooled,
)
from wtal.inference.postprocessing import SegmentConstraints, co_occurring_classes, remove_overlaps, sort_by_time
from wtal.inference.proposals import top_non_overlapping
from wtal.training.trainer import train

CLASSES = ("jump", "run", "throw")


def spans(label: str, line: str, score: float = 0.9) -> list[Segment]:
    """A letter a second: each run of # is a proposal."""
    runs = "".join(mark if mark == "#" else " " for mark in line)
    found, at = [], 0
    for piece in runs.split(" "):
        if piece:
            found.append(Segment(label, float(at), float(at + len(piece)), score))
        at += len(piece) + 1
    return found


def point(thresholds: dict[str, float | None], limits: SegmentConstraints | None = None) -> OperatingPoint:
    return OperatingPoint("f1", SEGMENTS, "validation", 1, thresholds, {}, limits or SegmentConstraints())


scores = st.integers(1, 20).map(lambda tenth: tenth / 20)
seconds = st.integers(0, 400).map(lambda half: half / 2)
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
limits = st.builds(
    SegmentConstraints,
    per_minute=st.none() | st.integers(1, 4),
    shortest=st.sampled_from([0.0, 3.0]),
    longest=st.sampled_from([None, 30.0]),
    together=st.sampled_from([(), (("jump", "run"),)]),
)
thresholds = st.fixed_dictionaries({label: st.none() | scores for label in CLASSES})


# --- a timeline


@pytest.mark.parametrize(
    "surer, other, left",
    [
        ("..####....", ".......##.", ".......##."),  # nothing in common: both stay
        ("..####....", "....####..", "......##.."),  # half is left
        ("..####....", "....###...", ".........."),  # less than half is left
        ("..####....", "..####....", ".........."),
        ("...##.....", "#########.", ".........."),  # in two pieces, the longer one less than half
        (".##.......", "##########", "...#######"),  # the longer piece stays
        ("..####....", "......##..", "......##.."),  # they touch
    ],
)
@pytest.mark.parametrize("label", ["jump", "run"])
def test_the_surer_one_keeps_its_time_and_the_other_what_is_enough(surer, other, left, label):
    first, second = spans("jump", surer, 0.9), spans(label, other, 0.5)
    assert remove_overlaps([*second, *first], SegmentConstraints()) == sort_by_time([*first, *spans(label, left, 0.5)])


def test_classes_that_lie_over_each_other_in_the_truth_may_do_so():
    found = [
        *spans("dive", "..########", 0.9),
        *spans("cliff dive", "..######..", 0.5),
        *spans("run", "####......"),
    ]
    limits = SegmentConstraints(together=(("cliff dive", "dive"),))
    assert {p.label for p in remove_overlaps(found, limits)} == {"dive", "cliff dive", "run"}
    assert {p.label for p in remove_overlaps(found, SegmentConstraints())} == {"dive", "run"}


def test_pairs_of_classes_that_lie_over_each_other():
    def video(*actions):
        return Video(
            "v", "validation", tuple({label for label, *_ in actions}), None, tuple(Segment(*a) for a in actions)
        )

    assert co_occurring_classes([video(("b", 0, 10), ("a", 4, 9))]) == (("a", "b"),)
    assert co_occurring_classes([video(("b", 0, 10), ("a", 9, 19)), video(("a", 0, 3), ("a", 0, 3))]) == ()


@given(proposals, limits, thresholds)
def test_a_timeline_keeps_its_promises(found, limits, thresholds):
    shown = apply(point(thresholds, limits), found)
    assert shown == sort_by_time(shown)
    for p in shown:
        assert p.score >= (thresholds[p.label] or 2)
        assert limits.shortest <= p.end - p.start <= (limits.longest or 400)
        assert any(p.label == f.label and p.score == f.score and f.start <= p.start < p.end <= f.end for f in found)
    for i, a in enumerate(shown):
        for b in shown[:i]:
            assert b.end <= a.start or {a.label, b.label} == {"jump", "run"} == set(sum(limits.together, ()))
    minutes = [p.start // 60 for p in shown]
    assert all(minutes.count(minute) <= (limits.per_minute or 25) for minute in minutes)


@given(proposals, limits, thresholds, st.randoms(use_true_random=False))
def test_twice_or_in_another_order_is_the_same(found, limits, thresholds, chance: random.Random):
    operating = point(thresholds, limits)
    shown = apply(operating, found)
    assert apply(operating, shown) == shown
    assert apply(operating, chance.sample(found, len(found))) == shown


@given(proposals, limits, thresholds, st.sampled_from(CLASSES), scores)
def test_a_higher_threshold_only_takes_away(found, limits, thresholds, label, more):
    raised = thresholds | {label: None if thresholds[label] is None else thresholds[label] + more}
    shown = apply(point(thresholds, limits), found)
    assert apply(point(raised, limits), found) == [
        p for p in shown if p.label != label or p.score >= (raised[label] or 2)
    ]


def test_a_week_of_proposals_is_tidied_at_once():
    chance = random.Random(0)
    starts = [chance.uniform(0, 604_800) for _ in range(20_000)]
    week = [Segment(chance.choice(CLASSES), at, at + chance.uniform(1, 60), chance.random()) for at in starts]
    begun = time.process_time()
    kept = remove_overlaps(week, SegmentConstraints())
    assert all(one.end <= other.start for one, other in pairwise(kept))
    assert len(remove_overlaps(week, SegmentConstraints(together=(("jump", "run"),)))) > len(kept) > 5000
    co_occurring_classes([Video("v", "", CLASSES, None, tuple(Segment(p.label, p.start, p.end) for p in week))])
    assert time.process_time() - begun < 5


def test_nothing_in_nothing_out():
    assert apply(point({"jump": 0.1}), []) == [] == apply(point({}), spans("jump", "##"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"per_minute": 0},
        {"shortest": -1.0},
        {"shortest": 5.0, "longest": 4.0},
        {"longest": math.inf},
        {"shortest": math.inf},
        {"longest": math.nan},
    ],
)
def test_limits_that_leave_nothing_are_refused(wrong):
    with pytest.raises(ConfigError, match="nothing"):
        SegmentConstraints(**wrong)


# --- a threshold


@pytest.mark.parametrize(
    "scores, right, there, f1, sure",
    [
        ((0.9, 0.7, 0.5, 0.3), (1, 1, 0, 0), 2, 0.6, 0.6),
        ((0.9, 0.7, 0.5, 0.3), (1, 0, 1, 0), 2, 0.4, 0.8),
        ((0.9, 0.7, 0.5), (1, 1, 1), 3, 0.5, 0.5),  # all of it: from the least score on
        ((0.9, 0.7), (0, 1), 1, 0.7, None),  # never as precise as that
        ((0.9, 0.9, 0.5), (1, 0, 1), 2, 0.5, None),  # equal scores stay together
        ((0.9, 0.7), (0, 0), 2, None, None),
        ((), (), 2, None, None),
    ],
)
def test_thresholds(scores, right, there, f1, sure):
    evidence = CalibrationScores(scores, tuple(map(bool, right)), there)
    assert evidence.threshold() == pytest.approx(f1)
    assert evidence.threshold(0.9) == pytest.approx(sure)


rows = st.lists(st.tuples(scores, st.booleans()), max_size=20)


def evidence_of(rows: list[tuple[float, bool]], missed: int) -> CalibrationScores:
    rows = sorted(rows, reverse=True)
    return CalibrationScores(tuple(s for s, _ in rows), tuple(r for _, r in rows), sum(r for _, r in rows) + missed)


@given(rows, st.integers(0, 5), st.floats(0.01, 1))
def test_no_other_threshold_is_better(rows, missed, precision):
    evidence = evidence_of(rows, missed)
    others = [evidence.reached(score) for score, _ in rows]
    reached = evidence.reached(evidence.threshold())
    assert all((reached.f1 or 0) >= other.f1 for other in others)
    precise = evidence.reached(evidence.threshold(precision))
    assert precise.precision is None or precise.precision >= precision
    assert all(precise.right >= other.right for other in others if other.precision >= precision)


def test_scores_without_a_number_between_them_are_still_told_apart():
    evidence = CalibrationScores((1.0, 1.0 - 2**-53), (True, False), 1)
    assert evidence.reached(evidence.threshold()).shown == 1


@given(rows, rows)
def test_pooled_evidence_is_that_of_all(one, other):
    whole, parts = pooled([evidence_of(one, 1), evidence_of(other, 2)]), evidence_of(one + other, 3)
    assert whole == parts


# --- what it is chosen on


def videos(count: int) -> list[Video]:
    """Each with a jump from 10 to 20 s; every second one with a run from 40 to 50 s."""
    actions = (Segment("jump", 10.0, 20.0), Segment("run", 40.0, 50.0))
    shown = [actions[: 2 - number % 2] for number in range(count)]
    return [
        Video(f"v{number}", "validation", tuple(sorted({a.label for a in own})), 60.0, own)
        for number, own in enumerate(shown)
    ]


def found_in(videos: list[Video]) -> dict[str, list[Segment]]:
    """What is there, rough but sure, and elsewhere the same classes, less sure."""
    wrong = [Segment("jump", 25.0, 30.0, 0.3), Segment("run", 52.0, 58.0, 0.2)]
    return {v.id: [*(Segment(a.label, a.start, a.end + 2, 0.8) for a in v.segments), *wrong] for v in videos}


def test_segments_tell_what_is_shown():
    truth = videos(12)
    chosen = calibrate(found_in(truth), truth, CLASSES, "m", "validation", SegmentConstraints())
    operating = chosen.at("f1")
    assert (operating.source, operating.videos, operating.limits.together) == (SEGMENTS, 12, ())
    assert operating.thresholds["jump"] == pytest.approx(0.55) and operating.thresholds["run"] == pytest.approx(0.5)
    assert operating.thresholds["throw"] == pooled(chosen.evidence.values()).threshold(), "no instance of its own"
    assert operating.whole.precision == operating.whole.recall == operating.whole.f1 == 1
    assert [p.label for p in apply(operating, found_in(truth)["v0"])] == ["jump", "run"]


def test_labels_alone_tell_which_classes_are_there():
    truth = videos(12)
    tags = [video.without_segments() for video in truth]
    operating = calibrate(found_in(truth), tags, CLASSES, "m", "validation", SegmentConstraints()).at("precision=1")
    assert (operating.source, operating.videos) == (LABELS, 12)
    assert operating.thresholds["run"] == pytest.approx(0.5), "half of the videos have none"
    assert operating.thresholds["jump"] == pytest.approx(0.8), "all have one, so the surest of each is right"
    assert operating.reached["run"].there == 6


def test_what_was_reached_is_what_is_shown():
    truth = videos(12)
    operating = calibrate(found_in(truth), truth, CLASSES, "m", "validation", SegmentConstraints(per_minute=2)).at("f1")
    shown = [p for own in found_in(truth).values() for p in apply(operating, own)]
    for label in CLASSES:
        assert sum(p.label == label for p in shown) == operating.reached[label].shown


def test_a_video_with_labels_but_no_segments_is_not_taken_for_empty():
    truth = videos(12)
    half = [video if number < 6 else video.without_segments() for number, video in enumerate(truth)]
    assert calibrate(found_in(truth), half, CLASSES, "m", "validation", SegmentConstraints()).videos == 6
    with pytest.raises(DataError, match="nothing in validation carries a label"):
        calibrate({}, [Video("v", "validation", ())], CLASSES, "m", "validation", SegmentConstraints())


def test_where_nothing_is_shown_it_says_so():
    chosen = calibrate({}, videos(2), CLASSES, "m", "validation", SegmentConstraints())
    for aim in ("f1", "precision=0.9"):
        assert "no score is sure enough, so nothing is shown" in calibration.sentence(chosen.at(aim))


def test_few_instances_take_the_common_threshold():
    truth = videos(8)
    chosen = calibrate(found_in(truth), truth, CLASSES, "m", "validation", SegmentConstraints())
    assert chosen.evidence["run"].there == 4 and chosen.evidence["jump"].there == 8
    assert chosen.at("f1").thresholds["run"] == pooled(chosen.evidence.values()).threshold()


@given(rows, st.integers(0, 3), limits)
def test_written_and_read_back_it_is_the_same(rows, missed, limits):
    chosen = Calibration("m", SEGMENTS, "validation", 3, limits, {"jump": evidence_of(rows, missed)})
    assert Calibration.from_json(json.loads(json.dumps(chosen.to_json()))) == chosen


GOOD = Calibration(
    "m", LABELS, "validation", 3, SegmentConstraints(), {"jump": CalibrationScores((0.5,), (True,), 1)}
).to_json()


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        {},
        GOOD | {"more": 1},
        GOOD | {"videos": "three"},
        GOOD | {"limits": GOOD["limits"] | {"per_minute": 0}},
        GOOD | {"limits": GOOD["limits"] | {"together": [["jump"]]}},
        GOOD | {"evidence": {"jump": {"scores": [0.1, 0.5], "right": [True, True], "there": 2}}},
        GOOD | {"evidence": {"jump": {"scores": [0.5], "right": [], "there": 2}}},
        GOOD | {"evidence": {"jump": {"scores": [0.5], "right": [True], "there": 0}}},
        GOOD | {"evidence": {"jump": {"scores": ["a"], "right": [True], "there": 1}}},
        GOOD | {"evidence": {"jump": {"scores": [0.5], "right": [True], "there": 10**400}}},
        GOOD | {"evidence": {"jump": 3}},
    ],
)
def test_what_calibrate_did_not_write_is_refused(wrong):
    with pytest.raises(DataError, match="run it again"):
        Calibration.from_json(wrong)


@pytest.mark.parametrize("aim", ["", "F1", "precision", "precision=", "precision=0", "precision=1.1", "recall=0.5"])
def test_an_aim_that_there_is_not_is_refused(aim, tmp_path):
    with pytest.raises(ConfigError, match=r"use f1, precision=0\.9"):
        load_segment_filter(tmp_path, aim)


# --- the command


def wtal(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(map(str, words)))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    return done.exit_code, done.output


@pytest.fixture(scope="module")
def run(tiny, settings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    train(settings(train={"steps": 2, "save_every": 1}), tiny, folder, device="cpu")
    return folder


def test_calibrate_writes_what_predict_uses(run, tiny):
    found = [*spans("a", "##....##"), *spans("a", "...#....", 0.1)]
    cut, said = load_segment_filter(run, "f1")
    assert cut(found) == sort_by_time(top_non_overlapping(found)) and "not chosen" in said and "wtal calibrate" in said
    with pytest.raises(ConfigError, match="wtal calibrate"):
        load_segment_filter(run, "precision=0.9")
    code, said = wtal("calibrate", run, tiny.path, "--per-minute", 3, "--longest", 8, "--aim", "precision=0.5")
    assert code == 0 and "segments of 3 validation videos" in said and str(run / CALIBRATION_NAME) in said
    chosen = Calibration.from_json(read_json(run / CALIBRATION_NAME))
    assert (chosen.limits.per_minute, chosen.limits.longest) == (3, 8.0)
    assert set(chosen.evidence) == set(tiny.classes)
    for aim in ("f1", "precision=0.5"):
        cut, said = load_segment_filter(run, aim)
        assert cut(found) == [] and f"operating point {aim}: chosen on the segments of 3 validation videos" in said
    cut, said = load_segment_filter(run, "all")
    assert cut(found) == sort_by_time(found) and "every proposal" in said


def test_without_validation_the_labels_of_training_are_used_and_it_says_so(run, tiny, tmp_path):
    write_dataset_info(
        tmp_path, [v for v in tiny.videos if v.subset != "validation"], tiny.clock, tiny.classes, tiny.modalities
    )
    (tmp_path / "features").symlink_to(tiny.path / "features")
    assert "validation" not in load_dataset(tmp_path).subsets
    code, said = wtal("calibrate", run, tmp_path)
    said = " ".join(said.split())
    assert code == 0 and "chosen on the video-level labels of 8 training videos" in said and "nobody judged" in said
    assert "the model has seen these videos" in said


def test_another_checkpoint_or_a_damaged_file_is_refused(run, tiny):
    assert wtal("calibrate", run, tiny.path)[0] == 0
    write_json(run / CALIBRATION_NAME, read_json(run / CALIBRATION_NAME) | {"model": "other"})
    code, said = wtal("predict", "film.mp4", "--model", run)
    assert code == 2 and "belongs to another checkpoint; run `wtal calibrate" in said
    (run / CALIBRATION_NAME).write_text("{")
    code, said = wtal("predict", "film.mp4", "--model", run)
    assert code == 2 and CALIBRATION_NAME in said and said.count("\n") == 1
    (run / CALIBRATION_NAME).unlink()


def test_calibrate_says_what_is_wrong(run, tiny, tmp_path):
    for words, sentence in [
        ((run, tiny.path, "--aim", "best"), "there is no operating point 'best'"),
        ((run, tiny.path, "--subset", "nowhere"), "has no subset 'nowhere'"),
        ((run, tiny.path, "--shortest", 9, "--longest", 3), "let shortest be at most longest"),
        ((tmp_path, tiny.path), "not a run or model folder"),
    ]:
        code, said = wtal("calibrate", *words)
        assert code == 2 and sentence in " ".join(said.split()) and not (run / CALIBRATION_NAME).exists()


# --- on real data


def test_what_is_chosen_on_validation_holds_on_testing(shared):
    """Made-up proposals around the real actions of HAPT."""
    folder = load_dataset(shared("hapt"))
    chance = random.Random(0)

    def guess(video: Video) -> list[Segment]:
        near = [
            Segment(a.label, a.start, a.end + chance.uniform(0, 0.6) * (a.end - a.start), chance.gauss(0.6, 0.1))
            for a in video.segments
        ]
        starts = [(label, chance.uniform(0, 50)) for label in folder.classes]
        return near + [Segment(label, start, start + 8, chance.gauss(0.3, 0.1)) for label, start in starts]

    found = {video.id: guess(video) for video in folder.videos}
    validation, testing = folder.subset("validation"), folder.subset("testing")
    chosen = calibrate(found, validation, folder.classes, "m", "validation", SegmentConstraints())
    assert chosen.limits.together == () and chosen.source == SEGMENTS
    held = calibrate(found, testing, folder.classes, "m", "testing", SegmentConstraints())
    for aim, least in (("f1", 0.9), ("precision=0.9", 0.85)):
        thresholds = chosen.at(aim).thresholds
        reached = [held.evidence[label].reached(thresholds[label]) for label in folder.classes]
        assert sum(r.right for r in reached) / sum(r.shown for r in reached) > least - 0.05
