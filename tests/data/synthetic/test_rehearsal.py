"""Made-up features for real annotations: a learnable signal, and every public layout as `wtal convert` reads it."""

import json
import tracemalloc
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from tests.helpers.data import REHEARSAL_VIDEOS as VIDEOS
from tests.helpers.data import video
from wtal.cli import app, data
from wtal.core.errors import ConfigError, DataError
from wtal.data.dataset import Dataset, load_dataset
from wtal.data.layouts.activitynet import write_activitynet
from wtal.data.layouts.base import FeatureTiming
from wtal.data.layouts.convert import SYNTHETIC_NAME as REHEARSAL
from wtal.data.layouts.convert import ConvertedLayout, convert_layout
from wtal.data.layouts.safe_pickle import read_object_array
from wtal.data.synthetic.layouts import LAYOUTS, write_object_array
from wtal.data.synthetic.rehearsal import (
    CLOCK,
    SignalConfig,
    make_world,
    read_rehearsed,
    snippet_features,
    write_rehearsal,
)
from wtal.inference.localizer import snippet_scores
from wtal.inference.proposals import generate_proposals
from wtal.models.dfe import build_local_branch

SMALL = SignalConfig(width=6)
CLASSES = ("CliffDiving", "Diving", "Run")


@pytest.fixture(scope="module")
def truth(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("truth") / "truth.json"
    write_activitynet(path, VIDEOS)
    return path


def rehearsed(layout: str, truth: Path, root: Path, signal: SignalConfig = SMALL) -> Dataset:
    """Written in the layout and, where it is a public one, converted."""
    write_rehearsal(truth, root / layout, layout, signal)
    return load_dataset(root / layout if layout == "plain" else converted(root / layout, root).path)


def converted(source: Path, root: Path) -> ConvertedLayout:
    grid = FeatureTiming(16, 16, 25) if (source / "i3d_features").is_dir() else None
    return convert_layout(source, root / f"{source.name}-plain", timing=grid)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_converts_to_the_same(layout, truth, tmp_path):
    folder = rehearsed(layout, truth, tmp_path)
    assert folder.classes == CLASSES and folder.clock == CLOCK
    assert {v.id: (v.subset, v.labels) for v in folder.videos} == {v.id: (v.subset, v.labels) for v in VIDEOS}
    testing = {v.id: sorted(v.segments, key=str) for v in folder.subset("testing")}
    assert testing == {v.id: sorted(v.segments, key=str) for v in VIDEOS if v.subset == "testing"}
    world = make_world(CLASSES, SMALL)
    for v in VIDEOS:
        np.testing.assert_allclose(folder.features(v.id), snippet_features(world, v), rtol=1e-3, atol=1e-4)


def test_two_layouts_give_the_same_proposals(truth, tmp_path, settings):
    """At I3D's width, where the W-TALC bundle too is known to be RGB and flow."""
    folders = [rehearsed(layout, truth, tmp_path, SignalConfig()) for layout in ("wtalc", "basnet")]
    assert folders[0].modalities == folders[1].modalities == (1024, 1024)
    assert folders[0].features("test_1").dtype == folders[1].features("test_1").dtype == np.float32
    torch.manual_seed(0)
    config = settings("local")
    network = build_local_branch(config, (1024, 1024), 3).eval()
    for v in VIDEOS:
        one, other = (
            generate_proposals(
                snippet_scores(network, np.asarray(f.features(v.id)), config), CLASSES, f.clock, config.localize
            )
            for f in folders
        )
        assert [(p.label, p.start, p.end) for p in one] == [(p.label, p.start, p.end) for p in other]
        assert [p.score for p in one] == pytest.approx([p.score for p in other], abs=1e-6)


def test_the_object_array_is_what_numpy_saves(tmp_path):
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((length, 5), dtype=np.float32) for length in (3, 1, 20_000, 7)]
    path = tmp_path / "streamed.npy"
    write_object_array(path, len(arrays), iter(arrays))
    saved = np.empty(len(arrays), object)
    saved[:] = arrays
    np.save(tmp_path / "saved.npy", saved)
    ours, theirs = (np.load(tmp_path / f"{name}.npy", allow_pickle=True) for name in ("streamed", "saved"))
    assert ours.dtype == theirs.dtype == object and ours.shape == theirs.shape
    for one, other in zip(ours, theirs, strict=True):
        assert one.dtype == other.dtype and np.array_equal(one, other)
    (tmp_path / "spill").mkdir()
    assert len(read_object_array(path, tmp_path / "spill")) == len(arrays)
    for name, array in zip(sorted((tmp_path / "spill").iterdir()), arrays, strict=True):
        assert np.array_equal(np.load(name), array)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_memory_does_not_grow_with_the_videos(layout, tmp_path):
    def peak(videos: int) -> int:
        write_activitynet(tmp_path / "truth.json", (replace(VIDEOS[i % 3], id=f"v_{i}") for i in range(videos)))
        tracemalloc.start()
        try:
            write_rehearsal(tmp_path / "truth.json", tmp_path / str(videos), layout, SignalConfig(width=256))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(3)  # what is made once
    few, many = peak(5), peak(60)
    one = 46 * 512 * 4  # bytes of a video's features
    assert many < few + 10 * one


