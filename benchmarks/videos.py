"""Extraction at scale: an hour of video in bounded memory; a thousand small files, a tenth of them damaged."""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from wtal.data.create import create_dataset

HOUR = 3600  # seconds
SIZE = (480, 360)
GOOD, BAD = 900, 100
# Prints the peak memory of the command and of its largest worker, MB. The worker's (ru_maxrss) begins with what the
# command had when it was started, so it is an upper bound.
ROAD = """
import resource, sys
from pathlib import Path
from wtal.cli import main
try: main()
finally:
    own = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
    print("PEAK", own / 1024, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, file=sys.stderr)
"""


def rows(backbones: tuple[str, ...] = ("tiny",)) -> list[str]:
    """Lines of Markdown. `i3d` for the hour takes a quarter of an hour: `python -m benchmarks.videos tiny i3d`."""
    with tempfile.TemporaryDirectory() as place:
        return [*_hour(Path(place), backbones), "", *_thousand(Path(place))]


def _hour(place: Path, backbones: tuple[str, ...]) -> list[str]:
    video = place / "hour" / "hour.mp4"
    video.parent.mkdir()
    render(video, HOUR, SIZE)
    lines = [
        f"One hour at {SIZE[0]} x {SIZE[1]}, 25 frames a second:",
        "",
        "| backbone | s | times real time | peak MB, command | peak MB, worker |",
        "|---|---|---|---|---|",
    ]
    for backbone in backbones:
        folder = _list(place / f"data_{backbone}", video.parent, ["hour.mp4"])
        _, took, own, worker = extract(folder, backbone)
        lines.append(f"| {backbone} | {took:.0f} | {HOUR / took:.0f} | {own:.0f} | {worker:.0f} |")
    return lines


def _thousand(place: Path) -> list[str]:
    videos = place / "thousand"
    videos.mkdir()
    for i in range(9):
        render(videos / f"source{i}.mp4", 2 + i % 3, (96, 72), seed=i)
    names = [f"good{i}.mp4" for i in range(GOOD)]
    for i, name in enumerate(names):
        shutil.copy(videos / f"source{i % 9}.mp4", videos / name)
    bad = list(damaged(videos, BAD))
    folder = _list(place / "data", videos, [*names, *bad])
    code, took, own, worker = extract(folder, "tiny")
    there = len(list((folder / "features").glob("*.npy")))
    listed = len(json.loads((folder / "failed.json").read_text()))
    again_code, again, _, _ = extract(folder, "tiny")
    return [
        f"{GOOD} small videos and {BAD} damaged in ten ways: {there} extracted, {listed} listed with a reason, "
        f"exit code {code}, {took:.0f} s, peak {own:.0f} MB and {worker:.0f} MB a worker; "
        f"a second call {again:.0f} s, exit code {again_code}.",
    ]


def damaged(videos: Path, count: int) -> Iterator[str]:
    """Write `count` bad files, each tenth in the same way, and say their names."""
    whole = (videos / "source0.mp4").read_bytes()
    index_first = whole.partition(b"mdat")[0]
    sound = videos / "sound.wav"
    with av.open(str(sound), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=8000, layout="mono")
        out.mux(stream.encode(_silence()))
    contents = [
        b"",
        whole[: len(whole) // 2],
        index_first[:200],
        np.random.default_rng(0).bytes(5000),
        b"dear diary\n" * 300,
        sound.read_bytes(),
        index_first + b"mdat",
        b"\x89PNG\r\n\x1a\n" + whole[:100],
        bytes(4000),
    ]
    for i in range(count):
        name = f"bad{i}.mp4"
        if i % 10 == 9:
            (videos / name).mkdir()
        else:
            (videos / name).write_bytes(contents[i % 10])
        yield name


def _silence() -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
    frame.sample_rate = 8000
    return frame


def render(path: Path, seconds: float, size: tuple[int, int], seed: int = 0) -> None:
    """A texture that wanders, 25 frames a second, the index before the frames."""
    rng = np.random.default_rng(seed)
    texture = rng.integers(0, 255, (size[1] // 8, size[0] // 8, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    turns = [av.VideoFrame.from_ndarray(np.roll(texture, 4 * i, 1), format="rgb24") for i in range(50)]
    turns = [turn.reformat(format="yuv420p") for turn in turns]
    with av.open(str(path), "w", options={"movflags": "faststart"}) as out:
        stream = out.add_stream("mpeg4", rate=25, width=size[0], height=size[1], pix_fmt="yuv420p")
        for i in range(round(seconds * 25)):
            frame = turns[i % len(turns)]
            frame.pts, frame.time_base = i, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def extract(folder: Path, backbone: str) -> tuple[int, float, float, float]:
    """Exit code, seconds, peak MB of the command and of its largest worker. Raises where it ends otherwise."""
    words = [sys.executable, "-c", ROAD, "extract", str(folder), "--backbone", backbone]
    start = time.perf_counter()
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 2) or "PEAK" not in done.stderr:
        raise RuntimeError(f"extract: {done.stdout}{done.stderr}")
    own, worker = map(float, done.stderr.rsplit("PEAK ", 1)[1].split())
    return done.returncode, time.perf_counter() - start, own, worker


def _list(folder: Path, videos: Path, names: list[str]) -> Path:
    tags = folder.with_suffix(".csv")
    tags.write_text("video,labels\n" + "".join(f"{name},a\n" for name in names))
    create_dataset(folder, videos, [tags])
    return folder


if __name__ == "__main__":
    print("\n".join(rows(tuple(sys.argv[1:]) or ("tiny",))))
