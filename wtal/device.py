"""The device by name, chosen once."""

import os
from typing import TYPE_CHECKING

from wtal.errors import ConfigError

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
