"""Worker processes cannot take the memory of the whole machine."""

import subprocess
import sys

import pytest

CODE = """
from wtal.core import concurrency, hardware
concurrency.MIN_WORKER_BYTES = 1 << 28
concurrency.available_ram = lambda: hardware.Ram(1 << 33, 1 << 32)
concurrency.limit_memory({workers})
try:
    print(len(bytearray({size})))
except MemoryError:
    print("refused")
"""


@pytest.mark.parametrize(
    "workers, size, refused",
    [(1, 3 << 30, False), (8, 3 << 30, True), (8, 1 << 28, False), (1000, 1 << 28, True), (1, 5 << 30, True)],
)
def test_memory_of_a_worker_is_its_share(workers, size, refused):
    pytest.importorskip("resource")
    if sys.platform != "linux":
        pytest.skip("the limit has no effect on this system")
    code = CODE.format(workers=workers, size=size)
    output = subprocess.check_output([sys.executable, "-c", code], text=True).strip()
    assert output == ("refused" if refused else str(size))
