"""Frames out of a video stream: in the order of time, deinterlaced, each with the seconds that it is shown."""

from collections.abc import Iterator
from fractions import Fraction

import av
from av.container import InputContainer
from av.filter import Graph
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from wtal.core.errors import DataError
from wtal.video.sampling import Shown

DISORDER = 1.0  # seconds: how far time stamps may run backwards before the file is refused
LEAP = 3600.0  # seconds from one frame to the next that no video has
LOSS = 1.0  # seconds that may be lost where packets do not decode, or a hundredth of the whole
REORDER_WINDOW = (
    32  # frames: with B-frames and threads a bad packet is noticed this much before or after the gap it leaves
)
HINT_REDOWNLOAD = "copy or download it again"
CONVERT = "convert it with `ffmpeg -i IN OUT.mp4`"
REMUX = "write it anew with `ffmpeg -i IN -c copy OUT.mp4`"


class FrameReader:
    """Reads one stream from its beginning to its end, once; holds no more than the decoder does.

    Messages do not name the file: that is left to whoever opened it.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self.container = container
        self.stream = stream
        self.broken: str | None = None  # why the container could not be read to its end
        self._failed = False  # whether a packet did not decode
        self._lost = 0.0  # seconds without a frame beside packets that did not decode, or not well
        self._suspect = 0  # frames after which a gap is no longer laid to a bad packet
        self._clock = _Clock(container, stream)

    @property
    def step(self) -> float:
        """Seconds from one frame to the next on average, 0 when unknown."""
        return self._clock.step

    def shown(self) -> Iterator[Shown[VideoFrame]]:
        """Every frame, shown until the next, the last one for its own duration; what lies before 0 s is left out.

        Raises DataError when time stamps are missing, run backwards or leap, or when too much does not decode.
        """
        before: tuple[float, VideoFrame] | None = None
        for time, frame in _progressive(self._timed(), self._clock.unit):
            if before is not None and time > 0:
                yield Shown(max(before[0], 0.0), time, before[1])
            before = time, frame
        if before is None:
            return
        time, frame = before
        end = self._clock.end(time, frame)
        self._require_little_loss(end)
        if end > 0:
            yield Shown(max(time, 0.0), end, frame)

    def _timed(self) -> Iterator[tuple[float, VideoFrame]]:
        """Frames with their seconds, which do not descend."""
        previous: float | None = None
        for frame in self._decoded():
            time = self._clock.seconds(frame, previous)
            if self._suspect:
                self._suspect -= 1
                since = self._clock.first if previous is None else previous + self._clock.step
                self._lost += max(time - since, 0.0)
            if frame.is_corrupt:  # of a packet that was cut short, or without one that it builds on
                self._suspect = REORDER_WINDOW
            previous = time
            yield time, frame

    def _decoded(self) -> Iterator[VideoFrame]:
        """What decodes; what does not is noted."""
        for packet in self._packets():
            try:
                yield from self.stream.decode(packet)
            except EOFError:  # drained already
                return
            except av.FFmpegError:
                self._failed, self._suspect = True, REORDER_WINDOW

    def _packets(self) -> "Iterator[Packet[VideoStream] | None]":
        """The stream's packets as far as the container can be read, then None, which drains the decoder."""
        try:
            for packet in self.container.demux(self.stream):
                if packet.size:
                    self._clock.see(packet)
                    yield packet
        except (av.FFmpegError, IndexError) as error:  # IndexError: a stream that only a damaged file has
            self.broken = getattr(error, "strerror", "a stream comes from nowhere")
        yield None

    def _require_little_loss(self, end: float) -> None:
        if self._failed:
            self._lost += max(self._clock.reach - end, 0.0)
        if self._lost > max(LOSS, end / 100):
            whole = max(end, self._clock.reach)
            raise DataError(f"is damaged: {self._lost:.1f} s of {whole:.1f} s cannot be decoded; {HINT_REDOWNLOAD}")


