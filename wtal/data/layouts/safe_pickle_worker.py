"""Reads an untrusted NumPy array of objects. Run by `safe_pickle` as a separate process.

A pickle names the functions that it wants to have called. `ArrayUnpickler` accepts only the names that build arrays,
and replaces each by a class or function of this module, so no code that the pickle chooses is run.
"""

import json
import pickle
import re
import sys
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np
from numpy.lib import format as npy

DTYPE_NAME = re.compile(r"[<>|=]?[fiubSU]\d{1,5}")
OBJECT_DTYPES = ("O", "O8", "|O", "O4")
MAX_MEMO_BYTES = 1 << 16  # larger strings cannot be referred to again inside the pickle


class DtypeStandIn:
    """Replaces numpy.dtype. Rejects everything except numbers, strings and objects."""

    def __init__(self, name: bytes | str, *_: object) -> None:
        name = to_text(name)
        self.is_object = name in OBJECT_DTYPES
        if not self.is_object and not DTYPE_NAME.fullmatch(name):
            reject(f"an array of {name!r}")
        self.numpy = np.dtype("i1" if self.is_object else name)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        byte_order = to_text(state[1])
        if byte_order in "<>":
            self.numpy = self.numpy.newbyteorder("<" if byte_order == "<" else ">")


class SpilledFile(str):
    """The name of a file that an array was written to. A pickle cannot contain one."""


class ArrayStandIn:
    """Replaces numpy.ndarray. Its value is a nested list, or the name of the file that it was written to."""

    array_dir: Path | None = None  # 2-D arrays of numbers are written to this folder
    num_files = 0

    def __init__(self, *_: object) -> None:
        self.value: Any = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, is_fortran, content = state
        if dtype.is_object:
            if len(shape) != 1:
                reject(f"objects in {len(shape)} dimensions")
            self.value = list(content)
            return
        array = np.frombuffer(content, dtype.numpy).reshape(shape, order="F" if is_fortran else "C")
        if ArrayStandIn.array_dir is None or array.ndim != 2:
            self.value = array.tolist()
            return
        name = f"{ArrayStandIn.num_files:07d}.npy"
        with (ArrayStandIn.array_dir / name).open("wb") as file:
            npy.write_array(file, array, allow_pickle=False)
        self.value = SpilledFile(name)
        ArrayStandIn.num_files += 1
        print(ArrayStandIn.num_files, flush=True)  # progress, read by the parent process


def scalar(dtype: DtypeStandIn, content: bytes) -> Any:
    """Replaces numpy.core.multiarray.scalar."""
    if dtype.is_object:
        reject("an object scalar")
    return np.frombuffer(content, dtype.numpy)[0].item()


def encode(value: str, codec: bytes | str) -> bytes:
    """Replaces _codecs.encode, which old protocols use for bytes of Python 3."""
    if to_text(codec) != "latin1":
        reject(f"the codec {codec!r}")
    return value.encode("latin1")


REPLACEMENTS: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): ArrayStandIn,
    ("numpy", "dtype"): DtypeStandIn,
    ("_codecs", "encode"): encode,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): ArrayStandIn for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): scalar for core in ("core", "_core")},
}


class BoundedMemo(dict[int, Any]):
    """A pickle memo that does not keep large strings. Otherwise all arrays would stay in memory."""

    def __setitem__(self, key: int, value: Any) -> None:
        items = value if isinstance(value, tuple) else (value,)  # an array's state is a tuple with its content
        is_large = any(isinstance(item, bytes | str) and len(item) > MAX_MEMO_BYTES for item in items)
        super().__setitem__(key, None if is_large else value)


# The Python implementation, because the C implementation does not let its memo be replaced.
class ArrayUnpickler(pickle._Unpickler):
    """Builds arrays, lists, tuples, strings and numbers, and rejects every other name."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="bytes")
        self.memo: dict[int, Any] = BoundedMemo()

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in REPLACEMENTS:
            reject(f"the name {module}.{name}")
        return REPLACEMENTS[module, name]


def reject(content: str) -> NoReturn:
    """Raise UnpicklingError."""
    raise pickle.UnpicklingError(f"contains {content}, which is not allowed")


def to_text(value: bytes | str) -> str:
    """Text of Python 2, which is unpickled as bytes, as a string."""
    if isinstance(value, str):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin1")


def to_json(value: Any) -> Any:
    """Lists, strings and numbers. Rejects other types."""
    if isinstance(value, ArrayStandIn):
        return to_json(value.value)
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, bytes):
        return to_text(value)
    if isinstance(value, SpilledFile):
        return {"spilled": str(value)}
    if value is None or isinstance(value, str | int | float):
        return value
    reject(f"a {type(value).__name__}")


def main(source: Path, values: Path, array_dir: Path | None) -> None:
    """Read the .npy file `source`. Write its values to the JSON file `values`, 2-D arrays to `array_dir`."""
    ArrayStandIn.array_dir = array_dir
    with source.open("rb") as file:
        read_header = npy.read_array_header_1_0 if npy.read_magic(file) == (1, 0) else npy.read_array_header_2_0
        read_header(file)
        values.write_text(json.dumps(to_json(ArrayUnpickler(file).load())), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) > 3 else None)
