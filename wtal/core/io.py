"""Reading and writing files: atomic writes, folder locks, checks of paths, and errors that name the path."""

import errno
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from wtal.core.errors import DataError, first_validation_error

if TYPE_CHECKING:
    from pydantic import BaseModel
    from torch import Tensor

Fields = TypeVar("Fields", bound="BaseModel")

LOCK_NAME = ".lock"
MAX_TEXT_BYTES = 256_000_000  # a million proposals as JSON take 100 MB
MAX_JSON_CONTAINERS = 5_000_000  # objects and lists, which take 20 times as much memory as text
HINT_OTHER_PATH = "choose another path"
LOCKS_UNSUPPORTED = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK}
ERROR_CODES = {
    errno.ENOENT: "file-not-found",
    errno.EISDIR: "not-a-file",
    errno.ENOTDIR: "not-a-directory",
    errno.EEXIST: "already-exists",
    errno.EACCES: "permission-denied",
    errno.EPERM: "permission-denied",
    errno.EROFS: "permission-denied",
    errno.ENOSPC: "disk-full",
    errno.EDQUOT: "disk-full",
}


def realpath(path: Path) -> Path:
    """The path with links resolved. Unlike `Path.resolve` it accepts a loop of links."""
    return Path(os.path.realpath(path))


# --- Errors and checks ------------------------------------------------------------------------------------------------


def os_error_message(error: OSError) -> str:
    """The reason that the operating system gives, without the path."""
    return (error.strerror or str(error)).lower()


def to_data_error(error: OSError, path: Path, hint: str | None = None) -> DataError:
    """The DataError for a failed read or write of a path; `hint` replaces the usual one."""
    parent = next((parent for parent in path.parents if os.path.lexists(parent) and not parent.is_dir()), None)
    if parent is not None:
        return DataError(f"{parent} is not a folder", path=path, hint=hint or HINT_OTHER_PATH, code="not-a-directory")
    code = ERROR_CODES.get(error.errno or 0, "io-error")
    if code == "disk-full":
        return DataError("the disk is full", path=path, hint="free some space and run it again", code=code)
    return DataError(os_error_message(error), path=path, hint=hint, code=code)


def require_file(path: Path, hint: str | None = None) -> None:
    """Raise DataError unless the path is a regular file: not a folder, device, socket or named pipe."""
    if path.is_file():
        return
    if not path.exists():
        raise DataError("no such file", path=path, hint=hint, code="file-not-found")
    kind = "a folder, not a file" if path.is_dir() else "not a regular file"
    raise DataError(f"is {kind}", path=path, hint=hint, code="not-a-file")


def require_folder(path: Path, hint: str | None = None) -> None:
    """Raise DataError unless the path is a folder."""
    if path.is_dir():
        return
    if not path.exists():
        raise DataError("no such folder", path=path, hint=hint, code="file-not-found")
    raise DataError("is not a folder", path=path, hint=hint, code="not-a-directory")


def require_not_input(output: Path, *inputs: Path | None, hint: str = HINT_OTHER_PATH) -> None:
    """Raise DataError where writing `output` would overwrite one of the inputs; None is ignored."""
    if realpath(output) in {realpath(path) for path in inputs if path is not None}:
        raise DataError("the output would overwrite an input", path=output, hint=hint, code="output-is-input")


def require_output_file(
    output: Path,
    inputs: Iterable[Path | None] = (),
    is_replaceable: Callable[[Path], bool] | None = None,
    hint: str = HINT_OTHER_PATH,
) -> None:
    """Check before long work that a file can be written and that nothing else is lost.

    Args:
        output: The file to be written.
        inputs: Files that are read; None is ignored.
        is_replaceable: Whether an existing file may be overwritten, usually because an earlier run wrote it.
        hint: How to fix it.

    Raises:
        DataError: `output` is a folder, one of the inputs, a file that may not be overwritten, or cannot be written.
    """
    require_not_input(output, *inputs, hint=hint)
    if output.exists() or output.name in ("", ".."):
        require_file(output, hint)
    parent = next(parent for parent in output.absolute().parents if os.path.lexists(parent))
    if not parent.is_dir():
        raise DataError(f"{parent} is not a folder", path=output, hint=hint, code="not-a-directory")
    if not os.access(parent, os.W_OK):
        raise DataError(f"{parent} is not writable", path=output, hint=hint, code="permission-denied")
    if is_replaceable is not None and output.exists() and not is_replaceable(output):
        raise DataError("exists and was not written by wtal", path=output, hint=hint, code="already-exists")


