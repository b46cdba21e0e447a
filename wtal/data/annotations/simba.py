"""SimBA's import of BORIS annotations: a table of the start and the stop of each behavior, times in frames.

SimBA labels frames, so segments of a behavior that share a frame are merged. It finds the video of a row by the media
file name without extension, takes the frame from `Image index` (counted from 0, the last one inclusive), and needs the
column `FPS`; see `read_boris_file` in simba/utils/read_write.py of SimBA. Tabular events exported from BORIS have the
same columns and are read too.
"""

from collections.abc import Sequence
from pathlib import Path

from wtal.data.annotations.base import (
    Annotation,
    AnnotationFile,
    AnnotationFormat,
    count_warnings,
    media_id,
    merge_overlaps,
)
from wtal.data.annotations.boris_events import (
    DURATION_COLUMNS,
    MODIFIERS_WARNING,
    NO_VALUE,
    UNPAIRED_WARNING,
    Event,
    Observation,
    Status,
    has_modifiers,
    join_subject,
    pair_events,
    to_annotations,
)
from wtal.data.annotations.table import Row, read_rows, unix_newlines, write_rows
from wtal.data.parsing import parse_name, parse_number, parse_seconds
from wtal.data.problems import abbreviate
from wtal.data.video_files import is_video_name

REQUIRED_COLUMNS = ("time", "behavior")
STATUS_COLUMNS = ("behavior type", "status")  # in versions of BORIS from 8, and before
MEDIA_COLUMNS = ("media file name", "media file path")
OFFSET_COLUMN = "time offset (s)"  # the time of the start of the video
STATUSES: dict[str, Status] = {"START": "START", "STOP": "STOP", "POINT": "POINT"}
NO_MEDIA = (*NO_VALUE, "not found")
COLUMNS = (
    *("Observation id", "Observation date", "Description", "Observation duration", "Observation type", "Source"),
    *("Time offset (s)", "Media duration (s)", "FPS", "Subject", "Behavior", "Behavioral category", "Behavior type"),
    *("Time", "Media file name", "Image index", "Image file path", "Comment"),
)
VIDEO_SUFFIX = ".mp4"  # of names without one: SimBA removes what follows the last dot


def read(path: Path) -> AnnotationFile:
    """Read the states and points of each observation; the label is the behavior, with the subject in parentheses.

    Raises:
        DataError: With the invalid line.
    """
    rows: dict[str, list[Row]] = {}
    for row in read_rows(path, REQUIRED_COLUMNS):
        id = row.cells.get("observation id") or _first_cell(row, MEDIA_COLUMNS, NO_MEDIA)
        rows.setdefault(parse_name(row.location, id, "observation id"), []).append(row)
    counts = dict.fromkeys((UNPAIRED_WARNING, MODIFIERS_WARNING), 0)
    observations = []
    for id, observation_rows in rows.items():
        media = dict.fromkeys(_first_cell(row, MEDIA_COLUMNS, NO_MEDIA) for row in observation_rows)
        duration = _first_cell(observation_rows[0], DURATION_COLUMNS, NO_VALUE)
        is_known = len(media) == 1 and duration  # for several videos the cell is a list of durations
        seconds = parse_seconds(observation_rows[0].location, duration, "media duration") if is_known else None
        events = [_event(row) for row in observation_rows]
        segments, unpaired = pair_events(events, seconds)
        counts[UNPAIRED_WARNING] += unpaired
        counts[MODIFIERS_WARNING] += sum(has_modifiers(event.modifiers) for event in events)
        observations.append(Observation(id, [name for name in media if name], segments, seconds))
    return AnnotationFile(to_annotations(observations, path), count_warnings(path, counts))


def write(path: Path, annotations: Sequence[Annotation], fps: float) -> None:
    """Write two rows for each segment, in order of time. Videos without segments have no row."""
    write_rows(path, COLUMNS, [row for annotation in annotations for row in _cells(annotation, fps)])


def _first_cell(row: Row, columns: Sequence[str], missing: Sequence[str]) -> str:
    """The first cell of these columns that has a value."""
    cells = (row.cells.get(column, "") for column in columns)
    return next((cell for cell in cells if cell.lower() not in missing), "")


def _event(row: Row) -> Event:
    location, cells = row
    status = _first_cell(row, STATUS_COLUMNS, NO_VALUE).upper()
    if status not in STATUSES:
        message = f"the behavior type is {abbreviate(repr(status))}"
        raise location.error(message, "use START, STOP or POINT in the column Behavior type")
    behavior = parse_name(location, cells["behavior"], "behavior")
    modifiers = "|".join(cell for name, cell in cells.items() if name.startswith("modifier"))
    time = parse_number(location, cells["time"], "time")
    offset = _first_cell(row, (OFFSET_COLUMN,), NO_VALUE)
    if offset:
        time = round(time - parse_number(location, offset, "time offset"), 3)
    label = join_subject(behavior, cells.get("subject", ""))
    return Event(location, label, modifiers, time, STATUSES[status], cells.get("comment", ""))


def _cells(annotation: Annotation, fps: float) -> list[dict[str, str]]:
    video = {
        "Observation id": annotation.id,
        "Observation type": "Media file(s)",
        "Media duration (s)": "" if annotation.duration is None else repr(annotation.duration),
        "FPS": f"{fps:g}",
        "Media file name": _media_name(annotation),
    }
    rows: list[tuple[int, dict[str, str]]] = []
    for label, first, last in merge_overlaps(annotation.segments, fps, unix_newlines):
        for status, time, frame in (("START", (first - 1) / fps, first - 1), ("STOP", last / fps, last - 1)):
            cells = {"Behavior": label, "Behavior type": status, "Time": repr(time), "Image index": str(frame)}
            rows.append((frame, {**video, **cells}))
    return [cells for _, cells in sorted(rows, key=lambda row: row[0])]


def _media_name(annotation: Annotation) -> str:
    name = annotation.media_name
    return name if name != annotation.id and is_video_name(name) else f"{annotation.id}{VIDEO_SUFFIX}"


def _normalize_id(id: str) -> str:
    return media_id(f"{unix_newlines(id)}{VIDEO_SUFFIX}")


def _detect(content: object) -> bool:
    """Whether a header has the columns of coded events."""
    return isinstance(content, str) and "behavior" in content and "time" in content and "start (s)" not in content


FORMAT = AnnotationFormat(
    name="simba",
    title="SimBA",
    extension=".csv",
    read=read,
    write=write,
    detect=_detect,
    needs_fps=True,
    stores_fps=True,
    allows_zero_length=False,
    merges_overlaps=True,
    keeps=frozenset({"durations"}),
    normalize_label=unix_newlines,
    normalize_id=_normalize_id,
    usage_hint="In SimBA, append it as third-party annotations of BORIS. Behaviors must be named like the classifiers.",
)
