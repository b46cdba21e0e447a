"""One video's corrected timeline, as a file holds it and as the page sends it."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wtal.errors import DataError
from wtal.files import read_json
from wtal.formats.tags import parse_labels
from wtal.formats.timelines.timeline import Segment, entry, items, segment, word

MOST = 20_000  # segments in a video
LONGEST = 200  # letters in a label
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # no table of tags holds them


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


def parse_saved(value: Any, where: str) -> Saved:
    """What `to_json` gave. Raises DataError naming what is wrong."""
    told = entry(value, where, ("video", "revision", "saved", "segments"))
    entries = [entry(one, f"{where}, segment") for one in items(told["segments"], where)]
    segments = [segment(f"{where}, segment", *(one.get(key) for key in Segment._fields)) for one in entries]
    if type(told["revision"]) is not int or told["revision"] < 1:
        raise DataError(f"{where}: has no revision")
    for key in ("video", "saved"):
        word(where, told[key], key)
    fingerprint = word(where, told["fingerprint"], "fingerprint") if told.get("fingerprint") else ""
    return Saved(told["video"], told["revision"], told["saved"], tuple(segments), fingerprint)


def read_saved(path: Path) -> Saved:
    """A file of them. Raises DataError saying what is wrong, and how to go on without it."""
    try:
        return parse_saved(read_json(path), str(path))
    except DataError as error:
        raise DataError(
            f"{path}: is not what the page saves; move it elsewhere to go on without what was corrected in it"
        ) from error


def checked(values: Any) -> list[Segment]:
    """Segments as the page sends them. Raises DataError naming the first that cannot be one."""
    found = items(values, "segments")
    if len(found) > MOST:
        raise DataError(f"{len(found):,} segments are too many; a timeline may have {MOST:,}, delete some")
    return [_checked(value, f"segment {number}") for number, value in enumerate(found, start=1)]


def _checked(value: Any, where: str) -> Segment:
    told = entry(value, where, ("label", "start", "end"))
    one = segment(where, told["label"], told["start"], told["end"], told.get("score"))
    if one.end <= one.start:
        raise DataError(f"{where}: is 0 s long; move one of its edges")
    if len(one.label) > LONGEST:
        raise DataError(f"{where}: {one.label[:60]!r} is too long for a label; use at most {LONGEST} letters")
    if CONTROL.search(one.label) or parse_labels(f"{one.label}[1 to 2]", where)[0] != [one.label]:
        raise DataError(
            f"{where}: {one.label[:60]!r} cannot be a label in a table of tags; leave out brackets, semicolons, "
            "bars and line breaks, and what reads as times"
        )
    return one
