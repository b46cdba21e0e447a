"""UCI's HAPT archive becomes a data set folder; damaged and hostile archives are rejected."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.errors import raises
from wtal.core.errors import DataError
from wtal.core.structures import Segment
from wtal.data.dataset import Dataset, load_dataset
from wtal.data.layouts import hapt
from wtal.data.layouts.convert import ConvertedLayout, convert_layout
from wtal.data.layouts.hapt import ACTIVITIES, WINDOW, snippet_features
from wtal.data.layouts.registry import LAYOUTS

MINUTE = 3000  # samples
LABELS = [  # experiment = person, activity, first and last sample, counted from 1
    *((person, 1, 1, 1000) for person in range(1, 10)),
    (1, 7, 2801, 3200),  # across the end of a minute
    (1, 12, 6001, 6050),  # after the last whole minute
    (5, 2, 1501, 3000),
]


def table(values: np.ndarray) -> bytes:
    text = io.StringIO()
    np.savetxt(text, values, fmt="%.6f")
    return text.getvalue().encode()


def synthetic_archive(persons: int) -> dict[str, bytes]:
    """One recording per person: a bit more than two minutes of the first, than one minute of the others."""
    rng = np.random.default_rng(0)
    files = {}
    for person in range(1, persons + 1):
        count = (2 if person == 1 else 1) * MINUTE + 100
        for kind, scale in (("acc", 1), ("gyro", 5)):
            signal = person + scale * rng.standard_normal((count, 3))
            files[f"RawData/{kind}_exp{person:02d}_user{person:02d}.txt"] = table(signal)
    rows = [(person, person, *rest) for person, *rest in LABELS if person <= persons]
    files["RawData/labels.txt"] = "".join(" ".join(map(str, row)) + "\n" for row in rows).encode()
    return files


NINE_PERSONS = synthetic_archive(9)
TWO_PERSONS = synthetic_archive(2)


def zipped(files: dict[str, bytes], target: Any) -> Any:
    """Write a zip file to a path or a buffer, and return that."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for name, text in files.items():
            file.writestr(name, text)
    return target


def convert(archive: Path, out: Path, **options: Any) -> ConvertedLayout:
    return convert_layout(archive, out, layout=LAYOUTS["hapt"], **options)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("hapt")
    convert(zipped(NINE_PERSONS, folder / "hapt.zip"), folder / "set")
    return load_dataset(folder / "set")


def assert_equal(first: Dataset, second: Dataset) -> None:
    assert (first.videos, first.classes, first.clock) == (second.videos, second.classes, second.clock)
    for video in first.videos:
        np.testing.assert_array_equal(first.features(video.id), second.features(video.id))


# Conversion


def test_recordings_are_cut_into_whole_minutes(expected):
    ids = [video.id for video in expected.videos]
    assert ids[:3] == ["exp01_user01_00000", "exp01_user01_00060", "exp02_user02_00000"]
    assert len(ids) == 10 and all(video.duration == 60 for video in expected.videos)
    assert {expected.features(id).shape for id in ids} == {(92, 78)}
    assert {expected.features(id).dtype for id in ids} == {np.dtype(np.float16)}


def test_label_includes_its_last_sample(expected):
    segments = {video.id: video.segments for video in expected.videos}
    assert segments["exp01_user01_00000"] == (Segment("walking", 0.0, 20.0), Segment("stand_to_sit", 56.0, 60.0))
    assert segments["exp01_user01_00060"] == (Segment("stand_to_sit", 0.0, 4.0),)


def test_every_fourth_person_is_held_out(expected):
    subsets = {int(video.id[10:12]): video.subset for video in expected.videos}
    assert subsets == {
        **dict.fromkeys(range(1, 10), "training"),
        1: "testing",
        5: "validation",
        9: "testing",
    }


def test_training_videos_have_no_segments(expected):
    assert all(video.labels == ("walking",) and not video.segments for video in expected.subset("training"))
    assert (expected.path / "annotations.json").read_text().count("segment") == 6  # of persons 1, 5 and 9


def test_progress_counts_recordings(tmp_path, expected):
    calls: list[tuple[int, int]] = []
    archive = zipped(NINE_PERSONS, tmp_path / "x.zip")
    converted = convert(archive, tmp_path / "set", on_progress=lambda *call: calls.append(call))
    assert [video.id for video in converted.videos] == [video.id for video in expected.videos]
    assert calls == [(n, 9) for n in range(1, 10)]


@pytest.mark.parametrize("prefix", ["", "HAPT Data Set/", "a/b/"])
def test_raw_data_is_found_in_any_folder(tmp_path, prefix, expected):
    files = {prefix + name: text for name, text in NINE_PERSONS.items()}
    other = {"__MACOSX/RawData/._acc_exp01_user01.txt": b"\0", "README.txt": b"hello", "Train/X_train.txt": b"1"}
    archive = zipped(files | other, tmp_path / "x.zip")
    assert LAYOUTS["hapt"].detect(archive)
    convert(archive, tmp_path / "set")
    assert_equal(load_dataset(tmp_path / "set"), expected)


