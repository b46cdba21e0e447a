"""Reading NumPy arrays of Python objects from public bundles without unpickling anything in this process."""

import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wtal.core.errors import DataError
from wtal.core.io import open_input, to_data_error
from wtal.core.text import one_line
from wtal.data.arrays import map_array, read_array_header
from wtal.data.layouts.safe_pickle_worker import MAX_VALUES
from wtal.data.problems import abbreviate

HINT_COPY = "copy the whole bundle again"
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
        with open_input(path, hint=HINT_COPY) as file:
            header = read_array_header(file, path)
            if header.dtype.hasobject:
                return _read_in_worker(path, array_dir, on_array)
            count = math.prod(header.shape)
            if header.dtype.kind not in "biufSU" or max(count, count * header.dtype.itemsize // 64) > MAX_VALUES:
                message = f"expected at most {MAX_VALUES:,} numbers or texts, not {header.dtype} in {header.shape}"
                raise DataError(message, path=path, hint=HINT_COPY, code="invalid-array")
            return _decode(map_array(file, path, header).tolist())
    except OSError as error:
        raise to_data_error(error, path, HINT_COPY) from error


def _read_in_worker(path: Path, array_dir: Path | None, on_array: Callable[[int], object] | None) -> Any:
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "stderr").open("w+") as stderr:
        values = Path(folder) / "values.json"
        command = [sys.executable, "-P", str(WORKER), str(path), str(values)]
        if array_dir is not None:
            command.append(str(array_dir))
        # The worker ends when its standard input does, however this process ends.
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True)
        assert process.stdin is not None and process.stdout is not None
        try:
            with process.stdout as lines:
                for line in lines:
                    if on_array:
                        on_array(int(line))
            exit_code = process.wait()
        finally:
            process.kill()
            process.wait()
            process.stdin.close()
        if exit_code != 0:
            stderr.seek(0)
            reason = one_line((stderr.read().strip().splitlines() or [f"exit code {exit_code}"])[-1])
            message = f"not a safe array of arrays ({abbreviate(reason, 200)})"
            raise DataError(message, path=path, hint="download the bundle again", code="unsafe-array")
        return json.loads(values.read_text(encoding="utf-8"))


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode(item) for item in value]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
