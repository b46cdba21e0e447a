"""What the tests share: one thread, a tiny data set, tiny settings, and the real data where it lies beside us."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # before huggingface_hub is imported: no test asks the network
os.environ["COLUMNS"] = "100"  # the width of the terminal under the tests is no part of them

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from tests.helpers.data import TINY
from tests.helpers.executor import InProcessExecutor
from tests.helpers.video import film
from wtal.cli import app
from wtal.core.config import Config, parse_config
from wtal.data.dataset import Dataset, load_dataset
from wtal.data.synthetic.features import write_synthetic


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """The networks here are too small to share out."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A made-up data set of 14 sequences with two modalities; read only."""
    path = tmp_path_factory.mktemp("tiny") / "set"
    write_synthetic(path, TINY, seed=0)
    return load_dataset(path)


@pytest.fixture(scope="session")
def settings() -> Callable[..., Config]:
    """`settings("dfe", train={"steps": 4})`: a configuration small enough to train in a blink."""

    def make(method: str = "dfe", **sections: dict[str, object]) -> Config:
        model = {"width": 16, "window": 3, **sections.get("model", {})}
        train = {"steps": 6, "batch_size": 3, "snippets": 20, "save_every": 2, **sections.get("train", {})}
        rest = {name: values for name, values in sections.items() if name not in ("model", "train")}
        return parse_config({"method": method, "model": model, "train": train, **rest})

    return make


@pytest.fixture(scope="session")
def shared() -> Callable[..., Path]:
    """`shared("hapt")`: a place in the real data: WTAL_SHARED, or ../shared/data. Skips where it is not."""
    root = Path(os.environ.get("WTAL_SHARED", Path(__file__).parents[2] / "shared" / "data"))

    def find(*parts: str) -> Path:
        place = root.joinpath(*parts)
        if not place.exists():
            pytest.skip(f"{place} is not there; name the folder with hapt, thumos14, ... in WTAL_SHARED")
        return place

    return find


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that would stand side by side, one after another in this process."""
    from wtal.experiments import runner

    monkeypatch.setattr(runner, "ProcessPoolExecutor", InProcessExecutor)


@pytest.fixture(scope="session")
def own_videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """videos/, tags.csv, data/ and a run/ that was trained on them, all by the command line; read only."""
    place = tmp_path_factory.mktemp("own videos")
    (place / "videos").mkdir()
    for i in range(4):
        film(place / "videos" / f"film {i}.mp4", i)
    rows = ["film 0.mp4,left,training", "film 1.mp4,left;right,training", "film 2.mp4,right,training"]
    rows += ["film 3.mp4,left[3 to 6];right[0 to 3],testing"]
    (place / "tags.csv").write_text("video,labels,subset\n" + "\n".join(rows) + "\n")
    small = ("--set", "train.steps=4", "--set", "model.width=16", "--set", "train.save_every=4")
    for code, said, *words in (
        (
            0,
            "next: wtal extract",
            "init",
            place / "data",
            "--videos",
            place / "videos",
            "--tags",
            place / "tags.csv",
        ),
        (2, "run `wtal extract", "check", place / "data"),
        (0, "features of 4 videos, 4 of them made now", "extract", place / "data"),
        (0, "ready to train", "check", place / "data"),
        (0, "", "train", place / "data", "--out", place / "run", *small),
    ):
        done = CliRunner().invoke(app, list(map(str, words)))
        assert done.exit_code == code and said in done.output, done.output
    return place
