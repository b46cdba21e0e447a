"""Seconds from a folder of 20 tagged videos to the page: `wtal start` on clips of GMDCSA24 with the backbone tiny."""

import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measure import shared_path, shared_videos

CLIP_COUNT = 20


def measure() -> list[str]:
    """The lines of the section."""
    source = shared_path("videos", "gmdcsa24")
    clips = shared_videos()[:CLIP_COUNT]
    with TemporaryDirectory() as folder:
        videos = Path(folder, "videos")
        for path in [*clips, *source.glob("*/*.csv")]:
            copy = videos / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
        seconds = _start(videos)
    return [f"`wtal start` on {len(clips)} videos with tiny until it prints the address of the page: {seconds:.0f} s."]


def _start(videos: Path) -> float:
    """Seconds of the command until it prints the address of the page."""
    options = ["--tags", str(videos), "--backbone", "tiny", "--port", "0"]
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "wtal", "start", str(videos), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("open "):
                return time.perf_counter() - start
        raise RuntimeError("".join(lines))
    finally:
        process.terminate()
        process.wait()
