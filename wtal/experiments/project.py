"""A project: a folder of videos, their tags, and what is made of them, kept in one folder beside the videos.

wtal-project.json    the settings
tags.csv             the tags of the videos
data/BACKBONE/       the data set folder, one for each backbone
runs/BACKBONE-N/     the models; a new one for other tags or settings
timeline.json        the segments of all videos that are shown
proposals.json       all proposals
status.json          what is being done
page/                the store of the web page
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from wtal.core.errors import DataError
from wtal.core.fingerprint import content_fingerprint
from wtal.core.io import read_json, read_json_as, realpath, require_folder, write_json
from wtal.core.text import format_count
from wtal.data.create import tables_below
from wtal.data.problems import abbreviate, raise_first
from wtal.data.tag_table import TagEntry, TagTable, read_tag_table, require_label, write_tag_table
from wtal.data.video_files import PROJECT_NAME, VideoFolder, video_ids
from wtal.experiments.project_status import ProjectStatus, read_status
from wtal.experiments.tag_summary import TagSummary
from wtal.video.backbones.registry import recommended_backbone

DEFAULT_FOLDER = "wtal"  # in the folder of videos
TAGS_NAME = "tags.csv"
HINT_OTHER_FOLDER = "name another folder for the project with --project DIR"


@dataclass(frozen=True)
class ProjectVideo:
    """A video of a project.

    Attributes:
        id: The id, as in the data set.
        file: The path relative to the folder of videos, with `/` between folders.
        path: The file.
        labels: Its tags; empty if nothing happens in it, None if it is not tagged.
    """

    id: str
    file: str
    path: Path
    labels: tuple[str, ...] | None


class _ProjectFile(BaseModel):
    """The content of wtal-project.json.

    Attributes:
        format: The version of the file.
        videos: The folder of videos, relative to the project if it contains the project.
        backbone: The backbone that was asked for; empty for the recommended one.
        classes: Classes that were added on the page, also those without a video.
        overrides: Settings of training, such as `train.steps=100`.
        tables: Fingerprint of the tables of tags that were added last.
    """

    model_config = ConfigDict(strict=True)

    format: Literal[1] = 1
    videos: str
    backbone: str = ""
    classes: list[str] = []
    overrides: list[str] = []
    tables: str = ""


class Project:
    """A project on disk. All reading is done when a method is called, so several processes can use one folder.

    Create it with `Project.open`.

    Attributes:
        folder: The folder of the project.
        videos_folder: The folder of the videos.
    """

    def __init__(self, folder: Path, videos_folder: Path) -> None:
        self.folder, self.videos_folder = folder, videos_folder

    @classmethod
    def open(cls, videos: Path, folder: Path | None = None) -> "Project":
        """Make a project for a folder of videos, or open it.

        Args:
            videos: The folder of videos.
            folder: The folder of the project; None for the subfolder `wtal` of `videos`.

        Raises:
            DataError: There is no such folder of videos, the folder of the project cannot be written, holds something
                else, or is the project of other videos.
        """
        require_folder(videos, "pass the folder of your videos")
        if (videos / PROJECT_NAME).is_file():
            hint = "pass the folder of the videos, and the project with --project"
            raise DataError("is a project, not a folder of videos", path=videos, hint=hint, code="is-project")
        project = cls((folder or videos / DEFAULT_FOLDER).absolute(), videos.absolute())
        if project.settings_file.exists():
            settings = project._read_settings()
            recorded = project.folder / settings.videos
            if realpath(recorded) != realpath(videos) and os.path.isdir(recorded):  # noqa: PTH112  # unlike Path.is_dir it accepts a name that is too long
                hint = HINT_OTHER_FOLDER
                raise DataError(
                    f"is the project of the videos in {realpath(recorded)}",
                    path=project.folder,
                    hint=hint,
                    code="other-videos",
                )
        else:
            settings = _ProjectFile(videos="")
            if project.folder.exists() and not _is_empty(project.folder):
                raise DataError(
                    "the folder is not empty and not a project",
                    path=project.folder,
                    hint=HINT_OTHER_FOLDER,
                    code="already-exists",
                )
        update = {"videos": _relative_path(project.videos_folder, project.folder)}
        try:
            project._write_settings(settings.model_copy(update=update))
        except DataError as error:
            raise DataError(
                f"the project cannot be written ({error.message})",
                path=project.folder,
                hint=HINT_OTHER_FOLDER,
                code=error.code,
            ) from error
        return project

    # --- Settings ---

    @property
    def requested_backbone(self) -> str:
        """The backbone that was asked for; empty for none."""
        return self._read_settings().backbone

    @property
    def backbone(self) -> str:
        """The backbone that was asked for, else `i3d` if its weights are there, else `tiny`."""
        return self.requested_backbone or recommended_backbone()

    @property
    def overrides(self) -> tuple[str, ...]:
        """Settings of training that differ from the defaults, such as `train.steps=100`."""
        return tuple(self._read_settings().overrides)

    def configure(self, *, backbone: str | None = None, overrides: Sequence[str] | None = None) -> None:
        """Store settings; None keeps one. Raises DataError if they cannot be written."""
        settings = self._read_settings()
        update: dict[str, object] = {} if backbone is None else {"backbone": backbone}
        if overrides is not None:
            update["overrides"] = list(overrides)
        self._write_settings(settings.model_copy(update=update))

    # --- Paths ---

    @property
    def tags_file(self) -> Path:
        """The table of tags, which need not exist."""
        return self.folder / TAGS_NAME

    @property
    def settings_file(self) -> Path:
        """The settings, with the classes that were added."""
        return self.folder / PROJECT_NAME

    @property
    def data(self) -> Path:
        """The data set folder of the current backbone, as `wtal init` and `wtal extract` write it."""
        return self.folder / "data" / _slug(self.backbone)

    @property
    def runs(self) -> Path:
        """The folder of the models."""
        return self.folder / "runs"

    @property
    def page(self) -> Path:
        """The store of the web page."""
        return self.folder / "page"

    @property
    def timeline_file(self) -> Path:
        """The shown segments of all videos."""
        return self.folder / "timeline.json"

    @property
    def proposals_file(self) -> Path:
        """All proposals of all videos."""
        return self.folder / "proposals.json"

    # --- Videos and tags ---

    def scan(self) -> VideoFolder:
        """The folder of videos as it is now. Raises DataError if there is none."""
        return VideoFolder(self.videos_folder)

    def videos(self) -> list[ProjectVideo]:
        """The videos that are there now, by file name, with the ids of `wtal init`.

        Raises:
            DataError: The folder of videos or the table of tags cannot be read.
        """
        folder = self.scan()
        entries = self.tag_table(folder).entries
        ids = video_ids(dict.fromkeys([*folder.videos, *entries]))
        return [
            ProjectVideo(ids[file], file, folder.path / file, entries[file].labels if file in entries else None)
            for file in sorted(ids)
            if (folder.path / file).is_file()
        ]

    def tag_table(self, folder: VideoFolder | None = None) -> TagTable:
        """The tags by video file, and what is wrong with the table. Raises DataError if it cannot be read."""
        return read_tag_table([self.tags_file], folder or self.scan()) if self.tags_file.exists() else TagTable({})

    def classes(self, table: TagTable | None = None) -> list[str]:
        """The classes that were added, in their order, then the other ones in the table of tags, sorted.

        Args:
            table: The table of tags; None to read it.
        """
        entries = (table or self.tag_table()).entries
        labels = {label for entry in entries.values() for label in entry.labels}
        return list(dict.fromkeys([*self._read_settings().classes, *sorted(labels)]))

    def set_classes(self, names: Iterable[str]) -> None:
        """Store the classes that can be chosen on the page, in order. Raises DataError if one cannot be a label."""
        names = list(dict.fromkeys(names))
        for name in names:
            require_label(name)
        self._write_settings(self._read_settings().model_copy(update={"classes": names}))

    def set_tags(self, tags: Mapping[str, Iterable[str] | None]) -> TagTable:
        """Set the tags of videos. Times of labels that a video keeps are kept.

        Args:
            tags: File (path relative to the folder of videos) to its labels: empty if nothing happens in the video,
                None for a video that is not tagged.

        Returns:
            The new table.

        Raises:
            DataError: There is no such video, a label cannot be written, or the table cannot be read or written.
        """
        folder = self.scan()
        table = self._writable_table(folder)
        entries, files = dict(table.entries), set(folder.videos)
        for file, labels in tags.items():
            if file not in files | entries.keys():
                raise DataError("there is no such video", path=file, hint="reload the page", code="video-not-found")
            if labels is None:
                entries.pop(file, None)
            else:
                entries[file] = entries.get(file, TagEntry()).with_labels(labels)
        write_tag_table(self.tags_file, {**table.missing, **entries})
        return replace(table, entries=entries)

    def rename_class(self, old: str, new: str) -> None:
        """Give a class another name, in all videos; with the name of another class, the two become one.

        Args:
            old: The current name.
            new: The new name; empty to remove a class that no video has.

        Raises:
            DataError: The new name cannot be a label, a video has the class that would be removed, or the table cannot
                be read or written.
        """
        if new:
            require_label(new)
        classes, table = self.classes(), self._writable_table(self.scan())
        entries = {**table.missing, **table.entries}
        with_class = {file: entry for file, entry in entries.items() if old in entry.labels}
        if with_class and not new:
            raise DataError(
                f"{abbreviate(repr(old))} is a class of {format_count(len(with_class), 'video')}",
                hint="remove it from the videos first",
                code="class-in-use",
            )
        # First the longer list, so that no class is missing if this is interrupted.
        names = [new if name == old else name for name in classes]
        self.set_classes([name for name in (*names, old) if name])
        if with_class:
            renamed = {file: entry.with_renamed(old, new) for file, entry in with_class.items()}
            write_tag_table(self.tags_file, entries | renamed)
        self.set_classes([name for name in names if name])

    def _writable_table(self, folder: VideoFolder) -> TagTable:
        """The table of tags. Raises DataError for one with lines that cannot be read, which writing it would delete."""
        table = self.tag_table(folder)
        raise_first(problem for problem in table.problems if problem.code not in ("no-videos", "duplicate"))
        return table

    def add_tags(self, tables: Sequence[Path]) -> TagTable:
        """Copy the tags of tables into the project, unless they were copied before and have not changed since.

        The tags of the videos that the tables name are replaced; other videos keep theirs.

        Returns:
            The entries that were copied, problems and remarks.

        Raises:
            DataError: A table cannot be read, or names no video of this project.
        """
        folder, settings = self.scan(), self._read_settings()
        table = read_tag_table(tables, folder)
        if not table.entries:
            raise_first(table.problems)
            hint = f"name files in {folder.path} in the column `video`"
            raise DataError("the table names no video in the folder", path=tables[0], hint=hint, code="no-videos")
        files = sorted({file for table in tables for file in (tables_below(table) if table.is_dir() else [table])})
        fingerprint = content_fingerprint(*files)
        if fingerprint != settings.tables or not self.tags_file.is_file():
            present = self._writable_table(folder)
            write_tag_table(self.tags_file, {**present.missing, **present.entries, **table.entries})
            self._write_settings(settings.model_copy(update={"tables": fingerprint}))
        return table

    def tag_summary(self) -> TagSummary:
        """How many videos are tagged, and what is still needed."""
        return TagSummary.from_tags([video.labels for video in self.videos()], self.classes())

    def status(self) -> ProjectStatus:
        """What `run_steps` is doing, in this process or another one, or how it ended. Raises DataError."""
        return read_status(self.folder)

    def _read_settings(self) -> _ProjectFile:
        hint = "update wtal, or name another folder with --project DIR"
        return read_json_as(self.settings_file, _ProjectFile, "the file of a project", hint)

    def _write_settings(self, settings: _ProjectFile) -> None:
        if not self.settings_file.is_file() or read_json(self.settings_file) != settings.model_dump():
            write_json(self.settings_file, settings.model_dump())


def _slug(backbone: str) -> str:
    """A folder name for a backbone, which may be the path of a transformers model."""
    return re.sub(r"[^\w.-]", "_", Path(backbone).name) or "backbone"


def _is_empty(folder: Path) -> bool:
    require_folder(folder, HINT_OTHER_FOLDER)
    with os.scandir(folder) as entries:
        return not any(entries)


def _relative_path(videos: Path, folder: Path) -> str:
    """The path of the videos for wtal-project.json: relative if they contain the project, so that both can be moved."""
    return os.path.relpath(videos, folder) if folder.is_relative_to(videos) else str(videos)
