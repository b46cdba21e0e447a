"""The videos that the page shows: the files of one folder, each with a key, so that no path comes from a client."""

import os
import re
import stat
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from wtal.core.errors import DataError
from wtal.core.fingerprint import sampled_fingerprint
from wtal.core.io import require_folder
from wtal.core.text import CONTROL_CHARACTERS
from wtal.data.video_files import PROJECT_NAME, VIDEO_SUFFIXES

KEY_PATTERN = re.compile(r"[0-9a-f]{20}")
UPLOADS_DIR = "uploads"
CACHE_TTL = 2.0  # seconds for which a listing of the folder is reused
MAX_CACHED_FINGERPRINTS = 10_000


def video_key(name: str) -> str:
    """The key of a video in the API."""
    return sha256(name.encode()).hexdigest()[:20]


@dataclass(frozen=True)
class VideoFile:
    """A video file: its path relative to the folder, with `/` as separator, its size and its modification time."""

    name: str
    size: int  # bytes
    mtime_ns: int

    @property
    def key(self) -> str:
        """The key of the video in the API."""
        return video_key(self.name)

    @property
    def version(self) -> str:
        """Changes when the content of the file changes."""
        return f"{self.size} {self.mtime_ns}"


class VideoLibrary:
    """All video files in a folder and its subfolders, without hidden files, projects and links that lead out.

    Attributes:
        folder: The resolved path of the folder.
        moved: Old key to current key of the videos that were renamed since the server started.

    Raises:
        DataError: The folder does not exist.
    """

    def __init__(self, folder: Path) -> None:
        require_folder(folder, "give the folder that contains the videos")
        self.folder = folder.resolve()
        self.moved: Mapping[str, str] = {}
        self._lock = threading.Lock()
        self._files: Mapping[str, VideoFile] = {}
        self._listed_at = -CACHE_TTL

    @property
    def uploads(self) -> Path:
        """The folder of uploaded videos."""
        return self.folder / UPLOADS_DIR

    def files(self) -> Mapping[str, VideoFile]:
        """Key to file, sorted by name."""
        with self._lock:
            if time.monotonic() - self._listed_at >= CACHE_TTL:
                files = {file.key: file for file in sorted(self._walk(self.folder), key=lambda file: file.name)}
                self.moved = _chain_renames(self.moved, _find_renames(self._files, files), files)
                self._files = files
                self._listed_at = time.monotonic()
            return self._files

    def refresh(self) -> None:
        """Let the next call list the folder again."""
        with self._lock:
            self._listed_at = -CACHE_TTL

    def find(self, key: str) -> VideoFile:
        """The file with a key. Raises DataError if there is none."""
        file = self.files().get(key)
        if file is None:
            raise DataError("the video is not in the folder; it was moved or deleted", code="video-not-found")
        return file

    def current(self, file: VideoFile) -> VideoFile:
        """A file with its current size and time. Raises DataError if it is gone or a link that leads out."""
        current = self._stat(self.folder / file.name)
        if current is None:
            raise DataError("the video was moved or deleted", path=file.name, code="video-not-found")
        return current

    def path(self, file: VideoFile) -> Path:
        """The resolved path of a file. Raises DataError if it is gone or a link that leads out."""
        return (self.folder / self.current(file).name).resolve()

    def fingerprint(self, file: VideoFile) -> str:
        """Identifies the content of a file; "" if it is empty, unreadable, or changed since it was listed."""
        try:
            return _cached_fingerprint(self.folder / file.name, file.size, file.mtime_ns) if file.size else ""
        except OSError:
            return ""

    def _walk(self, folder: Path) -> Iterator[VideoFile]:
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:  # not readable
            return
        if folder != self.folder and any(entry.name == PROJECT_NAME for entry in entries):
            return
        for entry in entries:
            if entry.name.startswith(".") or CONTROL_CHARACTERS.search(entry.name):
                continue
            path = Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                yield from self._walk(path)
            elif path.suffix.lower() in VIDEO_SUFFIXES and (file := self._stat(path)):
                yield file

    def _stat(self, path: Path) -> VideoFile | None:
        name = path.relative_to(self.folder).as_posix()
        try:
            name.encode()
            if not Path(os.path.realpath(path)).is_relative_to(self.folder):
                return None
            status = path.stat()
        except (OSError, UnicodeEncodeError):
            return None
        return VideoFile(name, status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None


def _find_renames(old: Mapping[str, VideoFile], new: Mapping[str, VideoFile]) -> dict[str, str]:
    """Old key to new key: renaming a file keeps its size and its modification time in nanoseconds.

    The new name may be one that another file had before.
    """
    added = {file.version: key for key, file in new.items() if key not in old or old[key].version != file.version}
    removed = {key: added.get(file.version) for key, file in old.items() if key not in new}
    return {old_key: key for old_key, key in removed.items() if key is not None}


def _chain_renames(
    moved: Mapping[str, str], renames: Mapping[str, str], files: Mapping[str, VideoFile]
) -> dict[str, str]:
    """All renames so far, each to the current key; without keys that another file has now."""
    chained = {old: renames.get(new, new) for old, new in moved.items()} | dict(renames)
    return {old: new for old, new in chained.items() if old not in files and new in files}


@lru_cache(maxsize=MAX_CACHED_FINGERPRINTS)
def _cached_fingerprint(path: Path, size: int, mtime_ns: int) -> str:
    """Raises OSError if the file cannot be read, or is not in the given state."""
    fingerprint, status = sampled_fingerprint(path), path.stat()
    if (status.st_size, status.st_mtime_ns) != (size, mtime_ns):
        raise OSError(f"{path.name} has changed")
    return fingerprint
