"""Make a data set folder from video files and tables of tags. `wtal extract` then adds the features."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wtal.core.errors import DataError
from wtal.core.io import directory_lock, read_json, realpath, to_data_error, write_json
from wtal.core.structures import Video
from wtal.core.text import format_count, format_list
from wtal.data.layouts.activitynet import activitynet_json, parse_activitynet
from wtal.data.problems import Problem, abbreviate
from wtal.data.split import SplitOptions, split_rows
from wtal.data.tags import Row, parse_rows, rows_to_videos
from wtal.data.video_files import LISTING_NAME, PROJECT_NAME, VideoFolder, VideoListing, video_ids

ANNOTATIONS_NAME = "annotations.json"
MAX_EXAMPLES = 3  # in a remark


@dataclass(frozen=True)
class CreatedDataset:
    """What `create_dataset` returns.

    Attributes:
        folder: The data set folder.
        videos: Its videos.
        classes: Its class names, sorted.
        problems: Problems in the tables. Rows with a fatal problem are skipped.
        remarks: What the user should know about the videos and labels.
    """

    folder: Path
    videos: tuple[Video, ...]
    classes: tuple[str, ...]
    problems: tuple[Problem, ...]
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class DatasetPlan:
    """What `create_dataset` would write.

    Attributes:
        folder: The data set folder.
        videos: Its videos.
        listing: Which file each video is.
        problems: As in `CreatedDataset`.
        remarks: As in `CreatedDataset`.
    """

    folder: Path
    videos: tuple[Video, ...]
    listing: VideoListing
    problems: tuple[Problem, ...]
    remarks: tuple[str, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, sorted."""
        return tuple(sorted({label for video in self.videos for label in video.labels}))

    def with_added_labels(self) -> "DatasetPlan":
        """The plan with the times that `wtal label` added to the data set in the folder."""
        videos, remarks = _keep_added_labels(self.folder, self.videos)
        return replace(self, videos=tuple(videos), remarks=(*self.remarks, *remarks))

    def is_written(self) -> bool:
        """Whether the data set folder is what the plan would make of it."""
        with suppress(DataError):
            return all(read_json(self.folder / name) == content for name, content in self._contents().items())
        return False

    def write(self) -> None:
        """Write the three files to temporary paths first, then move them into place. The caller has locked the folder.

        Raises:
            DataError: They cannot be written.
        """
        parts = {name: self.folder / f".{name}.new" for name in self._contents()}
        try:
            for name, content in self._contents().items():
                write_json(parts[name], content)
            for name, part in parts.items():
                part.replace(self.folder / name)
        except OSError as error:
            raise to_data_error(error, self.folder, "choose another folder") from error
        finally:
            with suppress(OSError):
                for part in parts.values():
                    part.unlink(missing_ok=True)

    def _contents(self) -> dict[str, Any]:
        """The content of each file."""
        return {
            LISTING_NAME: self.listing.to_json(),
            "dataset.json": {**_existing_info(self.folder), "classes": list(self.classes)},
            ANNOTATIONS_NAME: activitynet_json(self.videos, self.folder.name),
        }


def create_dataset(
    folder: Path, videos: Path, tags: Sequence[Path], split: SplitOptions | None = None
) -> CreatedDataset:
    """Make a data set folder of the video files that tables of tags name.

    Writes annotations.json, videos.json and dataset.json, all or none. Features that were extracted earlier stay, and
    segments and points that were added to a training video of which the tables have no times.

    Args:
        folder: The data set folder, new or made by an earlier call.
        videos: The folder of the video files.
        tags: Tables; a folder stands for all *.csv files below it.
        split: Which videos to hold out for validation; None for those of the column `subset`.

    Raises:
        DataError: A table cannot be read, no video remains, or `folder` is a data set that was not made here.
        ConfigError: The videos cannot be split.
    """
    plan = plan_dataset(folder, VideoFolder(videos), tags, split=split)
    with directory_lock(folder):
        plan = plan.with_added_labels()
        plan.write()
    return CreatedDataset(folder, plan.videos, plan.classes, plan.problems, plan.remarks)


