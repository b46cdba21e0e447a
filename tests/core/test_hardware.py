"""Cores and memory respect the limits of a container, and the device is chosen by name."""

import os

import pytest
import torch

from tests.helpers.errors import raises
from wtal.core import hardware
from wtal.core.errors import ConfigError
from wtal.core.hardware import available_cores, available_ram, choose_device, require_device


@pytest.mark.parametrize(
    "files, cores, gibibytes",
    [
        ({}, 8, 16),
        ({"cpu.max": "max 100000", "memory.max": "max"}, 8, 16),
        ({"cpu.max": "150000 100000", "memory.max": str(3 << 30)}, 2, 3),
        ({"cpu.max": "9900000 100000", "memory.max": str(99 << 30)}, 8, 16),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8, 16),
        (
            {
                "cpu/cpu.cfs_quota_us": "50000",
                "cpu/cpu.cfs_period_us": "100000",
                "memory/memory.limit_in_bytes": str(4 << 30),
            },
            1,
            4,
        ),
    ],
)
def test_container_limits_are_respected(tmp_path, monkeypatch, files, cores, gibibytes):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    monkeypatch.setattr(hardware, "CGROUP_ROOT", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 1 << 22}.get)  # 16 GiB
    assert available_cores() == cores
    assert available_ram() == (16 << 30, gibibytes << 30)


def test_device_by_name(monkeypatch):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("cpu") == choose_device("auto") == torch.device("cpu")
    with raises(ConfigError, code="no-gpu"):
        choose_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == torch.device("cuda") and choose_device("cpu") == torch.device("cpu")


def test_unknown_device_is_rejected():
    for check in (choose_device, require_device):
        with raises(ConfigError, code="unknown-name"):
            check("gpu")


def test_each_process_of_torchrun_has_its_own_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert choose_device("auto") == choose_device("cuda") == torch.device("cuda", 1)
    assert choose_device("cpu") == torch.device("cpu")
    monkeypatch.setenv("LOCAL_RANK", "2")
    with raises(ConfigError, code="no-gpu"):
        choose_device("cuda")
