"""The queue of videos to process: kept on disk, so that it continues after a restart."""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, TypeAdapter, ValidationError

from wtal.core.errors import DataError, first_validation_error
from wtal.core.io import read_json, write_json
from wtal.web.processes import POLL_INTERVAL, exit_message
from wtal.web.worker import Task, WorkerProgress, WorkerProtocol

State = Literal["queued", "running", "failed", "cancelled"]


@dataclass(frozen=True)
class QueueItem:
    """A video that is not processed yet: its state, why it failed, and the position reached, in seconds."""

    key: str
    state: State = "queued"
    reason: str = ""
    position: float = 0.0
    duration: float | None = None


class JobQueue:
    """Videos to process, in the order of the requests; finished ones are removed, failed ones are kept.

    Args:
        path: The file of the queue; read if it exists.
        create_task: Makes the task of a video from its key; raises DataError if the video is gone.
        start_worker: Starts a worker, which is used until it dies or its job is cancelled.

    Raises:
        DataError: The file exists and is not a queue.
    """

    def __init__(
        self, path: Path, create_task: Callable[[str], Task], start_worker: Callable[[], WorkerProtocol]
    ) -> None:
        self._path, self._create_task, self._start_worker = path, create_task, start_worker
        self._items = {item.key: item for item in _read_queue(path)}
        self._changed = threading.Condition()
        self._is_closed = False
        self._worker_number = 0  # grows when a new worker is needed
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)

    def start(self) -> None:
        """Start processing."""
        self._thread.start()

    def close(self) -> None:
        """Stop; the next server starts again with the video that was being processed."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join()

    def add(self, *keys: str) -> None:
        """Append videos to the queue, unless they are in it. Raises DataError if the queue cannot be written."""
        with self._changed:
            new = [key for key in keys if key not in self._items or self._items[key].state in ("failed", "cancelled")]
            for key in new:
                self._items.pop(key, None)
            if new:
                self._update(*map(QueueItem, new))

    def cancel(self, key: str) -> None:
        """Remove a video from the queue, or stop processing it. Raises DataError if the queue cannot be written."""
        with self._changed:
            item = self._items.get(key)
            if item and item.state in ("queued", "running"):
                self._update(QueueItem(key, "cancelled", f"{datetime.now():%Y-%m-%d %H:%M}"))

    def restart_worker(self) -> None:
        """Let a new worker process the queue, also the video that is being processed."""
        with self._changed:
            self._worker_number += 1
            running = [item for item in self._items.values() if item.state == "running"]
            self._try_update(*(QueueItem(item.key) for item in running))

    def items(self) -> dict[str, QueueItem]:
        """Key to item, in the order of the queue."""
        with self._changed:
            return dict(self._items)

    def _run(self) -> None:
        worker: WorkerProtocol | None = None
        number = 0  # of the worker
        while (key := self._next()) is not None:
            try:
                task = self._create_task(key)
            except DataError as error:
                self._finish(key, str(error))
                continue
            if worker and number != self._worker_number:
                worker.stop()
                worker = None
            if worker is None:
                number, worker = self._worker_number, self._start_worker()
            if not self._process(worker, key, task):
                worker = None
        if worker:
            worker.stop()

    def _next(self) -> str | None:
        """Wait for the next video and return its key; None after `close`."""
        with self._changed:
            while not self._is_closed:
                for item in self._items.values():
                    if item.state == "queued":
                        self._try_update(replace(item, state="running"))
                        return item.key
                self._changed.wait()
            return None

    def _process(self, worker: WorkerProtocol, key: str, task: Task) -> bool:
        """Process a video; returns whether the worker can be used again."""
        try:
            worker.start(task)
            while self._is_running(key):
                progress = worker.poll(POLL_INTERVAL)
                if progress and (progress.done or progress.error):
                    self._finish(key, progress.error)
                    return True
                if progress:
                    self._set_progress(key, progress)
        except (EOFError, OSError):
            self._finish(key, exit_message(worker.stop()))
            return False
        worker.stop()
        return False

    def _is_running(self, key: str) -> bool:
        with self._changed:
            return not self._is_closed and self._items[key].state == "running"

    def _set_progress(self, key: str, progress: WorkerProgress) -> None:
        with self._changed:
            item = self._items[key]
            if item.state == "running":
                self._items[key] = replace(item, position=progress.position, duration=progress.duration)

    def _finish(self, key: str, error: str) -> None:
        with self._changed:
            if self._items[key].state != "running":  # cancelled in the meantime
                return
            del self._items[key]
            self._try_update(*([QueueItem(key, "failed", error)] if error else []))

    def _update(self, *items: QueueItem) -> None:
        """Store items and write the queue; the lock is held. Raises DataError."""
        self._items |= {item.key: item for item in items}
        self._changed.notify_all()
        write_json(self._path, [asdict(item) for item in self._items.values()])

    def _try_update(self, *items: QueueItem) -> None:
        """The same, but an error does not stop the queue: it is written with the next change."""
        with suppress(DataError):
            self._update(*items)


def _resume_state(value: object) -> object:
    """The state after a restart: a video that was being processed is queued again. 0.1.0 used other words."""
    return "queued" if value in ("running", "waiting", "working") else value


class _StoredItem(BaseModel):
    key: str
    state: Annotated[State, BeforeValidator(_resume_state)]
    reason: str


def _read_queue(path: Path) -> list[QueueItem]:
    """The queue of the previous server; the video that was being processed comes first."""
    if not path.is_file():
        return []
    values = read_json(path)
    try:
        items = TypeAdapter(list[_StoredItem]).validate_python(values)
    except ValidationError as error:
        raise DataError(
            f"not a queue of `wtal serve` ({first_validation_error(error)})",
            path=path,
            hint="delete the file to start with an empty queue",
            code="invalid-value",
        ) from error
    order = sorted(range(len(items)), key=lambda i: values[i]["state"] not in ("running", "working"))
    return [QueueItem(items[i].key, items[i].state, items[i].reason) for i in order]