def plan_dataset(
    folder: Path,
    videos: VideoFolder,
    tags: Sequence[Path],
    *,
    list_all: bool = False,
    split: SplitOptions | None = None,
) -> DatasetPlan:
    """Read the tables and decide what `create_dataset` writes.

    Args:
        folder: The data set folder.
        videos: The folder of the video files.
        tags: As in `create_dataset`.
        list_all: List the video files that no row names too, so that their features are extracted.
        split: As in `create_dataset`.

    Raises:
        DataError, ConfigError: As `create_dataset`.
    """
    _require_replaceable(folder, tags)
    rows = match_tables(tags, videos, split.group if split else "")
    problems, remarks = list(rows.problems), list(rows.remarks)
    ids = video_ids(dict.fromkeys([*videos.videos, *rows.by_file]))
    rows_by_id = {ids[file]: file_rows for file, file_rows in rows.by_file.items()}
    if split and rows_by_id:
        rows_by_id, split_remark = split_rows(rows_by_id, split)
        remarks.append(split_remark)
    kept, video_problems = rows_to_videos(rows_by_id)
    problems += video_problems
    if not kept:
        raise _no_videos_error(tags[0], problems, remarks)
    if not any(video.labels for video in kept):
        raise DataError("no video has a label", path=tags[0], hint="add labels to the lines", code="no-labels")
    kept_ids = {video.id for video in kept}
    files = {ids[file]: file for file in rows.by_file if ids[file] in kept_ids}
    if list_all:
        files |= {ids[file]: file for file in videos.videos if (videos.path / file).is_file()}
    remarks += _remarks(kept, videos, videos.videos if list_all else rows.by_file)
    return DatasetPlan(folder, tuple(kept), VideoListing(videos.path, files), tuple(problems), tuple(remarks))


@dataclass(frozen=True)
class MatchedRows:
    """Rows of tables by the video file that they name, those without a file, problems in the tables, and remarks."""

    by_file: Mapping[str, Sequence[Row]]
    missing: Sequence[Row]
    problems: tuple[Problem, ...]
    remarks: tuple[str, ...]


def match_tables(tags: Iterable[Path], videos: VideoFolder, group: str = "") -> MatchedRows:
    """Read tables of tags and find the files of their rows.

    Args:
        tags: Tables; a folder stands for all *.csv files below it.
        videos: The folder of the video files.
        group: As in `parse_rows`.

    Raises:
        DataError: A table cannot be read.
    """
    rows, problems = _read_tables(tags, group)
    rows_by_file, missing, remarks = _match_rows(rows, videos, problems)
    return MatchedRows(rows_by_file, tuple(missing), tuple(problems), tuple(remarks))


def _keep_added_labels(folder: Path, videos: Sequence[Video]) -> tuple[list[Video], list[str]]:
    """The videos with the times that `wtal label` added to an earlier data set, unless the tables have some; remarks.

    A table cannot say that times were deleted, so labels that took a person hours would otherwise be lost.
    """
    earlier: dict[str, Video] = {}
    if (folder / ANNOTATIONS_NAME).is_file():
        with suppress(DataError):
            earlier = {video.id: video for video in parse_activitynet(folder / ANNOTATIONS_NAME)[0]}
    result, kept, replaced = [], [], []
    for video in videos:
        stored = earlier.get(video.id, video)
        if (stored.segments or stored.complete) and stored.subset == video.subset == "training":
            if not (video.segments or video.complete):
                kept.append(video.id)
                tags = () if stored.complete else video.labels
                labels = sorted({*tags, *(segment.label for segment in stored.segments)})
                video = replace(video, labels=tuple(labels), segments=stored.segments, complete=stored.complete)
            elif (set(stored.segments), stored.complete) != (set(video.segments), video.complete):
                replaced.append(video.id)
        result.append(video)
    name = folder / ANNOTATIONS_NAME
    remarks = {
        f"keep their times in {name}, because the tables have none; delete that file to drop them": kept,
        f"have the times of the tables now, in place of other ones in {name}": replaced,
    }
    return result, [
        f"{len(ids)} training videos {why}: {format_list(ids, MAX_EXAMPLES)}" for why, ids in remarks.items() if ids
    ]


def _require_replaceable(folder: Path, tags: Sequence[Path]) -> None:
    """Raise DataError for a data set that was not made by `create_dataset`."""
    if (folder / LISTING_NAME).is_file():
        return
    table = realpath(folder / "tags.csv")
    given_paths = {realpath(path) for path in tags}  # tables, and folders of tables
    foreign = [folder / name for name in ("annotations.json", "dataset.json") if (folder / name).exists()]
    if table.exists() and given_paths.isdisjoint([table, *table.parents]):
        foreign.append(folder / "tags.csv")
    if foreign:
        raise DataError(
            "belongs to a data set that was not made by `wtal init`",
            path=foreign[0],
            hint="choose another folder",
            code="already-exists",
        )