def test_nested_zip_and_folders_give_same_data_set(tmp_path, expected):
    inner = zipped(NINE_PERSONS, io.BytesIO())
    outer = zipped({"HAPT.zip": inner.getvalue(), "names.txt": b""}, tmp_path / "outer.zip")
    zipfile.ZipFile(inner).extractall(tmp_path / "folder")
    for number, source in enumerate([outer, tmp_path / "folder", tmp_path / "folder/RawData"]):
        convert_layout(source, tmp_path / f"set{number}")
        assert_equal(load_dataset(tmp_path / f"set{number}"), expected)


# Features


def test_training_features_are_standardized(expected):
    x = np.concatenate([expected.features(video.id) for video in expected.subset("training")]).astype(np.float64)
    assert np.allclose(x.mean(0), 0, atol=5e-3) and np.allclose(x.std(0), 1, atol=5e-3)
    assert all(np.abs(expected.features(video.id)).max() <= 8 for video in expected.videos)


def test_snippet_is_centered_in_its_window(expected):
    """An impulse is in the snippets whose windows contain it, and their mean time is its time."""
    starts = np.arange(92) * 32 / 50
    assert np.allclose(expected.clock.seconds(np.arange(92) + 0.5), starts + WINDOW / 2 / 50)
    signal = np.zeros((MINUTE, 6), np.float32)
    signal[1500, 2] = 1
    snippets = np.flatnonzero(snippet_features(signal)[:, 24 + 2])  # the maximum of the third channel
    middle = float(expected.clock.seconds(snippets.mean() + 0.5))
    assert len(snippets) == 2 and abs(middle - 1500 / 50) <= 32 / 50 / 2


def test_features_of_sine():
    t = np.arange(WINDOW) / 50
    signal = np.zeros((WINDOW, 6), np.float32)
    signal[:, 1] = 3 + np.sin(2 * np.pi * 50 / WINDOW * 10 * t)  # the tenth frequency is in the third band
    x = snippet_features(signal)[0].reshape(13, 6)  # statistics x channels
    assert not x[:, [0, 2, 3, 4, 5]].any()
    assert np.allclose(x[[0, 1, 3, 4], 1], [3, np.sqrt(0.5), 2, 4], atol=2e-2)
    assert x[5:, 1].argmax() == 2 and np.isclose(x[7, 1], np.log1p(32 / 4), atol=1e-3)
    assert np.allclose(np.delete(x[5:, 1], 2), 0, atol=1e-3)


# Malformed archives


def without(name: str) -> dict[str, bytes]:
    return {path: text for path, text in TWO_PERSONS.items() if path != f"RawData/{name}"}


def replaced(name: str, text: bytes) -> dict[str, bytes]:
    return {**TWO_PERSONS, f"RawData/{name}": text}


ACC = "acc_exp02_user02.txt"
CONTENT = TWO_PERSONS[f"RawData/{ACC}"]
ALL_BUT_LAST_LINE = b"".join(CONTENT.splitlines(keepends=True)[:-1])


@pytest.mark.parametrize(
    "files, location",
    [
        ({}, None),
        ({"README.txt": b"hello"}, None),
        (without("labels.txt"), None),
        (without("gyro_exp02_user02.txt"), None),
        (without(ACC), None),
        (replaced(ACC, ALL_BUT_LAST_LINE), None),  # fewer samples than gyro
        (replaced(ACC, CONTENT.replace(b"\n", b" 1\n")), ACC),
        (replaced(ACC, CONTENT + b"1 2\n"), ACC),
        (replaced(ACC, b"<html>no such page</html>\n"), ACC),
        (replaced(ACC, b""), ACC),
        (replaced(ACC, ALL_BUT_LAST_LINE + b"nan 0 0\n"), ACC),
        (replaced(ACC, ALL_BUT_LAST_LINE + b"0 -1e300 0\n"), ACC),
        (replaced("labels.txt", b"2 2 1 1 3101\n"), "labels.txt"),  # after the last sample
        (replaced("labels.txt", b"2 2 1 1 100\n2 2 13 1 100\n"), "labels.txt, line 2"),
        (replaced("labels.txt", b"2 2 1 100 99\n"), "labels.txt, line 1"),
        (replaced("labels.txt", b"2 2 1 0 99\n"), "labels.txt, line 1"),
        (replaced("labels.txt", b"7 2 1 1 99\n"), "labels.txt"),
        (replaced("labels.txt", b"2 2 1 1\n"), "labels.txt"),
        (replaced("labels.txt", b"2 2 1 1 1.5\n"), "labels.txt"),
        (replaced("labels.txt", b"2 2 1 1 1" + b"0" * 30), "labels.txt"),
        (replaced("labels.txt", b"2 2 1 1 -9223372036854775808"), "labels.txt, line 1"),
        ({**TWO_PERSONS, "again/RawData/labels.txt": b"1 1 1 1 9\n"}, None),
        ({**TWO_PERSONS, "/etc/passwd": b"x"}, None),
        ({**TWO_PERSONS, "../../RawData/labels.txt": b"x"}, None),
        ({**TWO_PERSONS, **{n.replace("exp02", "exp2"): t for n, t in TWO_PERSONS.items() if "exp02" in n}}, None),
        (synthetic_archive(1), None),  # its only person is held out
    ],
)
def test_malformed_archive_is_located(tmp_path, files, location):
    path = zipped(files, tmp_path / "bad.zip")
    with raises(DataError, code="invalid-archive", path=path) as caught:
        convert(path, tmp_path / "set")
    assert caught.value.location == location and "\n" not in str(caught.value)
    assert not (tmp_path / "set").exists()


