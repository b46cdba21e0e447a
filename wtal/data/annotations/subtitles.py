"""Subtitles, WebVTT and SRT: a cue a segment, milliseconds, one video a file."""

import html
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from wtal.core.errors import DataError
from wtal.core.io import read_text, write_text
from wtal.data.annotations.base import (
    Annotation,
    AnnotationFile,
    Segment,
    id_of_file,
    milliseconds,
    one_line,
    segment,
    unscored,
    with_score,
    without_score,
)
from wtal.data.problems import abbreviate

TIME = r"(?:([0-9]{1,6}):)?([0-5]?[0-9]):([0-5]?[0-9])[.,]([0-9]{3})"
TIMES = re.compile(rf"\s*{TIME}\s+-->\s+{TIME}(?:\s.*)?")
TOO_LONG = re.compile(r"&#[0-9]{8,};?")  # for a mark; Python refuses to read a few thousand digits
TAG = re.compile(r"<[^<>]*>")
ASIDE = re.compile(r"(NOTE|STYLE|REGION)(\s|$)")


def read_srt(path: Path) -> AnnotationFile:
    """The cues of an SRT file. Raises DataError with the line that is at fault."""
    return _read(path, _blocks(read_text(path).split("\n"), 1), str)


def read_vtt(path: Path) -> AnnotationFile:
    """The cues of a WebVTT file. Raises DataError with the line that is at fault."""
    lines = read_text(path).split("\n")
    if not re.match(r"WEBVTT(\s|$)", lines[0]):
        raise DataError(f"{path}, line 1: is `{abbreviate(lines[0])}`; a WebVTT file begins with WEBVTT")
    body = next((n for n, line in enumerate(lines) if "-->" in line or not line.strip()), len(lines))
    blocks = ((at, block) for at, block in _blocks(lines[body:], body + 1) if not _is_aside(block))
    return _read(path, blocks, _plain_text)


def write_srt(path: Path, timelines: Sequence[Annotation]) -> None:
    """One timeline as SRT, numbered in order of time."""
    cues = enumerate(_in_order(timelines), start=1)
    write_text(
        path,
        "".join(f"{n}\n{_times(one, ',')}\n{with_score(one_line(one.label), one.score)}\n\n" for n, one in cues),
    )


def write_vtt(path: Path, timelines: Sequence[Annotation]) -> None:
    """One timeline as WebVTT, in order of time."""
    write_text(path, "WEBVTT\n\n" + "".join(f"{_times(s, '.')}\n{_vtt_text(s)}\n\n" for s in _in_order(timelines)))


def vtt_label(label: str) -> str:
    """A label as WebVTT can hold it."""
    return unscored(label.replace("\0", "\ufffd"))


def _plain_text(text: str) -> str:
    """What WebVTT shows of a text."""
    return html.unescape(TOO_LONG.sub("\ufffd", TAG.sub("", text)))


def _vtt_text(one: Segment) -> str:
    text = html.escape(with_score(vtt_label(one.label), one.score), quote=False)
    return re.sub(r"[\n\r]", lambda mark: f"&#{ord(mark[0])};", text)


def _in_order(timelines: Sequence[Annotation]) -> list[Segment]:
    (timeline,) = timelines
    return sorted(timeline.segments, key=lambda one: (one.start, one.end))


def _times(one: Segment, point: str) -> str:
    """The line above a cue; no cue is without length."""
    return " --> ".join(_time(time, point) for time in milliseconds(one, least=1))


def _time(time: int, point: str) -> str:
    minutes, rest = divmod(time, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{point}{rest % 1000:03}"


def _is_aside(block: list[str]) -> bool:
    """Whether a block of WebVTT is a comment or a style, and no cue."""
    return ASIDE.match(block[0]) is not None and not any("-->" in line for line in block[:2])


def _read(path: Path, blocks: Iterable[tuple[int, list[str]]], plain: Callable[[str], str]) -> AnnotationFile:
    found = []
    for at, block in blocks:
        times = next((n for n, line in enumerate(block[:2]) if "-->" in line), None)
        if times is None:
            raise DataError(f"{path}, line {at}: `{abbreviate(block[0])}` begins no cue; write `start --> end` there")
        where, match = f"{path}, line {at + times}", TIMES.fullmatch(block[times])
        if match is None:
            raise DataError(f"{where}: `{abbreviate(block[times])}` is no time; write `00:00:01.500 --> 00:00:02.000`")
        label, score = without_score(plain("\n".join(block[times + 1 :])))
        found.append(segment(where, label, _seconds(match.groups()[:4]), _seconds(match.groups()[4:]), score))
    return AnnotationFile([Annotation(id_of_file(path), tuple(found))], [])


def _blocks(lines: list[str], number: int) -> Iterator[tuple[int, list[str]]]:
    """(number of its first line, lines) of what stands between blank lines."""
    block: list[str] = []
    for at, line in enumerate([*lines, ""], start=number):
        if line.strip():
            block.append(line)
        elif block:
            yield at - len(block), block
            block = []


def _seconds(parts: Sequence[str | None]) -> float:
    hours, minutes, seconds, thousandths = (int(part or 0) for part in parts)
    return (((hours * 60 + minutes) * 60 + seconds) * 1000 + thousandths) / 1000
