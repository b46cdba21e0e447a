"""CSV tables: the plain table and BORIS's table of aggregated events."""

import pytest

from tests.helpers.errors import raises
from wtal.core.errors import DataError
from wtal.core.structures import Segment
from wtal.data.annotations import boris, table
from wtal.data.annotations.base import Annotation


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_table_accepts_any_order_of_columns_and_separators(separator, tmp_path):
    path = tmp_path / "t.csv"
    rows = ["Start,END,video,label,score", "1.5,2,v,run,0.25", ",,v,tag,", "", ",,w,,"]
    path.write_text("\n".join(rows).replace(",", separator) + "\n")
    annotations, warnings = table.read(path)
    assert annotations == [Annotation("v", (Segment("run", 1.5, 2.0, 0.25),), tags=("tag",)), Annotation("w")]
    assert warnings == []


def test_table_writes_optional_columns_only_if_they_have_values(tmp_path):
    path = tmp_path / "t.csv"
    table.write(path, [Annotation("v", (Segment("run", 1.0, 2.0),), tags=("tag",)), Annotation("w")])
    assert path.read_text() == "video,label,start,end\nv,run,1.0,2.0\nv,tag,,\nw,,,\n"
    table.write(path, [Annotation("v", (Segment("run", 1.0, 2.0, 0.5),), 9.0)])
    assert path.read_text() == "video,label,start,end,score,duration\nv,run,1.0,2.0,0.5,9.0\n"


def test_unknown_columns_are_ignored_with_a_warning(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("video,label,start,end,who,note\nv,run,1,2,Ann,\n")
    (warning,) = table.read(path).warnings
    assert "who" in warning.message and "note" not in warning.message and warning.count == 1


@pytest.mark.parametrize(
    ("content", "code", "location"),
    [
        ("video,label,start,end\nv,,1,2\n", "invalid-value", "line 2"),
        ("video,label,start,end\n,x,1,2\n", "invalid-value", "line 2"),
        ("video,label,start,end\nv,x,1\n", "invalid-csv", "line 2"),
        ('video,label,start,end\nv,"x,1,2\n', "invalid-csv", "line 2"),
        ("video,label,start,end,video\nv,x,1,2,v\n", "duplicate-column", "line 1"),
        ("video,label,start,end,duration\nv,x,1,2,9\nv,x,1,2,8\n", "inconsistent-rows", "line 3"),
        ("video,labels\nv,x\n", "missing-column", "line 1"),
        ("video,label,start,end,score\nv,x,1,2,high\n", "invalid-value", "line 2"),
        (f"video,label,start,end,{'z' * 200_000}\nv,x,1,2,\n", "missing-column", "line 1"),
        ("z," * 200_000, "missing-column", "line 1"),
        (f"video,label,start,end\nv,{'x' * 200_000},1,2\n", "invalid-csv", "line 2"),
    ],
)
def test_invalid_tables_are_rejected(content, code, location, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(content)
    with raises(DataError, code=code, path=path, location=location):
        table.read(path)


def test_boris_accepts_exported_tables(tmp_path):
    path = tmp_path / "events.csv"
    path.write_text(
        "Observation id,Media file,Total length,FPS,Subject,Behavior,Modifiers,Behavior type,Start (s),Stop (s),"
        "Comment start\n"
        "o1,a.mp4,12.5,25,Rex,dig,deep,STATE,1.5,2.25,sure\n"
        "o1,a.mp4,12.5,25,Rex,bark,,POINT,3,NA,\n"
    )
    (annotation,), (warning,) = boris.read(path)
    assert annotation == Annotation("o1", (Segment("dig (Rex)", 1.5, 2.25), Segment("bark (Rex)", 3.0, 3.0)), 12.5)
    assert "modifiers" in warning.message and warning.count == 1


def test_boris_rejects_invalid_durations(tmp_path):
    path = tmp_path / "events.csv"
    path.write_text("Observation id,Behavior,Start (s),Stop (s),Total length\nv,x,1,2,-4\n")
    with raises(DataError, code="invalid-value", path=path, location="line 2"):
        boris.read(path)
