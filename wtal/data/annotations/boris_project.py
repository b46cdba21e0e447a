"""BORIS projects (.boris, format 7.0), which BORIS opens: an observation per video, times in milliseconds.

A state has a start and a stop event, a segment of zero length is a point event. Format of the events, and what BORIS
requires: `open_project_json` and `check_project_integrity` in project_functions.py of BORIS 10.
"""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import chain, repeat
from pathlib import Path
from string import ascii_lowercase, digits
from typing import Any, NamedTuple

from wtal.core.io import read_json, write_text
from wtal.core.structures import Segment
from wtal.data.annotations.base import (
    Annotation,
    AnnotationFile,
    AnnotationFormat,
    append_score,
    assign_lanes,
    count_warnings,
    has_keys,
    media_id,
    to_milliseconds,
)
from wtal.data.annotations.boris_events import (
    MODIFIERS_WARNING,
    UNPAIRED_WARNING,
    Event,
    Observation,
    Status,
    has_modifiers,
    join_subject,
    pair_events,
    split_subject,
    to_annotations,
)
from wtal.data.parsing import (
    Location,
    parse_label,
    parse_list,
    parse_name,
    parse_number,
    parse_object,
    parse_seconds,
)
from wtal.data.problems import abbreviate

FORMAT_VERSION = "7.0"
IMAGES_WARNING = "observations of images are ignored"
UNDEFINED_WARNING = "behaviors that are not defined are read as points"
OVERLAP_MODIFIER = "overlapping segment"  # BORIS cannot store two states of a behavior and modifier at the same time
SINGLE_SELECTION = 0
PLAYER = "1"


class _Row(NamedTuple):
    """A segment as it is written: times in milliseconds, and the number of segments that it overlaps before it."""

    code: str
    subject: str
    start: int
    stop: int
    comment: str
    lane: int

    @property
    def modifier(self) -> str:
        return str(self.lane + 1) if self.lane else ""


def read(path: Path) -> AnnotationFile:
    """Read the events of each observation; the label is the behavior, with the subject in parentheses.

    Raises:
        DataError: With the invalid observation and event.
    """
    project = parse_object(Location(path), read_json(path), ["behaviors_conf", "observations"])
    behaviors = _behaviors(Location(path, "behaviors_conf"), project["behaviors_conf"])
    observations: list[Observation] = []
    counts = dict.fromkeys((IMAGES_WARNING, UNDEFINED_WARNING, UNPAIRED_WARNING, MODIFIERS_WARNING), 0)
    for id, entry in parse_object(Location(path, "observations"), project["observations"]).items():
        location = Location(path, "observations").child(id)
        observation = parse_object(location, entry, ["type", "events"])
        if observation["type"] == "IMAGES":
            counts[IMAGES_WARNING] += 1
            continue
        media, duration = _media(location, observation) if observation["type"] == "MEDIA" else ([], None)
        offset = observation.get("time offset")
        offset = 0.0 if offset is None else parse_number(location, offset, "time offset")
        events = []
        undefined = set()
        for number, row in enumerate(parse_list(location, observation["events"]), start=1):
            event, code = _event(location.child(f"event {number}"), row, offset, behaviors)
            events.append(event)
            if code not in behaviors:
                undefined.add(code)
            elif has_modifiers(event.modifiers) and not behaviors[code].has_overlaps:
                counts[MODIFIERS_WARNING] += 1
        events.sort(key=lambda event: event.time)
        segments, unpaired = pair_events(events, duration)
        counts[UNDEFINED_WARNING] += len(undefined)
        counts[UNPAIRED_WARNING] += unpaired
        observations.append(Observation(parse_name(location, id, "observation id"), media, segments, duration))
    return AnnotationFile(to_annotations(observations, path), count_warnings(path, counts))


def write(path: Path, annotations: Sequence[Annotation], fps: float | None = None) -> None:
    """Write a project with an observation per video.

    Args:
        path: The file.
        annotations: One annotation per video.
        fps: Frames per second of the videos; None if unknown. BORIS then measures it when it opens the video.
    """
    date = datetime.now().isoformat(timespec="seconds")
    rows = {annotation.id: list(_rows(annotation.segments)) for annotation in annotations}
    all_rows = [row for video_rows in rows.values() for row in video_rows]
    lanes: dict[str, int] = {}
    for row in all_rows:
        lanes[row.code] = max(row.lane, lanes.get(row.code, 0))
    states = {row.code for row in all_rows if row.stop > row.start}
    keys = chain(ascii_lowercase, digits, repeat(""))
    subjects = sorted({row.subject for row in all_rows} - {""})
    project = {
        "time_format": "hh:mm:ss",
        "project_date": date,
        "project_name": "wtal",
        "project_description": "",
        "project_format_version": FORMAT_VERSION,
        "subjects_conf": {
            str(n): {"key": "", "name": subject, "description": ""} for n, subject in enumerate(subjects)
        },
        "behaviors_conf": {
            str(n): _behavior(code, next(keys), code in states, lanes[code]) for n, code in enumerate(sorted(lanes))
        },
        "observations": {
            annotation.id: _observation(annotation, rows[annotation.id], states, date, fps)
            for annotation in annotations
        },
        "behavioral_categories": [],
        "behavioral_categories_config": {},
        "independent_variables": {},
        "coding_map": {},
        "behaviors_coding_map": [],
        "converters": {},
    }
    # ASCII, because BORIS opens projects in the encoding of the system, which is not UTF-8 on Windows.
    write_text(path, json.dumps(project, indent=1, allow_nan=False) + "\n")


