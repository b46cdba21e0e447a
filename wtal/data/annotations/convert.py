"""From one format of timelines to another: recognise, read, say what is lost, write.

FROM: What a format cannot hold of some timelines, in a sentence each: nothing is lost in silence.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from wtal.core.errors import ConfigError, DataError
from wtal.core.io import atomic_write_dir
from wtal.data.annotations.base import Annotation, AnnotationFile, Segment, require_unique
from wtal.data.annotations.registry import (
    FORMATS,
    OWN_ENDINGS,
    Format,
    detect_format,
    find_format,
    format_for_output,
)
from wtal.data.features import is_file_name
from wtal.data.problems import abbreviate

FORMULA = re.compile(r"[=+\-@\t]")


class ConversionWarning(NamedTuple):
    """What is lost, in a sentence, and of how many videos, segments or names."""

    what: str
    many: int


def conversion_warnings(
    known: Format, timelines: Sequence[Annotation], fps: float | None = None
) -> list[ConversionWarning]:
    """Each thing that is not read back from this format as it was, or is run by a spreadsheet."""
    segments = [one for timeline in timelines for one in timeline.segments]
    found = [*_of_videos(known, timelines), *_of_scores(known, segments), *_of_times(known, segments, fps)]
    words = {one.label for one in segments} | {tag for timeline in timelines for tag in timeline.tags}
    if changed := sum(known.text(word) != word for word in words):
        found.append(
            ConversionWarning("labels with line breaks or other marks that it cannot hold are changed", changed)
        )
    names = words | {timeline.id for timeline in timelines}
    if known.ending == ".csv" and (formulas := sum(FORMULA.match(name) is not None for name in names)):
        found.append(ConversionWarning("a spreadsheet takes names that begin with =, +, - or @ for formulas", formulas))
    return found


def _of_videos(known: Format, timelines: Sequence[Annotation]) -> Iterator[ConversionWarning]:
    kinds: tuple[tuple[str, str, Callable[[Annotation], bool]], ...] = (
        ("empty videos", "videos without segments are left out", lambda t: not t.segments),
        ("durations", "lengths of videos are left out", lambda t: t.duration is not None),
        ("subsets", "subsets of videos are left out", lambda t: bool(t.subset)),
        ("tags", "labels without times are left out, of some videos", lambda t: bool(t.tags)),
    )
    for name, sentence, has in kinds:
        many = sum(map(has, timelines))
        if many and name not in known.holds:
            yield ConversionWarning(sentence, many)
    changed = [(timeline.id, new) for timeline in timelines if (new := known.id(timeline.id)) != timeline.id]
    if changed:
        old, new = changed[0]
        said = f"names of videos are read back otherwise, {abbreviate(repr(old))} as {abbreviate(repr(new))}"
        yield ConversionWarning(said, len(changed))


def _of_scores(known: Format, segments: Sequence[Segment]) -> Iterator[ConversionWarning]:
    scored = sum(one.score is not None for one in segments)
    if scored and known.scores:
        yield ConversionWarning(f"scores are {known.scores}", scored)
    if scored < len(segments) and known.name == "results":
        yield ConversionWarning("segments without a score get 1.0, as each must have one", len(segments) - scored)


def _of_times(known: Format, segments: Sequence[Segment], fps: float | None) -> Iterator[ConversionWarning]:
    each = fps if known.frames and fps else known.per_second
    if not each:
        return
    rounded = [(one, round(one.start * each), round(one.end * each)) for one in segments]
    off = sum(abs(a / each - one.start) > 1e-9 or abs(b / each - one.end) > 1e-9 for one, a, b in rounded)
    if off:
        yield ConversionWarning(f"times are rounded to {'frames' if known.frames else 'steps'} of 1/{each:.9g} s", off)
    if points := sum(a == b for _, a, b in rounded) if known.no_points else 0:
        yield ConversionWarning(f"nothing is shorter than 1/{each:.9g} s, and what was is that long", points)


FASTEST = 1_000_000  # frames a second


@dataclass(frozen=True)
class ConvertedAnnotations:
    """What was read and written: the two formats, how much, and what was lost on the way, a sentence each."""

    source: str
    made: str
    videos: int
    segments: int
    remarks: tuple[str, ...]


def convert_annotations(
    source: Path, out: Path, to: str = "", of: str = "", video: str = "", fps: float | None = None
) -> ConvertedAnnotations:
    """Write the timelines of `source` to `out`; `to` and `of` name the formats where the places do not say them.

    A format that holds one video a file is written as a folder of files, unless `out` is called as such a file;
    `video` takes one of them. `fps` is for formats that count frames. Raises DataError and ConfigError.
    """
    made = find_format(to) if to else format_for_output(out)
    found, was = read_annotations(source, of, fps)
    timelines = _chosen(found.timelines, video, source)
    if fps is not None and not (made.frames or was.frames):
        raise ConfigError(f"neither {was.name} nor {made.name} counts frames; leave out --fps")
    if made.frames:
        _require_rate(made, fps)
    _require_place(out, source)
    lost = [f"{made.name}: {what} ({many:,})" for what, many in conversion_warnings(made, timelines, fps)]
    remarks = [*found.remarks, *lost]
    require_unique([made.id(timeline.id) for timeline in timelines], f"{source} as {made.name}")
    if made.one_video and out.suffix.lower() not in {known.ending for known in FORMATS}:
        atomic_write_dir(out, partial(_write_each, made, timelines))
    else:
        remarks += _require_one(made, timelines, source, out)
        write_annotations(made, out, timelines, fps)
    return ConvertedAnnotations(
        was.name, made.name, len(timelines), sum(len(t.segments) for t in timelines), tuple(remarks)
    )


def read_annotations(source: Path, of: str = "", fps: float | None = None) -> tuple[AnnotationFile, Format]:
    """The timelines of a file, or of a folder of files of one format, and that format.

    Raises DataError naming file and line, and where it cannot be told what the files are.
    """
    files = _files(source, of) if source.is_dir() else [source]
    formats = {find_format(of) if of else detect_format(path) for path in files}
    if len(formats) > 1:
        names = ", ".join(sorted(known.name for known in formats))
        raise DataError(f"{source}: holds timelines of several formats; say which with --from, one of {names}")
    (known,) = formats
    reads = [_read(known, path, fps) for path in files]
    timelines = [timeline for read in reads for timeline in read.timelines]
    require_unique([timeline.id for timeline in timelines], str(source))
    return AnnotationFile(timelines, [remark for read in reads for remark in read.remarks]), known


def _files(folder: Path, of: str) -> list[Path]:
    endings = [find_format(of).ending] if of else list(OWN_ENDINGS)
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in endings and path.is_file())
    if not found:
        raise DataError(f"{folder}: has no file ending in {' or '.join(endings)}; name the file of a timeline")
    return found


def _read(known: Format, path: Path, fps: float | None) -> AnnotationFile:
    if not known.frames:
        return known.read(path)
    return known.read(path, _require_rate(known, fps))


def write_annotations(known: Format, path: Path, timelines: Sequence[Annotation], fps: float | None) -> None:
    known.write(path, timelines, fps) if known.frames else known.write(path, timelines)


def _write_each(known: Format, timelines: Sequence[Annotation], folder: Path) -> None:
    for timeline in timelines:
        if not is_file_name(timeline.id):
            said = abbreviate(repr(timeline.id))
            raise DataError(f"{said}: cannot be the name of a file; take it with --video, and name the file")
        known.write(folder / f"{timeline.id}{known.ending}", [timeline])


def _chosen(timelines: list[Annotation], video: str, source: Path) -> list[Annotation]:
    chosen = [timeline for timeline in timelines if not video or timeline.id == video]
    if chosen:
        return chosen
    if not timelines:
        raise DataError(f"{source}: has no video")
    some = ", ".join(abbreviate(timeline.id) for timeline in timelines[:5])
    raise DataError(f"{source}: has no video {abbreviate(repr(video))}; it has {some}")


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


def _require_one(known: Format, timelines: Sequence[Annotation], source: Path, out: Path) -> list[str]:
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
    return [f"{known.name}: the video is not named; read back it is {out.stem}, not {abbreviate(id)}"]
