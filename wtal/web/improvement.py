"""*Improve model*: trains a new model in the background from everything that was corrected so far.

An improvement is one folder of `models/` in the store: `data/` is the data set it trains on, `run/` the model, and
`model.json` is written when it is complete. A server that is restarted continues an unfinished improvement.
"""

import shutil
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from wtal.core.errors import DataError, WtalError
from wtal.core.io import read_json, read_json_as, to_data_error, write_json
from wtal.web.corrections import CorrectionRecord
from wtal.web.improvement_worker import (
    ExtraVideo,
    ImprovementJob,
    ImprovementProgress,
    ImprovementWorkerProtocol,
)
from wtal.web.models import DATA_DIR, RUN_DIR, LabelCounts, ModelList, ModelRecord, model_title
from wtal.web.processes import POLL_INTERVAL, exit_message
from wtal.web.training_set import CorrectedVideo, TrainingData, TrainingSet
from wtal.web.videos import VideoLibrary

STATE_NAME, HELD_OUT_NAME, FEATURES_DIR = "improvement.json", "held-out.json", "features"

State = Literal["idle", "running", "failed", "cancelled"]


class Improvement(BaseModel):
    """The last improvement, as it is stored.

    Attributes:
        state: Whether it is running, or how it ended; `idle` after it has succeeded.
        error: Why it failed.
        base: The fingerprint of the model that the server was started with.
        id: The model that is trained.
        before_id: The model that was active when it was started.
        job: What the process does.
        labels: The corrections that are used.
        measured_on: The file names of the videos to measure on.
    """

    state: State = "idle"
    error: str = ""
    base: str = ""
    id: str = ""
    before_id: str = ""
    job: ImprovementJob | None = None
    labels: LabelCounts = LabelCounts()
    measured_on: list[str] = []


