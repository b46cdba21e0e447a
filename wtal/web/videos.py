"""A video that comes in by the page: into the uploads alone, never over another, whole or not at all.

FROM: The videos that the page may show: those in one folder, each by a key; no path ever comes from outside.
"""

import asyncio
import os
import re
import shutil
import stat
import threading
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path, PurePosixPath

from wtal.core.errors import DataError
from wtal.core.fingerprint import sampled_fingerprint
from wtal.core.text import CONTROL
from wtal.data.features import is_file_name
from wtal.data.video_files import VIDEO_SUFFIXES

KEY = re.compile(r"[0-9a-f]{20}")
UPLOADS = "uploads"
FRESH = 2.0  # seconds for which a look into the folder holds


class MissingError(DataError):
    """A video is not there, or not any more."""


def key_of(name: str) -> str:
    """What the page calls a file."""
    return sha256(name.encode()).hexdigest()[:20]


@dataclass(frozen=True)
class File:
    """A video file: its path in the folder with `/` between folders, and the state that it was seen in."""

    name: str
    size: int
    changed: int  # ns

    @property
    def key(self) -> str:
        """What the page calls it."""
        return key_of(self.name)

    @property
    def state(self) -> str:
        """What tells it from a file that had, or gets, its name."""
        return f"{self.size} {self.changed}"


