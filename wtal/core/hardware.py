"""What this machine, or the container on it, lets a process use.

FROM: The device by name, chosen once.
"""

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

from wtal.core.errors import ConfigError

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda")


def require_device(name: str) -> None:
    """Raise ConfigError where there is no such name."""
    if name not in DEVICES:
        raise ConfigError(f"there is no device {name!r}; use {', '.join(DEVICES)}")


def choose_device(name: str) -> "torch.device":
    """`auto` takes a GPU where there is one. Raises ConfigError for another name, and where there is no GPU."""
    import torch  # here: who only checks a name need not wait for it

    require_device(name)
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("there is no GPU that this PyTorch can use; leave --device out, or install one for CUDA")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and "LOCAL_RANK" in os.environ:  # torchrun numbers the processes of a machine
        return _own_gpu(int(os.environ["LOCAL_RANK"]), torch.cuda.device_count())
    return torch.device(name)


def _own_gpu(number: int, count: int) -> "torch.device":
    import torch

    if number >= count:
        raise ConfigError(f"there are more processes than the {count} GPUs here; use --nproc_per_node {count}")
    return torch.device("cuda", number)


CGROUP_ROOT = Path("/sys/fs/cgroup")


def available_cores() -> int:
    """Those that this process may use, at least one; a container's share of time is rounded up."""
    free = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(free, math.ceil(_quota() or free)))


def available_ram() -> tuple[int, int] | None:
    """Bytes that the machine has, and that this process may use; None where the system does not say."""
    if not hasattr(os, "sysconf"):
        return None
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return total, min([total, *_limits("memory.max", "memory/memory.limit_in_bytes")])


def _quota() -> float | None:
    """Cores' worth of time that the container gives, None where nothing limits it. cgroup 2, then 1."""
    try:
        allowed, period = (CGROUP_ROOT / "cpu.max").read_text().split()
        return int(allowed) / int(period)
    except (OSError, ValueError):
        pass
    shares = _limits("cpu/cpu.cfs_quota_us"), _limits("cpu/cpu.cfs_period_us")
    return shares[0][0] / shares[1][0] if all(shares) else None


def _limits(*names: str) -> list[int]:
    """The positive numbers in those of the files that are there."""
    found = []
    for name in names:
        try:
            found.append(int((CGROUP_ROOT / name).read_text()))
        except (OSError, ValueError):  # not there, or "max"
            continue
    return [number for number in found if number > 0]
