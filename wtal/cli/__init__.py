"""The `wtal` command: what it is asked, and what it says. Each command opens its rooms when it is called."""

import signal
import sys

from wtal.cli import benchmark, data, deploy, report, train, video
from wtal.cli.app import app

__all__ = ["app", "benchmark", "data", "deploy", "main", "report", "train", "video"]


def main() -> None:
    """Run the command line, where a name that the terminal cannot show is no reason to stop."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # to be stopped politely is to be interrupted
    app()