def test_a_seed_gives_the_same_and_another_does_not(truth, tmp_path):
    world, other = make_world(CLASSES, SMALL), make_world(CLASSES, replace(SMALL, seed=1))
    once, twice = snippet_features(world, VIDEOS[0]), snippet_features(make_world(CLASSES, SMALL), VIDEOS[0])
    assert np.array_equal(once, twice) and once.shape == (46, 12) and once.dtype == np.float32
    assert once.min() == 0 and not np.allclose(once, snippet_features(other, VIDEOS[0]))
    assert not np.allclose(once, snippet_features(world, replace(VIDEOS[0], id="train_9")))
    assert snippet_features(world, VIDEOS[5]).shape == (1, 12)


def told_apart(strength: float, width: int) -> float:
    """The share of action snippets of new videos whose nearest class mean, of other videos, is the right one."""
    classes = ("a", "b", "c", "d")
    world = make_world(classes, SignalConfig(strength, context=0, width=width))

    def snippets(first: int) -> dict[str, np.ndarray]:
        videos = [video(f"{c}_{i}", "training", (c, 6.4, 19.2)) for c in classes for i in range(first, first + 12)]
        shown = [snippet_features(world, v)[10:30] for v in videos]
        return {c: np.concatenate(shown[12 * k : 12 * k + 12]) for k, c in enumerate(classes)}

    means = np.stack([shown.mean(0) for shown in snippets(0).values()])
    right = [
        np.linalg.norm(shown[:, None] - means, axis=2).argmin(1) == k for k, shown in enumerate(snippets(12).values())
    ]
    return float(np.mean(right))


@pytest.mark.parametrize("width", [64, 512])
def test_strength_is_what_tells_classes_apart(width):
    nothing, weak, strong = (told_apart(strength, width) for strength in (0, 0.1, 0.3))
    assert abs(nothing - 0.25) < 0.06 < weak - nothing and strong > weak + 0.1


def test_width_changes_little():
    assert told_apart(0.2, 64) == pytest.approx(told_apart(0.2, 1024), abs=0.03)


def test_scenes_are_shared_and_can_be_left_out():
    """Next to an action its scene shows; a class of the same scene looks the same there."""

    def before(label: str, context: float) -> np.ndarray:
        world = make_world(CLASSES, SignalConfig(context=context, width=64))
        shown = [snippet_features(world, video(f"{label}{i}", "training", (label, 16, 20))) for i in range(40)]
        return np.mean([features[22:25].mean(0) for features in shown], axis=0)  # the 2 s before it

    def differ(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.linalg.norm(a - b))

    cliff, dive, run = (before(label, 2.0) for label in CLASSES)
    assert differ(cliff, dive) < 0.6 * differ(cliff, run)
    none = [before(label, 0.0) for label in CLASSES]
    assert differ(none[0], none[2]) < 0.6 * differ(cliff, run)


def activitynet(videos: int) -> dict[str, object]:
    """As in a plain list of ActivityNet's videos: no subsets, every fourth without annotations."""
    action = [{"segment": [1.0, 5.0], "label": "Run"}]
    return {f"v_{i}": {"duration_second": 9.5, "annotations": action * (i % 4 > 0)} for i in range(videos)}


def test_activitynet_gets_its_subsets(tmp_path):
    path = tmp_path / "anet.json"
    path.write_text(json.dumps(activitynet(400)))
    videos = read_rehearsed(path)
    assert all((v.subset == "testing") == (not v.segments) for v in videos)
    assert Counter(v.subset for v in videos) == {"training": 197, "validation": 103, "testing": 100}
    assert [v.subset for v in read_rehearsed(path, 0)] == [v.subset for v in read_rehearsed(path)]
    assert [v.subset for v in read_rehearsed(path, 1)] != [v.subset for v in read_rehearsed(path)]
    for layout in ("wtalc", "basnet"):  # two parts: what is scored becomes the testing subset
        write_rehearsal(path, tmp_path / layout, layout, SMALL, 0.1)
        made = converted(tmp_path / layout, tmp_path)
        assert {v.id.partition("_")[0] for v in made.videos} == {"v"}
        scored = "validation" if layout == "wtalc" else "testing"
        assert [v.subset for v in made.videos].count(scored) == 11 and len(made.videos) == 31


