"""A table of tags: a video a line, its labels with `;` between, times in seconds in brackets -> Row, Video."""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wtal.core.errors import DataError
from wtal.core.io import read_text
from wtal.core.structures import SUBSETS, Segment, Video
from wtal.data.problems import Problem, abbreviate, raise_first

# What columns are called, in small letters without spaces, _ and -.
VIDEO = {
    "video",
    "videos",
    "videofile",
    "videoname",
    "videopath",
    "videoid",
    "file",
    "filename",
    "filepath",
    "path",
}
WEAK = {"name", "id"}  # the video column where there is no better one
LABELS = {"labels", "label", "tags", "tag", "classes", "class", "actions", "action"}
SUBSET = {"subset", "split"}
SEPARATORS = ",;\t"
SPREADSHEETS = {".xlsx", ".xls", ".ods", ".numbers"}

ITEM = re.compile(r"(?P<label>[^;|\[]*)(?:\[(?P<times>[^\[\]]*)\])?(?P<rest>[^;|]*)(?:[;|]|$)")
TIME = r"(?:(?:([0-9]{1,3}):)?([0-9]{1,4}):)?([0-9]{1,9}(?:\.[0-9]{1,9})?)"  # hours: minutes: seconds
RANGE = re.compile(rf"\s*{TIME}\s*(?:to|-|–|—)\s*{TIME}\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Row:
    """One line that can be read. `subset` is "" where none is said; `unclear`: not all its times can be read."""

    table: Path
    line: int
    name: str
    subset: str
    labels: tuple[str, ...]
    actions: tuple[Segment, ...]
    unclear: bool = False

    @property
    def where(self) -> str:
        """File and line, as messages say it."""
        return f"{self.table}, line {self.line}"


def read_tags(path: Path) -> list[Video]:
    """Videos in file order, labels sorted and unique; an empty labels cell is a video with no label.

    A video may have several rows; where no subset is said it is in training. Raises DataError with the line for
    a wrong header, a stray quote, text that is not UTF-8, and the first row that cannot be used.
    """
    videos, problems = parse_tags(path)
    raise_first(problems)
    return videos


def parse_tags(path: Path) -> tuple[list[Video], list[Problem]]:
    """What `read_tags` reads, with every faulty line as a Problem.

    Raises DataError only when the file as a whole cannot be read: encoding, header, a quote out of place.
    """
    rows, problems = parse_rows(path)
    of_video: dict[str, list[Row]] = {}
    for row in rows:
        of_video.setdefault(row.name, []).append(row)
    videos, found = rows_to_videos(of_video)
    return videos, problems + found


def parse_rows(path: Path) -> tuple[list[Row], list[Problem]]:
    """The lines of a table, and what is wrong with those that are left out (fatal) or lack times.

    Raises DataError as `parse_tags` does.
    """
    rows: list[Row] = []
    problems: list[Problem] = []
    seen: dict[tuple[str, ...], int] = {}
    for line, cells, columns in _lines(path):
        first = seen.setdefault(tuple(cells), line)
        if first != line:
            problems.append(Problem(f"{path}, line {line}", f"repeats line {first}", "delete one of the two"))
        elif row := _row(path, line, cells, columns, problems):
            rows.append(row)
    if not rows and not problems:
        mend = "add a line such as `clip01,long_jump;javelin`"
        problems.append(Problem(str(path), "has a header but no video", mend))
    return rows, problems


def rows_to_videos(of_video: Mapping[str, Sequence[Row]]) -> tuple[list[Video], list[Problem]]:
    """Video id and its rows -> videos, and what is wrong. Rows that do not say their subset are for training.

    A label without times is enough to train on, not to score: outside training such a video is left out.
    """
    videos: list[Video] = []
    problems: list[Problem] = []
    for id, rows in of_video.items():
        subsets = sorted({row.subset for row in rows} - {""}) or ["training"]
        actions = tuple(action for row in rows for action in row.actions)
        labels = sorted({label for row in rows for label in row.labels})
        untimed = [label for label in labels if label not in {action.label for action in actions}]
        video, where = abbreviate(repr(id)), rows[-1].where
        if len(subsets) > 1:
            what = f"{video} is left out, it is in {' and in '.join(subsets)}"
            problems.append(Problem(where, what, "keep it in one of them"))
        elif subsets != ["training"] and (untimed or any(row.unclear for row in rows)):
            what = f"{video} is left out, in {subsets[0]} it cannot be scored without the times of every label"
            problems.append(Problem(where, what, "write `label[1.5 to 6]`, or move it to training"))
        else:
            videos.append(Video(id, subsets[0], tuple(labels), None, actions))
    return videos, problems


def parse_labels(cell: str, where: str) -> tuple[list[str], list[Segment], list[Problem]]:
    """`run; jump[1.5 to 6; 0:08 to 0:09]` -> labels, actions, and what is wrong.

    A fatal problem is a label that cannot be read; the others are labels without times.
    """
    labels: list[str] = []
    actions: list[Segment] = []
    reasons: list[tuple[str, str]] = []
    unclosed = False
    for item in ITEM.finditer(cell):
        label, rest = item["label"].strip(), item["rest"].strip()
        if not item[0].strip(" \t\n;|") or (unclosed and item["times"] is None and RANGE.fullmatch(label)):
            continue  # nothing between two separators, or the next times of a bracket without end
        if fault := _unreadable(label, item[0]):
            return [], [], [Problem(where, *fault)]
        found, reason = _times(label, item["times"], rest)
        unclosed = item["times"] is None and bool(rest)
        labels.append(label)
        actions += found
        reasons += [(label, reason)] if reason else []
    timed = {action.label for action in actions} | {label for label, _ in reasons}
    if timed:
        reasons += [(label, "other labels here have some") for label in labels if label not in timed]
    return labels, actions, [_without_times(label, reason, where) for label, reason in dict.fromkeys(reasons)]


def _unreadable(label: str, item: str) -> tuple[str, str] | None:
    """What is wrong with a label, and how to mend it. Its row is left out: a row that lacks one would mislead."""
    said = f"`{abbreviate(item.strip(' ;|'))}`"
    if not label or RANGE.fullmatch(label):
        return f"left out, {said} has no label", "write `label[1.5 to 6]`"
    if "]" in label:
        return f"left out, {said} closes a bracket that was never opened", "write `label[1.5 to 6]`"
    if label.count("(") > label.count(")"):
        return f"left out, {said} opens a parenthesis that is never closed", f"write `{abbreviate(label)})`"
    return None


def _times(label: str, times: str | None, rest: str) -> tuple[list[Segment], str]:
    """What a bracket holds; or no action, and the reason."""
    if times is None:
        return [], f"`{abbreviate(rest)}` is never closed" if rest else ""
    if rest:
        return [], f"`{abbreviate(rest)}` stands after the bracket"
    found: list[Segment] = []
    for said in re.split("[;|,]", times):
        match = RANGE.fullmatch(said)
        if match is None:
            return [], f"`{abbreviate(said.strip())}` is no start and end in seconds"
        start, end = _seconds(*match.groups()[:3]), _seconds(*match.groups()[3:])
        if end <= start:
            return [], f"`{said.strip()}` does not end after it starts"
        found.append(Segment(label, start, end))
    return found, ""


def _seconds(hours: str | None, minutes: str | None, seconds: str) -> float:
    return 3600 * int(hours or 0) + 60 * int(minutes or 0) + float(seconds)


def _without_times(label: str, reason: str, where: str) -> Problem:
    what = f"`{abbreviate(label)}` is taken as a tag without times, {reason}"
    return Problem(where, what, f"write `{abbreviate(label)}[1.5 to 6]`", fatal=False)


def _row(path: Path, line: int, cells: list[str], columns: Mapping[str, int], problems: list[Problem]) -> Row | None:
    """The line as a Row; None when it cannot be read, why joins `problems`."""
    where, width = f"{path}, line {line}", columns["width"]
    if len(cells) != width:
        mend = 'separate the labels of a video with `;`, and write a cell that holds the separator of cells as "..."'
        problems.append(Problem(where, f"{len(cells)} cells where there should be {width}", mend))
        return None
    name, said = cells[columns["video"]], cells[columns["subset"]] if "subset" in columns else ""
    if not name:
        problems.append(Problem(where, "the video cell is empty", "write the id of the video"))
        return None
    if said and said.lower() not in SUBSETS:
        problems.append(Problem(where, f"subset is {abbreviate(repr(said))}", "use training, validation or testing"))
        return None
    labels, actions, faults = parse_labels(cells[columns["labels"]], where)
    problems += faults
    if any(fault.fatal for fault in faults):
        return None
    return Row(path, line, name, SUBSETS.get(said.lower(), ""), tuple(labels), tuple(actions), bool(faults))


def _lines(path: Path) -> Iterator[tuple[int, list[str], dict[str, int]]]:
    """(line number, stripped cells, columns) of every line below the header that is not blank."""
    if path.suffix.lower() in SPREADSHEETS:
        raise DataError(f"{path}: is a spreadsheet, not text; save it there as CSV (UTF-8) and name that file")
    text = read_text(path)
    if text.startswith("sep="):  # Excel's hint to itself
        text = "\n" + text.partition("\n")[2]
    if "\0" in text:
        raise DataError(f"{path}: holds zero bytes (UTF-16 text?); save the file as UTF-8")
    separator, columns = _header(text, path)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    try:
        next(row for row in rows if row)  # the header
        for row in rows:
            cells = [cell.strip() for cell in row]
            while len(cells) > columns["width"] and not cells[-1]:
                cells.pop()  # empty columns beside the table, as spreadsheets write them
            if any(cells):
                yield rows.line_num, cells, columns
    except csv.Error as error:
        raise DataError(
            f"{path}, line {rows.line_num}: a quote is out of place ({error}); "
            f'write a cell that holds a comma or a quote as "..." with inner quotes doubled'
        ) from error


def _header(text: str, path: Path) -> tuple[str, dict[str, int]]:
    """The separator of cells, and the number of each column."""
    for separator in SEPARATORS:
        first = _first_row(text, separator)
        names = [re.sub(r"[\s_-]", "", cell).lower() for cell in first]
        kinds = {"video": VIDEO if VIDEO & set(names) else WEAK, "labels": LABELS, "subset": SUBSET}
        found = {kind: [n for n, name in enumerate(names) if name in of] for kind, of in kinds.items()}
        if found["video"] and found["labels"]:
            return separator, {"width": len(names), **_one_of_each(found, names, path)}
    line = next(iter(text.splitlines()), "")
    raise DataError(
        f"{path}, line 1: the header is `{abbreviate(line)}`; the first line must be `video,labels`, "
        f"or call these columns file, path, name or id and tags, classes or actions"
    )


def _first_row(text: str, separator: str) -> list[str]:
    try:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
        return next((row for row in rows if row), [])
    except csv.Error:
        return []  # no row with this separator


def _one_of_each(found: Mapping[str, list[int]], names: Sequence[str], path: Path) -> dict[str, int]:
    for kind, columns in found.items():
        if len(columns) > 1:
            said = " and ".join(f"`{names[column]}`" for column in columns)
            raise DataError(f"{path}, line 1: {said} could each be the {kind} column; rename all but one of them")
    return {kind: columns[0] for kind, columns in found.items() if columns}
