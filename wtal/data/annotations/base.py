"""What all timeline formats carry: segments of a video, and the words, times and scores that they share."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from wtal.core.errors import DataError
from wtal.core.structures import Segment
from wtal.data.problems import abbreviate
from wtal.data.video_files import is_video_name, video_id

LONGEST = 4_294_967.0  # seven weeks; ELAN counts milliseconds in 32 bits
MOST_LETTERS = 100_000  # of a name; more than 131,072 are in no cell that Python reads of a CSV file


@dataclass(frozen=True, slots=True)
class Annotation:
    """One video: its segments, the labels that have none (`tags`), and what else is known of it.

    `media` is the name of its file without folders, where that says more than the id.
    """

    id: str
    segments: tuple[Segment, ...] = ()
    duration: float | None = None
    subset: str = ""
    tags: tuple[str, ...] = ()
    media: str = ""

    @property
    def file(self) -> str:
        """What a tool that knows videos by their files is told: a name that is read back as the id."""
        return self.media if self.media and file_id(self.media) == self.id else self.id


class AnnotationFile(NamedTuple):
    """What a file holds, and what of it had to be left out, a sentence each."""

    timelines: list[Annotation]
    remarks: list[str]


def segment(where: str, label: Any, start: Any, end: Any, score: Any = None) -> Segment:
    """A checked segment, spaces around its label taken off. Raises DataError saying what is wrong with it."""
    label = parse_name(where, label, "label")
    start, end = seconds(where, start, "start"), seconds(where, end, "end")
    if end < start:
        raise DataError(f"{where}: ends at {end} s before it starts at {start} s; swap the two times")
    return Segment(label, start, end, None if score is None else number(where, score, "score"))


def parse_name(where: str, value: Any, name: str) -> str:
    """A label or an id without the spaces around it. Raises DataError for what is no text, or cannot be written."""
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{where}: {name} is {abbreviate(repr(value))}; write a name there")
    if len(value) > MOST_LETTERS:
        raise DataError(f"{where}: {name} {abbreviate(repr(value))} has {len(value):,} letters; shorten it")
    if not value.isascii() and any("\ud800" <= mark <= "\udfff" for mark in value):
        raise DataError(f"{where}: {name} {abbreviate(ascii(value))} holds half a character; write it again")
    return value.strip()


def id_of_file(path: Path) -> str:
    """The id of the one video that a file is of. Raises DataError for a name that cannot be written elsewhere."""
    return parse_name(str(path), path.stem, "file name")


def seconds(where: str, value: Any, name: str) -> float:
    """A time in seconds. Raises DataError for what cannot be one."""
    time = number(where, value, name)
    if not 0 <= time <= LONGEST:
        raise DataError(f"{where}: {name} is {time} s; use seconds from 0 to {LONGEST:.0f}")
    return time


def number(where: str, value: Any, name: str) -> float:
    """A finite number, also one written as text. Raises DataError for anything else."""
    if type(value) is float and math.isfinite(value):  # of millions, nearly all
        return value + 0.0  # no minus zero
    try:
        found = math.nan if isinstance(value, bool) or not isinstance(value, int | float | str) else float(value)
    except (ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found) or (isinstance(value, str) and "_" in value):  # Python takes 1_0 for 10
        raise DataError(f"{where}: {name} is {abbreviate(repr(value))}; use a finite number")
    return found + 0.0


def group_by_video(found: Iterable[tuple[str, Segment | None]]) -> list[Annotation]:
    """Segments with the files of their videos -> one timeline a video; None is for a video that has no segment."""
    of_file: dict[str, list[Segment]] = {}
    for file, one in found:
        of_file.setdefault(file, []).extend([] if one is None else [one])
    return [Annotation(file_id(file), tuple(segments), media=media_of(file)) for file, segments in of_file.items()]


def require_unique(ids: Sequence[str], where: str) -> None:
    """Raise DataError where two videos have one name, so that their segments would mix."""
    seen: set[str] = set()
    for id in ids:
        if id in seen:
            raise DataError(f"{where}: {abbreviate(repr(id))} is there twice; give each video its own name")
        seen.add(id)


def milliseconds(one: Segment, least: int = 0) -> tuple[int, int]:
    """Start and end as whole milliseconds, at least so many apart."""
    start = round(one.start * 1000)
    return start, max(round(one.end * 1000), start + least)


def frames(one: Segment, fps: float) -> tuple[int, int]:
    """First and last frame of a segment, counted from 1, both included; it has at least one."""
    first = round(one.start * fps) + 1
    return first, max(first, round(one.end * fps))


def of_frames(where: str, first: Any, last: Any, fps: float) -> tuple[float, float]:
    """Start and end in seconds of frames counted from 1, both included. Raises DataError where they are none."""
    for name, value in (("first frame", first), ("last frame", last)):
        if number(where, value, name) < 1:
            raise DataError(f"{where}: {name} is {abbreviate(repr(value))}; frames are counted from 1")
    return (float(first) - 1) / fps, float(last) / fps


def file_id(name: str) -> str:
    """The id of a video by the name of its file, which other tools know by another folder: see `video_id`."""
    file = file_name(name)
    return (video_id(file) if is_video_name(file) else file).strip() or name.strip()


def file_name(path: str) -> str:
    """The last part of a path or an address, as any system writes them."""
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1].strip()


def media_of(path: str) -> str:
    """The name of a video's file; "" where it is no more than the id."""
    name = file_name(path)
    return "" if name == file_id(path) else name


def one_line(label: str) -> str:
    """A label as a line of text can hold it."""
    line = re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+", lambda run: " " if run[0].isspace() else "\ufffd", label)
    return unscored(line.strip())


def unscored(label: str) -> str:
    """A label out of which no score is read."""
    plain, score = without_score(label)
    return label if score is None else f"{plain} ({label[:-1].rpartition('[')[2]})"


def with_score(label: str, score: float | None) -> str:
    """`jump [score 0.95]`, or the label alone."""
    return label if score is None else f"{label} [score {score:.4g}]"


def without_score(text: str) -> tuple[str, float | None]:
    """What `with_score` wrote: label and score; text of anybody else is a label."""
    label, _, said = text.strip().removesuffix("]").rpartition("[score ")
    try:
        score = float(said) if text.rstrip().endswith("]") else math.nan
    except ValueError:
        score = math.nan
    return (label.rstrip(), score) if label.strip() and math.isfinite(score) else (text, None)


def parse_object(value: Any, where: str, keys: Sequence[str] = ()) -> dict[str, Any]:
    """A JSON object that has these keys. Raises DataError naming the first that it lacks."""
    if not isinstance(value, dict):
        raise DataError(f"{where}: is {_seen(value)} where an object should be; export the file again")
    for key in keys:
        if key not in value:
            raise DataError(f'{where}: has no "{key}"; export the file again')
    return value


def parse_list(value: Any, where: str) -> list[Any]:
    """A JSON list. Raises DataError for anything else."""
    if not isinstance(value, list):
        raise DataError(f"{where}: is {_seen(value)} where a list should be; export the file again")
    return value


def _seen(value: Any) -> str:
    return "an object" if isinstance(value, dict) else "a list" if isinstance(value, list) else abbreviate(repr(value))
