"""Extracting the features of one video: in memory and to a file."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.errors import raises
from tests.helpers.video import render, texture
from wtal.core.errors import ConfigError, DataError
from wtal.data.provenance import read_origin
from wtal.video.backbones.base import BackboneOptions
from wtal.video.backbones.handcrafted import Tiny
from wtal.video.backbones.registry import open_backbone
from wtal.video.extract_video import extract_features, extract_video


def test_memory_and_file_contain_the_same_features_and_times(short_videos, tmp_path):
    backbone = open_backbone("tiny")
    seconds: list[float] = []
    features, origin = extract_features(short_videos / "good3.mp4", backbone, seconds.append)
    count = extract_video(short_videos / "good3.mp4", tmp_path / "good3.npy", backbone)
    stored, stored_origin = np.load(tmp_path / "good3.npy"), read_origin(tmp_path / "good3.npy")
    assert np.array_equal(stored, features) and stored.dtype == np.float16
    assert stored.shape == (count, sum(backbone.widths))
    assert stored_origin is not None and stored_origin.provenance == origin.provenance
    assert np.allclose(stored_origin.edges, origin.edges) and len(origin.edges) == count + 1
    assert seconds == sorted(seconds) and seconds[-1] == origin.edges[-1]
    assert origin.edges[-1] == pytest.approx(5.0, abs=0.11)


@pytest.mark.parametrize("backbone", ["tiny", BackboneOptions("tiny"), Tiny()])
def test_backbone_is_a_name_options_or_an_open_backbone(short_videos, backbone):
    features, origin = extract_features(str(short_videos / "good0.mp4"), backbone)
    assert features.shape == (5, 190) and origin.provenance == Tiny().provenance


def test_features_of_a_known_video(tmp_path):
    """Golden numbers. Another value means that features extracted with earlier versions no longer fit."""
    frames = [np.roll(texture(0), i, 1) for i in range(40)]  # lossless, so that the numbers do not depend on an encoder
    path = render(tmp_path / "video.mkv", frames, fps=12.5, codec="ffv1", pix_fmt="bgr0")
    features, origin = extract_features(path)
    assert origin.edges.tolist() == pytest.approx([0, 0.48, 0.96, 1.44, 1.92, 2.4, 2.88, 3.2])
    assert features.shape == (7, 190)
    expected = [-0.04294, 0.18787, 0.65967, 0.521, 0.08099, 0.05447, -1.18262, -1.23047, 3.32812, -0.5791]
    np.testing.assert_allclose(features[3, ::19], expected, atol=2e-3)


def test_suffix_does_not_matter(short_videos, tmp_path):
    path = shutil.copy(short_videos / "good0.mp4", tmp_path / "film.txt")
    assert np.array_equal(extract_features(path)[0], extract_features(short_videos / "good0.mp4")[0])


def test_unreadable_file_is_reported_with_its_path(short_videos, tmp_path, monkeypatch):
    path = Path(shutil.copy(short_videos / "good0.mp4", tmp_path))

    def refuse(path: Path, *_: object) -> None:  # simulated, as root may read anything
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.open", refuse)
    with raises(DataError, code="permission-denied", path=path):
        extract_features(path)


class OutOfMemoryBackbone(Tiny):
    def __call__(self, frames: np.ndarray) -> np.ndarray:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")


class OverflowingBackbone(Tiny):
    def __call__(self, frames: np.ndarray) -> np.ndarray:
        return super().__call__(frames) * np.float32(1e6)


@pytest.mark.parametrize(
    "backbone, code", [(OutOfMemoryBackbone(), "backbone-failed"), (OverflowingBackbone(), "not-finite")]
)
def test_failing_backbone_is_an_error_of_the_video_and_leaves_no_file(short_videos, tmp_path, backbone, code):
    video, features = short_videos / "good0.mp4", tmp_path / "features" / "good0.npy"
    with raises(DataError, code=code, path=video):
        extract_video(video, features, backbone)
    assert list(features.parent.iterdir()) == []


def test_unwritable_file_is_an_error_of_that_file(short_videos, tmp_path):
    (tmp_path / "features").write_text("a file instead of a folder")
    features = tmp_path / "features" / "good0.npy"
    with pytest.raises(DataError) as caught:
        extract_video(short_videos / "good0.mp4", features, Tiny())
    assert caught.value.path in (str(features), str(features.with_suffix(".json")))


def test_unknown_backbone_is_a_config_error(short_videos):
    with raises(ConfigError, code="unknown-name"):
        extract_features(short_videos / "good0.mp4", "large")
