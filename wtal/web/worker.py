"""The process that predicts videos."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol

from wtal.core.concurrency import init_worker_process, limit_memory
from wtal.core.errors import DataError, WtalError, short_message
from wtal.data.features import open_features
from wtal.data.provenance import read_origin
from wtal.inference.localizer import Localization, Localizer
from wtal.video.backbones.registry import BackboneOptions
from wtal.video.reader import read_duration_and_rate
from wtal.web.predictions import StoredPrediction, write_prediction
from wtal.web.processes import WorkerProcess


@dataclass(frozen=True)
class Task:
    """A video to process.

    Attributes:
        path: The video file.
        out: Where to write the prediction.
        name: The name of the video.
        fingerprint: Identifies its content.
        features: Features of a video with this content, None if there are none.
    """

    path: Path
    out: Path
    name: str
    fingerprint: str
    features: Path | None = None


@dataclass(frozen=True)
class WorkerProgress:
    """How far the worker is, in seconds of the video; `done` or `error` is set at the end."""

    position: float = 0.0
    duration: float | None = None
    done: bool = False
    error: str = ""


class WorkerProtocol(Protocol):
    """What the queue needs of a `Worker`. All methods raise EOFError or OSError if the process is gone."""

    def start(self, task: Task) -> None: ...
    def poll(self, timeout: float) -> WorkerProgress | None: ...
    def stop(self) -> int | None: ...


class Worker(WorkerProcess[WorkerProgress]):
    """A worker process, seen from the server. `method` is that of the model, whose import the server allows."""

    def __init__(self, run: Path, options: BackboneOptions, method: str) -> None:
        super().__init__(_run_worker, run, options, method)

    def start(self, task: Task) -> None:
        """Start a task; the worker must be idle."""
        self._pipe.send(task)


def _run_worker(pipe: Connection, run: Path, options: BackboneOptions, method: str) -> None:
    init_worker_process()
    limit_memory(workers=2)  # half of the machine is left for the server and for training
    with suppress(EOFError, OSError):  # the server is gone
        try:
            localizer = Localizer(run, backbone=options, method=method)
            _ = localizer.backbone  # opened now, so that its errors are not taken for errors of a video
            predict = partial(_predict, localizer)
        except WtalError as error:  # the model was removed after the server started
            while True:
                pipe.recv()
                pipe.send(WorkerProgress(error=str(error).replace(str(run), run.name)))
        while True:
            task: Task = pipe.recv()
            pipe.send(_run_task(predict, task, pipe.send))


def _run_task(
    predict: Callable[[Task, Callable[[WorkerProgress], None]], None],
    task: Task,
    on_progress: Callable[[WorkerProgress], None],
) -> WorkerProgress:
    """Process a video; whatever fails is reported as the error of this video."""
    try:
        predict(task, on_progress)
        return WorkerProgress(done=True)
    except Exception as error:  # decoders and file systems raise many types
        message = str(error) if isinstance(error, WtalError) else short_message(error)
        message = message.removeprefix(f"{task.path}: ")  # the page shows it beside the name of the video
        for path in (task.path, task.out):  # clients must not learn where the folders are
            message = message.replace(str(path), path.name)
        return WorkerProgress(error=message)


def _predict(localizer: Localizer, task: Task, on_progress: Callable[[WorkerProgress], None]) -> None:
    """Write the prediction for a video. Raises DataError if the video cannot be decoded."""
    duration, fps = read_duration_and_rate(task.path)
    on_progress(WorkerProgress(0.0, duration))
    result = _from_features(localizer, task) or localizer.localize(
        task.path, on_progress=lambda position: on_progress(WorkerProgress(position, duration))
    )
    curves = result.times, result.scores.attention, result.scores.evidence
    prediction = StoredPrediction(task.name, task.fingerprint, fps, localizer.classes, tuple(result.segments), *curves)
    write_prediction(task.out, prediction)


def _from_features(localizer: Localizer, task: Task) -> Localization | None:
    """The result from stored features; None if there are none of this content and of the model's backbone."""
    with suppress(DataError):  # such as a file that was deleted meanwhile
        origin = read_origin(task.features) if task.features else None
        if origin and (origin.provenance, origin.fingerprint) == (localizer.meta.provenance, task.fingerprint):
            assert task.features is not None
            features = open_features(task.features, sum(localizer.meta.modalities))
            return localizer.localize(features, origin.clock)
    return None
