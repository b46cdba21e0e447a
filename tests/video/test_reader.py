"""Reading videos of many kinds: frames at the right times and with the right colors, or a DataError."""

import io
import os
import socket
import tempfile
import wave
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.errors import raises
from tests.helpers.video import colors, gray, quarters, render
from wtal.core.errors import DataError
from wtal.video import frames, reader
from wtal.video.backbones.base import Sampling
from wtal.video.reader import read_snippets
from wtal.video.sampling import Snippet
from wtal.video.transforms import FrameTransform

CROPPED = Sampling(25, 8, 8, 32, 32)
UNCROPPED = Sampling(25, 8, 8, 48, None)
GRAYS = [gray(8 * i) for i in range(30)]
NOISE = np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8)


def moving(count: int) -> list[np.ndarray]:
    """Noise that moves, so that packets are large enough to be damaged."""
    return [np.roll(NOISE, i, 1) for i in range(count)]


def brightness(snippet: Snippet) -> list[float]:
    """Mean of each frame, 0 to 255."""
    return snippet.frames.mean(axis=(1, 2, 3)).tolist()


def first_brightness(path: Path) -> list[float]:
    return brightness(next(read_snippets(path, CROPPED)))


def read_error(path: Path, code: str) -> str:
    """The message of the error that reading the file raises."""
    with raises(DataError, code=code, path=path) as caught:
        list(read_snippets(path, CROPPED))
    assert "\n" not in str(caught.value) and caught.value.hint
    return caught.value.message


# --- Times ------------------------------------------------------------------------------------------------------------

