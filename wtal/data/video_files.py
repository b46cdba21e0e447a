"""Video files of a data set: their suffixes, their ids, the lookup of names in a folder, and videos.json."""

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from os.path import realpath
from pathlib import Path, PurePosixPath
from posixpath import normpath, splitext
from typing import Any

from wtal.core.errors import DataError
from wtal.core.io import os_error_message, read_json, require_folder
from wtal.data.features import is_file_name

LISTING_NAME = "videos.json"
PROJECT_NAME = "wtal-project.json"  # marks the folder of a project, in which no videos are looked for
VIDEO_SUFFIXES = frozenset(
    ".3gp .avi .flv .gif .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .ts .vob .webm .wmv".split()
)
MAX_ID_BYTES = 180  # longer ids are cut and get a hash
HINT_INIT = "run `wtal init` again"


# --- Ids --------------------------------------------------------------------------------------------------------------


def video_ids(files: Iterable[str], reserved: Iterable[str] = ()) -> dict[str, str]:
    """The ids of video files: the path without video suffix, with `__` for `/`.

    Where two ids would be equal apart from case, they keep the suffix, and otherwise get a short hash. Characters
    that file names cannot hold everywhere become `_`. Every id is a valid file name.

    Args:
        files: Paths relative to the folder of videos, with `/` between folders.
        reserved: Ids that are in use already.

    Returns:
        File to id.
    """
    detail = dict.fromkeys(files, 0)
    reserved_keys = {_fold(id) for id in reserved}
    while True:
        ids = {file: _make_id(file, detail[file]) for file in detail}
        counts = Counter(_fold(id) for id in ids.values())
        clashes = [
            file
            for file, id in ids.items()
            if detail[file] < 2 and (counts[_fold(id)] > 1 or _fold(id) in reserved_keys)
        ]
        if not clashes:
            return ids
        for file in clashes:
            detail[file] += 1


def video_id(file: str) -> str:
    """The id of a single video file by the rule of `video_ids`: `holiday/beach.mp4` is `holiday__beach`."""
    return _make_id(file, 0)


def _make_id(file: str, detail: int) -> str:
    """Detail 0: without suffix; 1: with suffix; 2: with suffix and a hash of the path."""
    text = file.encode(errors="surrogateescape").decode(errors="replace")  # names need not be valid Unicode
    name = _compose(text if detail else strip_video_suffix(text)).replace("/", "__").strip()
    name = re.sub(r'[\x00-\x1f\x7f<>:"|?*\\]', "_", name)
    if detail < 2 and len(name.encode()) <= MAX_ID_BYTES and name.strip(" ."):
        return name
    cut = name.encode()[:MAX_ID_BYTES].decode(errors="ignore")
    return f"{cut}~{sha256(file.encode(errors='surrogateescape')).hexdigest()[:8]}"


@dataclass(frozen=True)
class VideoInput:
    """A video file that a user named, directly or by its folder.

    Attributes:
        id: The id of the video.
        path: The file.
        name: Its path in the folder of the videos, with `/` between folders. Files made from it are named after it.
    """

    id: str
    path: Path
    name: str


def find_videos(paths: Sequence[Path], listing: "VideoListing | None" = None) -> tuple[list[VideoInput], list[str]]:
    """The videos that paths of files and folders stand for, each once, with the ids that `wtal init` gives them.

    Args:
        paths: Video files, and folders, which are searched with their subfolders.
        listing: The videos of a data set. A file in it has its id there.

    Returns:
        The videos, and remarks on what could not be searched. Ids are made by `video_ids` of the paths relative to
        the folder of the data set's videos if all of them lie in it, otherwise relative to their common folder.

    Raises:
        DataError: A folder contains no video.
    """
    listed = {realpath(listing.path(id)): id for id in listing.files} if listing else {}
    files: dict[str, Path] = {}  # by real path
    roots: list[Path] = []
    remarks: list[str] = []
    for path in paths:
        if path.is_dir():
            folder = VideoFolder(path)
            videos = [file for name in folder.videos if not (file := folder.path / name).is_dir()]
            roots.append(folder.path)
            remarks += folder.remarks
            if not videos:
                hint = "pass another folder, or video files"
                raise DataError("contains no video file", path=path, hint=hint, code="no-videos")
        else:
            videos = [_absolute(path)]
            roots += [videos[0].parent] if realpath(path) not in listed else []
        for video in videos:
            files.setdefault(realpath(video), video)
    root = Path(os.path.commonpath(roots)) if roots else Path()
    if listing and root.is_relative_to(_absolute(listing.folder)):
        root = _absolute(listing.folder)
    new = {real: file.relative_to(root).as_posix() for real, file in files.items() if real not in listed}
    new_ids = video_ids(new.values(), reserved=listed.values())
    inputs = []
    for real, file in files.items():
        if listing and real in listed:
            inputs.append(VideoInput(listed[real], file, listing.files[listed[real]]))
        else:
            inputs.append(VideoInput(new_ids[new[real]], file, new[real]))
    return inputs, remarks


