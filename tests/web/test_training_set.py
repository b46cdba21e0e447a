"""The data set that models are improved on: labels from corrections, and which videos are held out."""

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.errors import raises
from wtal.core.errors import DataError
from wtal.core.io import read_json, write_json
from wtal.core.structures import Segment
from wtal.data.dataset import load_dataset
from wtal.data.snippet_labels import count_labels
from wtal.data.video_files import LISTING_NAME
from wtal.models.checkpoint import read_meta
from wtal.web.corrections import CorrectionRecord
from wtal.web.training_set import MEASURED, TrainingData, decide_held_out, open_training_data
from wtal.web.videos import VideoLibrary, video_key

names = st.lists(st.text("abcdefgh", min_size=1, max_size=4), unique=True, max_size=30)

# ---- held-out videos


@given(names)
def test_one_of_four_complete_timelines_is_held_out(complete):
    decisions = decide_held_out(dict.fromkeys(complete, ""), {}, {})
    assert decisions.keys() == set(complete)
    count = len(complete)
    assert sum(decisions.values()) == (0 if count < 2 else max(1, count // 4))
    assert decisions == decide_held_out(dict.fromkeys(sorted(complete), ""), {}, {}), "the order does not matter"


@given(names, names, st.data())
def test_decisions_never_change(first, second, data):
    decided = decide_held_out(dict.fromkeys(first, ""), {}, {}) | dict.fromkeys(data.draw(names), False)
    later = decide_held_out(dict.fromkeys([*first, *second], ""), decided, {})
    assert all(later[name] == held for name, held in decided.items() if name in later)


@given(st.dictionaries(st.integers(0, 99).map(str), st.sets(st.sampled_from("ABCD")), max_size=20))
def test_every_class_stays_in_training(complete):
    counts = Counter(label for labels in complete.values() for label in labels)
    decisions = decide_held_out(complete, {}, counts)
    trained = {label for name, labels in complete.items() if not decisions[name] for label in labels}
    assert trained == counts.keys()


# ---- labels


@pytest.fixture
def library(films, tmp_path) -> VideoLibrary:
    """The four films, and one that the data set does not have."""
    folder = tmp_path / "films"
    shutil.copytree(films, folder, ignore=shutil.ignore_patterns("timelines", "uploads"))
    (folder / "new.mp4").write_bytes((folder / "film 0.mp4").read_bytes() + b"new")
    return VideoLibrary(folder)


@pytest.fixture
def data(own_videos) -> TrainingData:
    return TrainingData(load_dataset(own_videos / "data"))


def record(name: str, *segments: Segment, complete: bool = False, fingerprint: str = "") -> CorrectionRecord:
    return CorrectionRecord(name, 1, "now", segments, fingerprint, complete, complete)


def corrected(data: TrainingData, library: VideoLibrary, *records: CorrectionRecord):
    return data.corrected({video_key(record.video): record for record in records}, library)


def test_corrections_become_labels_of_the_same_videos(data, library):
    records = (
        record("film 0.mp4", Segment("left", 1, 2), Segment("right", 3, 4, 0.9)),
        record("day 1/film 1.mp4", Segment("left", 1.5, 1.5), Segment("wave", 2, 3)),
        record("film 2.mp4", Segment("right", 1, 2, 0.5), complete=True),
        record("new.mp4", Segment("left", 1, 2), Segment("right", 3, 4, 0.9)),
    )
    training_set = data.build(corrected(data, library, *records), {})
    videos = {video.id: video for video in training_set.videos}
    assert videos.keys() == {"film 0", "film 1", "film 2", "new"}, "film 3 is for testing"
    assert videos["film 0"].segments == (Segment("left", 1, 2),) and videos["film 0"].labels == ("left",)
    assert videos["film 1"].segments == (Segment("left", 1.5, 1.5), Segment("wave", 2, 3))
    assert videos["film 1"].labels == ("left", "right", "wave")
    assert videos["film 2"].complete and videos["film 2"].segments == (Segment("right", 1, 2),)
    assert videos["new"].labels == ("left", "right"), "its tags are those of its timeline"
    assert training_set.classes == ("left", "right", "wave")
    assert training_set.extra.keys() == {"new"} and not training_set.measured
    counts = training_set.counts
    assert (counts.videos, counts.points, counts.segments, counts.complete) == (4, 1, 4, 1)


def test_written_data_set_can_be_trained_on(data, library, tmp_path):
    records = [record("film 0.mp4", Segment("left", 1, 2)), record("film 2.mp4", complete=True)]
    training_set = data.build(corrected(data, library, *records), {})
    training_set.write(tmp_path / "set", data.dataset.about)
    dataset = load_dataset(tmp_path / "set")
    assert count_labels(dataset, "all") == {"tags": 2, "points": 0, "partial": 1, "complete": 1}
    np.testing.assert_array_equal(dataset.features("film 0"), data.dataset.features("film 0"))
    assert dataset.clock_of("film 0") == data.dataset.clock_of("film 0")


def test_held_out_and_testing_videos_are_measured_on_and_never_trained_on(data, library):
    left = Segment("left", 1, 2)
    records = [record(name, left, complete=True) for name in ("film 0.mp4", "film 2.mp4", "film 3.mp4")]
    training_set = data.build(corrected(data, library, *records), {})
    training = {video.id for video in training_set.videos if video.subset == "training"}
    measured = {video.id for video in training_set.videos if video.subset == MEASURED}
    assert measured == training_set.measured.keys() and "film 3" in measured and len(measured) == 2
    assert training == {"film 0", "film 1", "film 2"} - measured
    assert sorted(training_set.decisions.values()) == [False, True]
    # later, with other marks: the decision stays
    records = [record(name, left) for name in ("film 0.mp4", "film 2.mp4", "film 3.mp4")]
    later = data.build(corrected(data, library, *records), training_set.decisions)
    assert {video.id for video in later.videos} == training and not later.measured


def test_videos_whose_times_the_model_has_learned_are_not_measured_on(data, library):
    left = Segment("left", 1, 2)
    videos = tuple(
        replace(v, segments=(left,)) if v.id == "film 0" else replace(v, segments=()) for v in data.dataset.videos
    )
    learned = TrainingData(replace(data.dataset, videos=videos), has_learned_times=True)
    records = [record(name, left, complete=True) for name in ("film 0.mp4", "film 2.mp4", "day 1/film 1.mp4")]
    measured = learned.build(corrected(learned, library, *records), {}).measured
    assert len(measured) == 1 and "film 0" not in measured


def test_replaced_files_and_timelines_without_labels_are_left_out(data, library):
    predicted = Segment("left", 1, 2, 0.9)
    records = [
        record("film 0.mp4", predicted),
        record("film 2.mp4", Segment("left", 1, 2), fingerprint="1 of another file"),
        record("gone.mp4", Segment("left", 1, 2)),
    ]
    assert corrected(data, library, *records) == []
    assert {video.id for video in data.build([], {}).videos} == {"film 0", "film 1", "film 2"}


# ---- finding the data set


def test_data_set_is_found_beside_the_videos(own_videos, tmp_path):
    meta = read_meta(own_videos / "run")
    assert open_training_data(None, own_videos / "videos", meta).dataset.path == own_videos / "data"
    with raises(DataError, code="no-data"):
        open_training_data(None, tmp_path, meta)


def test_data_set_of_another_model_is_refused(own_videos, tmp_path):
    other = tmp_path / "data"
    shutil.copytree(own_videos / "data", other)
    about = read_json(other / "dataset.json")
    write_json(other / "dataset.json", about | {"classes": ["left", "other", "right"]})
    listing = read_json(other / LISTING_NAME)
    (tmp_path / "videos").mkdir()
    write_json(other / LISTING_NAME, listing | {"folder": str(tmp_path / "videos")})
    meta = read_meta(own_videos / "run")
    with raises(DataError, code="invalid-data"):
        open_training_data(other, own_videos / "videos", meta)
    with raises(DataError, code="no-data"):
        open_training_data(None, Path(tmp_path / "videos"), meta)
