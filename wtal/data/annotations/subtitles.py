"""Subtitles in WebVTT and SRT: one cue per segment, times in milliseconds; one video per file."""

import html
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from wtal.core.io import read_text, write_text
from wtal.core.structures import Segment
from wtal.data.annotations.base import (
    Annotation,
    AnnotationFile,
    AnnotationFormat,
    append_score,
    escape_score,
    id_from_file,
    single_line,
    split_score,
    to_milliseconds,
)
from wtal.data.parsing import Location, parse_segment
from wtal.data.problems import abbreviate

TIME = r"(?:([0-9]{1,6}):)?([0-5]?[0-9]):([0-5]?[0-9])[.,]([0-9]{3})"
TIMING_LINE = re.compile(rf"\s*{TIME}\s+-->\s+{TIME}(?:\s.*)?")
LONG_CHARACTER_REFERENCE = re.compile(r"&#[0-9]{8,};?")  # html.unescape fails on thousands of digits
TAG = re.compile(r"<[^<>]*>")
NON_CUE_BLOCK = re.compile(r"(NOTE|STYLE|REGION)(\s|$)")

Block = tuple[int, list[str]]  # the number of its first line, and its lines


def read_srt(path: Path) -> AnnotationFile:
    """Read the cues of an SRT file. Raises DataError with the invalid line."""
    return _read_cues(path, _blocks(read_text(path).split("\n"), first_number=1), decode=str)


def read_vtt(path: Path) -> AnnotationFile:
    """Read the cues of a WebVTT file. Raises DataError with the invalid line."""
    lines = read_text(path).split("\n")
    if not re.match(r"WEBVTT(\s|$)", lines[0]):
        raise Location(path, "line 1").error(
            f"expected `WEBVTT`, not `{abbreviate(lines[0])}`", "begin the file with WEBVTT", "invalid-header"
        )
    header_end = next((n for n, line in enumerate(lines) if "-->" in line or not line.strip()), len(lines))
    blocks = _blocks(lines[header_end:], first_number=header_end + 1)
    return _read_cues(path, (block for block in blocks if _is_cue(block[1])), decode=_decode_vtt)


def write_srt(path: Path, annotations: Sequence[Annotation]) -> None:
    """Write the annotation of one video as SRT, in order of time."""
    write_text(
        path,
        "".join(
            f"{number}\n{_timing(segment, ',')}\n{append_score(single_line(segment.label), segment.score)}\n\n"
            for number, segment in enumerate(_sorted_segments(annotations), start=1)
        ),
    )


def write_vtt(path: Path, annotations: Sequence[Annotation]) -> None:
    """Write the annotation of one video as WebVTT, in order of time."""
    cues = (f"{_timing(segment, '.')}\n{_encode_vtt(segment)}\n\n" for segment in _sorted_segments(annotations))
    write_text(path, "WEBVTT\n\n" + "".join(cues))


def _sorted_segments(annotations: Sequence[Annotation]) -> list[Segment]:
    (annotation,) = annotations
    return sorted(annotation.segments, key=lambda segment: (segment.start, segment.end))


def _timing(segment: Segment, decimal_point: str) -> str:
    """The line above the text of a cue; a cue has at least one millisecond."""
    return " --> ".join(_format_time(time, decimal_point) for time in to_milliseconds(segment, min_length=1))


def _format_time(milliseconds: int, decimal_point: str) -> str:
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{decimal_point}{rest % 1000:03}"


def _parse_time(parts: Sequence[str | None]) -> float:
    hours, minutes, seconds, milliseconds = (int(part or 0) for part in parts)
    return (((hours * 60 + minutes) * 60 + seconds) * 1000 + milliseconds) / 1000


def _vtt_label(label: str) -> str:
    """A label as WebVTT stores it."""
    return escape_score(label.replace("\0", "\ufffd"))


def _encode_vtt(segment: Segment) -> str:
    text = html.escape(append_score(_vtt_label(segment.label), segment.score), quote=False)
    return re.sub(r"[\n\r]", lambda match: f"&#{ord(match[0])};", text)


def _decode_vtt(text: str) -> str:
    """Cue text without tags and with character references resolved."""
    return html.unescape(LONG_CHARACTER_REFERENCE.sub("\ufffd", TAG.sub("", text)))


def _is_cue(block: list[str]) -> bool:
    return NON_CUE_BLOCK.match(block[0]) is None or any("-->" in line for line in block[:2])


def _blocks(lines: list[str], first_number: int) -> Iterator[Block]:
    """The blocks of lines between blank lines."""
    block: list[str] = []
    for number, line in enumerate([*lines, ""], start=first_number):
        if line.strip():
            block.append(line)
        elif block:
            yield number - len(block), block
            block = []


def _read_cues(path: Path, blocks: Iterable[Block], decode: Callable[[str], str]) -> AnnotationFile:
    segments = []
    for number, block in blocks:
        index = next((index for index, line in enumerate(block[:2]) if "-->" in line), None)
        if index is None:
            raise Location(path, f"line {number}").error(
                f"a cue cannot begin with `{abbreviate(block[0])}`", "write `start --> end` there", "invalid-cue"
            )
        location = Location(path, f"line {number + index}")
        match = TIMING_LINE.fullmatch(block[index])
        if match is None:
            raise location.error(
                f"invalid times `{abbreviate(block[index])}`", "write `00:00:01.500 --> 00:00:02.000`", "invalid-cue"
            )
        label, score = split_score(decode("\n".join(block[index + 1 :])))
        start, end = _parse_time(match.groups()[:4]), _parse_time(match.groups()[4:])
        segments.append(parse_segment(location, label, start, end, score))
    return AnnotationFile([Annotation(id_from_file(path), tuple(segments))], [])


SCORE_NOTE = "scores are appended to the text as [score 0.95] with four significant digits"
USAGE_HINT = "Video players show it if it has the name of the video and is in the same folder."
VTT = AnnotationFormat(
    name="vtt",
    title="WebVTT subtitles",
    extension=".vtt",
    read=read_vtt,
    write=write_vtt,
    detect=lambda content: str(content).startswith("webvtt"),
    single_video=True,
    ticks_per_second=1000,
    allows_zero_length=False,
    score_note=SCORE_NOTE,
    normalize_label=_vtt_label,
    usage_hint=USAGE_HINT,
)
SRT = AnnotationFormat(
    name="srt",
    title="SRT subtitles",
    extension=".srt",
    read=read_srt,
    write=write_srt,
    single_video=True,
    ticks_per_second=1000,
    allows_zero_length=False,
    score_note=SCORE_NOTE,
    normalize_label=single_line,
    usage_hint=USAGE_HINT,
)
