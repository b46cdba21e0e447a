"""Feature files are mapped if they are valid, rejected with a code if not, and never unpickled."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers.errors import raises
from wtal.core.errors import DataError
from wtal.data.features import (
    find_non_finite,
    format_runs,
    has_features,
    open_features,
    require_finite,
    write_features,
    write_features_in_parts,
)


class Malicious:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch '{self.path}'",)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4", "uint8", "int64"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_written_features_are_mapped_back(tmp_path, dtype, order):
    features = np.asarray(np.arange(12).reshape(4, 3), dtype=dtype, order=order)
    write_features(tmp_path / "v.npy", features)
    opened = open_features(tmp_path / "v.npy", 3)
    assert isinstance(opened, np.memmap)
    np.testing.assert_array_equal(opened, features)
    assert [path.name for path in tmp_path.iterdir()] == ["v.npy"]
    assert has_features(tmp_path / "v.npy", 4, 3)
    assert not has_features(tmp_path / "v.npy", 5, 3) and not has_features(tmp_path / "v.npy", 4, 2)


@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5), width=st.integers(1, 7))
def test_features_written_in_parts_equal_those_written_at_once(tmp_path_factory, lengths, width):
    folder = tmp_path_factory.mktemp("parts")
    rng = np.random.default_rng(len(lengths))
    parts = [rng.normal(size=(n, width)).astype(np.float16) for n in lengths]
    assert write_features_in_parts(folder / "a.npy", iter(parts)) == sum(lengths)
    write_features(folder / "b.npy", np.concatenate(parts))
    assert np.array_equal(open_features(folder / "a.npy"), np.load(folder / "b.npy"))
    assert np.array_equal(np.load(folder / "a.npy"), np.load(folder / "b.npy"))


def test_failing_part_leaves_no_file(tmp_path):
    def parts():
        yield np.zeros((3, 2), np.float16)
        raise DataError("the video is truncated", code="truncated-file")

    with raises(DataError, code="truncated-file"):
        write_features_in_parts(tmp_path / "a.npy", parts())
    assert list(tmp_path.iterdir()) == []


def npy_header(descr, shape):
    """The header of an .npy file; the shape is written as it is."""
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()


@pytest.mark.parametrize(
    "array, code",
    [
        (np.zeros((4, 2)), "invalid-shape"),
        (np.zeros(4), "invalid-shape"),
        (np.array(1.0), "invalid-shape"),
        (np.zeros((2, 2, 3)), "invalid-shape"),
        (np.zeros((0, 3)), "no-snippets"),
        (np.zeros((4, 3), dtype=bool), "invalid-dtype"),
        (np.zeros((4, 3), dtype=complex), "invalid-dtype"),
        (np.zeros((4, 3), dtype="U4"), "invalid-dtype"),
        (np.zeros((4, 3), dtype=[("a", "f4")]), "invalid-dtype"),
    ],
)
def test_other_arrays_are_rejected(tmp_path, array, code):
    np.save(tmp_path / "v.npy", array)
    with raises(DataError, code=code, path=tmp_path / "v.npy"):
        open_features(tmp_path / "v.npy", 3)


@pytest.mark.parametrize(
    "content, code",
    [
        (b"", "empty-file"),
        (b"PK\x03\x04 a zip file", "invalid-npy"),
        (b"\x80\x04K\x01.", "invalid-npy"),
        (b"\x93NUMPY", "invalid-npy"),
        (b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fort", "invalid-npy"),
        (npy_header("<f4", "(True, 2)"), "invalid-npy"),
        (npy_header("<f4", "(-1, 2)"), "invalid-npy"),
        (npy_header("<f4", "(10 ** 30, 2)"), "invalid-npy"),
        (npy_header("<f4", f"({10**30}, 2)"), "truncated-file"),
        (npy_header("|V0", "(300000000, 2)"), "invalid-dtype"),
    ],
)
def test_other_files_are_rejected(tmp_path, content, code):
    (tmp_path / "v.npy").write_bytes(content)
    with raises(DataError, code=code, path=tmp_path / "v.npy"):
        open_features(tmp_path / "v.npy")


def test_missing_file_and_folder_are_rejected(tmp_path):
    with raises(DataError, code="file-not-found", path=tmp_path / "v.npy"):
        open_features(tmp_path / "v.npy")
    with raises(DataError, code="not-a-file", path=tmp_path):
        open_features(tmp_path)


@pytest.mark.parametrize("size, code", [(10, "invalid-npy"), (127, "invalid-npy"), (128, "truncated-file")])
def test_truncated_file_is_rejected(tmp_path, size, code):
    path = tmp_path / "v.npy"
    np.save(path, np.ones((4, 3), dtype=np.float32))
    assert path.stat().st_size == 128 + 4 * 12
    path.write_bytes(path.read_bytes()[:size])
    with raises(DataError, code=code, path=path):
        open_features(path)


def test_objects_are_rejected_without_unpickling(tmp_path):
    array = np.empty(1, dtype=object)
    array[:] = [Malicious(tmp_path / "owned")]
    np.save(tmp_path / "v.npy", array, allow_pickle=True)
    with raises(DataError, code="pickled-objects", path=tmp_path / "v.npy"):
        open_features(tmp_path / "v.npy")
    assert not (tmp_path / "owned").exists()


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(header=st.binary(max_size=80), version=st.sampled_from([b"\1\0", b"\2\0", b"\3\0", b"\7\0"]))
@pytest.mark.filterwarnings("ignore:Reading `.npy`")
@pytest.mark.filterwarnings("ignore::SyntaxWarning")
def test_fuzzed_header_raises_data_error(tmp_path, header, version):
    size = len(header).to_bytes(2 if version == b"\1\0" else 4, "little")
    (tmp_path / "v.npy").write_bytes(b"\x93NUMPY" + version + size + header)
    with raises(DataError, path=tmp_path / "v.npy"):
        open_features(tmp_path / "v.npy")


@pytest.mark.parametrize(
    "drawing, expected",
    [
        ("..#...", "snippet 2 is"),
        ("..##..#", "snippets 2-3, 6 (3 in all) are"),
        ("#.#.#.#", "snippets 0, 2, 4, ... (4 in all) are"),
    ],
)
def test_non_finite_snippets_are_listed(drawing, expected, monkeypatch):
    monkeypatch.setattr("wtal.data.features.NUMBERS_PER_PART", 6)  # several parts of two snippets
    features = np.zeros((len(drawing), 3), dtype=np.float16)
    features[[mark == "#" for mark in drawing], 1] = np.inf
    assert format_runs(find_non_finite(features)) == expected
    with raises(DataError, code="non-finite", path="v.npy") as caught:
        require_finite(features, Path("v.npy"))
    assert expected in caught.value.message


def test_numbers_that_float32_cannot_hold_are_not_finite():
    require_finite(np.ones((3, 2)), Path("v.npy"))
    require_finite(np.ones((3, 2), dtype=np.uint8), Path("v.npy"))
    assert find_non_finite(np.array([[1.0], [1e300], [np.nan]])) == [(1, 3)]
