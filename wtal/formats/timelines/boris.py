"""BORIS: its table of aggregated events, a line a behaviour, seconds with three decimals."""

from collections.abc import Sequence
from pathlib import Path

from wtal.formats.timelines.table import Row, left_out, rows, write_rows
from wtal.formats.timelines.timeline import (
    Read,
    Segment,
    Timeline,
    milliseconds,
    seconds,
    segment,
    with_score,
    without_score,
    word,
)

NEEDED = ("observation id", "behavior", "start (s)", "stop (s)")
COLUMNS = (
    *("Observation id", "Observation date", "Description", "Observation type", "Source", "Time offset (s)"),
    *("Coding duration", "Media duration (s)", "FPS (frame/s)", "Subject"),
    *("Observation duration by subject by observation", "Behavior", "Behavioral category", "Behavior type"),
    *("Start (s)", "Stop (s)", "Duration (s)", "Media file name"),
    *("Image index start", "Image index stop", "Image file path start", "Image file path stop"),
    *("Comment start", "Comment stop"),
)
LENGTHS = ("media duration (s)", "total length")  # the second as older versions call it
NONE = ("", "na", "nan")


def read(path: Path) -> Read:
    """The behaviours of each observation; a point event has no length. Raises DataError with the line at fault."""
    segments: dict[str, list[Segment]] = {}
    durations: dict[str, float | None] = {}
    unread: set[str] = set()
    for row in rows(path, NEEDED):
        id = word(row.where, row.cells["observation id"], "Observation id")
        segments.setdefault(id, []).append(_segment(row))
        durations[id] = _duration(row)
        unread |= {name for name in _others(row) if row.cells[name].lower() not in (*NONE, "no focal subject")}
    found = [Timeline(id, tuple(of_id), durations[id]) for id, of_id in segments.items()]
    return Read(found, left_out(path, unread))


def write(path: Path, timelines: Sequence[Timeline]) -> None:
    """A line a segment, its score as a comment. A video without segments has no line."""
    write_rows(path, COLUMNS, [_line(timeline, one) for timeline in timelines for one in timeline.segments])


def _segment(row: Row) -> Segment:
    start, stop = row.cells["start (s)"], row.cells["stop (s)"]
    _, score = without_score(f"- {row.cells.get('comment start', '')}")
    return segment(row.where, row.cells["behavior"], start, start if stop.lower() in NONE else stop, score)


def _duration(row: Row) -> float | None:
    said = next((row.cells[name] for name in LENGTHS if row.cells.get(name, "").lower() not in NONE), None)
    return None if said is None else seconds(row.where, said, "media duration")


def _others(row: Row) -> list[str]:
    return [name for name in row.cells if name == "subject" or name.startswith("modifier")]


def _line(timeline: Timeline, one: Segment) -> dict[str, str]:
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