class _BehaviorType(NamedTuple):
    is_state: bool
    has_overlaps: bool


def _behaviors(location: Location, value: Any) -> dict[str, _BehaviorType]:
    """The defined behaviors by code."""
    behaviors = {}
    for key, entry in parse_object(location, value).items():
        behavior_location = location.child(key)
        behavior = parse_object(behavior_location, entry, ["code", "type"])
        modifiers = behavior.get("modifiers")  # text in old versions of BORIS
        modifier_sets = modifiers.values() if isinstance(modifiers, dict) else []
        names = [modifier_set.get("name") for modifier_set in modifier_sets if isinstance(modifier_set, dict)]
        code = parse_name(behavior_location, behavior["code"], "code")
        behaviors[code] = _BehaviorType(str(behavior["type"]).startswith("State"), names == [OVERLAP_MODIFIER])
    return behaviors


def _media(location: Location, observation: dict[str, Any]) -> tuple[list[str], float | None]:
    """The paths of the videos of the first player, and their total duration if it is known."""
    players = parse_object(location, observation.get("file"), [PLAYER])
    media = [parse_name(location, file, "media file") for file in parse_list(location, players[PLAYER])]
    lengths = parse_object(location, observation.get("media_info") or {}).get("length") or {}
    lengths = parse_object(location.child("length"), lengths)
    durations = [parse_seconds(location, lengths.get(file) or 0, "length") for file in media]
    return media, sum(durations) if durations and all(durations) else None


def _event(location: Location, row: Any, offset: float, behaviors: dict[str, _BehaviorType]) -> tuple[Event, str]:
    """An event and the code of its behavior. `offset` is the time of the start of the video."""
    values = parse_list(location, row)
    if len(values) < 3:
        raise location.error(f"expected time, subject and behavior, not {len(values)} values", "save it in BORIS again")
    time = parse_number(location, values[0], "time")
    texts = ["" if value is None else value for value in [*values[1:5], "", ""][:4]]
    for value in texts:
        if not isinstance(value, str):
            raise location.error(
                f"expected text, not {abbreviate(repr(value))}", "save it in BORIS again", "invalid-type"
            )
    subject, code, modifiers, comment = texts
    code = parse_name(location, code, "behavior")
    status: Status = "STATE" if code in behaviors and behaviors[code].is_state else "POINT"
    label = parse_label(location, join_subject(code, subject))
    return Event(location, label, modifiers, round(time - offset, 3) if offset else time, status, comment), code


def _rows(segments: Sequence[Segment]) -> Iterator[_Row]:
    """The segments in order of time."""
    rows = sorted(
        (*to_milliseconds(segment), *split_subject(segment.label), append_score("", segment.score).strip())
        for segment in segments
    )
    lanes = assign_lanes(((code, subject), start, stop) for start, stop, code, subject, _ in rows)
    for (start, stop, code, subject, comment), lane in zip(rows, lanes, strict=True):
        yield _Row(code, subject, start, stop, comment, lane)


def _behavior(code: str, key: str, is_state: bool, max_lane: int) -> dict[str, Any]:
    overlaps = {
        "name": OVERLAP_MODIFIER,
        "description": "",
        "type": SINGLE_SELECTION,
        "ask at stop": False,
        "values": [str(lane + 1) for lane in range(1, max_lane + 1)],
    }
    return {
        "type": "State event" if is_state else "Point event",
        "key": key,
        "code": code,
        "description": "",
        "color": "",
        "category": "",
        "modifiers": {"0": overlaps} if max_lane else {},
        "excluded": "",
        "coding map": "",
    }


def _observation(
    annotation: Annotation, rows: Sequence[_Row], states: set[str], date: str, fps: float | None
) -> dict[str, Any]:
    media = annotation.media_name
    events = []
    for row in rows:
        events.append([row.start / 1000, row.subject, row.code, row.modifier, row.comment, "NA"])
        if row.code in states:
            events.append([row.stop / 1000, row.subject, row.code, row.modifier, "", "NA"])
    return {
        "file": {PLAYER: [media]},
        "type": "MEDIA",
        "date": date,
        "description": "",
        "time offset": 0.0,
        # The sort is stable: a segment that begins where another ends comes after it.
        "events": sorted(events, key=lambda event: event[0]),
        "observation time interval": [0, 0],
        "independent_variables": {},
        "visualize_spectrogram": False,
        "visualize_waveform": False,
        "media_creation_date_as_offset": False,
        "media_scan_sampling_duration": 0,
        "image_display_duration": 1,
        "close_behaviors_between_videos": False,
        "media_info": {
            "length": {} if annotation.duration is None else {media: annotation.duration},
            "fps": {} if fps is None else {media: fps},
            "hasVideo": {media: True},
            "hasAudio": {media: False},
            "offset": {PLAYER: 0.0},
            "display": {media: "Nothing"},
        },
    }


FORMAT = AnnotationFormat(
    name="boris-project",
    title="BORIS project",
    extension=".boris",
    read=read,
    write=write,
    detect=has_keys("behaviors_conf", "observations"),
    stores_fps=True,
    ticks_per_second=1000,
    keeps=frozenset({"scores", "empty videos", "durations"}),
    score_note="scores are written as comments, [score 0.95], with four significant digits",
    normalize_id=media_id,
    usage_hint="Put it into the folder of the video and open it in BORIS with File > Open project.",
)
