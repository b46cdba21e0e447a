"""The steps of a project in the background: start, progress, stop.

A process of its own does them, with a low priority. When the server ends, the process ends too; the next server starts
it again, and it continues.
"""

import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Protocol

from pydantic import BaseModel, ValidationError

from wtal.core.errors import DataError, WtalError
from wtal.core.io import read_json, write_json
from wtal.experiments import project_worker
from wtal.experiments.project import Project
from wtal.experiments.project_steps import STEPS, find_steps
from wtal.web.processes import exit_message

STATE_NAME = "training.json"
POLL_INTERVAL = 0.5  # seconds between looks at the process
STOP_TIMEOUT = 10.0  # seconds in which the process may stop by itself


class ProcessProtocol(Protocol):
    """What `Training` needs of a `subprocess.Popen`."""

    stdin: IO[bytes] | None

    def poll(self) -> int | None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...
    def wait(self, timeout: float | None = None) -> int: ...


class _State(BaseModel):
    """What is stored.

    Attributes:
        is_requested: Whether the steps were started and have neither ended nor been stopped by a person.
    """

    is_requested: bool = False


def start_process(project: Project) -> ProcessProtocol:
    """Start the steps of a project in a process that ends with this one."""
    folders = str(project.videos_folder), str(project.folder)
    return subprocess.Popen(
        # -P: modules in the working directory, which may be that of the videos, are not imported.
        [sys.executable, "-P", "-m", project_worker.__name__, *folders, project_worker.STOP_WITH_INPUT],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C in the terminal reaches the server alone, which stops the process
    )


class Training:
    """Starts, watches and stops the steps of a project; all methods can be called from any thread.

    Args:
        project: The project.
        store: The folder of the state.
        signature: Changes when the tags or videos change.
        on_end: Called after the steps have ended, from a thread, whoever started them.
        start: Starts the process.
    """

    def __init__(
        self,
        project: Project,
        store: Path,
        signature: Callable[[], str],
        on_end: Callable[[], object],
        start: Callable[[Project], ProcessProtocol] = start_process,
    ) -> None:
        self._project, self._path, self._signature = project, store / STATE_NAME, signature
        self._on_end, self._start_process = on_end, start
        self._lock = threading.RLock()
        self._state = _read_state(self._path)
        self._process: ProcessProtocol | None = None
        self._finished: str | None = None  # signature of the tags and videos for which nothing is left to do
        self._previous_update: str | None = None  # when the status was written before the process was started
        self._error = ""  # why the process ended without writing it down
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="training", daemon=True)

    def open(self) -> None:
        """Continue what the last server did not finish, and watch the steps."""
        with self._lock:
            if self._state.is_requested and not self._is_running():
                with suppress(WtalError, OSError):
                    self._launch()
        self._thread.start()

    def close(self) -> None:
        """Stop the process; the next server continues."""
        self._is_closed.set()
        self._thread.join()
        with self._lock:
            self._end_process()

    def start(self) -> None:
        """Do the steps that are needed. Raises DataError if nothing can be trained, or the state cannot be written."""
        with self._lock:
            if self._is_running():
                return
            if not self._project.tag_summary().can_train:
                raise DataError(
                    "no video has a class yet", hint="tag some videos with the classes to learn", code="no-labels"
                )
            self._set(_State(is_requested=True))
            self._launch()

    def stop(self) -> None:
        """Stop the steps. What is done is kept. Raises DataError if another process does them."""
        with self._lock:
            self._set(_State())
            if self._process:
                self._end_process()
            elif self._is_running():
                raise DataError(
                    "another process works on this project", hint="stop it where it was started", code="locked"
                )

    def describe(self) -> dict[str, Any]:
        """What the page shows."""
        with self._lock:
            process, error = self._process, self._error
            is_current = self._finished in (None, self._signature())
        try:
            status = self._project.status().model_dump()
        except DataError as problem:
            status = {"state": "failed", "step": "", "done": 0, "total": 0, "message": "", "error": str(problem)}
        if process and status["state"] != "running":
            is_old = status.get("updated") == self._previous_update
            step, message = (STEPS[0], "starting") if is_old else (STEPS[-1], "finishing")
            status |= {"state": "running", "step": step, "done": 0, "total": 0, "message": message, "error": ""}
        elif error and status["state"] != "running":
            status |= {"state": "failed", "error": error}
        return status | {"steps": list(STEPS), "can_stop": process is not None, "is_current": is_current}

    def _is_running(self) -> bool:
        if self._process:
            return True
        with suppress(DataError):
            return self._project.status().state == "running"
        return False

    def _launch(self) -> None:
        self._error = ""
        with suppress(DataError):
            self._previous_update = self._project.status().updated
        self._process = self._start_process(self._project)

    def _end_process(self) -> None:
        process, self._process = self._process, None
        if process:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            self._close_input(process)

    @staticmethod
    def _close_input(process: ProcessProtocol) -> None:
        if process.stdin:
            process.stdin.close()

    def _watch(self) -> None:
        was_running = False
        self._inspect()
        while not self._is_closed.wait(POLL_INTERVAL):
            with self._lock:
                if self._process and (code := self._process.poll()) is not None:
                    self._close_input(self._process)
                    self._process, was_running = None, True
                    self._error = "" if code in (0, 2, 130) else exit_message(code)
                    with suppress(DataError):  # such as a full disk; then the next server starts it again
                        self._set(_State())
                is_running = self._is_running()
            if was_running and not is_running:
                self._on_end()
                self._inspect()
            was_running = is_running

    def _inspect(self) -> None:
        """Find out whether everything is up to date."""
        signature = self._signature()
        with suppress(WtalError):
            self._finished = signature if all(step.state == "done" for step in find_steps(self._project)) else ""

    def _set(self, state: _State) -> None:
        write_json(self._path, state.model_dump())
        self._state = state


def _read_state(path: Path) -> _State:
    with suppress(WtalError, ValidationError):  # none, or damaged: nothing is continued
        return _State.model_validate(read_json(path))
    return _State()
