"""Feature files: `<id>.npy`, T snippets x D numbers, memory-mapped and checked at the door."""

import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from wtal.core.errors import DataError
from wtal.core.io import atomic_write

NUMBERS_AT_ONCE = 1 << 22  # read per step when a whole file is looked through: 16 MiB as float32


def features_path(folder: Path, video_id: str) -> Path:
    """`features/<id>.npy` in the folder."""
    return folder / "features" / f"{video_id}.npy"


def is_file_name(id: str) -> bool:
    """Whether features can lie under this id."""
    try:
        short = len(id.encode()) <= 220  # file systems allow 255, `.npy` and a temporary name included
    except UnicodeEncodeError:
        return False
    return short and id.strip() not in ("", ".", "..") and not any(mark in id for mark in "/\\\0")


def open_features(path: Path, width: int | None = None) -> NDArray[np.generic]:
    """Memory-map one sequence's features, T x D in the stored dtype; nothing but the header is read.

    The map keeps one file descriptor open for as long as the array lives. Objects are never unpickled.
    Raises DataError when the file is missing, empty, cut off, no .npy, or not T x `width` numbers with T > 0.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            shape, fortran, dtype = _header(file, path, size)
            offset = file.tell()
        _require_snippets(path, shape, dtype, width)
        if offset + shape[0] * shape[1] * dtype.itemsize > size:
            raise DataError(
                f"{path}: the file is cut off, {size} bytes cannot hold {_times(shape)} {dtype} numbers; "
                f"copy or extract it again"
            )
        return np.memmap(path, dtype, "r", offset, (shape[0], shape[1]), "F" if fortran else "C")
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such feature file; extract it, or correct the id") from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"{path}: cannot be read as features ({reason}); extract it again") from error


def write_features(path: Path, features: NDArray[np.generic]) -> None:
    """Save T x D features at `path`, whole or not at all."""

    def write(part: Path) -> None:
        with part.open("wb") as file:
            npy.write_array(file, features, allow_pickle=False)

    atomic_write(path, write)


def write_features_in_parts(path: Path, parts: Iterable[NDArray[np.generic]]) -> int:
    """Save n x D parts, as they come, as one T x D file, whole or not at all; returns T. At least one part."""
    count = 0

    def write(place: Path) -> None:
        nonlocal count
        with place.open("wb") as file:
            for part in parts:
                if count == 0:
                    _write_header(file, 0, part)
                file.write(np.ascontiguousarray(part).tobytes())
                count += len(part)
            file.seek(0)
            _write_header(file, count, part)  # as long as before: numpy leaves room for T to grow

    atomic_write(path, write)
    return count


def not_finite(features: NDArray[np.generic]) -> list[tuple[int, int]]:
    """Half-open [start, end) of every run of snippets that hold NaN or what float32 calls infinite. T x D."""
    bad = np.zeros(len(features), dtype=bool)  # T
    if features.dtype.kind != "f":
        return []
    for start, part in _parts(features):
        with np.errstate(over="ignore"):
            bad[start : start + len(part)] = ~np.isfinite(part.astype(np.float32)).all(axis=1)
    edges = np.flatnonzero(np.diff(np.r_[False, bad, False]))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def require_finite(features: NDArray[np.generic], path: Path) -> None:
    """Raise DataError naming the first runs of snippets that are not finite. T x D, read in parts."""
    runs = not_finite(features)
    if runs:
        raise DataError(f"{path}: {describe_runs(runs)} NaN or infinite; extract this sequence again")


def describe_runs(runs: list[tuple[int, int]], most: int = 3) -> str:
    """[(3, 6), (9, 10)] -> 'snippets 3-5, 9 (4 in all) are'; snippets count from 0."""
    shown = ", ".join(str(a) if b == a + 1 else f"{a}-{b - 1}" for a, b in runs[:most])
    total = sum(b - a for a, b in runs)
    if total == 1:
        return f"snippet {shown} is"
    return f"snippets {shown}{', ...' if len(runs) > most else ''} ({total} in all) are"


def _write_header(file: BinaryIO, count: int, part: NDArray[np.generic]) -> None:
    shape = (count, part.shape[1])
    npy.write_array_header_1_0(file, {"descr": part.dtype.str, "fortran_order": False, "shape": shape})


def _header(file: BinaryIO, path: Path, size: int) -> tuple[tuple[int, ...], bool, np.dtype]:
    if size == 0:
        raise DataError(f"{path}: the file is empty (0 bytes); copy or extract it again")
    try:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read(file)
    except (ValueError, SyntaxError, TypeError, KeyError, tokenize.TokenError, RecursionError) as error:
        raise DataError(
            f"{path}: not a .npy file, or its header is cut off; save the features with numpy.save"
        ) from error
    if any(length < 0 for length in shape):
        raise DataError(f"{path}: the header names a negative length; save the features with numpy.save")
    return shape, fortran, dtype


def _require_snippets(path: Path, shape: tuple[int, ...], dtype: np.dtype, width: int | None) -> None:
    if dtype.hasobject:
        raise DataError(
            f"{path}: holds Python objects, which are never unpickled here; save T x D numbers, "
            f"one file a sequence, or run `wtal convert` on a whole bundle"
        )
    if dtype.kind not in "fiu":
        raise DataError(f"{path}: holds {dtype}, not numbers; save the features as float16 or float32")
    expected = f"T x {'D' if width is None else width}"
    if len(shape) != 2 or (width is not None and shape[1] != width) or shape[1] == 0:
        raise DataError(
            f"{path}: expected {expected} features, found {_times(shape)}; extract it again, "
            f"or mend `modalities` in dataset.json if this file is the one that is right"
        )
    if shape[0] == 0:
        raise DataError(f"{path}: has 0 snippets; extract it again, or take the sequence out of the set")


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "a single number"


def _parts(features: NDArray[np.generic]) -> Iterator[tuple[int, NDArray[np.generic]]]:
    step = max(1, NUMBERS_AT_ONCE // features.shape[1])
    for start in range(0, len(features), step):
        yield start, features[start : start + step]
