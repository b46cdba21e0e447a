"""Plain CSV tables with one row per segment: `video,label,start,end`, and optionally score, duration and subset.

A row without start and end is a tag of the video; a row without a label is a video without segments.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from wtal.core.io import read_text, write_text
from wtal.core.structures import Segment
from wtal.data.annotations.base import Annotation, AnnotationFile, AnnotationFormat, ConversionWarning, count_warnings
from wtal.data.parsing import Location, parse_label, parse_name, parse_seconds, parse_segment
from wtal.data.problems import abbreviate

REQUIRED_COLUMNS = ("video", "label", "start", "end")
OPTIONAL_COLUMNS = ("score", "duration", "subset")  # written if any row has a value


class Row(NamedTuple):
    """One row of a table: its location, and its cells by column name in lower case."""

    location: Location
    cells: Mapping[str, str]


def read(path: Path) -> AnnotationFile:
    """Read a table.

    Raises:
        DataError: With the invalid line.
    """
    segments: dict[str, list[Segment]] = {}
    tags: dict[str, list[str]] = {}
    properties: dict[str, tuple[float | None, str]] = {}  # duration and subset
    ignored_columns: set[str] = set()
    for location, cells in read_rows(path, REQUIRED_COLUMNS):
        ignored_columns.update(name for name in cells.keys() - {*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS} if cells[name])
        id = parse_name(location, cells["video"], "video")
        label, start, end = cells["label"], cells["start"], cells["end"]
        segments.setdefault(id, [])
        if start or end:
            segments[id].append(parse_segment(location, label, start, end, cells.get("score") or None))
        elif label:
            tags.setdefault(id, []).append(parse_label(location, label))
        duration = parse_seconds(location, cells["duration"], "duration") if cells.get("duration") else None
        row_properties = (duration, cells.get("subset", ""))
        if properties.setdefault(id, row_properties) != row_properties:
            raise location.error(
                "duration or subset differs from an earlier row of this video", "make them equal", "inconsistent-rows"
            )
    annotations = [
        Annotation(id, tuple(segments[id]), *properties[id], tags=tuple(tags.get(id, ()))) for id in segments
    ]
    return AnnotationFile(annotations, ignored_column_warnings(path, ignored_columns))


def write(path: Path, annotations: Sequence[Annotation]) -> None:
    """Write a row for each segment and tag, and for each video that has neither."""
    rows = [
        {"video": annotation.id, "duration": _format(annotation.duration), "subset": annotation.subset, **cells}
        for annotation in annotations
        for cells in _segment_cells(annotation)
    ]
    optional = [name for name in OPTIONAL_COLUMNS if any(row.get(name) for row in rows)]
    write_rows(path, [*REQUIRED_COLUMNS, *optional], rows)


def read_rows(path: Path, columns: Iterable[str]) -> Iterator[Row]:
    """The rows of a CSV file, separated by commas, semicolons or tabs, whose header has all of these columns.

    Raises:
        DataError: For a missing or repeated column, a wrong number of cells, or invalid quoting.
    """
    text = read_text(path)
    separator, header = _read_header(path, text, list(columns))
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        next(line for line in lines if line)  # the header
        for line in lines:
            location = Location(path, f"line {lines.line_num}")
            if not any(line):
                continue
            if len(line) != len(header):
                raise location.error(
                    f"{len(line)} cells instead of {len(header)}", "the file may be truncated", "invalid-csv"
                )
            yield Row(location, dict(zip(header, map(str.strip, line), strict=True)))
    except csv.Error as error:
        raise Location(path, f"line {lines.line_num}").error(
            f"invalid CSV ({error})", "check the quotes; the file may be truncated", "invalid-csv"
        ) from error


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> None:
    """Write a CSV file; missing cells are empty, cells of other columns are left out."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: unix_newlines(cell) for name, cell in row.items()} for row in rows)
    write_text(path, text.getvalue())


def ignored_column_warnings(path: Path, columns: Iterable[str]) -> list[ConversionWarning]:
    """A warning that names the columns that have values but are not read."""
    columns = sorted(columns)
    return count_warnings(path, {f"columns are ignored: {abbreviate(', '.join(columns))}": len(columns)})


def unix_newlines(text: str) -> str:
    """Text as CSV files store it."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _read_header(path: Path, text: str, columns: list[str]) -> tuple[str, list[str]]:
    """The separator of a table, and its column names in lower case."""
    location = Location(path, "line 1")
    header = next((line for line in text.split("\n") if line.strip()), "")
    for separator in ",;\t":
        try:
            names = [cell.strip().lower() for cell in next(csv.reader([header], delimiter=separator), [])]
        except csv.Error:  # a cell beyond the size limit of the csv module
            continue
        if set(columns) <= set(names):
            named = [name for name in names if name]
            if len(set(named)) < len(named):
                raise location.error("two columns have the same name", "rename one of them", "duplicate-column")
            return separator, names
    raise location.error(
        f"the header is `{abbreviate(header)}`", f"it needs the columns {', '.join(columns)}", "missing-column"
    )


def _segment_cells(annotation: Annotation) -> list[dict[str, str]]:
    cells = [
        {"label": s.label, "start": repr(s.start), "end": repr(s.end), "score": _format(s.score)}
        for s in annotation.segments
    ]
    return cells + [{"label": tag} for tag in annotation.tags] or [{}]


def _format(value: float | None) -> str:
    return "" if value is None else repr(value)


def _detect(content: object) -> bool:
    """Whether a header has the columns of a table, and is not that of BORIS."""
    return isinstance(content, str) and all(name in content for name in REQUIRED_COLUMNS) and "behavior" not in content


FORMAT = AnnotationFormat(
    name="csv",
    title="Table",
    extension=".csv",
    read=read,
    write=write,
    detect=_detect,
    default_for_extension=True,
    keeps=frozenset({"scores", "empty videos", "durations", "subsets", "tags"}),
    normalize_label=unix_newlines,
    normalize_id=unix_newlines,
)
