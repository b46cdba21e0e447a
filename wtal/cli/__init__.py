"""The `wtal` command line. Each command imports what it needs when it runs, so that help is fast."""

import os
import signal
import sys

from wtal.cli import benchmark, data, evaluate, report, start, train, video
from wtal.cli.app import app

__all__ = ["app", "benchmark", "data", "evaluate", "main", "report", "start", "train", "video"]


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a name that the terminal cannot show must not stop a command
    # Threads that wait for each other sleep instead of spinning. Beside other work, spinning takes the cores from the
    # threads that are waited for (benchmarks/RESULTS.md, threads of extraction). Set before PyTorch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a request to stop is handled as an interrupt
    app()
