"""Data set folders: reading, writing, and folders that are incomplete or malformed."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.errors import raises
from tests.helpers.strategies import videos
from wtal.core.clock import SnippetClock
from wtal.core.errors import DataError
from wtal.core.structures import Segment, Video
from wtal.data.dataset import load_dataset, write_dataset_info
from wtal.data.layouts.activitynet import write_activitynet


@pytest.mark.parametrize("name, sizes, width", [("hapt", (249, 43, 48), 78), ("actrectut", (147, 30, 30), 195)])
def test_public_data_set_folders(name, sizes, width, shared):
    dataset = load_dataset(shared(name))
    assert tuple(len(dataset.subset(subset)) for subset in ("train", "val", "test")) == sizes
    assert dataset.modalities == (width,) and dataset.features(dataset.videos[0].id).shape[1] == width


def write_dataset(tmp_path, **about) -> Path:
    (tmp_path / "dataset.json").write_text(json.dumps({"snippet_seconds": 0.5, **about}))
    videos = [
        Video("a", "training", ("run",), 4.0, (Segment("run", 1, 2),)),
        Video("b", "testing", ("run",), 4.0),
    ]
    write_activitynet(tmp_path / "annotations.json", videos)
    (tmp_path / "features").mkdir()
    np.save(tmp_path / "features" / "b.npy", np.ones((8, 6), dtype=np.float32))
    return tmp_path


def test_folder_is_read(tmp_path):
    dataset = load_dataset(write_dataset(tmp_path, modalities=[4, 2]))
    assert dataset.classes == ("run",) and dataset.modalities == (4, 2) and dataset.width == 6
    assert dataset.subsets == ("training", "testing") and dataset.clock == SnippetClock(0.5)
    assert dataset.features("b").shape == (8, 6)
    with raises(DataError, code="unknown-name", path=tmp_path):
        dataset.subset("validation")


def test_tags_replace_annotations(tmp_path):
    (write_dataset(tmp_path) / "annotations.json").unlink()
    (tmp_path / "tags.csv").write_text("video,labels\nb,run;jump\n")
    dataset = load_dataset(tmp_path)
    assert dataset.classes == ("jump", "run") and dataset.subsets == ("training",) and dataset.modalities == (6,)


@settings(deadline=None, max_examples=30)
@given(written=st.lists(videos(), min_size=1, max_size=4), stride=st.floats(0.01, 10), offset=st.floats(-5, 5))
def test_write_and_read_roundtrip(tmp_path_factory, written, stride, offset):
    path = tmp_path_factory.mktemp("plain")
    written = [Video(f"v{i}", v.subset, v.labels, v.duration, v.segments) for i, v in enumerate(written)]
    classes = sorted({label for video in written for label in video.labels})
    write_dataset_info(path, written, SnippetClock(stride, offset), classes, (3, 4), {"licence": "ours"})
    dataset = load_dataset(path)
    assert dataset.clock == SnippetClock(stride, offset) and dataset.classes == tuple(classes)
    assert dataset.modalities == (3, 4) and dataset.about["licence"] == "ours"
    expected = [video.without_segments() if video.subset == "training" else video for video in written]
    assert list(dataset.videos) == expected


@pytest.mark.parametrize(
    "about, code",
    [
        ({"snippet_seconds": 0}, "invalid-value"),
        ({"snippet_seconds": "1/2"}, "invalid-value"),
        ({"snippet_seconds": float("nan")}, "invalid-value"),
        ({"snippet_seconds": 10**400}, "invalid-value"),
        ({"snippet_seconds": True}, "invalid-value"),
        ({"offset_seconds": None}, "invalid-value"),
        ({"classes": "run"}, "invalid-type"),
        ({"classes": ["run", "run"]}, "duplicate"),
        ({"classes": ["run", "r\u200bun"]}, "hidden-character"),
        ({"modalities": [0]}, "invalid-value"),
        ({"modalities": 6}, "invalid-value"),
        ({"provenance": {"backbone": "i3d"}}, "invalid-value"),
    ],
)
def test_malformed_dataset_json_is_rejected(tmp_path, about, code):
    with raises(DataError, code=code, path=tmp_path / "dataset.json"):
        load_dataset(write_dataset(tmp_path, **about))


def test_data_set_without_features_is_reported(tmp_path):
    write_dataset(tmp_path, snippet_seconds=None)
    (tmp_path / "videos.json").write_text("{}")
    with raises(DataError, code="no-features", path=tmp_path):
        load_dataset(tmp_path)


def test_label_outside_of_classes_is_rejected(tmp_path):
    with raises(DataError, code="unknown-name", path=tmp_path, location="a"):
        load_dataset(write_dataset(tmp_path, classes=["jump"]))


def test_incomplete_folder_is_rejected(tmp_path):
    with raises(DataError, code="file-not-found", path=tmp_path / "none"):
        load_dataset(tmp_path / "none")
    with raises(DataError, code="file-not-found", path=tmp_path):
        load_dataset(tmp_path)
    (write_dataset(tmp_path) / "dataset.json").unlink()
    with raises(DataError, code="file-not-found", path=tmp_path / "dataset.json"):
        load_dataset(tmp_path)
    (tmp_path / "tags.csv").write_text("video,labels\na,run\n")
    with raises(DataError, code="ambiguous", path=tmp_path):
        load_dataset(tmp_path)


def test_wrong_width_and_unusable_id_are_rejected(tmp_path):
    dataset = load_dataset(write_dataset(tmp_path, modalities=[5]))
    with raises(DataError, path=dataset.features_path("b")):
        dataset.features("b")
    write_activitynet(tmp_path / "annotations.json", [Video("../b", "training", ("run",))])
    with raises(DataError, code="invalid-id", path=tmp_path):
        load_dataset(tmp_path)
