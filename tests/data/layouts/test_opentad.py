"""Features made elsewhere, in the layout of OpenTAD and ActionFormer: found, timed and converted."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wtal.core.errors import ConfigError, DataError
from wtal.data.dataset import load_dataset
from wtal.data.layouts.convert import ConvertedLayout, convert_layout
from wtal.data.layouts.opentad import FeatureTiming
from wtal.data.provenance import origin_path
from wtal.data.validation import validate_dataset

THUMOS = FeatureTiming(4, 16)
WIDTH = 6


def entry(subset: str, fps: float | None = 30.0, **more: Any) -> dict[str, Any]:
    """As in thumos14.json of ActionFormer."""
    run = {"label": "Run", "segment": [0.2, 1.1], "segment(frames)": [6.0, 33.0], "label_id": 5}
    jump = {"label": "Jump", "segment": [0.5, 0.9], "segment(frames)": [15.0, 27.0], "label_id": 6}
    rate = {} if fps is None else {"fps": fps}
    return {"subset": subset, "duration": 4.2, **rate, "annotations": [run, jump, run], **more}


SMALL = {"v_1": entry("Validation"), "t_1": entry("Test"), "t_2": entry("Test")}


def layout(root: Path, database: dict[str, Any] = SMALL, prefix: str = "", without: tuple[str, ...] = ()) -> Path:
    source = root / "thumos"
    (source / "annotations").mkdir(parents=True)
    text = json.dumps({"version": "Thumos14-30fps", "database": database})
    (source / "annotations" / "thumos14.json").write_text(text)
    (source / "i3d_features").mkdir()
    for number, id in enumerate(database):
        if id not in without:
            np.save(source / "i3d_features" / f"{prefix}{id}.npy", np.full((29 + number, WIDTH), number, np.float32))
    return source


def converted(root: Path, *args: Any, grid: FeatureTiming = THUMOS, **options: Any) -> ConvertedLayout:
    return convert_layout(layout(root, *args, **options), root / "out", grid=grid)


def test_thumos(tmp_path):
    calls = []
    made = convert_layout(layout(tmp_path), tmp_path / "out", lambda *call: calls.append(call), THUMOS)
    assert made.layout == "OpenTAD / ActionFormer" and calls == [(1, 3), (2, 3), (3, 3)]
    assert made.remarks == (
        "no training subset: its validation subset is taken for training, as is usual for THUMOS14",
    )
    folder = load_dataset(made.out)
    assert folder.classes == ("Jump", "Run") and folder.modalities == (WIDTH,)
    assert [(v.id, v.subset, v.labels, len(v.segments)) for v in folder.videos] == [
        ("v_1", "training", ("Jump", "Run"), 0),
        ("t_1", "testing", ("Jump", "Run"), 3),  # what is there twice stays there twice
        ("t_2", "testing", ("Jump", "Run"), 3),
    ]
    assert folder.clock.stride == pytest.approx(4 / 30) and folder.clock.offset == pytest.approx(0.2)
    assert folder.features("t_2").shape == (31, WIDTH) and np.all(folder.features("t_2") == 2)
    assert not list((made.out / "features").glob("*.json"))
    assert [p.what for p in validate_dataset(made.out).problems if p.fatal] == []


@settings(deadline=None, max_examples=25)
@given(stride=st.integers(1, 32), window=st.integers(1, 64), rates=st.lists(st.floats(1, 120), min_size=3, max_size=3))
def test_a_feature_is_centred_in_its_window(tmp_path_factory, stride, window, rates):
    root = tmp_path_factory.mktemp("grid")
    database = {f"v{n}": entry("training", fps) for n, fps in enumerate(rates)}
    made = converted(root, database, grid=FeatureTiming(stride, window))
    folder = load_dataset(made.out)
    for video, fps in zip(folder.videos, rates, strict=True):
        clock, length = folder.clock_of(video.id), len(folder.features(video.id))
        centres = clock.seconds(np.arange(length) + 0.5)
        assert centres == pytest.approx((np.arange(length) * stride + window / 2) / fps, abs=1e-5)


def test_one_rate_for_all_wins_and_leaves_no_times_of_before(tmp_path):
    database = {"a": entry("training", 25), "b": entry("training", 30), "c": entry("validation", 30)}
    made = converted(tmp_path, database)
    folder = load_dataset(made.out)
    assert origin_path(folder.features_path("a")).is_file() and not made.remarks
    assert folder.clock_of("a").stride == folder.clock.stride == pytest.approx(4 / 30)
    made = convert_layout(tmp_path / "thumos", made.out, grid=FeatureTiming(4, 16, 15))
    folder = load_dataset(made.out)
    assert folder.clock_of("a").seconds(1) == pytest.approx(6 / 15 + 4 / 15)
    assert not origin_path(folder.features_path("a")).exists()


def test_a_prefix_and_features_that_lack(tmp_path):
    database = {**SMALL, "gone": entry("Test"), "1": entry("Test")}
    made = converted(tmp_path, database, prefix="v_", without=("gone",))
    assert [video.id for video in made.videos] == ["v_1", "t_1", "t_2", "1"]
    assert f"1 of 5 videos have no features in {tmp_path}/thumos/i3d_features, left out: gone" in made.remarks
    assert np.all(load_dataset(made.out).features("1") == 4)


def test_good_files_are_kept_and_broken_ones_made_again(tmp_path):
    made = converted(tmp_path)
    good, broken = made.out / "features/v_1.npy", made.out / "features/t_1.npy"
    before = good.stat().st_mtime_ns
    broken.write_bytes(broken.read_bytes()[:-9])
    convert_layout(tmp_path / "thumos", made.out, grid=THUMOS)
    assert good.stat().st_mtime_ns == before and load_dataset(made.out).features("t_1").shape == (30, WIDTH)


def test_the_width_of_two_streams(tmp_path):
    source = layout(tmp_path)
    for path in (source / "i3d_features").iterdir():
        np.save(path, np.ones((3, 2048), np.float16))
    made = convert_layout(source, tmp_path / "out", grid=THUMOS)
    assert '"modalities": [1024, 1024]' in made.remarks[-1]
    assert load_dataset(made.out).features("v_1").dtype == np.float16


@pytest.mark.parametrize("grid", [None, FeatureTiming(), FeatureTiming(stride=4), FeatureTiming(window=16, fps=30)])
def test_the_times_are_asked_for(tmp_path, grid):
    with pytest.raises(DataError, match=r"give --stride and --window in frames, and --fps \(I3D on THUMOS14") as said:
        convert_layout(layout(tmp_path), tmp_path / "out", grid=grid)
    assert "--stride 4 --window 16 --fps 30" in str(said.value) and not (tmp_path / "out").exists()


@pytest.mark.parametrize("fps", [None, 0, "30", True, -1, float("inf")])
def test_a_video_without_its_rate(tmp_path, fps):
    with pytest.raises(DataError, match=r"thumos14\.json, b: fps is .*; give --fps"):
        converted(tmp_path, {"a": entry("training"), "b": {**entry("training", None), "fps": fps}})


@pytest.mark.parametrize("values", [{"stride": 0}, {"window": -1}, {"fps": 0.0}, {"fps": float("nan")}])
def test_numbers_that_are_no_grid(values):
    with pytest.raises(ConfigError, match="use a number above 0"):
        FeatureTiming(**values)


def test_several_of_one_kind(tmp_path):
    source = layout(tmp_path)
    (source / "scores.json").write_text('{"v_1": 3}')  # no annotations, no matter
    (source / "tsn").mkdir()
    np.save(source / "tsn/other.npy", np.ones((2, 2)))  # of no video, no matter
    convert_layout(source, tmp_path / "out", grid=THUMOS)
    np.save(source / "tsn/t_1.npy", np.ones((2, 2)))
    with pytest.raises(DataError, match=r"holds 2 folders of features \(i3d_features, tsn\)"):
        convert_layout(source, tmp_path / "out", grid=THUMOS)
    (source / "gt2.json").write_text('{"database": {}}')
    with pytest.raises(DataError, match="holds 2 JSON files of annotations"):
        convert_layout(source, tmp_path / "out", grid=THUMOS)


@pytest.mark.parametrize(
    "shapes, said",
    [
        ({"v_1": (WIDTH, 40), "t_1": (WIDTH, 50), "t_2": (WIDTH, 60)}, "6 rows, so they are D x T; transpose them"),
        ({"t_1": (30, 7)}, r"t_1\.npy: 7 numbers a snippet, most have 6"),
        ({"t_1": (30,)}, "expected T x D"),
        ({"t_1": (0, WIDTH)}, "0 snippets"),
    ],
)
def test_features_at_fault(tmp_path, shapes, said):
    source = layout(tmp_path)
    for id, shape in shapes.items():
        np.save(source / "i3d_features" / f"{id}.npy", np.ones(shape, np.float32))
    with pytest.raises(DataError, match=said):
        convert_layout(source, tmp_path / "out", grid=THUMOS)


def test_objects_are_not_unpickled(tmp_path):
    source = layout(tmp_path)
    np.save(source / "i3d_features/t_1.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="never unpickled"):
        convert_layout(source, tmp_path / "out", grid=THUMOS)


def test_names_that_do_not_meet(tmp_path):
    source = layout(tmp_path)
    for path in (source / "i3d_features").iterdir():
        path.rename(path.with_name(f"{path.stem}-rgb.npy"))
    with pytest.raises(DataError, match=r"none of its ids is in the name of a feature file \(t_1-rgb\.npy, "):
        convert_layout(source, tmp_path / "out", grid=THUMOS)


def test_other_layouts_need_no_grid(tmp_path):
    (tmp_path / "gt.json").write_text("{}")
    with pytest.raises(DataError, match="the times of a BaS-Net / CoLA layout are known; leave out --stride"):
        convert_layout(tmp_path, tmp_path / "out", grid=THUMOS)


def test_a_plain_folder_is_not_taken_for_it(tmp_path):
    made = converted(tmp_path)
    with pytest.raises(DataError, match="is a plain folder already"):
        convert_layout(made.out, tmp_path / "again", grid=THUMOS)


def test_real_annotations(shared, tmp_path):
    """Ids, labels and segments of the real THUMOS14; the features are stand-ins."""
    truth = json.loads(shared("thumos14", "basnet_gt.json").read_text())["database"]
    names = {"train": "Validation", "test": "Test"}
    source = tmp_path / "thumos"
    (source / "features").mkdir(parents=True)
    database = {id: {**values, "subset": names[values["subset"]]} for id, values in truth.items()}
    (source / "anno.json").write_text(json.dumps({"database": database}))
    for id in database:
        np.save(source / "features" / f"{id}.npy", np.ones((30, 2), np.float16))
    made = convert_layout(source, tmp_path / "out", grid=FeatureTiming(4, 16, 30))
    folder = load_dataset(made.out)
    testing = folder.subset("testing")
    assert (len(folder.subset("training")), len(testing), len(folder.classes)) == (200, 210, 20)
    assert sum(len(video.segments) for video in testing) == 3311 and not validate_dataset(made.out).fatal
