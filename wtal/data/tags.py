"""Tables of tags: one video per line, labels separated by `;`.

A label may have segments, `swim[12.5 to 40; 1:05 to 1:20]`, or a point, `swim@12.5`. A column `timeline` says whether
the segments of a video are `complete`, so that nothing else happens in it, or `partial`.
The columns `start` and `end` give the label of a row a segment.
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wtal.core.errors import DataError
from wtal.core.io import read_text
from wtal.core.structures import SUBSETS, Segment, Video
from wtal.core.text import find_hidden, format_list
from wtal.data.parsing import HINT_HIDDEN, Location, hidden_message
from wtal.data.problems import Problem, abbreviate, raise_first

# Names of columns in lower case, without spaces, underscores and hyphens.
VIDEO_COLUMNS = set("video videos videofile videoname videopath videoid file filename filepath path".split())
FALLBACK_VIDEO_COLUMNS = {"name", "id"}  # where there is no better one
LABEL_COLUMNS = set("labels label tags tag classes class actions action".split())
SUBSET_COLUMNS = {"subset", "split"}
TIMELINE_COLUMNS = {"timeline"}
# One segment a row; `(s)` is how BORIS names them. They are used where a table has both.
START_COLUMNS = set("start start(s) startseconds starttime begin from".split())
END_COLUMNS = set("end end(s) endseconds endtime stop stop(s) to".split())
TIMELINES = {"complete": True, "partial": False, "": False}
SEPARATORS = ",;\t"
SPREADSHEET_SUFFIXES = {".xlsx", ".xls", ".ods", ".numbers"}

LABEL_ITEM = re.compile(r"(?P<label>[^;|\[]*)(?:\[(?P<times>[^\[\]]*)\])?(?P<rest>[^;|]*)(?:[;|]|$)")
TIME = r"(?:(?:([0-9]{1,3}):)?([0-9]{1,4}):)?([0-9]{1,9}(?:\.[0-9]{1,9})?)"  # hours: minutes: seconds
TIME_RANGE = re.compile(rf"\s*{TIME}\s*(?:to|-|–|—)\s*{TIME}\s*", re.IGNORECASE)
POINT = re.compile(rf"(?P<label>.*)@\s*{TIME}", re.DOTALL)
# What is meant as a time and is none. Other texts after `@` belong to the label.
FAULTY_TIME = re.compile(r"[-+]?(?=[.,:]*\d)[\d.,:]+(?:e[-+]?\d+)? ?[a-z]?", re.IGNORECASE)
HINT_TIMES = "write `label[1.5 to 6]`"
HINT_POINT = "@12.5"
HINT_SUBSET = "use training, validation or testing"


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table.

    Attributes:
        table: The file.
        line: The number of the line, from 1.
        name: The video, as written.
        subset: `training`, `validation` or `testing`; empty if the table does not say.
        labels: The labels.
        segments: The segments that are marked in brackets, and the points.
        has_faulty_times: Whether some times could not be read.
        complete: Whether the timeline is complete.
        group: The cell of the column that groups videos, such as the person.
    """

    table: Path
    line: int
    name: str
    subset: str
    labels: tuple[str, ...]
    segments: tuple[Segment, ...]
    has_faulty_times: bool = False
    complete: bool = False
    group: str = ""

    @property
    def location(self) -> Location:
        """File and line, for messages."""
        return Location(self.table, f"line {self.line}")


def read_tags(path: Path) -> list[Video]:
    """Read a table of tags. A video may have several rows; without a subset it is for training.

    Returns:
        Videos in file order, with sorted labels. An empty labels cell is a video without labels.

    Raises:
        DataError: A wrong header, a misplaced quote, text that is not UTF-8, or the first row that cannot be used.
    """
    videos, problems = parse_tags(path)
    raise_first(problems)
    return videos


def parse_tags(path: Path) -> tuple[list[Video], list[Problem]]:
    """Read a table of tags as `read_tags`, and collect the problems of all rows.

    Raises:
        DataError: The whole file cannot be read: its encoding, its header, or a misplaced quote.
    """
    rows, problems = parse_rows(path)
    rows_by_video: dict[str, list[Row]] = {}
    for row in rows:
        rows_by_video.setdefault(row.name, []).append(row)
    videos, video_problems = rows_to_videos(rows_by_video)
    return videos, problems + video_problems


