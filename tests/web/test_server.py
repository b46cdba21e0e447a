"""The command that serves the web page."""

import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from typer.testing import CliRunner

from tests.helpers.errors import raises
from tests.helpers.processes import wait_until
from tests.helpers.server import run_server
from wtal.cli import app
from wtal.core.errors import DataError
from wtal.web.server import _listen, load_token
from wtal.web.thumbnails import Thumbnails
from wtal.web.videos import video_key


def restore_interrupts() -> None:
    """A process that runs in the background of a shell ignores SIGINT; its children inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_command_prints_the_address_and_stops_on_interrupt(own_videos, films, tmp_path):
    arguments = ["serve", own_videos / "run", "--videos", films, "--store", tmp_path / "store", "--port", "0"]
    command = [sys.executable, "-m", "wtal", *map(str, arguments)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=restore_interrupts
    ) as process:
        line = process.stdout.readline()
        assert "http://127.0.0.1:" in line and "token" not in line
        port = int(line.rstrip("/\n").rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"GET /api/config HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert connection.recv(99).startswith(b"HTTP/1.1 200")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in out + err


def test_requests_that_wait_at_the_end_of_the_server_are_no_traceback(own_videos, films, tmp_path, monkeypatch, caplog):
    arrived: list[str] = []
    monkeypatch.setattr("wtal.web.server.SHUTDOWN_TIMEOUT", 0)
    monkeypatch.setattr(Thumbnails, "find", lambda self, file, kind: arrived.append(file.name))
    monkeypatch.setattr(Thumbnails, "make", lambda self, file, kind: time.sleep(2))
    with ThreadPoolExecutor() as pool, run_server(own_videos / "run", films, tmp_path) as server:
        for _ in range(3):  # one image is made at a time
            pool.submit(server.request, "GET", f"/api/videos/{video_key('film 0.mp4')}/thumbnail")
        wait_until(lambda: len(arrived) == 3)
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--videos", "nowhere"], "nowhere"),
        (["--videos", ".", "--host", "not a host"], "not a host"),
        (["--videos", ".", "--host", ""], "--host"),
        (["--videos", ".", "--port", "{used_port}"], "{used_port}"),
    ],
)
def test_invalid_options_are_reported(own_videos, arguments, named, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        used_port = listener.getsockname()[1]
        arguments = [argument.format(used_port=used_port) for argument in arguments]
        result = CliRunner().invoke(app, ["serve", str(own_videos / "run"), "--port", "0", *arguments])
    assert result.exit_code == 2 and named.format(used_port=used_port) in result.output, result.output
    assert not list(tmp_path.iterdir())


def test_missing_extra_is_reported(own_videos, tmp_path, monkeypatch):
    monkeypatch.setattr("wtal.cli.video.find_spec", lambda name: None)
    result = CliRunner().invoke(app, ["serve", str(own_videos / "run"), "--videos", str(tmp_path)])
    assert result.exit_code == 2 and "pip install 'wtal[web]'" in result.output


def test_wildcard_address_accepts_both_ip_versions():
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    with _listen("::", 0) as listener:
        socket.create_connection(("127.0.0.1", listener.getsockname()[1])).close()


def test_token_is_created_once_and_private(tmp_path):
    token = load_token(tmp_path)
    assert load_token(tmp_path) == token and len(token) >= 32
    assert (tmp_path / "token").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("text", ["short\n", f"{'a' * 32}\n{'b' * 32}", "é" * 40])
def test_invalid_token_is_an_error(tmp_path, text):
    (tmp_path / "token").write_text(text)
    with raises(DataError, code="invalid-value", path=tmp_path / "token"):
        load_token(tmp_path)


def test_token_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "token").symlink_to(tmp_path / "nowhere" / "token")
    with raises(DataError, path=tmp_path / "token"):
        load_token(tmp_path)


@pytest.mark.parametrize("name", ["found", "corrections"])
def test_file_in_place_of_a_store_folder_is_an_error(own_videos, films, tmp_path, name):
    (tmp_path / name).write_text("")
    with raises(DataError, path=tmp_path / name), run_server(own_videos / "run", films, tmp_path):
        pass


def test_second_server_is_refused_and_state_survives_a_restart(own_videos, films, tmp_path):
    run = own_videos / "run"
    with run_server(run, films, tmp_path) as server:
        with raises(DataError, code="locked"), run_server(run, films, tmp_path):
            pass
        server.run_detection("film 0.mp4")
        assert server.save("film 3.mp4", [{"label": "left", "start": 0, "end": 1}]).status == 200
        server.send("POST", "/api/jobs", {"keys": [server.videos()["film 2.mp4"]["key"]]})
    with run_server(run, films, tmp_path) as server:
        videos = server.videos()
        assert videos["film 0.mp4"]["state"] == "done"
        assert videos["film 3.mp4"]["edited"] and videos["film 3.mp4"]["labels"] == ["left"]
        server.wait_for_state("film 2.mp4", "done")
