"""Files that are whole or not there: written under a temporary name, then renamed."""

import errno
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from wtal.core.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

LOCK_NAME = ".lock"


def realpath(path: Path) -> Path:
    """Where a path leads, links followed; unlike `Path.resolve` it takes a loop of links for what it is."""
    return Path(os.path.realpath(path))


def atomic_write(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary neighbour of `path`, then put it in place; nothing half written stays.

    Raises DataError when the disk is full or the place cannot be written.
    """
    part = _temporary_sibling(path, "part")
    try:
        if path.exists() and not path.is_file():
            raise DataError(f"{path}: is no ordinary file; name another place to write to")
        path.parent.mkdir(parents=True, exist_ok=True)
        write(part)
        part.replace(path)
    except OSError as error:
        raise _to_data_error(path, error) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def atomic_write_dir(folder: Path, write: Callable[[Path], object]) -> None:
    """The same for a folder: a reader finds the old one or the new one, never a mixture.

    Where a link lies, the folder takes its place; what the link points to stays as it is. Raises DataError where a
    file lies there, or the place cannot be written.
    """
    part, old = _temporary_sibling(folder, "part"), _temporary_sibling(folder, "old")
    try:
        if folder.exists() and not folder.is_dir():
            raise DataError(f"{folder}: is no folder; name another place to write to")
        shutil.rmtree(part, ignore_errors=True)  # of a killed process that had our id
        part.mkdir(parents=True)
        write(part)
        if os.path.lexists(folder):
            folder.replace(old)
        part.replace(folder)
    except OSError as error:
        raise _to_data_error(folder, error) from error
    finally:
        with suppress(OSError):
            if os.path.lexists(old) and not os.path.lexists(folder):
                old.replace(folder)
            if old.is_symlink():
                old.unlink()
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """UTF-8 text, whole or not at all. Raises DataError for half a character, which no file holds."""
    try:
        content = text.encode()
    except UnicodeEncodeError as error:
        around = text[max(0, error.start - 20) : error.end + 20]
        raise DataError(f"{path}: {around!a} holds half a character; write that name again") from error
    atomic_write(path, lambda part: part.write_bytes(content))


def write_json(path: Path, value: Any, indent: int | None = 1) -> None:
    """JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False) + "\n")


def append_line(path: Path, line: str) -> None:
    """Add a line to a log. Raises DataError when the disk is full or the place cannot be written."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    except OSError as error:
        raise _to_data_error(path, error) from error


def read_text(path: Path) -> str:
    """UTF-8 text (a byte order mark is fine). Raises DataError naming the file and the way out."""
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise DataError(f"{path}: is no ordinary file; save its text in one and name that")
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise DataError(f"{path}, line {line}: not UTF-8 text; save the file as UTF-8") from error
    except OSError as error:
        raise _to_data_error(path, error) from error


def read_json(path: Path, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """A JSON file; `pairs` makes something else than a dict of an object's items.

    Raises DataError with the line where the file breaks.
    """
    try:
        return json.loads(read_text(path), object_pairs_hook=pairs, parse_int=_whole_number)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}, line {error.lineno}: not valid JSON ({error.msg}); the file may be cut off"
        ) from error
    except RecursionError as error:
        raise DataError(f"{path}: not JSON that can be read ({error}); export it again") from error


def fingerprint(*places: Path) -> str:
    """Of the names, sizes and times of change of all files in these places: another one, another state."""
    digest = hashlib.sha256()
    for place in places:
        for path in sorted(path for path in [place, *place.rglob("*")] if path.is_file()):
            state = path.stat()
            digest.update(f"{path.relative_to(place)} {state.st_size} {state.st_mtime_ns}\n".encode())
    return digest.hexdigest()


@contextmanager
def directory_lock(folder: Path, way_out: str = "wait for it, or name another folder") -> Iterator[None]:
    """Make the folder and hold it: no other process writes there meanwhile. A killed process holds nothing.

    Raises DataError when another process holds it, or the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = (folder / LOCK_NAME).open("w")
    except OSError as error:
        raise DataError(f"{folder}: cannot be the folder to write to, {_reason(error)}; name another") from error
    with held:
        if not _hold(held):
            raise DataError(f"{folder}: another process is writing there; {way_out}")
        yield


if sys.platform == "win32":
    import msvcrt

    def _hold(file: IO[str]) -> bool:
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _hold(file: IO[str]) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system that knows no locks: better to work than to refuse
            return True
        return True


def _whole_number(digits: str) -> int | float:
    """An int, or infinity for more digits than Python reads: so the reader of the entry can say where it is."""
    try:
        return int(digits)
    except ValueError:
        return float(digits)


def _temporary_sibling(path: Path, ending: str) -> Path:
    """A temporary name beside a path. Raises DataError for `.` and its like, which nothing can be renamed to."""
    if path.name in ("", ".."):
        raise DataError(f"{path}: is a folder that is in use; name a file or folder inside it")
    return path.with_name(f".{path.name}.{os.getpid()}.{ending}")


def _to_data_error(path: Path, error: OSError) -> DataError:
    """Why the disk refuses a path, and the way out, in a sentence."""
    above = next((place for place in path.parents if os.path.lexists(place) and not place.is_dir()), None)
    reason = f"cannot be there, as {above} is no folder; name another place" if above else _reason(error)
    return DataError(f"{path}: {reason}")


def _reason(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full; free some space and run it again, this file was not changed"
    return (error.strerror or str(error)).lower()


def write_tensors(tensors: "dict[str, Tensor]", path: Path) -> None:
    """Write a safetensors file. Raises OSError where it cannot be written."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file(tensors, path)
    except SafetensorError as error:  # its way to say that the disk is full
        raise OSError(f"{path.name} could not be written ({error}); free some space and go on") from error