def test_a_share_keeps_every_class(tmp_path):
    videos = [
        video(f"{k}_{i}", s, (f"class{k}", 1, 5)) for s in ("training", "testing") for k in range(5) for i in "ab"
    ]
    videos = [replace(v, id=f"{v.subset}_{v.id}") for v in videos]
    write_activitynet(tmp_path / "truth.json", videos)
    kept = write_rehearsal(tmp_path / "truth.json", tmp_path / "out", share=0.1, signal=SMALL)
    assert sorted(v.labels[0] for v in kept if v.subset == "training") == [f"class{k}" for k in range(5)]
    assert sum(v.subset == "testing" for v in kept) == 1
    part, all = load_dataset(tmp_path / "out"), make_world([f"class{k}" for k in range(5)], SMALL)
    v = next(v for v in kept if v.subset == "training")
    np.testing.assert_allclose(part.features(v.id), snippet_features(all, v), rtol=1e-3, atol=1e-4)


def test_a_video_of_unknown_duration_goes_on_after_its_actions(tmp_path):
    write_activitynet(tmp_path / "truth.json", [video("a", "training", ("Run", 1, 5), duration=None)])
    assert read_rehearsed(tmp_path / "truth.json")[0].duration == 15.0


@pytest.mark.parametrize(
    "options, words",
    [
        ({"layout": "tar"}, "--layout is 'tar'; use one of plain, wtalc, basnet, actionformer"),
        ({"share": 0}, "--share is 0; use a number above 0, at most 1"),
        ({"share": float("nan")}, "--share is nan; use"),
    ],
)
def test_options_that_cannot_be(truth, tmp_path, options, words):
    with pytest.raises(ConfigError, match=words):
        write_rehearsal(truth, tmp_path / "out", **options)


@pytest.mark.parametrize("bad", [{"strength": -1}, {"context": float("nan")}, {"width": 0}, {"seed": -1}])
def test_signals_that_cannot_be(bad):
    with pytest.raises(ConfigError, match=f"--{next(iter(bad))} is .*; use"):
        SignalConfig(**bad)


@pytest.mark.parametrize(
    "videos, words",
    [
        ([video("a", "training", ("Run", 1, 5)), video("b", "")], "b: subset is ''; give every video training"),
        ([replace(VIDEOS[0], segments=()), VIDEOS[3]], "no training video says when its actions are"),
        ([video("a/b", "training", ("Run", 1, 5))], "the id cannot be a file name"),
        ([], "no training video says"),
    ],
)
def test_annotations_that_cannot_be_rehearsed(videos, words, tmp_path):
    write_activitynet(tmp_path / "truth.json", videos)
    with pytest.raises(DataError, match=words):
        write_rehearsal(tmp_path / "truth.json", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_only_a_rehearsal_is_replaced(truth, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="holds something other than a rehearsal; name an empty folder"):
        write_rehearsal(truth, out)
    with pytest.raises(DataError, match=r"mine\.txt: a file is in the way"):
        write_rehearsal(truth, out / "mine.txt")
    (out / "mine.txt").unlink()
    write_rehearsal(truth, out, "basnet", SMALL)
    write_rehearsal(truth, out, "plain", SMALL)
    assert sorted(p.name for p in out.iterdir()) == ["annotations.json", "dataset.json", "features", REHEARSAL]
    assert json.loads((out / REHEARSAL).read_text())["width"] == 6


def test_one_that_is_stopped_leaves_nothing(truth, tmp_path):
    def stop(done: int, total: int) -> None:
        assert total == len(VIDEOS)
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_rehearsal(truth, tmp_path / "out", "wtalc", SMALL, progress=stop)
    assert not list(tmp_path.iterdir())


def test_the_command(truth, tmp_path):
    assert data
    words = ["rehearse", str(truth), str(tmp_path / "out"), "--layout", "actionformer", "--width", "6"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert "actionformer: 6 sequences with made-up features" in result.output.replace("\n", " ")
    assert "--stride 16 --window 16 --fps 25" in result.output
    assert len(converted(tmp_path / "out", tmp_path).videos) == 6


def test_real_annotations(shared, tmp_path):
    source = shared("thumos14", "Thumos14reduced-Annotations")
    videos = write_rehearsal(source, tmp_path / "wtalc", "wtalc", SMALL, 0.05)
    made = load_dataset(converted(tmp_path / "wtalc", tmp_path).path)
    assert len(made.classes) == 20 and {v.id: v.labels for v in made.videos} == {v.id: v.labels for v in videos}
    assert len(made.subset("testing")) == 11
    anet = read_rehearsed(shared("anet", "anet_anno_action.json"))
    assert len(anet) == 19_228 and sum(v.subset == "validation" for v in anet) == 4926
