"""Feature files: `features/<id>.npy` with T snippets x D numbers, memory-mapped and checked when opened."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from wtal.core.errors import DataError
from wtal.core.io import atomic_write, open_input, to_data_error
from wtal.data.arrays import map_array, read_array_header

MAX_ID_BYTES = 220  # file systems allow 255 for a name, `.npy` and the suffix of a temporary file included
NUMBERS_PER_PART = 1 << 22  # read at once when a whole file is checked: 16 MiB as float32
MAX_LISTED_RUNS = 3
HINT_EXTRACT = "extract it again"


def features_path(folder: Path, video_id: str) -> Path:
    """`features/<id>.npy` in the folder."""
    return folder / "features" / f"{video_id}.npy"


def is_file_name(id: str) -> bool:
    """Whether an id can be used as a file name."""
    try:
        is_short = len(id.encode()) <= MAX_ID_BYTES
    except UnicodeEncodeError:
        return False
    return is_short and id.strip() not in ("", ".", "..") and not set(id) & set("/\\\0")


def open_features(path: Path, width: int | None = None) -> NDArray[np.generic]:
    """Memory-map the features of one video. Only the header is read, and objects are never unpickled.

    The map keeps a file descriptor open as long as the array lives.

    Args:
        path: The .npy file.
        width: The expected D, None for any.

    Returns:
        T x D numbers in the stored dtype.

    Raises:
        DataError: The file is missing, empty, truncated, not an .npy file, or not T x `width` numbers with T > 0.
    """
    try:
        with open_input(path, hint=HINT_EXTRACT if path.exists() else "extract it, or correct the id") as file:
            header = read_array_header(file, path)
            _check_array(path, header.shape, header.dtype, width)
            return map_array(file, path, header)
    except OSError as error:
        raise to_data_error(error, path, HINT_EXTRACT) from error


def _check_array(path: Path, shape: tuple[int, ...], dtype: np.dtype, width: int | None) -> None:
    if dtype.hasobject:
        raise DataError(
            "contains Python objects, which are not unpickled",
            path=path,
            hint="save T x D numbers in one file per video, or run `wtal convert` on a whole data set",
            code="pickled-objects",
        )
    if dtype.kind not in "fiu":
        raise DataError(
            f"contains {dtype}, not numbers", path=path, hint="save float16 or float32", code="invalid-dtype"
        )
    if len(shape) != 2 or (width is not None and shape[1] != width) or shape[1] == 0:
        raise DataError(
            f"expected T x {'D' if width is None else width} features, got {_format_shape(shape)}",
            path=path,
            hint=f"{HINT_EXTRACT}, or correct `modalities` in dataset.json if this file is right",
            code="invalid-shape",
        )
    if shape[0] == 0:
        raise DataError("has 0 snippets", path=path, hint=f"{HINT_EXTRACT}, or remove the video", code="no-snippets")


def _format_shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "a single number"


def has_features(path: Path, length: int, width: int) -> bool:
    """Whether a feature file is complete and holds `length` x `width` numbers."""
    try:
        return len(open_features(path, width)) == length
    except DataError:
        return False


def write_features(path: Path, features: NDArray[np.generic]) -> None:
    """Write T x D features atomically. Raises DataError where the file cannot be written."""

    def write(part: Path) -> None:
        with part.open("wb") as file:
            npy.write_array(file, features, allow_pickle=False)

    atomic_write(path, write)


def write_features_in_parts(path: Path, parts: Iterable[NDArray[np.generic]]) -> int:
    """Write features to one file as they are computed; the file appears when it is complete.

    Args:
        path: The .npy file.
        parts: At least one array of n x D numbers.

    Returns:
        T, the number of snippets.

    Raises:
        DataError: The file cannot be written.
    """
    length = 0

    def write(temporary_path: Path) -> None:
        nonlocal length
        with temporary_path.open("wb") as file:
            for part in parts:
                if length == 0:
                    _write_header(file, 0, part)
                file.write(np.ascontiguousarray(part).tobytes())
                length += len(part)
            file.seek(0)
            _write_header(file, length, part)  # of the same size: numpy leaves room for T to grow

    atomic_write(path, write)
    return length


def _write_header(file: BinaryIO, length: int, part: NDArray[np.generic]) -> None:
    shape = (length, part.shape[1])
    npy.write_array_header_1_0(file, {"descr": part.dtype.str, "fortran_order": False, "shape": shape})


def find_non_finite(features: NDArray[np.generic]) -> list[tuple[int, int]]:
    """The snippets that contain NaN, or numbers that are infinite in float32.

    Args:
        features: T x D numbers; they are read in parts.

    Returns:
        Half-open ranges [start, end) of snippets.
    """
    is_bad = np.zeros(len(features), dtype=bool)  # T
    if features.dtype.kind != "f":
        return []
    for start, part in _iterate_parts(features):
        with np.errstate(over="ignore"):
            is_bad[start : start + len(part)] = ~np.isfinite(part.astype(np.float32)).all(axis=1)
    edges = np.flatnonzero(np.diff(np.r_[False, is_bad, False]))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def _iterate_parts(features: NDArray[np.generic]) -> Iterator[tuple[int, NDArray[np.generic]]]:
    step = max(1, NUMBERS_PER_PART // features.shape[1])
    for start in range(0, len(features), step):
        yield start, features[start : start + step]


def require_finite(features: NDArray[np.generic], path: Path) -> None:
    """Raise DataError where T x D features contain NaN or numbers that are infinite in float32."""
    runs = find_non_finite(features)
    if runs:
        raise DataError(
            f"{format_runs(runs)} NaN or infinite", path=path, hint="extract this video again", code="non-finite"
        )


def format_runs(runs: list[tuple[int, int]]) -> str:
    """[(3, 6), (9, 10)] -> 'snippets 3-5, 9 (4 in all) are'; snippets count from 0."""
    listed = ", ".join(
        str(start) if end == start + 1 else f"{start}-{end - 1}" for start, end in runs[:MAX_LISTED_RUNS]
    )
    total = sum(end - start for start, end in runs)
    if total == 1:
        return f"snippet {listed} is"
    return f"snippets {listed}{', ...' if len(runs) > MAX_LISTED_RUNS else ''} ({total} in all) are"
