"""The published checkpoint of I3D, a pickle of NumPy arrays in dicts: read without running code, converted to PyTorch.

The unpickler creates dicts, lists, strings and arrays of numbers. It refuses every other name in the pickle.
"""

from io import BytesIO
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wtal.data.layouts.safe_pickle_worker import ArrayStandIn, ArrayUnpickler, DtypeStandIn, StandIn, reject, to_text

MAX_NODES = 10_000  # dicts and arrays; the published checkpoint has 500
MAX_NAME_LENGTH = 500  # characters

RENAMED_PARTS = {  # part of a name in the checkpoint -> in PyTorch
    "Branch_0/Conv3d_0a_1x1": "b0",
    "Branch_1/Conv3d_0a_1x1": "b1a",
    "Branch_1/Conv3d_0b_3x3": "b1b",
    "Branch_2/Conv3d_0a_1x1": "b2a",
    "Branch_2/Conv3d_0b_3x3": "b2b",
    "Branch_3/Conv3d_0b_1x1": "b3b",
    "Logits/Conv3d_0c_1x1": "logits",
    "Conv_0/kernel": "conv3d/weight",
    "Conv_0/bias": "conv3d/bias",
    "BatchNorm_0/bias": "bn/bias",
    "BatchNorm_0/mean": "bn/running_mean",
    "BatchNorm_0/var": "bn/running_var",
}


def read_checkpoint(data: bytes) -> dict[str, Tensor]:
    """The float32 weights by their PyTorch names. Damaged or hostile bytes can raise any exception."""
    tree = _NumbersUnpickler(BytesIO(data)).load()
    arrays = _flatten(tree)
    if sum(array.nbytes for array in arrays.values()) > len(data):  # one array by many names
        reject("arrays that are larger than the file")
    return dict(_to_pytorch(name, array) for name, array in arrays.items())


class _NumberArray(StandIn):
    """Replaces numpy.ndarray and its constructor: keeps the array."""

    def __init__(self, *_: object) -> None:
        self.array = np.empty(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, raw = state
        self.array = _number_array(raw, dtype, shape, fortran)


class _NumberArrayFromBuffer(_NumberArray):
    """Replaces numpy's _frombuffer, with which pickles of protocol 5 create arrays."""

    def __init__(
        self, raw: bytes | bytearray, dtype: DtypeStandIn, shape: tuple[int, ...], order: str, *_: object
    ) -> None:
        self.array = _number_array(raw, dtype, shape, order == "F")


def _number_array(raw: bytes | bytearray, dtype: DtypeStandIn, shape: tuple[int, ...], fortran: bool) -> np.ndarray:
    if dtype.is_object or dtype.numpy.kind != "f":
        reject("an array that does not contain floating-point numbers")
    return np.frombuffer(raw, dtype.numpy).reshape(shape, order="F" if fortran else "C")


class _NumbersUnpickler(ArrayUnpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in {(f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")}:
            return _NumberArrayFromBuffer
        admitted = super().find_class(module, name)
        return _NumberArray if admitted is ArrayStandIn else admitted


def _flatten(tree: Any) -> dict[str, np.ndarray]:
    """Nested dicts to one dict with names such as `/params/Mixed_3b/Conv_0/kernel`."""
    arrays: dict[str, np.ndarray] = {}
    pending = [("", tree)]
    for _ in range(MAX_NODES):
        if not pending:
            return arrays
        name, value = pending.pop()
        if len(name) > MAX_NAME_LENGTH or len(pending) > MAX_NODES:
            reject(f"names that are too long, or more than {MAX_NODES:,} entries")
        if isinstance(value, dict):
            pending += [(f"{name}/{to_text(key)[:MAX_NAME_LENGTH]}", item) for key, item in value.items()]
        elif isinstance(value, _NumberArray):
            arrays[name] = value.array
        else:
            reject(f"a {type(value).__name__}")
    reject(f"more than {MAX_NODES} entries")


def _to_pytorch(name: str, array: np.ndarray) -> tuple[str, Tensor]:
    """The PyTorch name and layout of a weight; kernels (kT, kH, kW, in, out) become (out, in, kT, kH, kW)."""
    if name.endswith("/kernel"):
        array = array.transpose(4, 3, 0, 1, 2)
    elif name.startswith("/batch_stats/"):
        array = array.reshape(-1)
    name = name.removeprefix("/params").removeprefix("/batch_stats").lstrip("/")
    for part, renamed in RENAMED_PARTS.items():
        name = name.replace(part, renamed)
    return name.replace("/", "."), torch.from_numpy(np.array(array, np.float32, order="C"))
