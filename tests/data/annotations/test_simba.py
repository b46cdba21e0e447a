"""SimBA tables: the frames that SimBA labels, the names that it looks for, and tables exported from BORIS."""

import csv
import tempfile
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.helpers.annotations import FPS, segments
from tests.helpers.errors import raises
from wtal.core.errors import DataError
from wtal.core.structures import Segment
from wtal.data.annotations.base import Annotation, to_frames
from wtal.data.annotations.convert import conversion_warnings, convert_annotations
from wtal.data.annotations.simba import FORMAT, read, write

HEADER = "Time,Media file path,Total length,FPS,Subject,Behavior,Behavioral category,Comment,Status"


def frames_in_simba(path):
    """The frames that SimBA labels with each behavior, counted from 0: from START to STOP, both inclusive."""
    events = defaultdict(lambda: {"START": [], "STOP": []})
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            video = Path(row["Media file name"].rsplit("/")[-1]).stem
            assert float(row["FPS"]) == FPS
            events[video, row["Behavior"]][row["Behavior type"]].append(int(row["Image index"]))
    for pair in events.values():
        assert len(set(pair["START"])) == len(pair["START"]) == len(pair["STOP"]), "SimBA removes repeated rows"
        assert all(stop < start for start, stop in zip(pair["START"][1:], pair["STOP"], strict=False)), "overlap"
    return {
        key: {
            frame for start, stop in zip(pair["START"], pair["STOP"], strict=True) for frame in range(start, stop + 1)
        }
        for key, pair in events.items()
    }


@settings(max_examples=60, deadline=None)
@given(written=st.lists(segments(), max_size=8))
@example(written=[Segment("a\nb", 1.0, 2.0), Segment("a\r\nb", 1.5, 3.0)])  # stored with the same label
def test_simba_labels_the_frames_of_all_segments(written):
    written = [
        segment._replace(start=segment.start % 100, end=segment.start % 100 + segment.end % 7) for segment in written
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        write(path, [Annotation("a.b", tuple(written))], FPS)
        labeled = frames_in_simba(path)
    expected = defaultdict(set)
    for segment in written:
        first, last = to_frames(segment, FPS)
        expected["a.b", FORMAT.normalize_label(segment.label)] |= set(range(first - 1, last))
    assert labeled == expected


def test_merged_segments_are_reported():
    run = (Segment("run", 1.0, 3.0), Segment("run", 2.0, 4.0), Segment("run", 4.0, 5.0), Segment("hop", 1.0, 3.0))
    (warning,) = conversion_warnings(FORMAT, [Annotation("v", run)], FPS)
    assert "merged" in warning.message and warning.count == 1


@pytest.mark.parametrize(
    ("id", "file_name", "media"),
    [
        ("film", "film.avi", "film.avi"),
        ("film", "", "film.mp4"),
        ("film.v2", "", "film.v2.mp4"),
        ("film.mp4", "", "film.mp4.mp4"),
        ("corrected", "film.mp4", "corrected.mp4"),
    ],
)
def test_media_name_without_extension_is_the_id(id, file_name, media, tmp_path):
    path = tmp_path / "t.csv"
    write(path, [Annotation(id, (Segment("run", 1.0, 2.0),), file_name=file_name)], FPS)
    with path.open() as file:
        assert {row["Media file name"] for row in csv.DictReader(file)} == {media}
    assert [annotation.id for annotation in read(path).annotations] == [id]


def test_frame_rate_is_needed_to_write_only(tmp_path):
    source, table = tmp_path / "source.csv", tmp_path / "t.csv"
    source.write_text("video,label,start,end\nv,run,1.0,2.0\n")
    convert_annotations(source, table, target_format="simba", fps=25)
    result = convert_annotations(table, tmp_path / "back.csv")
    assert result.source_format == "simba"
    assert (tmp_path / "back.csv").read_text() == source.read_text()


def test_tables_exported_from_boris_are_read(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(
        "Observation id,Media duration (s),FPS,Time offset (s),Subject,Behavior,Modifier #1,Behavior type,Time,"
        "Media file name,Image index,Comment\n"
        "o1,12.5,25,10.0,Rex,dig,deep,START,11.1,films/a.mp4,NA,\n"
        "o1,12.5,25,10.0,Rex,bark,,POINT,11.5,films/a.mp4,NA,[score 0.5]\n"
        "o1,12.5,25,10.0,,dig,,START,12,films/a.mp4,NA,\n"
        "o1,12.5,25,10.0,Rex,dig,deep,STOP,13,films/a.mp4,NA,\n"
        "o1,12.5,25,10.0,,dig,,STOP,14,films/a.mp4,NA,\n"
        "o2,9;8,25;25,0.0,,dig,,START,1,b.mp4,NA,\n"
        "o2,9;8,25;25,0.0,,dig,,STOP,10,c.mp4,NA,\n"
        "o3,NA,NA,0.0,,bark,,POINT,1,NA,NA,\n"
    )
    annotations, (warning,) = read(path)
    assert [(annotation.id, annotation.duration) for annotation in annotations] == [
        ("a", 12.5),
        ("o2", None),
        ("o3", None),
    ]
    assert set(annotations[0].segments) == {
        *(Segment("dig (Rex)", 1.1, 3.0), Segment("bark (Rex)", 1.5, 1.5, 0.5), Segment("dig", 2.0, 4.0)),
    }
    assert annotations[1].segments == (Segment("dig", 1.0, 10.0),)
    assert "modifiers" in warning.message and warning.count == 2


def test_columns_of_earlier_versions_are_read(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(f"{HEADER}\n1,a.mp4,9.5,25,,dig,,,START\n2,a.mp4,9.5,25,,dig,,,STOP\n3,a.mp4,9.5,25,,dig,,,START\n")
    (annotation,), (warning,) = read(path)
    segments = (Segment("dig", 1.0, 2.0), Segment("dig", 3.0, 9.5))
    assert annotation == Annotation("a", segments, 9.5, file_name="a.mp4")
    assert "without a stop" in warning.message and warning.count == 1


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ("1,a.mp4,9,25,,dig,,,STOP", "unpaired-event"),
        ("1,a.mp4,9,25,,dig,,,BEGIN", "invalid-value"),
        ("1,a.mp4,9,25,,,,,START", "invalid-value"),
        ("x,a.mp4,9,25,,dig,,,START", "invalid-value"),
        ("-1,a.mp4,9,25,,dig,,,START", "invalid-value"),
        ("1,,9,25,,dig,,,START", "invalid-value"),
        ("1,a.mp4,-9,25,,dig,,,START", "invalid-value"),
        ("1,a.mp4", "invalid-csv"),
    ],
)
def test_invalid_rows_are_rejected(row, code, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(f"{HEADER}\n{row}\n")
    with raises(DataError, code=code, path=path, location="line 2"):
        read(path)
