"""Audacity's label track: `start <tab> end <tab> label`, seconds with six decimals, one video a file."""

from collections.abc import Sequence
from pathlib import Path

from wtal.errors import DataError
from wtal.files import read_text, write_text
from wtal.formats.problem import short
from wtal.formats.timelines.timeline import Read, Timeline, id_of_file, one_line, segment, with_score, without_score


def read(path: Path) -> Read:
    """The labels of a track. Raises DataError with the line that is at fault."""
    found, ranges = [], 0
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        where, cells = f"{path}, line {number}", line.split("\t", 2)
        if line.startswith("\\"):  # the frequencies that the label above is of
            ranges += 1
        elif line.strip():
            if len(cells) < 3:
                raise DataError(f"{where}: is `{short(line)}`; write start, end and label with tabs between")
            label, score = without_score(cells[2])
            found.append(segment(where, label, cells[0], cells[1], score))
    remarks = [f"{path}: {ranges} ranges of frequency are left out"] if ranges else []
    return Read([Timeline(id_of_file(path), tuple(found))], remarks)


def write(path: Path, timelines: Sequence[Timeline]) -> None:
    """One timeline as a label track."""
    (timeline,) = timelines
    lines = [f"{s.start:.6f}\t{s.end:.6f}\t{with_score(one_line(s.label), s.score)}\n" for s in timeline.segments]
    write_text(path, "".join(lines))