def parse_rows(path: Path, group: str = "") -> tuple[list[Row], list[Problem]]:
    """The rows of a table, and the problems of rows that are skipped (fatal) or lack times.

    Args:
        path: The table.
        group: Name of the column that groups videos; empty for none.

    Raises:
        DataError: As `parse_tags`, or there is no such column.
    """
    rows: list[Row] = []
    problems: list[Problem] = []
    first_lines: dict[tuple[str, ...], int] = {}
    for line, cells, columns in _read_lines(path, group):
        first_line = first_lines.setdefault(tuple(cells), line)
        if first_line != line:
            location = Location(path, f"line {line}")
            problems.append(location.problem(f"repeats line {first_line}", "delete one of the two", "duplicate"))
        elif row := _parse_row(path, line, cells, columns, problems):
            rows.append(row)
    if not rows and not problems:
        hint = "add a line such as `clip01,long_jump;javelin`"
        problems.append(Problem("has a header but no video", path, hint=hint, code="no-videos"))
    return rows, problems


def rows_to_videos(rows_by_video: Mapping[str, Sequence[Row]]) -> tuple[list[Video], list[Problem]]:
    """Combine the rows of each video.

    Rows without a subset are for training. A label without times is enough for training but not for scoring: in
    other subsets such a video is skipped, with a problem.

    Args:
        rows_by_video: Video id -> its rows.
    """
    videos: list[Video] = []
    problems: list[Problem] = []
    for id, rows in rows_by_video.items():
        subsets = sorted({row.subset for row in rows} - {""}) or ["training"]
        segments = tuple(segment for row in rows for segment in row.segments)
        labels = sorted({label for row in rows for label in row.labels})
        lacks_times = (
            set(labels) > {s.label for s in segments}
            or any(segment.is_point for segment in segments)
            or any(row.has_faulty_times for row in rows)
        )
        name, location = abbreviate(repr(id)), rows[-1].location
        if len(subsets) > 1:
            message = f"{name} is skipped: it is in {' and in '.join(subsets)}"
            problems.append(location.problem(message, "keep it in one of them", "ambiguous"))
        elif subsets != ["training"] and lacks_times:
            message = f"{name} is skipped: in {subsets[0]} every label needs starts and ends, for scoring"
            problems.append(location.problem(message, f"{HINT_TIMES}, or move it to training", "no-segments"))
        else:
            complete = any(row.complete for row in rows)
            untimed = sorted(set(labels) - {segment.label for segment in segments})
            if complete and (untimed or any(row.has_faulty_times for row in rows)):
                problems.append(incomplete_timeline(location.child(id), untimed))
                complete = False
            videos.append(Video(id, subsets[0], tuple(labels), None, segments, complete))
    return videos, problems


def incomplete_timeline(location: Location, untimed: Sequence[str] = ()) -> Problem:
    """The problem of a timeline that is marked as complete although labels lack times."""
    labels = format_list([f"`{abbreviate(label)}`" for label in untimed])
    message = f"the timeline is used as partial: times of {labels or 'a label'} are missing"
    return location.problem(message, "add them, or remove the label", "incomplete", fatal=False)


# --- Cells ------------------------------------------------------------------------------------------------------------


def parse_labels(cell: str, location: Location) -> tuple[list[str], list[Segment], list[Problem]]:
    """Parse a cell such as `run; jump[1.5 to 6; 0:08 to 0:09]; dive@12.5`.

    Returns:
        Labels, segments (a point has zero length) and problems. A fatal problem is a label that cannot be read, and
        nothing else is returned; other problems are labels whose times are missing.
    """
    labels: list[str] = []
    segments: list[Segment] = []
    faulty_points: list[tuple[str, str]] = []  # label, why its point cannot be read
    reasons: list[tuple[str, str]] = []  # label, why it has no starts and ends
    is_unclosed = False
    for item in LABEL_ITEM.finditer(cell):
        label, rest = item["label"].strip(), item["rest"].strip()
        if not item[0].strip(" \t\n;|") or (is_unclosed and item["times"] is None and TIME_RANGE.fullmatch(label)):
            continue  # empty, or another time range of a bracket that is never closed
        if problem := _label_problem(label, item[0], location):
            return [], [], [problem]
        label, points, point_reason = _split_point(label)
        label_segments, reason = _parse_times(label, item["times"], rest)
        if item["times"] is not None and (points or point_reason):
            label_segments, points, point_reason = [], [], "it has a point and a bracket"
        is_unclosed = item["times"] is None and bool(rest)
        labels.append(label)
        segments += label_segments + points
        faulty_points += [(label, point_reason)] if point_reason else []
        reasons += [(label, reason)] if reason else []
    if reasons or any(not segment.is_point for segment in segments):
        explained = {segment.label for segment in segments} | {label for label, _ in (*reasons, *faulty_points)}
        reasons += [(label, "other labels here have times") for label in labels if label not in explained]
    return (
        labels,
        segments,
        [
            *(_times_problem(*reason, HINT_POINT, location) for reason in dict.fromkeys(faulty_points)),
            *(_times_problem(*reason, "[1.5 to 6]", location) for reason in dict.fromkeys(reasons)),
        ],
    )


