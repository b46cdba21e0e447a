"""Synthetic features for real annotations: a signal that can be learned, in every public layout."""

import json
import subprocess
import sys
import tracemalloc
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.data import BENCHMARK_VIDEOS as VIDEOS
from tests.helpers.data import video
from tests.helpers.errors import raises
from tests.helpers.layouts import object_array
from wtal.core.errors import ConfigError, DataError
from wtal.data.dataset import Dataset, load_dataset
from wtal.data.layouts.activitynet import write_activitynet
from wtal.data.layouts.base import FeatureTiming
from wtal.data.layouts.convert import SYNTHETIC_NAME, ConvertedLayout, convert_layout
from wtal.data.layouts.safe_pickle import read_object_array
from wtal.data.synthetic.benchmark import (
    CLOCK,
    SignalConfig,
    make_world,
    read_complete_annotations,
    snippet_features,
    write_synthetic_benchmark,
)
from wtal.data.synthetic.layout_writers import WRITERS, write_object_array
from wtal.inference.localizer import snippet_scores
from wtal.inference.proposals import generate_proposals
from wtal.models.local_branch import build_model

SMALL = SignalConfig(width=6)
CLASSES = ("CliffDiving", "Diving", "Run")


@pytest.fixture(scope="module")
def truth(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("truth") / "truth.json"
    write_activitynet(path, VIDEOS)
    return path


def write_dataset(layout: str, truth: Path, root: Path, signal: SignalConfig = SMALL) -> Dataset:
    """Written in the layout, and converted if it is not a data set folder."""
    write_synthetic_benchmark(truth, root / layout, layout, signal)
    return load_dataset(root / layout if layout == "plain" else convert(root / layout, root).path)


def convert(source: Path, root: Path) -> ConvertedLayout:
    timing = FeatureTiming(16, 16, 25) if (source / "i3d_features").is_dir() else None
    return convert_layout(source, root / f"{source.name}-plain", timing=timing)


# Layouts


@pytest.mark.parametrize("layout", WRITERS)
def test_all_layouts_convert_to_same_data_set(layout, truth, tmp_path):
    dataset = write_dataset(layout, truth, tmp_path)
    assert dataset.classes == CLASSES and dataset.clock == CLOCK
    assert {v.id: (v.subset, v.labels) for v in dataset.videos} == {v.id: (v.subset, v.labels) for v in VIDEOS}
    testing = {v.id: sorted(v.segments, key=str) for v in dataset.subset("testing")}
    assert testing == {v.id: sorted(v.segments, key=str) for v in VIDEOS if v.subset == "testing"}
    world = make_world(CLASSES, SMALL)
    for v in VIDEOS:
        np.testing.assert_allclose(dataset.features(v.id), snippet_features(world, v), rtol=1e-3, atol=1e-4)


def test_layouts_give_same_proposals(truth, tmp_path, settings):
    """At the width of I3D, from which the W-TALC layout infers RGB and flow."""
    datasets = [write_dataset(layout, truth, tmp_path, SignalConfig()) for layout in ("wtalc", "basnet")]
    assert datasets[0].modalities == datasets[1].modalities == (1024, 1024)
    assert datasets[0].features("test_1").dtype == datasets[1].features("test_1").dtype == np.float32
    torch.manual_seed(0)
    config = settings("local")
    network = build_model(config, (1024, 1024), 3).eval()
    for v in VIDEOS:
        first, second = (
            generate_proposals(
                snippet_scores(network, np.asarray(dataset.features(v.id)), config),
                CLASSES,
                dataset.clock,
                config.localize,
            )
            for dataset in datasets
        )
        assert [(p.label, p.start, p.end) for p in first] == [(p.label, p.start, p.end) for p in second]
        assert [p.score for p in first] == pytest.approx([p.score for p in second], abs=1e-6)


def test_streamed_object_array_equals_saved_one(tmp_path):
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((length, 5), dtype=np.float32) for length in (3, 1, 20_000, 7)]
    path = tmp_path / "streamed.npy"
    write_object_array(path, len(arrays), iter(arrays))
    np.save(tmp_path / "saved.npy", object_array(*arrays))
    streamed, saved = (np.load(tmp_path / f"{name}.npy", allow_pickle=True) for name in ("streamed", "saved"))
    assert streamed.dtype == saved.dtype == object and streamed.shape == saved.shape
    for first, second in zip(streamed, saved, strict=True):
        assert first.dtype == second.dtype and np.array_equal(first, second)
    (tmp_path / "arrays").mkdir()
    assert len(read_object_array(path, tmp_path / "arrays")) == len(arrays)
    for file, array in zip(sorted((tmp_path / "arrays").iterdir()), arrays, strict=True):
        assert np.array_equal(np.load(file), array)


