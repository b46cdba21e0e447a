"""Seconds per clip of I3D extraction by the number of processes and threads, alone and beside other work.

Each combination extracts the same clips. "Beside other work" runs one process per core that computes all the time.
The table shows the load average before each measurement, since other users of the machine are other work too.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.measure import shared_videos
from wtal.core.hardware import available_cores
from wtal.core.text import markdown_table
from wtal.video.backbones.i3d_weights import load_weights

CLIP_COUNT = 2

# Loads I3D, waits for a line, then extracts the clips that are given.
EXTRACT = """
import sys, torch
torch.set_num_threads(int(sys.argv[1]))
from wtal.video.backbones.base import BackboneOptions
from wtal.video.backbones.registry import open_backbone
from wtal.video.extract_video import extract_features
backbone = open_backbone(BackboneOptions("i3d", device="cpu"))
print(flush=True)
sys.stdin.readline()
for clip in sys.argv[2:]:
    extract_features(clip, backbone)
"""
BUSY = "while True: sum(range(100000))"


def measure() -> list[str]:
    """The lines of the section."""
    clips = [str(path) for path in shared_videos()[:CLIP_COUNT]]
    load_weights(None)  # an error, if there are none
    cores = available_cores()
    variants = {
        f"1 process, {cores} threads": (1, cores, {}),
        f"1 process, {cores} threads, OMP_WAIT_POLICY=PASSIVE": (1, cores, {"OMP_WAIT_POLICY": "PASSIVE"}),
        "1 process, 1 thread": (1, 1, {}),
        f"{cores} processes, 1 thread each": (cores, 1, {}),
    }
    rows = []
    for name, (processes, threads, environment) in variants.items():
        cells = []
        for busy in (0, cores):
            with _other_work(busy):
                load = os.getloadavg()[0]
                cells.append(f"{_seconds(clips, processes, threads, environment) / len(clips):.1f} ({load:.0f})")
        rows.append((name, *cells))
    header = ("s per clip (load average)", "alone", f"beside {cores} busy processes")
    return [f"{len(clips)} clips of GMDCSA24, 720p.", "", *markdown_table(header, rows)]


def _seconds(clips: list[str], processes: int, threads: int, environment: dict[str, str]) -> float:
    """Seconds from the start of the work of all processes to the end of the last one."""
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", EXTRACT, str(threads), *clips[number::processes]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"} | environment,
        )
        for number in range(processes)
    ]
    for worker in workers:
        assert worker.stdout is not None
        worker.stdout.readline()
    start = time.perf_counter()
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    for worker in workers:
        worker.wait()
    return time.perf_counter() - start


@contextmanager
def _other_work(count: int) -> Iterator[None]:
    processes = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