def _label_problem(label: str, item: str, location: Location) -> Problem | None:
    """A label that cannot be read. Its row is skipped: with one label fewer it would be wrong."""
    excerpt = f"`{abbreviate(item.strip(' ;|'))}`"
    if not label or TIME_RANGE.fullmatch(label):
        return location.problem(f"skipped: {excerpt} has no label", HINT_TIMES, "invalid-label")
    if (hidden := find_hidden(label)) is not None:
        return location.problem(f"skipped: {hidden_message('label', label, hidden)}", HINT_HIDDEN, "hidden-character")
    if "]" in label:
        return location.problem(f"skipped: {excerpt} closes a bracket that is not open", HINT_TIMES, "invalid-label")
    if label.count("(") > label.count(")"):
        hint = f"write `{abbreviate(label)})`"
        return location.problem(f"skipped: {excerpt} has an unclosed parenthesis", hint, "invalid-label")
    return None


def _split_point(text: str) -> tuple[str, list[Segment], str]:
    """The label and the point of a text such as `swim@1:05`, or why it cannot be read; without a time only the text."""
    if match := POINT.fullmatch(text):
        label, seconds = match["label"].strip(), _to_seconds(*match.groups()[1:])
        if label:
            return label, [Segment(label, seconds, seconds)], ""
    label, _, time = (part.strip() for part in text.rpartition("@"))
    if label and FAULTY_TIME.fullmatch(time):
        return label, [], f"`{abbreviate(time)}` is not a time"
    return text, [], ""


def _parse_times(label: str, times: str | None, rest: str) -> tuple[list[Segment], str]:
    """The segments in a bracket; or none, and the reason."""
    if times is None:
        return [], f"`{abbreviate(rest)}` is never closed" if rest else ""
    if rest:
        return [], f"unexpected `{abbreviate(rest)}` after the bracket"
    segments: list[Segment] = []
    for text in re.split("[;|,]", times):
        match = TIME_RANGE.fullmatch(text)
        if match is None:
            return [], f"`{abbreviate(text.strip())}` is not a start and an end in seconds"
        start, end = _to_seconds(*match.groups()[:3]), _to_seconds(*match.groups()[3:])
        if end <= start:
            return [], f"in `{text.strip()}` the end is not after the start"
        segments.append(Segment(label, start, end))
    return segments, ""


def _to_seconds(hours: str | None, minutes: str | None, seconds: str) -> float:
    return 3600 * int(hours or 0) + 60 * int(minutes or 0) + float(seconds)


def _times_problem(label: str, reason: str, example: str, location: Location) -> Problem:
    label = abbreviate(label)
    message, hint = f"`{label}` is used as a tag without times: {reason}", f"write `{label}{example}`"
    return location.problem(message, hint, "invalid-times", fatal=False)


# --- Tables -----------------------------------------------------------------------------------------------------------


def _parse_row(
    path: Path, line: int, cells: list[str], columns: Mapping[str, int], problems: list[Problem]
) -> Row | None:
    """The row of a line; None if it cannot be read, with a problem."""
    location, width = Location(path, f"line {line}"), columns["width"]
    if len(cells) != width:
        hint = 'separate labels with `;`, and quote ("...") a cell that contains the separator of cells'
        problems.append(location.problem(f"expected {width} cells, got {len(cells)}", hint, "invalid-row"))
        return None
    name, subset = cells[columns["video"]], cells[columns["subset"]] if "subset" in columns else ""
    if not name:
        problems.append(location.problem("the video cell is empty", "write the id of the video", "missing-value"))
        return None
    if subset and subset.lower() not in SUBSETS:
        problems.append(location.problem(f"unknown subset {abbreviate(repr(subset))}", HINT_SUBSET, "unknown-name"))
        return None
    timeline = cells[columns["timeline"]].lower() if "timeline" in columns else ""
    if timeline not in TIMELINES:
        problems.append(
            location.problem(
                f"unknown timeline {abbreviate(repr(timeline))}", "use complete or partial", "unknown-name"
            )
        )
        return None
    labels, segments, label_problems = parse_labels(cells[columns["labels"]], location)
    problems += label_problems
    if any(problem.fatal for problem in label_problems):
        return None
    if not segments and not label_problems and labels and "start" in columns and "end" in columns:
        times = cells[columns["start"]], cells[columns["end"]]
        segments, label_problems = _parse_time_cells(labels, *times, location)
        problems += label_problems
    subset = SUBSETS.get(subset.lower(), "")
    faulty, complete = bool(label_problems), TIMELINES[timeline]
    group = cells[columns["group"]] if "group" in columns else ""
    return Row(path, line, name, subset, tuple(labels), tuple(segments), faulty, complete, group)


