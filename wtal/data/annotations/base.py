"""Data structures of all annotation formats, and the conversions of times, scores and file names that they share."""

import math
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from heapq import heappop, heappush
from pathlib import Path
from typing import Any, Literal, NamedTuple

from wtal.core.errors import DataError
from wtal.core.structures import Segment
from wtal.data.parsing import Location, parse_name, parse_number
from wtal.data.problems import abbreviate
from wtal.data.video_files import is_video_name, video_id

Content = Literal["scores", "empty videos", "durations", "subsets", "tags", "complete timelines"]


@dataclass(frozen=True, slots=True)
class Annotation:
    """The annotation, or the prediction, of one video.

    Attributes:
        id: Video id.
        segments: Labeled segments, times in seconds.
        duration: Seconds; None if unknown.
        subset: `training`, `validation`, `testing`, or "" if unknown.
        tags: Labels of the video that have no segment.
        file_name: Name of the video file without folders; "" if it is the id.
        complete: Whether the file says that nothing happens outside the segments.
    """

    id: str
    segments: tuple[Segment, ...] = ()
    duration: float | None = None
    subset: str = ""
    tags: tuple[str, ...] = ()
    file_name: str = ""
    complete: bool = False

    @classmethod
    def from_media(
        cls, path: str, segments: Iterable[Segment] = (), duration: float | None = None, id: str = ""
    ) -> "Annotation":
        """The annotation of the video file at this path or URL; the id is taken from its name unless it is given."""
        file_name = base_name(path)
        name_id = media_id(path)
        return cls(id or name_id, tuple(segments), duration, file_name="" if file_name == name_id else file_name)

    @property
    def media_name(self) -> str:
        """The name for formats that identify videos by file: the file name if its id is `id`, else `id`."""
        return self.file_name if self.file_name and media_id(self.file_name) == self.id else self.id


@dataclass(frozen=True)
class ConversionWarning:
    """Content that is lost or changed when a file is read or written.

    Attributes:
        message: What happens, such as `scores are removed`.
        count: How many segments, videos or names are affected.
        source: The file that was read, or the name of the format that is written.
    """

    message: str
    count: int
    source: str

    def __str__(self) -> str:
        return f"{self.source}: {self.message} ({self.count:,})"


class AnnotationFile(NamedTuple):
    """The content of a file: one annotation per video, and warnings on what was ignored."""

    annotations: list[Annotation]
    warnings: list[ConversionWarning]


@dataclass(frozen=True)
class AnnotationFormat:
    """A file format: how to detect, read and write it, and what it can store.

    Attributes:
        name: Identifier, as in `wtal convert --to NAME`.
        title: Name shown to users.
        extension: File extension in lower case, with the dot.
        read: `read(path)` returns an `AnnotationFile`; called as `read(path, fps)` if `needs_fps` and not `stores_fps`.
        write: `write(path, annotations)`; called as `write(path, annotations, fps)` if `needs_fps`.
        detect: Whether a file has this format, by its parsed JSON or, for any other text, by its first line in
            lower case. Not needed if no other format has this extension.
        default_for_extension: Whether files with this extension are written in this format, although other
            formats have the same extension.
        single_video: A file holds one video; its name is the video id.
        needs_fps: Times are stored as frame numbers.
        stores_fps: The frames per second are stored: `read(path)` finds them in the file, and
            `write(path, annotations, fps)` gets None if they are unknown, unless `needs_fps`.
        ticks_per_second: Times are rounded to multiples of `1 / ticks_per_second` s; 0 if they are stored exactly.
        allows_zero_length: Otherwise a segment has at least one tick or frame.
        merges_overlaps: Segments of a label that share a frame are merged.
        keeps: What is stored besides labels and times.
        score_note: How stored scores are changed; "" if they are stored exactly.
        requires_scores: Segments without a score are stored with a score of 1.0.
        normalize_label: The label that is read back after a label was written.
        normalize_id: The id that is read back after an id was written.
        usage_hint: How to open a file in the annotation tool.
    """

    name: str
    title: str
    extension: str
    read: Callable[..., AnnotationFile]
    write: Callable[..., None]
    detect: Callable[[Any], bool] = lambda content: False
    default_for_extension: bool = False
    single_video: bool = False
    needs_fps: bool = False
    stores_fps: bool = False
    ticks_per_second: float = 0
    allows_zero_length: bool = True
    merges_overlaps: bool = False
    keeps: frozenset[Content] = frozenset({"scores", "empty videos"})
    score_note: str = ""
    requires_scores: bool = False
    normalize_label: Callable[[str], str] = str
    normalize_id: Callable[[str], str] = str
    usage_hint: str = ""


