"""What a format writes is read back, up to the resolution that it declares; files stay byte-identical."""

import re
import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings

from tests.helpers.annotations import (
    FPS,
    all_as_stored,
    annotations,
    fps_of,
    run_convert,
    segment_counts,
    write_and_read,
)
from wtal.core.structures import Segment
from wtal.data.annotations.base import Annotation, AnnotationFormat
from wtal.data.annotations.convert import conversion_warnings, read_annotations, write_annotations
from wtal.data.annotations.registry import FORMATS
from wtal.data.layouts.activitynet import read_proposals, write_proposals

GOLDEN = Path(__file__).parent / "golden"
each_format = pytest.mark.parametrize("format", FORMATS.values(), ids=FORMATS)


@each_format
@settings(max_examples=40, deadline=None)
@given(written=annotations)
def test_roundtrip_all_formats(format: AnnotationFormat, written: list[Annotation]):
    with tempfile.TemporaryDirectory() as folder:
        read = write_and_read(format, written, Path(folder))
    kept = [annotation for annotation in written if annotation.segments or "empty videos" in format.keeps]
    assert segment_counts(read) == segment_counts(
        [
            Annotation(format.normalize_id(annotation.id), all_as_stored(format, annotation.segments))
            for annotation in kept
        ]
    )
    if not conversion_warnings(format, written, FPS):
        assert segment_counts(read) == segment_counts(written), "something was lost without a warning"
        assert {(a.id, a.duration, a.subset) for a in read} == {(a.id, a.duration, a.subset) for a in written}


@each_format
def test_videos_without_segments(format, tmp_path):
    written = [Annotation("empty.video"), Annotation("other", (Segment("run", 1.0, 2.0, 0.5),))]
    read = write_and_read(format, written, tmp_path)
    assert [a.id for a in read if not a.segments] == (["empty.video"] if "empty videos" in format.keeps else [])


@each_format
def test_ten_thousand_segments_take_less_than_five_seconds(format, tmp_path):
    segments = tuple(Segment(f"class {n % 20}", n * 0.32, n * 0.32 + 60, (n % 100) / 100) for n in range(10_000))
    begin = time.process_time()
    (read,) = write_and_read(format, [Annotation("long", segments)], tmp_path)
    assert time.process_time() - begin < 5
    assert Counter(read.segments) == Counter(all_as_stored(format, segments))


@each_format
@pytest.mark.parametrize("variant", ["byte order mark", "CRLF"])
def test_reader_accepts_windows_text_files(format, variant, tmp_path):
    segments = (Segment("run", 1.0, 2.0, 0.5), Segment("jump", 1.0, 3.0, 0.25))
    path = tmp_path / f"v{format.extension}"
    write_annotations(format, path, [Annotation("v", segments)], fps_of(format))
    text = path.read_text(encoding="utf-8")
    path.write_bytes((text.replace("\n", "\r\n") if variant == "CRLF" else f"\ufeff{text}").encode())
    file, _ = read_annotations(path, format.name, fps_of(format))
    assert segment_counts(file.annotations) == segment_counts([Annotation("v", all_as_stored(format, segments))])


@each_format
def test_files_are_byte_identical_to_earlier_versions(format, tmp_path):
    """The files in golden/ were written by earlier versions."""
    segments = (
        Segment("High jump", 0.5, 2.25, 0.875),
        Segment("High jump", 1.0, 3.0, 1 / 3),
        Segment('Stoß, "weit" & <hoch>\n跳远', 2.0, 2.0, 0.5),
        Segment("=run", 4.123456789, 3600.0),
    )
    videos = [Annotation("v_1", segments, 3600.5, "validation", ("Throw",), "v_1.mp4")]
    if not format.single_video:
        videos += [Annotation("v 2", (Segment("Throw", 0.0, 1.0, 0.25),)), Annotation("v3")]
    path = tmp_path / f"{format.name}{format.extension}"
    write_annotations(format, path, videos, fps_of(format))
    content = path.read_bytes()
    # The date of the document.
    content = re.sub(rb' DATE="[^"]*"', b' DATE=""', content)
    content = re.sub(rb'"((project_)?date)": "[^"]*"', rb'"\1": ""', content)
    assert content == (GOLDEN / path.name).read_bytes()


@each_format
def test_roundtrip_through_the_command_line(format, tmp_path):
    proposals = {"a.b": [Segment("run", 0.5, 2.0, 0.75), Segment("jump", 1.0, 3.0, 0.5)], "c": []}
    source, back = tmp_path / "proposals.json", tmp_path / "back.json"
    write_proposals(source, proposals)
    out = tmp_path / ("out" if format.single_video else f"out{format.extension}")
    fps = ["--fps", 4] if format.needs_fps else []
    output = run_convert(source, out, "--to", format.name, *fps)
    assert f"results to {format.name}: 2 segments of 2 videos written to {out}" in output
    run_convert(out, back, "--to", "results", *fps)
    expected = {
        id: [segment if "scores" in format.keeps else segment._replace(score=1.0) for segment in segments]
        for id, segments in proposals.items()
        if segments or "empty videos" in format.keeps
    }
    assert {id: sorted(segments) for id, segments in read_proposals(back).items()} == {
        id: sorted(segments) for id, segments in expected.items()
    }


@each_format
def test_points_are_kept_or_reported(format, tmp_path):
    point = Segment("run", 2.0, 2.0, 0.5)
    (read,) = write_and_read(format, [Annotation("v", (point,))], tmp_path)
    (segment,) = read.segments
    assert segment.start == point.start and (segment.end > segment.start) == (not format.allows_zero_length)
    messages = [warning.message for warning in conversion_warnings(format, [Annotation("v", (point,))], fps_of(format))]
    assert any("shorter segments are extended" in message for message in messages) != format.allows_zero_length
