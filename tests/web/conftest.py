"""A folder of videos and a server that the tests of the web page share."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.server import RunningServer, run_server


@pytest.fixture(scope="session")
def films(own_videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The videos `film 0.mp4`, `film 2.mp4`, `film 3.mp4` and `day 1/film 1.mp4`, and what tests add."""
    folder = tmp_path_factory.mktemp("web") / "films"
    shutil.copytree(own_videos / "videos", folder)
    (folder / "day 1").mkdir()
    (folder / "film 1.mp4").rename(folder / "day 1" / "film 1.mp4")
    return folder


@pytest.fixture(scope="session")
def server(own_videos: Path, films: Path) -> Iterator[RunningServer]:
    """A server for `films` that accepts uploads up to 1 MiB; its store is in the folder, as by default."""
    with run_server(own_videos / "run", films, films / "timelines", max_upload_bytes=1 << 20) as running:
        yield running
