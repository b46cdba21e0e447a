"""The raw files of UCI's HAPT archive, read where they lie: in a folder, a zip file, or a zip file in that."""

import io
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO
from zipfile import BadZipFile, ZipFile, ZipInfo

from wtal.errors import DataError, first_line
from wtal.formats.problem import short

RECORDING = re.compile(r"(acc|gyro)_(exp(\d{1,4})_user(\d{1,4}))\.txt")
LARGEST = 1 << 24  # bytes of one file: hours of signal
LARGEST_IN_ALL = 1 << 28  # bytes: twice what the archive has
# As zipfile raises them; a password is a RuntimeError.
BROKEN = (BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError)
FETCH = "fetch UCI's archive 341 again"

Files = Mapping[str, Callable[[], bytes]]  # file name -> its bytes, when called for


@contextmanager
def raw_files(archive: Path) -> Iterator[Files]:
    """The files of RawData, wherever that lies in `archive`; nothing is unpacked to disk.

    Raises DataError where there is none, or where the archive is damaged or out of all proportion.
    """
    if archive.is_dir():
        yield _some(_of_folder(archive), archive)
        return
    with _zip(archive, archive) as outer:
        files = _of_zip(outer, archive)
        inner = [info for info in outer.infolist() if info.filename.lower().endswith(".zip")]
        if files or len(inner) != 1:
            yield _some(files, archive)
            return
        with _zip(io.BytesIO(_read(outer, inner[0], LARGEST_IN_ALL, archive)), archive) as nested:
            yield _some(_of_zip(nested, archive), archive)


def _of_folder(folder: Path) -> Files:
    near = (folder, *folder.glob("RawData"), *folder.glob("*/RawData"))
    paths = [path for raw in near if raw.name == "RawData" for path in raw.glob("*.txt") if path.is_file()]
    _require_proportion({path.name: path.stat().st_size for path in paths}, folder)
    return _by_name([(path.name, partial(_read_file, path)) for path in paths], folder)


def _of_zip(file: ZipFile, archive: Path) -> Files:
    """Nothing where there is no RawData."""
    members = {info: PurePosixPath(info.filename) for info in file.infolist() if not info.is_dir()}
    for path in members.values():
        if path.is_absolute() or ".." in path.parts:
            raise DataError(f"{archive}: names a place outside itself, {short(repr(str(path)))}; {FETCH}")
    raw = {info: path.name for info, path in members.items() if path.parent.name == "RawData"}
    _require_proportion({info.filename: info.file_size for info in raw}, archive)
    return _by_name([(name, partial(_read, file, info, LARGEST, archive)) for info, name in raw.items()], archive)


def _by_name(found: list[tuple[str, Callable[[], bytes]]], archive: Path) -> Files:
    files = dict(found)
    if len(files) < len(found):
        raise DataError(f"{archive}: has more than one RawData; name a folder or zip file that has one")
    return files


def _some(files: Files, archive: Path) -> Files:
    if not any(RECORDING.fullmatch(name) for name in files):
        raise DataError(f"{archive}: has no RawData/acc_exp01_user01.txt and so on; {FETCH}")
    return files


def _require_proportion(sizes: Mapping[str, int], archive: Path) -> None:
    name, size = max(sizes.items(), key=lambda item: item[1], default=("", 0))
    if size > LARGEST or sum(sizes.values()) > LARGEST_IN_ALL:
        raise DataError(
            f"{archive}: would unpack to {sum(sizes.values()):,} bytes, {short(repr(name))} alone to {size:,}, "
            f"too much for this data set; {FETCH}"
        )


def _zip(file: Path | IO[bytes], archive: Path) -> ZipFile:
    try:
        return ZipFile(file)
    except FileNotFoundError as error:
        raise DataError(f"{archive}: there is no such file; name UCI's archive 341, a zip file") from error
    except BROKEN as error:
        raise DataError(f"{archive}: not a zip file, or cut off; {FETCH}") from error


def _read(file: ZipFile, member: ZipInfo, most: int, archive: Path) -> bytes:
    where = f"{archive}, {short(member.filename)}"
    if member.file_size > most:
        raise DataError(f"{where}: too large for this data set, {member.file_size:,} bytes; {FETCH}")
    try:
        return file.read(member)  # never more than file_size
    except BROKEN as error:
        raise DataError(f"{where}: damaged or locked ({first_line(error)}); {FETCH}") from error


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {first_line(error).lower()}; {FETCH}") from error
