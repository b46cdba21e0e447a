"""Tables as data: rendered for a terminal of any width and in other formats, with every cell escaped."""

import csv
import io
import json

import pytest
from rich.console import Console

from tests.helpers.errors import raises
from wtal.core.errors import ConfigError
from wtal.reporting.tables import (
    TABLE_FORMATS,
    TableData,
    format_mean_std,
    open_output,
    print_table,
    to_csv,
    to_json,
    to_latex,
    to_markdown,
)

WIDE = TableData(
    ("file", *(f"protocol {number}" for number in range(9))),
    tuple((name, *(f"{number}.{row}" for number in range(9))) for row, name in enumerate(("short", "x" * 60))),
    title="scores",
    bold=(1,),
)


def printed(table: TableData, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    print_table(table, console)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 80, 200])
def test_wide_table_is_split_into_tables_that_repeat_the_labels(width):
    lines = printed(WIDE, width)
    text = "\n".join(lines)
    assert lines[0] == "scores" and max(map(len, lines)) <= width and "…" not in text
    assert all(f"{number}.{row}" in text for number in range(9) for row in range(2))
    assert text.count("short") == text.count("file") == sum("─" in line for line in lines)
    assert (text.count("short") == 1) == (width == 200)


@pytest.mark.parametrize("width", range(30, 60))
def test_names_are_not_broken_in_a_table_as_wide_as_the_terminal(width):
    table = TableData(("class", *map(str, range(8))), (("VolleyballSpiking", *["12.3"] * 8),))
    lines = printed(table, width)
    assert "VolleyballSpiking" in "\n".join(lines) and max(map(len, lines)) <= width


def test_cells_are_neither_markup_nor_control_characters():
    text = "\n".join(printed(TableData(("[b]a", "\x1b[31mb"), (("[red]c", "d"),)), 80))
    assert "[b]a" in text and "[red]c" in text and "\x1b" not in text


def test_markdown_escapes_cells_and_marks_the_names_of_bold_rows():
    lines = to_markdown(TableData(("a", "b"), (("x|y\nz", "1"), ("*", "2")), bold=(1,)))
    assert lines == ["| a | b |", "|---|---|", r"| x\|y z | 1 |", r"| **\*** | 2 |"]


SCORES = TableData(
    ("method", "avg\n0.1:0.7", "instances", "difference"),
    (("=dfe_1 & [x]", "67.1 ± 2.0", "3,358", "+1.5"), ("[5 %]", "", "7", "-0.5")),
    title="scores\nin %",
    bold=(0,),
    sections=(1,),
)


def test_latex_escapes_cells_and_uses_booktabs():
    assert to_latex(SCORES) == [
        "% scores in %",
        r"\begin{tabular}{lrrr}",
        r"\toprule",
        r"method & avg 0.1:0.7 & instances & difference \\",
        r"\midrule",
        r"\textbf{=dfe\_1 \& [x]} & 67.1 $\pm$ 2.0 & 3,358 & +1.5 \\",
        r"\midrule",
        r"{[}5 \%] &  & 7 & $-$0.5 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_csv_has_plain_numbers_and_no_formula():
    rows = list(csv.reader(io.StringIO(TABLE_FORMATS["csv"]([SCORES]))))
    assert rows[0] == ["method", "avg 0.1:0.7", "avg 0.1:0.7 std", "instances", "difference"]
    assert rows[1:] == [["'=dfe_1 & [x]", "67.1", "2.0", "3358", "1.5"], ["[5 %]", "", "", "7", "-0.5"]]


def test_json_has_numbers_and_names_remain_text():
    numbered = TableData(("video", "bouts"), (("007", "1,007"), ("8", "0.5 s")))
    assert to_json(numbered)["rows"] == [["007", 1007], ["8", "0.5 s"]]
    tables = json.loads(TABLE_FORMATS["json"]([SCORES, numbered]))
    assert [table["title"] for table in tables] == [SCORES.title, ""]
    assert tables[0]["rows"][1] == ["[5 %]", None, None, 7, -0.5]


def test_programs_get_the_bounds_of_an_interval_as_two_numbers():
    rows = (("a", "[-1.5, +2.0]", "12.3", "[x, y]"), ("b", "", "4.5 ± 0.1", ""))
    data = to_json(TableData(("name", "interval", "mAP", "text"), rows))
    assert data["columns"] == ["name", "interval low", "interval high", "mAP", "mAP std", "text"]
    assert data["rows"] == [["a", -1.5, 2.0, 12.3, None, "[x, y]"], ["b", None, None, 4.5, 0.1, None]]


def test_programs_get_times_in_seconds_and_a_row_for_each_line():
    rows = (("1:00", "1:05.2", "0:07\n1:00:01", "a\nb", "9"), ("x", "", "", "", "0:30 h"))
    data = TableData(("name", "side\ntotal", "moment", "class", "text"), rows, bold=(1,), sections=(1,))
    content = to_json(data)
    assert content["columns"] == ["name", "side total (s)", "moment (s)", "class", "text"]
    assert content["rows"] == [
        ["1:00", 65.2, 7, "a", 9],
        ["1:00", 65.2, 3601, "b", 9],
        ["x", None, None, None, "0:30 h"],
    ]
    assert list(csv.reader(to_csv(data)))[2] == ["1:00", "65.2", "3601", "b", "9"]
    first, second = "| 1:00 | 1:05.2 | 0:07 | a | 9 |", "| 1:00 | 1:05.2 | 1:00:01 | b | 9 |"
    assert to_markdown(data)[2:] == [first, second, "| **x** |  |  |  | 0:30 h |"]
    assert to_latex(data).count(r"\midrule") == 2 and to_latex(data)[-4] == r"\midrule"


def test_program_formats_keep_the_names_of_rows():
    rows = (("1 ± 2", "[1, 2]", "3"),)
    assert to_json(TableData(("a", "b", "c"), rows, labels=2))["rows"] == [["1 ± 2", "[1, 2]", 3]]


@pytest.mark.parametrize("name", TABLE_FORMATS)
def test_output_of_a_format_is_the_tables_alone(name, capsys):
    with open_output(Console(), name) as output:
        output.print(["a line", SCORES, WIDE, "written"])
    captured = capsys.readouterr()
    assert captured.out == TABLE_FORMATS[name]([SCORES, WIDE]) and captured.err == "a line\nwritten\n"
    with open_output(Console(), name):
        pass
    assert capsys.readouterr().out == ("[]\n" if name == "json" else "")


def test_output_after_an_error_has_no_tables(capsys):
    with pytest.raises(KeyError), open_output(Console(), "csv") as output:
        output.print([SCORES])
        raise KeyError
    assert capsys.readouterr().out == ""


def test_unknown_format_is_rejected():
    with raises(ConfigError, code="unknown-name"), open_output(Console(), "html"):
        pass


def test_mean_and_standard_deviation():
    assert format_mean_std([12.34]) == "12.3" and format_mean_std([1.0, 3.0], 2) == "2.00 ± 1.41"