def test_other_files_are_rejected(tmp_path):
    (tmp_path / "text.zip").write_text("<html>not found</html>")
    (tmp_path / "empty").mkdir()
    content = zipped(TWO_PERSONS, tmp_path / "whole.zip").read_bytes()
    (tmp_path / "truncated.zip").write_bytes(content[: len(content) // 2])
    for name in ("text.zip", "truncated.zip", "empty"):
        with raises(DataError, code="invalid-archive", path=tmp_path / name):
            convert(tmp_path / name, tmp_path / "set")
        assert not LAYOUTS["hapt"].detect(tmp_path / name)


def test_zip_bomb_is_rejected_before_it_is_read(tmp_path, monkeypatch):
    bomb = zipped(replaced("acc_exp03_user03.txt", bytes(hapt.MAX_FILE_BYTES + 1)), tmp_path / "bomb.zip")
    assert bomb.stat().st_size < 1 << 20
    with raises(DataError, code="too-large", path=bomb):
        convert(bomb, tmp_path / "set")
    monkeypatch.setattr(hapt, "MAX_TOTAL_BYTES", 100_000)
    many = zipped(TWO_PERSONS, tmp_path / "many.zip")
    with raises(DataError, code="too-large", path=many):
        convert(many, tmp_path / "set")
    nested = zipped({"inner.zip": many.read_bytes()}, tmp_path / "nested.zip")
    with raises(DataError, code="too-large", path=nested, location="inner.zip"):
        convert(nested, tmp_path / "set")


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_member_that_is_larger_than_declared_is_rejected(tmp_path, compression):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", compression) as file:
        for name, text in replaced("labels.txt", bytes(50 << 20)).items():
            file.writestr(name, text)
    content = bytearray((tmp_path / "bomb.zip").read_bytes())
    position = content.rfind(b"PK\1\2", 0, content.rfind(b"labels.txt")) + 24
    content[position : position + 4] = (100).to_bytes(4, "little")
    (tmp_path / "bomb.zip").write_bytes(content)
    with raises(DataError, code="invalid-archive", path=tmp_path / "bomb.zip"):
        convert(tmp_path / "bomb.zip", tmp_path / "set")


def test_any_changed_byte_raises_data_error(tmp_path):
    files = {name: b"".join(text.splitlines(keepends=True)[:40]) for name, text in TWO_PERSONS.items()}
    content = zipped(files, tmp_path / "whole.zip").read_bytes()
    rng = np.random.default_rng(0)
    random_positions = rng.integers(0, len(content), 100).tolist()
    for position in [*random_positions, *range(len(content) - 200, len(content))]:
        damaged = bytearray(content)
        damaged[position] ^= int(rng.integers(1, 256))
        (tmp_path / "damaged.zip").write_bytes(damaged)
        with pytest.raises(DataError):  # if the archive can still be read, because it contains no whole minute
            convert(tmp_path / "damaged.zip", tmp_path / "set")


def test_encrypted_archive_is_rejected(tmp_path):
    content = bytearray(zipped(TWO_PERSONS, tmp_path / "encrypted.zip").read_bytes())
    for signature, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        position = content.find(signature)
        while position >= 0:
            content[position + flags] |= 1
            position = content.find(signature, position + 4)
    (tmp_path / "encrypted.zip").write_bytes(content)
    with raises(DataError, code="invalid-archive", path=tmp_path / "encrypted.zip"):
        convert(tmp_path / "encrypted.zip", tmp_path / "set")


# The public archive


def test_public_archive_gives_public_data_set(tmp_path, shared):
    convert_layout(shared("raw", "hapt.zip"), tmp_path / "hapt")
    converted, expected = load_dataset(tmp_path / "hapt"), load_dataset(shared("hapt"))
    assert (converted.videos, converted.classes, converted.clock) == (expected.videos, expected.classes, expected.clock)
    for video in expected.videos:  # to the last digit of float16: other versions of numpy add in another order
        features = converted.features(video.id), expected.features(video.id)
        assert np.allclose(*features, rtol=2**-10, atol=2**-14)
    subsets = {name: converted.subset(name) for name in converted.subsets}
    assert [len(videos) for videos in subsets.values()] == [249, 43, 48]
    assert [sum(len(video.segments) for video in videos) for videos in subsets.values()] == [0, 184, 202]


def test_activities_are_in_the_order_of_the_archive(shared):
    with zipfile.ZipFile(shared("raw", "hapt.zip")) as file:
        lines = file.read("activity_labels.txt").decode().split("\n")
    assert [line.split()[1].lower() for line in lines if line.strip()] == list(ACTIVITIES)
