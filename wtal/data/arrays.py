"""Headers of .npy files: checked before anything is allocated, and mapped instead of read. Nothing is unpickled."""

import math
import os
import tokenize
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from wtal.core.errors import DataError

HINT_SAVE = "save the array with numpy.save"


@dataclass(frozen=True)
class ArrayHeader:
    """What an .npy file declares. `offset` is where its numbers start, in bytes."""

    shape: tuple[int, ...]
    is_fortran: bool
    dtype: np.dtype
    offset: int


def read_array_header(file: BinaryIO, path: Path) -> ArrayHeader:
    """Read and check the header of an .npy file, which may declare Python objects.

    Args:
        file: The open file, at its start.
        path: Its path, for error messages.

    Raises:
        DataError: The file is empty or not an .npy file, or the header is malformed or declares items of 0 bytes, which
            would take memory without end.
    """
    if not os.fstat(file.fileno()).st_size:
        raise DataError("the file is empty", path=path, hint="copy it again", code="empty-file")
    try:
        version = npy.read_magic(file)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, is_fortran, dtype = read_header(file)
    except (ValueError, SyntaxError, TypeError, KeyError, tokenize.TokenError, RecursionError, MemoryError) as error:
        message = "not an .npy file, or its header is truncated"
        raise DataError(message, path=path, hint=HINT_SAVE, code="invalid-npy") from error
    if not all(type(length) is int and length >= 0 for length in shape):
        raise DataError(f"the header has the shape {shape}", path=path, hint=HINT_SAVE, code="invalid-npy")
    if dtype.itemsize == 0:
        raise DataError(f"contains {dtype} items of 0 bytes", path=path, hint=HINT_SAVE, code="invalid-dtype")
    return ArrayHeader(shape, is_fortran, dtype, file.tell())


def map_array(file: BinaryIO, path: Path, header: ArrayHeader) -> NDArray[np.generic]:
    """Memory-map the array behind a header; the map keeps a file descriptor open as long as it lives.

    Raises:
        DataError: The file is truncated.
        OSError: The file cannot be mapped.
    """
    size = os.fstat(file.fileno()).st_size
    if header.offset + math.prod(header.shape) * header.dtype.itemsize > size:
        shape = " x ".join(map(str, header.shape)) or "1"
        raise DataError(
            f"the file is truncated: {size} bytes cannot hold {shape} {header.dtype} numbers",
            path=path,
            hint="copy or extract it again",
            code="truncated-file",
        )
    if 0 in header.shape:
        return np.empty(header.shape, header.dtype)
    return np.memmap(file, header.dtype, "r", header.offset, header.shape, "F" if header.is_fortran else "C")
