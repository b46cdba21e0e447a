"""The local engine: several processes, each with its backbone; none of them can take the others down."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from typing import Any

from wtal.core.errors import DataError
from wtal.core.hardware import available_cores
from wtal.data.provenance import origin_path
from wtal.video.backbones.base import Backbone
from wtal.video.backbones.registry import BackboneOptions, is_single_threaded, open_backbone
from wtal.video.extract_video import extract_video

WORKER_DIED_MESSAGE = (
    "{}: the process that worked on it died, of the file or of too little memory; try --workers 1, or leave it out"
)
POLL_INTERVAL = 0.2  # seconds between two looks at how far the workers are


@dataclass(frozen=True)
class ExtractionTask:
    """One video file and where its features go."""

    id: str
    video: Path
    features: Path


@dataclass(frozen=True)
class ExtractionOutcome:
    """What became of a job: `reason` is why there are no features, "" where there are."""

    id: str
    reason: str = ""


Heard = Callable[[tuple[tuple[str, float], ...]], object]


def run_locally(
    jobs: Iterable[ExtractionTask], choice: BackboneOptions, workers: int | None, heard: Heard
) -> Iterator[ExtractionOutcome]:
    """Run the jobs in processes of their own, `workers` at a time; outcomes come as they are ready.

    None is a worker a core for tiny, which uses one, and else a single one, which uses them all. A process that
    dies (a decoder that crashes, memory that runs out) fails only the video that it dies of: those that were under
    way are tried again, one by one. `heard` is told which videos are being worked on, and the second reached in
    each. Raises ConfigError or DataError when the backbone cannot be opened, or a feature file not written.
    """
    waiting = deque(jobs)
    workers = workers or (available_cores() if is_single_threaded(choice) else 1)
    while waiting:
        for suspect in (yield from _run(waiting, choice, workers, heard)):
            if (yield from _run(deque([suspect]), choice, 1, heard)):
                yield ExtractionOutcome(suspect.id, WORKER_DIED_MESSAGE.format(suspect.video))


def _run(
    waiting: deque[ExtractionTask], choice: BackboneOptions, workers: int, heard: Heard
) -> Generator[ExtractionOutcome, None, list[ExtractionTask]]:
    """Work until nothing waits or a process dies; returns the jobs that were under way then."""
    context = multiprocessing.get_context("spawn")
    crew = min(workers, len(waiting))
    threads = max(1, available_cores() // workers)
    seconds, stop = context.RawArray("d", crew), context.RawValue("b", 0)
    running: dict[Future[ExtractionOutcome], tuple[ExtractionTask, int]] = {}
    free = list(range(crew))
    with ProcessPoolExecutor(crew, context, _start, (choice, threads, seconds, stop)) as pool:
        try:
            while waiting or running:
                while waiting and free:
                    seconds[free[-1]] = 0.0
                    future = pool.submit(_work, waiting[0], free[-1])
                    running[future] = waiting.popleft(), free.pop()
                for future in wait(running, POLL_INTERVAL, FIRST_COMPLETED).done:
                    outcome = future.result()
                    free.append(running.pop(future)[1])
                    yield outcome
                heard(tuple((job.id, seconds[place]) for job, place in running.values()))
        except BrokenProcessPool:
            return [job for job, _ in running.values()]
        finally:
            stop.value = 1
    return []


class _StopError(Exception):
    """The parent wants no more."""


@dataclass
class _Worker:
    """What a worker process holds; the backbone is opened at its first job, where an error can be told."""

    choice: BackboneOptions
    threads: int
    seconds: Any
    stop: Any
    backbone: Backbone | None = None


_worker: _Worker


def _start(choice: BackboneOptions, threads: int, seconds: Any, stop: Any) -> None:
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it, and says when to stop
    threading.Thread(target=_die_with_parent, daemon=True).start()
    _worker = _Worker(choice, threads, seconds, stop)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)


def _work(job: ExtractionTask, place: int) -> ExtractionOutcome:
    if _worker.backbone is None:
        _worker.backbone = open_backbone(_worker.choice, _worker.threads)

    def heard(second: float) -> None:
        _worker.seconds[place] = second
        if _worker.stop.value:
            raise _StopError

    try:
        return attempt(job, _worker.backbone, heard)
    except _StopError:
        return ExtractionOutcome(job.id, "stopped")


def attempt(job: ExtractionTask, backbone: Backbone, heard: Callable[[float], None] | None = None) -> ExtractionOutcome:
    """Extract one video; what is wrong with the video is the outcome's reason.

    Raises DataError when its features cannot be written: that would be so for the next one too.
    """
    try:
        extract_video(job.video, job.features, backbone, heard)
    except DataError as error:
        if str(error).startswith((f"{job.features}: ", f"{origin_path(job.features)}: ")):
            raise
        return ExtractionOutcome(job.id, str(error))
    return ExtractionOutcome(job.id)
