"""Files that are whole or not there: written under a temporary name, then renamed."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wtal.errors import DataError


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary neighbour of `path`, then put it in place; nothing half written stays.

    Raises DataError when the disk is full or the place cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(part)
        part.replace(path)
    except OSError as error:
        raise DataError(f"{path}: {_reason(error)}") from error
    finally:
        part.unlink(missing_ok=True)


def write_folder_whole(folder: Path, write: Callable[[Path], object]) -> None:
    """The same for a folder: a reader finds the old one or the new one, never a mixture."""
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    try:
        part.mkdir(parents=True)
        write(part)
        if folder.exists():
            folder.replace(old)
        part.replace(folder)
    except OSError as error:
        if old.exists() and not folder.exists():
            old.replace(folder)
        raise DataError(f"{folder}: {_reason(error)}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """UTF-8 text, whole or not at all."""
    write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: Any, indent: int | None = 1) -> None:
    """JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False) + "\n")


def read_text(path: Path) -> str:
    """UTF-8 text (a byte order mark is fine). Raises DataError naming the file and the way out."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise DataError(f"{path}, line {line}: not UTF-8 text; save the file as UTF-8") from error
    except OSError as error:
        raise DataError(f"{path}: {_reason(error)}") from error


def read_json(path: Path) -> Any:
    """A JSON file. Raises DataError with the line where it breaks."""
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}, line {error.lineno}: not valid JSON ({error.msg}); the file may be cut off"
        ) from error


def _reason(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "the disk is full; free some space and run it again, nothing was changed"
    return (error.strerror or str(error)).lower()
