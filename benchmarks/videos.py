"""Feature extraction at scale: an hour of video, and 1,000 small files of which every tenth is damaged."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from benchmarks.hour import create_tagged, measure_hour, render_video
from benchmarks.measure import run_command

SIZE = (96, 72)
INTACT_FILES, DAMAGED_FILES = 900, 100
SOURCES = 9  # different small videos


def measure() -> list[str]:
    """The lines of the section."""
    with tempfile.TemporaryDirectory() as folder:
        return [*measure_hour(Path(folder), ["tiny"]), "", *_measure_many(Path(folder))]


def _measure_many(folder: Path) -> list[str]:
    videos = folder / "videos"
    videos.mkdir()
    for i in range(SOURCES):
        render_video(videos / f"source{i}.mp4", 2 + i % 3, SIZE, seed=i)
    intact = [f"intact{i}.mp4" for i in range(INTACT_FILES)]
    for i, name in enumerate(intact):
        shutil.copy(videos / f"source{i % SOURCES}.mp4", videos / name)
    data = create_tagged(folder / "data", videos, [*intact, *write_damaged(videos, DAMAGED_FILES)])
    first = run_command("extract", str(data), "--backbone", "tiny", exit_code=2)
    extracted = len(list((data / "features").glob("*.npy")))
    failed = len(json.loads((data / "failed.json").read_text()))
    second = run_command("extract", str(data), "--backbone", "tiny", exit_code=2)
    return [
        f"{INTACT_FILES} small videos and {DAMAGED_FILES} damaged in ten ways: {extracted} extracted, {failed} listed "
        f"in failed.json, exit code 2, {first.seconds:.0f} s, peak {first.peak:.0f} MB and "
        f"{first.child_peak:.0f} MB per worker; a second call {second.seconds:.0f} s, exit code 2.",
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
