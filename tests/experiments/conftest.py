"""Fixtures of the tests of projects: short videos and a project that trains in less than a second."""

import shutil
from pathlib import Path

import pytest

from tests.helpers.video import film
from wtal.experiments.project import Project

FAST = ("method=local", "train.steps=4", "train.save_every=2", "train.batch_size=2", "model.width=16")
TAGS = {"set/a.mp4": ["run"], "set/b.mp4": ["jump"], "c.mp4": ["run"], "d.mp4": []}


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    """Four short videos, a text with the suffix of a video, and one that nobody tags; read only."""
    root = tmp_path_factory.mktemp("films")
    (root / "set").mkdir()
    for seed, name in enumerate([*TAGS, "untagged.mp4"]):
        film(root / name, seed, seconds=2)
    (root / "broken.mp4").write_text("no video")
    return root


@pytest.fixture
def videos(films, tmp_path) -> Path:
    return Path(shutil.copytree(films, tmp_path / "videos"))


@pytest.fixture
def no_weights(tmp_path, monkeypatch):
    """The weights of I3D are not found, so that the backbone is `tiny`."""
    monkeypatch.setenv("WTAL_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def project(videos, no_weights) -> Project:
    project = Project.open(videos)
    project.configure(overrides=FAST)
    return project
