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
from wtal.video.local_executor import ExtractionTask, run_locally
from wtal.video.ray_executor import MAX_ATTEMPTS, Extractor, run_on_ray

pytestmark = [
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),  # about Ray's own settings
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray does not close its processes
]

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
    ray_cluster.set_environment(None)
    with ray_cluster.connected(None, NUM_WORKERS):
        yield


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


def test_video_whose_workers_always_die_is_given_up(videos, tmp_path):
    task = create_tasks(videos, tmp_path / "features")[0]
    attempts = task.features.with_name(f".{task.features.name}.begun.part")
    for num_attempts in range(MAX_ATTEMPTS, -1, -1):
        attempts.write_text("\n" * num_attempts)
        outcome = Extractor({}, TINY, NUM_WORKERS)(task)
        assert outcome.id == task.id
        assert (outcome.error.code if outcome.error else None) == (
            "worker-died" if num_attempts == MAX_ATTEMPTS else None
        )
        assert task.features.exists() == (num_attempts < MAX_ATTEMPTS)
        assert not attempts.exists()


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


def test_existing_cluster_is_used_without_changing_its_settings(monkeypatch):
    calls = []
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.init", lambda address, **settings: calls.append((address, settings)))
    monkeypatch.setattr("ray.shutdown", lambda: calls.append("shutdown"))
    with socket.create_server(("127.0.0.1", 0)) as cluster:
        address = f"127.0.0.1:{cluster.getsockname()[1]}"
        with ray_cluster.connected(address, NUM_WORKERS):
            ((used_address, settings),) = calls
    assert used_address == address
    assert not {"num_cpus", "object_store_memory"} & set(settings)
    assert calls[1:] == ["shutdown"]


def test_rejected_connection_is_reported_in_one_line(monkeypatch):
    def refuse(*_, **__):
        raise ConnectionError("Failed to connect to Ray cluster\nand much more")

    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.init", refuse)
    with raises(ConfigError, code="cluster-unreachable") as caught, ray_cluster.connected("auto", 1):
        pass
    assert "Failed to connect" in caught.value.message and "\n" not in str(caught.value)
