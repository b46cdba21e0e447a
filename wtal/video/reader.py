"""Video files in, snippets out: opened as local files alone, refused in one sentence where they cannot be right."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from wtal.core.errors import DataError
from wtal.video.backbones.base import Sampling
from wtal.video.frames import CONVERT, HINT_REDOWNLOAD, FrameReader
from wtal.video.sampling import Shown, Snippet, cut
from wtal.video.transforms import FrameTransform

COVERS = Disposition.attached_pic | Disposition.timed_thumbnails  # of albums and of chapters
STILL = "is a picture, not a video; name a video"
STILLS = {"gif", "apng", "ico", "mjpeg", "avif", "heic", "mif1"}  # formats and brands of films and single pictures
PIXELS = 1 << 27  # of a frame, four times 8K: a header that claims more is damaged
THREADS = 8  # of the decoder at most: each holds a frame, 25 MB in 4K of 10 bits
MISSING = 0.5  # seconds by which a file may end before its header says: lengths are rounded up
AT_ONCE = 1 << 18  # bytes read from the disk
HEAD = 1 << 12  # bytes that tell text from everything else
CONTROL = frozenset(range(32)) - set(b"\t\n\v\f\r\x1b")  # bytes of every video, and of no text


def read_snippets(path: Path, sampling: Sampling) -> Iterator[Snippet]:
    """The snippets of a video file in the order of time; no more than a window of pictures is held.

    Times are presentation time stamps in the container's own time: a video whose first frame comes at 2 s begins
    at 2 s. Only MPEG transport and program streams, whose clocks start anywhere, count from their start. What
    lies before 0 s is not shown, as in players. The same file gives the same bytes every time.
    Raises DataError with one sentence when the file is no video, is cut off, or cannot be decoded.
    """
    with _opened(path) as (container, stream):
        frames = _whole(FrameReader(container, stream), container, stream)
        yield from cut(frames, sampling, FrameTransform(sampling, _pixel_aspect(stream)))


def length_and_rate(path: Path) -> tuple[float | None, float | None]:
    """Seconds that a video's header says it lasts, and its frames a second; None where it does not say.

    Raises DataError as `read_snippets` does.
    """
    with _opened(path) as (container, stream):
        seconds = container.duration / av.time_base if container.duration else None
        return seconds, float(stream.average_rate) if stream.average_rate else None


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its video. Whatever is found wrong until it is closed, here or inside, names the file."""
    file = _LocalFile(path)
    try:
        file.open()
        with av.open(
            file,
            "r",
            metadata_errors="replace",
            container_options={"protocol_whitelist": "none"},  # whatever it says, nothing else is opened
            buffer_size=AT_ONCE,
        ) as container:
            yield container, _video(container)
        if file.failure:
            raise file.failure
    except (DataError, av.FFmpegError, ValueError, MemoryError, OSError) as error:
        raise DataError(f"{path}: {_reason(file.failure or error, file.head)}") from error
    finally:
        file.close()


def _reason(error: Exception, head: bytes) -> str:
    if isinstance(error, DataError):
        return str(error)
    why = (getattr(error, "strerror", None) or str(error) or "no memory").lower()
    if isinstance(error, OSError) and not isinstance(error, av.FFmpegError):
        if isinstance(error, FileNotFoundError):
            return "there is no such file; correct the name"
        return f"cannot be read ({why}); look at its permissions and at the disk"
    if head[4:8] == b"ftyp":
        return f"is cut off: the index, without which an MP4 cannot be read, is missing at its end; {HINT_REDOWNLOAD}"
    return f"is no video, or its header is damaged ({why}); {HINT_REDOWNLOAD}"