@pytest.mark.parametrize("layout", WRITERS)
def test_memory_does_not_grow_with_number_of_videos(layout, tmp_path):
    def peak(count: int) -> int:
        write_activitynet(tmp_path / "truth.json", (replace(VIDEOS[i % 3], id=f"v_{i}") for i in range(count)))
        tracemalloc.start()
        try:
            write_synthetic_benchmark(tmp_path / "truth.json", tmp_path / str(count), layout, SignalConfig(width=128))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(3)  # allocations that happen once
    video_bytes = 46 * 2 * 128 * 4
    few, many = peak(4), peak(40)
    assert many < few + 10 * video_bytes


# The signal


def test_seed_and_id_determine_features():
    world, other = make_world(CLASSES, SMALL), make_world(CLASSES, replace(SMALL, seed=1))
    features = snippet_features(world, VIDEOS[0])
    assert np.array_equal(features, snippet_features(make_world(CLASSES, SMALL), VIDEOS[0]))
    assert features.shape == (46, 12) and features.dtype == np.float32 and features.min() == 0
    assert not np.allclose(features, snippet_features(other, VIDEOS[0]))
    assert not np.allclose(features, snippet_features(world, replace(VIDEOS[0], id="train_9")))
    assert snippet_features(world, VIDEOS[5]).shape == (1, 12)


def nearest_mean_accuracy(strength: float, width: int) -> float:
    """The share of action snippets of new videos whose nearest class mean, of other videos, is the right one."""
    classes = ("a", "b", "c", "d")
    world = make_world(classes, SignalConfig(strength, context=0, width=width))

    def action_snippets(first: int) -> list[np.ndarray]:
        videos = [[video(f"{c}_{i}", "training", (c, 6.4, 19.2)) for i in range(first, first + 12)] for c in classes]
        return [np.concatenate([snippet_features(world, v)[10:30] for v in of_class]) for of_class in videos]

    means = np.stack([snippets.mean(0) for snippets in action_snippets(0)])
    is_right = [
        np.linalg.norm(snippets[:, None] - means, axis=2).argmin(1) == c
        for c, snippets in enumerate(action_snippets(12))
    ]
    return float(np.mean(is_right))


@pytest.mark.parametrize("width", [64, 512])
def test_strength_separates_classes(width):
    none, weak, strong = (nearest_mean_accuracy(strength, width) for strength in (0, 0.1, 0.3))
    assert abs(none - 0.25) < 0.06 < weak - none and strong > weak + 0.1


def test_width_hardly_changes_difficulty():
    assert nearest_mean_accuracy(0.2, 64) == pytest.approx(nearest_mean_accuracy(0.2, 1024), abs=0.03)


def test_scenes_are_shared_by_two_classes():
    """Before an action its scene is visible; two classes of one scene look the same there."""

    def mean_before_action(label: str, context: float) -> np.ndarray:
        world = make_world(CLASSES, SignalConfig(context=context, width=64))
        videos = [video(f"{label}{i}", "training", (label, 16, 20)) for i in range(40)]
        return np.mean([snippet_features(world, v)[22:25].mean(0) for v in videos], axis=0)  # the 2 s before it

    cliff, diving, run = (mean_before_action(label, 2.0) for label in CLASSES)
    distance = np.linalg.norm(cliff - run)
    assert np.linalg.norm(cliff - diving) < 0.6 * distance
    without_scenes = [mean_before_action(label, 0.0) for label in CLASSES]
    assert np.linalg.norm(without_scenes[0] - without_scenes[2]) < 0.6 * distance


# Annotations


def test_missing_subsets_are_drawn(tmp_path):
    path = tmp_path / "anet.json"  # as a plain list of ActivityNet's videos, of which a quarter is not annotated
    annotations = [{"segment": [1.0, 5.0], "label": "Run"}]
    entries = {f"v_{i}": {"duration_second": 9.5, "annotations": annotations * (i % 4 > 0)} for i in range(400)}
    path.write_text(json.dumps(entries))
    videos = read_complete_annotations(path)
    assert all((v.subset == "testing") == (not v.segments) for v in videos)
    assert Counter(v.subset for v in videos) == {"training": 197, "validation": 103, "testing": 100}
    subsets = [[v.subset for v in read_complete_annotations(path, seed)] for seed in (0, 0, 1)]
    assert subsets[0] == subsets[1] != subsets[2]
    for layout in ("wtalc", "basnet"):  # the scored subset becomes the second one
        write_synthetic_benchmark(path, tmp_path / layout, layout, SMALL, 0.1)
        converted = convert(tmp_path / layout, tmp_path)
        scored = "validation" if layout == "wtalc" else "testing"
        assert [v.subset for v in converted.videos].count(scored) == 11 and len(converted.videos) == 31


