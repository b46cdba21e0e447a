"""Worker processes and threads."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from wtal.core.errors import WtalError
from wtal.core.hardware import available_ram

Item = TypeVar("Item")
MIN_WORKER_BYTES = 4 << 30  # that a worker may use, however many there are: an I3D network on a CPU needs 2 GB
NICENESS = 10
_END = object()


def init_worker_process() -> None:
    """Set up a worker process of `multiprocessing`: ignore SIGINT, which the parent handles, and exit with the parent.

    Without it a worker whose parent was killed would wait for work forever.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def lower_priority() -> None:
    """Let this process compute only what other processes leave, so that they stay responsive."""
    with suppress(AttributeError, OSError):  # Windows has no niceness
        os.nice(NICENESS)


def limit_memory(workers: int = 1) -> None:
    """Let this process use no more memory than its share of the machine, so that a hostile file ends only this process.

    On Linux the limit is that of private memory, so mapped files do not count. Elsewhere it may have no effect.

    Args:
        workers: The number of processes that share the memory.
    """
    ram = available_ram()
    if ram is None:
        return
    with suppress(ImportError, OSError, ValueError):  # Windows has no `resource`; a lower limit cannot be raised
        import resource

        limit = max(ram.allowed // workers, MIN_WORKER_BYTES)
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def process_pool(
    workers: int, initializer: Callable[..., object], arguments: tuple[Any, ...] = (), *, hint: str
) -> Iterator[ProcessPoolExecutor]:
    """Worker processes, started with `spawn`. An error or interrupt in the block ends them without waiting for work.

    Args:
        workers: Number of processes.
        initializer: Called in each process with `arguments`.
        arguments: For the initializer.
        hint: What to do if a process was killed.

    Raises:
        WtalError: A process was killed (code `worker-died`).
    """
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer, arguments)
    try:
        yield pool
    except BaseException as error:  # also an interrupt
        pool.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        if isinstance(error, BrokenProcessPool):
            message = "a worker process was killed, most often because memory ran out"
            raise WtalError(message, hint=hint, code="worker-died") from error
        raise
    finally:
        pool.shutdown()


def prefetch(items: Iterator[Item], depth: int = 1) -> Iterator[Item]:
    """Yield the items of an iterator, computing the next `depth` items in a thread meanwhile.

    An exception of the iterator is raised where its item is due. Closing the generator does not wait for the thread.
    """
    thread = ThreadPoolExecutor(1)
    try:
        pending = deque(thread.submit(next, items, _END) for _ in range(depth))
        while (item := pending.popleft().result()) is not _END:
            pending.append(thread.submit(next, items, _END))
            yield item  # type: ignore[misc]  # `next` returns an Item here, mypy does not narrow by `_END`
    finally:
        thread.shutdown(wait=False, cancel_futures=True)
