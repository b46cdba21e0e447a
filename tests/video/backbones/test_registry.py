"""The registry of backbones: opening by name, options, and adding a backbone from Python."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.errors import raises
from wtal.core.errors import ConfigError
from wtal.data.dataset import load_dataset
from wtal.video.backbones.base import Backbone, BackboneOptions, Sampling
from wtal.video.backbones.handcrafted import Tiny
from wtal.video.backbones.registry import BACKBONES, find_backbone, open_backbone
from wtal.video.extract_dataset import extract_dataset
from wtal.video.extract_video import extract_features


class MeanColor(Backbone):
    """The mean color of each snippet: the smallest possible backbone."""

    name = "mean-color"
    weights = "version 1"
    sampling = Sampling(fps=10, stride=5, window=5, side=32, crop=None)
    widths = (3,)

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        return frames.mean((1, 2, 3), dtype=np.float32)


def test_added_backbone_is_opened_by_its_name(short_videos, monkeypatch):
    monkeypatch.setitem(BACKBONES, "mean-color", MeanColor)
    features, origin = extract_features(short_videos / "good0.mp4", "mean-color")
    assert features.shape == (4, 3)
    assert origin.provenance == MeanColor().provenance and origin.provenance.backbone == "mean-color"


def test_added_backbone_is_available_in_worker_processes(short_videos, tmp_path, monkeypatch):
    (tmp_path / "videos.json").write_text(json.dumps({"folder": str(short_videos), "files": {"a": "good0.mp4"}}))
    (tmp_path / "annotations.json").write_text('{"database": {"a": {"subset": "training", "annotations": []}}}')
    (tmp_path / "dataset.json").write_text('{"classes": ["x"]}')
    monkeypatch.setitem(BACKBONES, "mean-color", MeanColor)
    assert extract_dataset(tmp_path, BackboneOptions("mean-color")).failed == {}
    assert load_dataset(tmp_path).features("a").shape == (4, 3)


def test_every_name_has_a_class():
    for name in BACKBONES:
        if name in ("videomae", "vjepa2", "vivit", "timesformer"):
            pytest.importorskip("transformers")
        assert issubclass(find_backbone(name), Backbone)


def test_open_backbone_is_returned_unchanged():
    backbone = Tiny()
    assert open_backbone(backbone) is backbone


@pytest.mark.parametrize(
    "options, code",
    [
        (BackboneOptions("large"), "unknown-name"),
        (BackboneOptions(""), "unknown-name"),
        (BackboneOptions(precision="float8"), "unknown-name"),
        (BackboneOptions("tiny", device="cuda"), "unsupported-option"),
        (BackboneOptions("tiny", weights=Path("w")), "unsupported-option"),
        (BackboneOptions("i3d", device="tpu"), None),
    ],
)
def test_unsupported_options_are_rejected(options, code):
    with raises(ConfigError, code=code):
        open_backbone(options)