def is_video_name(name: str) -> bool:
    """Whether a file name has the suffix of a video."""
    return splitext(name)[1].lower() in VIDEO_SUFFIXES


def strip_video_suffix(path: str) -> str:
    """The path without the suffix of a video; any other suffix is part of the name."""
    return splitext(path)[0] if is_video_name(path) else path


def _absolute(path: Path) -> Path:
    """An absolute path without `..`; links are kept, as their names make the ids."""
    return Path(os.path.normpath(path.absolute()))


def _fold(name: str) -> str:
    """Equal for names that some file systems do not distinguish: by case or Unicode composition."""
    return name.lower() if name.isascii() else _compose(_compose(name).casefold())


def _compose(name: str) -> str:
    return name if name.isascii() else unicodedata.normalize("NFC", name)


# --- Listing ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class VideoListing:
    """The content of videos.json: which file each video of a data set is.

    Attributes:
        folder: The folder of the video files.
        files: Video id -> path relative to the folder, with `/` between folders.
    """

    folder: Path
    files: Mapping[str, str]

    def path(self, video_id: str) -> Path:
        """The path of a video file, which need not exist any more."""
        return self.folder / self.files[video_id]

    def to_json(self) -> dict[str, Any]:
        """The values that `read_listing` reads."""
        return {"folder": str(self.folder), "files": dict(self.files)}


def read_listing(folder: Path, videos: Path | None = None) -> VideoListing:
    """Read videos.json of a data set folder.

    Args:
        folder: The data set folder.
        videos: Where the video files are now, if they were moved.

    Raises:
        DataError: There is no such file, it is malformed, or it names a file outside the folder of the videos.
    """
    path = folder / LISTING_NAME
    if not path.is_file():
        raise DataError(
            f"has no {LISTING_NAME}, which lists the video files",
            path=folder,
            hint=f"make the data set with `wtal init {folder} --videos DIR --tags tags.csv`",
            code="file-not-found",
        )
    value = read_json(path)
    root, files = (value.get("folder"), value.get("files")) if isinstance(value, dict) else (None, None)
    if not isinstance(root, str) or not isinstance(files, dict):
        raise DataError('expected {"folder": ..., "files": {id: path}}', path=path, hint=HINT_INIT, code="invalid-type")
    for id, file in files.items():
        if not is_file_name(id):
            raise DataError(f"the id {id!r} cannot be a file name", path=path, hint=HINT_INIT, code="invalid-id")
        if not isinstance(file, str) or not _is_inside(file):
            raise DataError(
                f"{file!r} is not a path in the folder of videos",
                path=path,
                location=id,
                hint=HINT_INIT,
                code="invalid-path",
            )
    return VideoListing(videos.absolute() if videos else folder / root, files)


def _is_inside(file: str) -> bool:
    """Whether a relative path stays in its folder."""
    path = PurePosixPath(file)
    return not path.is_absolute() and ".." not in path.parts and "\0" not in file and _is_unicode(file)


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


# --- Lookup of names --------------------------------------------------------------------------------------------------


