"""Thumbnails of videos of many kinds."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.helpers.errors import raises
from tests.helpers.video import colors, gray, quarters, render
from wtal.core.errors import DataError
from wtal.video.reader import read_frame
from wtal.video.thumbnail import POSITION, PREVIEW_FRAMES, PREVIEW_SIDE, SIDE, write_preview, write_thumbnail


def read_image(path: Path) -> np.ndarray:
    with av.open(str(path)) as image:
        return next(image.decode(video=0)).to_ndarray(format="rgb24")


@pytest.mark.parametrize(
    ("options", "expected", "size"),
    [
        ({}, "WRGB", (SIDE, 2 * SIDE)),
        ({"rotation": 90}, "RBWG", (2 * SIDE, SIDE)),
        ({"pixel_aspect": Fraction(1, 2)}, "WRGB", (SIDE, SIDE)),
    ],
)
def test_thumbnail_is_upright_with_square_pixels(tmp_path, options, expected, size):
    write_thumbnail(render(tmp_path / "video.mp4", [quarters()] * 10, **options), tmp_path / "out" / "thumbnail.jpg")
    image = read_image(tmp_path / "out" / "thumbnail.jpg")
    assert image.shape[:2] == size
    assert colors(image) == expected


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.webm", "a.h264"])
def test_frame_is_the_key_frame_before_the_position(tmp_path, name):
    frames = [gray(2 * number) for number in range(100)]
    codec = "libvpx" if name.endswith("webm") else "libx264"
    options = {"container": "h264"} if name.endswith("h264") else {}
    path = render(tmp_path / name, frames, fps=10, codec=codec, options={"g": "10", "bf": "0"}, **options)
    expected = 0 if name.endswith("h264") else 120  # a stream without an index is read from its start
    assert read_frame(path, 0.65, 48).mean() == pytest.approx(expected, abs=22)
    assert read_frame(path, 0.0, 48).mean() == pytest.approx(0, abs=4)


def test_video_that_is_damaged_at_the_position_is_read_from_its_start(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8)
    frames = [np.roll(noise, number, 1) for number in range(60)]
    path = render(tmp_path / "video.mp4", frames, options={"g": "10"}, container_options={"movflags": "faststart"})
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 5] + bytes(len(content) - len(content) // 5))
    with raises(DataError):
        read_frame(path, POSITION, SIDE)
    write_thumbnail(path, tmp_path / "thumbnail.jpg")
    assert read_image(tmp_path / "thumbnail.jpg").shape == (SIDE, SIDE * 64 // 48, 3)


@pytest.mark.parametrize("seconds", [0.3, 2, 9])
def test_preview_has_the_frames_of_the_first_seconds(tmp_path, seconds):
    count = round(10 * seconds)
    write_preview(render(tmp_path / "a.avi", [gray(2 * i) for i in range(count)], fps=10), tmp_path / "preview.jpg")
    image = read_image(tmp_path / "preview.jpg")
    assert image.shape == (PREVIEW_FRAMES * PREVIEW_SIDE, PREVIEW_SIDE * 4 // 3, 3)
    brightness = image.reshape(PREVIEW_FRAMES, -1).mean(1)
    ascending = min(PREVIEW_FRAMES, max(1, round(seconds * 4)))
    assert (np.diff(brightness[:ascending]) > 2).all()
    if ascending < PREVIEW_FRAMES:
        assert brightness[ascending] == pytest.approx(brightness[0], abs=2), "repeated"


@pytest.mark.parametrize("content", [b"", b"text", b"\0\0\0\x18ftypmp42" + bytes(100)])
def test_files_that_are_no_videos_have_none(tmp_path, content):
    path = tmp_path / "video.mp4"
    path.write_bytes(content)
    for write in (write_thumbnail, write_preview):
        with raises(DataError, path=path):
            write(path, tmp_path / "thumbnail.jpg")
    assert not (tmp_path / "thumbnail.jpg").exists()
