"""The models of a server: the one that it was started with, and those that were improved from it."""

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field

from wtal.core.errors import DataError, WtalError
from wtal.core.io import read_json, read_json_as, realpath, write_json
from wtal.models import checkpoint
from wtal.web.predictions import DisplayThresholds, load_display_thresholds

MODELS_DIR, ACTIVE_NAME, RECORD_NAME, DATA_DIR, RUN_DIR = "models", "active.json", "model.json", "data", "run"
ORIGINAL = "original"  # id of the model that the server was started with


class Scores(BaseModel):
    """How good a model is on the videos that were held out.

    Attributes:
        map: Mean average precision over tIoU 0.1:0.7, from 0 to 1.
        f1: F1 of the shown segments at tIoU 0.5.
    """

    map: float
    f1: float


class LabelCounts(BaseModel):
    """The corrected videos that a model was trained on, and their labels."""

    videos: int = 0
    points: int = 0
    segments: int = 0
    complete: int = 0


class ModelRecord(BaseModel):
    """The file of an improved model.

    Attributes:
        id: Its name in the folder of models.
        base: The fingerprint of the model that the server was started with.
        created: The time when training ended, ISO 8601 in UTC.
        labels: The corrections that it was trained on.
        before_id: The model that it was compared with.
        before: The scores of that model; None if nothing could be measured.
        after: Its own scores.
        measured_on: The names of the videos that both were measured on.
        skipped: Why corrected videos were not used: name to reason.
    """

    id: Annotated[str, Field(pattern=r"^\d{4,}$")]
    base: str
    created: str
    labels: LabelCounts
    before_id: str
    before: Scores | None = None
    after: Scores | None = None
    measured_on: list[str] = []
    skipped: dict[str, str] = {}


@dataclass(frozen=True, eq=False)
class ServedModel:
    """A model that can be served.

    Attributes:
        id: `original`, or the id of an improved model.
        run: The run folder.
        meta: Its metadata.
        fingerprint: Identifies its weights.
        thresholds: Which proposals are shown.
    """

    id: str
    run: Path
    meta: checkpoint.ModelMetadata
    fingerprint: str
    thresholds: DisplayThresholds

    @classmethod
    def load(cls, id: str, run: Path) -> "ServedModel":
        """Read a run folder. Raises CheckpointError, ConfigError or DataError if it cannot be used."""
        fingerprint = checkpoint.weights_fingerprint(run)
        return cls(id, run, checkpoint.read_meta(run), fingerprint, load_display_thresholds(run))

    @property
    def title(self) -> str:
        """The name that the page shows."""
        return displayable("/".join(realpath(self.run).parts[-2:])) if self.id == ORIGINAL else model_title(self.id)


def displayable(name: str) -> str:
    """A file name as valid Unicode."""
    return name.encode(errors="replace").decode()


def model_title(id: str) -> str:
    """The name that the page shows of an improved model."""
    return f"improved {int(id)}"


class ModelList:
    """All models of a store that were improved from one, and which of them is active.

    Args:
        run: The run folder that the server was started with.
        store: The folder of the store.

    Raises:
        CheckpointError, ConfigError, DataError: The run folder cannot be used.
    """

    def __init__(self, run: Path, store: Path) -> None:
        self._store, self._lock = store, threading.Lock()
        self.original = ServedModel.load(ORIGINAL, run)
        self._records = {record.id: record for record in self._read_records()}
        self._active = self._read_active()

    @property
    def active(self) -> ServedModel:
        """The model that processes videos."""
        return self._active

    @property
    def records(self) -> list[ModelRecord]:
        """The improved models, the latest first."""
        with self._lock:
            return sorted(self._records.values(), key=lambda record: -int(record.id))

    def folder(self, id: str) -> Path:
        """The folder of an improved model."""
        return self._store / MODELS_DIR / id

    def new_id(self) -> str:
        """An id that no folder has."""
        numbers = [int(path.name) for path in (self._store / MODELS_DIR).glob("*") if path.name.isdecimal()]
        return f"{max(numbers, default=0) + 1:04}"

    def add(self, record: ModelRecord) -> None:
        """Add a model whose folder is complete. Raises DataError if its record cannot be written."""
        write_json(self.folder(record.id) / RECORD_NAME, record.model_dump())
        with self._lock:
            self._records[record.id] = record

    def activate(self, id: str) -> None:
        """Let another model process videos. Raises CheckpointError or DataError if there is no such model."""
        model = self._load(id)
        write_json(self._store / ACTIVE_NAME, {"base": self.original.fingerprint, "id": id})
        self._active = model

    def _load(self, id: str) -> ServedModel:
        if id == ORIGINAL:
            return self.original
        if id not in self._records:
            raise DataError("there is no such model", hint="reload the page", code="unknown-name")
        return ServedModel.load(id, self.folder(id) / RUN_DIR)

    def _read_records(self) -> list[ModelRecord]:
        """The records of models that were improved from the original one."""
        paths = sorted((self._store / MODELS_DIR).glob(f"*/{RECORD_NAME}"))
        records = [_read_record(path) for path in paths]
        return [record for record in records if record.base == self.original.fingerprint]

    def _read_active(self) -> ServedModel:
        """The model that was active, or the original one if that one cannot be used any more."""
        try:
            values: Any = read_json(self._store / ACTIVE_NAME)
            if values["base"] == self.original.fingerprint:
                return self._load(values["id"])
        except (WtalError, KeyError, TypeError):
            pass
        return self.original


def _read_record(path: Path) -> ModelRecord:
    return read_json_as(
        path, ModelRecord, "the record of a model", "move its folder away to continue without this model"
    )
