import signal
import threading
from contextlib import suppress

import pytest

from wtal.core.interrupts import raise_if_interrupted, record_interrupts


def test_interrupt_that_is_dropped_is_raised_again():
    with record_interrupts(signal.SIGINT):
        raise_if_interrupted()
        with suppress(KeyboardInterrupt):  # as a callback of a compiled library does
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            raise_if_interrupted()
    raise_if_interrupted()


def test_handlers_are_restored_and_other_threads_change_nothing():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with record_interrupts(signal.SIGINT, signal.SIGTERM):
        assert signal.getsignal(signal.SIGINT) is not before[0]
        assert signal.getsignal(signal.SIGTERM) is not before[1]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    entered = []

    def work() -> None:
        with record_interrupts(signal.SIGINT):
            entered.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert entered == [before[0]]
