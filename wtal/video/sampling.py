"""Pictures taken from frames by time, snippets cut from pictures. Pure: knows neither decoder nor pixel format."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from wtal.video.backbones.base import Sampling

Frame = TypeVar("Frame")
Picture = NDArray[np.uint8]  # H x W x 3

# Seconds. Matroska and FLV round time stamps to it: a frame that comes this little too late is shown all the same,
# so that 50 frames a second sampled at 25 are every other frame in every container.
TICK = 0.001


@dataclass(frozen=True)
class Shown(Generic[Frame]):
    """A frame of the file and the seconds [start, end) that it is on the screen."""

    start: float
    end: float
    frame: Frame


@dataclass(frozen=True)
class Snippet:
    """[start, end] in seconds, and what the backbone sees of it: window x H x W x 3 RGB."""

    start: float
    end: float
    pictures: NDArray[np.uint8]


def cut(frames: Iterable[Shown[Frame]], sampling: Sampling, picture: Callable[[Frame], Picture]) -> Iterator[Snippet]:
    """The snippets of a video, from its frames in the order of time, each shown until the next.

    Picture k stands at `start + (k + 0.5) / fps` seconds, `start` being the first frame's, and is the frame shown
    then. Snippet i covers pictures [i * stride, (i + 1) * stride); the last one ends with the video, so it may be
    shorter, or longer by less than half a picture. A video with a frame has at least one. `picture` is called only
    for frames that a snippet sees, once each, and a window and a stride of pictures are held at most.
    """
    cutter = _Cutter(sampling, picture)
    for shown in frames:
        yield from cutter.add(shown)
    yield from cutter.finish()


def first_picture(snippet: int, sampling: Sampling) -> int:
    """Where the window of a snippet begins, in pictures; below 0 or beyond the end the edge picture is repeated."""
    return snippet * sampling.stride + (sampling.stride - sampling.window) // 2


class _Cutter(Generic[Frame]):
    def __init__(self, sampling: Sampling, picture: Callable[[Frame], Picture]) -> None:
        self.sampling = sampling
        self.picture = picture
        self.start: float | None = None
        self.held: dict[int, Picture] = {}
        self.taken = 0  # pictures so far
        self.given = 0  # snippets so far
        self.end = 0.0
        self.last: Shown[Frame] | None = None  # of the pictures so far
        self.converted: tuple[Shown[Frame], Picture] | None = None

    def add(self, shown: Shown[Frame]) -> Iterator[Snippet]:
        if self.start is None:
            self.start, self.last = shown.start, shown
        self.end = shown.end
        while self._seconds(self.taken + 0.5) < shown.end - TICK:
            self._take(shown)
            if self._ready():
                yield self._give(self._seconds((self.given + 1) * self.sampling.stride))

    def finish(self) -> Iterator[Snippet]:
        if self.last is None:
            return
        if self.taken == 0:  # all of the video is shorter than half a picture, or nobody knows how long its frame is
            self.taken = 1
            self.end = self.end if self.end > self._seconds(0) else self._seconds(1)
        if self.taken - 1 not in self.held:  # the edge picture, though no window reaches it
            self.held[self.taken - 1] = self._convert(self.last)
        while (self.given + 1) * self.sampling.stride < self.taken:
            yield self._give(self._seconds((self.given + 1) * self.sampling.stride))
        yield self._give(self.end)

    def _seconds(self, pictures: float) -> float:
        assert self.start is not None
        return self.start + pictures / self.sampling.fps

    def _take(self, shown: Shown[Frame]) -> None:
        inside = (self.taken - first_picture(0, self.sampling)) % self.sampling.stride < self.sampling.window
        self.last = shown
        if inside:
            self.held[self.taken] = self._convert(shown)
        self.taken += 1

    def _convert(self, shown: Shown[Frame]) -> Picture:
        if self.converted is None or self.converted[0] is not shown:
            self.converted = shown, self.picture(shown.frame)
        return self.converted[1]

    def _ready(self) -> bool:
        """Whether all that the next snippet sees is there, and a picture after it, so that it is not the last."""
        window_end = first_picture(self.given, self.sampling) + self.sampling.window
        return self.taken >= window_end and self.taken > (self.given + 1) * self.sampling.stride

    def _give(self, end: float) -> Snippet:
        first = first_picture(self.given, self.sampling)
        seen = np.clip(np.arange(first, first + self.sampling.window), 0, self.taken - 1)
        start = self._seconds(self.given * self.sampling.stride)
        snippet = Snippet(start, end, np.stack([self.held[k] for k in seen.tolist()]))
        self.given += 1
        gone = first_picture(self.given, self.sampling)
        self.held = {k: held for k, held in self.held.items() if k >= gone}
        return snippet
