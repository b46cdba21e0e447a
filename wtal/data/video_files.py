"""The video files of a data set: which file a name means, the ids of files, and their listing, videos.json."""

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
from wtal.core.io import read_json
from wtal.data.features import is_file_name

LISTING_NAME = "videos.json"
VIDEO_SUFFIXES = frozenset(
    ".3gp .avi .flv .gif .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .ts .vob .webm .wmv".split()
)
MAX_ID_BYTES = 180  # longer ids are cut and get a hash


@dataclass(frozen=True)
class VideoListing:
    """The folder of the video files, and video id -> path in it with `/` between folders."""

    folder: Path
    files: Mapping[str, str]

    def path(self, video_id: str) -> Path:
        """Where the file of one video lies, or lay."""
        return self.folder / self.files[video_id]

    def to_json(self) -> dict[str, Any]:
        """What `read_listing` reads from videos.json."""
        return {"folder": str(self.folder), "files": dict(self.files)}


def read_listing(folder: Path, videos: Path | None = None) -> VideoListing:
    """videos.json of a data set folder; `videos` is where the files are when they were moved.

    Raises DataError when there is none, when it is no listing, or names a file outside its folder.
    """
    path = folder / LISTING_NAME
    if not path.is_file():
        raise DataError(
            f"{folder}: has no {LISTING_NAME}, so it is not known which videos are its own; make it with "
            f"`wtal init {folder} --videos DIR --tags tags.csv`"
        )
    value = read_json(path)
    said, files = (value.get("folder"), value.get("files")) if isinstance(value, dict) else (None, None)
    if not isinstance(said, str) or not isinstance(files, dict):
        raise DataError(f'{path}: is no listing {{"folder": ..., "files": {{id: path}}}}; run `wtal init` again')
    for id, file in files.items():
        if not is_file_name(id):
            raise DataError(f"{path}: {id!r} cannot be an id, which is a file name; run `wtal init` again")
        if not isinstance(file, str) or not _is_within(file):
            raise DataError(f"{path}, {id}: {file!r} is no path in the folder of videos; run `wtal init` again")
    return VideoListing(videos.absolute() if videos else folder / said, files)


def _is_within(file: str) -> bool:
    """Whether it is the path of something in a folder, and no more."""
    path = PurePosixPath(file)
    return not path.is_absolute() and ".." not in path.parts and "\0" not in file and _is_text(file)


