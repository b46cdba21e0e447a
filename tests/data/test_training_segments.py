"""True segments of training videos as targets of the supervised bound."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from tests.helpers.errors import raises
from wtal.core.errors import DataError
from wtal.data.dataset import Dataset, load_dataset
from wtal.data.training_segments import FILE_NAME, segment_targets, training_segments


@pytest.fixture
def copy(tiny, tmp_path) -> Dataset:
    """A copy of the data set, which has no training segments."""
    return load_dataset(Path(shutil.copytree(tiny.path, tmp_path / "set")))


def write_segments(dataset: Dataset, content: object) -> Path:
    path = dataset.path / FILE_NAME
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
