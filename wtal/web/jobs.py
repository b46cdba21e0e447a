"""The queue: videos wait, one is worked on, and all of it is on disk, so that it goes on after a restart."""

import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from wtal.errors import DataError
from wtal.files import read_json, write_json
from wtal.web.worker import Task, Told

WAITING, WORKING, FAILED, CANCELLED = "waiting", "working", "failed", "cancelled"
STATES = (WAITING, WORKING, FAILED, CANCELLED)
TICK = 0.2  # seconds between looks at whether a job was cancelled


@dataclass(frozen=True)
class Job:
    """One video's, until it is done; `second` of `duration` is reached, `reason` is why it failed."""

    key: str
    state: str = WAITING
    reason: str = ""
    second: float = 0.0
    duration: float | None = None


class Hand(Protocol):
    """What does the work: a `Worker`."""

    def give(self, task: Task) -> None: ...
    def hear(self, seconds: float) -> Told | None: ...
    def end(self) -> int | None: ...


class Jobs:
    """All jobs that are not done, in the order in which they were asked for.

    `task` makes of a key what is to be done, or raises DataError; `hire` starts a worker, which is kept until it
    dies or its job is cancelled. Raises DataError where the file of an earlier server cannot be read.
    """

    def __init__(self, path: Path, task: Callable[[str], Task], hire: Callable[[], Hand]) -> None:
        self._path, self._task, self._hire = path, task, hire
        self._jobs = {job.key: job for job in _read(path)}
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def close(self) -> None:
        """Stop; what was being worked on is begun anew by the next server."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def ask(self, *keys: str) -> None:
        """Put videos at the end of the queue, unless they are in it."""
        with self._changed:
            asked = [key for key in keys if key not in self._jobs or self._jobs[key].state in (FAILED, CANCELLED)]
            for key in asked:
                self._jobs.pop(key, None)
            if asked:
                self._keep(*map(Job, asked))

    def cancel(self, key: str) -> None:
        """Take a video out of the queue, or stop the work on it."""
        with self._changed:
            job = self._jobs.get(key)
            if job and job.state in (WAITING, WORKING):
                when = f"{datetime.now():%Y-%m-%d %H:%M}"
                self._keep(Job(key, CANCELLED, f"on this page, {when}"))

    def all(self) -> dict[str, Job]:
        """Key -> job; those that wait in the order of the queue."""
        with self._changed:
            return dict(self._jobs)

    def _run(self) -> None:
        worker: Hand | None = None
        while (key := self._next()) is not None:
            try:
                task = self._task(key)
            except DataError as error:
                self._end(key, str(error))
                continue
            worker = worker or self._hire()
            if not self._watch(worker, key, task):
                worker = None
        if worker:
            worker.end()

    def _next(self) -> str | None:
        """The key of the next video, None when it is time to stop."""
        with self._changed:
            while not self._closed:
                for job in self._jobs.values():
                    if job.state == WAITING:
                        self._go_on_with(replace(job, state=WORKING))
                        return job.key
                self._changed.wait()
            return None

    def _watch(self, worker: Hand, key: str, task: Task) -> bool:
        """Have it done; returns whether the worker can take the next one."""
        try:
            worker.give(task)
            while self._goes_on(key):
                told = worker.hear(TICK)
                if told and (told.done or told.reason):
                    self._end(key, told.reason)
                    return True
                if told:
                    self._reached(key, told)
        except (EOFError, OSError):
            self._end(key, _why(worker.end()))
            return False
        worker.end()
        return False

    def _goes_on(self, key: str) -> bool:
        with self._changed:
            return not self._closed and self._jobs[key].state == WORKING

    def _reached(self, key: str, told: Told) -> None:
        with self._changed:
            job = self._jobs[key]
            if job.state == WORKING:
                self._jobs[key] = replace(job, second=told.second, duration=told.duration)

    def _end(self, key: str, reason: str) -> None:
        with self._changed:
            if self._jobs[key].state != WORKING:  # cancelled at the last moment
                return
            del self._jobs[key]
            self._go_on_with(*([Job(key, FAILED, reason)] if reason else []))

    def _keep(self, *jobs: Job) -> None:
        """Take these in, and write down all; the lock is held. Raises DataError where it cannot be written."""
        self._jobs |= {job.key: job for job in jobs}
        self._changed.notify_all()
        write_json(self._path, [asdict(job) for job in self._jobs.values()])

    def _go_on_with(self, *jobs: Job) -> None:
        """The same, but a full disk does not stop the queue: it is written with the next change."""
        with suppress(DataError):
            self._keep(*jobs)


def _why(code: int | None) -> str:
    if code and code < 0:
        name = signal.Signals(-code).name
        return f"the process that worked on it was killed ({name}), most often for want of memory; try again"
    return f"the process that worked on it ended (exit code {code}); try again, and see what the server prints"


def _read(path: Path) -> list[Job]:
    """The jobs of an earlier server: what was being worked on waits, before all that waited then."""
    if not path.is_file():
        return []
    try:
        jobs = [_job(**entry) for entry in read_json(path)]
    except TypeError as error:
        raise DataError(
            f"{path}: is not what `wtal serve` writes; delete it to start with an empty queue"
        ) from error
    return sorted(jobs, key=lambda job: job.state != WORKING)


def _job(key: Any, state: Any, reason: Any, **progress: Any) -> Job:
    if not (isinstance(key, str) and state in STATES and isinstance(reason, str)):
        raise TypeError("no job")
    return Job(key, WAITING if state == WORKING else state, reason)
