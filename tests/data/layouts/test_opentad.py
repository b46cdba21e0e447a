"""The OpenTAD / ActionFormer layout: files are found, snippets get their times, and what does not fit is rejected."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.errors import raises
from wtal.core.errors import DataError
from wtal.data.dataset import load_dataset
from wtal.data.layouts.base import FeatureTiming
from wtal.data.layouts.convert import ConvertedLayout, convert_layout
from wtal.data.provenance import origin_path
from wtal.data.validation import validate_dataset

TIMING = FeatureTiming(4, 16)
WIDTH = 6


def entry(subset: str, fps: float | None = 30.0, **more: Any) -> dict[str, Any]:
    """As in thumos14.json of ActionFormer."""
    run = {"label": "Run", "segment": [0.2, 1.1], "segment(frames)": [6.0, 33.0], "label_id": 5}
    jump = {"label": "Jump", "segment": [0.5, 0.9], "segment(frames)": [15.0, 27.0], "label_id": 6}
    rate = {} if fps is None else {"fps": fps}
    return {"subset": subset, "duration": 4.2, **rate, "annotations": [run, jump, run], **more}


DATABASE = {"v_1": entry("Validation"), "t_1": entry("Test"), "t_2": entry("Test")}


def write_layout(
    root: Path, database: dict[str, Any] = DATABASE, prefix: str = "", without: tuple[str, ...] = ()
) -> Path:
    source = root / "thumos"
    (source / "annotations").mkdir(parents=True)
    text = json.dumps({"version": "Thumos14-30fps", "database": database})
    (source / "annotations" / "thumos14.json").write_text(text)
    (source / "i3d_features").mkdir()
    for number, id in enumerate(database):
        if id not in without:
            np.save(source / "i3d_features" / f"{prefix}{id}.npy", np.full((29 + number, WIDTH), number, np.float32))
    return source


def convert(root: Path, *args: Any, timing: FeatureTiming = TIMING, **options: Any) -> ConvertedLayout:
    return convert_layout(write_layout(root, *args, **options), root / "out", timing=timing)


def test_thumos(tmp_path):
    calls = []
    converted = convert_layout(
        write_layout(tmp_path), tmp_path / "out", timing=TIMING, on_progress=lambda *call: calls.append(call)
    )
    assert converted.layout == "OpenTAD / ActionFormer" and calls == [(1, 3), (2, 3), (3, 3)]
    assert len(converted.remarks) == 1 and "validation subset" in converted.remarks[0]
    dataset = load_dataset(converted.path)
    assert dataset.classes == ("Jump", "Run") and dataset.modalities == (WIDTH,)
    assert [(v.id, v.subset, v.labels, len(v.segments)) for v in dataset.videos] == [
        ("v_1", "training", ("Jump", "Run"), 0),
        ("t_1", "testing", ("Jump", "Run"), 3),  # a repeated segment stays repeated
        ("t_2", "testing", ("Jump", "Run"), 3),
    ]
    assert dataset.clock.stride == pytest.approx(4 / 30) and dataset.clock.offset == pytest.approx(0.2)
    assert dataset.features("t_2").shape == (31, WIDTH) and np.all(dataset.features("t_2") == 2)
    assert not list((converted.path / "features").glob("*.json"))
    assert not validate_dataset(converted.path).fatal


@settings(deadline=None, max_examples=25)
@given(stride=st.integers(1, 32), window=st.integers(1, 64), rates=st.lists(st.floats(1, 120), min_size=3, max_size=3))
def test_snippet_is_centered_in_its_window(tmp_path_factory, stride, window, rates):
    root = tmp_path_factory.mktemp("timing")
    database = {f"v{n}": entry("training", fps) for n, fps in enumerate(rates)}
    dataset = load_dataset(convert(root, database, timing=FeatureTiming(stride, window)).path)
    for video, fps in zip(dataset.videos, rates, strict=True):
        clock, length = dataset.clock_of(video.id), len(dataset.features(video.id))
        centers = clock.seconds(np.arange(length) + 0.5)
        assert centers == pytest.approx((np.arange(length) * stride + window / 2) / fps, abs=1e-5)


def test_given_frame_rate_replaces_recorded_times(tmp_path):
    database = {"a": entry("training", 25), "b": entry("training", 30), "c": entry("validation", 30)}
    converted = convert(tmp_path, database)
    dataset = load_dataset(converted.path)
    assert origin_path(dataset.features_path("a")).is_file() and not converted.remarks
    assert dataset.clock_of("a").stride == dataset.clock.stride == pytest.approx(4 / 30)
    convert_layout(tmp_path / "thumos", converted.path, timing=FeatureTiming(4, 16, 15))
    dataset = load_dataset(converted.path)
    assert dataset.clock_of("a").seconds(1) == pytest.approx(6 / 15 + 4 / 15)
    assert not origin_path(dataset.features_path("a")).exists()


def test_common_prefix_and_missing_features(tmp_path):
    database = {**DATABASE, "gone": entry("Test"), "1": entry("Test")}
    converted = convert(tmp_path, database, prefix="v_", without=("gone",))
    assert [video.id for video in converted.videos] == ["v_1", "t_1", "t_2", "1"]
    assert any("gone" in remark for remark in converted.remarks)
    assert np.all(load_dataset(converted.path).features("1") == 4)


def test_complete_files_are_kept_and_truncated_ones_written_again(tmp_path):
    converted = convert(tmp_path)
    complete, truncated = converted.path / "features/v_1.npy", converted.path / "features/t_1.npy"
    modified = complete.stat().st_mtime_ns
    truncated.write_bytes(truncated.read_bytes()[:-9])
    convert_layout(tmp_path / "thumos", converted.path, timing=TIMING)
    assert complete.stat().st_mtime_ns == modified
    assert load_dataset(converted.path).features("t_1").shape == (30, WIDTH)


def test_width_of_two_streams_is_a_remark(tmp_path):
    source = write_layout(tmp_path)
    for path in (source / "i3d_features").iterdir():
        np.save(path, np.ones((3, 2048), np.float16))
    converted = convert_layout(source, tmp_path / "out", timing=TIMING)
    assert "[1024, 1024]" in converted.remarks[-1]
    assert load_dataset(converted.path).features("v_1").dtype == np.float16


@pytest.mark.parametrize("timing", [None, FeatureTiming(), FeatureTiming(stride=4), FeatureTiming(window=16, fps=30)])
def test_timing_is_required(tmp_path, timing):
    source = write_layout(tmp_path)
    with raises(DataError, code="missing-timing", path=source) as caught:
        convert_layout(source, tmp_path / "out", timing=timing)
    assert "--stride 4 --window 16 --fps 30" in caught.value.hint and not (tmp_path / "out").exists()


@pytest.mark.parametrize("fps", [None, 0, "30", True, -1, float("inf")])
def test_invalid_frame_rate_is_located(tmp_path, fps):
    path = tmp_path / "thumos/annotations/thumos14.json"
    with raises(DataError, code="invalid-value", path=path, location="b"):
        convert(tmp_path, {"a": entry("training"), "b": {**entry("training", None), "fps": fps}})


def test_ambiguous_folder_is_rejected(tmp_path):
    source = write_layout(tmp_path)
    (source / "scores.json").write_text('{"v_1": 3}')  # no annotations
    (source / "tsn").mkdir()
    np.save(source / "tsn/other.npy", np.ones((2, 2)))  # of no video
    convert_layout(source, tmp_path / "out", timing=TIMING)
    np.save(source / "tsn/t_1.npy", np.ones((2, 2)))
    with raises(DataError, code="ambiguous", path=source) as caught:
        convert_layout(source, tmp_path / "out", timing=TIMING)
    assert "i3d_features, tsn" in caught.value.message
    (source / "gt2.json").write_text('{"database": {}}')
    with raises(DataError, code="ambiguous", path=source) as caught:
        convert_layout(source, tmp_path / "out", timing=TIMING)
    assert "gt2.json" in caught.value.message


@pytest.mark.parametrize(
    "shapes, name",
    [
        ({"v_1": (WIDTH, 40), "t_1": (WIDTH, 50), "t_2": (WIDTH, 60)}, ""),  # D x T
        ({"t_1": (30, 7)}, "t_1.npy"),
    ],
)
def test_features_of_different_widths_are_rejected(tmp_path, shapes, name):
    source = write_layout(tmp_path)
    for id, shape in shapes.items():
        np.save(source / "i3d_features" / f"{id}.npy", np.ones(shape, np.float32))
    with raises(DataError, code="width-mismatch", path=source / "i3d_features" / name):
        convert_layout(source, tmp_path / "out", timing=TIMING)


@pytest.mark.parametrize("array", [np.ones(30), np.ones((0, WIDTH)), np.array([{}], dtype=object)])
def test_unusable_features_are_rejected(tmp_path, array):
    source = write_layout(tmp_path)
    np.save(source / "i3d_features" / "t_1.npy", array, allow_pickle=True)
    with pytest.raises(DataError, match=r"t_1\.npy"):
        convert_layout(source, tmp_path / "out", timing=TIMING)


def test_feature_files_must_be_named_after_videos(tmp_path):
    source = write_layout(tmp_path)
    for path in (source / "i3d_features").iterdir():
        path.rename(path.with_name(f"{path.stem}-rgb.npy"))
    with raises(DataError, code="no-features", path=source / "annotations/thumos14.json") as caught:
        convert_layout(source, tmp_path / "out", timing=TIMING)
    assert "t_1-rgb.npy" in caught.value.message


def test_data_set_folder_is_not_detected(tmp_path):
    converted = convert(tmp_path)
    with raises(DataError, code="already-converted", path=converted.path):
        convert_layout(converted.path, tmp_path / "again", timing=TIMING)


def test_public_annotations(shared, tmp_path):
    """Ids, labels and segments of THUMOS14, with other features."""
    truth = json.loads(shared("thumos14", "basnet_gt.json").read_text())["database"]
    names = {"train": "Validation", "test": "Test"}
    source = tmp_path / "thumos"
    (source / "features").mkdir(parents=True)
    database = {id: {**values, "subset": names[values["subset"]]} for id, values in truth.items()}
    (source / "anno.json").write_text(json.dumps({"database": database}))
    for id in database:
        np.save(source / "features" / f"{id}.npy", np.ones((30, 2), np.float16))
    converted = convert_layout(source, tmp_path / "out", timing=FeatureTiming(4, 16, 30))
    dataset = load_dataset(converted.path)
    testing = dataset.subset("testing")
    assert (len(dataset.subset("training")), len(testing), len(dataset.classes)) == (200, 210, 20)
    assert sum(len(video.segments) for video in testing) == 3311 and not validate_dataset(converted.path).fatal
