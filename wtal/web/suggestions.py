"""The videos whose labels help most, and the moments to look at in them, as `wtal suggest` ranks them.

They are computed once for a model, in a process with a low priority, and stored. They need the data set of the model
and its models of stage one; without these there are none.
"""

import multiprocessing
import threading
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ValidationError

from wtal.core.errors import WtalError
from wtal.core.io import read_json, write_json
from wtal.core.methods import load_method
from wtal.data.dataset import load_dataset
from wtal.experiments.suggestions import suggest
from wtal.models.teacher import STAGE_ONE
from wtal.web.models import ServedModel
from wtal.web.processes import init_background_process
from wtal.web.training_set import TrainingData

FILE_NAME = "suggestions.json"
MAX_VIDEOS = 10_000


class SuggestedMoment(BaseModel):
    """A time to look at, in seconds, and the class that the model expects there."""

    time: float
    label: str


class _SuggestionFile(BaseModel):
    """Video id to its moments, in the order of the expected gain."""

    model: str
    videos: dict[str, list[SuggestedMoment]]


class Suggestions:
    """The suggestions for a model; there are none until they are computed.

    Args:
        store: The folder of the store.
        model: The model that the server was started with.
        data: Its data set, or why it is not known.
    """

    def __init__(self, store: Path, model: ServedModel, data: TrainingData | WtalError) -> None:
        self._path, self._model, self._data = store / FILE_NAME, model, data
        self._videos = self._read()
        self._process: multiprocessing.process.BaseProcess | None = None

    def start(self) -> None:
        """Compute the suggestions in the background, unless they are stored or cannot be computed."""
        if self._videos or isinstance(self._data, WtalError) or not (self._model.run / STAGE_ONE).is_dir():
            return
        arguments = self._model.run, self._model.meta.config.method, self._data.dataset.path, self._path
        self._process = multiprocessing.get_context("spawn").Process(
            target=_compute, args=(*arguments, self._model.fingerprint), daemon=True
        )
        self._process.start()
        threading.Thread(target=self._wait, name="suggestions", daemon=True).start()

    def close(self) -> None:
        """Stop computing."""
        if self._process:
            self._process.kill()
            self._process.join()

    def moments(self, fingerprint: str) -> list[SuggestedMoment]:
        """The moments of the video file with a fingerprint, in order of time."""
        return self._videos.get(self._id(fingerprint), [])

    def ranks(self) -> dict[str, int]:
        """Fingerprint of the video file to its rank, from 0."""
        if isinstance(self._data, WtalError) or not self._videos:
            return {}
        ranks = {id: rank for rank, id in enumerate(self._videos)}
        return {fingerprint: ranks[id] for fingerprint, id in self._data.ids.items() if id in ranks}

    def _id(self, fingerprint: str) -> str:
        return "" if isinstance(self._data, WtalError) else self._data.ids.get(fingerprint, "")

    def _wait(self) -> None:
        assert self._process is not None
        self._process.join()
        self._videos = self._read()

    def _read(self) -> dict[str, list[SuggestedMoment]]:
        with suppress(WtalError, ValidationError):  # none yet, or damaged: computed again
            file = _SuggestionFile.model_validate(read_json(self._path))
            if file.model == self._model.fingerprint:
                return file.videos
        return {}


def _compute(run: Path, method: str, data: Path, out: Path, model: str) -> None:
    """Write the file of suggestions. Without it, the order of review is that of the uncertainty."""
    init_background_process()
    with suppress(WtalError):
        load_method(method)
        videos = {
            suggestion.video_id: [SuggestedMoment(time=m.time, label=m.label) for m in suggestion.moments]
            for suggestion in suggest(run, load_dataset(data), MAX_VIDEOS)
        }
        write_json(out, _SuggestionFile(model=model, videos=videos).model_dump())
