"""Synthetic data sets: same bytes from the same seed, weak labels in training, correct ground truth elsewhere."""

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.errors import raises
from wtal.core.errors import ConfigError, DataError
from wtal.data.synthetic.features import SyntheticConfig, make_video, make_videos, make_world, write_synthetic

SMALL = SyntheticConfig(classes=3, training=8, validation=4, testing=4, snippets=(60, 70), modalities=(4, 3))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_seed_determines_bytes(tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        write_synthetic(tmp_path / name, SMALL, seed)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert contents(tmp_path / "a") != contents(tmp_path / "c")


def test_folder_is_a_data_set(tmp_path):
    write_synthetic(tmp_path / "set", SMALL)
    info = json.loads((tmp_path / "set/dataset.json").read_text())
    database = json.loads((tmp_path / "set/annotations.json").read_text())["database"]
    assert info["snippet_seconds"] == 0.5 and info["modalities"] == [4, 3] and len(info["classes"]) == 3
    assert info["feature"].startswith("synthetic")
    for id, entry in database.items():
        features = np.load(tmp_path / "set/features" / f"{id}.npy")
        end = info["offset_seconds"] + len(features) * info["snippet_seconds"]
        assert features.dtype == np.float16 and features.shape[1] == 7 and np.isfinite(features).all()
        assert entry["duration"] == pytest.approx(end + info["offset_seconds"])
        assert all(("segment" in a) == (entry["subset"] != "training") for a in entry["annotations"])
        assert all(a["label"] in info["classes"] for a in entry["annotations"])
    assert len(list((tmp_path / "set/features").iterdir())) == len(database) == 16


@pytest.mark.parametrize("config", [SMALL, SyntheticConfig()], ids=["small", "default"])
def test_segments_agree_with_labels_and_do_not_overlap(config):
    labels = defaultdict(set)
    for video, features in make_videos(config, seed=1):
        assert set(video.labels) == {segment.label for segment in video.segments}
        labels[video.subset] |= set(video.labels)
        edges = [0.0, *(t for s in video.segments for t in (s.start, s.end)), video.duration]
        assert edges == sorted(edges)
        assert all(segment.end > segment.start for segment in video.segments)
        assert config.snippets[0] <= len(features) <= config.snippets[1]
    assert dict(labels) == {subset: set(config.class_names()) for subset in config.subsets()}


def test_some_videos_are_background_only():
    subsets = [video.subset for video, _ in make_videos(SyntheticConfig(), seed=0) if not video.labels]
    assert [subsets.count(subset) for subset in ("training", "validation", "testing")] == [6, 2, 2]


def test_early_phase_is_stronger_than_late_phase():
    """Averaged over many videos, the direction of a class is strong early in its actions, and weak late."""
    config = SyntheticConfig()
    world, early, late = make_world(config, 0), [], []
    for i in range(30):
        video, features = make_video(world, config, f"v{i}", "testing", (2,), np.random.default_rng(i))
        projected = features.astype(np.float64) @ world.directions.early[2]
        for segment in video.segments:
            start, end = config.clock().snippets([segment.start, segment.end])
            phase = (np.arange(len(projected)) + 0.5 - start) / (end - start)
            early.append(projected[(phase > 0) & (phase < 0.3)].mean())
            late.append(projected[(phase > 0.5) & (phase < 1)].mean())
    assert np.mean(early) > 2 > np.mean(late) + 1


@pytest.mark.parametrize(
    "values", [{"testing": 2}, {"action_snippets": (6, 60)}, {"modalities": ()}, {"snippet_seconds": 0.0}]
)
def test_invalid_config_is_rejected(values):
    with raises(ConfigError, code="invalid-value") as caught:
        SyntheticConfig(**values)
    assert f"synthetic.{next(iter(values))}" in caught.value.message


def test_only_synthetic_data_set_is_replaced(tmp_path):
    write_synthetic(tmp_path / "set", SMALL, 0)
    write_synthetic(tmp_path / "set", SMALL, 1)
    assert "seed 1" in (tmp_path / "set/dataset.json").read_text()
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("years")
    with raises(DataError, code="already-exists", path=other):
        write_synthetic(other, SMALL)
    with raises(DataError, code="not-a-directory", path=other / "thesis.txt"):
        write_synthetic(other / "thesis.txt", SMALL)
    assert (other / "thesis.txt").read_text() == "years"
