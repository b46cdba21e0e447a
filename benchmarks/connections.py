"""Time in which `wtal serve` answers its owner while others hold connections open without sending requests."""

import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from statistics import median

from tests.helpers.own_videos import make_own_videos
from wtal.core.text import format_count

DESCRIPTORS = 256
SILENT, SLOW = 1000, 200  # connections that send nothing, and that send a header of one byte a second
ATTEMPTS = 20
TIMEOUT = 60.0
CODE = (
    f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({DESCRIPTORS}, {DESCRIPTORS})); "
    "from wtal.cli import main; main()"
)


def measure() -> list[str]:
    """The lines of the section."""
    with tempfile.TemporaryDirectory() as folder:
        root = make_own_videos(Path(folder))
        with run_limited_server(root) as port:
            alone = [answer_seconds(port) for _ in range(ATTEMPTS)]
            with hold_connections(port, SILENT, SLOW):
                crowded = [answer_seconds(port, pause=0.5) for _ in range(ATTEMPTS)]
            log = (root / "log").read_text()
    times = f"after {median(crowded):.2f} s, at most {max(crowded):.2f} s ({ATTEMPTS} requests;"
    return [
        f"{SILENT:,} silent and {SLOW} slow connections, opened again when the server closes them; {DESCRIPTORS} "
        f"descriptors for the server. The list of videos arrives {times} without the others {median(alone):.2f} s, at "
        f"most {max(alone):.2f} s). The server logs {format_count(len(log.splitlines()), 'line')}.",
    ]


@contextmanager
def run_limited_server(root: Path) -> Iterator[int]:
    """A server with few descriptors, in another process. Yields its port."""
    arguments = ["serve", root / "run", "--videos", root / "videos", "--store", root / "store", "--port", "0"]
    command = [sys.executable, "-c", CODE, *map(str, arguments)]
    with (
        (root / "log").open("w") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as server,
    ):
        try:
            assert server.stdout is not None
            yield int(server.stdout.readline().rstrip("/\n").rpartition(":")[2])
        finally:
            server.terminate()


@contextmanager
def hold_connections(port: int, silent: int, slow: int) -> Iterator[None]:
    """Hold connections open, and open them again when the server closes them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 2 * (silent + slow):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    stop = threading.Event()
    threads = [threading.Thread(target=_hold, args=(port, silent, b"", stop))]
    threads += [threading.Thread(target=_hold, args=(port, slow, b"GET / HTTP/1.1\r\nX-Slow: ", stop))]
    for thread in threads:
        thread.start()
    time.sleep(3)  # until all are open
    yield
    stop.set()
    for thread in threads:
        thread.join()


def _hold(port: int, count: int, head: bytes, stop: threading.Event) -> None:
    with ExitStack() as stack:
        connections: list[socket.socket] = []
        while not stop.wait(1):
            connections = [connection for connection in connections if _is_open(connection, head)]
            for _ in range(count - len(connections)):
                with suppress(OSError):
                    connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), 1))
                    connection.setblocking(False)
                    connection.sendall(head)
                    connections.append(connection)


def _is_open(connection: socket.socket, head: bytes) -> bool:
    try:
        if head:
            connection.sendall(b"a")
        connection.recv(1 << 16)  # an answer, or the end
    except BlockingIOError:
        return True
    except OSError:
        pass
    connection.close()
    return False


def answer_seconds(port: int, pause: float = 0.0) -> float:
    """Seconds until the list of videos has arrived over a new connection, opened after a pause."""
    time.sleep(pause)
    start = time.perf_counter()
    connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    connection.request("GET", "/api/videos")
    assert connection.getresponse().read()
    connection.close()
    return time.perf_counter() - start
