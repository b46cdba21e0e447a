"""What the tools share: paths, median times, and the time and peak memory of a command or of a function."""

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, TypeVar

from wtal.core.concurrency import init_worker_process
from wtal.core.errors import DataError

if TYPE_CHECKING:
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

Result = TypeVar("Result")


def shared_path(*parts: str) -> Path:
    """A file or folder in the public data. Raises DataError if it is missing."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        raise _missing_data(path)
    return path


def shared_videos() -> list[Path]:
    """The clips of GMDCSA24 in the public data, 720p. Raises DataError if there are none."""
    folder = shared_path("videos", "gmdcsa24")
    clips = sorted(folder.glob("*/*/*.mp4"))
    if not clips:
        raise _missing_data(folder / "*/*/*.mp4")
    return clips


def _missing_data(path: Path) -> DataError:
    hint = "set WTAL_SHARED to the folder that has them"
    return DataError("the public data are missing", path=path, hint=hint, code="missing-public-data")


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
    """Seconds and peak memory in MB of a command, and peak memory of its largest child process."""

    seconds: float
    peak: float
    child_peak: float


def run_command(*arguments: str, module: str = "wtal", exit_code: int = 0) -> CommandUsage:
    """Run `python -m MODULE ARGUMENTS` in a process of its own (Linux).

    Raises:
        RuntimeError: The command ends with another exit code.
    """
    start = time.perf_counter()
    command = [sys.executable, "-c", RUN_MODULE, module, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    seconds = time.perf_counter() - start
    if done.returncode != exit_code or "PEAK" not in done.stderr:
        raise RuntimeError(f"{module} {' '.join(arguments)}: {done.stdout}{done.stderr}")
    peak, child_peak = (int(kilobytes) / 1024 for kilobytes in done.stderr.rsplit("PEAK ", 1)[1].split())
    return CommandUsage(seconds, peak, child_peak)


def run_in_process(function: Callable[..., Result], *arguments: object) -> Result:
    """Call a function in a process of its own, so that its peak memory is its own."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, initializer=init_worker_process) as pool:
        return pool.submit(function, *arguments).result()


def process_memory(field: str) -> float:
    """A field of /proc/self/status in MB, such as `VmHWM`, the peak of this process (Linux)."""
    return int(Path("/proc/self/status").read_text().split(f"{field}:")[1].split()[0]) / 1024


def num_parameters(module: "torch.nn.Module") -> int:
    """The number of parameters of a network."""
    return sum(parameter.numel() for parameter in module.parameters())
