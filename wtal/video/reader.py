"""Read a video file as snippets. Only local files are opened, and unusable files are rejected with the cause."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from wtal.core.errors import DataError
from wtal.core.io import open_input
from wtal.video.backbones.base import Sampling
from wtal.video.frames import HINT_REDOWNLOAD, FrameReader
from wtal.video.sampling import Snippet, TimedFrame, cut_snippets
from wtal.video.transforms import FrameTransform

COVER_IMAGES = Disposition.attached_pic | Disposition.timed_thumbnails  # of albums and chapters
STILL_IMAGE_FORMATS = {"gif", "apng", "ico", "mjpeg", "avif", "heic", "mif1"}  # formats and brands that can be stills
MAX_FRAME_BYTES = 1 << 27  # a frame as decoded; 8K with 10 bits and 4:2:2 has 133 MB
MAX_PROBED_PIXELS = 1 << 26  # before the pixel format is known; twice 8K
MAX_DECODER_BYTES = 1 << 29  # the frames of all threads of the decoder
MAX_DECODER_THREADS = 8
UNKNOWN_BITS_PER_PIXEL = 64  # the most that any pixel format has
MAX_MISSING_SECONDS = 0.5  # a file may end this much before the length in its header, which is rounded up
READ_BUFFER_BYTES = 1 << 18
HEADER_BYTES = 1 << 12  # enough to tell text from other files
CONTROL_BYTES = frozenset(range(32)) - set(b"\t\n\v\f\r\x1b")  # occur in every video, but not in text
HINT_VIDEO = "use a video file"
HINT_CONVERT = "convert it with `ffmpeg -i IN OUT.mp4`"


def read_snippets(path: Path, sampling: Sampling) -> Iterator[Snippet]:
    """Read the snippets of a video file in order of time, holding no more than a window of frames in memory.

    Times are presentation time stamps in the container's own time: a video whose first frame is displayed at 2 s starts
    at 2 s. Only MPEG transport and program streams, whose clocks start anywhere, are counted from their start. Frames
    before 0 s are skipped, as in players. The same file always gives the same bytes.

    Args:
        path: The video file.
        sampling: Rate, stride, window and size of the frames.

    Raises:
        DataError: The file is not a video, is incomplete, or cannot be decoded.
    """
    with _open_video(path) as (container, stream):
        frames = _all_frames(container, stream)
        pixel_aspect = float(stream.sample_aspect_ratio or 1)
        yield from cut_snippets(frames, sampling, FrameTransform(sampling, pixel_aspect))


def read_duration_and_rate(path: Path) -> tuple[float | None, float | None]:
    """Duration in seconds and frames per second according to the header; None where it does not contain them.

    Raises:
        DataError: As `read_snippets`.
    """
    with _open_video(path) as (container, stream):
        duration = container.duration / av.time_base if container.duration else None
        return duration, float(stream.average_rate) if stream.average_rate else None


def read_frame(path: Path, position: float, side: int) -> NDArray[np.uint8]:
    """Read one frame, upright and with square pixels, without decoding the frames before it.

    Args:
        path: The video file.
        position: Where the frame is, as a share of the duration, from 0 to 1. The last key frame before it is read. A
            file without a duration in its header is read from its start.
        side: The length of the shorter side after scaling, in pixels.

    Returns:
        RGB, H x W x 3.

    Raises:
        DataError: As `read_snippets`; only this part of the file is read.
    """
    with _open_video(path) as (container, stream):
        if position and container.duration:
            container.seek((container.start_time or 0) + round(position * container.duration))
        sampling = Sampling(fps=1.0, stride=1, window=1, side=side, crop=None)
        to_rgb = FrameTransform(sampling, float(stream.sample_aspect_ratio or 1))
        for frame in FrameReader(container, stream).frames():
            return to_rgb(frame.frame)
        raise DataError("no frame can be decoded", hint=HINT_REDOWNLOAD, code="damaged-video")


@contextmanager
def _open_video(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its video stream. Errors, also those inside the block, become DataErrors with the path."""
    file = _LocalFile(path)
    try:
        file.open()
        with av.open(
            file,
            "r",
            metadata_errors="replace",
            options={"max_pixels": str(MAX_PROBED_PIXELS), "threads": "1"},  # of the decoder that probes the streams
            container_options={"protocol_whitelist": "none"},  # never open another file or address
            buffer_size=READ_BUFFER_BYTES,
        ) as container:
            yield container, _video_stream(container)
        if file.failure:
            raise file.failure
    except (DataError, av.FFmpegError, ValueError, MemoryError, OSError) as error:
        raise _to_data_error(file.failure or error, path, file.header) from error
    finally:
        file.close()


