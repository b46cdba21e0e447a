"""Labels of training snippets: from true segments, points and complete timelines."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from tests.helpers.errors import raises
from wtal.core.errors import DataError
from wtal.data.dataset import Dataset, load_dataset
from wtal.data.snippet_labels import (
    TRAINING_SEGMENTS_NAME,
    count_labels,
    segment_targets,
    snippet_labels,
    training_segments,
)


@pytest.fixture
def copy(tiny, tmp_path) -> Dataset:
    """A copy of the data set, which has no training segments."""
    return load_dataset(Path(shutil.copytree(tiny.path, tmp_path / "set")))


def write_segments(dataset: Dataset, content: object) -> Path:
    path = dataset.path / TRAINING_SEGMENTS_NAME
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def middles(dataset: Dataset, id: str) -> list[float]:
    """The middle of each snippet in seconds."""
    edges = dataset.clock_of(id).seconds(range(len(dataset.features(id)) + 1))
    return ((edges[1:] + edges[:-1]) / 2).tolist()


def test_targets_are_the_segments_that_snippets_lie_in(copy):
    first, second = (video.id for video in copy.subset("training")[:2])
    a, b, _ = copy.classes
    rows = [[a, 3.0, 9.0], [b, 6.0, 12.0], [a, 15.0, 15.0], [b, 20.0, 1e6]]
    write_segments(copy, {first: rows, second: []})
    targets = segment_targets(copy)
    assert targets.keys() == {video.id for video in copy.subset("training")}
    expected = []
    for middle in middles(copy, first):
        labels = {label for label, start, end in rows if start <= middle < end}
        shares = [1 / len(labels) if name in labels else 0.0 for name in copy.classes]
        expected.append([*shares, 0.0 if labels else 1.0])
    torch.testing.assert_close(targets[first], torch.tensor(expected))
    assert {tuple(row) for row in targets[first].tolist()} >= {(0.5, 0.5, 0, 0), (0, 0, 0, 1), (1, 0, 0, 0)}
    for id in targets.keys() - {first}:
        assert targets[id].tolist() == [[0.0, 0.0, 0.0, 1.0]] * len(copy.features(id)), "background"


def test_held_out_videos_have_no_targets(copy):
    ids = [video.id for video in copy.subset("training")]
    write_segments(copy, {id: [[copy.classes[0], 1.0, 9.0]] for id in ids})
    assert segment_targets(copy, frozenset(ids[:2])).keys() == set(ids[2:])


def test_annotated_segments_are_used_unless_there_is_a_file(copy):
    annotations = json.loads((copy.path / "annotations.json").read_text())
    id = next(video.id for video in copy.subset("training") if video.labels)
    for annotation in annotations["database"][id]["annotations"]:
        annotation["segment"] = [2.0, 5.0]
    (copy.path / "annotations.json").write_text(json.dumps(annotations))
    dataset = load_dataset(copy.path)
    assert {other for other, segments in training_segments(dataset).items() if segments} == {id}
    assert {(s.start, s.end) for s in training_segments(dataset)[id]} == {(2.0, 5.0)}
    write_segments(dataset, {id: [[copy.classes[0], 7.0, 8.0]]})
    assert [tuple(segment)[:3] for segment in training_segments(dataset)[id]] == [(copy.classes[0], 7.0, 8.0)]


def test_segments_of_other_subsets_do_not_count(tiny):
    assert any(video.segments for video in tiny.subset("testing"))
    with raises(DataError, code="no-segments", path=tiny.path):
        segment_targets(tiny)


@pytest.mark.parametrize("ids", [[], ["typo"], ["testing_0000"]], ids=str)
def test_file_without_segments_of_training_videos_is_refused(copy, ids):
    write_segments(copy, {"training_0000": [], **{id: [[copy.classes[0], 1.0, 2.0]] for id in ids}})
    with raises(DataError, code="no-segments"):
        segment_targets(copy)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        [],
        None,
        3,
        {"training_0000": 3},
        {"training_0000": None},
        {"training_0000": "abc"},
        {"training_0000": {"abc": 1}},
        {"training_0000": [[]]},
        {"training_0000": [["jump", 1.0]]},
        {"training_0000": [["jump", 1.0, 2.0, 3.0]]},
        {"training_0000": [["jump", "x", 2.0]]},
        {"training_0000": [["jump", None, 2.0]]},
        {"training_0000": [["jump", [1.0], 2.0]]},
        {"training_0000": [["jump", 1.0, 2.0], 4]},
        '{"training_0000": [["CLASS", NaN, 2.0]]}',
        '{"training_0000": [["CLASS", 3.0, 2.0]]}',
    ],
    ids=str,
)
def test_malformed_file_is_one_clear_error(copy, content):
    if isinstance(content, str):
        content = content.replace("CLASS", copy.classes[0])
    path = write_segments(copy, content)
    with raises(DataError, path=path) as caught:
        segment_targets(copy)
    assert len(str(caught.value).splitlines()) == 1


def test_unknown_class_is_named_with_its_video(copy):
    path = write_segments(copy, {"training_0003": [[copy.classes[0], 1.0, 2.0], ["swim", 1.0, 2.0]]})
    with raises(DataError, code="unknown-name", path=path, location="training_0003") as caught:
        segment_targets(copy)
    assert "swim" in caught.value.message


# --- Labels beyond tags -----------------------------------------------------------------------------------------------


def annotate(dataset: Dataset, **videos: dict[str, object]) -> Dataset:
    """The data set after entries of annotations.json were replaced."""
    content = json.loads((dataset.path / "annotations.json").read_text())
    for id, entry in videos.items():
        content["database"][id] = {"subset": "training", **entry}
    (dataset.path / "annotations.json").write_text(json.dumps(content))
    return load_dataset(dataset.path)


def segment(label: str, start: float, end: float) -> dict[str, object]:
    return {"label": label, "segment": [start, end]}


def test_points_label_one_snippet_and_partial_segments_their_inside(copy):
    a, b, _ = copy.classes
    entry = {"annotations": [segment(a, 3.0, 9.0), segment(b, 14.2, 14.2)]}
    dataset = annotate(copy, training_0000=entry)
    (labels,) = snippet_labels(dataset, "all").values()
    edges = dataset.clock_of("training_0000").seconds(range(len(labels) + 1)).tolist()
    for middle, start, end, row in zip(
        middles(dataset, "training_0000"), edges[:-1], edges[1:], labels.tolist(), strict=True
    ):
        assert row == [float(3 <= middle < 9), float(start <= 14.2 < end), 0.0, 0.0]
    kinds = {kind: snippet_labels(dataset, kind)["training_0000"] for kind in ("points", "segments")}
    assert kinds["points"].sum() == 1
    torch.testing.assert_close(kinds["points"] + kinds["segments"], labels)
    assert snippet_labels(dataset, "tags") == {}


def test_complete_timelines_label_every_snippet(copy):
    a = copy.classes[0]
    dataset = annotate(
        copy,
        training_0000={"timeline": "complete", "annotations": [segment(a, 3.0, 9.0)]},
        training_0001={"timeline": "complete", "annotations": []},
        training_0002={"timeline": "partial", "annotations": [segment(a, 3.0, 9.0)]},
    )
    labels = snippet_labels(dataset, "segments")
    assert all((labels[id].sum(1) == 1).all() for id in ("training_0000", "training_0001"))
    assert (labels["training_0001"][:, -1] == 1).all()
    assert torch.equal(labels["training_0000"][:, 0], labels["training_0002"][:, 0])
    assert not labels["training_0002"][:, -1].any()
    counts = count_labels(dataset, "all")
    assert {kind: counts[kind] for kind in ("points", "partial", "complete")} == {
        "points": 0,
        "partial": 1,
        "complete": 2,
    }
    assert count_labels(dataset, "tags").keys() == {"tags"}


def test_timeline_with_points_has_no_background(copy):
    a = copy.classes[0]
    entry = {"timeline": "complete", "annotations": [segment(a, 3.0, 9.0), segment(a, 14.2, 14.2)]}
    dataset = annotate(copy, training_0000=entry)
    for supervision in ("segments", "points", "all"):
        assert not snippet_labels(dataset, supervision)["training_0000"][:, -1].any()


def test_points_outside_the_features_label_nothing(copy):
    a = copy.classes[0]
    end = float(copy.clock_of("training_0000").seconds(len(copy.features("training_0000"))))
    points = [segment(a, time, time) for time in (end + 1, end + 1e9)]
    dataset = annotate(copy, training_0000={"annotations": points})
    with raises(DataError, code="no-segments"):
        snippet_labels(dataset, "points")
    dataset = annotate(copy, training_0000={"annotations": [*points, segment(a, end, end)]})
    assert snippet_labels(dataset, "points")["training_0000"].nonzero().tolist() == [[len(labels_of(dataset)) - 1, 0]]


def labels_of(dataset: Dataset) -> torch.Tensor:
    return snippet_labels(dataset, "points")["training_0000"]


@pytest.mark.parametrize("supervision", ["points", "segments", "all"])
def test_supervision_without_its_labels_is_an_error(copy, supervision):
    with raises(DataError, code="no-segments", path=copy.path):
        snippet_labels(copy, supervision)


def test_points_that_the_file_of_true_segments_replaces_are_an_error_that_names_it(copy):
    dataset = annotate(copy, training_0000={"annotations": [segment(copy.classes[0], 3.0, 3.0)]})
    write_segments(dataset, {"training_0000": [[copy.classes[0], 3.0, 9.0]]})
    with raises(DataError, code="no-segments", path=copy.path) as caught:
        snippet_labels(dataset, "points")
    assert TRAINING_SEGMENTS_NAME in caught.value.hint


def test_file_of_true_segments_holds_complete_timelines(copy):
    write_segments(copy, {"training_0000": [[copy.classes[0], 3.0, 9.0]], "training_0001": []})
    labels = snippet_labels(copy, "segments")
    assert labels.keys() == {"training_0000", "training_0001"}
    assert all((values.sum(1) == 1).all() for values in labels.values())
    assert snippet_labels(copy, "all", frozenset({"training_0000"})).keys() == {"training_0001"}
