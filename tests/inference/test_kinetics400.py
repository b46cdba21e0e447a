"""The built-in model: made of the I3D weights, and used by default."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

import wtal
from tests.helpers.errors import raises
from tests.helpers.video import film
from tests.video.backbones.test_i3d import random_weights
from wtal.cli import app
from wtal.core.errors import DataError
from wtal.inference.calibration import load_segment_filter
from wtal.inference.kinetics400 import open_kinetics400, resolve_model
from wtal.inference.localizer import Localizer
from wtal.models.kinetics400 import METHOD, class_names
from wtal.video.backbones.cache import cached_weights
from wtal.video.backbones.i3d_network import class_logits


@pytest.fixture(scope="module")
def weights():
    return random_weights(classes=400)


@pytest.fixture
def cache(tmp_path, monkeypatch, weights):
    """A cache with random weights."""
    monkeypatch.setenv("WTAL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    save_file(weights, tmp_path / "cache" / "i3d-rgb-kinetics-400.safetensors")
    return tmp_path / "cache"


def test_model_gives_the_published_classes_over_time(cache, weights):
    localizer = Localizer(open_kinetics400())
    assert localizer.classes == class_names() and localizer.clock.stride == pytest.approx(0.64)
    features = np.zeros((30, 1024), np.float16)
    features[10:20] = np.random.default_rng(0).normal(size=1024) * 3
    result = localizer.localize(features)
    probabilities = class_logits(torch.from_numpy(features[12:18].astype(np.float32)), weights).softmax(-1).numpy()
    np.testing.assert_allclose(result.scores.evidence[12:18], probabilities, atol=1e-4)
    best = result.segments[0]
    assert best.label == class_names()[probabilities[0].argmax()]
    assert abs(best.start - 6.4) < 1.3 and abs(best.end - 12.8) < 1.3


def test_model_is_written_once_and_again_for_other_weights(cache):
    folder = open_kinetics400()
    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert open_kinetics400() == folder and (folder / "model.safetensors").stat().st_mtime_ns == before
    (folder / "config.json").write_text("{")
    assert Localizer(open_kinetics400()).meta.step == 0
    save_file(random_weights(classes=400, seed=1), cache / "i3d-rgb-kinetics-400.safetensors")
    open_kinetics400()
    assert (folder / "model.safetensors").stat().st_mtime_ns != before


def test_worker_process_can_open_the_model_by_its_method(cache, monkeypatch):
    folder = open_kinetics400()
    monkeypatch.setattr("wtal.core.methods.METHODS", {})
    monkeypatch.setattr("sys.path", path := ["elsewhere"])
    assert Localizer(folder, method=METHOD).classes == class_names()
    assert path == ["elsewhere"], "the current folder is searched for methods of the user alone"


def test_missing_weights_are_reported_with_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("WTAL_CACHE", str(tmp_path / "cache"))
    with raises(DataError, code="weights-not-found") as caught:
        open_kinetics400()
    assert "wtal weights" in str(caught.value)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.mp4").touch()
    result = CliRunner().invoke(app, ["predict", "a.mp4"])
    assert result.exit_code == 2 and "wtal weights" in result.output
    result = CliRunner().invoke(app, ["predict", "b.mp4"])
    assert result.exit_code == 2 and "b.mp4" in result.output and "wtal weights" not in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_weights_without_the_classifier_are_rejected(cache):
    for weights in (random_weights(), random_weights(classes=5)):
        save_file(weights, cache / "i3d-rgb-kinetics-400.safetensors")
        with raises(DataError, code="weights-mismatch"):
            open_kinetics400()


def test_folder_of_the_name_is_a_model_of_the_user(cache, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kinetics400").mkdir()
    name = (tmp_path / "kinetics400").relative_to(tmp_path)
    assert resolve_model(name) == name
    (tmp_path / "kinetics400").rmdir()
    assert resolve_model(name) == cache / "kinetics400"


def test_built_in_model_is_not_to_be_calibrated(cache, tmp_path):
    assert "wtal calibrate" not in load_segment_filter(open_kinetics400(), "f1")[1]
    assert "wtal calibrate" in load_segment_filter(tmp_path, "f1")[1]


@pytest.mark.slow
def test_videos_without_any_of_the_actions_are_explained(cache, weights, tmp_path):
    uniform = {name: value * 0 if "logits" in name else value for name, value in weights.items()}
    save_file(uniform, cache / "i3d-rgb-kinetics-400.safetensors")
    film(tmp_path / "film.mp4", 0, seconds=1)
    result = CliRunner().invoke(app, ["predict", str(tmp_path / "film.mp4"), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0 and "wtal start FOLDER" in result.output, result.output


@pytest.mark.slow
@pytest.mark.parametrize(
    "clip, label, seconds",
    [
        ("v_CricketShot_g04_c01_rgb.gif", "playing cricket", 3),
        ("v_SoccerJuggling_g23_c01.avi", "juggling soccer ball", 8),
    ],
)
def test_real_clips_get_their_class(shared, clip, label, seconds):
    if not cached_weights().is_file():
        pytest.skip("I3D's published weights are not in the cache; run `wtal weights`")
    (segments,) = wtal.predict(shared("videos", "clips", clip)).values()
    assert segments[0].label == label
    assert segments[0].start < 0.7 and segments[0].end > seconds - 0.7
