"""The W-TALC bundle becomes a data set folder; bundles that are incomplete, inconsistent or hostile are rejected."""

from pathlib import Path

import numpy as np
import pytest

from tests.helpers.errors import raises
from tests.helpers.layouts import object_array
from wtal.core.clock import SnippetClock
from wtal.core.errors import DataError
from wtal.core.structures import Segment, Video
from wtal.data.dataset import load_dataset
from wtal.data.ground_truth import find_ambiguous, read_ground_truth
from wtal.data.layouts.convert import convert_layout
from wtal.data.layouts.wtalc import read_wtalc

JOINT = "Tiny-I3D-JOINTFeatures.npy"


def write_bundle(tmp_path: Path, width: int = 6) -> Path:
    folder = tmp_path / "source" / "Tiny-Annotations"
    folder.mkdir(parents=True)
    arrays = {
        "classlist": np.array([b"run", b"jump"]),
        "duration": np.array([[4.0], [6.0]]),
        "labels": object_array(["run", "jump"], ["run"]),
        "labels_all": object_array(["run"], ["run"]),
        "segments": object_array([[0.0, 1.0], [1.0, 2.0]], [[2.0, 9.0]]),
        "subset": np.array([b"validation", b"test"]),
        "videoname": np.array([b"v1", b"v2"]),
    }
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=True)
    joint = object_array(np.full((7, width), 1, np.float32), np.full((10, width), 2, np.float32))
    np.save(tmp_path / "source" / JOINT, joint, allow_pickle=True)
    return tmp_path / "source"


def test_bundle_becomes_data_set_folder(tmp_path):
    calls: list[tuple[int, int]] = []
    converted = convert_layout(write_bundle(tmp_path), tmp_path / "out", on_progress=lambda *call: calls.append(call))
    assert converted.layout == "W-TALC bundle" and calls == [(1, 2), (2, 2)] and not converted.remarks
    dataset = load_dataset(tmp_path / "out")
    assert dataset.videos == (
        Video("v1", "training", ("run",), 4.0),
        Video("v2", "testing", ("run",), 6.0, (Segment("run", 2.0, 9.0),)),
    )
    assert dataset.classes == ("run", "jump") and dataset.clock == SnippetClock(0.64)
    assert dataset.features("v1").shape == (7, 6) and dataset.features("v2")[0, 0] == 2
    assert sorted(path.name for path in dataset.path.iterdir()) == [
        "annotations.json",
        "converted.json",
        "dataset.json",
        "features",
    ]


def test_list_of_ambiguous_segments_is_kept(tmp_path):
    source = write_bundle(tmp_path)
    (source / "Tiny-Annotations" / "Ambiguous_test.txt").write_text("v2 0.5 1.5\n")
    assert find_ambiguous(convert_layout(source, tmp_path / "out").path) == {"v2": [(0.5, 1.5)]}


def test_ground_truth_is_read_from_the_folder_of_the_bundle(tmp_path):
    source = write_bundle(tmp_path)
    bundle = source / "Tiny-Annotations"
    (bundle / "Ambiguous_test.txt").write_text("v2 0.5 1.5\n")
    assert read_ground_truth(source) == read_ground_truth(bundle) == read_wtalc(bundle)
    assert find_ambiguous(source) == find_ambiguous(bundle) == {"v2": [(0.5, 1.5)]}


