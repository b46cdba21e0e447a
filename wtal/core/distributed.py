"""Training one model in several processes, which torchrun starts. Each process computes rows of the same batch.

DistributedDataParallel is not used: it averages gradients, which must be summed here, and needs one forward pass
with every parameter in it. A single sum of all gradients is exact for any number of rows per process.
"""

import signal
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from wtal.core.errors import WtalError
from wtal.core.hardware import choose_device

TIMEOUT = timedelta(minutes=30)  # the first process may check a whole data set while the others wait


@dataclass(frozen=True)
class Rows:
    """The rows of a batch that this process computes.

    Attributes:
        first: The first row.
        count: The number of rows, which may be 0.
        total: The number of rows of the whole batch.
    """

    first: int
    count: int
    total: int

    @property
    def selection(self) -> slice:
        """The rows to compute: at least one, since a process without rows computes a row of weight 0."""
        return slice(self.first, self.first + max(self.count, 1))

    @property
    def weight(self) -> float:
        """The weight of a mean over these rows in the mean over the whole batch."""
        return self.count / self.total


def local_rows(size: int) -> Rows | None:
    """The rows of this process in a batch of `size` rows; None if it is the only process."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return None
    rank, count = dist.get_rank(), dist.get_world_size()
    start, stop = rank * size // count, (rank + 1) * size // count
    return Rows(start, stop - start, size)


def is_first() -> bool:
    """Whether this is the process that writes files and prints."""
    return not dist.is_initialized() or dist.get_rank() == 0


@contextmanager
def process_group(device: str) -> Iterator[None]:
    """Join the processes that torchrun started. Without torchrun this does nothing.

    An error or interrupt in one process ends all of them. Only the first to fail raises it; the others exit silently.

    Args:
        device: A name for `choose_device`.
    """
    if not dist.is_torchelastic_launched():
        yield
        return
    store, rank, count = next(dist.rendezvous("env://", timeout=TIMEOUT))
    try:
        torch_device = choose_device(device)
        if torch_device.type == "cuda":
            torch.cuda.set_device(torch_device)
        backend = "nccl" if torch_device.type == "cuda" else "gloo"
        try:
            dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=TIMEOUT)
        except RuntimeError as error:  # a process that has failed already does not connect
            raise _process_ended() from error
        yield
        dist.destroy_process_group()
    except (WtalError, OSError, KeyboardInterrupt) as error:
        for number in (signal.SIGINT, signal.SIGTERM):  # torchrun signals processes that are already ending
            signal.signal(number, signal.SIG_IGN)
        if _is_first_to_fail(store):
            raise
        raise SystemExit(130 if isinstance(error, KeyboardInterrupt) else 2) from None


def _is_first_to_fail(store: dist.Store) -> bool:
    try:
        return store.add("failed", 1) == 1
    except RuntimeError:  # the process that held the store is gone
        return True


def barrier(device: torch.device) -> None:
    """Wait until all processes have come to this point."""
    broadcast_from_first([torch.zeros((), device=device)])


def broadcast_from_first(tensors: Iterable[Tensor]) -> None:
    """Copy the values of the first process to all processes, in place."""
    for x in tensors if dist.is_initialized() else ():
        _all_reduce(x if is_first() else x.zero_())


def all_reduce_sum(parts: Sequence[Tensor]) -> None:
    """Replace each tensor by its sum over all processes, with a single transfer."""
    flat = _all_reduce(torch.cat([part.flatten() for part in parts]))
    for part, total in zip(parts, flat.split([part.numel() for part in parts]), strict=True):
        part.copy_(total.view_as(part))


def _all_reduce(x: Tensor) -> Tensor:
    """The sum over all processes, in place."""
    try:
        dist.all_reduce(x)
    except RuntimeError as error:
        raise _process_ended() from error
    return x


def _process_ended() -> WtalError:
    return WtalError(
        "another process of this training has ended",
        hint="continue from the last checkpoint with --resume",
        code="process-ended",
    )


def all_gather(x: Tensor, rows: Rows | None) -> Tensor:
    """The rows of all processes in the order of the whole batch, with gradients. n x ... -> B x ..."""
    return x if rows is None else _Gather.apply(x, rows)


class _Gather(torch.autograd.Function):
    """Each process adds its rows to zeros, so a sum gathers them whatever the number of rows per process."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: Rows) -> Tensor:
        ctx.rows, ctx.shape = rows, x.shape
        gathered = x.new_zeros(rows.total, *x.shape[1:])
        gathered[rows.first : rows.first + rows.count] = x[: rows.count]
        return _all_reduce(gathered)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        total, gradient_of_x = _all_reduce(gradient.clone()), gradient.new_zeros(ctx.shape)
        gradient_of_x[: ctx.rows.count] = total[ctx.rows.first : ctx.rows.first + ctx.rows.count]
        return gradient_of_x, None


def uniform_like(x: Tensor, rows: Rows | None) -> Tensor:
    """Uniform random numbers for these rows: those that a single process draws for them in the whole batch. n x ..."""
    if rows is None:
        return torch.rand_like(x)
    row = torch.empty_like(x[:1])
    batch = torch.empty_strided(
        (rows.total, *row.shape[1:]), (row.numel(), *row.stride()[1:]), dtype=x.dtype, device=x.device
    )
    return batch.uniform_()[rows.selection]