def has_keys(*keys: str) -> Callable[[Any], bool]:
    """A `detect` function for JSON objects with these keys."""
    return lambda content: isinstance(content, dict) and set(keys) <= content.keys()


def count_warnings(source: object, counts: Mapping[str, int]) -> list[ConversionWarning]:
    """A warning for each message whose count is not 0."""
    return [ConversionWarning(message, count, str(source)) for message, count in counts.items() if count]


def check_unique_ids(ids: Iterable[str], path: Path) -> None:
    """Raise DataError if two videos have the same id."""
    seen: set[str] = set()
    for id in ids:
        if id in seen:
            raise DataError(
                f"two videos have the id {abbreviate(repr(id))}",
                path=path,
                hint="give each video a unique name",
                code="duplicate-id",
            )
        seen.add(id)


# File names


def id_from_file(path: Path) -> str:
    """The id of the video that a file of a `single_video` format annotates: its name without extension."""
    return parse_name(Location(path), path.stem, "file name")


def media_id(path: str) -> str:
    """The id of a video by its path or URL: `video_id` of the last part if that is a video file, else the last part."""
    name = base_name(path)
    return (video_id(name) if is_video_name(name) else name).strip() or path.strip()


def base_name(path: str) -> str:
    """The last part of a URL or a path of any operating system."""
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1].strip()


# Times


def to_milliseconds(segment: Segment, min_length: int = 0) -> tuple[int, int]:
    """Start and end in whole milliseconds, at least `min_length` apart."""
    start = round(segment.start * 1000)
    return start, max(round(segment.end * 1000), start + min_length)


def to_frames(segment: Segment, fps: float) -> tuple[int, int]:
    """First and last frame, both inclusive, counted from 1; at least one frame."""
    first = round(segment.start * fps) + 1
    return first, max(first, round(segment.end * fps))


def from_frames(location: Location, first: Any, last: Any, fps: float) -> tuple[float, float]:
    """Start and end in seconds of the first and last frame, both inclusive, counted from 1."""
    for field, value in (("first frame", first), ("last frame", last)):
        if parse_number(location, value, field) < 1:
            raise location.error(f"{field} is {abbreviate(repr(value))}", "count frames from 1")
    return (float(first) - 1) / fps, float(last) / fps


def assign_lanes(intervals: Iterable[tuple[Hashable, int, int]]) -> Iterator[int]:
    """For each interval, the number of a lane in which it overlaps no earlier interval with the same key.

    Args:
        intervals: Key, such as the label, start and end; sorted by start and end.
    """
    lanes_by_key: dict[Hashable, list[tuple[int, int]]] = {}  # heaps of (end of the last interval, lane)
    for key, start, end in intervals:
        lanes = lanes_by_key.setdefault(key, [])
        lane = heappop(lanes)[1] if lanes and lanes[0][0] <= start else len(lanes)
        heappush(lanes, (end, lane))
        yield lane


def merge_overlaps(
    segments: Iterable[Segment], fps: float, normalize_label: Callable[[str], str]
) -> list[tuple[str, int, int]]:
    """Label as stored, first and last frame as in `to_frames`; segments of a label that share a frame become one."""
    merged: dict[str, list[tuple[str, int, int]]] = {}
    for label, first, last in sorted((normalize_label(s.label), *to_frames(s, fps)) for s in segments):
        runs = merged.setdefault(label, [])
        if runs and first <= runs[-1][2]:
            runs[-1] = (label, runs[-1][1], max(last, runs[-1][2]))
        else:
            runs.append((label, first, last))
    return [run for runs in merged.values() for run in runs]


# Labels and scores as text


def single_line(label: str) -> str:
    """A label as formats store it that have one line per label."""
    line = re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+", lambda match: " " if match[0].isspace() else "\ufffd", label)
    return escape_score(line.strip())


def append_score(label: str, score: float | None) -> str:
    """`jump [score 0.95]`; the label alone if there is no score."""
    return label if score is None else f"{label} [score {score:.4g}]"


def split_score(text: str) -> tuple[str, float | None]:
    """Label and score of a text that `append_score` wrote; of any other text, the text and None."""
    label, _, number = text.strip().removesuffix("]").rpartition("[score ")
    try:
        score = float(number) if text.rstrip().endswith("]") else math.nan
    except ValueError:
        score = math.nan
    return (label.rstrip(), score) if label.strip() and math.isfinite(score) else (text, None)


def escape_score(label: str) -> str:
    """The label, changed if `split_score` would find a score in it."""
    plain, score = split_score(label)
    return label if score is None else f"{plain} ({label[:-1].rpartition('[')[2]})"
