"""What people corrected: a file a video, none overwritten by one who did not see it; all of it a table of tags.

FROM: One video's corrected timeline, as a file holds it and as the page sends it.
FROM: Where the videos that were corrected lie now: known by their content, whatever they are called.
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
from typing import Any

from wtal.core.errors import DataError
from wtal.core.io import read_json, write_json, write_text
from wtal.core.structures import Segment
from wtal.core.text import CONTROL
from wtal.data.annotations.base import to_milliseconds
from wtal.data.parsing import Location, parse_list, parse_name, parse_object, parse_segment
from wtal.data.tags import parse_labels
from wtal.web.videos import KEY, File

MAX_SEGMENTS = 20_000  # segments in a video
MAX_TIME = 200  # letters in a label


@dataclass(frozen=True)
class CorrectionRecord:
    """A video's corrected timeline; `revision` is another one after each save, 0 where there is none.

    `fingerprint` knows the video again where it was moved to.
    """

    video: str
    revision: int
    saved: str  # when, ISO 8601 in UTC
    segments: tuple[Segment, ...]
    fingerprint: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values, for the file and for the page."""
        return {
            "video": self.video,
            "fingerprint": self.fingerprint,
            "revision": self.revision,
            "saved": self.saved,
            "segments": [one._asdict() for one in self.segments],
        }


def parse_saved(value: Any, location: Location) -> CorrectionRecord:
    """What `to_json` gave. Raises DataError naming what is wrong."""
    told = parse_object(location, value, ("video", "revision", "saved", "segments"))
    segments = []
    for number, entry in enumerate(parse_list(location, told["segments"]), start=1):
        segment_location = location.child(f"segment {number}")
        values = parse_object(segment_location, entry)
        segments.append(parse_segment(segment_location, *(values.get(key) for key in Segment._fields)))
    if type(told["revision"]) is not int or told["revision"] < 1:
        raise location.error("revision must be a positive integer", "delete the file")
    for key in ("video", "saved"):
        parse_name(location, told[key], key)
    fingerprint = parse_name(location, told["fingerprint"], "fingerprint") if told.get("fingerprint") else ""
    return CorrectionRecord(told["video"], told["revision"], told["saved"], tuple(segments), fingerprint)


def read_saved(path: Path) -> CorrectionRecord:
    """A file of them. Raises DataError saying what is wrong, and how to go on without it."""
    try:
        return parse_saved(read_json(path), Location(path))
    except DataError as error:
        raise DataError(
            f"{path}: is not what the page saves; move it elsewhere to go on without what was corrected in it"
        ) from error


def checked(values: Any) -> list[Segment]:
    """Segments as the page sends them. Raises DataError naming the first that cannot be one."""
    found = parse_list(Location(None, "segments"), values)
    if len(found) > MAX_SEGMENTS:
        raise DataError(f"{len(found):,} segments are too many; a timeline may have {MAX_SEGMENTS:,}, delete some")
    return [_checked(value, Location(None, f"segment {number}")) for number, value in enumerate(found, start=1)]


def _checked(value: Any, where: Location) -> Segment:
    told = parse_object(where, value, ("label", "start", "end"))
    one = parse_segment(where, told["label"], told["start"], told["end"], told.get("score"))
    if one.end <= one.start:
        raise where.error("is 0 s long", "move one of its edges")
    if len(one.label) > MAX_TIME:
        raise where.error(f"{one.label[:60]!r} is too long for a label", f"use at most {MAX_TIME} letters")
    if CONTROL.search(one.label) or parse_labels(f"{one.label}[1 to 2]", where)[0] != [one.label]:
        raise where.error(
            f"{one.label[:60]!r} cannot be a label in a table of tags",
            "leave out brackets, semicolons, bars and line breaks, and what reads as times",
        )
    return one


def moves(
    saved: Mapping[str, CorrectionRecord],
    files: Mapping[str, File],
    before: Collection[File] | None,
    fingerprint: Callable[[File], str],
) -> dict[str, str]:
    """Old key -> new key of what was corrected in videos that lie elsewhere now; all to be done at once.

    A file that was there `before` is another copy, and takes no place. At the first look (`before` is None) a video
    whose name another file has by now is taken for made again. Of two corrections of one content the later goes
    first; no place is taken whose own correction stays.
    """
    known = {key: one for key, one in saved.items() if one.fingerprint}
    strays = [key for key, one in known.items() if not _is_at_home(one, files.get(key), fingerprint)]
    if before is None:
        strays = [key for key in strays if key not in files]
    sizes = {known[key].fingerprint.partition(" ")[0] for key in strays}
    settled = saved.keys() - set(strays)
    free = defaultdict[str, list[str]](list)
    for key, file in files.items():
        if key not in settled and str(file.size) in sizes and file not in (before or ()):
            free[fingerprint(file)].append(key)
    found = {}
    for key in sorted(strays, key=lambda key: -known[key].revision):
        if places := free[known[key].fingerprint]:
            found[key] = places.pop(0)
    while blocked := {old for old, new in found.items() if new in saved and new not in found}:
        found = {old: new for old, new in found.items() if old not in blocked}
    return found


def _is_at_home(one: CorrectionRecord, file: File | None, fingerprint: Callable[[File], str]) -> bool:
    return file is not None and fingerprint(file) in ("", one.fingerprint)


A_LINE = 500  # segments in a line of the table of tags: a longer cell is not read back
MOVING = "moving"  # holds what is being moved, while it is


class OutdatedError(Exception):
    """Somebody else saved, or discarded, in the meantime; `now` is what holds."""

    def __init__(self, now: CorrectionRecord | None) -> None:
        super().__init__("somebody else changed it meanwhile; take theirs, or save yours over it")
        self.now = now


