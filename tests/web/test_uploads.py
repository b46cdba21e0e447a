"""Uploads of videos."""

import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

import pytest

from tests.helpers.errors import raises
from tests.helpers.processes import wait_until
from tests.helpers.server import run_server
from wtal.core.errors import DataError
from wtal.web import uploads
from wtal.web.uploads import check_name

HEAD = b"PUT /api/uploads/cut.mp4 HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"


def test_uploads_of_one_name_are_stored_separately_and_processed(server, films):
    content = (films / "film 3.mp4").read_bytes()
    first, second = (server.request("PUT", "/api/uploads/mine%20%26%20yours.mp4", content) for _ in range(2))
    assert (first.status, second.status) == (201, 201) and first.json["key"] != second.json["key"]
    assert second.json["name"] == "mine & yours 2.mp4"
    server.wait_for_state("uploads/mine & yours.mp4", "done")
    server.wait_for_state("uploads/mine & yours 2.mp4", "done")
    assert (films / "uploads" / "mine & yours 2.mp4").read_bytes() == content


def test_file_that_is_not_a_video_fails(server):
    assert server.request("PUT", "/api/uploads/text.mp4", b"just text" * 99).status == 201
    video = server.wait_for_state("uploads/text.mp4", "failed")
    assert "text file" in video["reason"] and video["status"] == "failed"


def test_upload_does_not_follow_a_link(own_videos, tmp_path):
    for name in ("films", "out"):
        (tmp_path / name).mkdir()
    (tmp_path / "films" / "uploads").symlink_to(tmp_path / "out")
    with run_server(own_videos / "run", tmp_path / "films", tmp_path / "store") as server:
        assert server.request("PUT", "/api/uploads/a.mp4", b"a film").status == 403
    assert not list((tmp_path / "out").iterdir())


def test_announced_size_above_the_limit_is_refused_before_the_content(server):
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(HEAD % ((1 << 20) + 1))
        assert connection.recv(99).startswith(b"HTTP/1.1 413")


def test_endless_upload_is_refused(server, films):
    chunks = 0

    def endless() -> Iterator[bytes]:
        nonlocal chunks
        while True:
            chunks += 1
            yield bytes(1 << 16)

    with suppress(OSError):  # the server closes the connection while the client is still sending
        assert server.request("PUT", "/api/uploads/endless.mp4", endless()).status == 413
    assert chunks < 1000
    wait_until(lambda: not list((films / "uploads").glob(".*")))
    assert not (films / "uploads" / "endless.mp4").exists()


def test_empty_upload_is_refused(server):
    response = server.request("PUT", "/api/uploads/empty.mp4", b"")
    assert response.status == 400 and response.json["code"] == "empty-file"


def test_idle_and_broken_uploads_leave_no_file(server, films, monkeypatch):
    monkeypatch.setattr(uploads, "IDLE_TIMEOUT", 0.2)
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(HEAD % 1000 + b"half")
        assert b"upload-timeout" in b"".join(iter(partial(connection.recv, 4096), b""))
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(HEAD % 1000 + b"half")
    wait_until(lambda: not list((films / "uploads").glob(".*")))
    assert not (films / "uploads" / "cut.mp4").exists()


def test_slow_upload_is_refused(server, films, monkeypatch):
    monkeypatch.setattr(uploads, "MIN_UPLOAD_RATE", 1 << 40)
    monkeypatch.setattr(uploads, "IDLE_TIMEOUT", 0.2)

    def slow() -> Iterator[bytes]:
        while True:
            time.sleep(0.1)
            yield b"x"

    with suppress(OSError):  # the server closes the connection while the client is still sending
        response = server.request("PUT", "/api/uploads/slow.mp4", slow())
        assert response.status == 400 and response.json["code"] in ("upload-too-slow", "upload-timeout")
    assert not (films / "uploads" / "slow.mp4").exists()


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../a.mp4",
        "a/b.mp4",
        "a\\b.mp4",
        ".a.mp4",
        "a\0.mp4",
        "a\n.mp4",
        "a\u202egpj.mp4",
        "con.mp4",
        "COM1.x.mp4",
        "Aux .mp4",
        "a.exe",
        "a",
        "x" * 300 + ".mp4",
    ],
)
def test_invalid_file_names_are_refused(server, name):
    with raises(DataError, code="invalid-name"):
        check_name(name)
    quoted = "".join(f"%{byte:02x}" for byte in name.encode())
    response = server.request("PUT", f"/api/uploads/{quoted}", b"film")
    assert response.status in (400, 404, 405) and "error" in response.json
