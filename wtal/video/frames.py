"""Frames of a video stream in order of time, deinterlaced, each with the seconds in which it is displayed."""

from collections.abc import Iterator
from fractions import Fraction

import av
from av.container import InputContainer
from av.filter import Graph
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from wtal.core.errors import DataError
from wtal.video.sampling import TimedFrame

MAX_BACKWARD_SECONDS = 1.0  # time stamps that run backwards by more are an error
MAX_GAP_SECONDS = 3600.0  # from one frame to the next; no video has longer gaps
MAX_LOST_SECONDS = 1.0  # undecodable part of a video; more than this and a hundredth of its length is an error
# Frames. With B-frames and threads, an undecodable packet is noticed up to this long before or after the gap it leaves.
REORDER_WINDOW = 32
HINT_REDOWNLOAD = "copy or download it again"
HINT_REMUX = "rewrite it with `ffmpeg -i IN -c copy OUT.mp4`"


class FrameReader:
    """Reads one stream once from start to end. Memory use is that of the decoder.

    Errors do not contain the path, which the caller adds.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self.container = container
        self.stream = stream
        self.read_error: str | None = None  # why the container could not be read to its end
        self._decoding_failed = False
        self._lost_seconds = 0.0  # without frames, next to packets that were damaged
        self._suspect_frames = 0  # the number of next frames whose gaps are attributed to a damaged packet
        self._clock = _StreamClock(container, stream)

    @property
    def frame_seconds(self) -> float:
        """Average seconds from one frame to the next, 0 if unknown."""
        return self._clock.frame_seconds

    def frames(self) -> Iterator[TimedFrame[VideoFrame]]:
        """All frames, each displayed until the next; the last one for its own duration. Times before 0 s are cut off.

        Raises:
            DataError: Time stamps are missing, run backwards or jump, or too much cannot be decoded.
        """
        previous: tuple[float, VideoFrame] | None = None
        for time, frame in _deinterlaced(self._timed(), self._clock.unit):
            if previous is not None and time > 0:
                yield TimedFrame(max(previous[0], 0.0), time, previous[1])
            previous = time, frame
        if previous is None:
            return
        time, frame = previous
        end = self._clock.end(time, frame)
        self._require_little_loss(end)
        if end > 0:
            yield TimedFrame(max(time, 0.0), end, frame)

    def _timed(self) -> Iterator[tuple[float, VideoFrame]]:
        """Frames with their times in seconds, which never decrease."""
        previous: float | None = None
        for frame in self._decoded():
            time = self._clock.seconds(frame, previous)
            if self._suspect_frames:
                self._suspect_frames -= 1
                expected = self._clock.first if previous is None else previous + self._clock.frame_seconds
                self._lost_seconds += max(time - expected, 0.0)
            if frame.is_corrupt:  # from an incomplete packet, or without a frame that it refers to
                self._suspect_frames = REORDER_WINDOW
            previous = time
            yield time, frame

    def _decoded(self) -> Iterator[VideoFrame]:
        for packet in self._packets():
            try:
                yield from self.stream.decode(packet)
            except EOFError:  # already drained
                return
            except av.FFmpegError:
                self._decoding_failed, self._suspect_frames = True, REORDER_WINDOW

    def _packets(self) -> "Iterator[Packet[VideoStream] | None]":
        """The packets of the stream as far as the container can be read, then None, which drains the decoder."""
        try:
            for packet in self.container.demux(self.stream):
                if packet.size:
                    self._clock.add_packet(packet)
                    yield packet
        except (av.FFmpegError, IndexError) as error:  # IndexError: a stream that a damaged file adds later
            self.read_error = getattr(error, "strerror", "a packet belongs to an unknown stream")
        yield None

    def _require_little_loss(self, end: float) -> None:
        if self._decoding_failed:
            self._lost_seconds += max(self._clock.last - end, 0.0)
        if self._lost_seconds > max(MAX_LOST_SECONDS, end / 100):
            duration = max(end, self._clock.last)
            raise DataError(
                f"damaged: {self._lost_seconds:.1f} s of {duration:.1f} s cannot be decoded",
                hint=HINT_REDOWNLOAD,
                code="damaged-video",
            )


class _StreamClock:
    """Converts time stamps to seconds.

    The clock of MPEG transport and program streams starts anywhere, so the start of the container is subtracted, as
    players do. All other containers keep their own time: a first frame at 2 s stays at 2 s.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self.unit = stream.time_base or Fraction(1, av.time_base)
        # A raw stream has no time stamps, and its average rate is always 25.
        average_rate = None if stream.start_time is None else stream.average_rate
        rate = average_rate or stream.guessed_rate
        self.frame_seconds = float(1 / rate) if rate else 0.0  # 0 if unknown
        is_mpeg = container.format.name in ("mpegts", "mpeg")
        self.origin = (container.start_time or 0) / av.time_base if is_mpeg else 0.0
        # AVI has no presentation times; decoding times have the order of frames, but are late by the reordering delay.
        self.uses_dts = container.format.name == "avi"
        self.dts_delay: int | None = None
        self.first = 0.0  # seconds, start of the first packet
        self.last = 0.0  # seconds, end of the last packet
        self._first_dts: int | None = None

    def add_packet(self, packet: "Packet[VideoStream]") -> None:
        stamp = packet.dts if self.uses_dts or packet.pts is None else packet.pts
        if stamp is None:
            return
        time = float(stamp * self.unit) - self.origin
        if self._first_dts is None:
            self._first_dts, self.first, self.last = packet.dts or 0, time, time
        self.last = max(self.last, time + float((packet.duration or 0) * self.unit))

    def seconds(self, frame: VideoFrame, previous: float | None) -> float:
        stamp = self._stamp(frame)
        if stamp is not None:
            time = float(stamp * self.unit) - self.origin
        elif self.frame_seconds:
            time = 0.0 if previous is None else previous + self.frame_seconds
        else:
            raise DataError(
                "frames have no time stamps, and the frame rate is unknown", hint=HINT_REMUX, code="missing-timestamps"
            )
        return time if previous is None else _next_time(previous, time)

    def end(self, time: float, frame: VideoFrame) -> float:
        """End of a last frame that starts at `time`: from its own duration, or the average."""
        duration = float(frame.duration * (frame.time_base or self.unit)) if frame.duration else self.frame_seconds
        return _next_time(time, time + duration)

    def _stamp(self, frame: VideoFrame) -> int | None:
        if not self.uses_dts:
            return frame.pts if frame.pts is not None else frame.dts
        if frame.dts is None:
            return None
        if self.dts_delay is None:
            self.dts_delay = frame.dts - (self._first_dts or 0)
        return frame.dts - self.dts_delay


