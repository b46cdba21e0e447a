"""The videos whose labels help most, and the moments to look at in them, as `wtal suggest` ranks them.

They are those of the active model. They are computed once for each model, in a process with a low priority, from the
data set that it was trained on, and stored beside it. A model without models of stage one or data set has none.
"""

import multiprocessing
import threading
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from wtal.core.errors import WtalError
from wtal.core.io import read_json, write_json
from wtal.core.methods import load_method
from wtal.data.dataset import load_dataset
from wtal.experiments.suggestions import suggest
from wtal.models.teacher import STAGE_ONE_DIR
from wtal.web.models import DATA_DIR, ORIGINAL, ModelList, ServedModel
from wtal.web.processes import init_background_process
from wtal.web.training_set import TrainingData

FILE_NAME = "suggestions.json"
MAX_VIDEOS = 10_000


class SuggestedMoment(BaseModel):
    """A time to look at, in seconds, and the class that the model expects there."""

    time: float
    label: str


class _SuggestionFile(BaseModel):
    """The fingerprint of the model; fingerprint of a video file to its moments, in the order of the expected gain."""

    model_config = ConfigDict(extra="forbid")

    model: str
    moments: dict[str, list[SuggestedMoment]]


class Suggestions:
    """The suggestions for the active model; there are none until they are computed.

    Args:
        store: The folder of the store.
        models: The models.
        data: The data set of the original model, or why it is not known.
    """

    def __init__(self, store: Path, models: ModelList, data: TrainingData | WtalError) -> None:
        self._store, self._models, self._data = store, models, data
        self._lock = threading.Lock()
        self._model = ""  # fingerprint of the model that `_moments` is for
        self._moments: dict[str, list[SuggestedMoment]] = {}
        self._process: BaseProcess | None = None

    def start(self) -> None:
        """Show the suggestions for the active model. They are computed in the background unless they are stored."""
        with self._lock:
            model = self._models.active
            if model.fingerprint == self._model:
                return
            self._stop()
            self._model, self._moments = model.fingerprint, {}
            path = self._path(model)
            stored = _read(path, model.fingerprint)
            data, stage_one = self._data_path(model), self._stage_one(model)
            if stored is not None:
                self._moments = stored
            elif data and stage_one.is_dir():
                arguments = (model.run, stage_one, model.meta.config.method, data, path, model.fingerprint)
                self._process = multiprocessing.get_context("spawn").Process(
                    target=_compute, args=arguments, daemon=True
                )
                self._process.start()
                waiting = (self._process, path, model.fingerprint)
                threading.Thread(target=self._wait, args=waiting, name="suggestions", daemon=True).start()

    def close(self) -> None:
        """Stop computing."""
        with self._lock:
            self._stop()

    def moments(self, fingerprint: str) -> list[SuggestedMoment]:
        """The moments of the video file with a fingerprint, in order of time."""
        return self._moments.get(fingerprint, [])

    def ranks(self) -> dict[str, int]:
        """Fingerprint of the video file to its rank, from 0."""
        return {fingerprint: rank for rank, fingerprint in enumerate(self._moments)}

    def _stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.join()
            self._process = None

    def _wait(self, process: BaseProcess, path: Path, model: str) -> None:
        process.join()
        with self._lock:
            if self._model == model:  # else another model was activated meanwhile
                self._moments = _read(path, model) or {}

    def _path(self, model: ServedModel) -> Path:
        return (self._store if model.id == ORIGINAL else self._models.folder(model.id)) / FILE_NAME

    def _data_path(self, model: ServedModel) -> Path | None:
        """The data set that a model was trained on, None if it is not known."""
        if model.id != ORIGINAL:
            return self._models.folder(model.id) / DATA_DIR
        return None if isinstance(self._data, WtalError) else self._data.dataset.path

    def _stage_one(self, model: ServedModel) -> Path:
        """The models of stage one: an improved model that has none was trained with those of the original one."""
        folder = model.run / STAGE_ONE_DIR
        return folder if folder.is_dir() else self._models.original.run / STAGE_ONE_DIR


def _read(path: Path, model: str) -> dict[str, list[SuggestedMoment]] | None:
    """What is stored for a model; None if there is nothing, or nothing that can be used."""
    with suppress(WtalError, ValidationError):
        file = _SuggestionFile.model_validate(read_json(path))
        if file.model == model:
            return file.moments
    return None


def _compute(run: Path, stage_one: Path, method: str, data: Path, out: Path, model: str) -> None:
    """Write the file of suggestions. Without it, the order of review is that of the uncertainty."""
    init_background_process()
    with suppress(WtalError):
        load_method(method)
        dataset = load_dataset(data)
        fingerprints = {id: fingerprint for fingerprint, id in TrainingData(dataset).ids.items()}
        moments = {
            fingerprints[suggestion.video_id]: [SuggestedMoment(time=m.time, label=m.label) for m in suggestion.moments]
            for suggestion in suggest(run, dataset, MAX_VIDEOS, stage_one=stage_one)
            if suggestion.video_id in fingerprints
        }
        write_json(out, _SuggestionFile(model=model, moments=moments).model_dump())
