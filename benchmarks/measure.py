"""What the topics share: where the data lie, the machine's own floor, a command's time and peak memory."""

import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("WTAL_SHARED", ROOT.parent / "shared" / "data"))


def seconds(work: Callable[[], object], times: int = 5) -> float:
    """Median seconds of a call, after one to warm up."""
    work()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return median(taken)


def command(*words: str) -> tuple[float, float]:
    """Seconds and peak memory (MB) of `wtal ...` in a process of its own, on Linux. Raises if it fails."""
    code = (
        "import sys; from pathlib import Path; from wtal.cli import main\n"
        "try: main()\n"  # VmHWM, since ru_maxrss begins with the parent's peak
        "finally: sys.stderr.write('PEAK ' + Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    )
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"wtal {' '.join(words)}: {done.stdout}{done.stderr}")
    return time.perf_counter() - start, int(done.stderr.rsplit("PEAK ", 1)[1]) / 1024


def machine() -> list[str]:
    """What this machine is and can do at best: lines for the head of RESULTS.md."""
    a = torch.randn(1024, 1024)
    product = 2 * 1024**3 / seconds(lambda: a @ a) / 1e9
    copied = np.zeros(1 << 25, dtype=np.float32)
    copy = 2 * copied.nbytes / seconds(copied.copy) / 1e9
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return [
        f"- {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"torch {torch.__version__} with {torch.get_num_threads()} threads, commit {commit.stdout.strip()}",
        f"- floor, measured in the same run: matrix product {product:.0f} GFLOP/s, copy {copy:.1f} GB/s",
    ]
