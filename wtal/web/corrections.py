"""What people corrected: a file a video, none overwritten by one who did not see it; all of it a table of tags."""

import csv
import io
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from wtal.errors import DataError
from wtal.files import read_json, write_json, write_text
from wtal.formats.timelines.timeline import Segment, entry, items, milliseconds
from wtal.web.library import KEY, File
from wtal.web.moves import moves
from wtal.web.saved import Saved, parse_saved, read_saved

A_LINE = 500  # segments in a line of the table of tags: a longer cell is not read back
MOVING = "moving"  # holds what is being moved, while it is


class OutdatedError(Exception):
    """Somebody else saved, or discarded, in the meantime; `now` is what holds."""

    def __init__(self, now: Saved | None) -> None:
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

    def of(self, key: str) -> Saved | None:
        """What was saved of a video."""
        return self._saved.get(key)

    def save(
        self, key: str, video: str, segments: Sequence[Segment], revision: int, fingerprint: str = ""
    ) -> Saved:
        """Keep a timeline, by one who saw `revision`. Raises OutdatedError, DataError."""
        with self._lock:
            self._finish_moving()
            before = self._require(key, revision)
            self._last = max(time.time_ns() // 1_000_000, self._last + 1)  # none twice, after a discard too
            told = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
            ordered = tuple(sorted(segments, key=lambda s: (s.start, s.end, s.label)))
            known = fingerprint or (before.fingerprint if before else "")
            saved = Saved(video, self._last, told, ordered, known)
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

    def _require(self, key: str, revision: int) -> Saved | None:
        saved = self._saved.get(key)
        if (saved.revision if saved else 0) != revision:
            raise OutdatedError(saved)
        return saved

    def _move(self, found: Mapping[str, tuple[str, str]], before: Mapping[str, Saved]) -> bool:
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


def _read_moving(path: Path) -> tuple[set[str], dict[str, Saved]]:
    """The keys that are left, and what each new one gets. Raises DataError."""
    try:
        told = entry(read_json(path), str(path), ("from", "to"))
        new = {key: parse_saved(saved, str(path)) for key, saved in entry(told["to"], str(path)).items()}
        old = items(told["from"], str(path))
        if not all(isinstance(key, str) and KEY.fullmatch(key) for key in [*old, *new]):
            raise DataError(f"{path}: has a key that is none")
    except DataError as error:
        raise DataError(f"{path}: is not what the page saves; move it elsewhere to go on without it") from error
    return set(old), new


def _rows(saved: Saved) -> str:
    """The lines of a video in the table of tags."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    for first in range(0, len(saved.segments) or 1, A_LINE):
        tags = map(_tag, saved.segments[first : first + A_LINE])
        writer.writerow((saved.video, ";".join(tags)))
    return text.getvalue()


def _tag(one: Segment) -> str:
    start, end = milliseconds(one, least=1)
    return f"{one.label}[{start / 1000:.3f} to {end / 1000:.3f}]"
