"""Uploads of videos: written to the uploads folder, never over another file, and completely or not at all."""

import asyncio
import os
import shutil
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from wtal.core.errors import DataError
from wtal.data.features import is_file_name
from wtal.data.video_files import VIDEO_SUFFIXES

MAX_UPLOAD_BYTES = 16 << 30
MIN_FREE_BYTES = 1 << 30  # kept free on the disk
MIN_UPLOAD_RATE = 4096  # bytes per second; slower uploads would block one of the few slots
IDLE_TIMEOUT = 30.0  # seconds without data after which an upload is aborted
MAX_NAME_BYTES = 180
MAX_SAME_NAMES = 10_000
# Windows takes them for devices, whatever their extension.
RESERVED_NAMES = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | {
    f"{port}{number}" for port in ("COM", "LPT") for number in "0123456789¹²³"
}
PART_SUFFIX = ".part"
HINT_COPY = "copy the file into the folder of videos instead"


def check_name(name: str) -> None:
    """Raise DataError for a name that a video file cannot have on every system."""
    is_reserved = name.partition(".")[0].strip().upper() in RESERVED_NAMES
    is_plain = name.isprintable() and is_file_name(name) and not name.startswith(".") and not is_reserved
    if not is_plain or any(char in name for char in '<>:"|?*') or len(name.encode()) > MAX_NAME_BYTES:
        raise DataError(f"{name[:60]!r} cannot be a file name", hint="rename the file", code="invalid-name")
    if PurePosixPath(name).suffix.lower() not in VIDEO_SUFFIXES:
        raise DataError(
            f"{name[:60]!r} does not have the extension of a video",
            hint=f"use one of {', '.join(sorted(VIDEO_SUFFIXES))}",
            code="invalid-name",
        )


async def save_upload(
    chunks: AsyncIterator[bytes], name: str, folder: Path, max_bytes: int, content_length: int | None
) -> Path:
    """Write an upload to a new file.

    Args:
        chunks: The content as it arrives.
        name: The file name, checked with `check_name`; a number is added if the folder has a file of this name.
        folder: The folder to write to.
        max_bytes: The largest size that is accepted.
        content_length: The size that the client announced, None if it did not.

    Returns:
        The path of the file.

    Raises:
        DataError: The upload is empty, incomplete, too slow, too large, or the disk is nearly full.
        OSError: The file cannot be written.
    """
    _require_space(folder, content_length or 0, max_bytes)
    part = folder / f".{uuid.uuid4().hex}{PART_SUFFIX}"
    size = 0
    try:
        with part.open("xb") as file:
            start = time.monotonic()
            async for chunk in _with_idle_timeout(chunks):
                size += len(chunk)
                if size < MIN_UPLOAD_RATE * (time.monotonic() - start - IDLE_TIMEOUT):
                    raise DataError(
                        f"the upload is slower than {MIN_UPLOAD_RATE:,} bytes per second",
                        hint=HINT_COPY,
                        code="upload-too-slow",
                    )
                _require_space(folder, 0, max_bytes, size)
                await asyncio.to_thread(file.write, chunk)
        if not size:
            raise DataError("the file is empty", path=name, hint="upload it again", code="empty-file")
        if content_length is not None and size != content_length:
            raise DataError(
                f"the upload stopped after {size:,} of {content_length:,} bytes",
                path=name,
                hint="upload it again",
                code="upload-incomplete",
            )
        return _move_to_free_name(part, folder, name)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def remove_partial_uploads(folder: Path) -> None:
    """Delete incomplete uploads of a server that was killed. Raises OSError."""
    for part in folder.glob(f".*{PART_SUFFIX}"):
        part.unlink(missing_ok=True)


async def _with_idle_timeout(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    iterator = aiter(chunks)
    while True:
        try:
            yield await asyncio.wait_for(anext(iterator), IDLE_TIMEOUT)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise DataError(
                f"no data was received for {IDLE_TIMEOUT:g} s", hint="upload the file again", code="upload-timeout"
            ) from None


def _require_space(folder: Path, expected: int, max_bytes: int, received: int = 0) -> None:
    if max(expected, received) > max_bytes:
        raise DataError(f"the file is larger than {max_bytes:,} bytes", hint=HINT_COPY, code="upload-too-large")
    if shutil.disk_usage(folder).free < expected + MIN_FREE_BYTES:
        raise DataError("the disk is nearly full", hint="free some space and upload again", code="disk-full")


def _move_to_free_name(part: Path, folder: Path, name: str) -> Path:
    stem, suffix = PurePosixPath(name).stem, PurePosixPath(name).suffix
    for number in range(1, MAX_SAME_NAMES):
        path = folder / (name if number == 1 else f"{stem} {number}{suffix}")
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            continue
        part.replace(path)
        return path
    raise DataError("too many files have this name", path=name, hint="rename the file", code="already-exists")
