"""A video that comes in by the page: into the uploads alone, never over another, whole or not at all."""

import asyncio
import os
import shutil
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from wtal.errors import DataError
from wtal.features import is_file_name
from wtal.formats.videos import SUFFIXES

MOST = 16 << 30  # bytes
SPARE = 1 << 30  # bytes that stay free on the disk
SLOWEST = 4096  # bytes a second; a slower one would hold one of the few places
SILENCE = 30.0  # seconds after which one who sends nothing is given up
PART = ".part"


class TooLargeError(DataError):
    """An upload has more bytes than there may be, or than the disk has room for."""


def checked_name(name: str) -> str:
    """A name that a video file may have. Raises DataError saying what is wrong with it."""
    plain = name.isprintable() and is_file_name(name) and not name.startswith(".")
    if not plain or any(mark in name for mark in '<>:"|?*') or len(name.encode()) > 180:
        raise DataError(f"{name[:60]!r} cannot be the name of a video file; rename it")
    if PurePosixPath(name).suffix.lower() not in SUFFIXES:
        raise DataError(f"{name[:60]!r} is not called as a video is; use one of {', '.join(sorted(SUFFIXES))}")
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
            yield await asyncio.wait_for(anext(coming), SILENCE)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise DataError(f"nothing came for {SILENCE:.0f} s; send it again") from None


def _require_pace(there: int, seconds: float) -> None:
    if there < SLOWEST * (seconds - SILENCE):
        raise DataError(f"it came at less than {SLOWEST:,} bytes a second; send it again, or copy it by hand")


def _require_room(folder: Path, coming: int, most: int, there: int = 0) -> None:
    if coming > most or there > most:
        raise TooLargeError(f"it has more than {most:,} bytes; copy it into the folder of videos by hand")
    if shutil.disk_usage(folder).free < coming + SPARE:
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
