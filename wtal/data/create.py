"""From videos and tables of tags to a data set folder that `wtal extract` fills with features."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wtal.core.errors import DataError
from wtal.core.io import directory_lock, read_json, realpath, write_json
from wtal.core.structures import Video
from wtal.data.layouts.activitynet import write_activitynet
from wtal.data.problems import Problem, abbreviate, as_problem
from wtal.data.tags import Row, parse_rows, rows_to_videos
from wtal.data.video_files import LISTING_NAME, VideoFolder, VideoListing, video_ids

MOST_NAMED = 3  # examples in a remark


@dataclass(frozen=True)
class CreatedDataset:
    """What `init_folder` made. `problems` are lines of the tables at fault (the fatal ones are left out)."""

    folder: Path
    videos: tuple[Video, ...]
    classes: tuple[str, ...]
    problems: tuple[Problem, ...]
    remarks: tuple[str, ...]


def create_dataset(folder: Path, videos: Path, tags: Sequence[Path]) -> CreatedDataset:
    """Make `folder` a data set of the files in the folder `videos` that the tables `tags` name.

    A table that is a folder stands for all *.csv below it. Writes annotations.json, videos.json and dataset.json,
    all or none; features of an earlier time stay. Raises DataError when a table cannot be read, when nothing
    remains, or when `folder` is a data set that was not made here.
    """
    _require_ours(folder, tags)
    place = VideoFolder(videos)
    rows, problems = _read_tables(tags)
    files, remarks = _find(rows, place, problems)
    ids = video_ids(dict.fromkeys([*place.videos, *files]))
    found, faults = rows_to_videos({ids[file]: of_file for file, of_file in files.items()})
    problems += faults
    if not found:
        raise DataError(_nothing(place, tags, problems, remarks))
    remarks += _remarks(found, place, files)
    classes = tuple(sorted({label for video in found for label in video.labels}))
    if not classes:
        raise DataError(f"{tags[0]}: no video has a label; write the labels of each into its line")
    kept = {video.id for video in found}
    listing = VideoListing(place.path, {ids[file]: file for file in files if ids[file] in kept})
    _write(folder, found, listing, classes)
    return CreatedDataset(folder, tuple(found), classes, tuple(problems), tuple(remarks))


def _require_ours(folder: Path, tags: Sequence[Path]) -> None:
    if (folder / LISTING_NAME).is_file():
        return
    table = realpath(folder / "tags.csv")
    given = {realpath(path) for path in tags}  # tables, and folders of tables
    foreign = [folder / name for name in ("annotations.json", "dataset.json") if (folder / name).exists()]
    if table.exists() and given.isdisjoint([table, *table.parents]):
        foreign.append(folder / "tags.csv")
    if foreign:
        raise DataError(f"{foreign[0]}: belongs to a data set that `wtal init` did not make; name another folder")


def _read_tables(tags: Iterable[Path]) -> tuple[list[Row], list[Problem]]:
    """All rows. A table that was found in a folder may be none; one that was named must be."""
    rows: list[Row] = []
    problems: list[Problem] = []
    seen: set[Path] = set()
    for said in tags:
        tables = _below(said) if said.is_dir() else [said]
        for table in tables:
            if realpath(table) in seen:
                continue
            seen.add(realpath(table))
            try:
                read, faults = parse_rows(table)
            except DataError as error:
                if table == said:
                    raise
                read, faults = [], [as_problem(error)]
            rows += read
            problems += faults
    return rows, problems


def _below(folder: Path) -> list[Path]:
    tables = sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".csv" and path.is_file())
    visible = [path for path in tables if not path.name.startswith(".")]
    if not visible:
        raise DataError(f"{folder}: no *.csv in it; name the table of tags")
    return visible


def _find(rows: Sequence[Row], place: VideoFolder, problems: list[Problem]) -> tuple[dict[str, list[Row]], list[str]]:
    """File -> its rows, and remarks; rows that lead nowhere or to several files join `problems`."""
    files: dict[str, list[Row]] = {}
    missing: list[Row] = []
    for row in rows:
        try:
            found = place.find(row.name, row.table)
        except DataError as error:
            problems.append(Problem(row.where, f"left out, {error}", "name a file in it, or --videos another folder"))
            continue
        if len(found) > 1:
            what = f"left out, {abbreviate(repr(row.name))} could be {_some(found)}"
            problems.append(Problem(row.where, what, f"write the path from {place.path}"))
        elif found:
            files.setdefault(found[0], []).append(row)
        else:
            missing.append(row)
    if not missing:
        return files, []
    named = _some([f"{abbreviate(row.name)} ({row.where})" for row in missing])
    return files, [f"{len(missing)} of {len(rows)} rows are left out, there is no such video in {place.path}: {named}"]


def _nothing(place: VideoFolder, tables: Sequence[Path], problems: Sequence[Problem], remarks: Sequence[str]) -> str:
    """Why no video remains, in a sentence."""
    if remarks:
        return f"{tables[0]}: {remarks[0]}; name the folder of the videos with --videos"
    more = f" ({len(problems) - 1} more such)" if len(problems) > 1 else ""
    return f"{problems[0]}{more}"


def _remarks(found: Sequence[Video], place: VideoFolder, named: Collection[str]) -> list[str]:
    remarks = list(place.remarks)
    if other := [file for file in place.videos if file not in named]:
        remarks.append(f"videos in {place.path} that no row names are left out, {len(other)}: {_some(other)}")
    training = [video for video in found if video.subset == "training"]
    if timed := [video.id for video in training if video.segments]:
        remarks.append(
            f"times are for scoring alone, training never sees them: those of {len(timed)} training videos are not "
            f"written; a column `subset` with training, validation or testing says which videos are to be scored"
        )
    if without := [video.id for video in found if not video.labels]:
        remarks.append(f"no label, so nothing of interest happens in these, {len(without)}: {_some(without)}")
    carried = Counter(label for video in training for label in video.labels)
    if rare := sorted(label for label, count in carried.items() if count == 1):
        remarks.append(
            f"labels of one training video alone, {len(rare)}: {_some(rare)}; misspelt, or too rare to learn from"
        )
    return remarks


def _write(folder: Path, videos: Sequence[Video], listing: VideoListing, classes: Sequence[str]) -> None:
    """The three files: all are written before the first is put in place."""
    try:
        with directory_lock(folder):
            parts = {name: folder / f".{name}.new" for name in (LISTING_NAME, "dataset.json", "annotations.json")}
            try:
                write_json(parts[LISTING_NAME], listing.to_json())
                write_json(parts["dataset.json"], {**_about(folder), "classes": list(classes)})
                stripped = (v.without_segments() if v.subset == "training" else v for v in videos)
                write_activitynet(parts["annotations.json"], stripped, folder.name)
                for name, part in parts.items():
                    part.replace(folder / name)
            finally:
                for part in parts.values():
                    part.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be written to ({error}); name another folder") from error


def _about(folder: Path) -> dict[str, Any]:
    """What dataset.json says of the features that are there already."""
    with suppress(DataError):
        about = read_json(folder / "dataset.json")
        return about if isinstance(about, dict) else {}
    return {}


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:MOST_NAMED]) + ", ..." * (len(names) > MOST_NAMED)
