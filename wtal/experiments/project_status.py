"""What the steps of a project are doing, for other processes: the file of the progress, and the lock."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from wtal.core.errors import DataError
from wtal.core.interrupts import raise_if_interrupted
from wtal.core.io import directory_lock, read_json_as, write_json

STATUS_NAME = "status.json"
STATUS_INTERVAL = 0.5  # seconds between two writes of status.json
LOCK_TIMEOUT = 0.3  # seconds; a reader of the status holds the lock for a moment

OnProgress = Callable[["ProjectProgress"], object]


@dataclass(frozen=True)
class ProjectProgress:
    """What `run_steps` is doing: the name of the step, how much of how much is done, and a message."""

    step: str
    done: int
    total: int
    message: str


class ProjectStatus(BaseModel):
    """The content of status.json.

    Attributes:
        state: `idle` before the first run, `running`, `done`, `failed`, or `stopped` by a person or with its process.
        step: The name of the current or last step.
        done: How much of the step is done.
        total: Of how much; 0 if that is not known.
        message: What is being done.
        error: Why it failed.
        updated: When the file was written, in UTC.
    """

    state: Literal["idle", "running", "done", "failed", "stopped"] = "idle"
    step: str = ""
    done: int = 0
    total: int = 0
    message: str = ""
    error: str = ""
    updated: str = ""


def read_status(folder: Path) -> ProjectStatus:
    """The status of a project. It is `stopped` if the process has ended without an end state. Raises DataError."""
    path = folder / STATUS_NAME
    if not path.is_file():
        return ProjectStatus()
    status = _read(path)
    if status.state == "running" and not _is_locked(folder):
        status = _read(path)  # it may have ended meanwhile
        return status.model_copy(update={"state": "stopped"}) if status.state == "running" else status
    return status


def _read(path: Path) -> ProjectStatus:
    return read_json_as(path, ProjectStatus, "the status of a project", "delete the file")


class StatusWriter:
    """Passes progress on, and writes it to status.json."""

    def __init__(self, folder: Path, on_progress: OnProgress) -> None:
        self._path, self._on_progress = folder / STATUS_NAME, on_progress
        self._status, self._written = ProjectStatus(state="running"), float("-inf")

    def report(self, step: str, done: int, total: int, message: str) -> None:
        """Report the state of a step. Raises KeyboardInterrupt if an earlier one was lost."""
        raise_if_interrupted()
        is_new = step != self._status.step
        self._status = ProjectStatus(state="running", step=step, done=done, total=total, message=message)
        now = time.monotonic()
        if is_new or now - self._written >= STATUS_INTERVAL:
            self._write()
            self._written = now
        self._on_progress(ProjectProgress(step, done, total, message))

    def finish(self, state: Literal["done", "failed", "stopped"], error: str = "") -> None:
        """Report the end."""
        self._status = self._status.model_copy(update={"state": state, "error": error})
        with suppress(DataError):  # such as a full disk, which is the error that is raised
            self._write()

    def _write(self) -> None:
        updated = datetime.now(UTC).isoformat(timespec="seconds")
        write_json(self._path, self._status.model_copy(update={"updated": updated}).model_dump())


def run_lock(folder: Path) -> AbstractContextManager[None]:
    """Keep other processes from running the steps. Raises DataError (code `locked`)."""
    return directory_lock(folder, "wait for it, or stop it", LOCK_TIMEOUT)


def _is_locked(folder: Path) -> bool:
    """Whether a process runs the steps."""
    try:
        with directory_lock(folder):
            return False
    except DataError as error:  # also a folder that cannot be written
        return error.code == "locked"
