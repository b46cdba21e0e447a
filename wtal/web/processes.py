"""Processes that compute for the server: it stays responsive, and survives their crashes."""

import multiprocessing
import signal
import sys
from collections.abc import Callable
from typing import Generic, TypeVar, cast

from wtal.core.concurrency import init_worker_process, lower_priority

POLL_INTERVAL = 0.2  # seconds between checks whether a process should go on
EXIT_TIMEOUT = 0.2  # seconds in which a process that is crashing may finish

Message = TypeVar("Message")


class WorkerProcess(Generic[Message]):
    """A process that sends messages, seen from the server.

    Args:
        target: The function that the process runs. It receives a `Connection` to the server, and the arguments.
        arguments: For `target`.
    """

    def __init__(self, target: Callable[..., object], *arguments: object) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, child_pipe = context.Pipe()
        self._process = context.Process(target=target, args=(child_pipe, *arguments), daemon=True)
        self._process.start()
        child_pipe.close()

    def poll(self, timeout: float) -> Message | None:
        """The next message, None if there is none within `timeout` seconds.

        Raises:
            EOFError, OSError: The process is gone.
        """
        return cast(Message, self._pipe.recv()) if self._pipe.poll(timeout) else None

    def stop(self) -> int | None:
        """Kill the process. Returns its exit code if it had ended by itself."""
        self._process.join(EXIT_TIMEOUT)
        code = self._process.exitcode
        self._process.kill()
        self._process.join()
        self._pipe.close()
        return code


def init_background_process() -> None:
    """Set up a process that must not slow down the page: like any worker, with a low priority and one thread."""
    init_worker_process()
    lower_priority()
    if "torch" in sys.modules:  # a process that only decodes videos does not load it
        sys.modules["torch"].set_num_threads(1)


def exit_message(code: int | None) -> str:
    """Why a worker process ended, by its exit code."""
    if code and code < 0:
        name = signal.Signals(-code).name
        return f"the worker process was killed ({name}), usually because memory ran out; try again"
    return f"the worker process ended with exit code {code}; see the output of the server, then try again"