class VideoFolder:
    """The files in a folder of videos and its subfolders, without hidden ones and projects. It is scanned once.

    Attributes:
        path: The folder.
        files: All paths in it, with `/` between folders.
        videos: Those that have the suffix of a video; they may be folders.
        remarks: What could not be scanned.

    Raises:
        DataError: There is no such folder.
    """

    def __init__(self, path: Path) -> None:
        require_folder(path, "pass the folder with the video files")
        self._real_path = realpath(path)
        self.path = Path(self._real_path) if ".." in path.parts else path.absolute()
        self.remarks: list[str] = []
        self._folders: set[str] = set()
        self.files = tuple(self._scan("", frozenset()))
        self.videos = tuple(file for file in self.files if is_video_name(file))
        self._files_by_path = _NameIndex((file, file) for file in self.files)
        self._files_by_end = _NameIndex((end, file) for file in self.files for end in _path_ends(self._with_root(file)))
        self._search_prefixes: dict[Path, str] = {}

    def find(self, name: str, table: Path) -> list[str]:
        """The files that a name in a table can mean.

        The name is a path, with or without suffix, relative to this folder, to the folder of the table, or to the
        folder beside the table that has its name (Fall/ for Fall.csv). Otherwise it is the end of a path, searched
        in the part of the folder that the table belongs to.

        Args:
            name: The name.
            table: The file that contains it.

        Returns:
            Paths as in `files`; empty if there is no such file, several if the name is ambiguous.

        Raises:
            DataError: The name leads out of this folder.
        """
        name = normpath(name.replace("\\", "/"))
        table_folder = table.parent / table.stem
        is_bare_name = "/" not in name and self._relative(table_folder) in self._folders
        roots = [table_folder] if is_bare_name else [self.path, table.parent, table_folder]
        paths = [path for path in (self._relative(root / name) for root in roots) if path is not None]
        if not paths:
            raise DataError(
                f"{name!r} is outside the folder of videos",
                path=self.path,
                hint="pass a file in it, or another folder with --videos",
                code="invalid-path",
            )
        files = dict.fromkeys(file for path in paths for file in self._files_by_path.find(path))
        if files:
            return list(files)
        prefix = self._search_prefix(table)
        candidates = self._files_by_end.find("/".join(name.split("/")[-2:]))
        return [file for file in candidates if file.startswith(prefix) and _ends_with(self._with_root(file), name)]

    def _search_prefix(self, table: Path) -> str:
        """Where ends of paths are searched, since `01.mp4` in another folder is another video.

        The folder beside the table that has its name, else the table's own if it has videos, else everywhere.
        """
        if table not in self._search_prefixes:
            parent, table_folder = self._relative(table.parent), self._relative(table.parent / table.stem)
            folder = table_folder if table_folder in self._folders else parent
            prefix = f"{folder}/" if folder else ""
            has_videos = folder == table_folder or any(file.startswith(prefix) for file in self.videos)
            self._search_prefixes[table] = prefix if has_videos else ""
        return self._search_prefixes[table]

    def _relative(self, path: Path) -> str | None:
        """The path relative to this folder, empty for the folder itself, None for a path outside."""
        plain = os.path.normpath(path.absolute())
        for root in (str(self.path), self._real_path):
            if (relative := _relative_to(plain, root)) is not None:
                return relative
        folder, name = os.path.split(plain)
        return _relative_to(f"{realpath(folder)}{os.sep}{name}", self._real_path)

    def _with_root(self, file: str) -> str:
        return f"{self.path.name}/{file}"

    def _scan(self, relative: str, ancestors: frozenset[tuple[int, int]]) -> Iterator[str]:
        """Every file below. Links are followed, except to a folder above."""
        folder = self.path / relative
        try:
            status = folder.stat()
            entries = [(entry.name, entry.is_dir()) for entry in os.scandir(folder)]
        except OSError as error:
            self.remarks.append(f"{folder}: cannot be read ({os_error_message(error)})")
            return
        identity = (status.st_dev, status.st_ino)
        if identity in ancestors:
            return
        if relative and any(name == PROJECT_NAME for name, _ in entries):
            return
        self._folders.add(relative)
        for name, is_folder in sorted(entries):
            file = f"{relative}/{name}" if relative else name
            if not _is_unicode(name):
                self.remarks.append(f"{folder}: the name {name!a} is not UTF-8, so no table can contain it; rename it")
            elif not name.startswith("."):
                if not is_folder or is_video_name(name):
                    yield file
                if is_folder:
                    yield from self._scan(file, ancestors | {identity})


class _NameIndex:
    """Files by name, with and without video suffix. Case matters only if it decides between several files."""

    def __init__(self, named_files: Iterable[tuple[str, str]]) -> None:
        self._by_name: dict[str, list[tuple[str, str]]] = defaultdict(list)
        self._by_stem: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for name, file in named_files:
            self._by_name[_fold(name)].append((name, file))
            if (stem := strip_video_suffix(name)) != name:
                self._by_stem[_fold(stem)].append((stem, file))

    def find(self, name: str) -> list[str]:
        matches = self._by_name.get(_fold(name)) or self._by_stem.get(_fold(name)) or []
        exact = [file for other, file in matches if _compose(other) == _compose(name)]
        return exact or [file for _, file in matches]


def _relative_to(path: str, root: str) -> str | None:
    if path == root:
        return ""
    prefix = root.rstrip(os.sep) + os.sep
    return path.removeprefix(prefix).replace(os.sep, "/") if path.startswith(prefix) else None


def _path_ends(path: str) -> Iterator[str]:
    """The last part of a path, and the last two."""
    parts = path.rsplit("/", 2)
    yield parts[-1]
    yield "/".join(parts[-2:])


def _ends_with(path: str, end: str) -> bool:
    return any(f"/{_fold(name)}".endswith(f"/{_fold(end)}") for name in (path, strip_video_suffix(path)))