class Library:
    """All video files of a folder and the folders in it; hidden ones, and links that lead out, are no part of it.

    `moved`: old key -> where it is now, of videos renamed since the server started. Raises DataError when there is
    no such folder.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise DataError(f"{folder}: there is no such folder; name the folder that holds the videos")
        self.folder = folder.resolve()
        self._lock = threading.Lock()
        self._files: Mapping[str, File] = {}
        self.moved: Mapping[str, str] = {}
        self._looked = -FRESH

    @property
    def uploads(self) -> Path:
        """Where uploaded videos are kept."""
        return self.folder / UPLOADS

    def files(self) -> Mapping[str, File]:
        """Key -> file, by name."""
        with self._lock:
            if time.monotonic() - self._looked >= FRESH:
                files = {file.key: file for file in sorted(self._walk(self.folder), key=lambda f: f.name)}
                self.moved = _followed(self.moved, _renamed(self._files, files), files)
                self._files = files
                self._looked = time.monotonic()
            return self._files

    def look_again(self) -> None:
        """Have the next question look into the folder."""
        with self._lock:
            self._looked = -FRESH

    def find(self, key: str) -> File:
        """Raises MissingError where no video has that key."""
        file = self.files().get(key)
        if file is None:
            raise MissingError("there is no such video in the folder; it was moved or deleted")
        return file

    def now(self, key: str) -> File:
        """A file in the state that it is in at this moment. Raises MissingError where it is gone."""
        file = self.find(key)
        seen = self._seen(self.folder / file.name)
        if seen is None:
            raise MissingError(f"{file.name}: was moved or deleted")
        return seen

    def path(self, file: File) -> Path:
        """Where a file lies, now. Raises MissingError where it is not there, or is a link that leads out."""
        seen = self._seen(self.folder / file.name)
        if seen is None:
            raise MissingError(f"{file.name}: was moved or deleted")
        return (self.folder / file.name).resolve()

    def fingerprint(self, file: File) -> str:
        """Its length and a hash, by which it is known again; "" where it is empty, or cannot be read."""
        try:
            return _cached_fingerprint(self.folder / file.name, file.size, file.changed) if file.size else ""
        except OSError:
            return ""

    def _walk(self, place: Path) -> Iterator[File]:
        try:
            entries = sorted(os.scandir(place), key=lambda entry: entry.name)
        except OSError:  # not ours to read
            return
        for entry in entries:
            if entry.name.startswith(".") or CONTROL.search(entry.name):
                continue
            path = Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                yield from self._walk(path)
            elif path.suffix.lower() in VIDEO_SUFFIXES and (file := self._seen(path)):
                yield file

    def _seen(self, path: Path) -> File | None:
        name = path.relative_to(self.folder).as_posix()
        try:
            name.encode()
            if not Path(os.path.realpath(path)).is_relative_to(self.folder):
                return None
            state = path.stat()
        except (OSError, UnicodeEncodeError):
            return None
        return File(name, state.st_size, state.st_mtime_ns) if stat.S_ISREG(state.st_mode) else None


def _renamed(before: Mapping[str, File], now: Mapping[str, File]) -> dict[str, str]:
    """Old key -> new key: a file that is renamed keeps its length and its time to the nanosecond."""
    new = {(file.size, file.changed): key for key, file in now.items() if key not in before}
    gone = {key: new.get((file.size, file.changed)) for key, file in before.items() if key not in now}
    return {old: key for old, key in gone.items() if key is not None}


def _followed(moved: Mapping[str, str], now: Mapping[str, str], files: Mapping[str, File]) -> dict[str, str]:
    """All renamings until now, each to where it led in the end; none of a name that is taken again."""
    ends = {old: now.get(new, new) for old, new in moved.items()} | dict(now)
    return {old: new for old, new in ends.items() if old not in files and new in files}


@lru_cache(maxsize=10_000)
def _cached_fingerprint(path: Path, size: int, changed: int) -> str:
    """Read once for each state of the file. Raises OSError, also where another state is read."""
    told, state = sampled_fingerprint(path), path.stat()
    if (state.st_size, state.st_mtime_ns) != (size, changed):
        raise OSError(f"{path.name} is another file by now")
    return told


MAX_UPLOAD_BYTES = 16 << 30  # bytes
MIN_FREE_BYTES = 1 << 30  # bytes that stay free on the disk
MIN_UPLOAD_RATE = 4096  # bytes a second; a slower one would hold one of the few places
IDLE_TIMEOUT = 30.0  # seconds after which one who sends nothing is given up
PART = ".part"


class TooLargeError(DataError):
    """An upload has more bytes than there may be, or than the disk has room for."""


def checked_name(name: str) -> str:
    """A name that a video file may have. Raises DataError saying what is wrong with it."""
    plain = name.isprintable() and is_file_name(name) and not name.startswith(".")
    if not plain or any(mark in name for mark in '<>:"|?*') or len(name.encode()) > 180:
        raise DataError(f"{name[:60]!r} cannot be the name of a video file; rename it")
    if PurePosixPath(name).suffix.lower() not in VIDEO_SUFFIXES:
        raise DataError(f"{name[:60]!r} is not called as a video is; use one of {', '.join(sorted(VIDEO_SUFFIXES))}")
    return name


async def receive(parts: AsyncIterator[bytes], name: str, folder: Path, most: int, length: int | None) -> Path:
    """Write the bytes that come in to a new file in the folder. Raises TooLargeError, DataError, OSError.

    `length` is how many the sender says they are, None where he does not.
    """
    _require_room(folder, length or 0, most)
    part = folder / f".{uuid.uuid4().hex}{PART}"
    there = 0
    try:
        with part.open("xb") as file:
            begun = time.monotonic()
            async for chunk in _awaited(parts):
                there += len(chunk)
                _require_pace(there, time.monotonic() - begun)
                _require_room(folder, 0, most, there)
                await asyncio.to_thread(file.write, chunk)
        if not there:
            raise DataError(f"{name}: is empty; send it again")
        if length is not None and there != length:
            raise DataError(f"{name}: broke off after {there:,} of {length:,} bytes; send it again")
        return _placed(part, folder, name)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def clear(folder: Path) -> None:
    """Take away what a killed server had half received. Raises OSError."""
    for part in folder.glob(f".*{PART}"):
        part.unlink(missing_ok=True)


async def _awaited(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    coming = aiter(parts)
    while True:
        try:
            yield await asyncio.wait_for(anext(coming), IDLE_TIMEOUT)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise DataError(f"nothing came for {IDLE_TIMEOUT:.0f} s; send it again") from None


def _require_pace(there: int, seconds: float) -> None:
    if there < MIN_UPLOAD_RATE * (seconds - IDLE_TIMEOUT):
        raise DataError(f"it came at less than {MIN_UPLOAD_RATE:,} bytes a second; send it again, or copy it by hand")


def _require_room(folder: Path, coming: int, most: int, there: int = 0) -> None:
    if coming > most or there > most:
        raise TooLargeError(f"it has more than {most:,} bytes; copy it into the folder of videos by hand")
    if shutil.disk_usage(folder).free < coming + MIN_FREE_BYTES:
        raise TooLargeError("the disk is nearly full; free some space and send it again")


def _placed(part: Path, folder: Path, name: str) -> Path:
    """Give it its name, or one like it that is free."""
    path = PurePosixPath(name)
    for number in range(1, 10_000):
        place = folder / (name if number == 1 else f"{path.stem} {number}{path.suffix}")
        try:
            os.close(os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            continue
        part.replace(place)
        return place
    raise DataError(f"{name}: there are too many of that name; rename it")
