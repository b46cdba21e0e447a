"""Suggestions of videos to label: unlabeled videos only, in an order that does not depend on their number."""

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.errors import raises
from wtal.core.errors import CheckpointError, DataError
from wtal.core.structures import Segment
from wtal.data.add_labels import add_labels
from wtal.data.annotations.base import Annotation
from wtal.data.dataset import Dataset, load_dataset
from wtal.experiments import suggestions
from wtal.experiments.pipeline import train
from wtal.experiments.suggestions import disagreement, greedy_order, suggest

gains = st.dictionaries(
    st.text(min_size=1, max_size=3), st.lists(st.floats(0, 50), min_size=3, max_size=3).map(np.array), max_size=8
)


@pytest.fixture(scope="module")
def run(tiny, settings, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    train(tiny.path, folder, settings("dfe", teacher={"models": 2}, train={"steps": 20}), device="cpu")
    return folder


@pytest.fixture
def copy(tiny, tmp_path) -> Dataset:
    return load_dataset(Path(shutil.copytree(tiny.path, tmp_path / "set")))


@given(gains)
def test_each_item_adds_at_most_as_much_as_the_one_before(gains):
    order = greedy_order(gains, np.zeros(3), 100)
    assert sorted(id for id, _ in order) == sorted(gains)
    added = [gain for _, gain in order]
    assert all(later <= earlier + 1e-9 for earlier, later in itertools.pairwise(added))
    total = np.log1p(sum(gains.values(), np.zeros(3))).sum()
    assert sum(added) == pytest.approx(total)


def test_rare_classes_and_different_videos_come_first():
    gains = {"a": np.array([5.0, 0.0]), "b": np.array([5.0, 0.0]), "c": np.array([0.0, 2.0])}
    assert [id for id, _ in greedy_order(gains, np.zeros(2), 2)] == ["a", "c"]
    assert greedy_order(gains, np.array([100.0, 0.0]), 1)[0][0] == "c"


def test_disagreement_is_symmetric_and_zero_for_equal_predictions():
    predictions = torch.rand(3, 5, 4, generator=torch.Generator().manual_seed(0)).softmax(-1)
    assert (disagreement(predictions) > 0).all()
    torch.testing.assert_close(disagreement(predictions), disagreement(predictions.flip(0)))
    torch.testing.assert_close(disagreement(predictions[:1].expand(3, -1, -1)), torch.zeros(5))
    certain = torch.eye(4)[:2][:, None]
    torch.testing.assert_close(disagreement(certain), torch.tensor([2.0]).log())


def test_suggestions_are_unlabeled_training_videos(run, copy):
    training = {video.id: video for video in copy.subset("training") if video.labels}
    suggested = suggest(run, copy, 100)
    ids = [suggestion.video_id for suggestion in suggested]
    assert sorted(ids) == sorted(training) and suggested[0].gain == 1
    assert [s.video_id for s in suggest(run, copy, 3)] == ids[:3]
    for suggestion in suggested:
        tags = set(training[suggestion.video_id].labels)
        end = copy.clock_of(suggestion.video_id).seconds(len(copy.features(suggestion.video_id)))
        assert set(suggestion.labels) <= tags
        assert all(moment.label in tags and 0 <= moment.time <= end for moment in suggestion.moments)
        times = [moment.time for moment in suggestion.moments]
        assert times == sorted(times)
    labels = training[ids[0]].labels
    add_labels(copy.path, [Annotation(ids[0], (Segment(labels[0], 1.0, 1.0),))])
    remaining = [suggestion.video_id for suggestion in suggest(run, load_dataset(copy.path), 100)]
    assert sorted(remaining) == sorted(set(ids) - {ids[0]})


def test_videos_without_expected_instances_have_no_gain(run, copy, monkeypatch):
    background = torch.eye(len(copy.classes) + 1)[-1]
    monkeypatch.setattr(suggestions, "enhance", lambda posterior, *_: background.expand_as(posterior))
    assert {(s.gain, s.labels, s.moments) for s in suggest(run, copy, 100)} == {(0.0, (), ())}


def test_nothing_is_suggested_if_all_is_labeled(run, copy):
    content = json.loads((copy.path / "annotations.json").read_text())
    for entry in content["database"].values():
        entry["timeline"] = "complete"
        entry["annotations"] = [{"segment": [2.0, 5.0], **annotation} for annotation in entry["annotations"]]
    (copy.path / "annotations.json").write_text(json.dumps(content))
    with raises(DataError, code="nothing-to-suggest", path=copy.path):
        suggest(run, load_dataset(copy.path), 100)


def test_run_without_stage_one_is_rejected(tiny, run, settings, tmp_path):
    train(tiny.path, tmp_path / "local", settings("local", train={"steps": 1}), device="cpu")
    with raises(CheckpointError, code="no-global-branch", path=tmp_path / "local"):
        suggest(tmp_path / "local", tiny, 100)


def test_run_must_fit_the_data_set(run, copy):
    for path in (copy.path / "features").glob("*.npy"):
        np.save(path, np.load(path)[:, :3])
    about = json.loads((copy.path / "dataset.json").read_text()) | {"modalities": [3]}
    (copy.path / "dataset.json").write_text(json.dumps(about))
    with raises(CheckpointError):
        suggest(run, load_dataset(copy.path), 100)