def _next_time(previous: float, time: float) -> float:
    if time < previous - MAX_BACKWARD_SECONDS or time > previous + MAX_GAP_SECONDS:
        direction = "run backwards" if time < previous else "jump"
        raise DataError(
            f"time stamps {direction} from {previous:.2f} s to {time:.2f} s",
            hint=HINT_REMUX,
            code="invalid-timestamps",
        )
    return max(time, previous)


def _deinterlaced(frames: Iterator[tuple[float, VideoFrame]], unit: Fraction) -> Iterator[tuple[float, VideoFrame]]:
    """From the first interlaced frame on, pass all frames through a deinterlacer, which keeps progressive frames."""
    graph: Graph | None = None
    shape = None
    for time, frame in frames:
        if graph is None and not frame.interlaced_frame:
            yield time, frame
            continue
        if shape != (frame.width, frame.height, frame.format.name):
            if graph is not None:
                yield from _filter(graph, None)
            graph, shape = _deinterlacer(frame, unit), (frame.width, frame.height, frame.format.name)
        assert graph is not None
        frame.pts, frame.time_base = round(time / unit), unit
        yield from _filter(graph, frame)
    if graph is not None:
        yield from _filter(graph, None)


def _deinterlacer(frame: VideoFrame, unit: Fraction) -> Graph:
    graph = Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=unit)
    graph.link_nodes(source, graph.add("bwdif", "mode=send_frame:deint=interlaced"), graph.add("buffersink"))
    graph.configure()
    return graph


def _filter(graph: Graph, frame: VideoFrame | None) -> Iterator[tuple[float, VideoFrame]]:
    """Push a frame (None: the end) into the graph and yield the frames that are ready."""
    graph.vpush(frame)
    while True:
        try:
            output = graph.vpull()
        except (av.BlockingIOError, av.EOFError):
            return
        assert isinstance(output, VideoFrame) and output.pts is not None and output.time_base is not None
        yield float(output.pts * output.time_base), output
