"""UCI's HAPT archive becomes a plain folder: made-up archives, broken ones, and the real one where it lies."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from wtal.core.errors import DataError
from wtal.core.structures import Segment, Video
from wtal.data.dataset import Dataset, load_dataset
from wtal.data.layouts import hapt
from wtal.data.layouts.hapt import ACTIVITIES, WINDOW, convert_hapt, snippet_features

MINUTE = 3000
LABELS = [  # experiment = person, activity, first and last sample, counted from 1
    *((person, 1, 1, 1000) for person in range(1, 10)),
    (1, 7, 2801, 3200),  # over the edge of a minute
    (1, 12, 6001, 6050),  # in what is left over
    (5, 2, 1501, 3000),
]


def table(values: np.ndarray) -> bytes:
    text = io.StringIO()
    np.savetxt(text, values, fmt="%.6f")
    return text.getvalue().encode()


def made_up(persons: int = 9) -> dict[str, bytes]:
    """A person a recording, two minutes and a bit of the first, one minute and a bit of the others."""
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


FILES = made_up()
FEW = made_up(2)


def zipped(files: dict[str, bytes], place: Path | io.BytesIO) -> Path | io.BytesIO:
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for name, text in files.items():
            file.writestr(name, text)
    return place


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    place = tmp_path_factory.mktemp("hapt")
    convert_hapt(zipped(FILES, place / "hapt.zip"), place / "set")
    return load_dataset(place / "set")


def video(folder: Dataset, id: str) -> Video:
    return next(v for v in folder.videos if v.id == id)


def same(one: Dataset, other: Dataset) -> bool:
    features = all(np.array_equal(one.features(v.id), other.features(v.id)) for v in one.videos)
    return features and (one.videos, one.classes, one.clock) == (other.videos, other.classes, other.clock)


def test_whole_minutes_only(made):
    assert [v.id for v in made.videos[:3]] == ["exp01_user01_00000", "exp01_user01_00060", "exp02_user02_00000"]
    assert len(made.videos) == 10 and all(v.duration == 60 for v in made.videos)
    assert {made.features(v.id).shape for v in made.videos} == {(92, 78)}
    assert {made.features(v.id).dtype for v in made.videos} == {np.dtype(np.float16)}


def test_samples_count_from_one_and_the_last_belongs_to_the_label(made):
    first, second = (video(made, f"exp01_user01_{second}") for second in ("00000", "00060"))
    assert first.segments == (Segment("walking", 0.0, 20.0), Segment("stand_to_sit", 56.0, 60.0))
    assert second.segments == (Segment("stand_to_sit", 0.0, 4.0),)


def test_every_fourth_person_is_held_out_in_turns(made):
    subsets = {int(v.id[10:12]): v.subset for v in made.videos}
    assert subsets == {
        **dict.fromkeys(range(1, 10), "training"),
        1: "testing",
        5: "validation",
        9: "testing",
    }


def test_training_is_told_what_and_never_when(made):
    assert all(v.labels == ("walking",) and not v.segments for v in made.subset("training"))
    assert (made.path / "annotations.json").read_text().count("segment") == 6  # of persons 1, 5 and 9


def test_convert_hands_out_what_it_writes(tmp_path, made):
    heard = []
    videos = convert_hapt(zipped(FILES, tmp_path / "x.zip"), tmp_path / "set", lambda *told: heard.append(told))
    assert videos == made.videos and heard == [(n, 9) for n in range(1, 10)]


def test_training_has_mean_0_and_deviation_1(made):
    x = np.concatenate([made.features(v.id) for v in made.subset("training")]).astype(np.float64)
    assert np.allclose(x.mean(0), 0, atol=5e-3) and np.allclose(x.std(0), 1, atol=5e-3)
    assert all(np.abs(made.features(v.id)).max() <= 8 for v in made.videos)


def test_the_clock_is_the_middle_of_the_window(made):
    """A jolt lies in the snippets whose windows hold it; what they cover is centred on the window."""
    starts = np.arange(92) * 32 / 50
    assert np.allclose(made.clock.seconds(np.arange(92) + 0.5), starts + WINDOW / 2 / 50)
    signal = np.zeros((MINUTE, 6), np.float32)
    signal[1500, 2] = 1
    loud = np.flatnonzero(snippet_features(signal)[:, 24 + 2])  # the maximum of the third channel
    middle = float(made.clock.seconds(loud.mean() + 0.5))
    assert len(loud) == 2 and abs(middle - 1500 / 50) <= 32 / 50 / 2


def test_what_a_window_is_like():
    t = np.arange(WINDOW) / 50
    signal = np.zeros((WINDOW, 6), np.float32)
    signal[:, 1] = 3 + np.sin(2 * np.pi * 50 / WINDOW * 10 * t)  # the tenth line of the spectrum: the third band
    x = snippet_features(signal)[0].reshape(13, 6)  # what x channels
    assert not x[:, [0, 2, 3, 4, 5]].any()
    assert np.allclose(x[[0, 1, 3, 4], 1], [3, np.sqrt(0.5), 2, 4], atol=2e-2)
    assert x[5:, 1].argmax() == 2 and np.isclose(x[7, 1], np.log1p(32 / 4), atol=1e-3)
    assert np.allclose(np.delete(x[5:, 1], 2), 0, atol=1e-3)


@pytest.mark.parametrize("prefix", ["", "HAPT Data Set/", "a/b/"])
def test_raw_data_is_found_wherever_it_lies(tmp_path, prefix, made):
    files = {prefix + name: text for name, text in FILES.items()}
    junk = {"__MACOSX/RawData/._acc_exp01_user01.txt": b"\0", "README.txt": b"hello", "Train/X_train.txt": b"1"}
    convert_hapt(zipped(files | junk, tmp_path / "x.zip"), tmp_path / "set")
    assert same(load_dataset(tmp_path / "set"), made)


def test_a_zip_in_a_zip_and_folders_give_the_same(tmp_path, made):
    inner = zipped(FILES, io.BytesIO()).getvalue()
    sources = [zipped({"HAPT.zip": inner, "names.txt": b""}, tmp_path / "outer.zip"), tmp_path / "f"]
    zipfile.ZipFile(io.BytesIO(inner)).extractall(tmp_path / "f")
    for number, source in enumerate([*sources, tmp_path / "f/RawData"]):
        convert_hapt(source, tmp_path / f"set{number}")
        assert same(load_dataset(tmp_path / f"set{number}"), made)


def without(name: str) -> dict[str, bytes]:
    return {n: text for n, text in FEW.items() if n != f"RawData/{name}"}


def changed(name: str, text: bytes) -> dict[str, bytes]:
    return {**FEW, f"RawData/{name}": text}


ACC = FEW["RawData/acc_exp02_user02.txt"]
LINES = ACC.splitlines(keepends=True)


@pytest.mark.parametrize(
    "files, said",
    [
        ({}, "has no RawData/acc_exp01_user01.txt"),
        ({"README.txt": b"hello"}, "has no RawData/acc_exp01_user01.txt"),
        (without("labels.txt"), "has no RawData/labels.txt"),
        (without("gyro_exp02_user02.txt"), "has acc_exp02_user02.txt but no gyro_exp02_user02.txt"),
        (without("acc_exp02_user02.txt"), "has gyro_exp02_user02.txt but no acc_exp02_user02.txt"),
        (changed("acc_exp02_user02.txt", b"".join(LINES[:-1])), "3099 samples of acc and 3100 of gyro"),
        (changed("acc_exp02_user02.txt", ACC.replace(b"\n", b" 1\n")), "has 4 columns where there should be 3"),
        (changed("acc_exp02_user02.txt", ACC + b"1 2\n"), "not a table of numbers"),
        (changed("acc_exp02_user02.txt", b"<html>no such page</html>\n"), "not a table of numbers"),
        (changed("acc_exp02_user02.txt", b""), "is empty"),
        (changed("acc_exp02_user02.txt", b"".join(LINES[:-1]) + b"nan 0 0\n"), "no phone measures"),
        (changed("acc_exp02_user02.txt", b"".join(LINES[:-1]) + b"0 -1e300 0\n"), "no phone measures"),
        (changed("labels.txt", b"2 2 1 1 3101\n"), "a label of exp02_user02 ends at sample 3101 of 3100"),
        (changed("labels.txt", b"2 2 1 1 100\n2 2 13 1 100\n"), "line 2: there is no activity 13"),
        (changed("labels.txt", b"2 2 1 100 99\n"), "line 1: samples 100 to 99 are no range"),
        (changed("labels.txt", b"2 2 1 0 99\n"), "line 1: samples 0 to 99 are no range"),
        (changed("labels.txt", b"7 2 1 1 99\n"), "names experiment 7 with person 2"),
        (changed("labels.txt", b"2 2 1 1\n"), "has 4 columns where there should be 5"),
        (changed("labels.txt", b"2 2 1 1 1.5\n"), "not a table of numbers"),
        (changed("labels.txt", b"2 2 1 1 1" + b"0" * 30), "not a table of numbers"),
        (changed("labels.txt", b"2 2 1 1 -9223372036854775808"), "are no range"),
        ({**FEW, "again/RawData/labels.txt": b"1 1 1 1 9\n"}, "more than one RawData"),
        ({**FEW, "/etc/passwd": b"x"}, "names a place outside itself, '/etc/passwd'"),
        ({**FEW, "../../RawData/labels.txt": b"x"}, "names a place outside itself"),
        ({**FEW, **{n.replace("exp02", "exp2"): t for n, t in FEW.items() if "exp02" in n}}, "experiment twice"),
        (made_up(1), "leaves no whole minute of a person to train on"),
    ],
)
def test_a_bad_archive_is_one_sentence(tmp_path, files, said):
    with pytest.raises(DataError) as error:
        convert_hapt(zipped(files, tmp_path / "bad.zip"), tmp_path / "set")
    assert said in str(error.value) and "\n" not in str(error.value)
    assert str(tmp_path / "bad.zip") in str(error.value) and not (tmp_path / "set").exists()


def test_what_is_no_archive_is_one_sentence(tmp_path):
    (tmp_path / "text.zip").write_text("<html>not found</html>")
    (tmp_path / "empty").mkdir()
    whole = zipped(FEW, tmp_path / "whole.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[: len(whole) // 2])
    for name, said in [
        ("text.zip", "not a zip file"),
        ("cut.zip", "not a zip file, or cut off"),
        ("missing.zip", "there is no such file"),
        ("empty", "has no RawData"),
    ]:
        with pytest.raises(DataError, match=said):
            convert_hapt(tmp_path / name, tmp_path / "set")
    with pytest.raises(DataError, match="is the source itself"):
        convert_hapt(tmp_path / "empty", tmp_path / "empty")


def test_a_bomb_is_refused_before_it_is_read(tmp_path, monkeypatch):
    bomb = zipped(changed("acc_exp03_user03.txt", bytes(hapt.LARGEST + 1)), tmp_path / "bomb.zip")
    assert bomb.stat().st_size < 1 << 20
    with pytest.raises(DataError, match=r"acc_exp03_user03\.txt' alone to 16,777,217, too much"):
        convert_hapt(bomb, tmp_path / "set")
    monkeypatch.setattr(hapt, "LARGEST_IN_ALL", 100_000)
    with pytest.raises(DataError, match="too much for this data set"):
        convert_hapt(zipped(FEW, tmp_path / "many.zip"), tmp_path / "set")
    nested = zipped({"inner.zip": (tmp_path / "many.zip").read_bytes()}, tmp_path / "nested.zip")
    with pytest.raises(DataError, match=r"inner\.zip: too large"):
        convert_hapt(nested, tmp_path / "set")


def test_a_damaged_archive_never_ends_in_a_traceback(tmp_path):
    """Whatever byte is changed: the same data set, or one sentence."""
    files = {name: b"".join(text.splitlines(keepends=True)[:40]) for name, text in made_up(2).items()}
    whole = zipped(files, tmp_path / "whole.zip").read_bytes()
    rng = np.random.default_rng(0)
    for place in [*rng.integers(0, len(whole), 100).tolist(), *range(len(whole) - 200, len(whole))]:
        damaged = bytearray(whole)
        damaged[place] ^= int(rng.integers(1, 256))
        (tmp_path / "damaged.zip").write_bytes(damaged)
        with pytest.raises(DataError):  # at the latest, that there is no whole minute
            convert_hapt(tmp_path / "damaged.zip", tmp_path / "set")


def test_a_locked_archive_is_one_sentence(tmp_path):
    whole = bytearray(zipped(FEW, tmp_path / "locked.zip").read_bytes())
    for mark, flag in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = whole.find(mark)
        while at >= 0:
            whole[at + flag] |= 1
            at = whole.find(mark, at + 4)
    (tmp_path / "locked.zip").write_bytes(whole)
    with pytest.raises(DataError, match="damaged or locked"):
        convert_hapt(tmp_path / "locked.zip", tmp_path / "set")


def test_the_real_archive_gives_the_real_set(tmp_path, shared):
    convert_hapt(shared("raw", "hapt.zip"), tmp_path / "hapt")
    ours, theirs = load_dataset(tmp_path / "hapt"), load_dataset(shared("hapt"))
    assert (ours.videos, ours.classes, ours.clock) == (theirs.videos, theirs.classes, theirs.clock)
    for v in theirs.videos:  # to a unit in the last place of float16: another numpy adds up in another order
        assert np.allclose(ours.features(v.id), theirs.features(v.id), rtol=2**-10, atol=2**-14)
    assert {name: len(ours.subset(name)) for name in ours.subsets} == {
        "training": 249,
        "validation": 43,
        "testing": 48,
    }
    assert [sum(len(v.segments) for v in ours.subset(name)) for name in ours.subsets] == [0, 184, 202]


def test_the_activities_are_numbered_as_the_archive_says(shared):
    with zipfile.ZipFile(shared("raw", "hapt.zip")) as file:
        lines = file.read("activity_labels.txt").decode().split("\n")
    assert [line.split()[1].lower() for line in lines if line.strip()] == list(ACTIVITIES)
