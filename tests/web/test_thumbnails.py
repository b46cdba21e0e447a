"""Thumbnails: made once, one at a time, in a process; videos that cannot be read have a placeholder."""

import shutil
import signal
import threading
import time
from pathlib import Path
from typing import ClassVar

import av
import pytest

from tests.helpers.page import expect
from tests.helpers.processes import wait_until
from tests.helpers.server import run_server
from wtal.web.thumbnails import Kind, Thumbnails
from wtal.web.videos import VideoLibrary, video_key


@pytest.fixture
def library(own_videos, tmp_path) -> VideoLibrary:
    folder = tmp_path / "videos"
    shutil.copytree(own_videos / "videos", folder)
    (folder / "damaged.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(100))
    (folder / "empty.mp4").write_bytes(b"")
    return VideoLibrary(folder)


class StubWorker:
    """Writes files instead of thumbnails; `crash.mp4` ends the process."""

    running = 0
    started: ClassVar[list[str]] = []
    stopped = 0

    def start(self, kind: Kind, video: Path, out: Path) -> None:
        assert StubWorker.running == 0, "one at a time"
        StubWorker.running += 1
        StubWorker.started.append(video.name)
        time.sleep(0.01)
        if "damaged" not in video.name:
            out.parent.mkdir(exist_ok=True)
            out.write_bytes(b"image")
        self.crashes = "crash" in video.name
        if self.crashes:
            out.unlink()

    def poll(self, timeout: float) -> str | None:
        StubWorker.running -= 1
        if self.crashes:
            raise EOFError
        return ""

    def stop(self) -> int:
        StubWorker.stopped += 1
        return -signal.SIGSEGV


@pytest.fixture
def thumbnails(library, tmp_path) -> Thumbnails:
    StubWorker.started, StubWorker.running, StubWorker.stopped = [], 0, 0
    return Thumbnails(tmp_path / "thumbnails", library, StubWorker)


def find(library: VideoLibrary, name: str):
    return library.find(video_key(name))


def test_thumbnail_is_made_once_and_follows_the_content(thumbnails, library, tmp_path):
    file = find(library, "film 0.mp4")
    assert thumbnails.find(file) is None
    path = thumbnails.make(file)
    assert path == thumbnails.find(file) == thumbnails.make(file)
    (library.folder / "film 0.mp4").rename(library.folder / "renamed.mp4")
    library.refresh()
    assert thumbnails.find(find(library, "renamed.mp4")) == path
    assert Thumbnails(tmp_path / "thumbnails", library).find(find(library, "renamed.mp4")) == path
    (library.folder / "renamed.mp4").write_bytes((library.folder / "film 1.mp4").read_bytes())
    library.refresh()
    assert thumbnails.make(find(library, "renamed.mp4")) != path
    assert StubWorker.started == ["film 0.mp4", "renamed.mp4"]


def test_videos_that_fail_are_not_tried_again(thumbnails, library):
    shutil.copy(library.folder / "film 0.mp4", library.folder / "crash.mp4")
    library.refresh()
    for name in ("damaged.mp4", "crash.mp4", "empty.mp4"):
        assert thumbnails.make(find(library, name)) is None
        assert thumbnails.make(find(library, name)) is None
    assert StubWorker.started == ["damaged.mp4", "crash.mp4"]
    assert StubWorker.stopped == 1
    assert thumbnails.make(find(library, "film 1.mp4")), "with a new process"


def test_one_thumbnail_is_made_at_a_time(thumbnails, library):
    names = [f"film {number}.mp4" for number in range(4)]
    threads = [threading.Thread(target=thumbnails.make, args=(find(library, name),)) for name in names * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(StubWorker.started) == names


def test_server_sends_thumbnails_with_the_headers_of_the_page(own_videos, library, tmp_path):
    with run_server(own_videos / "run", library.folder, tmp_path / "store") as server:
        path = f"/api/videos/{video_key('film 0.mp4')}/thumbnail"
        response = server.request("GET", path)
        assert response.status == 200 and response.headers["content-type"] == "image/jpeg"
        assert "default-src 'none'" in response.headers["content-security-policy"]
        assert response.headers["x-content-type-options"] == "nosniff"
        assert "max-age" in response.headers["cache-control"]
        assert server.request("GET", path).body == response.body
        (stored,) = (tmp_path / "store" / "thumbnails").iterdir()
        assert stored.read_bytes() == response.body
        with av.open(str(stored)) as image:
            assert (image.streams.video[0].width, image.streams.video[0].height) == (240, 180)
        for name in ("damaged.mp4", "empty.mp4"):
            for kind in ("thumbnail", "preview"):
                response = server.request("GET", f"/api/videos/{video_key(name)}/{kind}")
                assert (response.status, response.body) == (204, b"")
                assert response.headers["cache-control"] == "no-store"
        assert server.request("GET", path.replace("thumbnail", "preview")).headers["content-type"] == "image/jpeg"
        assert server.request("GET", path.replace("thumbnail", "other")).status == 400
        assert server.request("GET", f"/api/videos/{video_key('gone.mp4')}/thumbnail").status == 404
        assert server.request("GET", path, headers={"sec-fetch-site": "cross-site"}).status == 403
    token = "x" * 40
    with run_server(own_videos / "run", library.folder, tmp_path / "store", token) as server:
        assert server.request("GET", path).status == 401
        assert server.request("GET", path, headers={"authorization": f"Bearer {token}"}).status == 200


def test_list_shows_thumbnails_and_placeholders(site, visitor):
    (site.folder / "unreadable.mp4").write_bytes(b"not a video")
    site.refresh()
    page = visitor.open("new.mp4")
    rows = page.locator("#videos button")
    thumbnail = rows.filter(has_text="new.mp4").locator(".thumbnail")
    expect(thumbnail).to_have_class("thumbnail loaded")
    assert page.evaluate("document.querySelector('#videos .loaded img').naturalWidth") == 240
    placeholder = rows.filter(has_text="unreadable.mp4").locator(".thumbnail")
    wait_until(lambda: placeholder.locator("img").evaluate("image => image.complete"))
    expect(placeholder).to_have_class("thumbnail")
    assert placeholder.evaluate("element => getComputedStyle(element, '::before').content") not in ("none", "normal")
    (site.folder / "unreadable.mp4").unlink()
