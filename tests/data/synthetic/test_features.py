"""The synthetic data set: same bytes from the same seed, weak labels in training, honest truth elsewhere."""

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from wtal.core.errors import ConfigError, DataError
from wtal.data.synthetic.features import SyntheticConfig, make_sequence, make_sequences, make_world, write_synthetic

SMALL = SyntheticConfig(classes=3, training=8, validation=4, testing=4, snippets=(60, 70), modalities=(4, 3))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        write_synthetic(tmp_path / name, SMALL, seed)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert contents(tmp_path / "a") != contents(tmp_path / "c")


def test_the_folder_is_the_plain_format(tmp_path):
    write_synthetic(tmp_path / "set", SMALL)
    facts = json.loads((tmp_path / "set/dataset.json").read_text())
    database = json.loads((tmp_path / "set/annotations.json").read_text())["database"]
    assert facts["snippet_seconds"] == 0.5 and facts["modalities"] == [4, 3] and len(facts["classes"]) == 3
    assert facts["licence"] == "made by wtal from a seed" and facts["feature"].startswith("synthetic")
    for video_id, entry in database.items():
        features = np.load(tmp_path / "set/features" / f"{video_id}.npy")
        end = facts["offset_seconds"] + len(features) * facts["snippet_seconds"]
        assert features.dtype == np.float16 and features.shape[1] == 7 and np.isfinite(features).all()
        assert entry["duration"] == pytest.approx(end + facts["offset_seconds"])
        assert all(("segment" in a) == (entry["subset"] != "training") for a in entry["annotations"])
        assert all(a["label"] in facts["classes"] for a in entry["annotations"])
    assert len(list((tmp_path / "set/features").iterdir())) == len(database) == 16


@pytest.mark.parametrize("settings", [SMALL, SyntheticConfig()], ids=["small", "default"])
def test_the_hidden_truth_agrees_with_the_labels(settings):
    seen = defaultdict(set)
    for sequence in make_sequences(settings, seed=1):
        video = sequence.video
        assert set(video.labels) == {action.label for action in video.segments}
        seen[video.subset] |= set(video.labels)
        edges = [0.0, *(t for a in video.segments for t in (a.start, a.end)), video.duration]
        assert edges == sorted(edges), "actions lie inside the duration, in order, and do not overlap"
        assert all(action.end > action.start for action in video.segments)
        assert settings.snippets[0] <= len(sequence.features) <= settings.snippets[1]
    assert dict(seen) == {subset: set(settings.class_names()) for subset in settings.subsets()}


def test_some_sequences_are_background_only():
    default = list(make_sequences(SyntheticConfig(), seed=0))
    empty = [s.video.subset for s in default if not s.video.labels]
    assert [empty.count(s) for s in ("training", "validation", "testing")] == [6, 2, 2]


def test_one_sequence_is_drawn_by_itself_and_the_early_phase_shows_most():
    """Averaged over many videos, an action's own direction is strong early, and weak late."""
    settings = SyntheticConfig()
    world, early, late = make_world(settings, 0), [], []
    for i in range(30):
        rng = np.random.default_rng(i)
        sequence = make_sequence(world, settings, f"v{i}", "testing", (2,), rng)
        shown = sequence.features.astype(np.float64) @ world.early[2]
        for action in sequence.video.segments:
            start, end = settings.clock().snippets([action.start, action.end])
            phase = (np.arange(len(shown)) + 0.5 - start) / (end - start)
            early.append(shown[(phase > 0) & (phase < 0.3)].mean())
            late.append(shown[(phase > 0.5) & (phase < 1)].mean())
    assert np.mean(early) > 2 > np.mean(late) + 1


@pytest.mark.parametrize(
    "wrong, named",
    [
        ({"testing": 2}, "synthetic.testing is 2"),
        ({"action_snippets": (6, 60)}, "sequences of 60 snippets hold at most 22"),
        ({"modalities": ()}, "at least one"),
        ({"snippet_seconds": 0.0}, "snippet_seconds is 0.0"),
    ],
)
def test_impossible_settings_are_refused(wrong, named):
    with pytest.raises(ConfigError, match=named):
        SyntheticConfig(**wrong)


def test_only_a_synthetic_data_set_is_replaced(tmp_path):
    write_synthetic(tmp_path / "set", SMALL, 0)
    write_synthetic(tmp_path / "set", SMALL, 1)
    assert "seed 1" in (tmp_path / "set/dataset.json").read_text()
    other = tmp_path / "precious"
    other.mkdir()
    (other / "thesis.txt").write_text("years")
    with pytest.raises(DataError, match="something other"):
        write_synthetic(other, SMALL)
    with pytest.raises(DataError, match="a file is in the way"):
        write_synthetic(other / "thesis.txt", SMALL)
    assert (other / "thesis.txt").read_text() == "years"
