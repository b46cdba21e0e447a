"""The provenance of features is recorded, compared and enforced, and recorded times are used for all seconds."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.data import TINY
from tests.helpers.errors import raises
from wtal.core.errors import CheckpointError, DataError
from wtal.data.dataset import load_dataset
from wtal.data.provenance import Origin, Provenance, parse_provenance, read_origin, to_json, write_origin
from wtal.data.synthetic.features import write_synthetic
from wtal.data.validation import validate_dataset
from wtal.experiments.pipeline import localize, train
from wtal.models import checkpoint

PROVENANCE = Provenance("i3d", "sha256:" + "a" * 64, 25.0, 16, 16, 256, 224)
OTHER_WEIGHTS = replace(PROVENANCE, weights="sha256:" + "b" * 64)


@given(
    start=st.floats(-10, 1e5),
    steps=st.lists(st.floats(0.01, 5), min_size=1, max_size=30),
    crop=st.none() | st.integers(1, 500),
)
def test_origin_roundtrip(tmp_path_factory, start, steps, crop):
    path = tmp_path_factory.mktemp("origin") / "a.b.npy"
    origin = Origin(replace(PROVENANCE, crop=crop), np.cumsum([start, *steps]), "bfloat16")
    write_origin(path, origin)
    restored = read_origin(path)
    assert restored is not None and (restored.provenance, restored.precision) == (origin.provenance, "bfloat16")
    assert np.allclose(restored.edges, origin.edges, atol=1e-6)
    assert restored.clock.seconds(0) == pytest.approx(start, abs=1e-6)
    assert restored.clock.seconds(len(steps)) == pytest.approx(start + sum(steps), abs=1e-5)


def test_features_without_origin(tmp_path):
    assert read_origin(tmp_path / "a.npy") is None


@pytest.mark.parametrize(
    "change, field",
    [
        ({"times": [0.0, 1.0, 1.0]}, "times"),
        ({"times": [0.0]}, "times"),
        ({"times": "soon"}, "times"),
        ({"provenance": {"backbone": "i3d"}}, "weights"),
        ({"provenance": to_json(PROVENANCE) | {"stride": 0}}, "stride"),
        ({"provenance": to_json(PROVENANCE) | {"angle": 3}}, "angle"),
        ({"precision": None}, "precision"),
    ],
)
def test_malformed_origin_is_rejected(tmp_path, change, field):
    path = tmp_path / "a.npy"
    write_origin(path, Origin(PROVENANCE, np.array([0.0, 1.0])))
    values = json.loads((tmp_path / "a.json").read_text())
    (tmp_path / "a.json").write_text(json.dumps(values | change))
    with raises(DataError, code="invalid-value", path=tmp_path / "a.json") as caught:
        read_origin(path)
    assert field in caught.value.message


@pytest.mark.parametrize(
    "change", [{"fps": 30.0}, {"stride": 8}, {"window": 32}, {"side": 300}, {"crop": None}, {"flow": "dis"}]
)
def test_every_field_of_provenance_is_shown(change):
    assert str(replace(PROVENANCE, **change)) != str(PROVENANCE)


def test_provenance_roundtrip():
    assert parse_provenance(to_json(PROVENANCE), "dataset.json") == PROVENANCE
    assert str(OTHER_WEIGHTS) != str(PROVENANCE)


@pytest.fixture
def recorded(tmp_path):
    """A data set with recorded times: its videos start 100 s late and run at half the speed."""
    write_synthetic(tmp_path / "data", TINY, seed=0)
    dataset = load_dataset(tmp_path / "data")
    for video in dataset.videos:
        record_origin(dataset, video.id)
    return tmp_path / "data"


def record_origin(dataset, id, provenance=PROVENANCE):
    count = len(dataset.features(id))
    edges = 100 + 2 * dataset.clock.seconds(np.arange(count + 1))
    write_origin(dataset.features_path(id), Origin(provenance, edges))


def test_proposals_use_recorded_times(recorded, settings, tmp_path):
    run = tmp_path / "run"
    train(recorded, run, settings())
    timed = localize(run, recorded, tmp_path / "timed.json")
    for path in (recorded / "features").glob("*.json"):
        path.unlink()
    untimed = localize(run, recorded, tmp_path / "untimed.json")
    assert any(untimed.values()) and untimed.keys() == timed.keys()
    for id, proposals in untimed.items():
        assert [p.label for p in timed[id]] == [p.label for p in proposals]
        expected = [(100 + 2 * p.start, 100 + 2 * p.end) for p in proposals]
        assert np.allclose([(p.start, p.end) for p in timed[id]], expected)


def test_model_rejects_features_of_other_provenance(recorded, settings, tmp_path):
    run = tmp_path / "run"
    train(recorded, run, settings())
    assert checkpoint.read_meta(run).provenance == PROVENANCE
    dataset = load_dataset(recorded)
    for video in dataset.videos:
        record_origin(dataset, video.id, OTHER_WEIGHTS)
    with raises(CheckpointError) as caught:
        localize(run, recorded, tmp_path / "p.json")
    assert str(PROVENANCE) in str(caught.value) and str(OTHER_WEIGHTS) in str(caught.value)
    with raises(CheckpointError):
        train(recorded, run, settings(), resume=True)


def test_mixed_provenance_is_rejected(recorded, settings, tmp_path):
    dataset = load_dataset(recorded)
    id = dataset.subset("training")[1].id
    record_origin(dataset, id, OTHER_WEIGHTS)
    path = dataset.features_path(id)
    with raises(DataError, code="provenance-mismatch", path=path) as caught:
        train(recorded, tmp_path / "run", settings())
    assert str(PROVENANCE) in caught.value.message and str(OTHER_WEIGHTS) in caught.value.message
    assert [p.path for p in validate_dataset(recorded).problems if p.code == "provenance-mismatch"] == [path]


def test_wrong_number_of_recorded_times_is_rejected(recorded):
    dataset = load_dataset(recorded)
    id = dataset.videos[0].id
    write_origin(dataset.features_path(id), Origin(PROVENANCE, np.arange(4.0)))
    with raises(DataError, code="length-mismatch", path=recorded / "features" / f"{id}.json"):
        dataset.clock_of(id)


def test_videos_that_could_not_be_extracted_are_skipped(recorded):
    dataset = load_dataset(recorded)
    id = dataset.videos[0].id
    (recorded / "failed.json").write_text(json.dumps({id: "a.mp4: is empty", "other": "gone"}))
    assert load_dataset(recorded) == dataset, "its features exist"
    dataset.features_path(id).unlink()
    assert id not in {video.id for video in load_dataset(recorded).videos}
    (problem,) = [p for p in validate_dataset(recorded).problems if p.code == "extraction-failed"]
    assert problem.location == id and "is empty" in problem.message and not problem.fatal
    (recorded / "failed.json").write_text("[1]")
    with raises(DataError, code="invalid-type", path=recorded / "failed.json"):
        load_dataset(recorded)
