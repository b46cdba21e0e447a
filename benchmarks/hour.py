"""Time and memory to extract an hour of video with the named backbones. I3D takes a quarter of an hour."""

import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import av
import numpy as np
import typer

from benchmarks.measure import run_command
from wtal.core.text import markdown_table
from wtal.data.create import create_dataset
from wtal.video.backbones.registry import find_backbone

HOUR = 3600  # seconds
SIZE = (480, 360)
FRAME_RATE = 25


def main(
    backbones: Annotated[list[str], typer.Argument(metavar="BACKBONE", help="Such as tiny or i3d")],
) -> None:
    """Print the table."""
    for backbone in backbones:
        find_backbone(backbone)
    with tempfile.TemporaryDirectory() as folder:
        print("\n".join(measure_hour(Path(folder), backbones)))


def measure_hour(folder: Path, backbones: Sequence[str]) -> list[str]:
    """Extract an hour of video in a folder with each backbone. Returns a title and a table."""
    video = folder / "hour" / "hour.mp4"
    video.parent.mkdir()
    render_video(video, HOUR, SIZE)
    rows = []
    for backbone in backbones:
        data = create_tagged(folder / f"data_{backbone}", video.parent, ["hour.mp4"])
        usage = run_command("extract", str(data), "--backbone", backbone)
        seconds, peaks = usage.seconds, (f"{usage.peak:.0f}", f"{usage.child_peak:.0f}")
        rows.append((backbone, f"{seconds:.0f}", f"{HOUR / seconds:.0f}", *peaks))
    header = ("backbone", "s", "times real time", "peak MB, command", "peak MB, worker")
    title = f"One hour at {SIZE[0]} x {SIZE[1]}, {FRAME_RATE} frames per second:"
    return [title, "", *markdown_table(header, rows)]


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


def create_tagged(folder: Path, videos: Path, names: Sequence[str]) -> Path:
    """Write a data set folder of videos that all have the tag `a`. Returns it."""
    tags = folder.with_suffix(".csv")
    tags.write_text("video,labels\n" + "".join(f"{name},a\n" for name in names))
    create_dataset(folder, videos, [tags])
    return folder
