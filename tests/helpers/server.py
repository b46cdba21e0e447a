"""The web page's server for tests: a real one, in a thread, with a run that knows almost nothing."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wtal.core.errors import DataError
from wtal.video.backbones.registry import BackboneOptions
from wtal.web.server import server_of
from wtal.web.service import AnnotationService, open_service


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Served:
    """A server that runs at `port` of this machine."""

    desk: AnnotationService
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request, its path as it is."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        """The JSON of an address that must answer."""
        answer = self.ask("GET", path)
        assert answer.status == 200, answer.body
        return answer.json

    def send(self, method: str, path: str, value: Any) -> Answer:
        """A request with JSON; a timeline as of the file that is there."""
        if path.endswith("/corrections") and "segments" in value:
            with suppress(DataError):
                value = {"file": self.desk.library.now(path.split("/")[-2]).state} | value
        return self.ask(method, path, json.dumps(value).encode())

    def videos(self) -> dict[str, dict[str, Any]]:
        """Name -> what the list says."""
        return {video["name"]: video for video in self.get("/api/videos")["videos"]}

    def wait(self, name: str, *states: str) -> dict[str, Any]:
        """What the list says of a video once it is in one of these states."""
        until = time.monotonic() + 60
        while (video := self.videos()[name])["state"] not in states:
            assert time.monotonic() < until, video
            time.sleep(0.05)
        return video

    def found(self, name: str) -> str:
        """The key of a video, when its timeline is there."""
        key = self.videos()[name]["key"]
        self.ask("POST", f"/api/videos/{key}/job")
        video = self.wait(name, "done", "failed")
        assert video["state"] == "done", video["reason"]
        return key


@contextmanager
def served(run: Path, videos: Path, store: Path, token: str | None = None, most: int | None = None) -> Iterator[Served]:
    """A server until the block ends; its worker too."""
    with (
        open_service(run, videos, store, BackboneOptions("")) as desk,
        socket.create_server(("127.0.0.1", 0)) as listening,
    ):
        desk = replace(desk, most=most or desk.most)
        server = server_of(desk, token)
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        try:
            yield Served(desk, listening.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(10)
