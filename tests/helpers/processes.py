"""Child processes for tests that send signals."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TIMEOUT = 120.0  # seconds; only reached when something is broken

# SIGINT is restored because the parent of the tests may ignore it, which child processes inherit.
MAIN = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from wtal.cli import main; main()"


def start_wtal(*arguments: object, setup: str = "") -> "subprocess.Popen[str]":
    """Start the command line, after some Python code, in a process that reacts to SIGINT; its output is a pipe."""
    return subprocess.Popen(
        [sys.executable, "-c", f"{setup}\n{MAIN}", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
    )


def interrupt(process: "subprocess.Popen[str]", stop_signal: signal.Signals = signal.SIGINT) -> str:
    """Send a signal and wait for the end of the process. Returns its output."""
    process.send_signal(stop_signal)
    output, _ = process.communicate(timeout=TIMEOUT)
    return output


def wait_until(condition: Callable[[], Any]) -> None:
    """Wait until the condition is true."""
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true"
        time.sleep(0.01)
