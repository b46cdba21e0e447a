"""Tables of tags: any header that can be understood, labels with times, and no line that is lost unsaid."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wtal.core.errors import DataError
from wtal.core.structures import Segment
from wtal.data.tags import parse_labels, parse_rows, parse_tags, read_tags

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


def clock(hundredths: int, style: int) -> str:
    """The same time in one of three ways."""
    seconds, part = divmod(hundredths, 100)
    if style == 0:
        return f"{seconds}.{part:02}"
    if style == 1:
        return f"{seconds // 60}:{seconds % 60:02}.{part:02}"
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}.{part:02}"


# Cells


@settings(deadline=None, max_examples=150)
@given(
    found=st.lists(items, max_size=5),
    style=st.integers(0, 2),
    to=st.sampled_from([" to ", "-", " – ", "—", " TO "]),
    between=st.sampled_from([";", " | ", ";; "]),
    inside=st.sampled_from([";", ", ", " | "]),
)
def test_what_is_written_is_read(found, style, to, between, inside):
    cell = between.join(
        label + (f" [{inside.join(clock(a, style) + to + clock(b, style) for a, b in times)}]" if times else "")
        for label, times in found
    )
    labels, actions, problems = parse_labels(cell, "here")
    assert labels == [label for label, _ in found]
    assert actions == [
        Segment(label, pytest.approx(a / 100), pytest.approx(b / 100)) for label, ts in found for a, b in ts
    ]
    timed = {label for label, times in found if times}
    untimed = dict.fromkeys(label for label, times in found if timed and label not in timed)
    assert [problem.what.split("`")[1] for problem in problems] == list(untimed)


@settings(deadline=None, max_examples=300)
@given(cell=st.text(st.sampled_from("ab1 [](;|,:.to-–\n"), max_size=30))
def test_nothing_in_a_cell_is_lost_unsaid(cell):
    labels, actions, problems = parse_labels(cell, "here")
    assert all(label == label.strip() and not set(label) & set("[];|") for label in labels)
    assert {action.label for action in actions} <= set(labels)
    assert all(0 <= action.start < action.end for action in actions)
    if any(problem.fatal for problem in problems):
        assert not labels  # then the whole line is left out
    elif not problems:  # then every letter is in a label or in a time that was read
        assert letters(cell) - letters("".join(labels)) <= len("to") * len(actions)


def letters(text: str) -> int:
    return sum(map(str.isalpha, text))


@pytest.mark.parametrize(
    "cell, labels, timed, said",
    [
        ("run[1 to 2]:; jump[0 to 1]", ["run", "jump"], ["jump"], "`:` stands after the bracket"),
        ("run[9.7 to 3]", ["run"], [], "`9.7 to 3` does not end after it starts"),
        ("run[3 to 3]", ["run"], [], "does not end after it starts"),
        ("run[0.9 4.6]; jump[0 to 8]", ["run", "jump"], ["jump"], "`0.9 4.6` is no start and end"),
        ("run[1,5 to 6]", ["run"], [], "`1` is no start and end"),
        ("run[1 to 2; soon]", ["run"], [], "`soon` is no start and end"),
        ("run[]", ["run"], [], "`` is no start and end"),
        ("run[1 to 1" + "0" * 400 + "]", ["run"], [], "no start and end"),
        ("a[2 to 3; 6 to 7; b[3 to 5; 7 to 9]", ["a", "b"], ["b", "b"], "`[2 to 3` is never closed"),
        ("a[2 to 3; b; 4 to 5", [], [], "`4 to 5` has no label"),
        ("a[2 to 3; 4 to 5", ["a"], [], "is never closed"),
        ("a[1 to 2][3 to 4]", ["a"], [], "`[3 to 4]` stands after"),
        ("read; sit[1 to 2]", ["read", "sit"], ["sit"], "`read` is taken as a tag without times, other labels"),
        ("fall (BW[5 to 10]; walk[0 to 1]", [], [], "opens a parenthesis that is never closed"),
        ("walk; [5 to 10]", [], [], "`[5 to 10]` has no label"),
        ("walk; 5 to 10", [], [], "`5 to 10` has no label"),
        ("walk 5 to 10]", [], [], "closes a bracket that was never opened"),
    ],
)
def test_malformed_cells(cell, labels, timed, said):
    read, actions, problems = parse_labels(cell, "t.csv, line 2")
    assert read == labels and [action.label for action in actions] == timed
    assert len(problems) == 1 and said in str(problems[0]) and str(problems[0]).startswith("t.csv, line 2: ")
    assert problems[0].fatal == (not labels)


def test_odd_but_whole_cells():
    for cell in ("run (fast)[1 to 2]; ", " run (fast) [ 1 to 2 ] ;", "|run (fast)[0:01-0:02]"):
        assert parse_labels(cell, "") == (["run (fast)"], [Segment("run (fast)", 1, 2)], [])
    assert parse_labels(" ; | ", "") == ([], [], [])


# Tables


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


@pytest.mark.parametrize(
    "content, name, said",
    [
        ("clip,what\na,run\n", "t.csv", "line 1: the header is `clip,what`; the first line must be `video,labels`"),
        ("", "t.csv", "line 1: the header is ``"),
        ("video,file,tags\na,a,run\n", "t.csv", "line 1: `video` and `file` could each be the video column"),
        ("video,tags,class\na,a,run\n", "t.csv", "`tags` and `class` could each be the labels column"),
        ("name,id,tags\na,a,run\n", "t.csv", "`name` and `id` could each be the video column"),
        ("video,labels\na,é\n".encode("cp1252"), "t.csv", "line 2: not UTF-8 text; save the file as UTF-8"),
        (b"PK\x03\x04", "t.xlsx", "is a spreadsheet, not text; save it there as CSV"),
        ("video,labels," + "x" * 200_000, "t.csv", "the header is"),
    ],
)
def test_tables_that_cannot_be_read(tmp_path, content, name, said):
    with pytest.raises(DataError) as caught:
        parse_rows(table(tmp_path, content, name))
    assert said in str(caught.value) and len(str(caught.value)) < 500 + len(str(tmp_path))


def test_every_line_is_read_or_said(tmp_path):
    lines = ["a,run,", "b,run,val,", "b", ",run,", "c,(x,", "d,jump,dev", "a,run,", "", " , ,", 'e,"run\njump",']
    rows, problems = parse_rows(table(tmp_path, "video,labels,subset\n" + "\n".join(lines) + "\n"))
    assert [(row.name, row.subset) for row in rows] == [("a", ""), ("b", "validation"), ("e", "")]
    said = {str(problem).split("line ")[1][0]: problem.what for problem in problems}
    assert list(said) == ["4", "5", "6", "7", "8"] and all(problem.fatal for problem in problems)
    assert "1 cells" in said["4"] and "empty" in said["5"] and "'dev'" in said["7"] and "line 2" in said["8"]


def test_rows_add_up_and_subsets(tmp_path):
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
    fatal = [str(problem).split("tags.csv, ")[1] for problem in problems if problem.fatal]
    assert [line.split(" is left out")[0] for line in fatal] == [
        "line 5: 'c'",
        "line 6: 'd'",
        "line 8: 'e'",
        "line 11: 'h'",
    ]
    assert "in testing and in training" in fatal[2] and "cannot be scored" in fatal[0]
    with pytest.raises(DataError, match="3 more such"):
        read_tags(tmp_path / "tags.csv")


def test_a_time_at_fault_does_not_stop_training(tmp_path):
    videos = read_tags(table(tmp_path, "video,labels\na,run[1 2]\n"))
    assert videos[0].labels == ("run",) and not videos[0].segments


MALFORMED = {
    "Subject 1/Fall.csv": {6: "`:`"},
    "Subject 2/ADL.csv": {7: "`9.7 to 3`"},
    "Subject 2/Fall.csv": {12: "parenthesis", 20: "`0.9 4.6`"},
    "Subject 3/ADL.csv": {5: "never closed", 13: "`Reading`"},
    "Subject 4/Fall.csv": {10: "`2.3 6`", 16: "`Falling (FW)`"},
}


def test_real_tables(shared):
    root, count = shared("videos", "gmdcsa24"), 0
    for path in sorted(root.glob("*/*.csv")):
        rows, problems = parse_rows(path)
        expected = MALFORMED.get(path.relative_to(root).as_posix(), {})
        assert len(problems) == len(expected)
        for problem, (line, said) in zip(problems, expected.items(), strict=True):
            assert problem.where == f"{path}, line {line}" and said in problem.what
        count += len(rows)
    assert count == 159  # of 160: one line has a label that cannot be read


def test_what_excel_says_to_itself_is_passed_over(tmp_path):
    rows, problems = parse_rows(table(tmp_path, "sep=;\nvideo;labels\na;run\n"))
    assert [(row.name, row.line) for row in rows] == [("a", 3)] and problems == []
