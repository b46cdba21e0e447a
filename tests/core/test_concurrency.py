"""Prefetching keeps the order of items and raises errors where their item is due; workers exit with their parent."""

import itertools
import multiprocessing
import signal
import sys
import threading

import pytest

from wtal.core.concurrency import init_worker_process, prefetch


@pytest.mark.parametrize("count", [0, 1, 4])
@pytest.mark.parametrize("depth", [1, 3])
def test_prefetched_items_are_the_same_in_the_same_order(count, depth):
    assert list(prefetch(iter(range(count)), depth)) == list(range(count))


def test_error_is_raised_where_its_item_is_due():
    def items():
        yield from (0, 1)
        raise ValueError("bad item")

    prefetched = prefetch(items())
    assert [next(prefetched), next(prefetched)] == [0, 1]
    with pytest.raises(ValueError, match="bad item"):
        next(prefetched)


def test_next_item_is_computed_while_the_caller_works():
    computed = [threading.Event() for _ in range(3)]

    def items():
        for i, event in enumerate(computed):
            event.set()
            yield i

    prefetched = prefetch(items())
    assert next(prefetched) == 0 and computed[1].wait(60)
    prefetched.close()


def test_closing_stops_an_endless_iterator():
    prefetched = prefetch(itertools.count())
    assert next(prefetched) == 0
    prefetched.close()


def _report_signal_handler(connection):
    init_worker_process()
    connection.send(signal.getsignal(signal.SIGINT) == signal.SIG_IGN)
    threading.Event().wait()


def _start_worker(connection):
    multiprocessing.get_context("spawn").Process(target=_report_signal_handler, args=(connection,)).start()
    threading.Event().wait()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_worker_ignores_sigint_and_exits_with_its_parent():
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    parent = context.Process(target=_start_worker, args=(sender,))
    parent.start()
    sender.close()
    with receiver:
        assert receiver.recv()
        parent.kill()
        parent.join()
        parent.close()
        with pytest.raises(EOFError):  # the worker, the last process with the other end, has exited
            receiver.recv()
