"""What this machine, or the container on it, lets a process use."""

import math
import os
from pathlib import Path

CONTROL = Path("/sys/fs/cgroup")


def cores() -> int:
    """Those that this process may use, at least one; a container's share of time is rounded up."""
    free = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(free, math.ceil(_quota() or free)))


def memory() -> tuple[int, int] | None:
    """Bytes that the machine has, and that this process may use; None where the system does not say."""
    if not hasattr(os, "sysconf"):
        return None
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return total, min([total, *_limits("memory.max", "memory/memory.limit_in_bytes")])


def _quota() -> float | None:
    """Cores' worth of time that the container gives, None where nothing limits it. cgroup 2, then 1."""
    try:
        allowed, period = (CONTROL / "cpu.max").read_text().split()
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
            found.append(int((CONTROL / name).read_text()))
        except (OSError, ValueError):  # not there, or "max"
            continue
    return [number for number in found if number > 0]
