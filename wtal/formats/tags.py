"""A table of tags, `video,labels`: labels of one video separated by `;` or `|`, or one row each -> Video."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from wtal.errors import DataError
from wtal.files import read_text
from wtal.formats.problem import Problem, raise_first, short
from wtal.records import Video

HEADER = ["video", "labels"]


def read_tags(path: Path) -> list[Video]:
    """Training videos in file order, labels sorted and unique; an empty labels cell is a video with no label.

    A video may have several rows. Raises DataError with the line for a wrong header, a stray quote, an empty
    id, a wrong number of cells, a row that repeats another, or text that is not UTF-8.
    """
    videos, problems = parse_tags(path)
    raise_first(problems)
    return videos


def parse_tags(path: Path) -> tuple[list[Video], list[Problem]]:
    """What `read_tags` reads, with every faulty line as a Problem.

    Raises DataError only when the file as a whole cannot be read: encoding, header, a quote out of place.
    """
    tags: dict[str, set[str]] = {}
    seen: dict[tuple[str, ...], int] = {}
    problems: list[Problem] = []
    for number, row in _rows(path):
        where = f"{path}, line {number}"
        fault = _fault(row, where, seen)
        if fault:
            problems.append(fault)
        else:
            labels = {label.strip() for label in row[1].replace("|", ";").split(";")} - {""}
            tags.setdefault(row[0], set()).update(labels)
        seen.setdefault(tuple(row), number)
    if not tags and not problems:
        mend = "add a line such as `clip01,long_jump;javelin`"
        problems.append(Problem(str(path), "has a header but no video", mend))
    return [Video(id, "training", tuple(sorted(labels))) for id, labels in tags.items()], problems


def _fault(row: list[str], where: str, seen: dict[tuple[str, ...], int]) -> Problem | None:
    if len(row) != 2:
        mend = "separate the labels of a video with `;`"
        return Problem(where, f"{len(row)} cells where there should be 2", mend)
    if not row[0]:
        return Problem(where, "the video cell is empty", "write the id of the video")
    if tuple(row) in seen:
        return Problem(where, f"repeats line {seen[tuple(row)]}", "delete one of the two")
    return None


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line number, stripped cells) of every row below the header that is not blank."""
    text = read_text(path)
    if "\0" in text:
        raise DataError(f"{path}: holds zero bytes (UTF-16 text?); save the file as UTF-8")
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(rows, [])
        if [cell.strip().lower() for cell in header] != HEADER:
            raise DataError(
                f"{path}, line 1: the header is `{short(','.join(header))}`; the first line must be `video,labels`"
            )
        for row in rows:
            if any(cell.strip() for cell in row):
                yield rows.line_num, [cell.strip() for cell in row]
    except csv.Error as error:
        raise DataError(
            f"{path}, line {rows.line_num}: a quote is out of place ({error}); "
            f'write a cell that holds a comma or a quote as "..." with inner quotes doubled'
        ) from error
