"""Worker processes and threads."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
_END = object()


def init_worker_process() -> None:
    """Set up a worker process of `multiprocessing`: ignore SIGINT, which the parent handles, and exit with the parent.

    Without it a worker whose parent was killed would wait for work forever.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


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
