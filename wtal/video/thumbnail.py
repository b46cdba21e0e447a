"""Small images of a video, to recognize it in a list: one frame, or some of its first seconds."""

from contextlib import suppress
from fractions import Fraction
from itertools import cycle, islice
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from wtal.core.errors import DataError
from wtal.core.io import atomic_write
from wtal.video.backbones.base import Sampling
from wtal.video.reader import read_frame, read_snippets

POSITION = 0.3  # of the length of the video; at its start, nothing happens in many videos
SIDE = 180  # pixels of the shorter side, sharp at half this size on screens with a high density
PREVIEW_FRAMES, PREVIEW_FPS = 24, 4  # the page shows this many, see preview.js
PREVIEW_SIDE = 120  # pixels
QUALITY = "5"  # of the JPEG encoder, from 2 (best) to 31


def write_thumbnail(video: Path, out: Path) -> None:
    """Write a JPEG image of a video: one frame, upright, with square pixels.

    Args:
        video: The video file.
        out: The file to write.

    Raises:
        DataError: The video cannot be decoded, or the file cannot be written.
    """
    rgb = None
    with suppress(DataError):  # such as a file that is damaged there
        rgb = read_frame(video, POSITION, SIDE)
    if rgb is None:
        rgb = read_frame(video, 0.0, SIDE)
    content = encode_jpeg(rgb)
    atomic_write(out, lambda part: part.write_bytes(content))


def write_preview(video: Path, out: Path) -> None:
    """Write a JPEG image of the first seconds of a video: `PREVIEW_FRAMES` frames, one below the other.

    The frames of a shorter video are repeated.

    Args:
        video: The video file.
        out: The file to write.

    Raises:
        DataError: The video cannot be decoded, or the file cannot be written.
    """
    sampling = Sampling(fps=PREVIEW_FPS, stride=1, window=1, side=PREVIEW_SIDE, crop=None)
    frames = [snippet.frames[0] for snippet in islice(read_snippets(video, sampling), PREVIEW_FRAMES)]
    content = encode_jpeg(np.concatenate(list(islice(cycle(frames), PREVIEW_FRAMES))))
    atomic_write(out, lambda part: part.write_bytes(content))


def encode_jpeg(rgb: NDArray[np.uint8]) -> bytes:
    """The JPEG file of an image, H x W x 3."""
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.height, encoder.width = rgb.shape[:2]
    encoder.pix_fmt, encoder.time_base = "yuvj420p", Fraction(1)
    encoder.options = {"qmin": QUALITY, "qmax": QUALITY}
    frame = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format="yuvj420p")
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
