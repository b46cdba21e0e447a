"""Corrections: stored, read back, and moved with their videos."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from tests.helpers.errors import raises
from wtal.core.errors import DataError
from wtal.core.io import write_json
from wtal.core.structures import Segment
from wtal.core.text import find_hidden
from wtal.data.tags import read_tags
from wtal.web.corrections import ConflictError, CorrectionRecord, Corrections, check_segments, find_moves
from wtal.web.videos import VideoFile, VideoLibrary, video_key

labels = st.text(st.characters(blacklist_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1, max_size=12).filter(
    lambda label: label == label.strip() and find_hidden(label) is None
)
times = st.integers(0, 10**7).map(lambda milliseconds: milliseconds / 1000)


def open_corrections(folder: Path) -> Corrections:
    """The corrections in `folder/corrections`, with `folder/tags.csv`."""
    (folder / "corrections").mkdir(exist_ok=True)
    return Corrections(folder / "corrections", folder / "tags.csv")


# ---- storing


@given(st.lists(st.tuples(labels, times, times), max_size=8), st.booleans(), st.booleans())
@hypothesis(max_examples=60, deadline=None)
def test_corrections_roundtrip_as_json_and_as_tags(tmp_path_factory, rows, complete, reviewed):
    segments = [Segment(label, start, start + length, None) for label, start, length in rows]
    try:
        check_segments(segments, complete)
    except DataError:
        return
    folder = tmp_path_factory.mktemp("corrections")
    marks = {"complete": complete, "reviewed": reviewed}
    record = open_corrections(folder).save("key", "a film.mp4", segments, 0, **marks)
    assert open_corrections(folder).get("key") == record
    assert record.reviewed == (reviewed or complete), "a complete timeline is reviewed"
    assert sorted(record.segments) == sorted(segments)
    (video,) = read_tags(folder / "tags.csv")
    assert (
        video.id == "a film.mp4"
        and video.complete == complete
        and set(video.labels) == {segment.label for segment in segments}
    )
    actual, expected = sorted(video.segments), sorted((s.label, round(s.start, 3), round(s.end, 3)) for s in segments)
    assert [segment.label for segment in actual] == [label for label, *_ in expected]
    np.testing.assert_allclose([s[1:3] for s in actual], [s[1:] for s in expected], atol=2e-3)


def test_ten_thousand_segments_are_stored(tmp_path):
    segments = [Segment(f"c{i % 7}", i / 10, i / 10 + 3, None) for i in range(10_000)]
    record = open_corrections(tmp_path).save("k", "v.mp4", segments, 0)
    assert open_corrections(tmp_path).get("k").segments == record.segments
    (video,) = read_tags(tmp_path / "tags.csv")
    assert len(video.segments) == 10_000


def test_stale_revision_is_a_conflict(tmp_path):
    corrections = open_corrections(tmp_path)
    record = corrections.save("k", "v.mp4", [], 0)
    for revision in (0, record.revision + 1):
        with pytest.raises(ConflictError) as caught:
            corrections.save("k", "v.mp4", [Segment("a", 0, 1, None)], revision)
        assert caught.value.current == record
        with pytest.raises(ConflictError):
            corrections.discard("k", revision)
    corrections.discard("k", record.revision)
    assert corrections.get("k") is None
    assert corrections.save("k", "v.mp4", [], 0).revision != record.revision, "revisions are not reused"


@pytest.mark.parametrize("label", ["a\0", "a\rb", "1 to 2", "10-20", "a[b]", "a;b", "a[1", "x" * 201, "r\u200bun"])
def test_label_that_tags_cannot_hold_is_refused(label):
    with raises(DataError, code="invalid-label", location="segment 2"):
        check_segments([Segment("a", 0, 1), Segment(label, 0, 1)])


def test_invalid_and_too_many_segments_are_refused():
    with raises(DataError, code="invalid-value", location="segment 1"):
        check_segments([Segment("a", 2, 1)])
    check_segments([Segment("a", 2, 2)])
    with raises(DataError, code="incomplete", location="segment 2"):
        check_segments([Segment("a", 0, 1), Segment("a", 2, 2)], complete=True)
    with raises(DataError, code="too-many-segments"):
        check_segments([Segment("a", 0, 1)] * 20_001)


def test_labels_are_what_a_person_confirmed(tmp_path):
    predicted, own, point = Segment("a", 0, 1, 0.5), Segment("a", 2, 3), Segment("b", 4, 4)
    corrections = open_corrections(tmp_path)
    partial = corrections.save("k", "v.mp4", [predicted, own, point], 0, reviewed=True)
    assert partial.labels == (own, point) and partial.reviewed and not partial.complete
    tagged = read_tags(tmp_path / "tags.csv")[0]
    assert tagged.segments == (own, point) and tagged.labels == ("a", "b")
    complete = corrections.save("k", "v.mp4", [predicted, own], partial.revision, complete=True)
    assert complete.labels == (predicted, own)
    assert [s[:3] for s in read_tags(tmp_path / "tags.csv")[0].segments] == [predicted[:3], own[:3]]
    corrections.save("k", "v.mp4", [predicted], complete.revision)
    tagged = read_tags(tmp_path / "tags.csv")[0]
    assert tagged.segments == () and tagged.labels == ("a",)


# ---- reading


def test_reads_corrections_of_version_0_1_0(tmp_path):
    text = """{
 "video": " Subject 1/ADL/10.mp4",
 "fingerprint": "3847178 60796d49c2e4ef62",
 "revision": 1795838254498,
 "saved": "2026-11-28T03:57:34Z",
 "segments": [
  {"label": "Walking", "start": 0.5, "end": 2.25, "score": 0.5},
  {"label": "größer", "start": 1, "end": 3.0, "score": null}
 ]
}"""
    (tmp_path / "corrections").mkdir()
    (tmp_path / "corrections" / "7fc7667f9bc79029ccc7.json").write_text(text, encoding="utf-8")
    record = open_corrections(tmp_path).get("7fc7667f9bc79029ccc7")
    segments = (Segment("Walking", 0.5, 2.25, 0.5), Segment("größer", 1.0, 3.0, None))
    assert record == CorrectionRecord(
        " Subject 1/ADL/10.mp4", 1795838254498, "2026-11-28T03:57:34Z", segments, "3847178 60796d49c2e4ef62"
    )
    assert record.to_json() == json.loads(text) | {"complete": False, "reviewed": False}
    assert record.labels == segments[1:], "the first one was copied from the model output"


@pytest.mark.parametrize(
    "changes",
    [
        {"segments": None},
        {"segments": {}},
        {"segments": [{"label": "a", "start": 2, "end": 1}]},
        {"segments": [{"label": "a", "start": -1, "end": 1}]},
        {"revision": 0},
        {"revision": "1"},
        {"video": ""},
        {"complete": 1},
    ],
    ids=str,
)
def test_file_that_is_not_a_correction_is_an_error(tmp_path, changes):
    path = tmp_path / "corrections" / "a.json"
    write_json(path, {"video": "a.mp4", "revision": 1, "saved": "now", "segments": []} | changes)
    with raises(DataError, code="invalid-value", path=path):
        open_corrections(tmp_path)


@pytest.mark.parametrize(
    "journal",
    ['{"from": [1], "to": {}}', '{"from": [], "to": []}', '{"from": ["../a"], "to": {}}', "[]", "{", '{"from": 1}'],
)
def test_damaged_journal_is_an_error(tmp_path, journal):
    path = tmp_path / "corrections" / "moving.json"
    path.parent.mkdir()
    path.write_text(journal)
    with raises(DataError, code="invalid-value", path=path):
        open_corrections(tmp_path)


# ---- finding moved videos


def stub_fingerprint(file: VideoFile) -> str:
    """A fingerprint for which the modification time stands for the content."""
    return f"{file.size} {file.mtime_ns}"


def by_key(*files: VideoFile) -> dict[str, VideoFile]:
    return {file.key: file for file in files}


def record_of(file: VideoFile, revision: int = 1) -> CorrectionRecord:
    return CorrectionRecord(file.name, revision, "now", (), stub_fingerprint(file))


@given(st.lists(st.integers(0, 9), min_size=1, max_size=7, unique=True), st.data())
@hypothesis(max_examples=200, deadline=None)
def test_corrections_follow_any_permutation_of_names(numbers, data):
    old = [VideoFile(f"{number}.mp4", 7, content) for content, number in enumerate(numbers)]
    new_numbers = data.draw(st.permutations(range(12)).map(lambda order: order[: len(numbers)]))
    new = [VideoFile(f"{number}.mp4", 7, content) for content, number in enumerate(new_numbers)]
    records = {file.key: record_of(file) for file in old}
    moves = find_moves(records, by_key(*new), set(old), stub_fingerprint)
    moved = {moves.get(key, key): record.fingerprint for key, record in records.items()}
    assert moved == {file.key: stub_fingerprint(file) for file in new}


A, COPY, NEW = VideoFile("a.mp4", 7, 1), VideoFile("copy.mp4", 7, 1), VideoFile("new.mp4", 7, 1)
REPLACED = VideoFile("a.mp4", 7, 2)
RECORDS = {A.key: record_of(A, 5)}


@pytest.mark.parametrize(
    ("records", "files", "previous", "expected"),
    [
        pytest.param(RECORDS, (A, COPY), None, {}, id="a copy is not a move"),
        pytest.param(RECORDS, (COPY, REPLACED), {A, COPY}, {}, id="a replaced file keeps its correction"),
        pytest.param(RECORDS, (COPY, REPLACED), None, {}, id="also at the first listing"),
        pytest.param(RECORDS, (COPY,), {A, COPY}, {}, id="a copy that existed before is not the moved video"),
        pytest.param(RECORDS, (COPY,), None, {A.key: COPY.key}, id="unless there was no listing before"),
        pytest.param(RECORDS, (COPY, NEW), {A, COPY}, {A.key: NEW.key}, id="a new file is the moved video"),
        pytest.param(
            RECORDS | {COPY.key: record_of(COPY, 3)},
            (NEW,),
            {A, COPY},
            {A.key: NEW.key},
            id="the latest correction moves",
        ),
        pytest.param(RECORDS | {COPY.key: record_of(COPY, 9)}, (A, COPY), {A, COPY}, {}, id="both are in place"),
        pytest.param(
            RECORDS | {NEW.key: CorrectionRecord("new.mp4", 9, "now", (), "")}, (NEW,), {A}, {}, id="never overwritten"
        ),
    ],
)
def test_moves(records: Mapping[str, CorrectionRecord], files, previous, expected):
    assert find_moves(records, by_key(*files), previous, stub_fingerprint) == expected


def test_unreadable_file_does_not_lose_its_correction():
    def fingerprint(file: VideoFile) -> str:
        return "" if file == A else stub_fingerprint(file)

    assert find_moves(RECORDS, by_key(A, NEW), {A}, fingerprint) == {}


# ---- moving corrections


@dataclass
class Folder:
    """A folder of videos and their corrections."""

    root: Path

    def __post_init__(self) -> None:
        (self.root / "films").mkdir(exist_ok=True)
        self.reopen()

    def reopen(self) -> None:
        """As a new server does."""
        self.library, self.corrections = VideoLibrary(self.root / "films"), open_corrections(self.root)

    def follow(self) -> None:
        self.library.refresh()
        self.corrections.follow(self.library.files(), self.library.fingerprint)

    def save_all(self) -> None:
        """Correct each video with its name as the label."""
        for file in self.library.files().values():
            segments = [Segment(file.name.strip(), 0, 1, None)]
            self.corrections.save(file.key, file.name, segments, 0, self.library.fingerprint(file))

    def label(self, name: str) -> str | None:
        record = self.corrections.get(video_key(name))
        return record.segments[0].label if record else None

    def labels(self) -> dict[str, str | None]:
        return {name: self.label(name) for name in ("a.mp4", "b.mp4")}


SWAPPED = {"a.mp4": "b.mp4", "b.mp4": "a.mp4"}


@pytest.fixture
def folder(tmp_path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture
def swapped(folder) -> Folder:
    """Two corrected videos whose names were swapped since the last listing."""
    films = folder.root / "films"
    for name in ("a.mp4", "b.mp4"):
        (films / name).write_bytes(name.encode() * 9)
    folder.save_all()
    folder.follow()
    for old, new in (("a", "c"), ("b", "a"), ("c", "b")):
        (films / f"{old}.mp4").rename(films / f"{new}.mp4")
    return folder


def test_corrections_follow_moved_videos_across_restarts(folder):
    films = folder.root / "films"
    (films / "new").mkdir()
    for name, content in (("a.mp4", b"a" * 200_000), ("b.mp4", b"b" * 200_000), (" c.mp4", b"c")):
        (films / name).write_bytes(content)
    folder.reopen()
    folder.save_all()
    (films / "a.mp4").rename(films / "new" / "moved.mp4")
    shutil.copy(films / "b.mp4", films / "copy.mp4")
    (films / "b.mp4").write_bytes(b"a new version of the video that was corrected")
    (films / " c.mp4").unlink()
    for _ in range(2):  # the second time from disk
        folder.reopen()
        folder.follow()
        labels = {file.name: folder.label(file.name) for file in folder.library.files().values()}
        assert labels == {"new/moved.mp4": "a.mp4", "b.mp4": "b.mp4", "copy.mp4": None}
        assert folder.corrections.get(video_key("new/moved.mp4")).video == "new/moved.mp4"
        assert folder.corrections.get(video_key(" c.mp4")).video == " c.mp4", "kept, as the file may come back"
    assert {video.id for video in read_tags(folder.root / "tags.csv")} == {"new/moved.mp4", "b.mp4", "c.mp4"}


def test_interrupted_move_is_completed_by_the_next_write(swapped, monkeypatch):
    written = []

    def fail_at_third(path: Path, value: object) -> None:
        if len(written) == 2:
            raise DataError("the disk is full", path=path, code="disk-full")
        written.append(path)
        write_json(path, value)

    monkeypatch.setattr("wtal.web.corrections.write_json", fail_at_third)
    corrections, key = swapped.corrections, video_key("a.mp4")
    with raises(DataError, code="disk-full"):
        swapped.follow()
    assert swapped.labels() == SWAPPED
    with raises(DataError, code="disk-full"):
        corrections.save(key, "a.mp4", [], corrections.get(key).revision)
    monkeypatch.undo()
    swapped.reopen()
    assert swapped.labels() == SWAPPED
    corrections.save(key, "a.mp4", [Segment("c", 0, 1, None)], corrections.get(key).revision)
    swapped.reopen()
    assert swapped.labels() == SWAPPED | {"a.mp4": "c"}
    assert not (swapped.root / "corrections" / "moving.json").exists()


@pytest.mark.parametrize("action", ["save", "discard"])
def test_move_does_not_overwrite_a_concurrent_change(swapped, action):
    corrections, key = swapped.corrections, video_key("a.mp4")
    revision = corrections.get(key).revision
    was_changed = False

    def fingerprint_and_change(file: VideoFile) -> str:
        nonlocal was_changed
        if not was_changed:
            was_changed = True
            if action == "save":
                corrections.save(key, "a.mp4", [Segment("concurrent", 0, 1, None)], revision)
            else:
                corrections.discard(key, revision)
        return swapped.library.fingerprint(file)

    swapped.library.refresh()
    corrections.follow(swapped.library.files(), fingerprint_and_change)
    assert swapped.label("a.mp4") == ("concurrent" if action == "save" else None)
    swapped.follow()
    labels = {label for label in swapped.labels().values() if label}
    assert labels == ({"b.mp4", "concurrent"} if action == "save" else {"b.mp4"})


def test_killed_server_leaves_correct_tags(swapped, monkeypatch):
    monkeypatch.setattr(Corrections, "_finish_moves", lambda self: False)
    monkeypatch.setattr(Corrections, "_write_tags", lambda self: None)
    swapped.follow()
    monkeypatch.undo()
    stale = (swapped.root / "tags.csv").read_text()
    swapped.reopen()
    assert swapped.labels() == SWAPPED
    assert (swapped.root / "tags.csv").read_text() == swapped.corrections.tags() != stale


def test_renamed_folder_writes_the_tags_once(folder, monkeypatch):
    films = folder.root / "films"
    (films / "old").mkdir()
    for number in range(50):
        (films / "old" / f"{number}.mp4").write_bytes(f"{number:9}".encode())
    folder.save_all()
    folder.follow()
    (films / "old").rename(films / "new")
    written = []
    monkeypatch.setattr("wtal.web.corrections.write_text", lambda *arguments: written.append(arguments))
    folder.follow()
    files = folder.library.files()
    assert len(written) == 1
    assert all(folder.corrections.get(key).video == file.name for key, file in files.items())
    assert set(folder.library.moved.values()) == set(files)
    (films / "new").rename(films / "newer")
    folder.follow()
    old_keys = {video_key(f"old/{number}.mp4") for number in range(50)}
    assert {folder.library.moved[key] for key in old_keys} == set(folder.library.files())