# --- Writing ----------------------------------------------------------------------------------------------------------


def atomic_write(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file completely or not at all: `write` fills a temporary file, which then replaces `path`.

    Raises:
        DataError: The disk is full, or the path cannot be written or is not a regular file.
    """
    part = _temporary_sibling(path, "part")
    try:
        if path.exists():
            require_file(path, HINT_OTHER_PATH)
        path.parent.mkdir(parents=True, exist_ok=True)
        write(part)
        part.replace(path)
    except OSError as error:
        raise to_data_error(error, path) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def atomic_write_dir(folder: Path, write: Callable[[Path], object]) -> None:
    """Write a folder completely or not at all: readers see the old folder or the new one, never a mixture.

    A symbolic link is replaced by the folder; its target is left unchanged.

    Raises:
        DataError: The disk is full, the path cannot be written, or it is a file.
    """
    part, old = _temporary_sibling(folder, "part"), _temporary_sibling(folder, "old")
    try:
        if folder.exists():
            require_folder(folder, HINT_OTHER_PATH)
        shutil.rmtree(part, ignore_errors=True)  # left by a killed process that had the same id
        part.mkdir(parents=True)
        write(part)
        if os.path.lexists(folder):
            folder.replace(old)
        part.replace(folder)
    except OSError as error:
        raise to_data_error(error, folder) from error
    finally:
        with suppress(OSError):
            if os.path.lexists(old) and not os.path.lexists(folder):
                old.replace(folder)
            if old.is_symlink():
                old.unlink()
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _temporary_sibling(path: Path, suffix: str) -> Path:
    """A temporary path in the same folder. Raises DataError for paths like `.`, which nothing can be renamed to."""
    if path.name in ("", ".."):
        raise DataError("cannot be replaced", path=path, hint="pass a file or folder inside it", code="invalid-path")
    return path.with_name(f".{path.name}.{os.getpid()}.{suffix}")


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically. Raises DataError where it cannot be written or is not valid Unicode."""
    try:
        content = text.encode()
    except UnicodeEncodeError as error:
        excerpt = text[max(0, error.start - 20) : error.end + 20]
        raise DataError(
            f"cannot be written as UTF-8: {excerpt!a} contains an unpaired surrogate",
            path=path,
            hint="correct that name",
            code="invalid-unicode",
        ) from error
    atomic_write(path, lambda part: part.write_bytes(content))


def write_json(path: Path, value: Any, indent: int | None = 1) -> None:
    """Write JSON atomically. Raises DataError where it cannot be written, ValueError for NaN and infinity."""
    write_text(path, json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False) + "\n")


def write_tensors(tensors: "dict[str, Tensor]", path: Path) -> None:
    """Write a safetensors file. Raises OSError where it cannot be written; call it inside `atomic_write`."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    except SafetensorError as error:  # usually because the disk is full
        raise OSError(f"{path.name} cannot be written ({error}); check the free disk space") from error


def append_line(path: Path, line: str) -> None:
    """Append a line to a UTF-8 text file. Raises DataError where it cannot be written."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    except OSError as error:
        raise to_data_error(error, path) from error


# --- Reading ----------------------------------------------------------------------------------------------------------


def open_input(path: Path, max_bytes: int | None = None, hint: str | None = None) -> BinaryIO:
    """Open a file of a user for reading. All such files are opened here.

    Named pipes, devices and sockets are refused without reading, which could wait forever.

    Args:
        path: The file.
        max_bytes: The largest size that is accepted, None for any.
        hint: How to fix a missing or unreadable file.

    Raises:
        DataError: The file is missing, cannot be opened, is not a regular file, or is too large.
    """
    try:
        if path.exists():
            require_file(path, hint)
        # The path can become a pipe after this check. Without O_NONBLOCK, opening it would wait for a writer.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        file = os.fdopen(os.open(path, flags), "rb")
    except OSError as error:
        raise to_data_error(error, path, hint) from error
    except ValueError as error:
        raise DataError("contains a null character", path=repr(path), hint=hint, code="invalid-path") from error
    status = os.fstat(file.fileno())
    if stat.S_ISREG(status.st_mode) and (max_bytes is None or status.st_size <= max_bytes):
        return file
    file.close()
    if not stat.S_ISREG(status.st_mode):
        raise DataError("is not a regular file", path=path, hint=hint, code="not-a-file")
    message = f"{status.st_size:,} bytes, more than the {max_bytes:,} that are read"
    raise DataError(message, path=path, hint=hint or "use a smaller file", code="file-too-large")