def test_malformed_list_of_ambiguous_segments_is_rejected_before_anything_is_written(tmp_path):
    source = write_bundle(tmp_path)
    (source / "Ambiguous_test.txt").write_text("v2\n")
    with raises(DataError, path=source / "Ambiguous_test.txt"):
        convert_layout(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_finished_conversion_is_kept_and_not_overwritten_from_changed_source(tmp_path):
    source, out = write_bundle(tmp_path), tmp_path / "out"
    convert_layout(source, out)
    features = load_dataset(out).features_path("v1")
    modified = features.stat().st_mtime_ns
    convert_layout(source / "Tiny-Annotations", out)
    assert features.stat().st_mtime_ns == modified
    np.save(source / JOINT, object_array(np.ones((7, 6)), np.ones((10, 6))))
    with raises(DataError, code="source-changed", path=out):
        convert_layout(source, out)
    assert features.stat().st_mtime_ns == modified


def test_features_are_optional_and_i3d_has_two_modalities(tmp_path):
    source = write_bundle(tmp_path, 2048)
    convert_layout(source, tmp_path / "out")
    assert load_dataset(tmp_path / "out").modalities == (1024, 1024)
    (source / JOINT).unlink()
    assert len(convert_layout(source, tmp_path / "alone").remarks) == 1
    assert load_dataset(tmp_path / "alone").modalities == ()


def test_inconsistent_bundle_is_rejected(tmp_path):
    source, out = write_bundle(tmp_path), tmp_path / "out"
    folder = source / "Tiny-Annotations"
    np.save(source / JOINT, object_array(np.ones((7, 4))), allow_pickle=True)
    with raises(DataError, code="length-mismatch", path=source / JOINT):
        convert_layout(source, out)
    assert not list(out.glob(".spill*"))
    np.save(folder / "subset.npy", np.array([b"test"]))
    with raises(DataError, code="length-mismatch", path=folder):
        convert_layout(source, out)
    (folder / "subset.npy").unlink()
    with raises(DataError, code="file-not-found", path=folder / "subset.npy"):
        convert_layout(source, out)


@pytest.mark.parametrize(
    "name, value, code",
    [
        ("labels", np.array(3), "invalid-array"),
        ("classlist", np.array(3), "invalid-array"),
        ("subset", np.array([["test"], ["test"]]), "invalid-array"),
        ("subset", np.array([b"train", b"tests"]), "invalid-array"),
        ("videoname", np.array([b"v1", b"v1"]), "duplicate-id"),
        ("labels_all", np.array([b"run", b"run"]), "invalid-array"),
        ("duration", np.array([b"long", b"short"]), "invalid-array"),
    ],
)
def test_array_of_other_content_is_rejected(name, value, code, tmp_path):
    source = write_bundle(tmp_path)
    path = source / "Tiny-Annotations" / f"{name}.npy"
    np.save(path, value)
    with raises(DataError, code=code, path=path):
        convert_layout(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("spilled", ["own.npy", 3, "../../own.npy"])
def test_bundle_cannot_name_files_to_be_moved(spilled, tmp_path):
    source, private = write_bundle(tmp_path), tmp_path / "own.npy"
    np.save(private, np.ones((7, 4)))
    name = str(private) if spilled == "own.npy" else spilled
    np.save(source / JOINT, object_array({"spilled": name}, {"spilled": name}), allow_pickle=True)
    with raises(DataError, code="unsafe-array", path=source / JOINT):
        convert_layout(source, tmp_path / "out")
    assert private.is_file()


def test_folder_with_two_bundles_is_ambiguous(tmp_path):
    source = write_bundle(tmp_path)
    (source / "Other-Annotations").mkdir()
    (source / "Other-Annotations" / "labels_all.npy").touch()
    with raises(DataError, code="ambiguous", path=source):
        convert_layout(source, tmp_path / "out")


def test_public_bundle(shared):
    videos = read_wtalc(shared("thumos14", "Thumos14reduced-Annotations"))
    training = [video for video in videos if video.subset == "training"]
    testing = [video for video in videos if video.subset == "testing"]
    assert (len(training), len(testing)) == (200, 212)
    assert sum(len(video.segments) for video in training) == 3007
    assert sum(len(video.segments) for video in testing) == 3358
    assert len({label for video in training for label in video.labels}) == 20
    mismatches = [
        sum({segment.label for segment in video.segments} != set(video.labels) for video in subset)
        for subset in (training, testing)
    ]
    assert mismatches == [8, 20]
