"""The tags of a project on the page.

A change names the labels to add and to remove instead of the new tags of a video, so that changes of two people to one
video are combined and nothing is lost.
"""

import threading
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from wtal.core.errors import DataError
from wtal.data.tag_table import TagTable
from wtal.experiments.project import Project
from wtal.experiments.tag_summary import TagSummary
from wtal.web.videos import VideoLibrary

MAX_CLASSES = 1000
MAX_LABEL_LENGTH = 200  # characters

Label = Annotated[str, Field(max_length=MAX_LABEL_LENGTH)]
Labels = Annotated[list[Label], Field(max_length=MAX_CLASSES)]


class TagChange(BaseModel):
    """A change of the tags of a video.

    Attributes:
        add: Labels to add.
        remove: Labels to remove.
        tagged: Whether the video counts as tagged if no label remains: nothing happens in it.
    """

    model_config = ConfigDict(strict=True, extra="forbid")

    add: Labels = []
    remove: Labels = []
    tagged: bool = True

    def apply(self, labels: Sequence[str] | None) -> list[str] | None:
        """The new labels of a video; None for a video that is not tagged."""
        changed = [label for label in labels or () if label not in self.remove]
        changed += [label for label in dict.fromkeys(self.add) if label not in changed]
        return changed if changed or self.tagged else None


class Tagging:
    """Reads and changes the tags of a project; all methods can be called from any thread.

    Args:
        project: The project.
        library: Its videos.
    """

    def __init__(self, project: Project, library: VideoLibrary) -> None:
        self._project, self._library = project, library
        self._lock = threading.Lock()
        # What was read last, and the state of the files that it was read from.
        self._table: tuple[object, TagTable] = object(), TagTable({})
        self._description: tuple[object, dict[str, Any]] = object(), {}

    def describe(self) -> dict[str, Any]:
        """Videos, tags, classes, and what is still needed, as the page shows them."""
        with self._lock:
            return self._describe()

    def change(self, changes: Mapping[str, TagChange]) -> dict[str, Any]:
        """Change the tags of videos, all or none.

        Args:
            changes: Key of the video to its change.

        Returns:
            What `describe` returns afterwards.

        Raises:
            DataError: A video is not there, a label cannot be written, or the table cannot be read or written.
        """
        with self._lock:
            table = self._read_table()
            tags = {}
            for key, change in changes.items():
                name = self._library.find(key).name
                tags[name] = change.apply(table.entries[name].labels if name in table.entries else None)
            self._add_classes([label for labels in tags.values() for label in labels or ()], table)
            table = self._project.set_tags(tags)
            self._table = self._table_signature(), table
            return self._describe()

    def add_class(self, name: str) -> dict[str, Any]:
        """Add a class that can be chosen. Raises DataError if its name cannot be a label."""
        with self._lock:
            self._add_classes([name], self._read_table())
            return self._describe()

    def rename_class(self, old: str, new: str) -> dict[str, Any]:
        """Give a class another name, in all videos; "" removes a class that no video has.

        Raises:
            DataError: The name cannot be a label, or videos have the class that would be removed.
        """
        with self._lock:
            self._project.rename_class(old, new)
            return self._describe()

    def signature(self) -> str:
        """Changes when the tags or the videos change."""
        files = sorted((file.name, file.version) for file in self._library.files().values())
        return sha256(repr((files, _stat(self._project.tags_file))).encode()).hexdigest()

    def _add_classes(self, names: Sequence[str], table: TagTable) -> None:
        classes = self._project.classes(table)
        new = [name for name in dict.fromkeys(names) if name not in classes]
        if len(classes) + len(new) > MAX_CLASSES:
            raise DataError(f"more than {MAX_CLASSES} classes", hint="remove some", code="too-many-classes")
        if new:
            self._project.set_classes([*classes, *new])

    def _table_signature(self) -> object:
        """Changes when the table of tags is written, or a file is added or removed that it may name."""
        return _stat(self._project.tags_file), self._library.files().keys()

    def _read_table(self) -> TagTable:
        """The table of tags. Raises DataError if it cannot be read."""
        signature = self._table_signature()
        if self._table[0] != signature:
            self._table = signature, self._project.tag_table()
        return self._table[1]

    def _describe(self) -> dict[str, Any]:
        signature = self._library.files(), self._table_signature(), _stat(self._project.settings_file)
        if self._description[0] != signature:
            self._description = signature, self._read()
        return self._description[1]

    def _read(self) -> dict[str, Any]:
        try:
            table = self._read_table()
            entries, classes, error = table.entries, self._project.classes(table), ""
        except DataError as problem:
            entries, classes, error = {}, [], str(problem)
        files = self._library.files()
        tags = {key: list(entries[file.name].labels) if file.name in entries else None for key, file in files.items()}
        summary = TagSummary.from_tags(tags.values(), classes)
        return {
            "videos": [
                {"key": key, "name": file.name, "version": file.version, "labels": tags[key]}
                for key, file in files.items()
            ],
            "classes": [{"name": name, "count": summary.counts[name]} for name in classes],
            "summary": str(summary),
            "can_train": summary.can_train,
            "error": error,
        }


def _stat(path: Path) -> object:
    """Changes when a file is written."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
