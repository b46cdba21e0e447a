"""Fixtures that the tests share: a tiny data set, tiny settings, a run trained on videos, and the public data."""

import os

# On a busy machine Ray would otherwise take its own processes for dead and end the process that started it.
os.environ |= {"RAY_health_check_timeout_ms": "120000", "RAY_health_check_failure_threshold": "20"}
os.environ["HF_HUB_OFFLINE"] = "1"  # before huggingface_hub is imported: no test uses the network
os.environ["COLUMNS"] = "100"  # fixed width of the terminal

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings as hypothesis_settings

from benchmarks.measure import SHARED
from tests.helpers.data import TINY
from tests.helpers.executor import InProcessExecutor
from tests.helpers.own_videos import make_own_videos
from wtal.core.config import Config, parse_config
from wtal.core.methods import METHODS
from wtal.data.dataset import Dataset, load_dataset
from wtal.data.synthetic.features import write_synthetic

hypothesis_settings.register_profile("wtal", deadline=None)  # tests pass at any load of the machine
hypothesis_settings.load_profile("wtal")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """The networks are too small for several threads."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def registered_methods() -> Iterator[None]:
    """A method that a test registers or imports is gone after it."""
    before = dict(METHODS)
    yield
    for name in METHODS.keys() - before:
        del METHODS[name]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A synthetic data set of 14 sequences with two modalities; read only."""
    path = tmp_path_factory.mktemp("tiny") / "set"
    write_synthetic(path, TINY, seed=0)
    return load_dataset(path)


@pytest.fixture(scope="session")
def settings() -> Callable[..., Config]:
    """`settings("dfe", train={"steps": 4})`: a configuration that trains in less than a second."""

    def make(method: str = "dfe", **sections: dict[str, object]) -> Config:
        model = {"width": 16, "window": 3, **sections.get("model", {})}
        train = {"steps": 6, "batch_size": 3, "snippets": 20, "save_every": 2, **sections.get("train", {})}
        teacher = {"models": 2, **sections.get("teacher", {})}
        return parse_config({"method": method, **sections, "model": model, "train": train, "teacher": teacher})

    return make


@pytest.fixture(scope="session")
def shared() -> Callable[..., Path]:
    """`shared("hapt")`: a path in the public data, WTAL_SHARED or ../shared/data. Skips the test if it is missing."""

    def find(*parts: str) -> Path:
        path = SHARED.joinpath(*parts)
        if not path.exists():
            pytest.skip(f"{path} does not exist; set WTAL_SHARED to the folder with hapt, thumos14, ...")
        return path

    return find


@pytest.fixture
def serial_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parallel runs are executed one after another in this process."""
    from wtal.core import concurrency

    monkeypatch.setattr(concurrency, "ProcessPoolExecutor", InProcessExecutor)


@pytest.fixture(scope="session")
def own_videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with videos/, tags.csv, data/ and a run/ trained on them, all by the command line; read only."""
    return make_own_videos(tmp_path_factory.mktemp("own videos"))
