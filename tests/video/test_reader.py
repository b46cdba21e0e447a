"""Videos as people have them: right in time and picture, or refused in one sentence."""

import io
import os
import socket
import tempfile
import wave
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.video import colours, gray, quarters, render
from wtal.core.errors import DataError
from wtal.video import frames
from wtal.video import reader as video
from wtal.video.backbones.base import Sampling
from wtal.video.reader import read_snippets
from wtal.video.sampling import Snippet

EIGHT = Sampling(25, 8, 8, 32, 32)
AGAIN = "copy or download it again"
WHOLE = Sampling(25, 8, 8, 48, None)
GRAYS = [gray(8 * i) for i in range(30)]
NOISE = np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8)


def moving(count: int) -> list[np.ndarray]:
    """Noise that drifts: packets large enough to be worth damaging."""
    return [np.roll(NOISE, i, 1) for i in range(count)]


def brightness(snippet: Snippet) -> list[float]:
    """Of each picture, 0 to 255."""
    return snippet.pictures.mean(axis=(1, 2, 3)).tolist()


def first_pictures(path: Path, how: Sampling = EIGHT) -> list[float]:
    return brightness(next(read_snippets(path, how)))


def refusal(path: Path) -> str:
    """The sentence that the file is refused with, without its name."""
    with pytest.raises(DataError) as error:
        list(read_snippets(path, EIGHT))
    text = str(error.value)
    assert text.startswith(f"{path}: ") and "\n" not in text
    return text.removeprefix(f"{path}: ")


# --- time: an event is found where it was put -------------------------------------------------------------------

