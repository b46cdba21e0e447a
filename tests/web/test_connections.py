"""Silent and malformed connections: refused with limits, without locking others out."""

import logging
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest

from tests.helpers.server import TIMEOUT, RunningServer, run_server
from wtal.web import connections, messages
from wtal.web.auth import SECURITY_HEADERS
from wtal.web.connections import RepeatedMessages, max_connections

REQUEST_LINE = b"GET / HTTP/1.1\r\n"


@pytest.fixture
def opened(server: RunningServer) -> Iterator[Callable[[bytes], socket.socket]]:
    """Opens connections to the server, sends bytes, and closes them after the test."""
    with ExitStack() as stack:

        def open_connection(data: bytes = b"") -> socket.socket:
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), TIMEOUT))
            connection.sendall(data)
            return connection

        yield open_connection


def is_closed(connection: socket.socket) -> bool:
    """Wait until the server sends something or closes the connection; whether it closed it without an answer."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("data", [b"", REQUEST_LINE])
def test_headers_that_do_not_arrive_time_out(opened, data, monkeypatch):
    monkeypatch.setattr(connections, "HEADER_TIMEOUT", 0.2)
    assert is_closed(opened(data))


def test_headers_of_the_second_request_time_out(opened, monkeypatch):
    monkeypatch.setattr(connections, "HEADER_TIMEOUT", 0.2)
    connection = opened(b"HEAD /api/nothing HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert connection.recv(1 << 16).startswith(b"HTTP/1.1 4")
    connection.sendall(REQUEST_LINE)
    assert is_closed(connection)


def test_body_that_does_not_arrive_times_out(server, opened, monkeypatch):
    monkeypatch.setattr(messages, "BODY_TIMEOUT", 0.2)
    connection = opened(b"POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
    assert connection.recv(12) == b"HTTP/1.1 408"


def test_oldest_silent_connections_make_room(own_videos, films, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(connections, "max_connections", lambda: 8)
    with run_server(own_videos / "run", films, tmp_path) as server:
        silent = [socket.create_connection(("127.0.0.1", server.port), TIMEOUT) for _ in range(40)]
        assert server.request("GET", "/").status == 200
        assert all(is_closed(connection) for connection in silent[:30])
        for connection in silent:
            connection.close()
    assert len([record for record in caplog.records if "connections are open" in record.message]) == 1


def test_number_of_connections_is_below_that_of_descriptors():
    code = "import resource as r; r.setrlimit(r.RLIMIT_NOFILE, (256, 256)); from wtal.web.connections import *;"
    output = subprocess.check_output([sys.executable, "-c", code + "print(max_connections())"], text=True)
    assert 2 * int(output) < 256
    assert max_connections() >= int(output)


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"a" * 70_000,
    ],
)
def test_malformed_request_gets_json_and_security_headers(opened, data):
    connection = opened(data)
    answer = b""
    with suppress(ConnectionResetError):
        while piece := connection.recv(1 << 16):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400") and b'"error"' in body
    for name, value in SECURITY_HEADERS.items():
        assert f"{name}: {value}".encode() in head.lower().replace(value.lower().encode(), value.encode())


def test_malformed_request_during_a_response_closes_the_connection(opened, caplog):
    connection = opened(
        b"PUT /api/uploads/a.mp4 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n"
    )
    with suppress(ConnectionResetError):
        while connection.recv(1 << 16):
            pass
    assert not [record for record in caplog.records if record.exc_info]


def test_same_message_is_logged_once():
    repeated = RepeatedMessages()
    records = [logging.LogRecord("a", logging.WARNING, "", 0, message, (), None) for message in ("x", "x", "y")]
    assert [repeated.filter(record) for record in records] == [True, False, True]
