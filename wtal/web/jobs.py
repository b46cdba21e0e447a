"""The queue: videos wait, one is worked on, and all of it is on disk, so that it goes on after a restart.

FROM: The process that finds what happens in videos, one after the other: the page stays quick and survives it.
"""

import multiprocessing
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from wtal.core.errors import DataError, WtalError, short_message
from wtal.core.io import read_json, write_json
from wtal.inference.localizer import snippet_scores
from wtal.inference.proposals import generate_proposals
from wtal.inference.video import open_backbone_of
from wtal.models import checkpoint
from wtal.video.backbones.base import Backbone
from wtal.video.backbones.registry import BackboneOptions
from wtal.video.extract_video import extract_features
from wtal.video.reader import read_duration_and_rate
from wtal.web.predictions import StoredPrediction, write_prediction


@dataclass(frozen=True)
class Task:
    """A video to look into: where it lies, where the findings go, and how it is called and known again."""

    path: Path
    out: Path
    name: str
    fingerprint: str


@dataclass(frozen=True)
class WorkerProgress:
    """What the worker says of its task: the second reached of so many, at last that it is `done`, or why not."""

    second: float = 0.0
    duration: float | None = None
    done: bool = False
    reason: str = ""


class Worker:
    """The process as the server holds it. Raises EOFError or OSError where the process is gone."""

    def __init__(self, run: Path, choice: BackboneOptions) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, run, choice), daemon=True)
        self._process.start()
        theirs.close()

    def give(self, task: Task) -> None:
        """Start on a video; the worker must be free."""
        self._pipe.send(task)

    def hear(self, seconds: float) -> WorkerProgress | None:
        """The next that it says, None where it says nothing for so long."""
        return self._pipe.recv() if self._pipe.poll(seconds) else None

    def end(self) -> int | None:
        """Stop it at once; returns the exit code that it had ended with by itself."""
        self._process.join(0.2)
        code = self._process.exitcode
        self._process.kill()
        self._process.join()
        self._pipe.close()
        return code


def _work(pipe: Connection, run: Path, choice: BackboneOptions) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server says when to stop
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with suppress(EOFError, OSError):  # the server is gone
        try:
            network, meta = checkpoint.load_local(run)
            find = partial(_find, network, meta, open_backbone_of(run, meta, choice))
        except WtalError as error:  # the model went away meanwhile
            while True:
                pipe.recv()
                pipe.send(WorkerProgress(reason=str(error)))
        while True:
            task: Task = pipe.recv()
            pipe.send(_outcome(find, task, pipe.send))


def _outcome(
    find: Callable[[Task, Callable[[WorkerProgress], None]], None],
    task: Task,
    say: Callable[[WorkerProgress], None],
) -> WorkerProgress:
    """Do it, and tell how it ended: whatever goes wrong with a video is laid to it, and the next one goes on."""
    try:
        find(task, say)
        return WorkerProgress(done=True)
    except Exception as error:  # of decoders and disks, which raise what they like
        why = str(error) if isinstance(error, WtalError) else short_message(error)
        # Where the folders lie on this machine is nobody's business who looks at the page.
        for path in (task.path, task.out):
            why = why.replace(str(path), path.name)
        return WorkerProgress(reason=why)


def _find(
    network: nn.Module,
    meta: checkpoint.ModelMetadata,
    backbone: Backbone,
    task: Task,
    say: Callable[[WorkerProgress], None],
) -> None:
    """Write what is found in a video. Raises DataError where it cannot be read."""
    duration, fps = read_duration_and_rate(task.path)
    say(WorkerProgress(0.0, duration))
    features, origin = extract_features(task.path, backbone, lambda second: say(WorkerProgress(second, duration)))
    scores = snippet_scores(network, features, meta.config)
    proposals = tuple(generate_proposals(scores, meta.classes, origin.clock, meta.config.localize))
    curves = origin.edges, scores.attention, scores.cas[:, : len(meta.classes)]
    write_prediction(task.out, StoredPrediction(task.name, task.fingerprint, fps, meta.classes, proposals, *curves))