ANY_TIMES = {
    "mp4": {},
    "mov": {"codec": "mpeg4"},
    "mkv": {},
    "webm": {"codec": "libvpx", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "ts": {},
    "flv": {"options": {"bf": "0"}},  # with B-frames the muxer shifts all times by two frames
    "wmv": {"codec": "wmv2", "container": "asf"},
    "gif": {"codec": "gif", "pix_fmt": "rgb8", "time_base": Fraction(1, 100)},
}
EVEN_TIMES = {
    "avi": {"codec": "mpeg4", "options": {"bf": "2"}},
    "mpg": {"codec": "mpeg2video"},
    "h264": {},
    **ANY_TIMES,
}
START_AT_ZERO = {"ts", "mpg", "avi", "gif", "h264"}  # the first frame is at 0, whatever its time was
RATES = [Fraction(24000, 1001), 24, 25, Fraction(30000, 1001), 30, 50, Fraction(60000, 1001), 60]


def detect_event(path: Path) -> float:
    """The time at which black turns to white, from the times and the brightness of the snippets."""
    seconds = start = None
    for snippet in read_snippets(path, CROPPED):
        start = snippet.start if start is None else start
        count = max(1, min(8, round((snippet.end - snippet.start) * 25)))  # frames that are not padding
        dark_share = 1 - np.mean(brightness(snippet)[:count]) / 255
        seconds = (seconds or 0.0) + dark_share * (snippet.end - snippet.start)
    assert seconds is not None and start is not None
    return start + seconds


def check_event(name: str, frame_times: list[float], event: int, **options: Any) -> None:
    """Render a video that turns white at frame `event`, and check the time of it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"video.{name}"
        render(path, [gray(255 if i >= event else 0) for i in range(len(frame_times))], **options)
        expected = frame_times[event] - (frame_times[0] if name in START_AT_ZERO else 0.0)
        error = abs(detect_event(path) - expected)
    assert error < 1.1 / CROPPED.fps + 0.01  # one sampled frame, and a hundredth of a second for the clock of GIF


@settings(deadline=None, max_examples=25)
@given(st.sampled_from(sorted(ANY_TIMES)), st.lists(st.integers(2, 20), min_size=20, max_size=40), st.data())
def test_times_are_correct_at_a_variable_frame_rate(name: str, gaps: list[int], data: Any) -> None:
    start = data.draw(st.sampled_from([0.0, 0.5, 2.0]), "start")
    times = (start + np.cumsum([0, *gaps]) / 100).tolist()
    check_event(name, times, data.draw(st.integers(1, len(gaps)), "event"), times=times, **ANY_TIMES[name])


@settings(deadline=None, max_examples=25)
@given(st.sampled_from(sorted(EVEN_TIMES)), st.sampled_from(RATES), st.integers(1, 39))
def test_times_are_correct_at_a_constant_frame_rate(name: str, rate: Any, event: int) -> None:
    if name == "gif":
        rate = 25
    check_event(name, [float(i / rate) for i in range(40)], event, fps=rate, **EVEN_TIMES[name])


@pytest.mark.parametrize("name", ["mp4", "mkv", "mov", "webm", "flv", "wmv"])
def test_late_first_frame_keeps_its_time(tmp_path: Path, name: str) -> None:
    times = [2 + i / 25 for i in range(20)]
    path = render(tmp_path / f"late.{name}", GRAYS[:20], times=times, **ANY_TIMES[name])
    snippets = list(read_snippets(path, CROPPED))
    assert [s.start for s in snippets] == pytest.approx([2.0, 2.32, 2.64], abs=0.002)
    assert snippets[-1].end == pytest.approx(2.8, abs=0.002)


def test_transport_stream_starts_at_zero(tmp_path: Path) -> None:
    path = render(tmp_path / "late.ts", GRAYS[:20], times=[500 + i / 25 for i in range(20)])
    assert next(read_snippets(path, CROPPED)).start == 0.0


def test_transport_stream_starts_with_its_audio(tmp_path: Path) -> None:
    path = render(tmp_path / "late.ts", GRAYS, times=[7 + i / 25 for i in range(30)], audio_seconds=8.0)
    assert next(read_snippets(path, CROPPED)).start == pytest.approx(7.0, abs=0.1)


@pytest.mark.parametrize("b_frames", ["0", "3"])
def test_frames_before_the_edit_list_are_skipped(tmp_path: Path, b_frames: str) -> None:
    # The muxer writes an edit list for frames before 0 s, which are the first ten.
    times = [(i - 10) / 25 for i in range(30)]
    path = render(tmp_path / "cut.mp4", GRAYS, times=times, options={"bf": b_frames})
    snippets = list(read_snippets(path, CROPPED))
    assert (snippets[0].start, snippets[-1].end) == (0.0, pytest.approx(0.8))
    assert brightness(snippets[0]) == pytest.approx([8 * i for i in range(10, 18)], abs=3)


def test_frames_before_zero_are_skipped() -> None:
    frame_reader = frames.FrameReader(*stub_stream())
    attributes = {"interlaced_frame": False, "duration": 4, "time_base": Fraction(1, 100)}
    stub_frames: list[Any] = [SimpleNamespace(number=i, **attributes) for i in range(4)]
    frame_reader._timed = lambda: zip([-0.08, -0.04, -0.01, 0.03], stub_frames, strict=True)
    timed = [(frame.start, frame.end, frame.frame.number) for frame in frame_reader.frames()]
    assert timed == [(0.0, 0.03, 2), (0.03, 0.07, 3)]


@pytest.mark.parametrize("name, codec", [("avi", "mpeg4"), ("avi", "libx264"), ("h264", "libx264"), ("mp4", "libx264")])
def test_b_frames_are_in_order_of_time(tmp_path: Path, name: str, codec: str) -> None:
    path = render(tmp_path / f"b.{name}", GRAYS, codec=codec, options={"bf": "3", "b": "8000000"})
    snippets = list(read_snippets(path, CROPPED))
    assert (snippets[0].start, snippets[-1].end) == (0.0, pytest.approx(1.2))
    values = [value for snippet in snippets for value in brightness(snippet)][:30]
    assert values == pytest.approx([8 * i for i in range(30)], abs=3)


def test_raw_stream_has_the_rate_in_its_header(tmp_path: Path) -> None:
    path = render(tmp_path / "raw.h264", GRAYS, fps=50)
    assert list(read_snippets(path, CROPPED))[-1].end == pytest.approx(0.6)


def test_twice_the_sampling_rate_takes_every_second_frame(tmp_path: Path) -> None:
    for name in ("mp4", "mkv"):
        path = render(tmp_path / f"fast.{name}", GRAYS, fps=50)
        assert first_brightness(path) == pytest.approx([8 * i for i in range(1, 17, 2)], abs=3)


def test_concatenated_transport_streams_are_rejected(tmp_path: Path) -> None:
    path = render(tmp_path / "video.ts", moving(60))
    path.write_bytes(2 * path.read_bytes())
    assert "2.36 s to 0.00 s" in read_error(path, "invalid-timestamps")


def test_slightly_unordered_time_stamps_are_accepted() -> None:
    clock = frames._StreamClock(*stub_stream(time_base=Fraction(1, 100)))
    times = [None]
    for pts in (0, 4, 8, 6, 12):
        times.append(clock.seconds(SimpleNamespace(pts=pts, dts=None), times[-1]))
    assert times[1:] == [0, 0.04, 0.08, 0.08, 0.12]


def test_gap_of_hours_is_rejected(tmp_path: Path) -> None:
    path = render(tmp_path / "gap.mkv", GRAYS[:3], times=[0.0, 0.04, 8000.0])
    assert "0.04 s to 8000.00 s" in read_error(path, "invalid-timestamps")


def test_last_frame_of_years_is_rejected() -> None:
    clock = frames._StreamClock(*stub_stream(time_base=Fraction(1)))
    frame: Any = SimpleNamespace(duration=10**9, time_base=Fraction(1))
    with raises(DataError, code="invalid-timestamps"):
        clock.end(3.0, frame)


def stub_stream(**values: Any) -> tuple[Any, Any]:
    """A container and a stream with these attributes."""
    stream = {"time_base": None, "average_rate": None, "guessed_rate": None, "start_time": 0, **values}
    return SimpleNamespace(format=SimpleNamespace(name="nut"), start_time=None), SimpleNamespace(**stream)


def test_missing_time_stamps_follow_from_the_frame_rate() -> None:
    frame = SimpleNamespace(pts=None, dts=None)
    clock = frames._StreamClock(*stub_stream(average_rate=Fraction(10)))
    assert [clock.seconds(frame, None), clock.seconds(frame, 0.3)] == [0.0, 0.4]
    with raises(DataError, code="missing-timestamps"):
        frames._StreamClock(*stub_stream()).seconds(frame, None)


# --- Colors, size and orientation ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rotation, mirrored, expected",
    [
        *[(0, False, "WRGB"), (90, False, "RBWG"), (180, False, "BGRW"), (270, False, "GWBR")],
        *[(0, True, "RWBG"), (90, True, "BRGW"), (180, True, "GBWR"), (270, True, "WGRB")],
    ],
)
def test_frames_are_rotated_and_mirrored_as_displayed(
    tmp_path: Path, rotation: int, mirrored: bool, expected: str
) -> None:
    path = render(tmp_path / "rotated.mp4", [quarters()] * 3, rotation=rotation, mirrored=mirrored)
    frame = next(read_snippets(path, UNCROPPED)).frames[0]
    size = (96, 48) if rotation in (90, 270) else (48, 96)
    assert (colors(frame), frame.shape[:2]) == (expected, size)


def test_motion_jpeg_is_rotated_by_its_exif_data(tmp_path: Path) -> None:
    # PyAV cannot list the side data of such frames, so the rotation is read in another way.
    pillow = pytest.importorskip("PIL.Image")
    exif, jpeg = pillow.Exif(), io.BytesIO()
    exif[0x0112] = 6  # rotate to the right
    pillow.fromarray(quarters()).save(jpeg, "JPEG", exif=exif, quality=95)
    with av.open(tmp_path / "camera.avi", "w") as output:
        stream: Any = output.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 48, "yuvj420p"
        stream.codec_context.open()
        for i in range(3):
            packet = av.Packet(jpeg.getvalue())
            packet.pts, packet.dts, packet.time_base, packet.stream = i, i, Fraction(1, 25), stream
            packet.is_keyframe = True
            output.mux(packet)
    frame = next(read_snippets(tmp_path / "camera.avi", UNCROPPED)).frames[0]
    assert (colors(frame), frame.shape) == ("GWBR", (96, 48, 3))


@pytest.mark.parametrize(
    "aspect, size",
    [(Fraction(2), (48, 192)), (Fraction(1, 2), (48, 48)), (Fraction(1, 4), (96, 48)), (None, (48, 96))],
)
def test_pixels_are_made_square(tmp_path: Path, aspect: Fraction | None, size: tuple[int, int]) -> None:
    path = render(tmp_path / "wide.mp4", [quarters()] * 3, pixel_aspect=aspect)
    frame = next(read_snippets(path, UNCROPPED)).frames[0]
    assert (frame.shape[:2], colors(frame)) == (size, "WRGB")


def test_reader_rejects_extreme_aspect_ratio(tmp_path: Path) -> None:
    path = render(tmp_path / "narrow.mp4", [quarters(64, 2)] * 3)
    assert "64 x 2" in read_error(path, "invalid-aspect-ratio")


def test_frames_that_take_too_much_memory_are_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = render(tmp_path / "large.mkv", [quarters()] * 3, codec="ffv1", pix_fmt="yuv444p16le")
    monkeypatch.setattr(reader, "MAX_FRAME_BYTES", 96 * 48 * 6)
    assert len(list(read_snippets(path, UNCROPPED))) == 1
    monkeypatch.setattr(reader, "MAX_FRAME_BYTES", 96 * 48 * 6 - 1)
    read_error(path, "frame-too-large")


def test_frames_that_become_larger_than_the_header_declares_are_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: Any = {"codec": "mjpeg", "pix_fmt": "yuvj444p"}
    small = render(tmp_path / "small.mjpeg", [quarters(64, 64)] * 9, **options)
    large = render(tmp_path / "large.mjpeg", [quarters(256, 256)] * 99, **options)
    (tmp_path / "both.mjpeg").write_bytes(small.read_bytes() + large.read_bytes())
    monkeypatch.setattr(reader, "MAX_FRAME_BYTES", 64 * 64 * 3)
    read_error(tmp_path / "both.mjpeg", "damaged-video")


def test_large_frames_are_decoded_by_fewer_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    path = render(tmp_path / "v.mkv", [quarters()] * 3, codec="ffv1", pix_fmt="yuv444p")
    for held, threads in ((0, 1), (5, 5), (100, reader.MAX_DECODER_THREADS)):
        monkeypatch.setattr(reader, "MAX_DECODER_BYTES", held * 96 * 48 * 3)
        with reader._open_video(path) as (_, stream):
            assert stream.codec_context.thread_count == threads


def test_memory_that_runs_out_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    path = render(tmp_path / "v.mp4", [quarters()] * 3)
    monkeypatch.setattr(FrameTransform, "__call__", fail)
    read_error(path, "out-of-memory")


@pytest.mark.parametrize("width, height", [(95, 47), (33, 1024 // 16 + 1), (1, 1), (7, 5)])
def test_odd_sizes_are_scaled(tmp_path: Path, width: int, height: int) -> None:
    path = render(tmp_path / "odd.mkv", [gray(200, width, height)] * 9, codec="ffv1", pix_fmt="yuv444p")
    rgb = next(read_snippets(path, CROPPED)).frames
    assert rgb.shape == (8, 32, 32, 3) and rgb.mean() == pytest.approx(200, abs=2)


def test_center_is_cropped(tmp_path: Path) -> None:
    stripes = np.zeros((48, 96, 3), np.uint8)
    stripes[:, 36:60] = 255  # the central quarter of the width
    path = render(tmp_path / "wide.mkv", [stripes] * 3, codec="ffv1", pix_fmt="yuv444p")
    (snippet,) = read_snippets(path, Sampling(25, 8, 8, 48, 24))
    assert snippet.frames.shape == (8, 24, 24, 3) and snippet.frames.min() > 250


@pytest.mark.parametrize(
    "codec, pix_fmt, name, tolerance",
    [
        ("libx265", "yuv420p10le", "mkv", 3),
        ("libx264", "yuv444p10le", "mp4", 3),
        ("ffv1", "yuva420p", "mkv", 3),
        ("qtrle", "argb", "mov", 1),
        ("prores_ks", "yuva444p10le", "mov", 3),
        ("mjpeg", "yuvj420p", "avi", 4),  # full range
        ("libx264", "yuv422p", "mp4", 3),
        ("ffv1", "bgr0", "avi", 1),
    ],
)
def test_colors_are_correct_in_many_codecs(tmp_path: Path, codec: str, pix_fmt: str, name: str, tolerance: int) -> None:
    original = quarters()
    path = render(tmp_path / f"color.{name}", [original] * 3, codec=codec, pix_fmt=pix_fmt, options={"crf": "1"})
    frame = next(read_snippets(path, UNCROPPED)).frames[0]
    # Inside the four quarters, away from their edges.
    for area in (np.s_[8:16, 8:40], np.s_[8:16, 56:88], np.s_[32:40, 8:40], np.s_[32:40, 56:88]):
        assert np.abs(frame[area].astype(int) - original[area]).max() <= tolerance


@pytest.mark.parametrize("pix_fmt", ["gray", "gray10le"])
def test_gray_video_is_read(tmp_path: Path, pix_fmt: str) -> None:
    path = render(tmp_path / "gray.mkv", GRAYS, codec="ffv1", pix_fmt=pix_fmt)
    assert first_brightness(path) == pytest.approx([8 * i for i in range(8)], abs=3)


def test_animated_gif_is_read(tmp_path: Path) -> None:
    path = render(tmp_path / "a.gif", [quarters()] * 5, codec="gif", pix_fmt="rgb8", time_base=Fraction(1, 100))
    assert colors(next(read_snippets(path, UNCROPPED)).frames[0]) == "WRGB"


@pytest.mark.parametrize("options", [{}, {"x264-params": "tff=1"}])
def test_size_changes_in_the_stream_are_scaled_to_the_first_size(tmp_path: Path, options: dict[str, str]) -> None:
    wide = render(tmp_path / "wide.h264", [quarters()] * 8, options=options).read_bytes()
    small = render(tmp_path / "small.h264", [quarters(32, 32)] * 8, options=options).read_bytes()
    (tmp_path / "both.h264").write_bytes(wide + small)
    snippets = list(read_snippets(tmp_path / "both.h264", UNCROPPED))
    assert [s.frames.shape for s in snippets] == [(8, 48, 96, 3)] * 2 and snippets[-1].end == pytest.approx(0.64)
    assert [colors(s.frames[-1]) for s in snippets] == ["WRGB", "WRGB"]


@pytest.mark.parametrize(
    "name, options",
    [
        ("ts", {"codec": "mpeg2video", "options": {"flags": "+ilme+ildct", "b": "4000000"}}),
        ("mp4", {"options": {"x264-params": "tff=1:crf=1"}}),
    ],
)
def test_interlaced_frames_are_deinterlaced_and_keep_their_times(tmp_path: Path, name: str, options: Any) -> None:
    interlaced = [gray(0, 128, 64) for _ in range(25)]
    for i, frame in enumerate(interlaced):
        frame[0::2, 4 * i : 4 * i + 20] = frame[1::2, 4 * i + 2 : 4 * i + 22] = 255  # second field: half a frame later
    path = render(tmp_path / f"fields.{name}", interlaced, **options)
    with av.open(path) as container:
        assert next(container.decode(video=0)).interlaced_frame  # otherwise the test would show nothing
    snippets = list(read_snippets(path, Sampling(25, 5, 5, 64, None)))
    rgb = np.concatenate([s.frames for s in snippets]).astype(int)
    assert (len(rgb), snippets[-1].end) == (25, pytest.approx(1.0))
    assert row_difference(rgb[2:-2]) < 0.2 * row_difference(np.stack(interlaced[2:-2]))
    left_edges = [int(np.flatnonzero(frame[32, :, 0] > 128)[0]) for frame in rgb]
    assert left_edges == pytest.approx([4 * i for i in range(25)], abs=2)


def row_difference(rgb: np.ndarray) -> float:
    """Mean difference between neighboring rows. N x H x W x 3."""
    return float(np.abs(np.diff(rgb.astype(int), axis=1)).mean())


# --- Damaged and incomplete files -------------------------------------------------------------------------------------


def test_reading_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    path = render(tmp_path / "v.mp4", moving(60))
    first, second = (b"".join(s.frames.tobytes() for s in read_snippets(path, CROPPED)) for _ in range(2))
    assert first == second


LENGTH_IN_HEADER = {
    "mp4": {"container_options": {"movflags": "faststart"}},
    "mkv": {},
    "webm": ANY_TIMES["webm"],
    "avi": {"codec": "mpeg4"},
    "flv": {},
}


@pytest.mark.parametrize("name", LENGTH_IN_HEADER)
def test_reader_rejects_truncated_file(tmp_path: Path, name: str) -> None:
    path = render(tmp_path / f"v.{name}", moving(120), **LENGTH_IN_HEADER[name])
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    assert " s of 4." in read_error(path, "truncated-video")


def test_reader_rejects_mp4_without_index(tmp_path: Path) -> None:
    path = render(tmp_path / "v.mp4", moving(60))
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"moov") - 4])
    assert "index" in read_error(path, "truncated-video")


def test_reader_rejects_truncated_file_with_audio(tmp_path: Path) -> None:
    path = render(tmp_path / "v.mkv", moving(120), audio_seconds=5.0)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert " s of 4.8 s" in read_error(path, "truncated-video")


def test_reader_rejects_file_that_is_unreadable_from_the_middle(tmp_path: Path) -> None:
    path = render(tmp_path / "v.y4m", GRAYS, codec="wrapped_avframe")
    data = path.read_bytes()
    half = data.index(b"FRAME", len(data) // 2)
    path.write_bytes(data[:half] + data[half:].replace(b"FRAME", b"FRAUD"))
    assert "beyond 0.6 s" in read_error(path, "truncated-video")


@pytest.mark.parametrize("name", ["mp4", "mkv", "mov", "flv"])
def test_audio_may_be_longer_than_the_video(tmp_path: Path, name: str) -> None:
    path = render(tmp_path / f"v.{name}", GRAYS, audio_seconds=5.0)
    assert list(read_snippets(path, CROPPED))[-1].end == pytest.approx(1.2, abs=0.1)


def test_transport_stream_may_start_between_keyframes(tmp_path: Path) -> None:
    path = render(tmp_path / "v.ts", moving(120), options={"g": "50"})
    data = path.read_bytes()
    path.write_bytes(data[len(data) * 100 // 940 // 188 * 188 :])  # starts within the first two seconds
    snippets = list(read_snippets(path, CROPPED))
    assert snippets[-1].end - snippets[0].start == pytest.approx(2.8, abs=0.1)


def packets_of(path: Path) -> list[tuple[float, int, int]]:
    """Seconds, offset in the file and bytes of every packet."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        return [(float(p.pts * stream.time_base), p.pos, p.size) for p in container.demux(stream) if p.size]


def overwrite(path: Path, start: float, end: float) -> None:
    """Overwrite the packets of these seconds with zeros."""
    data = bytearray(path.read_bytes())
    for time, offset, size in packets_of(path):
        if start <= time < end:
            data[offset + 4 : offset + size] = bytes(size - 4)
    path.write_bytes(data)


def test_few_damaged_packets_repeat_the_previous_frame(tmp_path: Path) -> None:
    path = render(tmp_path / "v.mov", GRAYS, codec="mjpeg", pix_fmt="yuvj420p")
    overwrite(path, 0.19, 0.31)  # three
    values = [value for snippet in read_snippets(path, CROPPED) for value in brightness(snippet)][:30]
    assert values == pytest.approx([8 * (4 if 5 <= i < 8 else i) for i in range(30)], abs=4)


@pytest.mark.parametrize("start, end", [(0.0, 1.31), (0.99, 2.31), (2.67, 9.0)])
def test_reader_rejects_many_damaged_packets(tmp_path: Path, start: float, end: float) -> None:
    path = render(tmp_path / "v.mov", [gray(i) for i in range(100)], codec="mjpeg", pix_fmt="yuvj420p")
    overwrite(path, start, end)
    assert "1.3 s of 4.0 s" in read_error(path, "damaged-video")


def test_reader_rejects_damaged_part_of_the_container(tmp_path: Path) -> None:
    path = render(tmp_path / "v.mkv", moving(150), options={"g": "12"})
    data = bytearray(path.read_bytes())
    offsets = [offset for time, offset, _ in packets_of(path) if 2.0 <= time < 4.0]
    damaged = slice(min(offsets) + 50, max(offsets))  # starts within a packet
    data[damaged] = np.random.default_rng(0).bytes(damaged.stop - damaged.start)
    path.write_bytes(data)
    assert "damaged: 2." in read_error(path, "damaged-video")


def test_reader_rejects_video_without_decodable_frames(tmp_path: Path) -> None:
    path = render(tmp_path / "v.mov", GRAYS, codec="mjpeg", pix_fmt="yuvj420p")
    overwrite(path, 0, 9)
    assert "no frame" in read_error(path, "damaged-video")


def test_ffmpeg_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("mp4", "mkv", "ts"):
        path = render(tmp_path / f"v.{name}", moving(30))
        data = bytearray(path.read_bytes())
        data[len(data) // 2 : len(data) // 2 + 800] = bytes(800)
        path.write_bytes(data)
        with suppress(DataError):
            list(read_snippets(path, CROPPED))
    assert capfd.readouterr() == ("", "")


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(["mp4", "mkv", "avi", "ts", "flv"]), st.data())
def test_damaged_file_is_read_in_order_or_raises_data_error(name: str, data: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"v.{name}"
        content = bytearray(valid_file(name))
        for _ in range(data.draw(st.integers(1, 3), "number of damaged parts")):
            offset = data.draw(st.integers(0, len(content)), "offset")
            content[offset : offset + 400] = data.draw(st.binary(min_size=0, max_size=400), "replacement")
        path.write_bytes(content)
        try:
            snippets = list(read_snippets(path, CROPPED))
        except DataError as error:
            assert error.path == str(path)
            return
    assert all(0 <= s.start < s.end and s.frames.shape == (8, 32, 32, 3) for s in snippets)
    assert all(a.end == b.start for a, b in pairwise(snippets))


@cache
def valid_file(name: str) -> bytes:
    """The content of a complete video of two seconds."""
    with tempfile.TemporaryDirectory() as folder:
        codec = "mpeg4" if name == "avi" else "libx264"
        return render(Path(folder) / f"v.{name}", moving(50), codec=codec).read_bytes()


# --- Files that are not videos ----------------------------------------------------------------------------------------


def silence() -> bytes:
    data = io.BytesIO()
    with wave.open(data, "wb") as audio:
        audio.setnchannels(1)
        audio.setsampwidth(2)
        audio.setframerate(8000)
        audio.writeframes(bytes(16000))
    return data.getvalue()


def still(codec: str, container: str, pix_fmt: str) -> Callable[[Path], None]:
    return lambda path: render(path, [quarters()], codec=codec, container=container, pix_fmt=pix_fmt)


def only_a_header(path: Path) -> None:
    with av.open(path, "w", format="mp4") as output:
        stream: Any = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        output.start_encoding()


def audio_with_cover(path: Path) -> None:
    cover = render(path.with_name("cover.jpg"), [quarters()], codec="mjpeg", container="image2", pix_fmt="yuvj420p")
    with av.open(path, "w", format="matroska") as output:
        audio: Any = output.add_stream("aac", rate=48000, layout="mono")
        output.add_attachment("cover.jpg", "image/jpeg", cover.read_bytes())
        for start in range(0, 48000, 1024):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
            output.mux(audio.encode(frame))
        output.mux(audio.encode(None))


NOT_A_VIDEO: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty file": (lambda p: p.write_bytes(b""), "empty-file"),
    "folder": (lambda p: p.mkdir(), "not-a-file"),
    "named pipe": (lambda p: os.mkfifo(p), "not-a-file"),
    "missing file": (lambda p: None, "file-not-found"),
    "text": (lambda p: p.write_text("video,labels\nclip01,jump\n"), "not-a-video"),
    "text in UTF-16": (lambda p: p.write_text("hello", encoding="utf-16"), "not-a-video"),
    "text in Latin-1": (lambda p: p.write_text("Füße", encoding="latin-1"), "not-a-video"),
    "playlist": (lambda p: p.write_text("#EXTM3U\nother.ts\n"), "not-a-video"),
    "zeros": (lambda p: p.write_bytes(bytes(9000)), "damaged-video"),
    "ones": (lambda p: p.write_bytes(b"\xff" * 9000), "not-a-video"),
    "random bytes": (lambda p: p.write_bytes(np.random.default_rng(1).bytes(9000)), "not-a-video"),
    "start of an MP4": (lambda p: p.write_bytes(valid_file("mp4")[:40]), "truncated-video"),
    "start of an AVI": (lambda p: p.write_bytes(valid_file("avi")[:200]), "not-a-video"),
    "start of a Matroska": (lambda p: p.write_bytes(valid_file("mkv")[:700]), "damaged-video"),
    "header only": (only_a_header, "no-video-stream"),
    "audio": (lambda p: p.write_bytes(silence()), "no-video-stream"),
    "audio with cover": (audio_with_cover, "no-video-stream"),
    "JPEG": (still("mjpeg", "image2", "yuvj420p"), "not-a-video"),
    "PNG": (still("png", "image2", "rgb24"), "not-a-video"),
    "WebP": (still("libwebp", "image2", "yuv420p"), "not-a-video"),
    "GIF with one frame": (still("gif", "gif", "rgb8"), "not-a-video"),
}


@pytest.mark.parametrize("kind", NOT_A_VIDEO)
def test_reader_rejects_files_that_are_not_videos(tmp_path: Path, kind: str) -> None:
    write, code = NOT_A_VIDEO[kind]
    path = tmp_path / "video.mp4"
    write(path)
    read_error(path, code)


@pytest.mark.parametrize("name", ["v.avi", "v.txt", "v", "v001.jpg", "http:v.mp4", "v%03d.png"])
def test_format_is_detected_from_content_not_from_suffix(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(valid_file("mp4"))
    assert list(read_snippets(tmp_path / name, CROPPED))[-1].end == pytest.approx(2.0)


def test_addresses_are_never_opened(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/a.ts"
        playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{address}\n#EXT-X-ENDLIST\n"
        (tmp_path / "list.mp4").write_text(playlist)
        (tmp_path / "list.m3u8").write_text("\0" + playlist)  # not recognized as text
        for path in (tmp_path / "list.mp4", tmp_path / "list.m3u8", Path(address)):
            with pytest.raises(DataError):
                list(read_snippets(path, CROPPED))
        with pytest.raises(TimeoutError):
            server.accept()


def test_references_to_other_files_are_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.mp4").write_bytes(valid_file("mp4"))
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile other.mp4\n# \1\n")  # \1: not recognized as text
    read_error(tmp_path / "list.mp4", "not-a-video")


def test_missing_permission_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, flags: int) -> None:  # simulated, as root may read anything
        raise PermissionError(13, "Permission denied")

    (tmp_path / "v.mp4").write_bytes(valid_file("mp4"))
    monkeypatch.setattr(os, "open", refuse)
    read_error(tmp_path / "v.mp4", "permission-denied")


def test_failing_disk_is_not_reported_as_a_damaged_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class FailingFile(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 5000:
                raise OSError(5, "Input/output error")
            return super().read(min(size or -1, 3000))

    path = tmp_path / "v.mp4"
    path.write_bytes(valid_file("mp4"))
    monkeypatch.setattr(reader, "open_input", lambda path, hint: FailingFile(valid_file("mp4")))
    assert "input/output error" in read_error(path, "io-error")


def test_invalid_offset_is_returned_as_error_number(tmp_path: Path) -> None:
    # FFmpeg prints exceptions of its callbacks, so an invalid offset must not raise one.
    (tmp_path / "v.mp4").write_bytes(valid_file("mp4"))
    file = reader._LocalFile(tmp_path / "v.mp4")
    file.open()
    assert [file.seek(-5), file.seek(2**80), file.seek(7), file.tell()] == [-22, -22, 7, 7]
    file.close()


def test_metadata_may_have_any_encoding(tmp_path: Path) -> None:
    data = valid_file("mp4")
    assert b"VideoHandler" in data
    (tmp_path / "v.mp4").write_bytes(data.replace(b"VideoHandler", b"Vid\xe9o\xffandler"))
    assert list(read_snippets(tmp_path / "v.mp4", CROPPED))[-1].end == pytest.approx(2.0)


def test_reader_rejects_unknown_codec(tmp_path: Path) -> None:
    data = valid_file("mp4").replace(b"avc1", b"zzzz")
    (tmp_path / "v.mp4").write_bytes(data)
    read_error(tmp_path / "v.mp4", "unsupported-codec")


def test_stopping_early_closes_the_file(tmp_path: Path) -> None:
    path = render(tmp_path / "v.mp4", GRAYS)
    snippets = read_snippets(path, CROPPED)
    next(snippets)
    snippets.close()
    path.unlink()  # a warning about an open file would be an error


# --- Real videos ------------------------------------------------------------------------------------------------------


def test_real_clips_have_their_known_duration(shared: Callable[..., Path]) -> None:
    clips = shared("videos", "clips")
    for name, seconds in [
        ("v_CricketShot_g04_c01_rgb.gif", 3.16),
        ("v_SoccerJuggling_g23_c01.avi", 8.008),
        ("basketball.mp4", 11.111),
    ]:
        snippets = list(read_snippets(clips / name, CROPPED))
        assert snippets[0].start == 0 and snippets[-1].end == pytest.approx(seconds, abs=0.001)