class _LocalFile:
    """An ordinary file for the decoder, without a name, so that none can be taken for an address or a format.

    A failing disk ends the file for the decoder, which would print what it cannot raise; the failure is kept here.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.failure: OSError | None = None
        self.head = b""
        self._file: BinaryIO | None = None

    def open(self) -> None:
        """Raises DataError when it is no ordinary file, empty or text, OSError when it cannot be opened."""
        if self.path.is_dir():
            raise DataError("is a folder, not a video; name a file in it")
        if self.path.exists() and not self.path.is_file():
            raise DataError("is no ordinary file; name one")
        self._file = self.path.open("rb")
        self.head = self.read(HEAD)
        self.seek(0)
        if not self.head and not self.failure:
            raise DataError(f"is empty (0 bytes); {HINT_REDOWNLOAD}")
        if self.head and not any(self.head):
            raise DataError(f"holds zeros where its header should be; {HINT_REDOWNLOAD}")
        if _is_text(self.head):
            raise DataError("is text, not a video; name the video itself")

    def close(self) -> None:
        if self._file:
            self._file.close()

    def read(self, size: int) -> bytes:
        assert self._file is not None
        try:
            return self._file.read(size)
        except OSError as error:
            self.failure = error
            return b""

    def seek(self, offset: int, whence: int = 0) -> int:
        assert self._file is not None
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError, OverflowError):  # a damaged file points anywhere
            return -errno.EINVAL

    def tell(self) -> int:
        assert self._file is not None
        return self._file.tell()


def _is_text(head: bytes) -> bool:
    """Whether a file that begins so is text, be it a playlist: those name other files, which are not followed."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):  # UTF-16
        return True
    return min(head, default=255) < 128 and not CONTROL & set(head) and not head.startswith(b"YUV4MPEG2")


def _video(container: InputContainer) -> VideoStream:
    """The stream to watch, ready to decode. Raises DataError when there is none."""
    if container.format.name.endswith("_pipe"):
        raise DataError(STILL)
    streams = [stream for stream in container.streams.video if not stream.disposition & COVERS]
    if not streams:
        held = "has sound but no picture" if container.streams.audio else "has no picture"
        raise DataError(f"{held}; name the video that it belongs to")
    best = container.streams.best("video")
    stream = next((stream for stream in streams if stream is best), streams[0])
    if stream.codec_context is None:
        raise DataError(f"has a picture of a kind that cannot be decoded here, or a damaged header; {CONVERT}")
    stream.thread_type = "AUTO"
    stream.codec_context.thread_count = min(THREADS, os.cpu_count() or 1)
    stream.codec_context.options = {"max_pixels": str(PIXELS)}
    return stream


def _pixel_aspect(stream: VideoStream) -> float:
    return float(stream.sample_aspect_ratio or 1)


def _whole(reader: FrameReader, container: InputContainer, stream: VideoStream) -> Iterator[Shown[VideoFrame]]:
    """All frames. Raises DataError at the end when there is none, or when the header promises more."""
    count, end = 0, 0.0
    for shown in reader.shown():
        count, end = count + 1, shown.end
        yield shown
    _require_film(count, container)
    promised = _promised_end(container, stream, reader.step)
    if promised is not None and end < promised - max(MISSING, 3 * reader.step, promised / 100):
        raise DataError(f"is cut off: {end:.1f} s of {promised:.1f} s can be decoded; {HINT_REDOWNLOAD}")
    if promised is None and reader.broken:
        raise DataError(f"cannot be read beyond {end:.1f} s ({reader.broken.lower()}); {HINT_REDOWNLOAD}")


def _require_film(frames: int, container: InputContainer) -> None:
    if frames == 0:
        raise DataError(f"has no frame that can be decoded; {HINT_REDOWNLOAD}")
    if frames == 1 and STILLS & {container.format.name, container.metadata.get("major_brand", "")}:
        raise DataError(STILL)


def _promised_end(container: InputContainer, stream: VideoStream, step: float) -> float | None:
    """When the picture should end by the header, in seconds; None where only the file's size tells.

    The container's own length is taken where there is nothing but the picture: sound may be longer.
    """
    format = container.format.name
    if format == "avi":
        return stream.frames * step or None
    if format.startswith("mov,") and stream.duration and stream.time_base:
        return float(((stream.start_time or 0) + stream.duration) * stream.time_base)
    if format.startswith("matroska") and "DURATION" in stream.metadata:
        return _clock_seconds(stream.metadata["DURATION"])
    alone = all(other is stream or other.type == "attachment" for other in container.streams)
    if alone and container.duration and format.startswith(("matroska", "flv", "asf")):
        return container.duration / av.time_base
    return None


def _clock_seconds(text: str) -> float | None:
    """'00:01:02.5' -> 62.5; None for anything else."""
    try:
        hours, minutes, seconds = text.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return None