ANY_TIMES = {
    "mp4": {},
    "mov": {"codec": "mpeg4"},
    "mkv": {},
    "webm": {"codec": "libvpx", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "ts": {},
    "flv": {"options": {"bf": "0"}},  # with B-frames its muxer moves everything by two frames
    "wmv": {"codec": "wmv2", "container": "asf"},
    "gif": {"codec": "gif", "pix_fmt": "rgb8", "time_base": Fraction(1, 100)},
}
EVEN_TIMES = {
    "avi": {"codec": "mpeg4", "options": {"bf": "2"}},
    "mpg": {"codec": "mpeg2video"},
    "h264": {},
    **ANY_TIMES,
}
FROM_ZERO = {"ts", "mpg", "avi", "gif", "h264"}  # the first frame is at 0, whenever it was
RATES = [Fraction(24000, 1001), 24, 25, Fraction(30000, 1001), 30, 50, Fraction(60000, 1001), 60]


def found_event(path: Path) -> float:
    """When dark turned to bright, from the snippets' recorded times and their brightness alone."""
    seconds = start = None
    for snippet in read_snippets(path, EIGHT):
        start = snippet.start if start is None else start
        real = max(1, min(8, round((snippet.end - snippet.start) * 25)))
        dark = 1 - np.mean(brightness(snippet)[:real]) / 255
        seconds = (seconds or 0.0) + dark * (snippet.end - snippet.start)
    assert seconds is not None and start is not None
    return start + seconds


def check_event(name: str, at: list[float], event: int, **how: Any) -> None:
    pictures = [gray(255 if i >= event else 0) for i in range(len(at))]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"video.{name}"
        render(path, pictures, **how)
        truth = at[event] - (at[0] if name in FROM_ZERO else 0.0)
        error = abs(found_event(path) - truth)
    assert error < EIGHT.seconds / 2  # the promise
    assert error < 1.1 / EIGHT.fps + 0.01  # what is kept: one picture, and one hundredth for GIF's clock


@settings(deadline=None, max_examples=25)
@given(st.sampled_from(sorted(ANY_TIMES)), st.lists(st.integers(2, 20), min_size=20, max_size=40), st.data())
def test_an_event_is_found_at_its_time_at_a_variable_rate(name: str, gaps: list[int], data: Any) -> None:
    late = data.draw(st.sampled_from([0.0, 0.5, 2.0]), "the first frame")
    times = (late + np.cumsum([0, *gaps]) / 100).tolist()
    check_event(name, times, data.draw(st.integers(1, len(gaps)), "event"), times=times, **ANY_TIMES[name])


@settings(deadline=None, max_examples=25)
@given(st.sampled_from(sorted(EVEN_TIMES)), st.sampled_from(RATES), st.integers(1, 39))
def test_an_event_is_found_at_its_time_at_a_constant_rate(name: str, rate: Any, event: int) -> None:
    if name == "gif":
        rate = 25
    check_event(name, [float(i / rate) for i in range(40)], event, fps=rate, **EVEN_TIMES[name])


@pytest.mark.parametrize("name", ["mp4", "mkv", "mov", "webm", "flv", "wmv"])
def test_a_late_first_frame_begins_late(tmp_path: Path, name: str) -> None:
    times = [2 + i / 25 for i in range(20)]
    path = render(tmp_path / f"late.{name}", GRAYS[:20], times=times, **ANY_TIMES[name])
    snippets = list(read_snippets(path, EIGHT))
    assert [s.start for s in snippets] == pytest.approx([2.0, 2.32, 2.64], abs=0.002)
    assert snippets[-1].end == pytest.approx(2.8, abs=0.002)


def test_a_broadcast_counts_from_its_start(tmp_path: Path) -> None:
    path = render(tmp_path / "late.ts", GRAYS[:20], times=[500 + i / 25 for i in range(20)])
    assert next(read_snippets(path, EIGHT)).start == 0.0


def test_sound_that_begins_first_is_the_start_of_a_broadcast(tmp_path: Path) -> None:
    path = render(tmp_path / "late.ts", GRAYS, times=[7 + i / 25 for i in range(30)], sound=8.0)
    assert next(read_snippets(path, EIGHT)).start == pytest.approx(7.0, abs=0.1)


@pytest.mark.parametrize("b_frames", ["0", "3"])
def test_what_an_edit_list_cuts_away_is_not_seen(tmp_path: Path, b_frames: str) -> None:
    # The muxer writes an edit list for what comes before 0 s: here the first ten pictures.
    times = [(i - 10) / 25 for i in range(30)]
    path = render(tmp_path / "cut.mp4", GRAYS, times=times, options={"bf": b_frames})
    snippets = list(read_snippets(path, EIGHT))
    assert (snippets[0].start, snippets[-1].end) == (0.0, pytest.approx(0.8))
    assert brightness(snippets[0]) == pytest.approx([8 * i for i in range(10, 18)], abs=3)


def test_what_comes_before_zero_is_not_seen() -> None:
    reader = frames.FrameReader(*stream_of())
    frame = {"interlaced_frame": False, "duration": 4, "time_base": Fraction(1, 100)}
    some: list[Any] = [SimpleNamespace(number=i, **frame) for i in range(4)]
    reader._timed = lambda: zip([-0.08, -0.04, -0.01, 0.03], some, strict=True)
    seen = [(shown.start, shown.end, shown.frame.number) for shown in reader.shown()]
    assert seen == [(0.0, 0.03, 2), (0.03, 0.07, 3)]


@pytest.mark.parametrize("name, codec", [("avi", "mpeg4"), ("avi", "libx264"), ("h264", "libx264"), ("mp4", "libx264")])
def test_b_frames_come_in_the_order_of_time(tmp_path: Path, name: str, codec: str) -> None:
    path = render(tmp_path / f"b.{name}", GRAYS, codec=codec, options={"bf": "3", "b": "8000000"})
    snippets = list(read_snippets(path, EIGHT))
    assert (snippets[0].start, snippets[-1].end) == (0.0, pytest.approx(1.2))
    seen = [value for snippet in snippets for value in brightness(snippet)][:30]
    assert seen == pytest.approx([8 * i for i in range(30)], abs=3)


def test_a_raw_stream_has_the_rate_that_it_says(tmp_path: Path) -> None:
    path = render(tmp_path / "raw.h264", GRAYS, fps=50)
    assert list(read_snippets(path, EIGHT))[-1].end == pytest.approx(0.6)


def test_twice_the_rate_shows_every_other_frame(tmp_path: Path) -> None:
    for name in ("mp4", "mkv"):
        path = render(tmp_path / f"fast.{name}", GRAYS, fps=50)
        assert first_pictures(path) == pytest.approx([8 * i for i in range(1, 17, 2)], abs=3)


def test_frames_that_are_not_seen_are_not_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    make = video.FrameTransform.__call__
    monkeypatch.setattr(
        video.FrameTransform, "__call__", lambda self, frame: made.append(frame.pts) or make(self, frame)
    )
    list(read_snippets(render(tmp_path / "fast.mp4", GRAYS, fps=60), Sampling(12, 2, 2, 32, 32)))
    assert len(made) == 6
    made.clear()
    list(read_snippets(render(tmp_path / "slow.mp4", GRAYS[:4], fps=5), EIGHT))
    assert len(made) == 4


def test_broadcasts_pasted_together_run_backwards(tmp_path: Path) -> None:
    one = render(tmp_path / "one.ts", moving(60)).read_bytes()
    (tmp_path / "two.ts").write_bytes(one + one)
    assert refusal(tmp_path / "two.ts").startswith("has time stamps that run back from 2.36 s to 0.00 s")


def test_small_disorder_is_put_up_with() -> None:
    clock = frames._Clock(*stream_of(time_base=Fraction(1, 100)))
    times = [None]
    for pts in (0, 4, 8, 6, 12):
        times.append(clock.seconds(SimpleNamespace(pts=pts, dts=None), times[-1]))
    assert times[1:] == [0, 0.04, 0.08, 0.08, 0.12]


def test_a_leap_of_hours_is_refused(tmp_path: Path) -> None:
    path = render(tmp_path / "leap.mkv", GRAYS[:3], times=[0.0, 0.04, 8000.0])
    assert refusal(path).startswith("has time stamps that leap from 0.04 s to 8000.00 s; write it anew")


def test_a_last_frame_of_years_is_refused() -> None:
    clock = frames._Clock(*stream_of(time_base=Fraction(1)))
    frame: Any = SimpleNamespace(duration=10**9, time_base=Fraction(1))
    with pytest.raises(DataError, match="time stamps that leap from 3"):
        clock.end(3.0, frame)


def stream_of(**values: Any) -> tuple[Any, Any]:
    """A container and a stream that say only this."""
    stream = {"time_base": None, "average_rate": None, "guessed_rate": None, "start_time": 0, **values}
    return SimpleNamespace(format=SimpleNamespace(name="nut"), start_time=None), SimpleNamespace(**stream)


def test_frames_without_times_are_filled_in_or_refused() -> None:
    bare = SimpleNamespace(pts=None, dts=None)
    clock = frames._Clock(*stream_of(average_rate=Fraction(10)))
    assert [clock.seconds(bare, None), clock.seconds(bare, 0.3)] == [0.0, 0.4]
    with pytest.raises(DataError, match="frames without time stamps, and no frame rate; write it anew"):
        frames._Clock(*stream_of()).seconds(bare, None)


# --- pictures ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rotation, mirrored, expected",
    [
        *[(0, False, "WRGB"), (90, False, "RBWG"), (180, False, "BGRW"), (270, False, "GWBR")],
        *[(0, True, "RWBG"), (90, True, "BRGW"), (180, True, "GBWR"), (270, True, "WGRB")],
    ],
)
def test_pictures_are_upright(tmp_path: Path, rotation: int, mirrored: bool, expected: str) -> None:
    path = render(tmp_path / "turned.mp4", [quarters()] * 3, rotation=rotation, mirrored=mirrored)
    picture = next(read_snippets(path, WHOLE)).pictures[0]
    size = (96, 48) if rotation in (90, 270) else (48, 96)
    assert (colours(picture), picture.shape[:2]) == (expected, size)


