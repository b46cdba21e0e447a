"""Audacity label tracks: `start <tab> end <tab> label`, in seconds with six decimals; one video per file."""

from collections.abc import Sequence
from pathlib import Path

from wtal.core.io import read_text, write_text
from wtal.data.annotations.base import (
    Annotation,
    AnnotationFile,
    AnnotationFormat,
    append_score,
    count_warnings,
    id_from_file,
    single_line,
    split_score,
)
from wtal.data.parsing import Location, parse_segment
from wtal.data.problems import abbreviate


def read(path: Path) -> AnnotationFile:
    """Read a label track. Raises DataError with the invalid line."""
    segments, frequency_ranges = [], 0
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        location = Location(path, f"line {number}")
        if line.startswith("\\"):  # the frequency range of the previous label
            frequency_ranges += 1
        elif line.strip():
            cells = line.split("\t", 2)
            if len(cells) < 3:
                raise location.error(
                    f"expected three columns, not `{abbreviate(line)}`", "write start, end and label, separated by tabs"
                )
            label, score = split_score(cells[2])
            segments.append(parse_segment(location, label, cells[0], cells[1], score))
    warnings = count_warnings(path, {"frequency ranges are ignored": frequency_ranges})
    return AnnotationFile([Annotation(id_from_file(path), tuple(segments))], warnings)


def write(path: Path, annotations: Sequence[Annotation]) -> None:
    """Write the annotation of one video as a label track."""
    (annotation,) = annotations
    lines = [
        f"{s.start:.6f}\t{s.end:.6f}\t{append_score(single_line(s.label), s.score)}\n" for s in annotation.segments
    ]
    write_text(path, "".join(lines))


FORMAT = AnnotationFormat(
    name="audacity",
    title="Audacity labels",
    extension=".txt",
    read=read,
    write=write,
    single_video=True,
    ticks_per_second=1_000_000,
    score_note="scores are appended to labels as [score 0.95] with four significant digits",
    normalize_label=single_line,
    usage_hint="In Audacity, open it with File > Import > Labels.",
)
