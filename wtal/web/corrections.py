"""Corrected timelines: one JSON file per video, and a table of tags of all of them.

A save must name the revision that it is based on, so that concurrent edits are detected. Corrections follow videos that
are moved or renamed, which are recognized by their content. A segment that ends where it starts is a point; a segment
with a score was copied from the model output and not changed.
"""

import csv
import io
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from wtal.core.errors import DataError, first_validation_error
from wtal.core.io import read_json, write_json, write_text
from wtal.core.structures import Segment
from wtal.core.text import CONTROL_CHARACTERS
from wtal.data.annotations.base import to_milliseconds
from wtal.data.parsing import MAX_SECONDS, Location
from wtal.data.tags import parse_labels
from wtal.web.videos import KEY_PATTERN, VideoFile

MAX_SEGMENTS = 20_000  # per video
MAX_LABEL_LENGTH = 200  # characters
SEGMENTS_PER_ROW = 500  # of the table of tags, whose reader limits the length of a cell
JOURNAL_KEY = "moving"  # name of the file that makes moving several corrections atomic
HINT_MOVE_AWAY = "move the file to another folder to continue without it"

Fingerprint = Callable[[VideoFile], str]
Text = Annotated[str, StringConstraints(min_length=1)]
Seconds = Annotated[float, Field(ge=0, le=MAX_SECONDS)]