def test_a_camera_turns_the_pictures_of_motion_jpeg_by_exif(tmp_path: Path) -> None:
    # PyAV cannot list the side data of such frames: the turn is read another way.
    pillow = pytest.importorskip("PIL.Image")
    exif, jpeg = pillow.Exif(), io.BytesIO()
    exif[0x0112] = 6  # to be turned to the right
    pillow.fromarray(quarters()).save(jpeg, "JPEG", exif=exif, quality=95)
    with av.open(tmp_path / "camera.avi", "w") as out:
        stream: Any = out.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 48, "yuvj420p"
        stream.codec_context.open()
        for i in range(3):
            packet = av.Packet(jpeg.getvalue())
            packet.pts, packet.dts, packet.time_base, packet.stream = i, i, Fraction(1, 25), stream
            packet.is_keyframe = True
            out.mux(packet)
    picture = next(read_snippets(tmp_path / "camera.avi", WHOLE)).pictures[0]
    assert (colours(picture), picture.shape) == ("GWBR", (96, 48, 3))


@pytest.mark.parametrize(
    "aspect, size",
    [(Fraction(2), (48, 192)), (Fraction(1, 2), (48, 48)), (Fraction(1, 4), (96, 48)), (None, (48, 96))],
)
def test_pixels_come_out_square(tmp_path: Path, aspect: Fraction | None, size: tuple[int, int]) -> None:
    path = render(tmp_path / "wide.mp4", [quarters()] * 3, pixel_aspect=aspect)
    picture = next(read_snippets(path, WHOLE)).pictures[0]
    assert (picture.shape[:2], colours(picture)) == (size, "WRGB")


