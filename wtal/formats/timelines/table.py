"""Tables of segments, a line each: the columns of plain CSV, and what BORIS's table shares with them."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from wtal.errors import DataError
from wtal.files import read_text, write_text
from wtal.formats.problem import short
from wtal.formats.timelines.timeline import Read, Segment, Timeline, seconds, segment, word

COLUMNS = ("video", "label", "start", "end")
MORE = ("score", "duration", "subset")  # written where there is any


class Row(NamedTuple):
    """A line of a table: where it stands, and its cells by the names of their columns in small letters."""

    where: str
    cells: Mapping[str, str]


def read(path: Path) -> Read:
    """`video,label,start,end` and perhaps score, duration, subset; a line without times is a tag, or a video alone.

    Raises DataError with the line that is at fault.
    """
    segments: dict[str, list[Segment]] = {}
    tags: dict[str, list[str]] = {}
    about: dict[str, tuple[float | None, str]] = {}
    unread: set[str] = set()
    for where, cells in rows(path, COLUMNS):
        unread.update(name for name in cells.keys() - {*COLUMNS, *MORE} if cells[name])
        id = word(where, cells["video"], "video")
        label, start, end = (cells[name] for name in COLUMNS[1:])
        segments.setdefault(id, [])
        if start or end:
            segments[id].append(segment(where, label, start, end, cells.get("score") or None))
        elif label:
            tags.setdefault(id, []).append(word(where, label, "label"))
        known = seconds(where, cells["duration"], "duration") if cells.get("duration") else None
        if about.setdefault(id, (known, cells.get("subset", ""))) != (known, cells.get("subset", "")):
            raise DataError(f"{where}: another duration or subset than the lines above say; make them the same")
    found = [Timeline(id, tuple(segments[id]), *about[id], tuple(tags.get(id, ()))) for id in segments]
    return Read(found, left_out(path, unread))


def write(path: Path, timelines: Sequence[Timeline]) -> None:
    """A line a segment, a tag, or a video that has neither."""
    lines = [
        {"video": timeline.id, "duration": _said(timeline.duration), "subset": timeline.subset, **cells}
        for timeline in timelines
        for cells in _lines(timeline)
    ]
    more = [name for name in MORE if any(line.get(name) for line in lines)]
    write_rows(path, [*COLUMNS, *more], lines)


def rows(path: Path, columns: Iterable[str]) -> Iterator[Row]:
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
    return [f"{path}: the columns {short(', '.join(sorted(columns)))} are left out"] if columns else []


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
    raise DataError(f"{path}, line 1: the header is `{short(head)}`; it must have the columns {', '.join(columns)}")


def _lines(timeline: Timeline) -> list[dict[str, str]]:
    found = [
        {"label": s.label, "start": repr(s.start), "end": repr(s.end), "score": _said(s.score)}
        for s in timeline.segments
    ]
    return found + [{"label": tag} for tag in timeline.tags] or [{}]


def _said(value: float | None) -> str:
    return "" if value is None else repr(value)
