"""A process of its own: read a NumPy object array from a file that nobody has to trust.

Run by `object_array` for objects; its unpickler also reads I3D's weights, which are numbers alone. Only
array-building names are admitted, and each stands for a small class here, so no code of the pickle's choosing is
called. 2-D number arrays go to disk as they are met.
"""

import json
import pickle
import re
import sys
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

PLAIN = re.compile(r"[<>|=]?[fiubSU]\d{1,5}")
BIG = 1 << 16  # bytes; what is bigger is not kept for later reference inside the pickle


class Dtype:
    """Stands for numpy.dtype. Refuses all but numbers, strings and objects."""

    def __init__(self, name: bytes | str, *_: object) -> None:
        name = text(name)
        self.objects = name in ("O", "O8", "|O", "O4")
        if not self.objects and not PLAIN.fullmatch(name):
            raise pickle.UnpicklingError(f"arrays of {name!r} are not read")
        self.numpy = np.dtype("i1" if self.objects else name)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = text(state[1])
        if order in "<>":
            self.numpy = self.numpy.newbyteorder("<" if order == "<" else ">")


class Spilled(str):
    """The name of a file that an array was put in; none but ours can be in a pickle."""


class Array:
    """Stands for numpy.ndarray: a nested list, or the name of the file it was put in."""

    spill: Path | None = None  # where 2-D number arrays go
    spilled = 0

    def __init__(self, *_: object) -> None:
        self.value: Any = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, raw = state
        if dtype.objects:
            self.value = list(raw) if len(shape) == 1 else refuse(f"objects in {len(shape)} dimensions")
            return
        array = np.frombuffer(raw, dtype.numpy).reshape(shape, order="F" if fortran else "C")
        if Array.spill is None or array.ndim != 2:
            self.value = array.tolist()
            return
        name = f"{Array.spilled:07d}.npy"
        with (Array.spill / name).open("wb") as file:
            npy.write_array(file, array, allow_pickle=False)
        self.value = Spilled(name)
        Array.spilled += 1
        print(Array.spilled, flush=True)  # progress, read by the parent


def scalar(dtype: Dtype, raw: bytes) -> Any:
    """Stands for numpy.core.multiarray.scalar."""
    return refuse("an object scalar") if dtype.objects else np.frombuffer(raw, dtype.numpy)[0].item()


def encode(value: str, codec: bytes | str) -> bytes:
    """Stands for _codecs.encode, by which Python 3 writes bytes in the old protocols."""
    return value.encode("latin1") if text(codec) == "latin1" else refuse(f"codec {codec!r}")


ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): Array,
    ("numpy", "dtype"): Dtype,
    ("_codecs", "encode"): encode,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): Array for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): scalar for core in ("core", "_core")},
}


class SparingMemo(dict[int, Any]):
    """A pickle's memo that lets big byte strings go: else every array would stay in memory."""

    def __setitem__(self, key: int, value: Any) -> None:
        held = value if isinstance(value, tuple) else (value,)  # an array's state is a tuple round its bytes
        big = any(isinstance(item, bytes | str) and len(item) > BIG for item in held)
        super().__setitem__(key, None if big else value)


# The Python one: the C one keeps its memo to itself.
class ArraysOnly(pickle._Unpickler):
    """Builds arrays and plain values; every other name is refused."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="bytes")
        self.memo: dict[int, Any] = SparingMemo()

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ADMITTED:
            refuse(f"the name {module}.{name}")
        return ADMITTED[module, name]


def refuse(what: str) -> Any:
    raise pickle.UnpicklingError(f"holds {what}, which no array needs")


def text(value: bytes | str) -> str:
    """Python 2 wrote bytes where we mean text."""
    if isinstance(value, str):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin1")


def plain(value: Any) -> Any:
    """Lists, texts and numbers, as JSON has them."""
    if isinstance(value, Array):
        return plain(value.value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return text(value)
    if isinstance(value, Spilled):
        return {"spilled": str(value)}
    if value is None or isinstance(value, str | int | float):
        return value
    return refuse(f"a {type(value).__name__}")


def main(source: Path, values: Path, spill: Path | None) -> None:
    """Read `source`; its values go to the JSON file `values`, 2-D number arrays to the folder `spill`."""
    Array.spill = spill
    with source.open("rb") as file:
        read = npy.read_array_header_1_0 if npy.read_magic(file) == (1, 0) else npy.read_array_header_2_0
        read(file)
        values.write_text(json.dumps(plain(ArraysOnly(file).load())), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) > 3 else None)
