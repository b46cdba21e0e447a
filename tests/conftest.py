"""Fixtures that the tests share: a tiny data set, tiny settings, a run trained on videos, and the public data."""

import os

# On a busy machine Ray would otherwise take its own processes for dead and end the process that started it.
os.environ |= {"RAY_health_check_timeout_ms": "120000", "RAY_health_check_failure_threshold": "20"}
os.environ["HF_HUB_OFFLINE"] = "1"  # before huggingface_hub is imported: no test uses the network
os.environ["COLUMNS"] = "100"  # fixed width of the terminal

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import settings as hypothesis_settings
from typer.testing import CliRunner

from tests.helpers.data import TINY
from tests.helpers.executor import InProcessExecutor
from tests.helpers.video import film
from wtal.cli import app
from wtal.core.config import Config, parse_config
from wtal.data.dataset import Dataset, load_dataset
from wtal.data.synthetic.features import write_synthetic

hypothesis_settings.register_profile("wtal", deadline=None)  # tests pass at any load of the machine
hypothesis_settings.load_profile("wtal")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """The networks are too small for several threads."""
    torch.set_num_threads(1)


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
    root = Path(os.environ.get("WTAL_SHARED", Path(__file__).parents[2] / "shared" / "data"))

    def find(*parts: str) -> Path:
        path = root.joinpath(*parts)
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
    root = tmp_path_factory.mktemp("own videos")
    (root / "videos").mkdir()
    for i in range(4):
        film(root / "videos" / f"film {i}.mp4", i)
    rows = ["film 0.mp4,left,training", "film 1.mp4,left;right,training", "film 2.mp4,right,training"]
    rows += ["film 3.mp4,left[3 to 6];right[0 to 3],testing"]
    (root / "tags.csv").write_text("video,labels,subset\n" + "\n".join(rows) + "\n")
    settings = ("--set", "train.steps=4", "--set", "model.width=16", "--set", "train.save_every=4")
    settings += ("--set", "teacher.models=1", "--workers", "1")
    for arguments in (
        ("init", root / "data", "--videos", root / "videos", "--tags", root / "tags.csv"),
        ("extract", root / "data"),
        ("train", root / "data", "--out", root / "run", *settings),
    ):
        result = CliRunner().invoke(app, list(map(str, arguments)))
        assert result.exit_code == 0, result.output
    return root