class Improver:
    """Starts, watches and cancels improvements; all methods can be called from any thread.

    Args:
        store: The folder of the store.
        models: The models; a new one is added and activated when it is complete.
        data: The data set that the model was trained on, or the error that says why it cannot be used.
        library: The videos.
        records: Key to corrections.
        start_worker: Starts the process of a job.
        activate: Lets another model process videos.

    Raises:
        DataError: A file in the store was not written by an `Improver`.
    """

    def __init__(
        self,
        store: Path,
        models: ModelList,
        data: TrainingData | WtalError,
        library: VideoLibrary,
        records: Callable[[], Mapping[str, CorrectionRecord]],
        start_worker: Callable[[ImprovementJob], ImprovementWorkerProtocol],
        activate: Callable[[str], object],
    ) -> None:
        self._store, self._models, self._data, self._library = store, models, data, library
        self._records, self._start_worker, self._activate = records, start_worker, activate
        self._lock = threading.RLock()
        self._state = _read_state(store / STATE_NAME)
        self._progress = ImprovementProgress()
        self._thread: threading.Thread | None = None
        self._is_closed = threading.Event()
        self._is_cancelled = threading.Event()

    def resume(self) -> None:
        """Continue an improvement that was interrupted by the end of the server."""
        with self._lock:
            if self._state.state != "running":
                return
            if self._state.base != self._models.original.fingerprint:
                self._end("failed", "the server was started with another model; start the improvement again")
            elif isinstance(self._data, WtalError):
                self._end("failed", str(self._data))
            else:
                self._run_in_background()

    def close(self) -> None:
        """Stop the process; the next server continues."""
        self._is_closed.set()
        if self._thread:
            self._thread.join()

    def start(self) -> None:
        """Train a model from everything that was corrected so far. Raises DataError if that is not possible."""
        with self._lock:
            if self._state.state == "running":
                return
            training_set = self._training_set()
            if problem := _problem(training_set):
                raise problem
            id = self._models.new_id()
            folder = self._models.folder(id)
            try:
                self._prepare(folder, training_set, id)
            except (OSError, WtalError) as error:
                shutil.rmtree(folder, ignore_errors=True)
                if isinstance(error, OSError):
                    raise to_data_error(error, folder) from error
                raise
            self._run_in_background()

    def cancel(self) -> None:
        """Stop the improvement that is running, and delete what it has written."""
        with self._lock:
            thread = self._thread if self._state.state == "running" else None
            self._is_cancelled.set()
        if thread:
            thread.join()

    def describe(self) -> dict[str, Any]:
        """What the page shows."""
        with self._lock:
            state, progress = self._state, self._progress
        values: dict[str, Any] = {
            "state": state.state,
            "error": state.error,
            "stage": progress.stage,
            "share": round(progress.share, 3),
            "models": self._describe_models(),
        }
        if isinstance(self._data, WtalError):
            return values | {"unavailable": str(self._data), "labels": LabelCounts().model_dump(), "measured_on": []}
        training_set = self._training_set()
        problem = _problem(training_set)
        return values | {
            "unavailable": str(problem) if problem else "",
            "labels": training_set.counts.model_dump(),
            "measured_on": sorted(training_set.measured.values()),
        }

    def _describe_models(self) -> list[dict[str, Any]]:
        active, original = self._models.active.id, self._models.original
        improved = [record.model_dump() | {"title": model_title(record.id)} for record in self._models.records]
        models = [*improved, {"id": original.id, "title": original.title}]
        return [model | {"active": model["id"] == active} for model in models]

    def _training_set(self) -> TrainingSet:
        """What an improvement would be trained on now. Raises DataError if there is no data set."""
        if isinstance(self._data, WtalError):
            raise self._data
        return self._data.build(self._data.corrected(self._records(), self._library), self._held_out())

    def _held_out(self) -> dict[str, bool]:
        """Fingerprint to whether the video is held out, of all videos for which this was decided."""
        path = self._store / HELD_OUT_NAME
        values = read_json(path) if path.is_file() else {}
        if not isinstance(values, dict) or not all(isinstance(held, bool) for held in values.values()):
            raise DataError("not a list of held-out videos", path=path, hint="move the file away", code="invalid-value")
        return values

    def _prepare(self, folder: Path, training_set: TrainingSet, id: str) -> None:
        """Write the data set and the state. Raises DataError or OSError."""
        assert isinstance(self._data, TrainingData)
        data = folder / DATA_DIR
        data.mkdir(parents=True)
        training_set.write(data, self._data.dataset.about)
        base, before = self._models.original, self._models.active
        job = ImprovementJob(
            data=data.absolute(),
            out=(folder / RUN_DIR).absolute(),
            base=base.run.absolute(),
            before=before.run.absolute(),
            method=base.meta.config.method,
            extra={id: self._extra(video) for id, video in training_set.extra.items()},
        )
        write_json(self._store / HELD_OUT_NAME, self._held_out() | training_set.decisions)
        self._set(
            Improvement(
                state="running",
                base=base.fingerprint,
                id=id,
                before_id=before.id,
                job=job,
                labels=training_set.counts,
                measured_on=sorted(training_set.measured.values()),
            )
        )

    def _extra(self, video: CorrectedVideo) -> ExtraVideo:
        name = sha256(video.fingerprint.encode()).hexdigest()[:20]
        features = (self._store / FEATURES_DIR / f"{name}.npy").absolute()
        return ExtraVideo(name=video.file.name, video=self._library.path(video.file), features=features)

    def _run_in_background(self) -> None:
        self._progress = ImprovementProgress(stage="Starting")
        self._is_cancelled.clear()
        self._thread = threading.Thread(target=self._run, name="improvement", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        assert self._state.job is not None
        worker = self._start_worker(self._state.job)
        message: ImprovementProgress | None = None
        try:
            while not (self._is_closed.is_set() or self._is_cancelled.is_set()):
                message = worker.poll(POLL_INTERVAL)
                if message and (message.done or message.error):
                    break
                if message:
                    self._progress = message
        except (EOFError, OSError):
            self._end("failed", exit_message(worker.stop()))
            return
        worker.stop()
        if message and message.done:
            self._finish(message)
        elif message and message.error:
            self._end("failed", message.error)
        elif self._is_cancelled.is_set():
            self._end("cancelled")

    def _finish(self, result: ImprovementProgress) -> None:
        """Add and activate the new model."""
        state = self._state
        record = ModelRecord(
            id=state.id,
            base=state.base,
            created=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            labels=state.labels,
            before_id=state.before_id,
            before=result.before,
            after=result.after,
            measured_on=[name for name in state.measured_on if name not in result.skipped] if result.after else [],
            skipped=result.skipped,
        )
        try:
            self._models.add(record)
            self._activate(record.id)
        except WtalError as error:
            self._end("failed", error.message)
            return
        with self._lock:
            self._set(Improvement())

    def _end(self, state: State, error: str = "") -> None:
        """Store how an improvement ended, and delete what it has written, unless its model is listed."""
        with self._lock:
            id = self._state.id
            if id and all(record.id != id for record in self._models.records):
                shutil.rmtree(self._models.folder(id), ignore_errors=True)
            try:
                self._set(Improvement(state=state, error=error))
            except DataError:  # such as a full disk; kept in memory
                self._state = Improvement(state=state, error=error)

    def _set(self, state: Improvement) -> None:
        write_json(self._store / STATE_NAME, state.model_dump(mode="json"))
        self._state = state


def _problem(training_set: TrainingSet) -> DataError | None:
    """Why nothing can be learned from a data set, None if something can."""
    if training_set.counts.videos:
        return None
    return DataError(
        "there is nothing to learn from yet",
        hint="add points or segments to a video of the training subset, or mark its timeline as complete",
        code="no-labels",
    )


def _read_state(path: Path) -> Improvement:
    if not path.is_file():
        return Improvement()
    return read_json_as(path, Improvement, "the state of an improvement", "delete the file")