def test_share_keeps_every_training_class(tmp_path):
    videos = [
        video(f"{subset}_{k}_{i}", subset, (f"class{k}", 1, 5))
        for subset in ("training", "testing")
        for k in range(5)
        for i in "ab"
    ]
    write_activitynet(tmp_path / "truth.json", videos)
    written = write_synthetic_benchmark(tmp_path / "truth.json", tmp_path / "out", share=0.1, signal=SMALL)
    training = [v for v in written if v.subset == "training"]
    assert sorted(v.labels[0] for v in training) == [f"class{k}" for k in range(5)]
    assert sum(v.subset == "testing" for v in written) == 1
    world = make_world([f"class{k}" for k in range(5)], SMALL)  # of all classes, so that features are the same
    features = load_dataset(tmp_path / "out").features(training[0].id)
    np.testing.assert_allclose(features, snippet_features(world, training[0]), rtol=1e-3, atol=1e-4)


def test_unknown_duration_ends_after_last_segment(tmp_path):
    write_activitynet(tmp_path / "truth.json", [video("a", "training", ("Run", 1, 5), duration=None)])
    assert read_complete_annotations(tmp_path / "truth.json")[0].duration == 15.0


@pytest.mark.parametrize(
    "videos, code, location",
    [
        ([video("a", "training", ("Run", 1, 5)), video("b", "")], "unknown-name", "b"),
        ([replace(VIDEOS[0], segments=()), VIDEOS[3]], "no-segments", None),
        ([video("a/b", "training", ("Run", 1, 5))], "invalid-id", None),
        ([], "no-segments", None),
    ],
)
def test_unusable_annotations_are_rejected(videos, code, location, tmp_path):
    path = tmp_path / "truth.json"
    write_activitynet(path, videos)
    with raises(DataError, code=code, path=path, location=location):
        write_synthetic_benchmark(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_public_annotations(shared, tmp_path):
    source = shared("thumos14", "Thumos14reduced-Annotations")
    videos = write_synthetic_benchmark(source, tmp_path / "wtalc", "wtalc", SMALL, 0.05)
    dataset = load_dataset(convert(tmp_path / "wtalc", tmp_path).path)
    assert len(dataset.classes) == 20 and {v.id: v.labels for v in dataset.videos} == {v.id: v.labels for v in videos}
    assert len(dataset.subset("testing")) == 11
    activitynet = read_complete_annotations(shared("anet", "anet_anno_action.json"))
    assert len(activitynet) == 19_228 and sum(v.subset == "validation" for v in activitynet) == 4926


# Options and output


@pytest.mark.parametrize(
    "options, code",
    [({"layout": "tar"}, "unknown-name"), ({"share": 0}, "invalid-value"), ({"share": float("nan")}, "invalid-value")],
)
def test_invalid_option_is_rejected(truth, tmp_path, options, code):
    with raises(ConfigError, code=code):
        write_synthetic_benchmark(truth, tmp_path / "out", **options)


@pytest.mark.parametrize("values", [{"strength": -1}, {"context": float("nan")}, {"width": 0}, {"seed": -1}])
def test_invalid_signal_is_rejected(values):
    with raises(ConfigError, code="invalid-value") as caught:
        SignalConfig(**values)
    assert f"--{next(iter(values))}" in caught.value.message


def test_only_synthetic_benchmark_is_replaced(truth, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with raises(DataError, code="already-exists", path=out):
        write_synthetic_benchmark(truth, out)
    with raises(DataError, code="not-a-directory", path=out / "mine.txt"):
        write_synthetic_benchmark(truth, out / "mine.txt")
    with raises(DataError, code="output-is-input", path=truth.parent):
        (truth.parent / SYNTHETIC_NAME).write_text("{}")
        write_synthetic_benchmark(truth, truth.parent)
    (out / "mine.txt").unlink()
    write_synthetic_benchmark(truth, out, "basnet", SMALL)
    write_synthetic_benchmark(truth, out, "plain", SMALL)
    assert sorted(p.name for p in out.iterdir()) == ["annotations.json", "dataset.json", "features", SYNTHETIC_NAME]
    assert json.loads((out / SYNTHETIC_NAME).read_text())["width"] == 6


def test_interrupt_leaves_nothing(truth, tmp_path):
    def interrupt(done: int, total: int) -> None:
        assert total == len(VIDEOS)
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_synthetic_benchmark(truth, tmp_path / "out", "wtalc", SMALL, on_progress=interrupt)
    assert not list(tmp_path.iterdir())


def test_developer_tool_writes_layout(truth, tmp_path):
    command = [sys.executable, "-m", "benchmarks", "rehearse", str(truth), str(tmp_path / "out"), "--width", "6"]
    root = Path(__file__).parents[3]
    done = subprocess.run([*command, "--layout", "opentad"], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(convert(tmp_path / "out", tmp_path).videos) == 6
    done = subprocess.run([*command, "--share", "2"], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "--share" in done.stderr