def _to_data_error(error: Exception, path: Path, header: bytes) -> DataError:
    if isinstance(error, DataError):
        return DataError(error.message, path=path, hint=error.hint, code=error.code)
    if isinstance(error, MemoryError):
        hint = "free some memory, or scale the video down"
        return DataError("not enough memory to decode it", path=path, hint=hint, code="out-of-memory")
    reason = (getattr(error, "strerror", None) or str(error)).lower()
    if isinstance(error, OSError) and not isinstance(error, av.FFmpegError):
        hint = "check its permissions and the disk"
        return DataError(f"cannot be read ({reason})", path=path, hint=hint, code="io-error")
    if header[4:8] == b"ftyp":
        message = "incomplete: the index at the end of the MP4 file is missing"
        return DataError(message, path=path, hint=HINT_REDOWNLOAD, code="truncated-video")
    message = f"not a video, or its header is damaged ({reason})"
    return DataError(message, path=path, hint=HINT_REDOWNLOAD, code="not-a-video")


class _LocalFile:
    """The file object that FFmpeg reads from. It has no name that FFmpeg could interpret as an address or a pattern.

    A read failure is stored and ends the file, because FFmpeg prints exceptions of callbacks instead of raising them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.failure: OSError | None = None
        self.header = b""
        self._file: BinaryIO | None = None

    def open(self) -> None:
        """Open the file. Raises DataError when it is missing, not a regular file, empty or text."""
        self._file = open_input(self.path, hint="correct the path")
        self.header = self.read(HEADER_BYTES)
        self.seek(0)
        if not self.header and not self.failure:
            raise DataError("is empty (0 bytes)", hint=HINT_REDOWNLOAD, code="empty-file")
        if self.header and not any(self.header):
            raise DataError("the header consists of zeros", hint=HINT_REDOWNLOAD, code="damaged-video")
        if _is_text(self.header):
            raise DataError("is a text file, not a video", hint=HINT_VIDEO, code="not-a-video")

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
        except (OSError, ValueError, OverflowError):  # offsets in a damaged file can be anything
            return -errno.EINVAL

    def tell(self) -> int:
        assert self._file is not None
        return self._file.tell()


def _is_text(header: bytes) -> bool:
    """Whether a file with this header is text, which includes playlists: they refer to other files."""
    if header.startswith((b"\xff\xfe", b"\xfe\xff")):  # UTF-16
        return True
    return min(header, default=255) < 128 and not CONTROL_BYTES & set(header) and not header.startswith(b"YUV4MPEG2")


def _video_stream(container: InputContainer) -> VideoStream:
    """The main video stream, ready to decode. Raises DataError when there is none."""
    if container.format.name.endswith("_pipe"):
        raise _still_image_error()
    streams = [stream for stream in container.streams.video if not stream.disposition & COVER_IMAGES]
    if not streams:
        message = "contains audio but no video" if container.streams.audio else "contains no video"
        raise DataError(message, hint=HINT_VIDEO, code="no-video-stream")
    best = container.streams.best("video")
    stream = next((stream for stream in streams if stream is best), streams[0])
    if stream.codec_context is None:
        raise DataError("unsupported video codec, or a damaged header", hint=HINT_CONVERT, code="unsupported-codec")
    _limit_memory(stream)
    return stream


def _limit_memory(stream: VideoStream) -> None:
    """Bound the frames of the decoder. Raises DataError when those that the header declares are too large.

    The decoder refuses larger frames inside the stream by their number of pixels.
    """
    context = stream.codec_context
    bits = context.format.padded_bits_per_pixel if context.format else UNKNOWN_BITS_PER_PIXEL
    _require_frame_size(context.width, context.height, bits)
    frame_bytes = max(context.width * context.height * bits // 8, 1)
    context.thread_count = max(1, min(MAX_DECODER_THREADS, os.cpu_count() or 1, MAX_DECODER_BYTES // frame_bytes))
    context.options = {"max_pixels": str(2 * MAX_FRAME_BYTES * 8 // bits)}  # they are padded
    stream.thread_type = "AUTO"


def _require_frame_size(width: int, height: int, bits_per_pixel: int) -> None:
    frame_bytes = width * height * bits_per_pixel // 8
    if frame_bytes > MAX_FRAME_BYTES:
        raise DataError(
            f"a frame of {width} x {height} pixels takes {frame_bytes / 1e6:,.0f} MB, more than "
            f"{MAX_FRAME_BYTES / 1e6:,.0f}",
            hint="scale it down with `ffmpeg -i IN -vf scale=-2:1080 OUT.mp4`",
            code="frame-too-large",
        )


def _still_image_error() -> DataError:
    return DataError("is an image, not a video", hint=HINT_VIDEO, code="not-a-video")


def _all_frames(container: InputContainer, stream: VideoStream) -> Iterator[TimedFrame[VideoFrame]]:
    """All frames. Raises DataError at the end when there are none, or fewer than the header promises."""
    reader = FrameReader(container, stream)
    count, end = 0, 0.0
    for frame in reader.frames():
        image = frame.frame  # its format can differ from that in the header
        _require_frame_size(image.width, image.height, image.format.padded_bits_per_pixel)
        count, end = count + 1, frame.end
        yield frame
    if count == 0:
        raise DataError("no frame can be decoded", hint=HINT_REDOWNLOAD, code="damaged-video")
    if count == 1 and STILL_IMAGE_FORMATS & {container.format.name, container.metadata.get("major_brand", "")}:
        raise _still_image_error()
    expected_end = _end_in_header(container, stream, reader.frame_seconds)
    if expected_end is None and reader.read_error:
        message = f"cannot be read beyond {end:.1f} s ({reader.read_error.lower()})"
        raise DataError(message, hint=HINT_REDOWNLOAD, code="truncated-video")
    if expected_end is None:
        return
    if end < expected_end - max(MAX_MISSING_SECONDS, 3 * reader.frame_seconds, expected_end / 100):
        message = f"incomplete: {end:.1f} s of {expected_end:.1f} s can be decoded"
        raise DataError(message, hint=HINT_REDOWNLOAD, code="truncated-video")


def _end_in_header(container: InputContainer, stream: VideoStream, frame_seconds: float) -> float | None:
    """End of the video in seconds according to the header; None if the format does not store it.

    The length of the whole container is used only if it contains nothing but the video: audio can be longer.
    """
    format = container.format.name
    if format == "avi":
        return stream.frames * frame_seconds or None
    if format.startswith("mov,") and stream.duration and stream.time_base:
        return float(((stream.start_time or 0) + stream.duration) * stream.time_base)
    if format.startswith("matroska") and "DURATION" in stream.metadata:
        return _parse_duration(stream.metadata["DURATION"])
    is_only_stream = all(other is stream or other.type == "attachment" for other in container.streams)
    if is_only_stream and container.duration and format.startswith(("matroska", "flv", "asf")):
        return container.duration / av.time_base
    return None


def _parse_duration(text: str) -> float | None:
    """'00:01:02.5' to 62.5; None for anything else."""
    try:
        hours, minutes, seconds = text.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return None
