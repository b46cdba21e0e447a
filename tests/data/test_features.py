"""Feature files: what is good is mapped, what is bad is named, nothing is unpickled."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wtal.core.errors import DataError
from wtal.data.features import describe_runs, not_finite, open_features, require_finite, write_features


class Malicious:
    """Unpickled, it would make the file that it names."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch '{self.path}'",)


def save_objects(path: Path, *items: object) -> None:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    np.save(path, array, allow_pickle=True)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4", "uint8", "int64"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_what_is_written_is_mapped_back(tmp_path, dtype, order):
    features = np.asarray(np.arange(12).reshape(4, 3), dtype=dtype, order=order)
    write_features(tmp_path / "v.npy", features)
    opened = open_features(tmp_path / "v.npy", 3)
    assert isinstance(opened, np.memmap)
    np.testing.assert_array_equal(opened, features)
    assert [path.name for path in tmp_path.iterdir()] == ["v.npy"]


@pytest.mark.parametrize(
    "array, said",
    [
        (np.zeros((4, 2)), "expected T x 3 features, found 4 x 2"),
        (np.zeros(4), "found 4;"),
        (np.array(1.0), "a single number"),
        (np.zeros((2, 2, 3)), "found 2 x 2 x 3"),
        (np.zeros((0, 3)), "0 snippets"),
        (np.zeros((4, 3), dtype=bool), "holds bool, not numbers"),
        (np.zeros((4, 3), dtype=complex), "holds complex128"),
        (np.zeros((4, 3), dtype="U4"), "holds <U4"),
        (np.zeros((4, 3), dtype=[("a", "f4")]), "not numbers"),
    ],
)
def test_arrays_that_are_no_features(tmp_path, array, said):
    np.save(tmp_path / "v.npy", array)
    with pytest.raises(DataError, match=r"v\.npy: ") as caught:
        open_features(tmp_path / "v.npy", 3)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "content, said",
    [
        (b"", "empty"),
        (b"PK\x03\x04 a zip file", "not a .npy file"),
        (b"\x80\x04K\x01.", "not a .npy file"),
        (b"\x93NUMPY", "not a .npy file"),
        (b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fort", "not a .npy file"),
    ],
)
def test_files_that_are_no_arrays(tmp_path, content, said):
    (tmp_path / "v.npy").write_bytes(content)
    with pytest.raises(DataError, match=said):
        open_features(tmp_path / "v.npy")


def test_a_missing_file_and_a_folder_in_its_place(tmp_path):
    with pytest.raises(DataError, match="no such feature file"):
        open_features(tmp_path / "v.npy")
    with pytest.raises(DataError, match="cannot be read"):
        open_features(tmp_path)


@pytest.mark.parametrize("left", [10, 127, 128, 175])
def test_a_file_that_is_cut_off(tmp_path, left):
    path = tmp_path / "v.npy"
    np.save(path, np.ones((4, 3), dtype=np.float32))
    assert path.stat().st_size == 128 + 4 * 12
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(DataError, match="cut off"):
        open_features(path)


def test_objects_are_refused_and_never_unpickled(tmp_path):
    save_objects(tmp_path / "v.npy", Malicious(tmp_path / "owned"))
    with pytest.raises(DataError, match="never unpickled"):
        open_features(tmp_path / "v.npy")
    assert not (tmp_path / "owned").exists()


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(header=st.binary(max_size=80), version=st.sampled_from([b"\1\0", b"\2\0", b"\3\0", b"\7\0"]))
@pytest.mark.filterwarnings("ignore:Reading `.npy`")
@pytest.mark.filterwarnings("ignore::SyntaxWarning")
def test_any_header_gives_features_or_a_sentence(tmp_path, header, version):
    size = len(header).to_bytes(2 if version == b"\1\0" else 4, "little")
    (tmp_path / "v.npy").write_bytes(b"\x93NUMPY" + version + size + header)
    with pytest.raises(DataError):
        open_features(tmp_path / "v.npy")


@pytest.mark.parametrize(
    "picture, said",
    [
        ("..#...", "snippet 2 is"),
        ("..##..#", "snippets 2-3, 6 (3 in all) are"),
        ("#.#.#.#", "snippets 0, 2, 4, ... (4 in all) are"),
    ],
)
def test_bad_snippets_are_named(picture, said, monkeypatch):
    monkeypatch.setattr("wtal.data.features.NUMBERS_AT_ONCE", 6)  # several parts of two snippets
    features = np.zeros((len(picture), 3), dtype=np.float16)
    features[[mark == "#" for mark in picture], 1] = np.inf
    assert describe_runs(not_finite(features)) == said
    with pytest.raises(DataError, match=r"v\.npy"):
        require_finite(features, Path("v.npy"))


def test_finite_features_pass_and_what_float32_cannot_hold_does_not():
    require_finite(np.ones((3, 2)), Path("v.npy"))
    require_finite(np.ones((3, 2), dtype=np.uint8), Path("v.npy"))
    assert not_finite(np.array([[1.0], [1e300], [np.nan]])) == [(1, 3)]
