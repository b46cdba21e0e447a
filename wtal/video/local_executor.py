"""Extract many videos on this computer: several processes, each with its backbone, isolated from crashes of others."""

import multiprocessing
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wtal.core.concurrency import init_worker_process, limit_memory
from wtal.core.errors import DataError
from wtal.core.hardware import available_cores, available_ram, choose_device
from wtal.core.interrupts import raise_if_interrupted
from wtal.video.backbones.base import Backbone, BackboneOptions
from wtal.video.backbones.registry import BACKBONES, find_backbone, open_backbone
from wtal.video.extract_video import ProgressCallback, extract_video

WORKER_BYTES = 4 << 30  # of memory for each process with a network; I3D needs 0.5 GB
POLL_INTERVAL = 0.2  # seconds between progress reports

ActiveVideos = tuple[tuple[str, float], ...]  # id and reached second of each video that is being extracted


@dataclass(frozen=True)
class ExtractionTask:
    """One video file and the feature file to write."""

    id: str
    video: Path
    features: Path


@dataclass(frozen=True)
class ExtractionOutcome:
    """The result of a task: `error` is the reason why there are no features, or None."""

    id: str
    error: DataError | None = None


def run_locally(
    tasks: Sequence[ExtractionTask],
    options: BackboneOptions,
    workers: int | None,
    on_progress: Callable[[ActiveVideos], object],
) -> Iterator[ExtractionOutcome]:
    """Run tasks in worker processes.

    A process that dies, because the decoder crashes or memory runs out, fails only the video that it worked on: the
    videos that were in progress at that moment are tried again, one by one.

    Args:
        tasks: The videos.
        options: The backbone.
        workers: Number of processes; None: see `default_workers`.
        on_progress: Called a few times a second with the videos in progress.

    Yields:
        The outcome of each task, in order of completion.

    Raises:
        ConfigError: The backbone cannot be opened.
        DataError: The backbone cannot be opened, or a feature file cannot be written.
    """
    pending = deque(tasks)
    workers = workers or default_workers(options)
    while pending:
        for suspect in (yield from _run(pending, options, workers, on_progress)):
            if (yield from _run(deque([suspect]), options, 1, on_progress)):
                yield ExtractionOutcome(suspect.id, worker_died_error(suspect.video))


def default_workers(options: BackboneOptions) -> int:
    """The number of processes: one per core, as far as the memory allows, but one on a GPU.

    A process with one thread never waits for another thread, so other work on the machine does not slow it down more
    than its share (benchmarks/RESULTS.md, threads of extraction).
    """
    if find_backbone(options.name).single_core:
        return available_cores()
    if choose_device(options.device).type != "cpu":
        return 1
    ram = available_ram()
    return max(1, min(available_cores(), ram.allowed // WORKER_BYTES if ram else 1))


def worker_died_error(video: Path) -> DataError:
    """The error of a video whose worker process died."""
    return DataError(
        "the worker process died, because of this file or too little memory",
        path=video,
        hint="try --workers 1, or remove the video from the data set",
        code="worker-died",
    )


def _run(
    pending: deque[ExtractionTask],
    options: BackboneOptions,
    workers: int,
    on_progress: Callable[[ActiveVideos], object],
) -> Generator[ExtractionOutcome, None, list[ExtractionTask]]:
    """Work until no task is left or a process dies; returns the tasks that were in progress then."""
    context = multiprocessing.get_context("spawn")
    num_slots = min(workers, len(pending))
    threads = max(1, available_cores() // workers)
    seconds, stop = context.RawArray("d", num_slots), context.RawValue("b", 0)  # shared memory; seconds by slot
    running: dict[Future[ExtractionOutcome], tuple[ExtractionTask, int]] = {}
    free_slots = list(range(num_slots))
    arguments = (dict(BACKBONES), options, threads, seconds, stop)
    with ProcessPoolExecutor(num_slots, context, _init_worker, arguments) as pool:
        try:
            while pending or running:
                while pending and free_slots:
                    seconds[free_slots[-1]] = 0.0
                    future = pool.submit(_work, pending[0], free_slots[-1])
                    running[future] = pending.popleft(), free_slots.pop()
                for future in wait(running, POLL_INTERVAL, FIRST_COMPLETED).done:
                    outcome = future.result()
                    free_slots.append(running.pop(future)[1])
                    yield outcome
                raise_if_interrupted()
                on_progress(tuple((task.id, seconds[slot]) for task, slot in running.values()))
        except BrokenProcessPool:
            return [task for task, _ in running.values()]
        finally:
            stop.value = 1
    return []


class _StopError(Exception):
    """The parent process has stopped."""


@dataclass
class _Worker:
    """State of a worker process. The backbone is opened by the first task, so that an error reaches the parent."""

    options: BackboneOptions
    threads: int
    seconds: Any
    stop: Any
    backbone: Backbone | None = None


_worker: _Worker


def _init_worker(
    backbones: Mapping[str, type[Backbone] | str], options: BackboneOptions, threads: int, seconds: Any, stop: Any
) -> None:
    global _worker
    init_worker_process()
    limit_memory(len(seconds))
    BACKBONES.update(backbones)  # includes those that the caller added
    _worker = _Worker(options, threads, seconds, stop)


def _work(task: ExtractionTask, slot: int) -> ExtractionOutcome:
    if _worker.backbone is None:
        _worker.backbone = open_backbone_with_threads(_worker.options, _worker.threads)

    def on_progress(second: float) -> None:
        _worker.seconds[slot] = second
        if _worker.stop.value:
            raise _StopError

    try:
        return run_task(task, _worker.backbone, on_progress)
    except _StopError:
        return ExtractionOutcome(task.id)  # the parent no longer reads it


def open_backbone_with_threads(options: BackboneOptions, threads: int) -> Backbone:
    """Open a backbone that computes with a number of threads."""
    if not find_backbone(options.name).single_core:
        import torch  # imported here because single-core backbones start faster without it

        torch.set_num_threads(threads)
    return open_backbone(options)


def run_task(
    task: ExtractionTask, backbone: Backbone, on_progress: ProgressCallback | None = None
) -> ExtractionOutcome:
    """Extract one video. An error of the video becomes part of the outcome.

    Raises:
        DataError: The feature file cannot be written, which would also fail for the next video.
    """
    try:
        extract_video(task.video, task.features, backbone, on_progress)
    except DataError as error:
        if error.path == str(task.video):
            return ExtractionOutcome(task.id, error)
        raise
    return ExtractionOutcome(task.id)
