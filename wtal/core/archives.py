"""Archives read in bounded pieces: what a file declares is never allocated before it was read."""

import zlib
from tarfile import TarError
from typing import IO, Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

PIECE_BYTES = 1 << 16
MAX_READ_BYTES = 1 << 22  # a directory of 50,000 members; such a block is read at once
# What the libraries raise for damaged archives; a password is a RuntimeError.
ARCHIVE_ERRORS = (
    *(BadZipFile, TarError, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError),
    *(OverflowError, MemoryError),
)


class BoundedReader:
    """A seekable file for the readers of archives. Blocks that are read at once, and the position, have a limit.

    Args:
        file: The file to read.
        max_position: The furthest position in bytes that may be sought.
    """

    def __init__(self, file: IO[bytes], max_position: int) -> None:
        self._file, self._max_position = file, max_position
        self.tell = file.tell

    def read(self, size: int = -1) -> bytes:
        """Raises ValueError for more than `MAX_READ_BYTES`."""
        data = self._file.read(min(size, MAX_READ_BYTES + 1) if size >= 0 else MAX_READ_BYTES + 1)
        if len(data) > MAX_READ_BYTES:
            raise ValueError(f"a block has more than {MAX_READ_BYTES:,} bytes")
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """Raises ValueError beyond the limit, which would decompress a whole file."""
        if offset > self._max_position:
            raise ValueError(f"larger than {self._max_position:,} bytes")
        return self._file.seek(offset, whence)

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()


def open_zip(file: IO[bytes], max_bytes: int) -> ZipFile:
    """Open a zip file of at most `max_bytes`. Raises one of `ARCHIVE_ERRORS`."""
    reader: Any = BoundedReader(file, max_bytes)
    return ZipFile(reader)


def read_member(archive: ZipFile, member: ZipInfo, max_bytes: int) -> bytes:
    """Unpack a member in pieces: stored or deflated, as other methods unpack any number of bytes at once.

    Raises:
        One of `ARCHIVE_ERRORS`: The member is damaged, has another compression, or more than `max_bytes`.
    """
    if member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise ValueError("only stored and deflated members are read")
    with archive.open(member) as file:
        return read_in_pieces(file, max_bytes)


def read_in_pieces(file: IO[bytes], max_bytes: int) -> bytes:
    """The rest of a file. Raises ValueError if it has more than `max_bytes`."""
    content = bytearray()
    while piece := file.read(PIECE_BYTES):
        content += piece
        if len(content) > max_bytes:
            raise ValueError(f"larger than {max_bytes:,} bytes")
    return bytes(content)
