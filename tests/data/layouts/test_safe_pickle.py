"""Arrays of objects are read completely, and a hostile or damaged file never runs code in this process."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.errors import raises
from tests.helpers.layouts import object_array
from wtal.core.errors import DataError
from wtal.data.layouts.safe_pickle import read_object_array


def save_with_protocol(path: Path, array: np.ndarray, protocol: int) -> None:
    """As numpy.save, with the pickle protocol of another version of Python."""
    with path.open("wb") as file:
        header = {"descr": "|O", "fortran_order": False, "shape": array.shape}
        np.lib.format.write_array_header_1_0(file, header)
        pickle.dump(array, file, protocol=protocol)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_arrays_in_object_array_are_written_to_files(tmp_path, protocol):
    rng = np.random.default_rng(0)
    arrays = [rng.random((length, 64)).astype(dtype) for length, dtype in ((300, "f4"), (5, ">f8"), (9, "f2"))]
    arrays[1] = np.asfortranarray(arrays[1])
    save_with_protocol(tmp_path / "joint.npy", object_array(*arrays), protocol)
    (tmp_path / "arrays").mkdir()
    counts: list[int] = []
    items = read_object_array(tmp_path / "joint.npy", tmp_path / "arrays", counts.append)
    assert counts == [1, 2, 3]
    for item, array in zip(items, arrays, strict=True):
        np.testing.assert_array_equal(np.load(tmp_path / "arrays" / item["spilled"]), array)


def test_nested_values_become_lists(tmp_path):
    values = object_array([["é", 1.5], [np.float64(2), None]], (1, b"x"), [])
    np.save(tmp_path / "v.npy", values, allow_pickle=True)
    assert read_object_array(tmp_path / "v.npy") == [[["é", 1.5], [2.0, None]], [1, "x"], []]


class Call:
    """Unpickled, it calls a function."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("function", [os.system, eval, getattr])
def test_malicious_pickle_is_not_executed(tmp_path, function):
    marker = tmp_path / "marker"
    command = f"touch '{marker}'" if function is os.system else f"open({str(marker)!r}, 'w')"
    np.save(tmp_path / "v.npy", object_array(Call(function, command)), allow_pickle=True)
    with raises(DataError, code="unsafe-array", path=tmp_path / "v.npy"):
        read_object_array(tmp_path / "v.npy")
    assert not marker.exists()


@pytest.mark.parametrize("content", [b"", b"junk", b"\x93NUMPY\x01\x00"])
def test_malformed_file_is_rejected(tmp_path, content):
    (tmp_path / "v.npy").write_bytes(content)
    with raises(DataError, code="invalid-array", path=tmp_path / "v.npy"):
        read_object_array(tmp_path / "v.npy")


def test_truncated_object_array_is_rejected(tmp_path):
    path = tmp_path / "v.npy"
    np.save(path, object_array(np.ones((40, 4)), np.ones((3, 4))), allow_pickle=True)
    path.write_bytes(path.read_bytes()[:-40])
    with raises(DataError, code="unsafe-array", path=path):
        read_object_array(path)


def test_missing_file_is_reported(tmp_path):
    with raises(DataError, code="file-not-found", path=tmp_path / "v.npy"):
        read_object_array(tmp_path / "v.npy")
