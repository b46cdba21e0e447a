"""Names from files stay in their line, cell and quotes."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from wtal.core.text import (
    code_span,
    escape_markdown,
    format_count,
    format_list,
    format_percent,
    markdown_table,
    one_line,
    print_line,
    printable,
)


@given(st.text())
def test_text_from_files_stays_on_one_line(text):
    for function in (one_line, escape_markdown, code_span):
        assert function(text).isprintable()


@given(st.text(st.sampled_from("`ab |\n")))
def test_code_span_contains_the_text(text):
    span = code_span(text)
    fence = len(span) - len(span.lstrip("`"))
    content = span[fence : len(span) - fence]
    if one_line(text):
        assert span.endswith("`" * fence) and "`" * fence not in content and content.strip() == one_line(text).strip()


def test_markdown_is_escaped():
    assert escape_markdown("a_b *c* <d> [e](f) | `g`") == r"a\_b \*c\* \<d\> \[e\](f) \| \`g\`"
    assert list(markdown_table(["a", "b"], [["1", "2"]])) == ["| a | b |", "|---|---|", "| 1 | 2 |"]


def test_terminal_gets_neither_markup_nor_control_characters():
    out = io.StringIO()
    print_line(Console(file=out, width=10), "[red]\x1b[2J a long line\nnext")
    assert out.getvalue() == "[red]\N{REPLACEMENT CHARACTER}[2J a long line\nnext\n"
    assert printable("a\tb") == "a\N{REPLACEMENT CHARACTER}b"


@pytest.mark.parametrize("count, expected", [(0, ""), (2, "0, 1"), (3, "0, 1, 2"), (5, "0, 1, 2 and 2 more")])
def test_long_list_is_cut(count, expected):
    assert format_list([str(i) for i in range(count)], 3) == expected


def test_percent():
    assert format_percent(0.43) == "43.0" and format_percent(None, missing="-") == "-"
    assert format_percent(0.4321, 2, sign=True, unit=" %") == "+43.21 %"


def test_counts_agree_with_their_nouns():
    assert [format_count(count, "video") for count in (0, 1, 2000)] == ["0 videos", "1 video", "2,000 videos"]
    assert [format_count(count, "class", "classes") for count in (1, 2)] == ["1 class", "2 classes"]
