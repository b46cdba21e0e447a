"""On Ray the files are the same bit for bit, whoever is killed, and what is bad is listed as ever."""

import os
import signal
import socket
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.video import render
from wtal.core.errors import ConfigError, DataError
from wtal.core.ray_cluster import connected, require_ray
from wtal.video.backbones.registry import BackboneOptions
from wtal.video.local_executor import WORKER_DIED_MESSAGE, ExtractionTask, run_locally
from wtal.video.ray_executor import TRIES, Extractor, run_on_ray

pytestmark = [
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),  # Ray warns of its own settings
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # and leaves its processes to the collector
]

VIDEOS, WORKERS = 12, 2


@pytest.fixture(scope="module")
def movies(tmp_path_factory):
    """Eleven good videos and one that is cut off; read only."""
    place = tmp_path_factory.mktemp("movies")
    for i in range(VIDEOS):
        noise = np.random.default_rng(i).integers(0, 255, (48, 64, 3), dtype=np.uint8)
        render(place / f"movie{i:02d}.mp4", (np.roll(noise, t, 1) for t in range(60 + 10 * i)), fps=10)
    bad = place / "movie05.mp4"
    bad.write_bytes(bad.read_bytes()[:500])
    return place


def jobs_of(movies: Path, features: Path) -> list[ExtractionTask]:
    features.mkdir()
    return [ExtractionTask(file.stem, file, features / f"{file.stem}.npy") for file in sorted(movies.glob("*.mp4"))]


@pytest.fixture(scope="module")
def by_hand(movies, tmp_path_factory):
    """What the local engine makes: the folder of features, and the reasons by id."""
    features = tmp_path_factory.mktemp("local") / "features"
    outcomes = run_locally(jobs_of(movies, features), BackboneOptions("tiny"), WORKERS, lambda _: None)
    return features, {outcome.id: outcome.reason for outcome in outcomes}


@pytest.fixture(scope="module")
def ray_started():
    """Ray, started once for all tests as the engine starts it."""
    require_ray(None)
    with connected(None, WORKERS):
        yield


class Killer(threading.Thread):
    """Kills, once, a worker that has begun to write features."""

    def __init__(self, features: Path) -> None:
        super().__init__(daemon=True)
        self.features, self.killed = features, ""

    def run(self) -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until and not self.killed:
            for part in self.features.glob(".*.npy.*.part"):
                pid = part.name.split(".")[-2]  # as wtal.core.io names what is not whole yet
                if pid.isdecimal():
                    os.kill(int(pid), signal.SIGKILL)
                    self.killed = part.name
                    return
            time.sleep(0.005)


def test_a_killed_worker_loses_nothing_and_the_files_are_the_same(ray_started, movies, by_hand, tmp_path, capfd):
    local, reasons = by_hand
    features = tmp_path / "features"
    killer = Killer(features)
    jobs = jobs_of(movies, features)
    killer.start()
    heard = []
    outcomes = list(run_on_ray(jobs, BackboneOptions("tiny"), WORKERS, heard.append))
    killer.join()
    assert killer.killed, "nobody was killed in the middle of a video"
    assert {outcome.id: outcome.reason for outcome in outcomes} == reasons
    assert [id for id, reason in reasons.items() if reason] == ["movie05"]
    assert len(outcomes) == len(heard) == VIDEOS
    names = sorted(path.name for path in local.iterdir())
    assert len(names) == 2 * (VIDEOS - 1)
    left = {path.name for path in features.iterdir() if not path.name.endswith(".part")}
    assert sorted(left) == names
    for name in names:
        assert (features / name).read_bytes() == (local / name).read_bytes(), name
    assert tuple(capfd.readouterr()) == ("", "")


def test_a_backbone_that_a_machine_does_not_have_stops_all(ray_started, movies, tmp_path):
    jobs = jobs_of(movies, tmp_path / "features")
    with pytest.raises(DataError, match="there is no backbone 'none'"):
        list(run_on_ray(jobs, BackboneOptions("none"), WORKERS, lambda _: None))


def test_ray_listens_on_this_machine_alone(ray_started):
    import ray

    assert [node["NodeManagerAddress"] for node in ray.nodes()] == ["127.0.0.1"]
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


def test_a_cluster_that_is_named_is_used_as_it_is(monkeypatch):
    asked = []
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.init", lambda address, **settings: asked.append((address, settings)))
    monkeypatch.setattr("ray.shutdown", lambda: asked.append("gone"))
    with socket.create_server(("127.0.0.1", 0)) as cluster:
        address = f"127.0.0.1:{cluster.getsockname()[1]}"
        with connected(address, WORKERS):
            ((found, settings),) = asked
    assert found == address
    assert not {"num_cpus", "object_store_memory"} & set(settings)
    assert asked[1:] == ["gone"]


def test_a_video_that_kills_each_time_is_given_up(movies, tmp_path):
    job = jobs_of(movies, tmp_path / "features")[0]
    batch = {"id": [job.id], "video": [str(job.video)], "features": [str(job.features)]}
    begun = job.features.with_name(f".{job.features.name}.begun.part")
    for dead in range(TRIES, -1, -1):  # the last time with none
        begun.write_text("\n" * dead)
        row = Extractor(BackboneOptions("tiny"), WORKERS)({name: np.array(value) for name, value in batch.items()})
        assert row["id"] == [job.id]
        assert row["fatal"] == [False]
        assert row["reason"] == [WORKER_DIED_MESSAGE.format(job.video) if dead == TRIES else ""]
        assert job.features.exists() == (dead < TRIES)
        assert not begun.exists()


def test_where_nobody_answers_the_address_is_named(movies, tmp_path, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv("RAY_ADDRESS", address)
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    outcomes = run_on_ray(jobs_of(movies, tmp_path / "features"), BackboneOptions("tiny"), WORKERS, lambda _: None)
    with pytest.raises(ConfigError, match=rf"RAY_ADDRESS is {address}, where no cluster can be joined \(.*refused"):
        next(outcomes)


def test_a_cluster_that_lets_nobody_in_is_named(monkeypatch):
    def refuse(*_, **__):
        raise ConnectionError("Failed to connect to Ray cluster\nand much more")

    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.init", refuse)
    with (
        pytest.raises(ConfigError, match=r"\(Failed to connect to Ray cluster\); start one"),
        connected("auto", 1),
    ):
        pass


def test_nothing_to_do_starts_nothing(monkeypatch):
    monkeypatch.setattr("ray.init", None)
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    assert list(run_on_ray([], BackboneOptions("tiny"), WORKERS, lambda _: None)) == []


def test_without_ray_one_sentence_says_how_to_have_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray.data", None)
    with pytest.raises(ConfigError, match=r"needs Ray; pip install 'ray\[data\]'"):
        run_on_ray([], BackboneOptions("tiny"), WORKERS, lambda _: None)
