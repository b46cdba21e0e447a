"""Arrays of objects are read completely, and a hostile or damaged file never runs code in this process."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.errors import raises
from tests.helpers.layouts import object_array
from wtal.core.errors import DataError
from wtal.data.layouts.safe_pickle import WORKER, read_object_array
from wtal.data.layouts.safe_pickle_worker import MAX_VALUES


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


def write_header(path: Path, descr: str, shape: str) -> None:
    """An .npy file without content; the shape is written as it is."""
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode())


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


@pytest.mark.parametrize(
    ("content", "code"), [(b"", "empty-file"), (b"junk", "invalid-npy"), (b"\x93NUMPY\x01\x00", "invalid-npy")]
)
def test_malformed_file_is_rejected(tmp_path, content, code):
    (tmp_path / "v.npy").write_bytes(content)
    with raises(DataError, code=code, path=tmp_path / "v.npy"):
        read_object_array(tmp_path / "v.npy")


@pytest.mark.parametrize("descr", ["|S0", "<U0", "|V0", "|V8", "<M8[s]", "<c8"])
def test_items_that_are_neither_numbers_nor_text_are_rejected(tmp_path, descr):
    write_header(tmp_path / "v.npy", descr, "(300000000,)")
    with raises(DataError, path=tmp_path / "v.npy") as caught:
        read_object_array(tmp_path / "v.npy")
    assert caught.value.code in ("invalid-dtype", "invalid-array")


def test_array_of_too_many_values_is_rejected(tmp_path):
    write_header(tmp_path / "v.npy", "|i1", f"({MAX_VALUES + 1},)")
    with (tmp_path / "v.npy").open("r+b") as file:
        file.truncate(MAX_VALUES + 1000)
    with raises(DataError, code="invalid-array", path=tmp_path / "v.npy"):
        read_object_array(tmp_path / "v.npy")


def nested_pickle(depth: int) -> bytes:
    """Lists that each hold the one below twice: 2 ** depth values."""
    pickled = b"\x80\x02]q\x00"
    for level in range(depth):
        pickled += b"](h%ch%ceq%c" % (level, level, level + 1)
    return pickled + b"."


def write_pickle(path: Path, pickled: bytes) -> None:
    write_header(path, "|O", "(1,)")
    with path.open("ab") as file:
        file.write(pickled)


def test_lists_that_hold_each_other_many_times_are_rejected(tmp_path):
    write_pickle(tmp_path / "v.npy", nested_pickle(3))
    assert read_object_array(tmp_path / "v.npy") == [[[[], []], [[], []]], [[[], []], [[], []]]]
    write_pickle(tmp_path / "v.npy", nested_pickle(40))
    with raises(DataError, code="unsafe-array", path=tmp_path / "v.npy"):
        read_object_array(tmp_path / "v.npy")


class SameState:
    """Pickled as an array whose content is in the pickle once, however often it is used."""

    reduced = np.ones((30, 30)).__reduce__()

    def __reduce__(self):
        return self.reduced


def test_content_that_becomes_many_files_is_rejected(tmp_path):
    (tmp_path / "arrays").mkdir()
    write_pickle(tmp_path / "v.npy", pickle.dumps([SameState()], protocol=4))
    assert len(read_object_array(tmp_path / "v.npy", tmp_path / "arrays")) == 1
    write_pickle(tmp_path / "v.npy", pickle.dumps([SameState() for _ in range(50)], protocol=4))
    with raises(DataError, code="unsafe-array", path=tmp_path / "v.npy"):
        read_object_array(tmp_path / "v.npy", tmp_path / "arrays")


def test_sizes_that_a_pickle_declares_are_not_allocated(tmp_path):
    for opcode in (pickle.BYTEARRAY8, pickle.BINBYTES8):
        write_pickle(tmp_path / "v.npy", b"\x80\x05" + opcode + (1 << 60).to_bytes(8, "little") + b"x.")
        with raises(DataError, code="unsafe-array", path=tmp_path / "v.npy"):
            read_object_array(tmp_path / "v.npy")


def test_reading_process_ends_with_its_parent(tmp_path):
    write_pickle(tmp_path / "v.npy", b"\x80\x02" + b"N0" * 50_000_000 + b"N.")  # some 10 s of work
    command = [sys.executable, "-P", str(WORKER), str(tmp_path / "v.npy"), str(tmp_path / "values.json")]
    process = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert process.returncode == 1 and "parent" in process.stderr


def test_reading_process_has_limits_of_time_and_memory():
    code = "import sys, time; from wtal.data.layouts import safe_pickle_worker as w; w.limit_process({}); {}"
    for seconds, statement, message in ((0.1, "time.sleep(60)", "longer"), (60, "bytearray(4 << 30)", "MemoryError")):
        command = [sys.executable, "-c", code.format(seconds, statement)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.wait() == 1 and message in process.stderr.read()


def test_truncated_object_array_is_rejected(tmp_path):
    path = tmp_path / "v.npy"
    np.save(path, object_array(np.ones((40, 4)), np.ones((3, 4))), allow_pickle=True)
    path.write_bytes(path.read_bytes()[:-40])
    with raises(DataError, code="unsafe-array", path=path):
        read_object_array(path)


def test_missing_file_is_reported(tmp_path):
    with raises(DataError, code="file-not-found", path=tmp_path / "v.npy"):
        read_object_array(tmp_path / "v.npy")
