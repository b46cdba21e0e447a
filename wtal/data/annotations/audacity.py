"""Audacity's label track: `start <tab> end <tab> label`, seconds with six decimals, one video a file."""

from collections.abc import Sequence
from pathlib import Path

from wtal.core.errors import DataError
from wtal.core.io import read_text, write_text
from wtal.data.annotations.base import (
    Annotation,
    AnnotationFile,
    id_of_file,
    one_line,
    segment,
    with_score,
    without_score,
)
from wtal.data.problems import abbreviate


def read(path: Path) -> AnnotationFile:
    """The labels of a track. Raises DataError with the line that is at fault."""
    found, ranges = [], 0
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        where, cells = f"{path}, line {number}", line.split("\t", 2)
        if line.startswith("\\"):  # the frequencies that the label above is of
            ranges += 1
        elif line.strip():
            if len(cells) < 3:
                raise DataError(f"{where}: is `{abbreviate(line)}`; write start, end and label with tabs between")
            label, score = without_score(cells[2])
            found.append(segment(where, label, cells[0], cells[1], score))
    remarks = [f"{path}: {ranges} ranges of frequency are left out"] if ranges else []
    return AnnotationFile([Annotation(id_of_file(path), tuple(found))], remarks)


def write(path: Path, timelines: Sequence[Annotation]) -> None:
    """One timeline as a label track."""
    (timeline,) = timelines
    lines = [f"{s.start:.6f}\t{s.end:.6f}\t{with_score(one_line(s.label), s.score)}\n" for s in timeline.segments]
    write_text(path, "".join(lines))
