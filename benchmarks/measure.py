"""What the measurements share: paths, median times, time and peak memory of a command, the machine's own speed."""

import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("WTAL_SHARED", ROOT.parent / "shared" / "data"))

# VmHWM is the peak of the process itself; ru_maxrss begins with the peak of its parent. The children's peak, which has
# no VmHWM, is an upper bound.
RUN_MODULE = """
import resource, runpy, sys
from pathlib import Path
sys.argv = sys.argv[1:]
try:
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
finally:
    peak = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]
    print("PEAK", peak, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
"""


def elapsed(function: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def median_seconds(function: Callable[[], object], repeats: int = 5) -> float:
    """Median seconds of a call, after one call to warm up."""
    function()
    return median(elapsed(function) for _ in range(repeats))


@dataclass(frozen=True)
class CommandUsage:
    """Seconds, exit code and peak memory in MB of a command, and peak memory of its largest child process."""

    seconds: float
    exit_code: int
    peak: float
    child_peak: float


def run_command(*arguments: str, module: str = "wtal") -> CommandUsage:
    """Run `python -m MODULE ARGUMENTS` in a process of its own (Linux).

    Raises:
        RuntimeError: The exit code is neither 0 nor 2, which means that some videos failed.
    """
    start = time.perf_counter()
    command = [sys.executable, "-c", RUN_MODULE, module, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    seconds = time.perf_counter() - start
    if done.returncode not in (0, 2) or "PEAK" not in done.stderr:
        raise RuntimeError(f"{module} {' '.join(arguments)}: {done.stdout}{done.stderr}")
    peak, child_peak = (int(kilobytes) / 1024 for kilobytes in done.stderr.rsplit("PEAK ", 1)[1].split())
    return CommandUsage(seconds, done.returncode, peak, child_peak)


def num_parameters(module: torch.nn.Module) -> int:
    """The number of parameters of a network."""
    return sum(parameter.numel() for parameter in module.parameters())


def machine_lines() -> list[str]:
    """Versions, and what the machine reaches with a matrix product and a copy."""
    matrix = torch.randn(1024, 1024)
    gflops = 2 * 1024**3 / median_seconds(lambda: matrix @ matrix) / 1e9
    array = np.zeros(1 << 25, dtype=np.float32)
    bandwidth = 2 * array.nbytes / median_seconds(array.copy) / 1e9
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return [
        f"- {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"torch {torch.__version__} with {torch.get_num_threads()} threads, commit {commit.stdout.strip()}",
        f"- reference, measured in the same run: matrix product {gflops:.0f} GFLOP/s, copy {bandwidth:.1f} GB/s",
    ]
