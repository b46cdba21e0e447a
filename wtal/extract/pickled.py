"""A pickle of plain NumPy arrays in dicts, read in this process: nothing that it names is called.

It is safe where `object_array`, made for Python objects, starts a process, because it admits numbers alone.
"""

from io import BytesIO
from typing import Any

import numpy as np

from wtal.formats.unpickle import Array, ArraysOnly, Dtype, refuse, text

MOST = 10_000  # dicts and arrays; I3D's checkpoint has 500


def read_pickled(data: bytes) -> dict[str, np.ndarray]:
    """The arrays by where they lie: {"/a/b": ...}. Damaged or hostile bytes raise any Exception."""
    return _flat(WeightsOnly(BytesIO(data)).load())


class Kept:
    """Stands for numpy.ndarray and what makes one: keeps the array as it was written."""

    def __init__(self, *_: object) -> None:
        self.array = np.empty(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, raw = state
        self.array = _array(raw, dtype, shape, fortran)


class FromBuffer(Kept):
    """Stands for numpy's _frombuffer, by which pickles of protocol 5 make an array."""

    def __init__(
        self, raw: bytes | bytearray, dtype: Dtype, shape: tuple[int, ...], order: str, *_: object
    ) -> None:
        self.array = _array(raw, dtype, shape, order == "F")


def _array(raw: bytes | bytearray, dtype: Dtype, shape: tuple[int, ...], fortran: bool) -> np.ndarray:
    if dtype.objects or dtype.numpy.kind != "f":
        return refuse("an array of other things than numbers")
    return np.frombuffer(raw, dtype.numpy).reshape(shape, order="F" if fortran else "C")


class WeightsOnly(ArraysOnly):
    """Builds dicts, lists, texts and arrays of numbers; every other name is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in {(f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")}:
            return FromBuffer
        found = super().find_class(module, name)
        return Kept if found is Array else found


def _flat(tree: Any) -> dict[str, np.ndarray]:
    """Dicts inside dicts -> one, of names with slashes."""
    flat: dict[str, np.ndarray] = {}
    todo = [("", tree)]
    for _ in range(MOST):
        if not todo:
            return flat
        name, value = todo.pop()
        if isinstance(value, dict):
            todo += [(f"{name}/{text(key)}", item) for key, item in value.items()]
        elif isinstance(value, Kept):
            flat[name] = value.array
        else:
            refuse(f"a {type(value).__name__}")
    return refuse(f"more than {MOST} parts")
