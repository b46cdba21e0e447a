"""From one format of timelines to another: recognise, read, say what is lost, write."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from wtal.errors import ConfigError, DataError
from wtal.features import is_file_name
from wtal.files import write_folder_whole
from wtal.formats.problem import short
from wtal.formats.timelines.known import FORMATS, OWN_ENDINGS, Format, format_named, format_of_file, format_of_place
from wtal.formats.timelines.losses import losses
from wtal.formats.timelines.timeline import Read, Timeline, require_unique

FASTEST = 1_000_000  # frames a second


@dataclass(frozen=True)
class Converted:
    """What was read and written: the two formats, how much, and what was lost on the way, a sentence each."""

    source: str
    made: str
    videos: int
    segments: int
    remarks: tuple[str, ...]


def convert_timelines(
    source: Path, out: Path, to: str = "", of: str = "", video: str = "", fps: float | None = None
) -> Converted:
    """Write the timelines of `source` to `out`; `to` and `of` name the formats where the places do not say them.

    A format that holds one video a file is written as a folder of files, unless `out` is called as such a file;
    `video` takes one of them. `fps` is for formats that count frames. Raises DataError and ConfigError.
    """
    made = format_named(to) if to else format_of_place(out)
    found, was = read_timelines(source, of, fps)
    timelines = _chosen(found.timelines, video, source)
    if fps is not None and not (made.frames or was.frames):
        raise ConfigError(f"neither {was.name} nor {made.name} counts frames; leave out --fps")
    if made.frames:
        _require_rate(made, fps)
    _require_place(out, source)
    lost = [f"{made.name}: {what} ({many:,})" for what, many in losses(made, timelines, fps)]
    remarks = [*found.remarks, *lost]
    require_unique([made.id(timeline.id) for timeline in timelines], f"{source} as {made.name}")
    if made.one_video and out.suffix.lower() not in {known.ending for known in FORMATS}:
        write_folder_whole(out, partial(_write_each, made, timelines))
    else:
        remarks += _require_one(made, timelines, source, out)
        write_timelines(made, out, timelines, fps)
    return Converted(was.name, made.name, len(timelines), sum(len(t.segments) for t in timelines), tuple(remarks))


def read_timelines(source: Path, of: str = "", fps: float | None = None) -> tuple[Read, Format]:
    """The timelines of a file, or of a folder of files of one format, and that format.

    Raises DataError naming file and line, and where it cannot be told what the files are.
    """
    files = _files(source, of) if source.is_dir() else [source]
    formats = {format_named(of) if of else format_of_file(path) for path in files}
    if len(formats) > 1:
        names = ", ".join(sorted(known.name for known in formats))
        raise DataError(f"{source}: holds timelines of several formats; say which with --from, one of {names}")
    (known,) = formats
    reads = [_read(known, path, fps) for path in files]
    timelines = [timeline for read in reads for timeline in read.timelines]
    require_unique([timeline.id for timeline in timelines], str(source))
    return Read(timelines, [remark for read in reads for remark in read.remarks]), known


def _files(folder: Path, of: str) -> list[Path]:
    endings = [format_named(of).ending] if of else list(OWN_ENDINGS)
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in endings and path.is_file())
    if not found:
        raise DataError(f"{folder}: has no file ending in {' or '.join(endings)}; name the file of a timeline")
    return found


def _read(known: Format, path: Path, fps: float | None) -> Read:
    if not known.frames:
        return known.read(path)
    return known.read(path, _require_rate(known, fps))


def write_timelines(known: Format, path: Path, timelines: Sequence[Timeline], fps: float | None) -> None:
    known.write(path, timelines, fps) if known.frames else known.write(path, timelines)


def _write_each(known: Format, timelines: Sequence[Timeline], folder: Path) -> None:
    for timeline in timelines:
        if not is_file_name(timeline.id):
            said = short(repr(timeline.id))
            raise DataError(f"{said}: cannot be the name of a file; take it with --video, and name the file")
        known.write(folder / f"{timeline.id}{known.ending}", [timeline])


def _chosen(timelines: list[Timeline], video: str, source: Path) -> list[Timeline]:
    chosen = [timeline for timeline in timelines if not video or timeline.id == video]
    if chosen:
        return chosen
    if not timelines:
        raise DataError(f"{source}: has no video")
    some = ", ".join(short(timeline.id) for timeline in timelines[:5])
    raise DataError(f"{source}: has no video {short(repr(video))}; it has {some}")


def _require_rate(known: Format, fps: float | None) -> float:
    if fps is None or not 0 < fps <= FASTEST:
        raise ConfigError(f"{known.name} counts frames; say how many there are in a second, as --fps 25")
    return fps


def _require_place(out: Path, source: Path) -> None:
    place = os.path.realpath(out)
    if place == os.path.realpath(source):
        raise DataError(f"{out}: is the source itself; name another place to write to")
    if place == os.path.realpath("."):
        raise DataError(f"{out}: is the folder that you are in; name one in it to write to")
    if out.is_symlink() or out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise DataError(f"{out}: is there already; name another place to write to")


def _require_one(known: Format, timelines: Sequence[Timeline], source: Path, out: Path) -> list[str]:
    """Where one file is for one video, that there is no more; a remark where it is not named after it."""
    if not known.one_video:
        return []
    if len(timelines) > 1:
        raise DataError(
            f"{source}: holds {len(timelines)} videos, and a file of {known.name} one; take one with --video, "
            f"or name a folder and --to {known.name}"
        )
    id = timelines[0].id
    if out.stem == id:
        return []
    return [f"{known.name}: the video is not named; read back it is {out.stem}, not {short(id)}"]