def _read_tables(tags: Iterable[Path], group: str) -> tuple[list[Row], list[Problem]]:
    """All rows. An unreadable table is an error if it was named, a problem if it was found in a folder."""
    rows: list[Row] = []
    problems: list[Problem] = []
    seen: set[Path] = set()
    for path in tags:
        for table in tables_below(path) if path.is_dir() else [path]:
            if realpath(table) in seen:
                continue
            seen.add(realpath(table))
            try:
                table_rows, table_problems = parse_rows(table, group)
            except DataError as error:
                if table == path:
                    raise
                table_rows, table_problems = [], [Problem.from_error(error)]
            rows += table_rows
            problems += table_problems
    return rows, problems


def tables_below(folder: Path) -> list[Path]:
    """The *.csv files in a folder and its subfolders, without hidden ones and those of projects of `wtal start`.

    Raises:
        DataError: There are none.
    """
    projects = {path.parent for path in folder.rglob(PROJECT_NAME)} - {folder}
    tables = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() == ".csv"
        and path.is_file()
        and not path.name.startswith(".")
        and projects.isdisjoint(path.parents)
    )
    if not tables:
        raise DataError("contains no *.csv file", path=folder, hint="pass the table of tags", code="file-not-found")
    return tables


def _match_rows(
    rows: Sequence[Row], folder: VideoFolder, problems: list[Problem]
) -> tuple[dict[str, list[Row]], list[Row], list[str]]:
    """File -> its rows, rows without a file, and remarks. Rows with an invalid or ambiguous name become problems."""
    rows_by_file: dict[str, list[Row]] = {}
    missing: list[Row] = []
    for row in rows:
        try:
            files = folder.find(row.name, row.table)
        except DataError as error:
            problems.append(row.location.problem(f"skipped: {error.message}", error.hint or "", error.code))
            continue
        if len(files) > 1:
            message = f"skipped: {abbreviate(repr(row.name))} could be {format_list(files, MAX_EXAMPLES)}"
            problems.append(row.location.problem(message, f"write the path relative to {folder.path}", "ambiguous"))
        elif files:
            rows_by_file.setdefault(files[0], []).append(row)
        else:
            missing.append(row)
    if not missing:
        return rows_by_file, [], []
    examples = format_list([f"{abbreviate(row.name)} ({row.table}, line {row.line})" for row in missing], MAX_EXAMPLES)
    remark = (
        f"skipped: {len(missing)} of {format_count(len(rows), 'row')}, whose video is not in {folder.path}: {examples}"
    )
    return rows_by_file, missing, [remark]


def _no_videos_error(table: Path, problems: Sequence[Problem], remarks: Sequence[str]) -> DataError:
    if remarks:
        return DataError(remarks[0], path=table, hint="pass the folder of the videos with --videos", code="no-videos")
    error = problems[0].to_error()
    if len(problems) > 1:
        error.hint = f"{error.hint} ({format_count(len(problems) - 1, 'more problem')})"
    return error


def _remarks(videos: Sequence[Video], folder: VideoFolder, named_files: Collection[str]) -> list[str]:
    remarks = list(folder.remarks)
    if unnamed := [file for file in folder.videos if file not in named_files]:
        remarks.append(
            f"skipped: {format_count(len(unnamed), 'video')} in {folder.path} without a row: "
            f"{format_list(unnamed, MAX_EXAMPLES)}"
        )
    training = [video for video in videos if video.subset == "training"]
    timed = [video.id for video in training if video.segments]
    if timed and len(training) == len(videos):
        remarks.append(
            f"{format_count(len(timed), 'training video')} with times, which `wtal train --supervision all` uses; "
            f"to score the model, hold some videos out with --split 0.2, or name them in a column `subset`"
        )
    if unlabeled := [video.id for video in videos if not video.labels]:
        remarks.append(
            f"{format_count(len(unlabeled), 'video')} without a label, which counts as background: "
            f"{format_list(unlabeled, MAX_EXAMPLES)}"
        )
    counts = Counter(label for video in training for label in video.labels)
    if rare := sorted(label for label, count in counts.items() if count == 1):
        remarks.append(
            f"{format_count(len(rare), 'label')} in one training video only, misspelt or too rare to learn: "
            f"{format_list(rare, MAX_EXAMPLES)}"
        )
    return remarks


def _existing_info(folder: Path) -> dict[str, Any]:
    """dataset.json as it is, which describes the features that were extracted earlier."""
    with suppress(DataError):
        about = read_json(folder / "dataset.json")
        return about if isinstance(about, dict) else {}
    return {}
