"""Calibration: on segments or labels, stored with the model, and what is shown with it."""

import random
from collections.abc import Iterable
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from tests.helpers.errors import raises
from wtal.cli import app
from wtal.core.errors import CheckpointError, ConfigError, DataError
from wtal.core.io import read_json, write_json
from wtal.core.structures import Segment, Video
from wtal.data.dataset import load_dataset, write_dataset_info
from wtal.data.layouts.activitynet import write_activitynet
from wtal.inference.calibration import (
    CALIBRATION_NAME,
    calibrate,
    calibrate_run,
    calibrate_trained,
    load_segment_filter,
    read_calibration,
)
from wtal.inference.operating_point import LABELS, SEGMENTS, Calibration, pooled
from wtal.inference.postprocessing import SegmentConstraints, sort_by_time, top_non_overlapping
from wtal.training.stages import train

CLASSES = ("jump", "run", "throw")
NO_CONSTRAINTS = SegmentConstraints()


# Calibration on segments or labels.


def make_videos(count: int) -> list[Video]:
    """Each with a jump from 10 to 20 s; every second one with a run from 40 to 50 s."""
    both = (Segment("jump", 10.0, 20.0), Segment("run", 40.0, 50.0))
    segments = [both[: 2 - number % 2] for number in range(count)]
    return [
        Video(f"v{number}", "validation", tuple(sorted({s.label for s in of_video})), 60.0, of_video)
        for number, of_video in enumerate(segments)
    ]


def make_proposals(videos: list[Video]) -> dict[str, list[Segment]]:
    """The annotated segments with inexact ends and high scores, and wrong ones with low scores."""
    wrong = [Segment("jump", 25.0, 30.0, 0.3), Segment("run", 52.0, 58.0, 0.2)]
    return {v.id: [*(Segment(s.label, s.start, s.end + 2, 0.8) for s in v.segments), *wrong] for v in videos}


def calibrate_on(videos: list[Video], annotated: list[Video] | None = None, **limits: int) -> Calibration:
    constraints = SegmentConstraints(**limits)
    return calibrate(make_proposals(videos), annotated or videos, CLASSES, "m", "validation", constraints)


def test_thresholds_are_chosen_on_segments():
    videos = make_videos(12)
    calibration = calibrate_on(videos)
    point = calibration.operating_point("f1")
    assert (point.source, point.num_videos, point.constraints.co_occurring) == (SEGMENTS, 12, ())
    assert point.thresholds["jump"] == pytest.approx(0.55) and point.thresholds["run"] == pytest.approx(0.5)
    common = pooled(calibration.scores.values()).best_threshold()
    assert point.thresholds["throw"] == common, "a class without instances has the common threshold"
    assert point.overall.precision == point.overall.recall == point.overall.f1 == 1
    assert [p.label for p in point.apply(make_proposals(videos)["v0"])] == ["jump", "run"]


def test_thresholds_are_chosen_on_labels_without_segments():
    videos = make_videos(12)
    point = calibrate_on(videos, [video.without_segments() for video in videos]).operating_point("precision=1")
    assert (point.source, point.num_videos) == (LABELS, 12)
    assert point.thresholds["run"] == pytest.approx(0.5), "half of the videos have no run"
    assert point.thresholds["jump"] == pytest.approx(0.8), "all videos have a jump, so every best proposal is correct"
    assert point.results["run"].total == 6


def test_results_count_what_is_shown():
    videos = make_videos(12)
    point = calibrate_on(videos, max_per_minute=2).operating_point("f1")
    shown = [p for segments in make_proposals(videos).values() for p in point.apply(segments)]
    for label in CLASSES:
        assert sum(p.label == label for p in shown) == point.results[label].shown


def test_videos_without_segments_for_their_labels_are_left_out():
    videos = make_videos(12)
    half = [video if number < 6 else video.without_segments() for number, video in enumerate(videos)]
    assert calibrate_on(videos, half).num_videos == 6
    with raises(DataError, code="no-labels"):
        calibrate_on(videos, [Video("v", "validation", ())])


@pytest.mark.parametrize("target", ["f1", "precision=0.9"])
def test_operating_point_that_shows_nothing(target):
    point = calibrate({}, make_videos(2), CLASSES, "m", "validation", NO_CONSTRAINTS).operating_point(target)
    assert set(point.thresholds.values()) == {None} and point.overall.shown == 0
    assert target in point.describe()


def test_classes_with_few_instances_have_the_common_threshold():
    calibration = calibrate_on(make_videos(8))
    assert calibration.scores["run"].total == 4 and calibration.scores["jump"].total == 8
    common = pooled(calibration.scores.values()).best_threshold()
    assert calibration.operating_point("f1").thresholds["run"] == common


# The model folder.


def test_model_is_calibrated_once_unless_its_weights_change(tiny, settings, tmp_path):
    run = tmp_path / "run"
    train(settings("local"), tiny, run)
    first = calibrate_trained(run, tiny.path)
    assert first is not None and read_calibration(run) == first
    limited = calibrate_run(run, tiny.path, constraints=SegmentConstraints(max_per_minute=1))
    assert calibrate_trained(run, tiny.path) == limited, "what `wtal calibrate` wrote stays"
    (run / CALIBRATION_NAME).write_text("{")
    assert calibrate_trained(run, tiny.path) == first


@pytest.mark.parametrize("target", ["", "F1", "precision", "precision=", "precision=0", "precision=1.1", "recall=0.5"])
def test_unknown_target_is_rejected(target, tmp_path):
    with raises(ConfigError, code="unknown-name"):
        load_segment_filter(tmp_path, target)


# The command.