class Corrections:
    """Key -> what was saved, in a folder of files. Raises DataError where one cannot be read."""

    def __init__(self, folder: Path, tags: Path) -> None:
        self._folder, self._tags = folder, tags
        self._lock, self._following = threading.Lock(), threading.Lock()
        self._seen: frozenset[File] | None = None
        self._finish_moving()
        self._saved = {path.stem: read_saved(path) for path in sorted(folder.glob("*.json"))}
        self._rows = {key: _rows(saved) for key, saved in self._saved.items()}
        self._last = max((saved.revision for saved in self._saved.values()), default=0)
        if self._saved:  # a server that was killed may have left an older one
            with suppress(DataError):
                self._write_tags()

    def of(self, key: str) -> CorrectionRecord | None:
        """What was saved of a video."""
        return self._saved.get(key)

    def save(
        self, key: str, video: str, segments: Sequence[Segment], revision: int, fingerprint: str = ""
    ) -> CorrectionRecord:
        """Keep a timeline, by one who saw `revision`. Raises OutdatedError, DataError."""
        with self._lock:
            self._finish_moving()
            before = self._require(key, revision)
            self._last = max(time.time_ns() // 1_000_000, self._last + 1)  # none twice, after a discard too
            told = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
            ordered = tuple(sorted(segments, key=lambda s: (s.start, s.end, s.label)))
            known = fingerprint or (before.fingerprint if before else "")
            saved = CorrectionRecord(video, self._last, told, ordered, known)
            write_json(self._place(key), saved.to_json())
            self._saved[key], self._rows[key] = saved, _rows(saved)
            self._write_tags()
            return saved

    def discard(self, key: str, revision: int) -> None:
        """Go back to what was found, by one who saw `revision`. Raises OutdatedError, DataError."""
        with self._lock:
            self._finish_moving()
            if not self._require(key, revision):
                return  # no file is ours by a key that is not known
            self._place(key).unlink(missing_ok=True)
            del self._saved[key], self._rows[key]
            self._write_tags()

    def follow(self, files: Mapping[str, File], fingerprint: Callable[[File], str]) -> None:
        """Take what was corrected to where its videos lie now; nobody waits for it. Raises DataError, OSError."""
        if not self._following.acquire(blocking=False):
            return
        try:
            seen = frozenset(files.values())
            if seen == self._seen:
                return
            before = dict(self._saved)
            found = moves(before, files, self._seen, fingerprint)
            if self._move({old: (new, files[new].name) for old, new in found.items()}, before):
                self._seen = seen
        finally:
            self._following.release()

    def tags(self) -> str:
        """All that was corrected as a table that `wtal init --tags` reads."""
        with self._lock:
            return self._table()

    def _require(self, key: str, revision: int) -> CorrectionRecord | None:
        saved = self._saved.get(key)
        if (saved.revision if saved else 0) != revision:
            raise OutdatedError(saved)
        return saved

    def _move(self, found: Mapping[str, tuple[str, str]], before: Mapping[str, CorrectionRecord]) -> bool:
        """All at once, so that what changes places is not lost; broken off, the next to write ends it.

        Returns whether it was done: not where somebody saved one of them since it was as `before`.
        """
        keys = {*found, *(new for new, _ in found.values())}
        with self._lock:
            if any(self._saved.get(key) is not before.get(key) for key in keys):
                return False
            if self._finish_moving():
                self._write_tags()
            if not found:
                return True
            there = {new: replace(self._saved[old], video=name) for old, (new, name) in found.items()}
            journal = {"from": list(found), "to": {key: saved.to_json() for key, saved in there.items()}}
            write_json(self._place(MOVING), journal)
            for old in found:
                del self._saved[old], self._rows[old]
            for key, saved in there.items():
                self._saved[key], self._rows[key] = saved, _rows(saved)
            self._finish_moving()
            self._write_tags()
            return True

    def _finish_moving(self) -> bool:
        """Whether there was something to finish."""
        path = self._place(MOVING)
        if not path.is_file():
            return False
        old, new = _read_moving(path)
        for key, saved in new.items():
            write_json(self._place(key), saved.to_json())
        for key in old - new.keys():
            self._place(key).unlink(missing_ok=True)
        path.unlink()
        return True

    def _place(self, key: str) -> Path:
        return self._folder / f"{key}.json"

    def _write_tags(self) -> None:
        write_text(self._tags, self._table())

    def _table(self) -> str:
        ordered = sorted(self._saved, key=lambda key: self._saved[key].video)
        return "video,labels\n" + "".join(self._rows[key] for key in ordered)


def _read_moving(path: Path) -> tuple[set[str], dict[str, CorrectionRecord]]:
    """The keys that are left, and what each new one gets. Raises DataError."""
    try:
        told = parse_object(Location(path), read_json(path), ("from", "to"))
        new = {
            key: parse_saved(saved, Location(path)) for key, saved in parse_object(Location(path), told["to"]).items()
        }
        old = parse_list(Location(path), told["from"])
        if not all(isinstance(key, str) and KEY.fullmatch(key) for key in [*old, *new]):
            raise DataError(f"{path}: has a key that is none")
    except DataError as error:
        raise DataError(f"{path}: is not what the page saves; move it elsewhere to go on without it") from error
    return set(old), new


def _rows(saved: CorrectionRecord) -> str:
    """The lines of a video in the table of tags."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    for first in range(0, len(saved.segments) or 1, A_LINE):
        tags = map(_tag, saved.segments[first : first + A_LINE])
        writer.writerow((saved.video, ";".join(tags)))
    return text.getvalue()


def _tag(one: Segment) -> str:
    start, end = to_milliseconds(one, min_length=1)
    return f"{one.label}[{start / 1000:.3f} to {end / 1000:.3f}]"
