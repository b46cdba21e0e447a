"""Odd little videos for tests, rendered with PyAV: pictures at given times, in any container and codec."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]  # H x W x 3


def gray(value: int, width: int = 64, height: int = 48) -> Picture:
    """A picture of one brightness."""
    return np.full((height, width, 3), value, np.uint8)


def quarters(width: int = 96, height: int = 48) -> Picture:
    """White and red above, green and blue below: shows which way is up."""
    picture = np.zeros((height, width, 3), np.uint8)
    y, x = height // 2, width // 2
    picture[:y, :x], picture[:y, x:] = 255, (255, 0, 0)
    picture[y:, :x], picture[y:, x:] = (0, 255, 0), (0, 0, 255)
    return picture


def colours(picture: Picture) -> str:
    """What stands in the four quarters, row by row, of W(hite), R(ed), G(reen), B(lue), and K for black."""
    height, width = picture.shape[:2]
    spots = [picture[y, x] for y in (height // 4, 3 * height // 4) for x in (width // 4, 3 * width // 4)]
    return "".join("KW"[int(s.min() > 128)] if np.ptp(s) < 100 else "RGB"[int(s.argmax())] for s in spots)


def render(
    path: Path,
    pictures: Iterable[Picture],
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
    sound: float = 0.0,
    time_base: Fraction | None = None,
) -> Path:
    """Write pictures at `times` (ascending seconds), or else `fps` a second, and `sound` seconds of silence."""
    rate = Fraction(fps).limit_denominator(1001)
    unit = time_base or (1 / rate if times is None else Fraction(1, 1000))
    with av.open(path, "w", format=container, container_options=container_options) as out:
        stream: Any = None
        audio: Any = None
        for number, picture in enumerate(pictures):
            if stream is None:
                stream = out.add_stream(codec, rate=rate, options={**QUIET.get(codec, {}), **(options or {})})
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt = pix_fmt
                stream.codec_context.time_base = unit
                if pixel_aspect:
                    stream.codec_context.sample_aspect_ratio = pixel_aspect
                if rotation or mirrored:
                    stream.set_display_rotation(rotation, hflip=mirrored)
                audio = out.add_stream("aac" if container != "webm" else "libopus", rate=48000) if sound else None
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")
            frame.pts = round((number / rate if times is None else Fraction(times[number])) / unit)
            frame.time_base = unit
            out.mux(stream.encode(frame))
        if stream is not None:
            out.mux(stream.encode(None))
        if audio is not None:
            out.mux(list(_silence(audio, sound)))
    return path


QUIET = {"libx265": {"x265-params": "log-level=none"}}  # it writes to the terminal by itself


def _silence(stream: Any, seconds: float) -> Iterable[av.Packet]:
    for start in range(0, round(seconds * 48000), 1024):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
        yield from stream.encode(frame)
    yield from stream.encode(None)


def film(path: Path, seed: int, seconds: float = 6) -> Path:
    """A texture that wanders left, then right."""
    texture = np.random.default_rng(seed).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    steps = np.repeat([2, -2], round(seconds * 5))
    return render(path, [np.roll(texture, at, 1) for at in np.cumsum(steps)], fps=10)
