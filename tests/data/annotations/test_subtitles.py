"""WebVTT, SRT and Audacity labels: one cue or label per line of text."""

import pytest

from tests.helpers.errors import raises
from wtal.core.errors import DataError
from wtal.core.structures import Segment
from wtal.data.annotations import audacity
from wtal.data.annotations.subtitles import read_srt, read_vtt


def test_vtt_skips_notes_styles_and_tags(tmp_path):
    path = tmp_path / "v.vtt"
    path.write_text(
        "WEBVTT - a title\nKind: captions\n\nSTYLE\n::cue { color: red }\n\nNOTE --\nseen\n\n"
        "intro\n00:01.000 --> 01:00:02.500 align:start\n<v Ann>Tom &amp; <i>Jerry</i>\nrun\n"
    )
    assert read_vtt(path).annotations[0].segments == (Segment("Tom & Jerry\nrun", 1.0, 3602.5),)


def test_vtt_needs_no_blank_line_after_the_header(tmp_path):
    path = tmp_path / "v.vtt"
    path.write_text("WEBVTT\n00:01.000 --> 00:02.000\nat once\n")
    assert read_vtt(path).annotations[0].segments == (Segment("at once", 1.0, 2.0),)


def test_vtt_character_references_of_any_length_are_accepted(tmp_path):
    path = tmp_path / "v.vtt"
    path.write_text(f"WEBVTT\n\n00:01.000 --> 00:02.000\n&#{'9' * 5000}; &#x41; &#65;\n")
    assert read_vtt(path).annotations[0].segments == (Segment("\ufffd A A", 1.0, 2.0),)


def test_srt_accepts_positions_missing_numbers_and_decimal_points(tmp_path):
    path = tmp_path / "v.srt"
    path.write_text("\n\n1\n00:00:01,000  -->  00:00:02,500  X1:1\nrun\n   \n00:00:03.000 --> 00:00:04.000\n- a\n")
    assert read_srt(path).annotations[0].segments == (Segment("run", 1.0, 2.5), Segment("- a", 3.0, 4.0))


@pytest.mark.parametrize(("read", "header", "first_line"), [(read_srt, "", 1), (read_vtt, "WEBVTT\n\n", 3)])
@pytest.mark.parametrize(
    "cue",
    [
        "00:00:02.000 --> 00:00:01.000\nx\n",
        "-00:00:02.000 --> 00:00:03.000\nx\n",
        "text\n\n00:00:02.000 --> 00:00:03.000\nx\n",
        "00:61:00.000 --> 00:62:00.000\nx\n",
        "00:00:01.000 -->\nx\n",
    ],
)
def test_invalid_cues_are_rejected_with_their_line(read, header, first_line, cue, tmp_path):
    path = tmp_path / "v.txt"
    path.write_text(header + cue)
    with raises(DataError, path=path, location=f"line {first_line}"):
        read(path)


def test_vtt_without_header_is_rejected(tmp_path):
    path = tmp_path / "v.vtt"
    path.write_text("")
    with raises(DataError, code="invalid-header", path=path, location="line 1"):
        read_vtt(path)


def test_audacity_frequency_ranges_are_ignored_with_a_warning(tmp_path):
    path = tmp_path / "v.txt"
    path.write_text("1.0\t2.0\trun\n\\\t100.0\t200.0\n")
    (annotation,), (warning,) = audacity.read(path)
    assert annotation.segments == (Segment("run", 1.0, 2.0),)
    assert "frequency" in warning.message and warning.count == 1


@pytest.mark.parametrize("line", ["1.0 2.0 x", "1.0\t2.0\t", "1_0\t2_0\tx", "1.0\t2.0"])
def test_invalid_audacity_labels_are_rejected(line, tmp_path):
    path = tmp_path / "v.txt"
    path.write_text(f"0.0\t1.0\tok\n{line}\n")
    with raises(DataError, code="invalid-value", path=path, location="line 2"):
        audacity.read(path)