def _parse_time_cells(
    labels: Sequence[str], start: str, end: str, location: Location
) -> tuple[list[Segment], list[Problem]]:
    """The segments of the columns `start` and `end`, points if both are equal; none if both cells are empty."""
    if not start and not end:
        return [], []
    times = [_to_seconds(*match.groups()) for text in (start, end) if (match := re.fullmatch(TIME, text))]
    if len(times) == 2 and times[0] <= times[1]:
        return [Segment(label, *times) for label in labels], []
    reason = "its end is before its start" if len(times) == 2 else f"`{abbreviate(f'{start}, {end}')}` is not two times"
    message = f"`{abbreviate(labels[0])}` is used as a tag without times: {reason}"
    hint = "write seconds or h:mm:ss in the columns of start and end"
    return [], [location.problem(message, hint, "invalid-times", fatal=False)]


def _read_lines(path: Path, group: str) -> Iterator[tuple[int, list[str], dict[str, int]]]:
    """(line number, stripped cells, columns) of each line below the header that is not blank."""
    if path.suffix.lower() in SPREADSHEET_SUFFIXES:
        raise DataError(
            "is a spreadsheet, not text", path=path, hint="save it as CSV (UTF-8)", code="unsupported-format"
        )
    text = read_text(path)
    if text.startswith("sep="):  # the separator, for Excel
        text = "\n" + text.partition("\n")[2]
    if "\0" in text:
        raise DataError("contains zero bytes", path=path, hint="save the file as UTF-8", code="invalid-encoding")
    separator, columns = _parse_header(text, path, group)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    try:
        next(row for row in rows if row)  # the header
        for row in rows:
            cells = [cell.strip() for cell in row]
            while len(cells) > columns["width"] and not cells[-1]:
                cells.pop()  # empty columns beside the table, as spreadsheets write them
            if any(cells):
                yield rows.line_num, cells, columns
    except csv.Error as error:
        raise DataError(
            f"misplaced quote ({error})",
            path=path,
            location=f"line {rows.line_num}",
            hint='quote ("...") a cell that contains a comma or a quote, and double the quotes in it',
            code="invalid-csv",
        ) from error


def _parse_header(text: str, path: Path, group: str) -> tuple[str, dict[str, int]]:
    """The separator of cells, and the index of each column."""
    for separator in SEPARATORS:
        names = [_column_name(cell) for cell in _first_row(text, separator)]
        accepted = {
            "video": VIDEO_COLUMNS if VIDEO_COLUMNS & set(names) else FALLBACK_VIDEO_COLUMNS,
            "labels": LABEL_COLUMNS,
            "subset": SUBSET_COLUMNS,
            "timeline": TIMELINE_COLUMNS,
            "start": START_COLUMNS,
            "end": END_COLUMNS,
            "group": {_column_name(group)} if group else set(),
        }
        columns = {kind: [index for index, name in enumerate(names) if name in accepted[kind]] for kind in accepted}
        if columns["video"] and columns["labels"]:
            if group and not columns["group"]:
                hint = f"the columns are {format_list(names, 20)}"
                raise DataError(f"no column {group!r}", path=path, location="line 1", hint=hint, code="unknown-name")
            return separator, {"width": len(names), **_single_columns(columns, names, path)}
    line = next(iter(text.splitlines()), "")
    raise DataError(
        f"unknown columns in the header `{abbreviate(line)}`" if text.strip() else "the file is empty",
        path=path,
        location="line 1",
        hint="write `video,labels`; file, path, name or id, and tags, classes or actions are accepted too",
        code="invalid-header",
    )


def _column_name(cell: str) -> str:
    """A column name as the tables of accepted names have it."""
    return re.sub(r"[\s_-]", "", cell).lower()


def _first_row(text: str, separator: str) -> list[str]:
    try:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
        return next((row for row in rows if row), [])
    except csv.Error:
        return []  # no row with this separator


def _single_columns(columns: Mapping[str, list[int]], names: Sequence[str], path: Path) -> dict[str, int]:
    for kind, indices in columns.items():
        if len(indices) > 1:
            raise DataError(
                f"several columns for {kind}: {' and '.join(f'`{names[index]}`' for index in indices)}",
                path=path,
                location="line 1",
                hint="rename all but one of them",
                code="ambiguous",
            )
    return {kind: indices[0] for kind, indices in columns.items() if indices}
