"""Localizing many videos: Ray writes the same file as a single process, and failures are reported alike."""

import os
import shutil
import signal
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.helpers.errors import raises
from wtal import cli
from wtal.core import ray_cluster
from wtal.core.errors import ConfigError, DataError
from wtal.core.ray_cluster import connect, set_environment
from wtal.experiments.pipeline import localize
from wtal.inference import batch
from wtal.inference.localizer import Localizer
from wtal.training.stages import train

NEEDS_RAY = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")
pytestmark = [
    pytest.mark.xdist_group("ray"),  # one cluster at a time
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),  # from Ray's own code
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray does not close its processes
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # nor an iteration that ends early
]

SUBSET = "training"  # the largest


@pytest.fixture(scope="module")
def run(tiny, settings, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    train(settings(train={"steps": 4}), tiny, folder, device="cpu")
    return folder


@pytest.fixture(scope="module")
def ray_started():
    """A Ray cluster of two workers for all tests of this module."""
    set_environment(None)
    connect(None, 2)


def localized_bytes(run: Path, data: Path, out: Path, **options: object) -> bytes:
    localize(run, data, out, SUBSET, **options)
    return out.read_bytes()


class CrashOnce(batch.Worker):
    """Kills its process at the first video, unless the file `crashed` exists in the run folder."""

    def __call__(self, id: str):
        marker = self.model.parent / "crashed"
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(id)


@NEEDS_RAY
@pytest.mark.slow
def test_ray_writes_the_same_file(ray_started, run, tiny, tmp_path, capfd):
    expected = localized_bytes(run, tiny.path, tmp_path / "local.json", branch="global")
    out = tmp_path / "ray.json"
    assert localized_bytes(run, tiny.path, out, branch="global", engine="ray", workers=2) == expected
    assert tuple(capfd.readouterr()) == ("", "")


@NEEDS_RAY
@pytest.mark.slow
def test_video_of_a_killed_worker_is_repeated(ray_started, run, tiny, tmp_path, monkeypatch):
    run = shutil.copytree(run, tmp_path / "run")
    expected = localized_bytes(run, tiny.path, tmp_path / "local.json")
    monkeypatch.setattr(batch, "Worker", CrashOnce)
    assert localized_bytes(run, tiny.path, tmp_path / "ray.json", engine="ray", workers=2) == expected
    assert (run / "crashed").exists()


@NEEDS_RAY
def test_video_whose_workers_always_die_is_an_error(run, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(ray_cluster, "connect", lambda *_: None)
    monkeypatch.setattr(ray_cluster, "cluster_size", lambda: (1, 1, 0))
    monkeypatch.setattr(ray_cluster, "map_items", lambda *_: [(0, ray_cluster.WorkerDiedError("died"))])
    with raises(DataError, code="worker-died", path=tiny.features_path(tiny.subset(SUBSET)[0].id)):
        localized_bytes(run, tiny.path, tmp_path / "out.json", engine="ray")


@NEEDS_RAY
@pytest.mark.slow
def test_ray_reports_bad_features_like_a_single_process(ray_started, run, tiny, tmp_path, monkeypatch):
    data = shutil.copytree(tiny.path, tmp_path / "data")
    ids = [video.id for video in tiny.subset(SUBSET)]
    for id in (ids[3], ids[6]):  # the first is reported, whichever is processed first
        path = data / "features" / f"{id}.npy"
        np.save(path, np.full_like(np.load(path), np.nan))
    monkeypatch.chdir(tmp_path)
    command = ["localize", str(run), "data", "--subset", SUBSET, "--out", "out.json"]
    local, ray = (
        CliRunner().invoke(cli.app, [*command, *engine]) for engine in ((), ("--engine", "ray", "--workers", "2"))
    )
    assert (ray.exit_code, ray.output) == (local.exit_code, local.output)
    assert local.exit_code == 2 and f" data/features/{ids[3]}.npy" in f" {local.output}"
    assert not (tmp_path / "out.json").exists()


def test_results_are_sorted_by_index():
    assert list(batch.in_order([(2, "c"), (0, "a"), (1, "b"), (3, "d")])) == list("abcd")


@pytest.mark.parametrize(
    "options, code", [({"engine": "dask"}, "unknown-name"), ({"workers": 2}, "unsupported-option")]
)
def test_engine_is_checked_before_the_files(tmp_path, options, code):
    with raises(ConfigError, code=code):
        localize(tmp_path / "missing", tmp_path / "missing", tmp_path / "out.json", SUBSET, **options)


def test_worker_opens_the_model_once_and_reports_missing_features(run, tiny, tmp_path, monkeypatch):
    data = shutil.copytree(tiny.path, tmp_path / "data")
    first, second, *_ = (video.id for video in tiny.subset(SUBSET))
    (data / "features" / f"{first}.npy").unlink()
    opened = []
    monkeypatch.setattr(batch, "Localizer", lambda *names, **options: opened.append(names) or Localizer(*names))
    worker = batch.Worker(run, "local", "dfe", replace(tiny, path=data), 1)
    with raises(DataError, path=data / "features" / f"{first}.npy") as in_worker:
        worker(first)
    with pytest.raises(DataError) as in_process:
        localize(run, data, tmp_path / "out.json", SUBSET)
    assert str(in_worker.value) == str(in_process.value)
    assert worker(second)
    assert opened == [(run,)]
