"""Common parts of the formats of BORIS: subjects as part of labels, start and stop events, ids of observations."""

import re
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from wtal.core.structures import Segment
from wtal.data.annotations.base import Annotation, check_unique_ids, media_id, split_score
from wtal.data.parsing import Location, parse_name, parse_seconds, parse_segment
from wtal.data.problems import abbreviate

UNPAIRED_WARNING = "states without a stop end with the video"
MODIFIERS_WARNING = "modifiers of events are ignored"
NO_VALUE = ("", "na", "nan", "none")
DURATION_COLUMNS = ("media duration (s)", "total length")  # of tables; the second in older versions of BORIS
NO_SUBJECT = (*NO_VALUE, "no focal subject")
LABEL_WITH_SUBJECT = re.compile(r"(.*\S) \(([^\s()]|[^\s()][^()]*[^\s()])\)", re.DOTALL)

Status = Literal["START", "STOP", "STATE", "POINT"]


class Event(NamedTuple):
    """A coded event.

    Attributes:
        location: Where it is in the file.
        label: Behavior and subject.
        modifiers: As text; the start and the stop of a state have the same modifiers.
        time: Seconds from the start of the video.
        status: `STATE` if the file does not distinguish start and stop.
        comment: May contain a score.
    """

    location: Location
    label: str
    modifiers: str
    time: float
    status: Status
    comment: str = ""


@dataclass(frozen=True)
class Observation:
    """The segments of one observation.

    Attributes:
        id: Id of the observation.
        media: Paths of its videos, one after the other.
        segments: Labeled segments, times in seconds.
        duration: Of all videos, in seconds; None if unknown.
    """

    id: str
    media: Sequence[str]
    segments: Sequence[Segment]
    duration: float | None


def join_subject(behavior: str, subject: str) -> str:
    """The label of a behavior: `groom (mouse 1)`; the behavior alone if there is no subject."""
    return behavior if subject.strip().lower() in NO_SUBJECT else f"{behavior} ({subject.strip()})"


def split_subject(label: str) -> tuple[str, str]:
    """The behavior and the subject of a label; the subject is "" if there is none."""
    match = LABEL_WITH_SUBJECT.fullmatch(label)
    return (match[1], match[2]) if match and join_subject(*match.groups()) == label else (label, "")


def pair_events(events: Iterable[Event], duration: float | None) -> tuple[list[Segment], int]:
    """The segments of an observation.

    Args:
        events: In order of time.
        duration: Of the video, in seconds; the end of states without a stop. If it is None, they end with the last
            event.

    Returns:
        The segments in order of time, and the number of states without a stop.

    Raises:
        DataError: A state stops that has not started, or a time is invalid.
    """
    segments: list[Segment] = []
    started: dict[tuple[str, str], deque[Event]] = {}
    end = duration or 0.0
    for event in events:
        end = max(end, parse_seconds(event.location, event.time, "time"))
        states = started.setdefault((event.label, event.modifiers), deque())
        if event.status == "POINT":
            segments.append(_segment(event, event.time))
        elif event.status == "START" or (event.status == "STATE" and not states):
            states.append(event)
        elif states:
            segments.append(_segment(states.popleft(), event.time))
        else:
            message = f"{abbreviate(repr(event.label))} stops, but did not start"
            raise event.location.error(message, "add the start in BORIS", "unpaired-event")
    unpaired = [event for states in started.values() for event in states]
    segments += [_segment(event, end) for event in unpaired]
    return sorted(segments, key=lambda segment: (segment.start, segment.end)), len(unpaired)


def to_annotations(observations: Sequence[Observation], path: Path) -> list[Annotation]:
    """One annotation per observation, with the id of its video if it is the only observation of one video.

    Raises:
        DataError: Two observations have the same id.
    """
    uses = Counter(media_id(media) for observation in observations for media in set(observation.media))
    annotations = []
    for observation in observations:
        media = observation.media[0] if len(observation.media) == 1 else ""
        if media and uses[media_id(media)] == 1:
            annotation = Annotation.from_media(media, observation.segments, observation.duration)
        else:
            annotation = Annotation(observation.id, tuple(observation.segments), observation.duration)
        parse_name(Location(path).child(observation.id), annotation.id, "video id")
        annotations.append(annotation)
    check_unique_ids((annotation.id for annotation in annotations), path)
    return annotations


def has_modifiers(modifiers: str) -> bool:
    """Whether any modifier was selected; BORIS separates those of several sets by `|`."""
    return any(modifier.strip().lower() not in NO_VALUE for modifier in modifiers.split("|"))


def _segment(event: Event, end: float) -> Segment:
    _, score = split_score(f"- {event.comment}")
    return parse_segment(event.location, event.label, event.time, end, score)
