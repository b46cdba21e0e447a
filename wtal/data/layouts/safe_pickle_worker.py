"""Reads an untrusted NumPy array of objects. Run by `safe_pickle` as a separate process.

A pickle names the functions that it wants to have called. `ArrayUnpickler` accepts only the names that build arrays,
and replaces each by a class or function of this module, so no code that the pickle chooses is run. The process has
limits of memory and time, and ends with its parent.
"""

import io
import json
import os
import pickle
import re
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import numpy as np
from numpy.lib import format as npy

DTYPE_NAME = re.compile(r"[<>|=]?[fiubSU]\d{1,5}")
OBJECT_DTYPES = ("O", "O8", "|O", "O4")
MAX_VALUES = 1_000_000  # in the lists of one file, where long texts count as several; ActivityNet has 100,000
MAX_MEMORY = 2 << 30  # bytes; several times the largest array of a bundle
MIN_SECONDS = 60.0  # for small files; the time limit grows with the size of the file
MIN_BYTES_PER_SECOND = 2_000_000  # a slow disk and processor read 20 times as many
MAX_MEMO_BYTES = 1 << 16  # larger strings cannot be referred to again inside the pickle


class StandIn(ABC):
    """What replaces a class of NumPy. Only stand-ins can be given a state."""

    @abstractmethod
    def __setstate__(self, state: tuple[Any, ...]) -> None: ...


class DtypeStandIn(StandIn):
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


class ArrayStandIn(StandIn):
    """Replaces numpy.ndarray. Its value is a nested list, or the name of the file that it was written to."""

    array_dir: Path | None = None  # 2-D arrays of numbers are written to this folder
    num_files = 0
    max_bytes = 0  # that may still be written

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
        ArrayStandIn.max_bytes -= array.nbytes  # one array can be referred to many times
        if ArrayStandIn.max_bytes < 0:
            reject("arrays that are larger than the file")
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


class BoundedReads:
    """A file of which no more is read than it has: `read(n)` would allocate n bytes first, which a pickle chooses."""

    def __init__(self, file: io.BufferedIOBase) -> None:
        self.file = file
        start = file.tell()
        self.size = file.seek(0, os.SEEK_END)
        file.seek(start)
        self.readline = file.readline
        self.readinto = file.readinto

    def read(self, size: int) -> bytes:
        return self.file.read(min(size, self.size - self.file.tell()))


# The Python implementation, because the C implementation does not let its memo be replaced.
class ArrayUnpickler(pickle._Unpickler):
    """Builds arrays, lists, tuples, strings and numbers, and rejects every other name."""

    dispatch: ClassVar[dict[int, Callable[..., None]]] = dict(pickle._Unpickler.dispatch)
    stack: list[Any]  # this and the two functions are set by `load`
    append: Callable[[Any], None]
    read: Callable[[int], bytes]

    def __init__(self, file: io.BufferedIOBase) -> None:
        super().__init__(BoundedReads(file), encoding="bytes")
        self.memo: dict[int, Any] = BoundedMemo()

    def load_build(self) -> None:
        """Give a stand-in its state. Python's own would also set attributes of functions and classes."""
        state = self.stack.pop()
        instance = self.stack[-1]
        if not isinstance(instance, StandIn):
            reject(f"a state for a {type(instance).__name__}")
        instance.__setstate__(state)

    def load_bytearray8(self) -> None:
        """Read the bytes; Python's own would allocate any size first."""
        length = int.from_bytes(self.read(8), "little")
        self.append(bytearray(self.read(length)))

    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8

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


class JsonConverter:
    """Copies values into lists, strings and numbers, and rejects other types and more than `MAX_VALUES`.

    Values are counted, because a short pickle can hold the same list many times at every level.
    """

    def __init__(self) -> None:
        self.remaining = MAX_VALUES

    def convert(self, value: Any) -> Any:
        if isinstance(value, ArrayStandIn):
            return self.convert(value.value)
        self.remaining -= 1 + (len(value) // 64 if isinstance(value, str | bytes) else 0)
        if self.remaining < 0:
            reject(f"more than {MAX_VALUES:,} values")
        if isinstance(value, list | tuple):
            return [self.convert(item) for item in value]
        if isinstance(value, bytes):
            return to_text(value)
        if isinstance(value, SpilledFile):
            return {"spilled": str(value)}
        if value is None or isinstance(value, str | int | float):
            return value
        reject(f"a {type(value).__name__}")


def limit_process(seconds: float) -> None:
    """Bound the memory and time of this process, and end it with its parent."""
    with suppress(ImportError, OSError, ValueError):  # Windows has no `resource`
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (MAX_MEMORY, MAX_MEMORY))
    timer = threading.Timer(seconds, end_process, (f"it takes longer than {seconds:.0f} s",))
    parent = threading.Thread(target=end_with_parent)
    for thread in (timer, parent):
        thread.daemon = True
        thread.start()


def end_with_parent() -> None:
    """Wait for the end of the standard input, which the parent holds open as long as it lives."""
    while os.read(0, 1024):
        pass
    end_process("the parent process ended")


def end_process(reason: str) -> None:
    """End this process from any thread."""
    print(reason, file=sys.stderr, flush=True)
    os._exit(1)


def main(source: Path, values: Path, array_dir: Path | None) -> None:
    """Read the .npy file `source`. Write its values to the JSON file `values`, 2-D arrays to `array_dir`."""
    with source.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        limit_process(MIN_SECONDS + size / MIN_BYTES_PER_SECOND)
        ArrayStandIn.array_dir, ArrayStandIn.max_bytes = array_dir, size
        read_header = npy.read_array_header_1_0 if npy.read_magic(file) == (1, 0) else npy.read_array_header_2_0
        read_header(file)
        value = JsonConverter().convert(ArrayUnpickler(file).load())
    values.write_text(json.dumps(value), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) > 3 else None)
