"""BORIS: its table of aggregated events, a line a behaviour, seconds with three decimals.

FROM: Tables of segments, a line each: the columns of plain CSV, and what BORIS's table shares with them.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from wtal.core.errors import DataError
from wtal.core.io import read_text, write_text
from wtal.data.annotations.base import (
    Annotation,
    AnnotationFile,
    Segment,
    milliseconds,
    parse_name,
    seconds,
    segment,
    with_score,
    without_score,
)
from wtal.data.problems import abbreviate

TABLE_COLUMNS = ("video", "label", "start", "end")
MORE = ("score", "duration", "subset")  # written where there is any


class Row(NamedTuple):
    """A line of a table: where it stands, and its cells by the names of their columns in small letters."""

    where: str
    cells: Mapping[str, str]


def read_table(path: Path) -> AnnotationFile:
    """`video,label,start,end` and perhaps score, duration, subset; a line without times is a tag, or a video alone.

    Raises DataError with the line that is at fault.
    """
    segments: dict[str, list[Segment]] = {}
    tags: dict[str, list[str]] = {}
    about: dict[str, tuple[float | None, str]] = {}
    unread: set[str] = set()
    for where, cells in table_rows(path, TABLE_COLUMNS):
        unread.update(name for name in cells.keys() - {*TABLE_COLUMNS, *MORE} if cells[name])
        id = parse_name(where, cells["video"], "video")
        label, start, end = (cells[name] for name in TABLE_COLUMNS[1:])
        segments.setdefault(id, [])
        if start or end:
            segments[id].append(segment(where, label, start, end, cells.get("score") or None))
        elif label:
            tags.setdefault(id, []).append(parse_name(where, label, "label"))
        known = seconds(where, cells["duration"], "duration") if cells.get("duration") else None
        if about.setdefault(id, (known, cells.get("subset", ""))) != (known, cells.get("subset", "")):
            raise DataError(f"{where}: another duration or subset than the lines above say; make them the same")
    found = [Annotation(id, tuple(segments[id]), *about[id], tuple(tags.get(id, ()))) for id in segments]
    return AnnotationFile(found, left_out(path, unread))


def write_table(path: Path, timelines: Sequence[Annotation]) -> None:
    """A line a segment, a tag, or a video that has neither."""
    lines = [
        {"video": timeline.id, "duration": _said(timeline.duration), "subset": timeline.subset, **cells}
        for timeline in timelines
        for cells in _lines(timeline)
    ]
    more = [name for name in MORE if any(line.get(name) for line in lines)]
    write_rows(path, [*TABLE_COLUMNS, *more], lines)


def table_rows(path: Path, columns: Iterable[str]) -> Iterator[Row]:
    """The lines of a table whose header has these columns; `,`, `;` or tabs are between its cells.

    Raises DataError with the line for a header that lacks one, a wrong number of cells, and a stray quote.
    """
    text = read_text(path)
    separator, header = _header(path, text, list(columns))
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        next(line for line in lines if line)
        for line in lines:
            where = f"{path}, line {lines.line_num}"
            if not any(line):
                continue
            if len(line) != len(header):
                raise DataError(
                    f"{where}: {len(line)} cells where there should be {len(header)}; the file may be cut off"
                )
            yield Row(where, dict(zip(header, map(str.strip, line), strict=True)))
    except csv.Error as error:
        raise DataError(
            f"{path}, line {lines.line_num}: no CSV ({error}); the file may be cut off, or a quote out of place"
        ) from error


def write_rows(path: Path, columns: Sequence[str], lines: Iterable[Mapping[str, str]]) -> None:
    """A table as CSV; a line has "" where it says nothing."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: lines_only(cell) for name, cell in line.items()} for line in lines)
    write_text(path, text.getvalue())


def left_out(path: Path, columns: Iterable[str]) -> list[str]:
    """A remark on the columns that hold something that is not read."""
    return [f"{path}: the columns {abbreviate(', '.join(sorted(columns)))} are left out"] if columns else []