def read_bytes(path: Path, max_bytes: int, hint: str | None = None) -> bytes:
    """The content of a file. Raises DataError as `open_input`, or if it cannot be read."""
    with open_input(path, max_bytes, hint) as file:
        try:
            return file.read(max_bytes)  # the file may have grown
        except OSError as error:
            raise to_data_error(error, path, hint) from error


def read_tensors(path: Path, max_bytes: int | None = None) -> "dict[str, Tensor]":
    """Read a safetensors file. Raises DataError as `open_input`, or if it is not a complete safetensors file."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    open_input(path, max_bytes).close()
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        message = f"not a safetensors file, or incomplete ({error})"
        raise DataError(message, path=path, hint="copy it again", code="invalid-safetensors") from error


def read_text(path: Path) -> str:
    """Read UTF-8 text, with or without a byte order mark.

    Raises:
        DataError: The file is missing, cannot be read, is not a regular file, is too large, or is not UTF-8.
    """
    data = read_bytes(path, MAX_TEXT_BYTES)
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise DataError(
            "not UTF-8 text",
            path=path,
            location=f"line {line}",
            hint="save the file with the encoding UTF-8",
            code="invalid-encoding",
        ) from error


def read_json(path: Path, object_pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """Read a JSON file. Integers with more digits than Python converts become infinity.

    Args:
        path: The file.
        object_pairs_hook: As in `json.loads`.

    Raises:
        DataError: As `read_text`, or the file is not valid JSON (with the line).
    """
    text = read_text(path)
    if text.count("{") + text.count("[") > MAX_JSON_CONTAINERS:
        message = f"more than {MAX_JSON_CONTAINERS:,} objects and lists"
        raise DataError(message, path=path, hint="split the file", code="file-too-large")
    try:
        return json.loads(text, object_pairs_hook=object_pairs_hook, parse_int=_parse_int)
    except json.JSONDecodeError as error:
        raise DataError(
            f"not valid JSON ({error.msg})",
            path=path,
            location=f"line {error.lineno}",
            hint="the file may be incomplete, export or copy it again",
            code="invalid-json",
        ) from error
    except RecursionError as error:
        raise DataError("JSON is nested too deeply", path=path, hint="export it again", code="invalid-json") from error


def read_json_as(path: Path, fields: type[Fields], content: str, hint: str) -> Fields:
    """Read a JSON file that holds the fields of a pydantic class.

    Args:
        path: The file.
        fields: The class.
        content: What the file should be, for the error: `the record of a model`.
        hint: How to fix invalid values.

    Raises:
        DataError: As `read_json`, or a value is missing or invalid.
    """
    from pydantic import ValidationError

    try:
        return fields.model_validate(read_json(path))
    except ValidationError as error:
        message = f"not {content} ({first_validation_error(error)})"
        raise DataError(message, path=path, hint=hint, code="invalid-value") from error


def _parse_int(digits: str) -> int | float:
    """Python refuses thousands of digits with a ValueError that has no line; infinity is rejected with the entry."""
    try:
        return int(digits)
    except ValueError:
        return float(digits)


# --- Locking ----------------------------------------------------------------------------------------------------------


@contextmanager
def directory_lock(
    folder: Path, hint: str = "wait for it, or choose another folder", timeout: float = 0.0
) -> Iterator[None]:
    """Create a folder and lock it against other processes. The lock ends with the process, however it ends.

    On file systems without locks the folder is used unlocked.

    Args:
        folder: The folder.
        hint: What to do while another process holds the lock.
        timeout: Seconds to wait for the lock.

    Raises:
        DataError: Another process holds the lock, or the folder cannot be created.
    """
    import filelock  # here: its import takes a tenth of a second

    lock = filelock.FileLock(folder / LOCK_NAME, timeout=timeout)
    try:
        if folder.exists():
            require_folder(folder, HINT_OTHER_PATH)
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except filelock.Timeout as error:
        raise DataError("another process is writing to this folder", path=folder, hint=hint, code="locked") from error
    except NotImplementedError:  # the file system has no locks, in older versions of filelock
        pass
    except OSError as error:
        if error.errno not in LOCKS_UNSUPPORTED:
            raise to_data_error(error, folder, HINT_OTHER_PATH) from error
    try:
        yield
    finally:
        lock.release()
