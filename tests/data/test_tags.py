"""Tables of tags: many headers, labels with times, and a problem for everything that is skipped."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.errors import raises
from wtal.core.errors import DataError
from wtal.core.structures import Segment
from wtal.data.parsing import Location
from wtal.data.tags import parse_labels, parse_rows, parse_tags, read_tags

LINE = Location(Path("t.csv"), "line 2")

names = st.text(st.sampled_from("abÄé 0:-.'&/#"), min_size=1, max_size=12).filter(
    lambda s: s.strip(" :.-") and s[0] in "abÄé"
)
hundredths = st.integers(0, 10**7)
ranges = st.tuples(hundredths, hundredths).filter(lambda r: r[0] != r[1]).map(sorted)
items = st.tuples(names.map(str.strip), st.lists(ranges, max_size=3))


def table(tmp_path: Path, content: str | bytes, name: str = "tags.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def format_time(hundredths: int, style: int) -> str:
    """A time as seconds, minutes and seconds, or hours, minutes and seconds."""
    seconds, part = divmod(hundredths, 100)
    if style == 0:
        return f"{seconds}.{part:02}"
    if style == 1:
        return f"{seconds // 60}:{seconds % 60:02}.{part:02}"
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}.{part:02}"


# --- Cells ------------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=150)
@given(
    items=st.lists(items, max_size=5),
    style=st.integers(0, 2),
    to=st.sampled_from([" to ", "-", " – ", "—", " TO "]),
    separator=st.sampled_from([";", " | ", ";; "]),
    time_separator=st.sampled_from([";", ", ", " | "]),
)
def test_labels_with_times_roundtrip(items, style, to, separator, time_separator):
    cell = separator.join(
        label
        + (
            f" [{time_separator.join(format_time(a, style) + to + format_time(b, style) for a, b in times)}]"
            if times
            else ""
        )
        for label, times in items
    )
    labels, segments, problems = parse_labels(cell, LINE)
    assert labels == [label for label, _ in items]
    assert segments == [
        Segment(label, pytest.approx(a / 100), pytest.approx(b / 100)) for label, ts in items for a, b in ts
    ]
    timed = {label for label, times in items if times}
    untimed = dict.fromkeys(label for label, times in items if timed and label not in timed)
    assert [problem.message.split("`")[1] for problem in problems] == list(untimed)


def count_letters(text: str) -> int:
    return sum(map(str.isalpha, text))


@settings(deadline=None, max_examples=300)
@given(cell=st.text(st.sampled_from("ab1 [](;|,:.to-–\n"), max_size=30))
def test_fuzzed_cell_is_read_or_has_problem(cell):
    labels, segments, problems = parse_labels(cell, LINE)
    assert all(label == label.strip() and not set(label) & set("[];|") for label in labels)
    assert {segment.label for segment in segments} <= set(labels)
    assert all(0 <= segment.start < segment.end for segment in segments)
    if any(problem.fatal for problem in problems):
        assert not labels, "the whole line is skipped"
    elif not problems:  # then every letter is in a label or in a time that was read
        assert count_letters(cell) - count_letters("".join(labels)) <= len("to") * len(segments)


def test_label_with_invisible_characters_is_skipped():
    labels, segments, (problem,) = parse_labels("run;ju\u200bmp", LINE)
    assert not labels and not segments and problem.fatal and problem.code == "hidden-character"
    assert "\u200b" not in str(problem)


@pytest.mark.parametrize(
    "cell, labels, timed, excerpt",
    [
        ("run[1 to 2]:; jump[0 to 1]", ["run", "jump"], ["jump"], ":"),
        ("run[9.7 to 3]", ["run"], [], "9.7 to 3"),
        ("run[3 to 3]", ["run"], [], "3 to 3"),
        ("run[0.9 4.6]; jump[0 to 8]", ["run", "jump"], ["jump"], "0.9 4.6"),
        ("run[1,5 to 6]", ["run"], [], "1"),
        ("run[1 to 2; soon]", ["run"], [], "soon"),
        ("run[]", ["run"], [], ""),
        ("run[1 to 1" + "0" * 400 + "]", ["run"], [], "1 to 1000000"),
        ("a[2 to 3; 6 to 7; b[3 to 5; 7 to 9]", ["a", "b"], ["b", "b"], "[2 to 3"),
        ("a[2 to 3; b; 4 to 5", [], [], "4 to 5"),
        ("a[2 to 3; 4 to 5", ["a"], [], "[2 to 3"),
        ("a[1 to 2][3 to 4]", ["a"], [], "[3 to 4]"),
        ("read; sit[1 to 2]", ["read", "sit"], ["sit"], "read"),
        ("fall (BW[5 to 10]; walk[0 to 1]", [], [], "fall (BW"),
        ("walk; [5 to 10]", [], [], "[5 to 10]"),
        ("walk; 5 to 10", [], [], "5 to 10"),
        ("walk 5 to 10]", [], [], "walk 5 to 10]"),
    ],
)
def test_malformed_cell_has_one_located_problem(cell, labels, timed, excerpt):
    parsed_labels, segments, (problem,) = parse_labels(cell, LINE)
    assert parsed_labels == labels and [segment.label for segment in segments] == timed
    assert f"`{excerpt}" in problem.message and (problem.path, problem.location) == LINE and problem.hint
    assert problem.code == ("invalid-times" if labels else "invalid-label") and problem.fatal == (not labels)


@pytest.mark.parametrize("cell", ["run (fast)[1 to 2]; ", " run (fast) [ 1 to 2 ] ;", "|run (fast)[0:01-0:02]"])
def test_spaces_and_empty_items_are_ignored(cell):
    assert parse_labels(cell, LINE) == (["run (fast)"], [Segment("run (fast)", 1, 2)], [])
    assert parse_labels(" ; | ", LINE) == ([], [], [])


# --- Tables -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header, line",
    [
        ("Video,Labels", "a.mp4,run;jump"),
        ("File Name,Length,Classes", "a.mp4,7,run;jump"),
        ("file_name,class", "a.mp4,run|jump"),
        ("id,filename,tags", "7,a.mp4,run;jump"),
        ("NAME;notes;TAG", "a.mp4;x;run|jump"),
        ("NAME;notes;TAG", 'a.mp4;x;"run;jump"'),
        ("path\tactions", "a.mp4\trun;jump"),
        ('"video", "labels"', 'a.mp4, "run;jump"'),
        ('"labels, all",video,"labels"', "x,a.mp4,run;jump"),
        ("id,tags,,", "a.mp4,run;jump,,"),
        ("id,tags", "a.mp4,run;jump,,,"),
        ("video,labels,split", "a.mp4,run;jump,Train"),
        ("\ufeffvideo,labels\r", "a.mp4,run;jump\r"),
    ],
)
def test_headers_and_separators(tmp_path, header, line):
    rows, problems = parse_rows(table(tmp_path, f"{header}\n{line}\n"))
    assert not problems and [(row.name, row.labels, row.line) for row in rows] == [("a.mp4", ("run", "jump"), 2)]


def test_separator_line_of_excel_is_skipped(tmp_path):
    rows, problems = parse_rows(table(tmp_path, "sep=;\nvideo;labels\na;run\n"))
    assert [(row.name, row.line) for row in rows] == [("a", 3)] and problems == []


@pytest.mark.parametrize(
    "content, name, code, location",
    [
        ("clip,what\na,run\n", "t.csv", "invalid-header", "line 1"),
        ("", "t.csv", "invalid-header", "line 1"),
        ("video,labels," + "x" * 200_000, "t.csv", "invalid-header", "line 1"),
        ("video,file,tags\na,a,run\n", "t.csv", "ambiguous", "line 1"),
        ("video,tags,class\na,a,run\n", "t.csv", "ambiguous", "line 1"),
        ("name,id,tags\na,a,run\n", "t.csv", "ambiguous", "line 1"),
        ("video,labels\na,é\n".encode("cp1252"), "t.csv", "invalid-encoding", "line 2"),
        (b"video,labels\na,\0\n", "t.csv", "invalid-encoding", None),
        ('video,labels\na,"run"x\n', "t.csv", "invalid-csv", "line 2"),
        (b"PK\x03\x04", "t.xlsx", "unsupported-format", None),
    ],
)
def test_unreadable_table_is_rejected(tmp_path, content, name, code, location):
    path = table(tmp_path, content, name)
    with raises(DataError, code=code, path=path, location=location) as caught:
        parse_rows(path)
    assert len(str(caught.value)) < 500 + len(str(tmp_path)), "values are abbreviated"


def test_every_line_is_read_or_has_problem(tmp_path):
    lines = ["a,run,", "b,run,val,", "b", ",run,", "c,(x,", "d,jump,dev", "a,run,", "", " , ,", 'e,"run\njump",']
    path = table(tmp_path, "video,labels,subset\n" + "\n".join(lines) + "\n")
    rows, problems = parse_rows(path)
    assert [(row.name, row.subset) for row in rows] == [("a", ""), ("b", "validation"), ("e", "")]
    assert all(problem.fatal and problem.path == path for problem in problems)
    assert [(problem.location, problem.code) for problem in problems] == [
        ("line 4", "invalid-row"),
        ("line 5", "missing-value"),
        ("line 6", "invalid-label"),
        ("line 7", "unknown-name"),
        ("line 8", "duplicate"),
    ]


def test_rows_of_a_video_are_combined(tmp_path):
    text = (
        "video,labels,subset\na,run[1 to 2],test\na,jump[2-3],\nb,run,\nc,run[1 to 2]; jump,val\n"
        "d,run[1 2],testing\ne,run,train\ne,jump,test\nf,,test\ng,run[1 2],training\nh,run,test\n"
    )
    videos, problems = parse_tags(table(tmp_path, text))
    assert [(v.id, v.subset, v.labels, len(v.segments)) for v in videos] == [
        ("a", "testing", ("jump", "run"), 2),
        ("b", "training", ("run",), 0),
        ("f", "testing", (), 0),
        ("g", "training", ("run",), 0),
    ]
    assert [(problem.location, problem.code) for problem in problems if problem.fatal] == [
        ("line 5", "no-segments"),
        ("line 6", "no-segments"),
        ("line 8", "ambiguous"),
        ("line 11", "no-segments"),
    ]
    with raises(DataError, code="no-segments", path=tmp_path / "tags.csv", location="line 5") as caught:
        read_tags(tmp_path / "tags.csv")
    assert "3 more" in str(caught.value)


def test_malformed_time_does_not_exclude_training_video(tmp_path):
    videos = read_tags(table(tmp_path, "video,labels\na,run[1 2]\n"))
    assert videos[0].labels == ("run",) and not videos[0].segments


MALFORMED = {
    "Subject 1/Fall.csv": {6: "`:`"},
    "Subject 2/ADL.csv": {7: "`9.7 to 3`"},
    "Subject 2/Fall.csv": {12: "parenthesis", 20: "`0.9 4.6`"},
    "Subject 3/ADL.csv": {5: "never closed", 13: "`Reading`"},
    "Subject 4/Fall.csv": {10: "`2.3 6`", 16: "`Falling (FW)`"},
}


def test_public_tables(shared):
    root, count = shared("videos", "gmdcsa24"), 0
    for path in sorted(root.glob("*/*.csv")):
        rows, problems = parse_rows(path)
        expected = MALFORMED.get(path.relative_to(root).as_posix(), {})
        assert [problem.location for problem in problems] == [f"line {line}" for line in expected]
        assert all(excerpt in p.message for p, excerpt in zip(problems, expected.values(), strict=True))
        count += len(rows)
    assert count == 159  # of 160: one line has a label that cannot be read


# --- Points and timelines ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cell, labels, segments",
    [
        ("swim@12.5; dive@1:05", ["swim", "dive"], [Segment("swim", 12.5, 12.5), Segment("dive", 65, 65)]),
        ("swim @ 1:00:05.5", ["swim"], [Segment("swim", 3605.5, 3605.5)]),
        ("swim@3; swim@7; run", ["swim", "swim", "run"], [Segment("swim", 3, 3), Segment("swim", 7, 7)]),
        ("swim[1 to 2]; swim@7", ["swim", "swim"], [Segment("swim", 1, 2), Segment("swim", 7, 7)]),
        ("a@home; @home; b@", ["a@home", "@home", "b@"], []),
        ("a@b@4", ["a@b"], [Segment("a@b", 4, 4)]),
        ("swim[1 to 2]; dive@7", ["swim", "dive"], [Segment("swim", 1, 2), Segment("dive", 7, 7)]),
    ],
)
def test_points_are_segments_of_zero_length(cell, labels, segments):
    assert parse_labels(cell, LINE) == (labels, segments, [])


@pytest.mark.parametrize(
    "item",
    ["-3", "12.5s", "1:2:3:4", "1,5", "1e5", ".5", "5.", "９", "99999999999", "3[1 to 2]", "x3[1 to", "-3[1 to 2]"],
)
def test_malformed_point_is_a_tag_with_a_problem(item):
    labels, segments, problems = parse_labels(f"a b@{item}; run", LINE)
    is_text = item.startswith("x")
    assert labels[0] == ("a b@x3" if is_text else "a b") and not segments
    assert (problems[0].code, problems[0].fatal) == ("invalid-times", False)


@given(text=st.text(st.sampled_from("a1@.:-, "), max_size=20))
def test_text_after_at_is_a_time_or_part_of_the_label_or_has_a_problem(text):
    labels, segments, problems = parse_labels(f"run@{text}", LINE)
    assert len(labels) == 1
    assert labels[0] == f"run@{text}".strip() or segments or problems


def test_long_label_with_many_digits_is_read_in_linear_time():
    text = "@".join(["1" * 50_000, " " * 50_000, "x"])
    assert parse_labels(text, LINE) == ([text], [], [])


@pytest.mark.parametrize("labels", ["run[1 to 2];jump", "jump", "run[1 to 2];run[3 to x]", "run@-3"])
def test_timeline_with_labels_without_times_is_partial(tmp_path, labels):
    (video,), problems = parse_tags(table(tmp_path, f"video,labels,timeline\na,{labels},complete\n"))
    assert not video.complete
    assert [(p.location, p.fatal) for p in problems if p.code == "incomplete"] == [("line 2, a", False)]


def test_timeline_column_marks_complete_videos(tmp_path):
    text = "video,labels,timeline\na,run[1 to 2],complete\nb,run[1 to 2],\nc,,Complete\nd,run,partial\ne,run,whole\n"
    videos, problems = parse_tags(table(tmp_path, text))
    assert {v.id: v.complete for v in videos} == {"a": True, "b": False, "c": True, "d": False}
    assert [(problem.location, problem.code) for problem in problems] == [("line 6", "unknown-name")]


def test_points_are_not_enough_for_scoring(tmp_path):
    videos, problems = parse_tags(table(tmp_path, "video,labels,subset\na,run@1,testing\nb,run@1,training\n"))
    assert [v.id for v in videos] == ["b"]
    assert [(problem.location, problem.code) for problem in problems] == [("line 2", "no-segments")]