def test_a_needle_is_no_video(tmp_path: Path) -> None:
    path = render(tmp_path / "needle.mp4", [quarters(64, 2)] * 3)
    assert refusal(path) == "shows 64 x 2 pixels, too narrow for a video; correct its aspect ratio"


def test_a_frame_larger_than_any_screen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = render(tmp_path / "large.mp4", [quarters()] * 3)
    monkeypatch.setattr(video, "PIXELS", 96 * 48 - 1)
    assert refusal(path) == "has no frame that can be decoded; " + AGAIN


@pytest.mark.parametrize("width, height", [(95, 47), (33, 1024 // 16 + 1), (1, 1), (7, 5)])
def test_odd_sizes(tmp_path: Path, width: int, height: int) -> None:
    path = render(tmp_path / "odd.mkv", [gray(200, width, height)] * 9, codec="ffv1", pix_fmt="yuv444p")
    pictures = next(read_snippets(path, EIGHT)).pictures
    assert pictures.shape == (8, 32, 32, 3) and pictures.mean() == pytest.approx(200, abs=2)


def test_the_centre_is_cropped(tmp_path: Path) -> None:
    stripes = np.zeros((48, 96, 3), np.uint8)
    stripes[:, 36:60] = 255  # the middle quarter of the width
    path = render(tmp_path / "wide.mkv", [stripes] * 3, codec="ffv1", pix_fmt="yuv444p")
    (snippet,) = read_snippets(path, Sampling(25, 8, 8, 48, 24))
    assert snippet.pictures.shape == (8, 24, 24, 3) and snippet.pictures.min() > 250


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
def test_colours_in_many_ways(tmp_path: Path, codec: str, pix_fmt: str, name: str, tolerance: int) -> None:
    stored = quarters()
    path = render(tmp_path / f"colour.{name}", [stored] * 3, codec=codec, pix_fmt=pix_fmt, options={"crf": "1"})
    picture = next(read_snippets(path, WHOLE)).pictures[0]
    inside = np.s_[8:16, 8:40], np.s_[8:16, 56:88], np.s_[32:40, 8:40], np.s_[32:40, 56:88]  # of the four quarters
    assert all(np.abs(picture[q].astype(int) - stored[q]).max() <= tolerance for q in inside)


@pytest.mark.parametrize("codec, pix_fmt, name", [("ffv1", "gray", "mkv"), ("ffv1", "gray10le", "mkv")])
def test_gray_videos(tmp_path: Path, codec: str, pix_fmt: str, name: str) -> None:
    path = render(tmp_path / f"gray.{name}", GRAYS, codec=codec, pix_fmt=pix_fmt)
    assert first_pictures(path) == pytest.approx([8 * i for i in range(8)], abs=3)


def test_an_animated_gif(tmp_path: Path) -> None:
    path = render(tmp_path / "a.gif", [quarters()] * 5, codec="gif", pix_fmt="rgb8", time_base=Fraction(1, 100))
    assert colours(next(read_snippets(path, WHOLE)).pictures[0]) == "WRGB"


@pytest.mark.parametrize("options", [{}, {"x264-params": "tff=1"}])
def test_a_change_of_size_in_the_stream_keeps_the_pictures_one_size(tmp_path: Path, options: dict[str, str]) -> None:
    wide = render(tmp_path / "wide.h264", [quarters()] * 8, options=options).read_bytes()
    small = render(tmp_path / "small.h264", [quarters(32, 32)] * 8, options=options).read_bytes()
    (tmp_path / "both.h264").write_bytes(wide + small)
    both = list(read_snippets(tmp_path / "both.h264", WHOLE))
    assert [s.pictures.shape for s in both] == [(8, 48, 96, 3)] * 2 and both[-1].end == pytest.approx(0.64)
    assert [colours(s.pictures[-1]) for s in both] == ["WRGB", "WRGB"]


@pytest.mark.parametrize(
    "name, how",
    [
        ("ts", {"codec": "mpeg2video", "options": {"flags": "+ilme+ildct", "b": "4000000"}}),
        ("mp4", {"options": {"x264-params": "tff=1:crf=1"}}),
    ],
)
def test_interlaced_frames_lose_their_comb_and_keep_their_time(tmp_path: Path, name: str, how: Any) -> None:
    combed = [gray(0, 128, 64) for _ in range(25)]
    for i, picture in enumerate(combed):
        picture[0::2, 4 * i : 4 * i + 20] = picture[1::2, 4 * i + 2 : 4 * i + 22] = 255  # half a frame later
    path = render(tmp_path / f"fields.{name}", combed, **how)
    with av.open(path) as container:
        assert next(container.decode(video=0)).interlaced_frame  # or else the test shows nothing
    snippets = list(read_snippets(path, Sampling(25, 5, 5, 64, None)))
    pictures = np.concatenate([s.pictures for s in snippets]).astype(int)
    assert (len(pictures), snippets[-1].end) == (25, pytest.approx(1.0))
    assert comb(pictures[2:-2]) < 0.2 * comb(np.stack(combed[2:-2]))
    lefts = [int(np.flatnonzero(picture[32, :, 0] > 128)[0]) for picture in pictures]
    assert lefts == pytest.approx([4 * i for i in range(25)], abs=2)


def comb(pictures: np.ndarray) -> float:
    """How much rows differ from the next. N x H x W x 3."""
    return float(np.abs(np.diff(pictures.astype(int), axis=1)).mean())


# --- whole, damaged, cut off ------------------------------------------------------------------------------------


def test_the_same_bytes_every_time(tmp_path: Path) -> None:
    path = render(tmp_path / "v.mp4", moving(60))
    one, two = (b"".join(s.pictures.tobytes() for s in read_snippets(path, EIGHT)) for _ in range(2))
    assert one == two


CUTTABLE = {
    "mp4": {"container_options": {"movflags": "faststart"}},
    "mkv": {},
    "webm": ANY_TIMES["webm"],
    "avi": {"codec": "mpeg4"},
    "flv": {},
}


@pytest.mark.parametrize("name", CUTTABLE)
def test_a_file_cut_off_says_how_much_is_there(tmp_path: Path, name: str) -> None:
    path = render(tmp_path / f"v.{name}", moving(120), **CUTTABLE[name])
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    assert "is cut off: " in refusal(path) and " s of 4." in refusal(path)


def test_an_mp4_cut_off_before_its_index(tmp_path: Path) -> None:
    path = render(tmp_path / "v.mp4", moving(60))
    path.write_bytes(path.read_bytes()[:-900])
    assert refusal(path).startswith("is cut off: the index, without which an MP4 cannot be read, is missing")


def test_a_file_with_sound_cut_off(tmp_path: Path) -> None:
    path = render(tmp_path / "v.mkv", moving(120), sound=5.0)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])  # the sound lies behind
    assert refusal(path).startswith("is cut off: ") and " s of 4.8 s" in refusal(path)


def test_a_file_that_cannot_be_read_on(tmp_path: Path) -> None:
    path = render(tmp_path / "v.y4m", GRAYS, codec="wrapped_avframe")
    data = path.read_bytes()
    half = data.index(b"FRAME", len(data) // 2)
    path.write_bytes(data[:half] + data[half:].replace(b"FRAME", b"FRAUD"))
    assert refusal(path) == "cannot be read beyond 0.6 s (invalid data found when processing input); " + AGAIN


@pytest.mark.parametrize("name", ["mp4", "mkv", "mov", "flv"])
def test_sound_may_be_longer_than_the_picture(tmp_path: Path, name: str) -> None:
    path = render(tmp_path / f"v.{name}", GRAYS, sound=5.0)
    assert list(read_snippets(path, EIGHT))[-1].end == pytest.approx(1.2, abs=0.1)


def test_a_broadcast_may_begin_anywhere(tmp_path: Path) -> None:
    path = render(tmp_path / "v.ts", moving(120), options={"g": "50"})
    data = path.read_bytes()
    path.write_bytes(data[len(data) * 100 // 940 // 188 * 188 :])  # within the first two seconds, which are lost
    snippets = list(read_snippets(path, EIGHT))
    assert snippets[-1].end - snippets[0].start == pytest.approx(2.8, abs=0.1)


def packets_of(path: Path) -> list[tuple[float, int, int]]:
    """(seconds, place in the file, bytes) of every packet."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        return [(float(p.pts * stream.time_base), p.pos, p.size) for p in container.demux(stream) if p.size]


def overwrite(path: Path, start: float, end: float) -> None:
    """Spoil the packets of these seconds."""
    data = bytearray(path.read_bytes())
    for time, place, size in packets_of(path):
        if start <= time < end:
            data[place + 4 : place + size] = bytes(size - 4)
    path.write_bytes(data)


def test_a_few_bad_packets_hold_the_picture_before(tmp_path: Path) -> None:
    path = render(tmp_path / "v.mov", GRAYS, codec="mjpeg", pix_fmt="yuvj420p")
    overwrite(path, 0.19, 0.31)  # three
    seen = [value for snippet in read_snippets(path, EIGHT) for value in brightness(snippet)][:30]
    assert seen == pytest.approx([8 * (4 if 5 <= i < 8 else i) for i in range(30)], abs=4)


@pytest.mark.parametrize("start, end", [(0.0, 1.31), (0.99, 2.31), (2.67, 9.0)])
def test_many_bad_packets_are_refused(tmp_path: Path, start: float, end: float) -> None:
    path = render(tmp_path / "v.mov", [gray(i) for i in range(100)], codec="mjpeg", pix_fmt="yuvj420p")
    overwrite(path, start, end)
    assert refusal(path) == "is damaged: 1.3 s of 4.0 s cannot be decoded; " + AGAIN


def test_a_hole_in_the_container_is_seen_by_the_frames_beside_it(tmp_path: Path) -> None:
    path = render(tmp_path / "v.mkv", moving(150), options={"g": "12"})
    data = bytearray(path.read_bytes())
    places = [place for time, place, _ in packets_of(path) if 2.0 <= time < 4.0]
    hole = slice(min(places) + 50, max(places))  # from the midst of a packet on
    data[hole] = np.random.default_rng(0).bytes(hole.stop - hole.start)
    path.write_bytes(data)
    assert refusal(path).startswith("is damaged: 2.")


def test_nothing_that_decodes(tmp_path: Path) -> None:
    path = render(tmp_path / "v.mov", GRAYS, codec="mjpeg", pix_fmt="yuvj420p")
    overwrite(path, 0, 9)
    assert refusal(path) == "has no frame that can be decoded; " + AGAIN


def test_ffmpeg_says_nothing_by_itself(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("mp4", "mkv", "ts"):
        path = render(tmp_path / f"v.{name}", moving(30))
        data = bytearray(path.read_bytes())
        data[len(data) // 2 : len(data) // 2 + 800] = bytes(800)
        path.write_bytes(data)
        with suppress(DataError):
            list(read_snippets(path, EIGHT))
    assert capfd.readouterr() == ("", "")


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(["mp4", "mkv", "avi", "ts", "flv"]), st.data())
def test_whatever_is_damaged_is_read_in_order_or_refused(name: str, data: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"v.{name}"
        path.write_bytes(sound_file(name))
        whole = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 3), "holes")):
            at = data.draw(st.integers(0, len(whole)), "at")
            whole[at : at + 400] = data.draw(st.binary(min_size=0, max_size=400), "instead")
        path.write_bytes(whole)
        try:
            snippets = list(read_snippets(path, EIGHT))
        except DataError as error:
            assert str(error).startswith(f"{path}: ")
            return
    assert all(0 <= s.start < s.end and s.pictures.shape == (8, 32, 32, 3) for s in snippets)
    assert all(a.end == b.start for a, b in pairwise(snippets))


SOUND: dict[str, bytes] = {}


def sound_file(name: str) -> bytes:
    """An undamaged file, rendered once."""
    if name not in SOUND:
        with tempfile.TemporaryDirectory() as folder:
            codec = "mpeg4" if name == "avi" else "libx264"
            SOUND[name] = render(Path(folder) / f"v.{name}", moving(50), codec=codec).read_bytes()
    return SOUND[name]


# --- no video at all --------------------------------------------------------------------------------------------


def silence() -> bytes:
    data = io.BytesIO()
    with wave.open(data, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(bytes(16000))
    return data.getvalue()


def still(codec: str, container: str, pix_fmt: str) -> Callable[[Path], None]:
    return lambda path: render(path, [quarters()], codec=codec, container=container, pix_fmt=pix_fmt)


def only_a_header(path: Path) -> None:
    with av.open(path, "w", format="mp4") as out:
        stream: Any = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        out.start_encoding()


def sound_with_a_cover(path: Path) -> None:
    cover = render(path.with_name("cover.jpg"), [quarters()], codec="mjpeg", container="image2", pix_fmt="yuvj420p")
    with av.open(path, "w", format="matroska") as out:
        sound: Any = out.add_stream("aac", rate=48000, layout="mono")
        out.add_attachment("cover.jpg", "image/jpeg", cover.read_bytes())
        for start in range(0, 48000, 1024):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
            out.mux(sound.encode(frame))
        out.mux(sound.encode(None))


NO_VIDEO: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda p: p.write_bytes(b""), "is empty (0 bytes)"),
    "a folder": (lambda p: p.mkdir(), "is a folder, not a video"),
    "missing": (lambda p: None, "there is no such file"),
    "text": (lambda p: p.write_text("video,labels\nclip01,jump\n"), "is text, not a video"),
    "text in UTF-16": (lambda p: p.write_text("hello", encoding="utf-16"), "is text, not a video"),
    "text in Latin-1": (lambda p: p.write_text("Füße", encoding="latin-1"), "is text, not a video"),
    "a playlist": (lambda p: p.write_text("#EXTM3U\nother.ts\n"), "is text, not a video"),
    "zeros": (lambda p: p.write_bytes(bytes(9000)), "holds zeros where its header should be"),
    "ones": (lambda p: p.write_bytes(b"\xff" * 9000), "is no video, or its header"),
    "random bytes": (lambda p: p.write_bytes(np.random.default_rng(1).bytes(9000)), "is no video, or its header"),
    "the first bytes of an MP4": (lambda p: p.write_bytes(sound_file("mp4")[:40]), "is cut off: the index"),
    "the first bytes of an AVI": (lambda p: p.write_bytes(sound_file("avi")[:200]), "is no video, or its header"),
    "the first bytes of a Matroska": (lambda p: p.write_bytes(sound_file("mkv")[:700]), "has no frame that can be"),
    "no frames": (only_a_header, "has no"),
    "sound": (lambda p: p.write_bytes(silence()), "has sound but no picture"),
    "sound with a cover": (sound_with_a_cover, "has sound but no picture"),
    "a JPEG": (still("mjpeg", "image2", "yuvj420p"), "is a picture, not a video"),
    "a PNG": (still("png", "image2", "rgb24"), "is a picture, not a video"),
    "a WebP": (still("libwebp", "image2", "yuv420p"), "is a picture, not a video"),
    "a GIF that does not move": (still("gif", "gif", "rgb8"), "is a picture, not a video"),
    "a device": (lambda p: os.mkfifo(p), "is no ordinary file"),
}


@pytest.mark.parametrize("what", NO_VIDEO)
def test_what_is_no_video_is_refused_in_a_sentence(tmp_path: Path, what: str) -> None:
    make, reason = NO_VIDEO[what]
    path = tmp_path / "video.mp4"
    make(path)
    text = refusal(path)
    assert text.startswith(reason) and "; " in text


def test_the_content_counts_not_the_ending(tmp_path: Path) -> None:
    for name in ("v.avi", "v.txt", "v", "v001.jpg", "http:v.mp4", "v%03d.png"):
        (tmp_path / name).write_bytes(sound_file("mp4"))
        assert list(read_snippets(tmp_path / name, EIGHT))[-1].end == pytest.approx(2.0)


def test_nothing_is_fetched(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/a.ts"
        playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{address}\n#EXT-X-ENDLIST\n"
        (tmp_path / "list.mp4").write_text(playlist)
        (tmp_path / "list.m3u8").write_text("\0" + playlist)  # no longer text
        for path in (tmp_path / "list.mp4", tmp_path / "list.m3u8", Path(address)):
            refusal(path)
        with pytest.raises(TimeoutError):
            server.accept()


def test_neighbours_are_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.mp4").write_bytes(sound_file("mp4"))
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile other.mp4\n# \1\n")  # the \1 hides that it is text
    assert refusal(tmp_path / "list.mp4").startswith("is no video, or its header is damaged")


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, mode: str) -> None:  # root may read anything, so it is played
        raise PermissionError(13, "Permission denied")

    (tmp_path / "v.mp4").write_bytes(sound_file("mp4"))
    monkeypatch.setattr(Path, "open", refuse)
    assert refusal(tmp_path / "v.mp4").startswith("cannot be read (permission denied); look at its permissions")


def test_a_failing_disk_is_told_from_a_bad_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 5000:
                raise OSError(5, "Input/output error")
            return super().read(min(size or -1, 3000))

    path = tmp_path / "v.mp4"
    path.write_bytes(sound_file("mp4"))
    monkeypatch.setattr(Path, "open", lambda self, mode: Failing(sound_file("mp4")))
    assert refusal(path) == "cannot be read (input/output error); look at its permissions and at the disk"


def test_a_damaged_file_may_point_anywhere(tmp_path: Path) -> None:
    # What a callback of the decoder raises is printed, so a place that is none is told by a number.
    (tmp_path / "v.mp4").write_bytes(sound_file("mp4"))
    file = video._LocalFile(tmp_path / "v.mp4")
    file.open()
    assert [file.seek(-5), file.seek(2**80), file.seek(7), file.tell()] == [-22, -22, 7, 7]
    file.close()


def test_names_in_the_file_may_be_in_any_encoding(tmp_path: Path) -> None:
    data = sound_file("mp4")
    assert b"VideoHandler" in data
    (tmp_path / "v.mp4").write_bytes(data.replace(b"VideoHandler", b"Vid\xe9o\xffandler"))
    assert list(read_snippets(tmp_path / "v.mp4", EIGHT))[-1].end == pytest.approx(2.0)


def test_a_codec_that_nobody_knows(tmp_path: Path) -> None:
    data = sound_file("mp4").replace(b"avc1", b"zzzz")
    (tmp_path / "v.mp4").write_bytes(data)
    assert refusal(tmp_path / "v.mp4").startswith("has a picture of a kind that cannot be decoded here")


def test_stopping_early_closes_the_file(tmp_path: Path) -> None:
    path = render(tmp_path / "v.mp4", GRAYS)
    snippets = read_snippets(path, EIGHT)
    next(snippets)
    snippets.close()
    path.unlink()  # and no warning of an open file comes up, which would be an error


# --- real ones --------------------------------------------------------------------------------------------------


def test_real_clips(shared: Callable[..., Path]) -> None:
    clips = shared("videos", "clips")
    for name, seconds in [
        ("v_CricketShot_g04_c01_rgb.gif", 3.16),
        ("v_SoccerJuggling_g23_c01.avi", 8.008),
        ("basketball.mp4", 11.111),
    ]:
        snippets = list(read_snippets(clips / name, EIGHT))
        assert snippets[0].start == 0 and snippets[-1].end == pytest.approx(seconds, abs=0.001)
