"""NumPy arrays of Python objects from public bundles, read without unpickling anything in this process."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from wtal.core.errors import DataError

UNPICKLE = Path(__file__).with_name("safe_pickle_worker.py")


def read_object_array(path: Path, spill: Path | None = None, met: Callable[[int], object] | None = None) -> Any:
    """The values of a .npy file as nested lists, texts and numbers, whether it holds objects or not.

    With `spill`, each 2-D array inside an object array is written to that folder and stands as
    {"spilled": file name}; `met` hears how many there are so far. Memory then holds one of them at a time.
    Raises DataError when the file is missing, no array, or holds more than arrays, lists, texts and numbers.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file; copy the whole bundle") from error
    except (ValueError, EOFError, OSError) as error:
        if "Python objects" in str(error):
            return _in_another_process(path, spill, met)
        raise DataError(f"{path}: not a .npy file, or cut off; copy it again") from error
    if not isinstance(array, np.ndarray):
        raise DataError(f"{path}: not a .npy file; copy it again")
    return _decoded(array.tolist())


def _in_another_process(path: Path, spill: Path | None, met: Callable[[int], object] | None) -> Any:
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "said").open("w+") as said:
        values = Path(folder) / "values.json"
        command = [
            sys.executable,
            "-P",
            str(UNPICKLE),
            str(path),
            str(values),
            *([str(spill)] if spill else []),
        ]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True)
        try:
            assert process.stdout is not None
            with process.stdout as lines:
                for line in lines:
                    if met:
                        met(int(line))
            code = process.wait()
        finally:
            process.kill()
            process.wait()
        if code != 0:
            said.seek(0)
            reason = (said.read().strip().splitlines() or [f"stopped with code {code}"])[-1]
            raise DataError(f"{path}: not a safe array of arrays ({reason}); download the bundle again")
        return json.loads(values.read_text(encoding="utf-8"))


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
