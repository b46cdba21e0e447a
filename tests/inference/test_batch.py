"""On Ray the proposals file is the same byte for byte, whoever dies, and what is bad is said in the same words."""

import os
import shutil
import signal
from contextlib import nullcontext
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.helpers.errors import raises
from wtal import cli
from wtal.core import ray_cluster
from wtal.core.errors import ConfigError, DataError
from wtal.core.ray_cluster import connected, set_environment
from wtal.experiments.pipeline import localize
from wtal.inference import batch
from wtal.inference.localizer import load_network
from wtal.training.trainer import train

pytestmark = [
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),  # Ray warns of its own settings
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # and leaves its processes to the collector
]

SUBSET = "training"  # the largest


@pytest.fixture(scope="module")
def run(tiny, settings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    train(settings(train={"steps": 4}), tiny, folder, device="cpu")
    return folder


@pytest.fixture(scope="module")
def ray_started():
    """Ray, started once for all tests as the engine starts it."""
    set_environment(None)
    with connected(None, 2):
        yield


def bytes_of(run, data, out, **options):
    localize(run, data, out, SUBSET, **options)
    return out.read_bytes()


class CrashOnce(batch.Worker):
    """Kills its process at the first video, unless the file `crashed` exists in the run folder."""

    def __call__(self, id):
        marker = self.model.parent / "crashed"
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(id)


def test_the_file_is_the_same_byte_for_byte(ray_started, run, tiny, tmp_path, capfd):
    here = bytes_of(run, tiny.path, tmp_path / "here.json", branch="global")
    assert bytes_of(run, tiny.path, tmp_path / "ray.json", branch="global", engine="ray", workers=2) == here
    assert tuple(capfd.readouterr()) == ("", "")


def test_a_worker_that_dies_loses_nothing(ray_started, run, tiny, tmp_path, monkeypatch):
    run = shutil.copytree(run, tmp_path / "run")
    here = bytes_of(run, tiny.path, tmp_path / "here.json")
    monkeypatch.setattr(batch, "Worker", CrashOnce)
    assert bytes_of(run, tiny.path, tmp_path / "ray.json", engine="ray", workers=2) == here
    assert (run / "crashed").exists()


def test_video_whose_workers_always_die_is_reported(run, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(ray_cluster, "connected", lambda *_: nullcontext())
    monkeypatch.setattr(ray_cluster, "cluster_size", lambda: (1, 1, 0))
    monkeypatch.setattr(ray_cluster, "map_items", lambda *_: [(0, ray_cluster.WorkerDiedError("died"))])
    first = tiny.subset(SUBSET)[0].id
    with raises(DataError, code="worker-died", path=tiny.features_path(first)):
        bytes_of(run, tiny.path, tmp_path / "out.json", engine="ray")


def test_bad_features_are_told_in_the_same_words(ray_started, run, tiny, tmp_path, monkeypatch):
    data = shutil.copytree(tiny.path, tmp_path / "data")
    ids = [video.id for video in tiny.subset(SUBSET)]
    for id in (ids[3], ids[6]):  # the first of them is told, whichever is seen first
        path = data / "features" / f"{id}.npy"
        np.save(path, np.full_like(np.load(path), np.nan))
    monkeypatch.chdir(tmp_path)
    command = ["localize", str(run), "data", "--subset", SUBSET, "--out", "out.json"]
    here, on_ray = (
        CliRunner().invoke(cli.app, [*command, *engine]) for engine in ((), ("--engine", "ray", "--workers", "2"))
    )
    assert (on_ray.exit_code, on_ray.output) == (here.exit_code, here.output)
    assert here.exit_code == 2 and f" data/features/{ids[3]}.npy" in f" {here.output}"
    assert not (tmp_path / "out.json").exists()


def test_answers_in_any_order_come_in_their_own():
    assert list(batch._in_order([(2, "c"), (0, "a"), (1, "b"), (3, "d")])) == list("abcd")


@pytest.mark.parametrize("options, words", [({"engine": "dask"}, "local or ray"), ({"workers": 2}, "leave it out")])
def test_an_engine_that_is_none_is_refused_before_the_work(tmp_path, options, words):
    with pytest.raises(ConfigError, match=words):
        localize(tmp_path / "none", tmp_path / "none", tmp_path / "out.json", SUBSET, **options)


def test_a_worker_opens_the_network_once_and_tells_what_its_machine_does_not_have(run, tiny, tmp_path, monkeypatch):
    data = shutil.copytree(tiny.path, tmp_path / "data")
    first, second, *_ = (video.id for video in tiny.subset(SUBSET))
    (data / "features" / f"{first}.npy").unlink()
    opened = []
    monkeypatch.setattr(batch, "load_network", lambda *names: opened.append(names) or load_network(*names))
    worker = batch.Worker(run, "local", replace(tiny, path=data), 1)
    with pytest.raises(DataError) as in_worker:
        worker(first)
    with pytest.raises(DataError) as here:
        localize(run, data, tmp_path / "out.json", SUBSET)
    assert str(in_worker.value) == str(here.value)
    assert worker(second)
    assert opened == [(run, "local")]
