"""Sample frames by presentation time and cut them into snippets. Independent of decoders and pixel formats."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from wtal.core.errors import DataError
from wtal.video.backbones.base import Sampling

Frame = TypeVar("Frame")
RgbFrame = NDArray[np.uint8]  # H x W x 3

# Seconds. Matroska and FLV round time stamps by up to half of it. A frame that starts this little too late is sampled
# all the same, so that 50 frames per second sampled at 25 are every second frame in every container.
TIMESTAMP_TOLERANCE = 0.001

# Bounds of the work that frames with long times cause. A few frames that are displayed for hours are a few kilobytes.
MAX_STILL_SAMPLES = 15_000  # sampled frames, 10 minutes at 25 per second, that any video may have
MAX_SAMPLES_PER_FRAME = 100  # and as many more for each frame of the file


@dataclass(frozen=True)
class TimedFrame(Generic[Frame]):
    """A frame of the file and the seconds [start, end) in which it is displayed."""

    start: float
    end: float
    frame: Frame


@dataclass(frozen=True)
class Snippet:
    """A snippet covers [start, end] in seconds. `frames` is the window that the backbone sees, window x H x W x 3."""

    start: float
    end: float
    frames: NDArray[np.uint8]


def cut_snippets(
    frames: Iterable[TimedFrame[Frame]], sampling: Sampling, to_rgb: Callable[[Frame], RgbFrame]
) -> Iterator[Snippet]:
    """Cut a video into snippets.

    Sampled frame k is the frame that is displayed at `start + (k + 0.5) / fps` seconds, where `start` is the start of
    the first frame. Snippet i covers the sampled frames [i * stride, (i + 1) * stride). The last snippet ends with the
    video, so it may be shorter, or longer by less than half a sampled frame. A video with at least one frame has at
    least one snippet. No more than a window and a stride of sampled frames are held in memory.

    Args:
        frames: The frames of the file in order of time, each displayed until the next one.
        sampling: Rate, stride and window.
        to_rgb: Converts a frame to H x W x 3. It is called once for each frame that a snippet sees, and for no others.

    Raises:
        DataError: So few frames are displayed for so long that each would be sampled very often (code
            `too-few-frames`).
    """
    cutter = _SnippetCutter(sampling, to_rgb)
    for frame in frames:
        yield from cutter.add(frame)
    yield from cutter.finish()


def window_start(snippet: int, sampling: Sampling) -> int:
    """The first sampled frame of a snippet's window. It may be negative: then the first frame is repeated."""
    return snippet * sampling.stride + (sampling.stride - sampling.window) // 2


class _SnippetCutter(Generic[Frame]):
    def __init__(self, sampling: Sampling, to_rgb: Callable[[Frame], RgbFrame]) -> None:
        self.sampling = sampling
        self.to_rgb = to_rgb
        self.start: float | None = None  # seconds, of the first frame
        self.end = 0.0  # seconds, of the latest frame
        self.buffer: dict[int, RgbFrame] = {}  # index of the sampled frame -> frame
        self.num_frames = 0
        self.num_sampled = 0
        self.num_snippets = 0
        self.last_sampled: TimedFrame[Frame] | None = None
        self.last_converted: tuple[TimedFrame[Frame], RgbFrame] | None = None

    def add(self, frame: TimedFrame[Frame]) -> Iterator[Snippet]:
        if self.start is None:
            self.start, self.last_sampled = frame.start, frame
        self.end = frame.end
        self.num_frames += 1
        self._require_enough_frames()
        while self._seconds(self.num_sampled + 0.5) < frame.end - TIMESTAMP_TOLERANCE:
            self._sample(frame)
            if self._is_next_complete():
                yield self._next_snippet(self._seconds((self.num_snippets + 1) * self.sampling.stride))

    def _require_enough_frames(self) -> None:
        """Raise DataError where so few frames are displayed for so long that each is sampled very often."""
        assert self.start is not None
        seconds = self.end - self.start
        if seconds * self.sampling.fps > MAX_STILL_SAMPLES + MAX_SAMPLES_PER_FRAME * self.num_frames:
            raise DataError(
                f"{self.num_frames:,} frames are displayed for {seconds:,.0f} s",
                hint="cut the still parts, or repeat the frames with `ffmpeg -i IN -r 25 OUT.mp4`",
                code="too-few-frames",
            )

    def finish(self) -> Iterator[Snippet]:
        if self.last_sampled is None:
            return
        if self.num_sampled == 0:  # the video is shorter than half a sampled frame, or its only frame has no duration
            self.num_sampled = 1
            self.end = self.end if self.end > self._seconds(0) else self._seconds(1)
        if self.num_sampled - 1 not in self.buffer:  # repeated beyond the end, even if no window contains it
            self.buffer[self.num_sampled - 1] = self._convert(self.last_sampled)
        while (self.num_snippets + 1) * self.sampling.stride < self.num_sampled:
            yield self._next_snippet(self._seconds((self.num_snippets + 1) * self.sampling.stride))
        yield self._next_snippet(self.end)

    def _seconds(self, sampled_frames: float) -> float:
        assert self.start is not None
        return self.start + sampled_frames / self.sampling.fps

    def _sample(self, frame: TimedFrame[Frame]) -> None:
        offset = (self.num_sampled - window_start(0, self.sampling)) % self.sampling.stride
        self.last_sampled = frame
        if offset < self.sampling.window:
            self.buffer[self.num_sampled] = self._convert(frame)
        self.num_sampled += 1

    def _convert(self, frame: TimedFrame[Frame]) -> RgbFrame:
        if self.last_converted is None or self.last_converted[0] is not frame:
            self.last_converted = frame, self.to_rgb(frame.frame)
        return self.last_converted[1]

    def _is_next_complete(self) -> bool:
        """Whether the window of the next snippet is complete and the snippet is not the last one."""
        window_end = window_start(self.num_snippets, self.sampling) + self.sampling.window
        return self.num_sampled >= window_end and self.num_sampled > (self.num_snippets + 1) * self.sampling.stride

    def _next_snippet(self, end: float) -> Snippet:
        first = window_start(self.num_snippets, self.sampling)
        indices = np.clip(np.arange(first, first + self.sampling.window), 0, self.num_sampled - 1)
        start = self._seconds(self.num_snippets * self.sampling.stride)
        snippet = Snippet(start, end, np.stack([self.buffer[index] for index in indices.tolist()]))
        self.num_snippets += 1
        first_needed = window_start(self.num_snippets, self.sampling)
        self.buffer = {index: frame for index, frame in self.buffer.items() if index >= first_needed}
        return snippet
