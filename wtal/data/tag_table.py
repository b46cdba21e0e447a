"""A table of tags that is read, changed and written: what is known of each video file of a folder."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from wtal.core.errors import DataError
from wtal.core.io import write_text
from wtal.core.structures import Segment
from wtal.data.create import match_tables
from wtal.data.parsing import Location
from wtal.data.problems import Problem, abbreviate
from wtal.data.tags import Row, parse_labels
from wtal.data.video_files import VideoFolder

SEGMENTS_PER_ROW = 1000  # a cell may have 128 KiB
COLUMNS = ("video", "labels", "subset", "timeline")


@dataclass(frozen=True)
class TagEntry:
    """What a table says of a video file.

    Attributes:
        labels: The labels, sorted; empty if nothing happens in the video.
        segments: Segments and points of these labels.
        subset: `training`, `validation` or `testing`; empty if the table does not say.
        complete: Whether the timeline is complete.
    """

    labels: tuple[str, ...] = ()
    segments: tuple[Segment, ...] = ()
    subset: str = ""
    complete: bool = False

    def with_labels(self, labels: Iterable[str]) -> "TagEntry":
        """The entry with other labels. Times of labels that remain are kept."""
        names = tuple(sorted(set(labels)))
        segments = tuple(segment for segment in self.segments if segment.label in names)
        return replace(self, labels=names, segments=segments, complete=self.complete and names == self.labels)

    def with_renamed(self, old: str, new: str) -> "TagEntry":
        """The entry with another name of a label."""
        names = {new if label == old else label for label in self.labels}
        segments = (s._replace(label=new) if s.label == old else s for s in self.segments)
        return replace(self, labels=tuple(sorted(names)), segments=tuple(dict.fromkeys(segments)))


@dataclass(frozen=True)
class TagTable:
    """What tables of tags say.

    Attributes:
        entries: Entries by video file (path relative to the folder of videos).
        missing: Entries by name, of videos that are not in the folder now.
        problems: What is wrong with the tables.
        remarks: What the user should know.
    """

    entries: Mapping[str, TagEntry]
    missing: Mapping[str, TagEntry] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    remarks: tuple[str, ...] = ()


def read_tag_table(tables: Sequence[Path], videos: VideoFolder) -> TagTable:
    """Read tables of tags, with names of videos as in `wtal init`.

    Raises:
        DataError: A table cannot be read.
    """
    rows = match_tables(tables, videos)
    entries = {file: _to_entry(file_rows) for file, file_rows in rows.by_file.items()}
    by_name: dict[str, list[Row]] = {}
    for row in rows.missing:
        by_name.setdefault(row.name, []).append(row)
    missing = {name: _to_entry(named_rows) for name, named_rows in by_name.items()}
    return TagTable(entries, missing, rows.problems, rows.remarks)


def write_tag_table(path: Path, entries: Mapping[str, TagEntry]) -> None:
    """Write a table that `read_tag_table` reads, with the video files in order.

    Raises:
        DataError: It cannot be written, or a name or label cannot be written in a table.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for file, entry in sorted(entries.items()):
        _require_name(file)
        for label in entry.labels:
            require_label(label)
        for cell in _cells(entry):
            writer.writerow((file, cell, entry.subset, "complete" if entry.complete else ""))
    write_text(path, text.getvalue())


def require_label(label: str) -> None:
    """Raise DataError for a label that a table would read as something else, such as `a;b` or `swim@3`."""
    labels, segments, problems = parse_labels(label, Location(Path()))
    is_line = label.isprintable() and label == label.strip()
    if not is_line or problems or segments or labels != [label]:
        raise DataError(
            f"{abbreviate(repr(label))} cannot be a label",
            hint="use a name without ; | [ ] and without a time after @",
            code="invalid-label",
        )


def _require_name(file: str) -> None:
    parts = file.split("/")
    if not file.isprintable() or "\\" in file or file != file.strip() or any(part in ("", ".", "..") for part in parts):
        raise DataError(
            "the name of this video cannot be written in a table",
            path=file,
            hint="rename the file: without \\, line breaks, and spaces at the ends",
            code="invalid-name",
        )


def _to_entry(rows: Sequence[Row]) -> TagEntry:
    labels = sorted({label for row in rows for label in row.labels})
    segments = tuple(dict.fromkeys(segment for row in rows for segment in row.segments))
    subset = next((row.subset for row in rows if row.subset), "")
    return TagEntry(tuple(labels), segments, subset, any(row.complete for row in rows))


def _cells(entry: TagEntry) -> list[str]:
    """Cells of labels: segments, points, and labels without times; the reader warns of mixtures in one cell."""
    segments = [_format(segment) for segment in entry.segments if not segment.is_point]
    points = [_format(segment) for segment in entry.segments if segment.is_point]
    timed = {segment.label for segment in entry.segments}
    others = [label for label in entry.labels if label not in timed]
    cells = [
        ";".join(items[first : first + SEGMENTS_PER_ROW])
        for items in (segments, points, others)
        for first in range(0, len(items), SEGMENTS_PER_ROW)
    ]
    return cells or [""]


def _format(segment: Segment) -> str:
    start, end = (f"{time:.9f}".rstrip("0").rstrip(".") for time in (segment.start, segment.end))
    return f"{segment.label}@{start}" if segment.is_point else f"{segment.label}[{start} to {end}]"
