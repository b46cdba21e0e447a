"""Several processes train one model, each with its rows of the very same batch; torchrun starts them.

DistributedDataParallel would average what is to be summed, and wants one forward pass with every parameter in it.
One flat sum after the backward pass is exact for any number of rows a process, and can be read.
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

TIMEOUT = timedelta(minutes=30)  # the first process may read a whole data set while the others wait


@dataclass(frozen=True)
class Rows:
    """This process's rows of a batch: `count` of `whole`, from `first` on."""

    first: int
    count: int
    whole: int

    @property
    def taken(self) -> slice:
        """The rows to work on: its own, or where it has none the next one's, which counts nothing."""
        return slice(self.first, self.first + max(self.count, 1))

    @property
    def share(self) -> float:
        """What this process's means count in those of the whole batch."""
        return self.count / self.whole


def own_rows(size: int) -> Rows | None:
    """This process's rows of a batch of `size`; None where it is alone and has them all."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return None
    rank, count = dist.get_rank(), dist.get_world_size()
    start, stop = rank * size // count, (rank + 1) * size // count
    return Rows(start, stop - start, size)


def is_first() -> bool:
    """Whether this process is the one that writes and speaks."""
    return not dist.is_initialized() or dist.get_rank() == 0


@contextmanager
def group(device: str) -> Iterator[None]:
    """Join the processes that torchrun started; without it there is nobody to join.

    What stops one of them stops all, and the first alone says what it was: the others end without a word.
    """
    if not dist.is_torchelastic_launched():
        yield
        return
    store, rank, count = next(dist.rendezvous("env://", timeout=TIMEOUT))
    try:
        place = choose_device(device)
        if place.type == "cuda":
            torch.cuda.set_device(place)
        backend = "nccl" if place.type == "cuda" else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=TIMEOUT)
        yield
        dist.destroy_process_group()
    except (WtalError, OSError, KeyboardInterrupt) as error:
        for number in (signal.SIGINT, signal.SIGTERM):  # torchrun sends one more to who is ending already
            signal.signal(number, signal.SIG_IGN)
        if _is_first_to_speak(store):
            raise
        raise SystemExit(130 if isinstance(error, KeyboardInterrupt) else 2) from None


def all_reduce_sum(parts: Sequence[Tensor]) -> None:
    """Turn each tensor into its sum over all processes, in one go."""
    flat = _sum(torch.cat([part.flatten() for part in parts]))
    for part, total in zip(parts, flat.split([part.numel() for part in parts]), strict=True):
        part.copy_(total.view_as(part))


def broadcast_from_first(tensors: Iterable[Tensor]) -> None:
    """Give every process the first one's values."""
    for x in tensors if dist.is_initialized() else ():
        _sum(x if is_first() else x.zero_())


def wait(device: torch.device) -> None:
    """Go on when all processes are here."""
    broadcast_from_first([torch.zeros((), device=device)])


def all_gather(own: Tensor, rows: Rows | None) -> Tensor:
    """All processes' rows as the whole batch has them, with their gradients. n x ... -> B x ..."""
    return own if rows is None else _Gather.apply(own, rows)


def draw_like(x: Tensor, rows: Rows | None) -> Tensor:
    """Uniform numbers for n x ...: those that one process with the whole batch would have drawn for these rows."""
    if rows is None:
        return torch.rand_like(x)
    row = torch.empty_like(x[:1])
    whole = torch.empty_strided(
        (rows.whole, *row.shape[1:]), (row.numel(), *row.stride()[1:]), dtype=x.dtype, device=x.device
    )
    return whole.uniform_()[rows.taken]


class _Gather(torch.autograd.Function):
    """Each process adds its rows to zeros, so that a sum is a gathering that does not mind uneven counts."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, rows: Rows) -> Tensor:
        ctx.rows, ctx.shape = rows, own.shape
        whole = own.new_zeros(rows.whole, *own.shape[1:])
        whole[rows.first : rows.first + rows.count] = own[: rows.count]
        return _sum(whole)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        total, own = _sum(gradient.clone()), gradient.new_zeros(ctx.shape)
        own[: ctx.rows.count] = total[ctx.rows.first : ctx.rows.first + ctx.rows.count]
        return own, None


def _is_first_to_speak(store: dist.Store) -> bool:
    try:
        return store.add("said", 1) == 1
    except RuntimeError:  # nobody is left to ask
        return True


def _sum(x: Tensor) -> Tensor:
    """The sum over all processes, in place."""
    try:
        dist.all_reduce(x)
    except RuntimeError as error:  # which says it in many words
        raise WtalError(
            "another process of this training was ended; what was saved stays, go on with --resume"
        ) from error
    return x
