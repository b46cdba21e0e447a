"""Extraction on Ray: the same files bit for bit as the local executor, also when a worker dies."""

import os
import socket
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.backbones import CrashOnce
from tests.helpers.errors import raises
from tests.helpers.video import render, texture
from wtal.core import ray_cluster
from wtal.core.errors import ConfigError, DataError
from wtal.video.backbones.base import BackboneOptions
from wtal.video.backbones.registry import BACKBONES
from wtal.video.local_executor import ExtractionOutcome, ExtractionTask, run_locally
from wtal.video.ray_executor import run_on_ray

pytestmark = [
    pytest.mark.xdist_group("ray"),  # one cluster at a time
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),  # about Ray's own settings
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray does not close its processes
]

ray_cluster.set_environment(None)  # before Ray is imported

NUM_VIDEOS, NUM_WORKERS = 6, 2
TINY = BackboneOptions("tiny")


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Five good videos, and one that is incomplete; read only."""
    folder = tmp_path_factory.mktemp("videos")
    for i in range(NUM_VIDEOS):
        render(folder / f"video{i}.mp4", (np.roll(texture(i), t, 1) for t in range(60 + 10 * i)), fps=10)
    truncated = folder / "video5.mp4"
    truncated.write_bytes(truncated.read_bytes()[:500])
    return folder


@pytest.fixture(scope="module")
def ray_started():
    """Ray, started once for all tests."""
    ray_cluster.connect(None, NUM_WORKERS)


def create_tasks(videos: Path, features: Path) -> list[ExtractionTask]:
    features.mkdir()
    return [ExtractionTask(file.stem, file, features / f"{file.stem}.npy") for file in sorted(videos.glob("*.mp4"))]


@pytest.mark.slow
def test_files_equal_those_of_the_local_executor_even_if_a_worker_dies(
    ray_started, videos, tmp_path, monkeypatch, capfd
):
    marker = tmp_path / "crashed"
    monkeypatch.setitem(BACKBONES, "crash-once", CrashOnce)
    monkeypatch.chdir(videos.parent)
    relative = Path(videos.name)  # the errors contain the path that was given
    reports = []
    tasks = create_tasks(relative, tmp_path / "ray")
    outcomes = list(run_on_ray(tasks, BackboneOptions("crash-once", marker), NUM_WORKERS, reports.append))
    local_outcomes = list(run_locally(create_tasks(relative, tmp_path / "local"), TINY, NUM_WORKERS, lambda _: None))
    assert marker.exists()
    errors, local_errors = ({o.id: o.error and str(o.error) for o in result} for result in (outcomes, local_outcomes))
    assert errors == local_errors
    assert [id for id, error in errors.items() if error] == ["video5"]
    assert len(outcomes) == len(reports) == NUM_VIDEOS
    files = {path.name: path.read_bytes() for path in (tmp_path / "local").iterdir()}
    ray_files = {path.name: path.read_bytes() for path in (tmp_path / "ray").iterdir() if path.suffix != ".part"}
    assert len(files) == 2 * (NUM_VIDEOS - 1)
    assert ray_files == files
    assert tuple(capfd.readouterr()) == ("", "")


@pytest.mark.slow
def test_backbone_that_cannot_be_opened_stops_the_extraction(ray_started, videos, tmp_path):
    missing = tmp_path / "missing.safetensors"
    tasks = create_tasks(videos, tmp_path / "features")
    with raises(DataError, code="file-not-found", path=missing):
        list(run_on_ray(tasks, BackboneOptions("i3d", missing, device="cpu"), NUM_WORKERS, lambda _: None))


@pytest.mark.slow
def test_ray_listens_on_the_loopback_address_only(ray_started):
    import ray

    assert [node["NodeManagerAddress"] for node in ray.nodes()] == ["127.0.0.1"]
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


def test_video_whose_workers_always_die_fails_alone(videos, tmp_path, monkeypatch):
    def map_items(worker, arguments, items, *_):
        yield 0, ray_cluster.WorkerDiedError("died")
        yield 1, worker(*arguments)(items[1])

    monkeypatch.setattr(ray_cluster, "connect", lambda *_: None)
    monkeypatch.setattr(ray_cluster, "cluster_size", lambda: (1, 1, 0))
    monkeypatch.setattr(ray_cluster, "map_items", map_items)
    tasks = create_tasks(videos, tmp_path / "features")[:2]
    first, second = run_on_ray(tasks, TINY, None, lambda _: None)
    assert (first.id, first.error.code, first.error.path) == (tasks[0].id, "worker-died", str(tasks[0].video))
    assert second == ExtractionOutcome(tasks[1].id) and tasks[1].features.is_file()


def test_no_tasks_do_not_start_ray(monkeypatch):
    monkeypatch.setattr("ray.init", None)
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    assert list(run_on_ray([], TINY, NUM_WORKERS, lambda _: None)) == []


def test_missing_ray_is_reported_before_the_work(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray.data", None)
    with raises(ConfigError, code="missing-dependency"):
        run_on_ray([], TINY, NUM_WORKERS, lambda _: None)


def test_unreachable_cluster_is_reported_with_its_address(videos, tmp_path, monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
    monkeypatch.setenv("RAY_ADDRESS", address)
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    outcomes = run_on_ray(create_tasks(videos, tmp_path / "features"), TINY, NUM_WORKERS, lambda _: None)
    with raises(ConfigError, code="cluster-unreachable") as caught:
        next(outcomes)
    assert address in caught.value.message