class SegmentModel(BaseModel):
    """A segment in a request or a file."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    label: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
    start: Seconds
    end: Seconds
    score: float | None = None

    @model_validator(mode="after")
    def _check_order(self) -> "SegmentModel":
        if self.end < self.start:
            raise ValueError("the segment ends before it starts")
        return self

    def to_segment(self) -> Segment:
        """As a plain tuple."""
        return Segment(self.label, self.start, self.end, self.score)


class _RecordModel(BaseModel):
    model_config = ConfigDict(strict=True)

    video: Text
    revision: Annotated[int, Field(ge=1)]
    saved: Text
    segments: list[SegmentModel]
    fingerprint: str = ""
    complete: bool = False
    reviewed: bool = False


class _JournalModel(BaseModel):
    model_config = ConfigDict(strict=True)

    old: list[Annotated[str, Field(pattern=KEY_PATTERN)]] = Field(alias="from")
    new: dict[Annotated[str, Field(pattern=KEY_PATTERN)], _RecordModel] = Field(alias="to")


Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class CorrectionRecord:
    """The corrected timeline of a video.

    Attributes:
        video: The name of the video file, relative to the folder of videos.
        revision: Changes with each save; 0 stands for a video without corrections.
        saved: The time of the save, ISO 8601 in UTC.
        segments: The segments and points, sorted by time.
        fingerprint: Identifies the content of the video, "" if it is not known.
        complete: Whether nothing happens outside the segments.
        reviewed: Whether a person has finished with the video; true for a complete timeline.
    """

    video: str
    revision: int
    saved: str
    segments: tuple[Segment, ...]
    fingerprint: str = ""
    complete: bool = False
    reviewed: bool = False

    @property
    def labels(self) -> tuple[Segment, ...]:
        """The segments and points that a person confirmed: all of a complete timeline, else those without a score."""
        return tuple(segment for segment in self.segments if self.complete or segment.score is None)

    def to_json(self) -> dict[str, Any]:
        """As in the file, and as the page receives it."""
        return {
            "video": self.video,
            "fingerprint": self.fingerprint,
            "revision": self.revision,
            "saved": self.saved,
            "complete": self.complete,
            "reviewed": self.reviewed,
            "segments": [
                {"label": segment.label, "start": segment.start, "end": segment.end, "score": segment.score}
                for segment in self.segments
            ],
        }


class ConflictError(Exception):
    """The corrections were saved or discarded by someone else; `current` is what is stored now."""

    def __init__(self, current: CorrectionRecord | None) -> None:
        super().__init__("someone else changed these corrections; use their version, or save yours over it")
        self.current = current


def check_segments(segments: Sequence[Segment], complete: bool = False) -> None:
    """Raise DataError if segments cannot be saved.

    There are too many, one ends before it starts, the table of tags cannot hold a label, or a complete timeline has
    points, whose extent is not known.
    """
    if len(segments) > MAX_SEGMENTS:
        raise DataError(
            f"{len(segments):,} segments are too many",
            hint=f"delete some; a video can have {MAX_SEGMENTS:,}",
            code="too-many-segments",
        )
    for number, segment in enumerate(segments, start=1):
        location, label = Location(None, f"segment {number}"), segment.label
        if segment.end < segment.start:
            raise location.error("the segment ends before it starts", "move its start or end")
        if complete and segment.is_point:
            raise location.error(
                "a timeline with points cannot be complete", "give each point a start and an end", "incomplete"
            )
        if len(label) > MAX_LABEL_LENGTH:
            raise location.error(
                f"the label {label[:60]!r} is too long", f"use at most {MAX_LABEL_LENGTH} characters", "invalid-label"
            )
        if CONTROL_CHARACTERS.search(label) or parse_labels(f"{label}[1 to 2]", location)[0] != [label]:
            raise location.error(
                f"the label {label[:60]!r} cannot be stored in a table of tags",
                "remove brackets, semicolons, bars, line breaks and time ranges",
                "invalid-label",
            )


def find_moves(
    records: Mapping[str, CorrectionRecord],
    files: Mapping[str, VideoFile],
    previous: Collection[VideoFile] | None,
    fingerprint: Fingerprint,
) -> dict[str, str]:
    """Find the new places of corrected videos that were moved or renamed.

    A file that already existed at the previous listing is a copy, not a moved video. At the first listing, a video
    whose name belongs to another file now is taken for a new version of that video. If several corrections belong to
    one content, the latest is matched first. A key whose own correction stays there is never overwritten.

    Args:
        records: Key to correction.
        files: Key to video file, now.
        previous: The files at the previous listing, None at the first one.
        fingerprint: Identifies the content of a file, "" if it cannot be read.

    Returns:
        Old key to new key; all are to be moved at once.
    """
    fingerprints = {key: record.fingerprint for key, record in records.items() if record.fingerprint}

    def is_in_place(key: str) -> bool:
        return key in files and fingerprint(files[key]) in ("", fingerprints[key])

    moved = [key for key in fingerprints if not is_in_place(key)]
    if previous is None:
        moved = [key for key in moved if key not in files]
    sizes = {fingerprints[key].partition(" ")[0] for key in moved}
    in_place = records.keys() - set(moved)
    free = defaultdict[str, list[str]](list)
    for key, file in files.items():
        if key not in in_place and str(file.size) in sizes and file not in (previous or ()):
            free[fingerprint(file)].append(key)
    moves = {}
    for key in sorted(moved, key=lambda key: -records[key].revision):
        if candidates := free[fingerprints[key]]:
            moves[key] = candidates.pop(0)
    while blocked := {old for old, new in moves.items() if new in records and new not in moves}:
        moves = {old: new for old, new in moves.items() if old not in blocked}
    return moves


class Corrections:
    """The corrections in a folder, by the key of the video; all methods can be called from any thread.

    Args:
        folder: The folder with one JSON file per video.
        tags: The table of tags to keep up to date.

    Raises:
        DataError: A file in the folder is not a correction.
    """

    def __init__(self, folder: Path, tags: Path) -> None:
        self._folder, self._tags = folder, tags
        self._lock, self._follow_lock = threading.Lock(), threading.Lock()
        self._previous_files: frozenset[VideoFile] | None = None
        self._finish_moves()
        self._records = {path.stem: _read_record(path) for path in sorted(folder.glob("*.json"))}
        self._rows = {key: _tag_rows(record) for key, record in self._records.items()}
        self._last_revision = max((record.revision for record in self._records.values()), default=0)
        if self._records:  # a server that was killed may have left an older table
            with suppress(DataError):
                self._write_tags()

    def get(self, key: str) -> CorrectionRecord | None:
        """The corrections of a video, None if there are none."""
        return self._records.get(key)

    def save(
        self,
        key: str,
        video: str,
        segments: Sequence[Segment],
        revision: int,
        fingerprint: str = "",
        *,
        complete: bool = False,
        reviewed: bool = False,
    ) -> CorrectionRecord:
        """Store the segments of a video.

        Args:
            key: The key of the video.
            video: The name of its file.
            segments: The segments, in any order.
            revision: The revision that the change is based on, 0 for none.
            fingerprint: Identifies the content of the file; if "", the stored one is kept.
            complete: Whether nothing happens outside the segments.
            reviewed: Whether a person has finished with the video.

        Raises:
            ConflictError: Another revision is stored.
            DataError: The file cannot be written.
        """
        with self._lock:
            self._finish_moves()
            previous = self._require_revision(key, revision)
            # Revisions are never reused, also after a discard.
            self._last_revision = max(time.time_ns() // 1_000_000, self._last_revision + 1)
            record = CorrectionRecord(
                video,
                self._last_revision,
                datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
                tuple(sorted(segments, key=lambda segment: (segment.start, segment.end, segment.label))),
                fingerprint or (previous.fingerprint if previous else ""),
                complete,
                reviewed or complete,
            )
            write_json(self._path(key), record.to_json())
            self._records[key], self._rows[key] = record, _tag_rows(record)
            self._write_tags()
            return record

    def records(self) -> dict[str, CorrectionRecord]:
        """Key to corrections, of all videos."""
        with self._lock:
            return dict(self._records)

    def discard(self, key: str, revision: int) -> None:
        """Delete the corrections of a video. Raises ConflictError and DataError like `save`."""
        with self._lock:
            self._finish_moves()
            if not self._require_revision(key, revision):
                return  # an unknown key may be any text, and is not used as a file name
            self._path(key).unlink(missing_ok=True)
            del self._records[key], self._rows[key]
            self._write_tags()

    def follow(self, files: Mapping[str, VideoFile], fingerprint: Fingerprint) -> None:
        """Move the corrections of moved videos, unless another thread does so. Raises DataError and OSError."""
        if not self._follow_lock.acquire(blocking=False):
            return
        try:
            listing = frozenset(files.values())
            if listing == self._previous_files:
                return
            records = dict(self._records)
            moves = find_moves(records, files, self._previous_files, fingerprint)
            if self._move({old: (new, files[new].name) for old, new in moves.items()}, records):
                self._previous_files = listing
        finally:
            self._follow_lock.release()

    def tags(self) -> str:
        """All corrections as a table for `wtal init --tags`."""
        with self._lock:
            return self._tags_table()

    def _require_revision(self, key: str, revision: int) -> CorrectionRecord | None:
        record = self._records.get(key)
        if (record.revision if record else 0) != revision:
            raise ConflictError(record)
        return record

    def _move(self, moves: Mapping[str, tuple[str, str]], expected: Mapping[str, CorrectionRecord]) -> bool:
        """Move corrections: old key to new key and new video name.

        A journal makes this atomic: after a crash, the next write completes it. Returns False, without a change, if
        one of the records is not the expected one any more.
        """
        keys = {*moves, *(new for new, _ in moves.values())}
        with self._lock:
            if any(self._records.get(key) is not expected.get(key) for key in keys):
                return False
            if self._finish_moves():
                self._write_tags()
            if not moves:
                return True
            records = {new: replace(self._records[old], video=name) for old, (new, name) in moves.items()}
            journal = {"from": list(moves), "to": {key: record.to_json() for key, record in records.items()}}
            write_json(self._path(JOURNAL_KEY), journal)
            for old in moves:
                del self._records[old], self._rows[old]
            for key, record in records.items():
                self._records[key], self._rows[key] = record, _tag_rows(record)
            self._finish_moves()
            self._write_tags()
            return True

    def _finish_moves(self) -> bool:
        """Carry out the journal. Returns whether there was one."""
        path = self._path(JOURNAL_KEY)
        if not path.is_file():
            return False
        journal = _validate(_JournalModel, path)
        for key, model in journal.new.items():
            write_json(self._path(key), _to_record(model).to_json())
        for key in set(journal.old) - journal.new.keys():
            self._path(key).unlink(missing_ok=True)
        path.unlink()
        return True

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.json"

    def _write_tags(self) -> None:
        write_text(self._tags, self._tags_table())

    def _tags_table(self) -> str:
        keys = sorted(self._records, key=lambda key: self._records[key].video)
        return "video,labels,timeline\n" + "".join(self._rows[key] for key in keys)


def _validate(model: type[Model], path: Path) -> Model:
    try:
        return model.model_validate(read_json(path))
    except (DataError, ValidationError) as error:
        reason = first_validation_error(error) if isinstance(error, ValidationError) else error.message
        raise DataError(
            f"not a correction file of `wtal serve` ({reason})", path=path, hint=HINT_MOVE_AWAY, code="invalid-value"
        ) from error


def _to_record(model: _RecordModel) -> CorrectionRecord:
    segments = tuple(segment.to_segment() for segment in model.segments)
    return CorrectionRecord(
        model.video, model.revision, model.saved, segments, model.fingerprint, model.complete, model.reviewed
    )


def _read_record(path: Path) -> CorrectionRecord:
    return _to_record(_validate(_RecordModel, path))


def _tag_rows(record: CorrectionRecord) -> str:
    """The rows of a video in the table of tags: its segments, its points, and labels without confirmed times.

    These have rows of their own, because the reader warns of labels without times beside others.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    timeline = "complete" if record.complete else "partial"
    points = [_format_tag(segment) for segment in record.labels if segment.is_point]
    segments = [_format_tag(segment) for segment in record.labels if not segment.is_point]
    confirmed = {segment.label for segment in record.labels}
    others = dict.fromkeys(segment.label for segment in record.segments if segment.label not in confirmed)
    for tags in (segments, points, list(others)):
        for first in range(0, len(tags), SEGMENTS_PER_ROW):
            writer.writerow((record.video, ";".join(tags[first : first + SEGMENTS_PER_ROW]), timeline))
    if not record.segments:
        writer.writerow((record.video, "", timeline))
    return text.getvalue()


def _format_tag(segment: Segment) -> str:
    start, end = to_milliseconds(segment, min_length=1)
    if segment.is_point:
        return f"{segment.label}@{start / 1000:.3f}"
    return f"{segment.label}[{start / 1000:.3f} to {end / 1000:.3f}]"
