"""Interrupts that are not lost.

Python raises KeyboardInterrupt wherever the main thread is. In a callback of a compiled library, such as those of PyAV,
the exception is printed and dropped. Therefore the signal is also recorded, and long work checks for it.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_is_interrupted = False


@contextmanager
def record_interrupts(*signals: signal.Signals) -> Iterator[None]:
    """Raise KeyboardInterrupt for these signals in the block, and record it.

    Outside the main thread, which receives all signals, nothing is changed.
    """
    global _is_interrupted
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.signal(number, _handle) for number in signals}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        _is_interrupted = False


def raise_if_interrupted() -> None:
    """Raise KeyboardInterrupt if a signal arrived in the block of `record_interrupts` and its exception was lost."""
    if _is_interrupted:
        raise KeyboardInterrupt


def _handle(number: int, frame: object) -> None:
    global _is_interrupted
    _is_interrupted = True
    raise KeyboardInterrupt
