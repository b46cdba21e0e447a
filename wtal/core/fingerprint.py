"""Fingerprints of files. They identify the source of a file and detect changes."""

import os
from hashlib import file_digest, sha256
from pathlib import Path

SAMPLE_BYTES = 1 << 16  # read from the start and from the end of a file by `sampled_fingerprint`


def content_fingerprint(*paths: Path) -> str:
    """SHA-256 in hexadecimal of the content of the files, one after the other. Raises OSError."""
    digest = sha256()
    for path in paths:
        with path.open("rb") as file:
            file_digest(file, lambda: digest)  # updates `digest`
    return digest.hexdigest()


def sampled_fingerprint(path: Path) -> str:
    """The size of a file and a hash of its first and last 64 KiB: fast for large videos. Raises OSError.

    Returns:
        `SIZE HASH` with the size in bytes and 16 hexadecimal digits. It is stored beside extracted features and in
        corrections, so it must not change.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - SAMPLE_BYTES))
        tail = file.read(SAMPLE_BYTES)
        file.seek(0)
        return f"{size} {sha256(file.read(SAMPLE_BYTES) + tail).hexdigest()[:16]}"


def stat_fingerprint(*paths: Path) -> str:
    """A hash of names, sizes and modification times of files, and of all files below folders. Reads no content.

    It is stored in converted data sets and prepared benchmarks, so it must not change.
    """
    digest = sha256()
    for root in paths:
        for path in sorted(path for path in [root, *root.rglob("*")] if path.is_file()):
            status = path.stat()
            digest.update(f"{path.relative_to(root)} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()