def lines_only(text: str) -> str:
    """Text as a table can hold it."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _header(path: Path, text: str, columns: list[str]) -> tuple[str, list[str]]:
    head = next((line for line in text.split("\n") if line.strip()), "")
    for separator in ",;\t":
        try:
            names = [cell.strip().lower() for cell in next(csv.reader([head], delimiter=separator), [])]
        except csv.Error:  # a cell too long to be read
            continue
        if set(columns) <= set(names):
            if len(set(filter(None, names))) < len(list(filter(None, names))):
                raise DataError(f"{path}, line 1: two columns have one name; rename one of them")
            return separator, names
    raise DataError(
        f"{path}, line 1: the header is `{abbreviate(head)}`; it must have the columns {', '.join(columns)}"
    )


def _lines(timeline: Annotation) -> list[dict[str, str]]:
    found = [
        {"label": s.label, "start": repr(s.start), "end": repr(s.end), "score": _said(s.score)}
        for s in timeline.segments
    ]
    return found + [{"label": tag} for tag in timeline.tags] or [{}]


def _said(value: float | None) -> str:
    return "" if value is None else repr(value)


NEEDED = ("observation id", "behavior", "start (s)", "stop (s)")
BORIS_COLUMNS = (
    *("Observation id", "Observation date", "Description", "Observation type", "Source", "Time offset (s)"),
    *("Coding duration", "Media duration (s)", "FPS (frame/s)", "Subject"),
    *("Observation duration by subject by observation", "Behavior", "Behavioral category", "Behavior type"),
    *("Start (s)", "Stop (s)", "Duration (s)", "Media file name"),
    *("Image index start", "Image index stop", "Image file path start", "Image file path stop"),
    *("Comment start", "Comment stop"),
)
LENGTHS = ("media duration (s)", "total length")  # the second as older versions call it
NONE = ("", "na", "nan")


def read_boris(path: Path) -> AnnotationFile:
    """The behaviours of each observation; a point event has no length. Raises DataError with the line at fault."""
    segments: dict[str, list[Segment]] = {}
    durations: dict[str, float | None] = {}
    unread: set[str] = set()
    for row in table_rows(path, NEEDED):
        id = parse_name(row.where, row.cells["observation id"], "Observation id")
        segments.setdefault(id, []).append(_segment(row))
        durations[id] = _duration(row)
        unread |= {name for name in _others(row) if row.cells[name].lower() not in (*NONE, "no focal subject")}
    found = [Annotation(id, tuple(of_id), durations[id]) for id, of_id in segments.items()]
    return AnnotationFile(found, left_out(path, unread))


def write_boris(path: Path, timelines: Sequence[Annotation]) -> None:
    """A line a segment, its score as a comment. A video without segments has no line."""
    write_rows(path, BORIS_COLUMNS, [_line(timeline, one) for timeline in timelines for one in timeline.segments])


def _segment(row: Row) -> Segment:
    start, stop = row.cells["start (s)"], row.cells["stop (s)"]
    _, score = without_score(f"- {row.cells.get('comment start', '')}")
    return segment(row.where, row.cells["behavior"], start, start if stop.lower() in NONE else stop, score)


def _duration(row: Row) -> float | None:
    said = next((row.cells[name] for name in LENGTHS if row.cells.get(name, "").lower() not in NONE), None)
    return None if said is None else seconds(row.where, said, "media duration")


def _others(row: Row) -> list[str]:
    return [name for name in row.cells if name == "subject" or name.startswith("modifier")]


def _line(timeline: Annotation, one: Segment) -> dict[str, str]:
    start, stop = milliseconds(one)
    return {
        "Observation id": timeline.id,
        "Observation type": "Media file(s)",
        "Media duration (s)": "" if timeline.duration is None else repr(timeline.duration),
        "Subject": "No focal subject",
        "Behavior": one.label,
        "Behavior type": "STATE" if stop > start else "POINT",
        "Start (s)": f"{start / 1000:.3f}",
        "Stop (s)": f"{stop / 1000:.3f}",
        "Duration (s)": f"{(stop - start) / 1000:.3f}",
        "Media file name": timeline.file,
        "Comment start": with_score("", one.score).strip(),
    }