def wtal(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(map(str, words)))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result.exit_code, " ".join(result.output.split())


@pytest.fixture(scope="module")
def run(tiny, settings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    train(settings(train={"steps": 2, "save_every": 1}), tiny, folder, device="cpu")
    return folder


def test_calibrate_writes_what_predict_reads(run, tiny):
    segments = [Segment("a", 0.0, 2.0, 0.9), Segment("a", 6.0, 8.0, 0.9), Segment("a", 3.0, 4.0, 0.1)]
    select, _ = load_segment_filter(run, "f1")
    assert select(segments) == sort_by_time(top_non_overlapping(segments))
    with raises(ConfigError, code="not-calibrated", path=run):
        load_segment_filter(run, "precision=0.9")
    options = ("--per-minute", 3, "--max-duration", 8, "--target", "precision=0.5")
    code, output = wtal("calibrate", run, tiny.path, *options)
    assert code == 0 and str(run / CALIBRATION_NAME) in output
    calibration = read_calibration(run)
    assert (calibration.source, calibration.num_videos, calibration.subset) == (SEGMENTS, 3, "validation")
    assert (calibration.constraints.max_per_minute, calibration.constraints.max_duration) == (3, 8.0)
    assert set(calibration.scores) == set(tiny.classes)
    for target in ("f1", "precision=0.5"):
        select, description = load_segment_filter(run, target)
        assert select(segments) == [] and target in description, "class a is not a class of the model"
    select, _ = load_segment_filter(run, "all")
    assert select(segments) == sort_by_time(segments)


def test_training_labels_are_used_without_validation(run, tiny, tmp_path):
    videos = [video for video in tiny.videos if video.subset != "validation"]
    write_dataset_info(tmp_path, videos, tiny.clock, tiny.classes, tiny.modalities)
    (tmp_path / "features").symlink_to(tiny.path / "features")
    assert "validation" not in load_dataset(tmp_path).subsets
    code, output = wtal("calibrate", run, tmp_path)
    assert code == 0 and "note: the model was trained on these videos" in output
    calibration = read_calibration(run)
    assert (calibration.source, calibration.subset, calibration.num_videos) == (LABELS, "training", 8)


def test_training_videos_need_complete_timelines_to_count_as_annotated(run, tiny, tmp_path):
    rows = {
        "training_0000": ((Segment("throw", 1.0, 4.0),), False),
        "training_0002": ((Segment("jump", 3.0, 3.0),), True),
        "training_0003": ((Segment("jump", 3.0, 5.0),), True),
    }
    (tmp_path / "features").symlink_to(tiny.path / "features")

    def calibrated(ids: Iterable[str]) -> Calibration:
        videos = []
        for video in tiny.subset("training"):
            segments, complete = rows[video.id] if video.id in ids else ((), False)
            videos.append(replace(video, segments=segments, complete=complete))
        write_dataset_info(tmp_path, [], tiny.clock, tiny.classes, tiny.modalities)
        write_activitynet(tmp_path / "annotations.json", videos)
        return calibrate_run(run, tmp_path)

    assert (calibrated(["training_0000", "training_0002"]).source) == LABELS
    calibration = calibrated(rows)
    assert (calibration.source, calibration.num_videos) == (SEGMENTS, 1)


def test_calibration_of_another_checkpoint_and_damaged_file_are_rejected(run, tiny):
    path = run / CALIBRATION_NAME
    assert wtal("calibrate", run, tiny.path)[0] == 0
    write_json(path, read_json(path) | {"model": "other"})
    with raises(CheckpointError, code="different-run", path=path):
        load_segment_filter(run, "f1")
    path.write_text("{")
    with raises(DataError, code="invalid-json", path=path, location="line 1") as caught:
        load_segment_filter(run, "f1")
    assert f"wtal calibrate {run}" in caught.value.hint
    path.unlink()


def test_invalid_options_write_nothing(run, tiny, tmp_path):
    (run / CALIBRATION_NAME).unlink(missing_ok=True)  # of another test
    for words in [
        (run, tiny.path, "--target", "best"),
        (run, tiny.path, "--subset", "missing"),
        (run, tiny.path, "--min-duration", 9, "--max-duration", 3),
        (tmp_path, tiny.path),
    ]:
        code, _ = wtal("calibrate", *words)
        assert code == 2 and not (run / CALIBRATION_NAME).exists()


# Real data.


def test_thresholds_chosen_on_validation_hold_on_testing(shared):
    """Random proposals around the annotated segments of HAPT."""
    dataset = load_dataset(shared("hapt"))
    rng = random.Random(0)

    def propose(video: Video) -> list[Segment]:
        near = [
            Segment(s.label, s.start, s.end + rng.uniform(0, 0.6) * (s.end - s.start), rng.gauss(0.6, 0.1))
            for s in video.segments
        ]
        starts = [(label, rng.uniform(0, 50)) for label in dataset.classes]
        return near + [Segment(label, start, start + 8, rng.gauss(0.3, 0.1)) for label, start in starts]

    proposals = {video.id: propose(video) for video in dataset.videos}
    validation, testing = (
        calibrate(proposals, dataset.subset(subset), dataset.classes, "m", subset, NO_CONSTRAINTS)
        for subset in ("validation", "testing")
    )
    assert validation.constraints.co_occurring == () and validation.source == SEGMENTS
    for target, min_precision in (("f1", 0.85), ("precision=0.9", 0.8)):
        thresholds = validation.operating_point(target).thresholds
        results = [testing.scores[label].result_of(thresholds[label]) for label in dataset.classes]
        assert sum(r.correct for r in results) / sum(r.shown for r in results) > min_precision
