"""BORIS tables of aggregated events: one row per behavior, times in seconds with three decimals."""

from collections.abc import Sequence
from pathlib import Path

from wtal.core.structures import Segment
from wtal.data.annotations.base import (
    Annotation,
    AnnotationFile,
    AnnotationFormat,
    append_score,
    split_score,
    to_milliseconds,
)
from wtal.data.annotations.boris_events import DURATION_COLUMNS, NO_VALUE, join_subject
from wtal.data.annotations.table import ignored_column_warnings, read_rows, unix_newlines, write_rows
from wtal.data.parsing import parse_name, parse_seconds, parse_segment

REQUIRED_COLUMNS = ("observation id", "behavior", "start (s)", "stop (s)")
COLUMNS = (
    *("Observation id", "Observation date", "Description", "Observation type", "Source", "Time offset (s)"),
    *("Coding duration", "Media duration (s)", "FPS (frame/s)", "Subject"),
    *("Observation duration by subject by observation", "Behavior", "Behavioral category", "Behavior type"),
    *("Start (s)", "Stop (s)", "Duration (s)", "Media file name"),
    *("Image index start", "Image index stop", "Image file path start", "Image file path stop"),
    *("Comment start", "Comment stop"),
)


def read(path: Path) -> AnnotationFile:
    """Read the behaviors of each observation; the label is the behavior, with the subject in parentheses.

    A point event becomes a segment of zero length.

    Raises:
        DataError: With the invalid line.
    """
    segments: dict[str, list[Segment]] = {}
    durations: dict[str, float | None] = {}
    ignored_columns: set[str] = set()
    for location, cells in read_rows(path, REQUIRED_COLUMNS):
        id = parse_name(location, cells["observation id"], "Observation id")
        start, stop = cells["start (s)"], cells["stop (s)"]
        end = start if stop.lower() in NO_VALUE else stop
        _, score = split_score(f"- {cells.get('comment start', '')}")
        label = join_subject(parse_name(location, cells["behavior"], "behavior"), cells.get("subject", ""))
        segments.setdefault(id, []).append(parse_segment(location, label, start, end, score))
        values = [cells[name] for name in DURATION_COLUMNS if cells.get(name, "").lower() not in NO_VALUE]
        durations[id] = parse_seconds(location, values[0], "media duration") if values else None
        ignored_columns.update(
            name for name, cell in cells.items() if name.startswith("modifier") and cell.lower() not in NO_VALUE
        )
    annotations = [Annotation(id, tuple(segments[id]), durations[id]) for id in segments]
    return AnnotationFile(annotations, ignored_column_warnings(path, ignored_columns))


def write(path: Path, annotations: Sequence[Annotation]) -> None:
    """Write a row for each segment, with its score as a comment. Videos without segments have no row."""
    rows = [_cells(annotation, segment) for annotation in annotations for segment in annotation.segments]
    write_rows(path, COLUMNS, rows)


def _cells(annotation: Annotation, segment: Segment) -> dict[str, str]:
    start, stop = to_milliseconds(segment)
    return {
        "Observation id": annotation.id,
        "Observation type": "Media file(s)",
        "Media duration (s)": "" if annotation.duration is None else repr(annotation.duration),
        "Subject": "No focal subject",
        "Behavior": segment.label,
        "Behavior type": "STATE" if stop > start else "POINT",
        "Start (s)": f"{start / 1000:.3f}",
        "Stop (s)": f"{stop / 1000:.3f}",
        "Duration (s)": f"{(stop - start) / 1000:.3f}",
        "Media file name": annotation.media_name,
        "Comment start": append_score("", segment.score).strip(),
    }


FORMAT = AnnotationFormat(
    name="boris",
    title="BORIS table",
    extension=".csv",
    read=read,
    write=write,
    detect=lambda content: "behavior" in content and "start (s)" in content,
    ticks_per_second=1000,
    keeps=frozenset({"scores", "durations"}),
    score_note="scores are written as comments, [score 0.95], with four significant digits",
    normalize_label=unix_newlines,
    normalize_id=unix_newlines,
)
