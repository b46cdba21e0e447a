"""Small videos for tests, rendered with PyAV: frames at given times, in any container and codec."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]  # H x W x 3
QUIET_OPTIONS = {"libx265": {"x265-params": "log-level=none"}}  # this encoder writes to the terminal


def gray(value: int, width: int = 64, height: int = 48) -> Frame:
    """A frame of uniform brightness."""
    return np.full((height, width, 3), value, np.uint8)


def texture(seed: int) -> Frame:
    """Uniform noise, 48 x 64 x 3."""
    return np.random.default_rng(seed).integers(0, 255, (48, 64, 3), dtype=np.uint8)


def quarters(width: int = 96, height: int = 48) -> Frame:
    """White and red above, green and blue below, to test the orientation."""
    frame = np.zeros((height, width, 3), np.uint8)
    y, x = height // 2, width // 2
    frame[:y, :x], frame[:y, x:] = 255, (255, 0, 0)
    frame[y:, :x], frame[y:, x:] = (0, 255, 0), (0, 0, 255)
    return frame


def colors(frame: Frame) -> str:
    """The colors of the four quarters, row by row: W(hite), R(ed), G(reen), B(lue) or K for black."""
    height, width = frame.shape[:2]
    pixels = [frame[y, x] for y in (height // 4, 3 * height // 4) for x in (width // 4, 3 * width // 4)]
    return "".join("KW"[int(p.min() > 128)] if np.ptp(p) < 100 else "RGB"[int(p.argmax())] for p in pixels)


def render(
    path: Path,
    frames: Iterable[Frame],
    *,
    fps: Fraction | float = 25,
    times: Sequence[float] | None = None,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    container: str | None = None,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    rotation: int = 0,
    mirrored: bool = False,
    pixel_aspect: Fraction | None = None,
    audio_seconds: float = 0.0,
    time_base: Fraction | None = None,
) -> Path:
    """Write frames at `times` (ascending seconds), or `fps` per second, and some seconds of silence."""
    rate = Fraction(fps).limit_denominator(1001)
    unit = time_base or (1 / rate if times is None else Fraction(1, 1000))
    with av.open(path, "w", format=container, container_options=container_options) as output:
        stream: Any = None
        audio: Any = None
        for index, rgb in enumerate(frames):
            if stream is None:
                stream = output.add_stream(
                    codec, rate=rate, options={**QUIET_OPTIONS.get(codec, {}), **(options or {})}
                )
                stream.height, stream.width = rgb.shape[:2]
                stream.pix_fmt = pix_fmt
                stream.codec_context.time_base = unit
                if pixel_aspect:
                    stream.codec_context.sample_aspect_ratio = pixel_aspect
                if rotation or mirrored:
                    stream.set_display_rotation(rotation, hflip=mirrored)
                if audio_seconds:
                    audio = output.add_stream("aac", rate=48000)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), "rgb24")
            frame.pts = round((index / rate if times is None else Fraction(times[index])) / unit)
            frame.time_base = unit
            output.mux(stream.encode(frame))
        if stream is not None:
            output.mux(stream.encode(None))
        if audio is not None:
            output.mux(list(_silence(audio, audio_seconds)))
    return path


def _silence(stream: Any, seconds: float) -> Iterable[av.Packet]:
    for start in range(0, round(seconds * 48000), 1024):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
        yield from stream.encode(frame)
    yield from stream.encode(None)


def film(path: Path, seed: int, seconds: float = 6) -> Path:
    """A texture that moves right, then left, at 10 frames per second."""
    steps = np.repeat([2, -2], round(seconds * 5))
    return render(path, [np.roll(texture(seed), shift, 1) for shift in np.cumsum(steps)], fps=10)
