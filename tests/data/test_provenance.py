"""Where features come from: kept, compared, refused; and the recorded times that all seconds are taken from."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.data import TINY
from wtal.core.errors import CheckpointError, DataError
from wtal.data.dataset import load_dataset
from wtal.data.features import open_features, write_features, write_features_in_parts
from wtal.data.provenance import Origin, Provenance, parse_provenance, read_origin, to_json, write_origin
from wtal.data.synthetic.features import write_synthetic
from wtal.data.validation import validate_dataset
from wtal.experiments.pipeline import localize_run, train_run
from wtal.models import checkpoint

ONE = Provenance("i3d", "sha256:" + "a" * 64, 25.0, 16, 16, 256, 224)
OTHER = replace(ONE, weights="sha256:" + "b" * 64)


@given(
    start=st.floats(-10, 1e5),
    steps=st.lists(st.floats(0.01, 5), min_size=1, max_size=30),
    crop=st.none() | st.integers(1, 500),
)
def test_an_origin_is_read_as_it_was_written(tmp_path_factory, start, steps, crop):
    path = tmp_path_factory.mktemp("origin") / "a.b.npy"
    origin = Origin(replace(ONE, crop=crop), np.cumsum([start, *steps]), "bfloat16")
    write_origin(path, origin)
    again = read_origin(path)
    assert again is not None and (again.provenance, again.precision) == (origin.provenance, "bfloat16")
    assert np.allclose(again.edges, origin.edges, atol=1e-6)
    assert again.clock.seconds(0) == pytest.approx(start, abs=1e-6)
    assert again.clock.seconds(len(steps)) == pytest.approx(start + sum(steps), abs=1e-5)


def test_features_without_an_origin_have_none(tmp_path):
    assert read_origin(tmp_path / "a.npy") is None


@pytest.mark.parametrize(
    "change, said",
    [
        ({"times": [0.0, 1.0, 1.0]}, "do not ascend"),
        ({"times": [0.0]}, "times"),
        ({"times": "soon"}, "times"),
        ({"provenance": {"backbone": "i3d"}}, "weights"),
        ({"provenance": to_json(ONE) | {"stride": 0}}, "stride"),
        ({"provenance": to_json(ONE) | {"angle": 3}}, "angle"),
        ({"precision": None}, "precision"),
    ],
)
def test_a_broken_origin_is_one_sentence(tmp_path, change, said):
    path = tmp_path / "a.npy"
    write_origin(path, Origin(ONE, np.array([0.0, 1.0])))
    values = json.loads((tmp_path / "a.json").read_text())
    (tmp_path / "a.json").write_text(json.dumps(values | change))
    with pytest.raises(DataError, match=said) as error:
        read_origin(path)
    assert str(error.value).startswith(str(tmp_path / "a.json")) and "extract" in str(error.value)


def test_provenance_says_what_differs():
    assert str(ONE) != str(OTHER) and "i3d" in str(ONE) and "aaaa" in str(ONE) and "25" in str(ONE)
    assert parse_provenance(to_json(ONE), "x") == ONE
    for name, value in (
        ("fps", 30.0),
        ("stride", 8),
        ("window", 32),
        ("side", 300),
        ("crop", None),
        ("flow", "dis"),
    ):
        assert str(replace(ONE, **{name: value})) != str(ONE), name


@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5), width=st.integers(1, 7))
def test_parts_make_the_file_that_the_whole_makes(tmp_path_factory, lengths, width):
    place = tmp_path_factory.mktemp("parts")
    rng = np.random.default_rng(len(lengths))
    parts = [rng.normal(size=(n, width)).astype(np.float16) for n in lengths]
    assert write_features_in_parts(place / "a.npy", iter(parts)) == sum(lengths)
    write_features(place / "b.npy", np.concatenate(parts))
    assert np.array_equal(open_features(place / "a.npy"), np.load(place / "b.npy"))
    assert np.array_equal(np.load(place / "a.npy"), np.load(place / "b.npy"))


def test_parts_that_fail_leave_nothing(tmp_path):
    def parts():
        yield np.zeros((3, 2), np.float16)
        raise DataError("cut off")

    with pytest.raises(DataError, match="cut off"):
        write_features_in_parts(tmp_path / "a.npy", parts())
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def recorded(tmp_path):
    """A data set whose features say where they come from; its videos begin 100 s late and run at half the pace."""
    write_synthetic(tmp_path / "data", TINY, seed=0)
    folder = load_dataset(tmp_path / "data")
    for video in folder.videos:
        _record(folder, video.id)
    return tmp_path / "data"


def _record(folder, id, provenance=ONE):
    count = len(folder.features(id))
    edges = 100 + 2 * folder.clock.seconds(np.arange(count + 1))
    write_origin(folder.features_path(id), Origin(provenance, edges))


def test_recorded_times_are_the_seconds_of_the_proposals(recorded, settings, tmp_path):
    run = tmp_path / "run"
    train_run(recorded, run, settings())
    late = localize_run(run, recorded, "testing", tmp_path / "late.json")
    for path in (recorded / "features").glob("*.json"):
        path.unlink()
    plain = localize_run(run, recorded, "testing", tmp_path / "plain.json")
    assert any(plain.values()) and plain.keys() == late.keys()
    for id, proposals in plain.items():
        expected = [(p.label, 100 + 2 * p.start, 100 + 2 * p.end) for p in proposals]
        found = [(p.label, p.start, p.end) for p in late[id]]
        assert [f[0] for f in found] == [e[0] for e in expected]
        assert np.allclose([f[1:] for f in found], [e[1:] for e in expected])


def test_the_model_remembers_and_refuses_other_features(recorded, settings, tmp_path):
    run = tmp_path / "run"
    train_run(recorded, run, settings())
    assert checkpoint.read_meta(run).provenance == ONE
    folder = load_dataset(recorded)
    for video in folder.videos:
        _record(folder, video.id, OTHER)
    with pytest.raises(CheckpointError) as error:
        localize_run(run, recorded, "testing", tmp_path / "p.json")
    assert str(ONE) in str(error.value) and str(OTHER) in str(error.value)
    with pytest.raises(CheckpointError, match="other settings, classes, features"):
        train_run(recorded, run, settings(), resume=True)


def test_mixed_features_are_refused_by_train_and_check(recorded, settings, tmp_path):
    folder = load_dataset(recorded)
    odd = folder.subset("training")[1].id
    _record(folder, odd, OTHER)
    with pytest.raises(DataError, match=f"{odd}.npy: features of .*bbbb.*aaaa"):
        train_run(recorded, tmp_path / "run", settings())
    assert [p for p in validate_dataset(recorded).problems if p.fatal and odd in p.where]


def test_times_that_do_not_fit_the_features_are_refused(recorded):
    folder = load_dataset(recorded)
    id = folder.videos[0].id
    write_origin(folder.features_path(id), Origin(ONE, np.arange(4.0)))
    with pytest.raises(DataError, match="3 recorded times for"):
        folder.clock_of(id)


def test_failed_videos_are_left_out_with_a_remark(recorded):
    folder = load_dataset(recorded)
    id = folder.videos[0].id
    (recorded / "failed.json").write_text(json.dumps({id: "a.mp4: is empty", "other": "gone"}))
    assert load_dataset(recorded) == folder, "its features are there"
    folder.features_path(id).unlink()
    assert id not in {video.id for video in load_dataset(recorded).videos}
    remarks = [p for p in validate_dataset(recorded).problems if id in p.where and "is empty" in p.what]
    assert remarks and not remarks[0].fatal
    (recorded / "failed.json").write_text("[1]")
    with pytest.raises(DataError, match=r"failed\.json"):
        load_dataset(recorded)
