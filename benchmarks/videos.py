"""Feature extraction at scale: an hour of video, and 1,000 small files of which every tenth is damaged. With
`python -m benchmarks.videos tiny i3d` the hour is also extracted with I3D, which takes a quarter of an hour."""

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from benchmarks.measure import run_command
from wtal.core.text import markdown_table
from wtal.data.create import create_dataset

HOUR = 3600  # seconds
HOUR_SIZE, SMALL_SIZE = (480, 360), (96, 72)
INTACT_FILES, DAMAGED_FILES = 900, 100
SOURCES = 9  # different small videos
FRAME_RATE = 25


def measure(backbones: tuple[str, ...] = ("tiny",)) -> list[str]:
    """The lines of the section."""
    with tempfile.TemporaryDirectory() as folder:
        return [*_measure_hour(Path(folder), backbones), "", *_measure_many(Path(folder))]


def _measure_hour(folder: Path, backbones: tuple[str, ...]) -> list[str]:
    video = folder / "hour" / "hour.mp4"
    video.parent.mkdir()
    render_video(video, HOUR, HOUR_SIZE)
    rows = []
    for backbone in backbones:
        data = _create(folder / f"data_{backbone}", video.parent, ["hour.mp4"])
        usage = run_command("extract", str(data), "--backbone", backbone)
        seconds, peaks = usage.seconds, (f"{usage.peak:.0f}", f"{usage.child_peak:.0f}")
        rows.append((backbone, f"{seconds:.0f}", f"{HOUR / seconds:.0f}", *peaks))
    header = ("backbone", "s", "times real time", "peak MB, command", "peak MB, worker")
    title = f"One hour at {HOUR_SIZE[0]} x {HOUR_SIZE[1]}, {FRAME_RATE} frames per second:"
    return [title, "", *markdown_table(header, rows)]


def _measure_many(folder: Path) -> list[str]:
    videos = folder / "videos"
    videos.mkdir()
    for i in range(SOURCES):
        render_video(videos / f"source{i}.mp4", 2 + i % 3, SMALL_SIZE, seed=i)
    intact = [f"intact{i}.mp4" for i in range(INTACT_FILES)]
    for i, name in enumerate(intact):
        shutil.copy(videos / f"source{i % SOURCES}.mp4", videos / name)
    data = _create(folder / "data", videos, [*intact, *write_damaged(videos, DAMAGED_FILES)])
    first = run_command("extract", str(data), "--backbone", "tiny")
    extracted = len(list((data / "features").glob("*.npy")))
    failed = len(json.loads((data / "failed.json").read_text()))
    second = run_command("extract", str(data), "--backbone", "tiny")
    return [
        f"{INTACT_FILES} small videos and {DAMAGED_FILES} damaged in ten ways: {extracted} extracted, {failed} listed "
        f"in failed.json, exit code {first.exit_code}, {first.seconds:.0f} s, peak {first.peak:.0f} MB and "
        f"{first.child_peak:.0f} MB per worker; a second call {second.seconds:.0f} s, exit code {second.exit_code}.",
    ]


def write_damaged(videos: Path, count: int) -> Iterator[str]:
    """Write `count` damaged files, in ten alternating ways, and yield their names."""
    intact = (videos / "source0.mp4").read_bytes()
    header = intact.partition(b"mdat")[0]
    audio = videos / "audio.wav"
    with av.open(str(audio), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=8000, layout="mono")
        out.mux(stream.encode(_silence()))
    contents = [
        b"",
        intact[: len(intact) // 2],
        header[:200],
        np.random.default_rng(0).bytes(5000),
        b"plain text\n" * 300,
        audio.read_bytes(),
        header + b"mdat",
        b"\x89PNG\r\n\x1a\n" + intact[:100],
        bytes(4000),
    ]
    for i in range(count):
        path = videos / f"damaged{i}.mp4"
        if i % 10 == 9:
            path.mkdir()
        else:
            path.write_bytes(contents[i % 10])
        yield path.name


def _silence() -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
    frame.sample_rate = 8000
    return frame


def render_video(path: Path, seconds: float, size: tuple[int, int], seed: int = 0) -> None:
    """Write a moving texture at 25 frames per second."""
    rng = np.random.default_rng(seed)
    texture = rng.integers(0, 255, (size[1] // 8, size[0] // 8, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    frames = [av.VideoFrame.from_ndarray(np.roll(texture, 4 * i, 1), format="rgb24") for i in range(50)]
    frames = [frame.reformat(format="yuv420p") for frame in frames]
    with av.open(str(path), "w", options={"movflags": "faststart"}) as out:
        stream = out.add_stream("mpeg4", rate=FRAME_RATE, width=size[0], height=size[1], pix_fmt="yuv420p")
        for i in range(round(seconds * FRAME_RATE)):
            frame = frames[i % len(frames)]
            frame.pts, frame.time_base = i, Fraction(1, FRAME_RATE)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def _create(folder: Path, videos: Path, names: list[str]) -> Path:
    tags = folder.with_suffix(".csv")
    tags.write_text("video,labels\n" + "".join(f"{name},a\n" for name in names))
    create_dataset(folder, videos, [tags])
    return folder


if __name__ == "__main__":
    print("\n".join(measure(tuple(sys.argv[1:]) or ("tiny",))))