class _Clock:
    """Time stamps to seconds.

    MPEG transport and program streams count from wherever the sender's clock stood, so there the start of the
    container is taken off, as players do. All others keep their own time: a first frame at 2 s stays at 2 s.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self.unit = stream.time_base or Fraction(1, av.time_base)
        # A raw stream, which has no times, says 25 on average whatever it holds.
        average = None if stream.start_time is None else stream.average_rate
        rate = average or stream.guessed_rate
        self.step = float(1 / rate) if rate else 0.0  # seconds, 0 when unknown
        mpeg = container.format.name in ("mpegts", "mpeg")
        self.origin = (container.start_time or 0) / av.time_base if mpeg else 0.0
        # AVI has no presentation times; decoding times are in the order of frames, but late by the reordering.
        self.from_dts = container.format.name == "avi"
        self.delay: int | None = None
        self.first = 0.0  # seconds, of the first packet
        self.reach = 0.0  # seconds, to the end of the last packet
        self._first_dts: int | None = None

    def see(self, packet: "Packet[VideoStream]") -> None:
        stamp = packet.dts if self.from_dts or packet.pts is None else packet.pts
        if stamp is None:
            return
        time = float(stamp * self.unit) - self.origin
        if self._first_dts is None:
            self._first_dts, self.first, self.reach = packet.dts or 0, time, time
        self.reach = max(self.reach, time + float((packet.duration or 0) * self.unit))

    def seconds(self, frame: VideoFrame, previous: float | None) -> float:
        stamp = self._stamp(frame)
        if stamp is not None:
            time = float(stamp * self.unit) - self.origin
        elif self.step:
            time = 0.0 if previous is None else previous + self.step
        else:
            raise DataError(f"has frames without time stamps, and no frame rate; {REMUX}")
        return time if previous is None else _after(previous, time)

    def end(self, time: float, frame: VideoFrame) -> float:
        """Of a last frame that is shown from this second on: by its own duration, else the average."""
        duration = float(frame.duration * (frame.time_base or self.unit)) if frame.duration else self.step
        return _after(time, time + duration)

    def _stamp(self, frame: VideoFrame) -> int | None:
        if not self.from_dts:
            return frame.pts if frame.pts is not None else frame.dts
        if frame.dts is None:
            return None
        if self.delay is None:
            self.delay = frame.dts - (self._first_dts or 0)
        return frame.dts - self.delay


def _after(previous: float, time: float) -> float:
    if time < previous - DISORDER:
        raise DataError(f"has time stamps that run back from {previous:.2f} s to {time:.2f} s; {REMUX}")
    if time > previous + LEAP:
        raise DataError(f"has time stamps that leap from {previous:.2f} s to {time:.2f} s; {REMUX}")
    return max(time, previous)


def _progressive(frames: Iterator[tuple[float, VideoFrame]], unit: Fraction) -> Iterator[tuple[float, VideoFrame]]:
    """From the first interlaced frame on all pass a deinterlacer, which leaves progressive ones as they are."""
    graph: Graph | None = None
    shape = None
    for time, frame in frames:
        if graph is None and not frame.interlaced_frame:
            yield time, frame
            continue
        if shape != (frame.width, frame.height, frame.format.name):
            if graph is not None:
                yield from _pull(graph, None)
            graph, shape = _deinterlacer(frame, unit), (frame.width, frame.height, frame.format.name)
        assert graph is not None
        frame.pts, frame.time_base = round(time / unit), unit
        yield from _pull(graph, frame)
    if graph is not None:
        yield from _pull(graph, None)


def _deinterlacer(frame: VideoFrame, unit: Fraction) -> Graph:
    graph = Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=unit)
    graph.link_nodes(source, graph.add("bwdif", "mode=send_frame:deint=interlaced"), graph.add("buffersink"))
    graph.configure()
    return graph


def _pull(graph: Graph, frame: VideoFrame | None) -> Iterator[tuple[float, VideoFrame]]:
    """Give a frame (None: the end) to the graph and take what it has ready."""
    graph.vpush(frame)
    while True:
        try:
            out = graph.vpull()
        except (av.BlockingIOError, av.EOFError):
            return
        assert isinstance(out, VideoFrame) and out.pts is not None and out.time_base is not None
        yield float(out.pts * out.time_base), out
