"""A folder of predictions: what is stored of each video to resume, and the files that are made from it.

The hidden folder `.wtal` in it holds the proposals of each video, with fingerprints of the video and of the model, and
the fingerprints of the files that were written. A file is replaced only if it is still as it was written.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from wtal.core.errors import DataError
from wtal.core.fingerprint import content_fingerprint
from wtal.core.io import directory_lock, read_json, require_output_file, to_data_error, write_json
from wtal.core.structures import Segment

STATE_NAME = ".wtal"
HINT_OUT = "choose another folder with --out"
HINT_KEPT = "move it, or choose another folder with --out"

WriteFile = Callable[[Path], object]


@dataclass(frozen=True)
class StoredVideo:
    """The prediction of a video.

    Attributes:
        path: The absolute path of the file.
        name: Its path in the folder of the videos, see `VideoInput`.
        fingerprint: `sampled_fingerprint` of the file.
        start: Start of the first snippet in seconds.
        end: End of the last snippet in seconds.
        fps: Frames per second of the file, None if unknown.
        proposals: Label, start, end and score of each proposal, highest-scoring first.
    """

    path: str
    name: str
    fingerprint: str
    start: float
    end: float
    fps: float | None
    proposals: tuple[tuple[str, float, float, float], ...]

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The proposals."""
        return tuple(Segment(*proposal) for proposal in self.proposals)


_STORED_VIDEO = TypeAdapter(StoredVideo)


class PredictionStore:
    """The predictions of one model in a folder.

    Args:
        folder: The folder, which need not exist.
        model: The fingerprint of the model.

    Raises:
        DataError: The folder holds predictions of another model (code `other-model`), or its path is a file.
    """

    def __init__(self, folder: Path, model: str) -> None:
        self.folder, self._state, self._model = folder, folder / STATE_NAME, model
        require_output_file(self._state / "model.json", hint=HINT_OUT)
        recorded = self._read("model.json")
        if recorded.get("model", model) != model:
            raise DataError("holds predictions of another model", path=folder, hint=HINT_OUT, code="other-model")
        self._written: Mapping[str, list[str]] = {
            name: hashes for name, hashes in self._read("files.json").items() if isinstance(hashes, list)
        }

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Create the folder and lock it against other processes. Nothing is left if no prediction is stored.

        Raises:
            DataError: Another process is writing to the folder, or it cannot be created.
        """
        is_new = not self.folder.exists()
        with directory_lock(self._state):
            self._remove_temporary()
            write_json(self._state / "model.json", {"model": self._model})
            try:
                yield
            finally:
                self._remove_temporary()
        if not self.ids():
            shutil.rmtree(self._state, ignore_errors=True)
            with suppress(OSError):
                if is_new:
                    self.folder.rmdir()

    @property
    def temporary(self) -> Path:
        """A folder for temporary files, which is deleted when the lock is released."""
        return self._state / "temporary"

    def ids(self) -> list[str]:
        """The ids of the stored videos, sorted."""
        return sorted(path.stem for path in (self._state / "videos").glob("*.json"))

    def get(self, id: str) -> StoredVideo | None:
        """The stored prediction of a video; None if there is none, or its file is damaged."""
        path = self._video_path(id)
        try:
            return _STORED_VIDEO.validate_python(read_json(path)) if path.is_file() else None
        except (DataError, ValidationError):
            return None

    def put(self, id: str, video: StoredVideo) -> None:
        """Store the prediction of a video atomically. Raises DataError."""
        write_json(self._video_path(id), asdict(video), indent=None)

    def require_replaceable(self, name: str) -> None:
        """Raise DataError unless a file can be written, which must not exist or be as it was written before.

        Args:
            name: Its path relative to the folder.
        """
        require_output_file(self.folder / name, (), lambda path: self._is_as_written(name, path), HINT_KEPT)

    def write_files(self, files: Mapping[str, WriteFile]) -> None:
        """Write files, each completely or not at all.

        Args:
            files: Path relative to the folder, and a function that writes the file to a path.

        Raises:
            DataError: A file cannot be written.
        """
        parts = self.temporary / "files"
        try:
            for name, write in files.items():
                (parts / name).parent.mkdir(parents=True, exist_ok=True)
                write(parts / name)
            # Recorded before they are moved: if the process is killed in between, the earlier file is accepted too.
            new = {name: [*self._written.get(name, [])[-1:], content_fingerprint(parts / name)] for name in files}
            self._written = {**self._written, **new}
            write_json(self._state / "files.json", self._written)
            for name in files:
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                (parts / name).replace(self.folder / name)
        except OSError as error:
            raise to_data_error(error, self.folder, HINT_OUT) from error

    def _is_as_written(self, name: str, path: Path) -> bool:
        try:
            return content_fingerprint(path) in self._written.get(name, [])
        except OSError:
            return False

    def _video_path(self, id: str) -> Path:
        return self._state / "videos" / f"{id}.json"

    def _read(self, name: str) -> dict[str, Any]:
        path = self._state / name
        value = read_json(path) if path.is_file() else {}
        if not isinstance(value, dict):
            raise DataError("not a file of `wtal predict`", path=path, hint=HINT_OUT, code="invalid-type")
        return value

    def _remove_temporary(self) -> None:
        shutil.rmtree(self.temporary, ignore_errors=True)
