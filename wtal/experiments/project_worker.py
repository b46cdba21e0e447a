"""The background process of a project: `python -m wtal.experiments.project_worker VIDEOS PROJECT`.

It does what `run_steps` does, with a low priority, so that the page stays responsive. Its progress and its end are in
status.json; it prints nothing. SIGINT or SIGTERM stop it, and it continues when it is started again. With a third
argument, `stop-with-input`, the end of its standard input also stops it, so it ends with its parent.
"""

import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path

from wtal.core.concurrency import lower_priority
from wtal.core.errors import WtalError
from wtal.core.interrupts import record_interrupts
from wtal.experiments.project import Project
from wtal.experiments.project_run import run_steps

STOP_WITH_INPUT = "stop-with-input"


def main(videos: Path, folder: Path, *options: str) -> int:
    """Run the steps of a project. Returns the exit code: 0, 2 after an error, 130 if it was stopped."""
    if STOP_WITH_INPUT in options:
        threading.Thread(target=_stop_with_input, daemon=True).start()
    lower_priority()
    try:
        with record_interrupts(signal.SIGINT, signal.SIGTERM):
            run_steps(Project.open(videos, folder))
    except KeyboardInterrupt:
        return 130
    except (WtalError, OSError):  # in status.json
        return 2
    return 0


def _stop_with_input() -> None:
    with suppress(OSError):
        while os.read(0, 1024):  # not `sys.stdin`, whose lock would be held when the process exits
            pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:]))