WAITING, WORKING, FAILED, CANCELLED = "waiting", "working", "failed", "cancelled"
STATES = (WAITING, WORKING, FAILED, CANCELLED)
TICK = 0.2  # seconds between looks at whether a job was cancelled


@dataclass(frozen=True)
class QueueItem:
    """One video's, until it is done; `second` of `duration` is reached, `reason` is why it failed."""

    key: str
    state: str = WAITING
    reason: str = ""
    second: float = 0.0
    duration: float | None = None


class WorkerProtocol(Protocol):
    """What does the work: a `Worker`."""

    def give(self, task: Task) -> None: ...
    def hear(self, seconds: float) -> WorkerProgress | None: ...
    def end(self) -> int | None: ...


class Jobs:
    """All jobs that are not done, in the order in which they were asked for.

    `task` makes of a key what is to be done, or raises DataError; `hire` starts a worker, which is kept until it
    dies or its job is cancelled. Raises DataError where the file of an earlier server cannot be read.
    """

    def __init__(self, path: Path, task: Callable[[str], Task], hire: Callable[[], WorkerProtocol]) -> None:
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
                self._keep(*map(QueueItem, asked))

    def cancel(self, key: str) -> None:
        """Take a video out of the queue, or stop the work on it."""
        with self._changed:
            job = self._jobs.get(key)
            if job and job.state in (WAITING, WORKING):
                when = f"{datetime.now():%Y-%m-%d %H:%M}"
                self._keep(QueueItem(key, CANCELLED, f"on this page, {when}"))

    def all(self) -> dict[str, QueueItem]:
        """Key -> job; those that wait in the order of the queue."""
        with self._changed:
            return dict(self._jobs)

    def _run(self) -> None:
        worker: WorkerProtocol | None = None
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

    def _watch(self, worker: WorkerProtocol, key: str, task: Task) -> bool:
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

    def _reached(self, key: str, told: WorkerProgress) -> None:
        with self._changed:
            job = self._jobs[key]
            if job.state == WORKING:
                self._jobs[key] = replace(job, second=told.second, duration=told.duration)

    def _end(self, key: str, reason: str) -> None:
        with self._changed:
            if self._jobs[key].state != WORKING:  # cancelled at the last moment
                return
            del self._jobs[key]
            self._go_on_with(*([QueueItem(key, FAILED, reason)] if reason else []))

    def _keep(self, *jobs: QueueItem) -> None:
        """Take these in, and write down all; the lock is held. Raises DataError where it cannot be written."""
        self._jobs |= {job.key: job for job in jobs}
        self._changed.notify_all()
        write_json(self._path, [asdict(job) for job in self._jobs.values()])

    def _go_on_with(self, *jobs: QueueItem) -> None:
        """The same, but a full disk does not stop the queue: it is written with the next change."""
        with suppress(DataError):
            self._keep(*jobs)


def _why(code: int | None) -> str:
    if code and code < 0:
        name = signal.Signals(-code).name
        return f"the process that worked on it was killed ({name}), most often for want of memory; try again"
    return f"the process that worked on it ended (exit code {code}); try again, and see what the server prints"


def _read(path: Path) -> list[QueueItem]:
    """The jobs of an earlier server: what was being worked on waits, before all that waited then."""
    if not path.is_file():
        return []
    try:
        jobs = [_job(**entry) for entry in read_json(path)]
    except TypeError as error:
        raise DataError(f"{path}: is not what `wtal serve` writes; delete it to start with an empty queue") from error
    return sorted(jobs, key=lambda job: job.state != WORKING)


def _job(key: Any, state: Any, reason: Any, **progress: Any) -> QueueItem:
    if not (isinstance(key, str) and state in STATES and isinstance(reason, str)):
        raise TypeError("no job")
    return QueueItem(key, WAITING if state == WORKING else state, reason)
