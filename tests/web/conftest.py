"""A folder of videos, a server and a browser that the tests of the web page share."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers.browser import chromium
from tests.helpers.server import RunningServer, run_server

if TYPE_CHECKING:
    from tests.helpers.page import Site, Visitor


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


@pytest.fixture(scope="module")
def site(own_videos, tmp_path_factory) -> "Iterator[Site]":
    """A server for a folder with a video that was not processed yet."""
    from tests.helpers.page import Site

    folder = tmp_path_factory.mktemp("page") / "beach"
    folder.mkdir()
    shutil.copy(own_videos / "videos" / "film 0.mp4", folder / "new.mp4")
    with run_server(own_videos / "run", folder, folder / "timelines", max_upload_bytes=1 << 20) as server:
        yield Site(server)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from tests.helpers.page import TIMEOUT, expect

    expect.set_options(timeout=TIMEOUT)
    with chromium() as opened:
        yield opened


@pytest.fixture
def visitor(site, browser) -> "Iterator[Visitor]":
    """Fails if there are messages on the console, other than those that the test expects."""
    from tests.helpers.page import TIMEOUT, Visitor

    context = browser.new_context(viewport={"width": 1200, "height": 1000}, reduced_motion="reduce")
    context.set_default_timeout(TIMEOUT)
    visitor = Visitor(site, context)
    yield visitor
    context.close()
    assert visitor.unexpected_messages() == []
