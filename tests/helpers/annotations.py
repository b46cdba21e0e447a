"""Random annotations, and shortcuts to write, read and convert them."""

from collections import Counter
from pathlib import Path

from hypothesis import strategies as st
from typer.testing import CliRunner

from wtal.cli import app
from wtal.core.structures import Segment
from wtal.core.text import find_hidden
from wtal.data.annotations.base import Annotation, AnnotationFormat
from wtal.data.annotations.convert import read_annotations, write_annotations
from wtal.data.features import is_file_name

FPS = 25.0
DIFFICULT_LABELS = [
    *("a\nb", "a, b", "a\tb", "a\r\nb", "a\n\nb", "a\x85b", "\u2028x", "\x00", "\ufeffx", "\ufffe", "跳远 🏃"),
    *('say "so"', "a --> b", "<b>&amp;</b>", "x [score 0.5]", "[score 1]", "NOTE", "1", "0", "None", "nan", "score"),
    *("'", ";", "\\"),
]
labels = st.one_of(st.sampled_from(DIFFICULT_LABELS), st.text(max_size=12)).map(str.strip).filter(bool)
labels = labels.filter(lambda label: find_hidden(label) is None)
video_ids = st.text("aé.-_ 1", min_size=1, max_size=9).map(str.strip).filter(lambda id: bool(id) and is_file_name(id))
times = st.floats(0, 90_000) | st.integers(0, 4000).map(lambda milliseconds: milliseconds / 1000)
scores = st.none() | st.floats(-10, 10) | st.just(0.0)


@st.composite
def segments(draw: st.DrawFn) -> Segment:
    start, end = sorted((draw(times), draw(times)))
    return Segment(draw(labels), start + 0.0, end + 0.0, draw(scores))  # no negative zero


annotations = st.lists(
    st.builds(
        Annotation,
        video_ids,
        st.lists(segments(), max_size=6).map(tuple),
        st.none() | st.floats(0.001, 1e6),
        st.sampled_from(["", "training", "testing"]),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda annotation: annotation.id,
)


def fps_of(format: AnnotationFormat) -> float | None:
    return FPS if format.needs_fps else None


def write_and_read(format: AnnotationFormat, annotations: list[Annotation], folder: Path) -> list[Annotation]:
    """Write annotations to an empty folder, one file per video if the format requires it, and read them."""
    if format.single_video:
        for annotation in annotations:
            write_annotations(format, folder / f"{annotation.id}{format.extension}", [annotation], fps_of(format))
    else:
        write_annotations(format, folder / f"all{format.extension}", annotations, fps_of(format))
    file, _ = read_annotations(folder, format.name, fps_of(format))
    assert file.warnings == []
    return file.annotations


def as_stored(format: AnnotationFormat, segment: Segment) -> Segment:
    """The segment that is read back after `segment` was written, according to the properties of the format."""
    start, end = segment.start, segment.end
    ticks_per_second = fps_of(format) or format.ticks_per_second
    if ticks_per_second:
        first, last = round(start * ticks_per_second), round(end * ticks_per_second)
        last = max(last, first + (not format.allows_zero_length))
        start, end = first / ticks_per_second, last / ticks_per_second
    score = segment.score if "scores" in format.keeps else None
    if score is not None and format.score_note:
        score = float(f"{score:.4g}")
    if score is None and format.requires_scores:
        score = 1.0
    return Segment(format.normalize_label(segment.label).strip(), start, end, score)


def all_as_stored(format: AnnotationFormat, segments: tuple[Segment, ...]) -> tuple[Segment, ...]:
    """The segments of a video that are read back."""
    stored = sorted((as_stored(format, segment) for segment in segments), key=lambda s: (s.label, s.start, s.end))
    if not format.merges_overlaps:
        return tuple(stored)
    merged: list[Segment] = []
    for segment in stored:
        last = merged[-1] if merged else None
        if last and last.label == segment.label and segment.start < last.end:
            merged[-1] = last._replace(end=max(last.end, segment.end))
        else:
            merged.append(segment)
    return tuple(merged)


def segment_counts(annotations: list[Annotation]) -> dict[str, Counter[Segment]]:
    """The segments of each video, without their order and with times rounded to 0.1 microseconds."""
    return {
        annotation.id: Counter(s._replace(start=round(s.start, 7), end=round(s.end, 7)) for s in annotation.segments)
        for annotation in annotations
    }


def run_convert(*arguments: object, exit_code: int = 0) -> str:
    """Run `wtal convert` and return its output. Errors are a single line."""
    result = CliRunner().invoke(app, ["convert", *map(str, arguments)])
    assert result.exit_code == exit_code, result.output
    assert exit_code == 0 or (result.stderr.startswith("error: ") and result.stderr.count("\n") == 1), result.stderr
    return result.output


def assert_rejected(format: AnnotationFormat, content: str | bytes, folder: Path) -> str:
    """Convert a file with this content, expect an error that names the file and no output. Returns the error."""
    path = folder / f"bad{format.extension}"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    fps = ["--fps", FPS] if format.needs_fps else []
    error = run_convert(path, folder / "out.csv", "--from", format.name, *fps, exit_code=2)
    assert error.startswith(f"error: {path}")
    assert [file.name for file in folder.iterdir()] == [path.name]
    path.unlink()
    return error
