"""A server of the web page for tests, running in a thread."""

import http.client
import json
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.helpers.processes import wait_until
from wtal.core.errors import DataError
from wtal.experiments.project import Project
from wtal.video.backbones.registry import BackboneOptions
from wtal.web.api import create_app, create_project_app
from wtal.web.auth import AuthMiddleware
from wtal.web.project_site import ProjectSite, open_project_site
from wtal.web.server import create_server
from wtal.web.service import AnnotationService, open_service
from wtal.web.videos import video_key

TIMEOUT = 60  # seconds, generous for machines under load


@dataclass(frozen=True)
class Response:
    """What the server sent."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Client:
    """Sends requests to a server on a port of this machine."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def request(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Send one request, with the path as it is."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Response(response.status, headers, response.read())
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        """The JSON of a resource that exists."""
        response = self.request("GET", path)
        assert response.status == 200, response.body
        return response.json

    def send(self, method: str, path: str, value: Any) -> Response:
        """Send JSON."""
        return self.request(method, path, json.dumps(value).encode())


@dataclass(frozen=True)
class RunningServer(Client):
    """A server for a model."""

    service: AnnotationService

    def save(self, name: str, segments: list[dict[str, Any]], revision: int = 0, **fields: Any) -> Response:
        """Save corrections of a video, for the present version of its file."""
        with suppress(DataError):
            library = self.service.library
            fields = {"version": library.current(library.find(video_key(name))).version} | fields
        return self.send("PUT", corrections_path(name), {"revision": revision, "segments": segments} | fields)

    def discard(self, name: str, revision: int) -> Response:
        """Discard the corrections of a video."""
        return self.request("DELETE", f"{corrections_path(name)}?revision={revision}")

    def corrections(self, name: str) -> dict[str, Any] | None:
        """The stored corrections of a video."""
        return self.get(f"/api/videos/{video_key(name)}")["corrections"]

    def videos(self) -> dict[str, dict[str, Any]]:
        """Name to entry of the list of videos."""
        return {video["name"]: video for video in self.get("/api/videos")["videos"]}

    def wait_for_state(self, name: str, *states: str) -> dict[str, Any]:
        """The entry of a video once it is in one of these states."""
        wait_until(lambda: self.videos()[name]["state"] in states)
        return self.videos()[name]

    def run_detection(self, name: str) -> str:
        """Wait for the prediction of a video. Returns its key."""
        key = video_key(name)
        self.send("POST", "/api/jobs", {"keys": [key]})
        video = self.wait_for_state(name, "done", "failed")
        assert video["state"] == "done", video["reason"]
        return key


def corrections_path(name: str) -> str:
    return f"/api/videos/{video_key(name)}/corrections"


@contextmanager
def run_server(
    run: Path,
    videos: Path,
    store: Path,
    token: str | None = None,
    max_upload_bytes: int | None = None,
    data: Path | None = None,
) -> Iterator[RunningServer]:
    """A server, with its worker, until the block ends."""
    with (
        open_service(run, videos, store, BackboneOptions(""), data) as service,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        service = replace(service, max_upload_bytes=max_upload_bytes or service.max_upload_bytes)
        with _serving(create_app(service, token), listener) as port:
            yield RunningServer(port, service)


@dataclass(frozen=True)
class RunningProject(Client):
    """A server for a project."""

    site: ProjectSite

    def tags(self) -> dict[str, list[str] | None]:
        """Name of the video to its tags."""
        return {video["name"]: video["labels"] for video in self.get("/api/project")["videos"]}

    def change(self, name: str, **change: Any) -> Response:
        """Change the tags of a video."""
        return self.send("POST", "/api/project/tags", {"changes": {video_key(name): change}})

    def get_videos(self) -> dict[str, dict[str, Any]]:
        """Name to entry of the list of videos; empty while there is no model."""
        response = self.request("GET", "/api/videos")
        return {video["name"]: video for video in response.json["videos"]} if response.status == 200 else {}

    def training(self) -> dict[str, Any]:
        """The state of the steps."""
        return self.get("/api/project")["training"]


@contextmanager
def run_project_server(project: Project, token: str | None = None) -> Iterator[RunningProject]:
    """A server for a project, until the block ends."""
    with (
        open_project_site(project, BackboneOptions("")) as site,
        socket.create_server(("127.0.0.1", 0)) as listener,
        _serving(create_project_app(site, token), listener) as port,
    ):
        yield RunningProject(port, site)


@contextmanager
def _serving(app: AuthMiddleware, listener: socket.socket) -> Iterator[int]:
    """Serve an application in a thread. Yields the port."""
    server = create_server(app)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(TIMEOUT)
