"""Adding segments and points to the training videos of a data set."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.errors import raises
from wtal.core.errors import DataError
from wtal.core.io import directory_lock
from wtal.core.structures import Segment
from wtal.data.add_labels import add_labels
from wtal.data.annotations.base import Annotation
from wtal.data.dataset import Dataset, load_dataset
from wtal.data.snippet_labels import TRAINING_SEGMENTS_NAME


@pytest.fixture
def copy(tiny, tmp_path) -> Dataset:
    return load_dataset(Path(shutil.copytree(tiny.path, tmp_path / "set")))


def video_of(dataset: Dataset, id: str):
    return next(video for video in load_dataset(dataset.path).videos if video.id == id)


def test_segments_and_points_are_read_back(copy):
    a, b, _ = copy.classes
    segments = (Segment(a, 1.0, 4.5), Segment(b, 12.5, 12.5))
    added = add_labels(copy.path, [Annotation("training_0000", segments)])
    assert (added.videos, added.segments, added.points, added.complete) == (1, 1, 1, 0)
    video = video_of(copy, "training_0000")
    assert set(video.segments) == set(segments) and not video.complete
    assert set(video.labels) == {a, b} | set(copy.subset("training")[0].labels)
    assert [v for v in load_dataset(copy.path).videos if v.id != video.id] == [
        v for v in copy.videos if v.id != video.id
    ]


def test_labels_of_a_complete_timeline_are_its_tags(copy):
    a = copy.classes[0]
    add_labels(copy.path, [Annotation("training_0000", (Segment(a, 1.0, 4.5),))], complete=True)
    assert (video_of(copy, "training_0000").labels, video_of(copy, "training_0000").complete) == ((a,), True)
    add_labels(copy.path, [Annotation("training_0000", (), complete=True)])
    assert (video_of(copy, "training_0000").labels, video_of(copy, "training_0000").segments) == ((), ())


def test_timeline_with_points_is_never_complete(copy):
    a, b, _ = copy.classes
    tags = set(video_of(copy, "training_0000").labels)
    added = add_labels(copy.path, [Annotation("training_0000", (Segment(a, 1.0, 4.5), Segment(b, 6.0, 6.0)))], True)
    video = video_of(copy, "training_0000")
    assert (video.complete, set(video.labels), added.complete) == (False, tags | {a, b}, 0)
    assert any("training_0000" in remark for remark in added.remarks)


def test_adding_twice_is_adding_once(copy):
    annotations = [Annotation("training_0000", (Segment(copy.classes[0], 1.0, 4.5),))]
    add_labels(copy.path, annotations)
    content = (copy.path / "annotations.json").read_bytes()
    add_labels(copy.path, annotations)
    assert (copy.path / "annotations.json").read_bytes() == content


def test_labels_that_training_would_not_use_are_rejected(copy):
    (copy.path / TRAINING_SEGMENTS_NAME).write_text('{"training_0000": []}')
    content = (copy.path / "annotations.json").read_bytes()
    point = Segment(copy.classes[0], 1.0, 1.0)
    with raises(DataError, code="already-labelled", path=copy.path / TRAINING_SEGMENTS_NAME):
        add_labels(copy.path, [Annotation("training_0000", (point,))])
    assert (copy.path / "annotations.json").read_bytes() == content
    assert add_labels(copy.path, [Annotation("training_0001", (point,))]).points == 1


def test_other_videos_are_named_in_remarks(copy):
    a = copy.classes[0]
    names = ("training_0000", "testing_0000", "unknown")
    added = add_labels(copy.path, [Annotation(name, (Segment(a, 1.0, 2.0),)) for name in names])
    assert added.videos == 1 and len(added.remarks) == 2
    assert any("unknown" in remark for remark in added.remarks)


@pytest.mark.parametrize("id", ["testing_0000", "unknown"])
def test_annotations_of_no_training_video_are_an_error(copy, id):
    before = (copy.path / "annotations.json").read_bytes()
    with raises(DataError, code="no-common-videos", path=copy.path):
        add_labels(copy.path, [Annotation(id, (Segment(copy.classes[0], 1.0, 2.0),))])
    assert (copy.path / "annotations.json").read_bytes() == before


def test_unknown_class_changes_nothing(copy):
    before = (copy.path / "annotations.json").read_bytes()
    segments = (Segment(copy.classes[0], 1.0, 2.0),)
    with raises(DataError, code="unknown-name", path=copy.path, location="training_0001"):
        add_labels(
            copy.path,
            [Annotation("training_0000", segments), Annotation("training_0001", (Segment("typo", 1.0, 2.0),))],
        )
    assert (copy.path / "annotations.json").read_bytes() == before


def test_data_set_of_a_table_keeps_its_labels_there(copy):
    (copy.path / "annotations.json").unlink()
    classes = json.loads((copy.path / "dataset.json").read_text())["classes"]
    (copy.path / "tags.csv").write_text(f"video,labels\ntraining_0000,{classes[0]}\n")
    with raises(DataError, code="unsupported-format", path=copy.path / "tags.csv"):
        add_labels(copy.path, [Annotation("training_0000", (Segment(classes[0], 1.0, 2.0),))])


def test_tags_of_the_annotation_are_added(copy):
    a, b, c = copy.classes
    add_labels(copy.path, [Annotation("training_0001", (Segment(a, 1.0, 2.0),), tags=(b,))])
    assert video_of(copy, "training_0001").labels == tuple(sorted((a, b)))
    with raises(DataError, code="unknown-name", location="training_0001"):
        add_labels(copy.path, [Annotation("training_0001", (Segment(c, 1.0, 2.0),), tags=("typo",))])


A = "CLASS"  # the first class of the data set


@pytest.mark.parametrize(
    "annotation, complete, code",
    [
        (Annotation("training_0001", tags=(A,), complete=True), False, "incomplete"),
        (Annotation("training_0001", tags=(A,)), True, "incomplete"),
        (Annotation("training_0001", (Segment(A, 2.0, 400.0),)), False, "invalid-segment"),
        (Annotation("training_0001", (Segment(A, 400.0, 400.0),)), False, "invalid-segment"),
        (Annotation("training_0001", (Segment(A, 2.0, 4.0, 0.9), Segment(A, 3.0, 5.0, 0.1))), False, "alternatives"),
    ],
    ids=str,
)
def test_labels_that_cannot_be_right_change_nothing(copy, annotation, complete, code):
    before = (copy.path / "annotations.json").read_bytes()
    label = copy.classes[0]
    segments = tuple(segment._replace(label=label) for segment in annotation.segments)
    annotation = replace(annotation, segments=segments, tags=tuple(label for _ in annotation.tags))
    valid = Annotation("training_0000", (Segment(label, 1.0, 2.0),))
    with raises(DataError, code=code, path=copy.path, location="training_0001"):
        add_labels(copy.path, [valid, annotation], complete)
    assert (copy.path / "annotations.json").read_bytes() == before


def test_end_of_a_video_of_unknown_duration_is_that_of_its_features(copy):
    content = json.loads((copy.path / "annotations.json").read_text())
    del content["database"]["training_0001"]["duration"]
    (copy.path / "annotations.json").write_text(json.dumps(content))
    label = copy.classes[0]
    add_labels(copy.path, [Annotation("training_0001", (Segment(label, 1.0, 60.0),))])
    with raises(DataError, code="invalid-segment", location="training_0001"):
        add_labels(copy.path, [Annotation("training_0001", (Segment(label, 40.0, 60.0),))])


@pytest.mark.parametrize("annotations", [[], [Annotation("training_0000", tags=("jump",))]], ids=str)
def test_annotations_without_times_are_an_error(copy, annotations):
    with raises(DataError, code="no-segments", path=copy.path):
        add_labels(copy.path, annotations)


def test_labels_are_not_added_while_another_process_writes(copy):
    with directory_lock(copy.path), raises(DataError, code="locked", path=copy.path):
        add_labels(copy.path, [Annotation("training_0000", (Segment(copy.classes[0], 1.0, 2.0),))])


def test_missing_folder_is_not_created(tmp_path):
    with raises(DataError, code="file-not-found", path=tmp_path / "typo"):
        add_labels(tmp_path / "typo", [Annotation("a", (Segment("run", 1.0, 2.0),))])
    assert not (tmp_path / "typo").exists()