class VideoFolder:
    """What lies in a folder of videos, looked through once; hidden files are no part of it.

    `files` are all paths in it with `/` between folders, `videos` those that end as videos do, folders called so
    too. `remarks` say what could not be looked into. Raises DataError when there is no such folder.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise DataError(f"{path}: there is no such folder; name the folder that holds the videos")
        self._real = realpath(path)
        self.path = Path(self._real) if ".." in path.parts else path.absolute()
        self.remarks: list[str] = []
        self._folders: set[str] = set()
        self.files = tuple(self._walk("", frozenset()))
        self.videos = tuple(file for file in self.files if _without_suffix(file) != file)
        self._paths = _Names((file, file) for file in self.files)
        self._ends = _Names((end, file) for file in self.files for end in _ends(self._from_above(file)))
        self._scopes: dict[Path, str] = {}

    def find(self, name: str, table: Path) -> list[str]:
        """The files that a name in a table can mean, with or without suffix; [] where there is none.

        It is a path from this folder, from the table's, or from the folder beside the table that has its name
        (Fall/ for Fall.csv); else the end of a path, searched for as deep in the set as it can mean only one.
        Raises DataError for a name that leads out of this folder.
        """
        name = normpath(name.replace("\\", "/"))
        beside = table.parent / table.stem
        its_own = "/" not in name and self._within(beside) in self._folders
        places = [beside] if its_own else [self.path, table.parent, beside]
        paths = [path for path in (self._within(place / name) for place in places) if path is not None]
        if not paths:
            raise DataError(f"{name!r} lies outside {self.path}")
        found = dict.fromkeys(file for path in paths for file in self._paths.find(path))
        if found:
            return list(found)
        scope = self._scope(table)
        likely = (file for file in self._ends.find("/".join(name.split("/")[-2:])) if file.startswith(scope))
        return [file for file in likely if _ends_with(self._from_above(file), name)]

    def _scope(self, table: Path) -> str:
        """Where the end of a path is searched: in another folder `01.mp4` would be another video.

        The folder beside the table that has its name, else the table's own if any video is there, else all.
        """
        if table not in self._scopes:
            own, beside = self._within(table.parent), self._within(table.parent / table.stem)
            scope = beside if beside in self._folders else own
            prefix = f"{scope}/" if scope else ""
            holds = scope == beside or any(file.startswith(prefix) for file in self.videos)
            self._scopes[table] = prefix if holds else ""
        return self._scopes[table]

    def _within(self, path: Path) -> str | None:
        """A path as one in this folder ("" is the folder itself); None for one outside."""
        plain = os.path.normpath(path.absolute())
        for root in (str(self.path), self._real):
            if (inside := _below(plain, root)) is not None:
                return inside
        folder, name = os.path.split(plain)
        return _below(f"{realpath(folder)}{os.sep}{name}", self._real)

    def _from_above(self, file: str) -> str:
        """As seen from the folder that holds this one."""
        return f"{self.path.name}/{file}"

    def _walk(self, inside: str, above: frozenset[tuple[int, int]]) -> Iterator[str]:
        """Every file below; links are followed, but for those back to a folder above."""
        place = self.path / inside
        try:
            status = place.stat()
            entries = [(entry.name, entry.is_dir()) for entry in os.scandir(place)]
        except OSError as error:
            self.remarks.append(f"{place}: cannot be looked into ({(error.strerror or str(error)).lower()})")
            return
        here = (status.st_dev, status.st_ino)
        if here in above:
            return
        self._folders.add(inside)
        for name, is_folder in sorted(entries):
            file = f"{inside}/{name}" if inside else name
            if not _is_text(name):
                self.remarks.append(f"{place}: the name of {name!a} is not UTF-8, so no table can name it; rename it")
            elif not name.startswith("."):
                if not is_folder or _without_suffix(name) != name:
                    yield file
                if is_folder:
                    yield from self._walk(file, above | {here})


def video_ids(files: Iterable[str], reserved: Iterable[str] = ()) -> dict[str, str]:
    """The one rule from video files to ids: the path without video suffix, with `__` for `/`.

    Where two ids would be equal apart from case, they keep the suffix, and otherwise get a short hash. Characters
    that file names cannot hold everywhere become `_`. Every id is a valid file name.

    Args:
        files: Paths relative to the folder of videos, with `/` between folders.
        reserved: Ids that are in use already.

    Returns:
        File to id.
    """
    detail = dict.fromkeys(files, 0)
    reserved_keys = {_alike(id) for id in reserved}
    while True:
        ids = {file: _id(file, detail[file]) for file in detail}
        counts = Counter(_alike(id) for id in ids.values())
        clashes = [
            file
            for file, id in ids.items()
            if detail[file] < 2 and (counts[_alike(id)] > 1 or _alike(id) in reserved_keys)
        ]
        if not clashes:
            return ids
        for file in clashes:
            detail[file] += 1


def video_id(file: str) -> str:
    """The id of a single video file by the rule of `video_ids`: `holiday/beach.mp4` is `holiday__beach`."""
    return _id(file, 0)


def ids_of_paths(paths: Sequence[Path], listing: VideoListing | None = None) -> list[str]:
    """The ids of video files for predictions.

    Args:
        paths: The video files.
        listing: The videos of a data set. A file in it has its id there.

    Returns:
        One id per path. Other files are named by `video_ids` relative to the folder of the data set's videos if all
        of them lie in it, otherwise relative to their common folder.
    """
    listed = {realpath(listing.path(id)): id for id in listing.files} if listing else {}
    ids = {path: listed[realpath(path)] for path in paths if realpath(path) in listed}
    unlisted = {path: _absolute(path) for path in paths if path not in ids}
    if unlisted:
        root = Path(os.path.commonpath([path.parent for path in unlisted.values()]))
        if listing and root.is_relative_to(_absolute(listing.folder)):
            root = _absolute(listing.folder)
        files = {path: absolute.relative_to(root).as_posix() for path, absolute in unlisted.items()}
        by_file = video_ids(files.values(), reserved=listed.values())
        ids |= {path: by_file[file] for path, file in files.items()}
    return [ids[path] for path in paths]


def is_video_name(name: str) -> bool:
    """Whether a file name has the suffix of a video."""
    return _without_suffix(name) != name


class _Names:
    """Files by a name, and by that name without the suffix of a video; capitals count only to choose."""

    def __init__(self, named: Iterable[tuple[str, str]]) -> None:
        self._full: dict[str, list[tuple[str, str]]] = defaultdict(list)
        self._bare: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for name, file in named:
            self._full[_alike(name)].append((name, file))
            if (bare := _without_suffix(name)) != name:
                self._bare[_alike(bare)].append((bare, file))

    def find(self, name: str) -> list[str]:
        found = self._full.get(_alike(name)) or self._bare.get(_alike(name)) or []
        just_so = [file for said, file in found if _composed(said) == _composed(name)]
        return just_so or [file for _, file in found]


def _id(file: str, detail: int) -> str:
    """Detail 0: without suffix; 1: with suffix; 2: with suffix and a hash of the path."""
    text = file.encode(errors="surrogateescape").decode(errors="replace")  # names need not be valid Unicode
    name = _composed(text if detail else _without_suffix(text)).replace("/", "__").strip()
    name = re.sub(r'[\x00-\x1f\x7f<>:"|?*\\]', "_", name)
    if detail < 2 and len(name.encode()) <= MAX_ID_BYTES and name.strip(" ."):
        return name
    cut = name.encode()[:MAX_ID_BYTES].decode(errors="ignore")
    return f"{cut}~{sha256(file.encode(errors='surrogateescape')).hexdigest()[:8]}"


def _absolute(path: Path) -> Path:
    """An absolute path without `..`; links are kept, as their names make the ids."""
    return Path(os.path.normpath(path.absolute()))


def _below(path: str, root: str) -> str | None:
    if path == root:
        return ""
    start = root.rstrip(os.sep) + os.sep
    return path.removeprefix(start).replace(os.sep, "/") if path.startswith(start) else None


def _ends(path: str) -> Iterator[str]:
    """The last part of a path, and the last two."""
    parts = path.rsplit("/", 2)
    yield parts[-1]
    yield "/".join(parts[-2:])


def _ends_with(path: str, end: str) -> bool:
    return any(f"/{_alike(said)}".endswith(f"/{_alike(end)}") for said in (path, _without_suffix(path)))


def _without_suffix(path: str) -> str:
    """Without the suffix that videos have; any other suffix is part of the name."""
    bare, suffix = splitext(path)
    return bare if suffix.lower() in VIDEO_SUFFIXES else path


def _alike(name: str) -> str:
    return name.lower() if name.isascii() else _composed(_composed(name).casefold())


def _composed(name: str) -> str:
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
