"""What people corrected: a file a video, none overwritten by one who did not see it; all of it a table of tags."""

import csv
import io
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from wtal.errors import DataError
from wtal.files import read_json, write_json, write_text
from wtal.formats.tags import parse_labels
from wtal.formats.timelines.timeline import Segment, entry, items, milliseconds, segment, word
from wtal.web.library import File

MOST = 20_000  # segments in a video
LONGEST = 200  # letters in a label
A_LINE = 500  # segments in a line of the table of tags: a longer cell is not read back


@dataclass(frozen=True)
class Saved:
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


class OutdatedError(Exception):
    """Somebody else saved, or discarded, in the meantime; `now` is what holds."""

    def __init__(self, now: Saved | None) -> None:
        super().__init__("somebody else changed it meanwhile; take theirs, or save yours over it")
        self.now = now


class Corrections:
    """Key -> what was saved, in a folder of files. Raises DataError where one cannot be read."""

    def __init__(self, folder: Path, tags: Path) -> None:
        self._folder, self._tags = folder, tags
        self._lock = threading.Lock()
        self._saved = {path.stem: _saved(path) for path in sorted(folder.glob("*.json"))}

    def of(self, key: str) -> Saved | None:
        """What was saved of a video."""
        return self._saved.get(key)

    def save(
        self, key: str, video: str, segments: Sequence[Segment], revision: int, fingerprint: str = ""
    ) -> Saved:
        """Keep a timeline, by one who saw `revision`. Raises OutdatedError, DataError."""
        with self._lock:
            now = self._require(key, revision)
            number = max(time.time_ns() // 1_000_000, now + 1)  # never one that was there before a discard
            told = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
            ordered = tuple(sorted(segments, key=lambda s: (s.start, s.end, s.label)))
            saved = Saved(video, number, told, ordered, fingerprint)
            self._keep(key, saved)
            self._write_tags()
            return saved

    def discard(self, key: str, revision: int) -> None:
        """Go back to what was found, by one who saw `revision`. Raises OutdatedError."""
        with self._lock:
            if not self._require(key, revision):
                return  # no file is ours by a key that is not known
            (self._folder / f"{key}.json").unlink(missing_ok=True)
            self._saved.pop(key, None)
            self._write_tags()

    def follow(self, files: Mapping[str, File], fingerprint: Callable[[File], str]) -> None:
        """Hand what was corrected of a video that is gone to the same one elsewhere, where nobody corrected it."""
        with self._lock:
            gone = {saved.fingerprint: key for key, saved in self._saved.items() if key not in files}
            gone.pop("", None)
            sizes = {known.partition("-")[0] for known in gone}
            for key, file in files.items() if gone else ():
                if key in self._saved or str(file.size) not in sizes:
                    continue
                if old := gone.pop(fingerprint(file), None):
                    self._keep(key, replace(self._saved[old], video=file.name))
                    (self._folder / f"{old}.json").unlink(missing_ok=True)
                    del self._saved[old]
                    self._write_tags()

    def tags(self) -> str:
        """All that was corrected as a table that `wtal init --tags` reads."""
        with self._lock:
            return self._table()

    def _require(self, key: str, revision: int) -> int:
        saved = self._saved.get(key)
        now = saved.revision if saved else 0
        if now != revision:
            raise OutdatedError(saved)
        return now

    def _keep(self, key: str, saved: Saved) -> None:
        write_json(self._folder / f"{key}.json", saved.to_json())
        self._saved[key] = saved

    def _write_tags(self) -> None:
        write_text(self._tags, self._table())

    def _table(self) -> str:
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("video", "labels"))
        for saved in sorted(self._saved.values(), key=lambda saved: saved.video):
            for first in range(0, len(saved.segments) or 1, A_LINE):
                tags = map(_tag, saved.segments[first : first + A_LINE])
                writer.writerow((saved.video, ";".join(tags)))
        return text.getvalue()


def checked(values: Any) -> list[Segment]:
    """Segments as the page sends them. Raises DataError naming the first that cannot be one."""
    found = items(values, "segments")
    if len(found) > MOST:
        raise DataError(f"{len(found):,} segments are too many; a timeline may have {MOST:,}")
    return [_checked(value, f"segment {number}") for number, value in enumerate(found, start=1)]


def _checked(value: Any, where: str) -> Segment:
    told = entry(value, where, ("label", "start", "end"))
    one = segment(where, told["label"], told["start"], told["end"], told.get("score"))
    if one.end <= one.start:
        raise DataError(f"{where}: is 0 s long; move one of its edges")
    if len(one.label) > LONGEST or parse_labels(f"{one.label}[1 to 2]", where)[0] != [one.label]:
        raise DataError(
            f"{where}: {one.label[:60]!r} cannot be a label in a table of tags; leave out brackets, semicolons and "
            f"line breaks, and use at most {LONGEST} letters"
        )
    return one


def _saved(path: Path) -> Saved:
    told = entry(read_json(path), str(path), ("video", "revision", "saved", "segments"))
    where = f"{path}: segment"
    entries = [entry(one, where) for one in items(told["segments"], where)]
    segments = [segment(where, *(one.get(key) for key in Segment._fields)) for one in entries]
    if type(told["revision"]) is not int or not isinstance(told["saved"], str):
        raise DataError(f"{path}: is not what `wtal serve` writes; delete it to lose this correction alone")
    word(str(path), told["video"], "video")
    fingerprint = told.get("fingerprint", "")
    return Saved(told["video"], told["revision"], told["saved"], tuple(segments), str(fingerprint))


def _tag(one: Segment) -> str:
    start, end = milliseconds(one, least=1)
    return f"{one.label}[{start / 1000:.3f} to {end / 1000:.3f}]"
