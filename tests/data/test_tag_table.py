"""A table of tags that is written is read again as it was, whatever names, labels and times it holds."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.errors import raises
from wtal.core.errors import DataError
from wtal.core.structures import Segment
from wtal.data.tag_table import TagEntry, read_tag_table, require_label, write_tag_table
from wtal.data.video_files import VideoFolder

FILES = ["a.mp4", "set/a.mp4", "b, c.mkv", 'd "e".mov', "ünï.webm", "-f.mp4"]
LABELS = ["run", "jump high", "größe", 'say "no"', "a, b", "see@home"]
TIMES = st.integers(0, 10_000_000).map(lambda ms: ms / 1000)


@st.composite
def entries(draw) -> TagEntry:
    labels = draw(st.lists(st.sampled_from(LABELS), unique=True, max_size=4))
    segments = [
        Segment(label, round(start, 9), round(start + draw(st.sampled_from([0.0, 0.25, 1 / 3])), 9))
        for label in labels
        for start in draw(st.lists(TIMES, max_size=2, unique=True))
    ]
    timed = {segment.label for segment in segments}
    complete = timed == set(labels) and draw(st.booleans())
    return TagEntry(tuple(sorted(labels)), tuple(segments), draw(st.sampled_from(["", "training"])), complete)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> VideoFolder:
    root = tmp_path_factory.mktemp("videos")
    for file in FILES:
        (root / file).parent.mkdir(exist_ok=True)
        (root / file).touch()
    return VideoFolder(root)


@given(st.dictionaries(st.sampled_from(FILES), entries()))
def test_written_table_is_read_again(tmp_path_factory, folder, table):
    path = tmp_path_factory.mktemp("table") / "tags.csv"
    write_tag_table(path, table)
    read = read_tag_table([path], folder)
    assert not [problem for problem in read.problems if problem.code != "no-videos"] and not read.remarks
    assert read.entries.keys() == table.keys()
    for file, entry in table.items():
        other = read.entries[file]
        assert (other.labels, other.subset, other.complete) == (entry.labels, entry.subset, entry.complete)
        assert set(other.segments) == set(entry.segments)


@pytest.mark.parametrize("label", ["", " ", "a;b", "a|b", "a[1 to 2]", "swim@3", "swim@1:05", "a]", "(a", "a\nb", " a"])
def test_label_that_a_table_reads_differently_is_rejected(label, tmp_path):
    with raises(DataError, code="invalid-label"):
        require_label(label)
    with raises(DataError, code="invalid-label"):
        write_tag_table(tmp_path / "tags.csv", {"a.mp4": TagEntry((label,))})
    assert not (tmp_path / "tags.csv").exists()


@pytest.mark.parametrize("file", ["a\\b.mp4", " a.mp4", "a\nb.mp4"])
def test_file_that_a_table_cannot_name_is_rejected(file, tmp_path):
    with raises(DataError, code="invalid-name", path=file):
        write_tag_table(tmp_path / "tags.csv", {file: TagEntry()})


def test_new_labels_keep_the_times_of_those_that_remain():
    entry = TagEntry(("dive", "swim"), (Segment("dive", 1, 2), Segment("swim", 3, 3)), "training", True)
    assert entry.with_labels(["swim", "dive"]) == entry
    changed = entry.with_labels(["swim", "run"])
    assert changed == TagEntry(("run", "swim"), (Segment("swim", 3, 3),), "training", False)


def test_tables_of_subfolders_become_one(tmp_path):
    """Tables may lie beside the folders that they are about; the copy names each file by its path."""
    for name in ("Ann/Fall/01.mp4", "Ann/Walk/01.mp4"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    (tmp_path / "Ann/Fall.csv").write_text("file,classes\n01,fall[0:01 to 0:02]\n")
    (tmp_path / "Ann/Walk.csv").write_text("file,classes\n01,walk\n")
    folder = VideoFolder(tmp_path)
    table = read_tag_table([tmp_path], folder)
    assert {file: entry.labels for file, entry in table.entries.items()} == {
        "Ann/Fall/01.mp4": ("fall",),
        "Ann/Walk/01.mp4": ("walk",),
    }
    copy = Path(tmp_path, "project", "tags.csv")
    write_tag_table(copy, table.entries)
    assert read_tag_table([copy], folder).entries == table.entries
