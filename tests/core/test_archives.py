"""Archives that declare one size and unpack to another take bounded memory."""

import io
import tarfile
import zipfile
from typing import Any

import pytest

from wtal.core.archives import ARCHIVE_ERRORS, MAX_READ_BYTES, BoundedReader, open_zip, read_in_pieces, read_member

DECLARED = 100  # bytes


def zip_with(content: bytes, compression: int = zipfile.ZIP_DEFLATED, declared: int | None = None) -> io.BytesIO:
    """A zip file with one member that declares a number of bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("a.txt", content)
    data = bytearray(file.getvalue())
    if declared is not None:
        for signature, offset in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
            position = data.find(signature) + offset
            data[position : position + 4] = declared.to_bytes(4, "little")
    return io.BytesIO(bytes(data))


def read_only_member(file: io.BytesIO, max_bytes: int = 1 << 20) -> bytes:
    with open_zip(file, 1 << 30) as archive:
        return read_member(archive, archive.infolist()[0], max_bytes)


class CountingFile(io.BytesIO):
    """A file that records the largest block that is read at once."""

    largest = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.largest = max(self.largest, len(data))
        return data


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_are_read(compression):
    assert read_only_member(zip_with(b"x" * 300_000, compression)) == b"x" * 300_000


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused(compression):
    with pytest.raises(ValueError):
        read_only_member(zip_with(b"x", compression))


def test_member_that_is_larger_than_declared_is_not_unpacked(monkeypatch):
    bomb = zip_with(bytes(50 << 20), declared=DECLARED)
    produced = []
    decompress = zipfile.ZipExtFile._read1
    monkeypatch.setattr(
        zipfile.ZipExtFile, "_read1", lambda self, n: produced.append(len(data := decompress(self, n))) or data
    )
    with pytest.raises(ARCHIVE_ERRORS):
        read_only_member(bomb)
    assert sum(produced) <= DECLARED


def test_member_above_the_limit_is_refused():
    with pytest.raises(ValueError):
        read_only_member(zip_with(bytes(1000)), max_bytes=999)


def test_directory_above_the_limit_is_not_read():
    file = CountingFile()
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(300):
            archive.writestr(f"{number:0300d}" * 200, "")
    assert file.tell() > 2 * MAX_READ_BYTES
    file.largest = 0
    with pytest.raises(ARCHIVE_ERRORS):
        open_zip(file, 1 << 30)
    assert file.largest <= MAX_READ_BYTES + 1


def test_header_of_tar_file_above_the_limit_is_not_read():
    file = io.BytesIO()
    header = tarfile.TarInfo("headers")
    header.type, header.size = tarfile.XHDTYPE, 2 * MAX_READ_BYTES
    file.write(header.tobuf() + bytes(header.size))
    file.seek(0)
    reader: Any = BoundedReader(file, 1 << 30)
    with pytest.raises(ARCHIVE_ERRORS), tarfile.open(fileobj=reader):
        pass


def test_position_is_bounded():
    reader = BoundedReader(io.BytesIO(b"abc"), 2)
    assert reader.seek(2) == 2 and reader.read() == b"c"
    with pytest.raises(ValueError):
        reader.seek(3)
    with pytest.raises(ValueError):
        read_in_pieces(io.BytesIO(bytes(11)), 10)
