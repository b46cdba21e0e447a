"""The registry of annotation formats: lookup, detection, and formats that users add."""

import pytest

from tests.helpers.annotations import fps_of
from tests.helpers.errors import raises
from wtal.core.errors import ConfigError, DataError
from wtal.core.io import read_text, write_text
from wtal.core.structures import Segment
from wtal.data.annotations.base import Annotation, AnnotationFile, AnnotationFormat
from wtal.data.annotations.convert import convert_annotations, write_annotations
from wtal.data.annotations.registry import FORMATS, detect_format, find_format, format_for_output
from wtal.data.parsing import Location, parse_segment

each_format = pytest.mark.parametrize("format", FORMATS.values(), ids=FORMATS)


def test_formats_are_registered_under_their_names():
    assert all(format.name == name for name, format in FORMATS.items())
    assert find_format("srt") is FORMATS["srt"]
    with raises(ConfigError, code="unknown-name"):
        find_format("srtt")


@each_format
def test_format_is_detected_from_the_file(format, tmp_path):
    path = tmp_path / f"v{format.extension}"
    write_annotations(format, path, [Annotation("v", (Segment("run", 1.0, 2.0, 0.5),))], fps_of(format))
    assert detect_format(path) is format
    if format.name not in ("srt", "audacity", "sportscode"):  # detected by extension only
        assert detect_format(path.rename(tmp_path / "v")) is format


@pytest.mark.parametrize("content", ["{}", "7", "hello\n", ""])
def test_unknown_content_is_not_detected(content, tmp_path):
    path = tmp_path / "x.json"
    path.write_text(content)
    with raises(DataError, code="unknown-format", path=path):
        detect_format(path)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("x.csv", "csv"),
        ("x.srt", "srt"),
        ("x.VTT", "vtt"),
        ("x.txt", "audacity"),
        ("x.eaf", "elan"),
        ("x.boris", "boris-project"),
        ("x.xml", "sportscode"),
    ],
)
def test_output_format_is_chosen_by_extension(name, expected, tmp_path):
    assert format_for_output(tmp_path / name).name == expected


@pytest.mark.parametrize("name", ["x.json", "x", "x.mp4"])
def test_ambiguous_extension_is_rejected(name, tmp_path):
    with raises(ConfigError, code="ambiguous-format", path=tmp_path / name):
        format_for_output(tmp_path / name)


def test_users_can_add_a_format(monkeypatch, tmp_path):
    def read(path):
        """Lines such as `1.5 2.5 long jump`."""
        segments = []
        for number, line in enumerate(read_text(path).splitlines(), start=1):
            start, end, label = line.split(maxsplit=2)
            segments.append(parse_segment(Location(path, f"line {number}"), label, start, end))
        return AnnotationFile([Annotation(path.stem, tuple(segments))], [])

    def write(path, annotations):
        (annotation,) = annotations
        write_text(path, "".join(f"{s.start} {s.end} {s.label}\n" for s in annotation.segments))

    lines = AnnotationFormat(
        "lines", "Lines of text", ".lines", read, write, single_video=True, keeps=frozenset({"empty videos"})
    )
    monkeypatch.setitem(FORMATS, "lines", lines)
    source, back = tmp_path / "v.lines", tmp_path / "v.csv"
    write(source, [Annotation("v", (Segment("long jump", 1.5, 2.5),))])
    result = convert_annotations(source, back)
    assert (result.source_format, result.segments) == ("lines", 1)
    result = convert_annotations(back, tmp_path / "again" / "v.lines")
    assert (tmp_path / "again" / "v.lines").read_bytes() == source.read_bytes() == b"1.5 2.5 long jump\n"
    source.write_text("1 0 jump\n")
    with raises(DataError, path=source, location="line 1"):
        convert_annotations(source, tmp_path / "other.csv")
