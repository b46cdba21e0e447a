"""Reading NumPy arrays of Python objects from public bundles without unpickling anything in this process."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from wtal.core.errors import DataError

WORKER = Path(__file__).with_name("safe_pickle_worker.py")


def read_object_array(
    path: Path, array_dir: Path | None = None, on_array: Callable[[int], object] | None = None
) -> Any:
    """Read a .npy file that may hold Python objects. A separate process reads objects and builds only arrays.

    Args:
        path: The .npy file.
        array_dir: A folder for the 2-D number arrays in an array of objects. Each is written to a file as soon as it
            is read, so that one at a time is in memory, and is returned as `{"spilled": file name}`. None to return
            them as lists.
        on_array: Called with the number of arrays written so far.

    Returns:
        Nested lists, strings and numbers.

    Raises:
        DataError: The file is missing, is not a complete .npy file, or holds anything else.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        hint = "copy the whole bundle again"
        raise DataError("file not found", path=path, hint=hint, code="file-not-found") from error
    except (ValueError, EOFError, OSError) as error:
        if "Python objects" in str(error):
            return _read_in_worker(path, array_dir, on_array)
        raise _not_npy(path) from error
    if not isinstance(array, np.ndarray):  # a .npz file
        raise _not_npy(path)
    return _decode(array.tolist())


def _read_in_worker(path: Path, array_dir: Path | None, on_array: Callable[[int], object] | None) -> Any:
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "stderr").open("w+") as stderr:
        values = Path(folder) / "values.json"
        command = [sys.executable, "-P", str(WORKER), str(path), str(values)]
        if array_dir is not None:
            command.append(str(array_dir))
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)
        try:
            assert process.stdout is not None
            with process.stdout as lines:
                for line in lines:
                    if on_array:
                        on_array(int(line))
            exit_code = process.wait()
        finally:
            process.kill()
            process.wait()
        if exit_code != 0:
            stderr.seek(0)
            reason = (stderr.read().strip().splitlines() or [f"exit code {exit_code}"])[-1]
            message = f"not a safe array of arrays ({reason})"
            raise DataError(message, path=path, hint="download the bundle again", code="unsafe-array")
        return json.loads(values.read_text(encoding="utf-8"))


def _not_npy(path: Path) -> DataError:
    return DataError("not a .npy file, or incomplete", path=path, hint="copy it again", code="invalid-array")


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode(item) for item in value]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
