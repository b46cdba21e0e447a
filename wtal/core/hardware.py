"""The device to compute on, and the cores and memory that this process, or its container, may use."""

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from wtal.core.errors import ConfigError

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda")
CGROUP_ROOT = Path("/sys/fs/cgroup")


class Ram(NamedTuple):
    """Bytes of memory: of the machine, and how many of them this process, or its container, may use."""

    total: int
    allowed: int


def require_device(name: str) -> None:
    """Raise ConfigError for a name that is not in `DEVICES`. It does not import torch."""
    if name not in DEVICES:
        raise ConfigError(f"unknown device {name!r}", hint=f"use {', '.join(DEVICES)}", code="unknown-name")


def choose_device(name: str) -> "torch.device":
    """The device for a name in `DEVICES`; `auto` is a GPU if there is one.

    Each process that torchrun starts gets its own GPU.

    Raises:
        ConfigError: The name is unknown, there is no GPU, or torchrun started more processes than there are GPUs.
    """
    import torch

    require_device(name)
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "PyTorch cannot use a GPU here",
            hint="leave out --device, or install a PyTorch for CUDA",
            code="no-gpu",
        )
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and "LOCAL_RANK" in os.environ:  # set by torchrun
        rank, count = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if rank >= count:
            raise ConfigError(
                f"more processes than the {count} GPUs", hint=f"use --nproc_per_node {count}", code="no-gpu"
            )
        return torch.device("cuda", rank)
    return torch.device(name)


def available_cores() -> int:
    """The number of cores that this process may use, at least 1. A container's share of time is rounded up."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(count, math.ceil(_cgroup_cores() or count)))


def available_ram() -> Ram | None:
    """The memory of the machine and of this process; None where it is not known."""
    if not hasattr(os, "sysconf"):
        return None
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Ram(total, min([total, *_read_cgroup("memory.max", "memory/memory.limit_in_bytes")]))


def _cgroup_cores() -> float | None:
    """The cores that the container may use, None without a limit. From cgroup version 2, else version 1."""
    try:
        quota, period = (CGROUP_ROOT / "cpu.max").read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError):
        pass
    quotas, periods = _read_cgroup("cpu/cpu.cfs_quota_us"), _read_cgroup("cpu/cpu.cfs_period_us")
    return quotas[0] / periods[0] if quotas and periods else None


def _read_cgroup(*names: str) -> list[int]:
    """The positive numbers in those of the files that exist."""
    values = []
    for name in names:
        try:
            values.append(int((CGROUP_ROOT / name).read_text()))
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return [value for value in values if value > 0]
