"""Reads changed files in processes with limits of memory and time, and records how each file ended."""

import multiprocessing
import os
import random
import resource
import shutil
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path

from tests.fuzz.corpus import Kind, kinds
from tests.fuzz.mutations import mutate
from wtal.core.concurrency import init_worker_process
from wtal.core.errors import WtalError

MAX_SECONDS = 10.0
MAX_BYTES = 1 << 30  # resident memory of a process
MAX_MESSAGE_LENGTH = 1000
READ, REFUSED, FAILED = "read", "refused", "failed"


@dataclass(frozen=True)
class Outcome:
    """What happened to one input.

    Attributes:
        number: The number of the input; `make_input` makes it again.
        kind: The kind of file.
        result: `read`, `refused` with one sentence, or `failed`.
        detail: The sentence, or how it failed.
        seconds: The time that it took.
        peak_bytes: The largest resident memory of the process or of one that it started.
    """

    number: int
    kind: str
    result: str
    detail: str = ""
    seconds: float = 0.0
    peak_bytes: int = 0


def make_input(kinds_by_name: dict[str, Kind], number: int, seed: int) -> tuple[str, bytes]:
    """The kind and the changed content of an input. The first of each kind is valid."""
    names = list(kinds_by_name)
    name = names[number % len(names)]
    kind = kinds_by_name[name]
    content = (kind.folder / kind.file).read_bytes()
    return name, content if number < len(names) else mutate(content, random.Random(f"{seed} {number}"))


def run(
    root: Path,
    own_videos: Path,
    numbers: Iterable[int],
    seed: int = 0,
    workers: int = 2,
    find_kinds: Callable[[Path, Path], dict[str, Kind]] = kinds,
) -> Iterator[Outcome]:
    """Read inputs and yield their outcomes, in order of completion.

    A process that takes longer than `MAX_SECONDS` for an input, or dies, is replaced.

    Args:
        root: The corpus.
        own_videos: What it was made of.
        numbers: The numbers of the inputs.
        seed: Selects the changes.
        workers: Number of processes.
        find_kinds: Finds the kinds of the corpus.
    """
    pending = iter(numbers)
    processes = [_Process(root, own_videos, seed, find_kinds) for _ in range(workers)]
    try:
        active = [process for process in processes if process.start(pending)]
        while active:
            wait([process.pipe for process in active], timeout=0.5)
            for process in list(active):
                outcome = process.poll()
                if outcome is not None:
                    yield outcome
                    if not process.start(pending):
                        active.remove(process)
    finally:
        for process in processes:
            process.stop()


class _Process:
    """A process that reads one input at a time."""

    def __init__(
        self, root: Path, own_videos: Path, seed: int, find_kinds: Callable[[Path, Path], dict[str, Kind]]
    ) -> None:
        self.arguments = root, own_videos, seed, find_kinds
        self.number = -1
        self.started_at = 0.0
        self._launch()

    def _launch(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, child = context.Pipe()
        self.process = context.Process(target=_work, args=(child, *self.arguments), daemon=True)
        self.process.start()
        child.close()
        self.pipe.recv()  # it has imported everything

    def start(self, numbers: Iterator[int]) -> bool:
        """Give it the next input. Returns whether there is one."""
        number = next(numbers, None)
        if number is None:
            return False
        self.number, self.started_at = number, time.monotonic()
        self.pipe.send(number)
        return True

    def poll(self) -> Outcome | None:
        """The outcome of the input, None if it is not finished."""
        seconds = time.monotonic() - self.started_at
        with suppress(EOFError, OSError):
            if self.pipe.poll():
                return self.pipe.recv()
            if seconds < MAX_SECONDS and self.process.is_alive():
                return None
        is_dead = seconds < MAX_SECONDS or not self.process.is_alive()  # a dying process closes the pipe first
        self.stop()
        reason = "the process died" if is_dead else f"takes longer than {MAX_SECONDS:.0f} s"
        reason += f" (exit code {self.process.exitcode})"
        root, own_videos, seed, find_kinds = self.arguments
        name, _ = make_input(find_kinds(root, own_videos), self.number, seed)
        outcome = Outcome(self.number, name, FAILED, reason, seconds)
        self._launch()
        return outcome

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _work(
    pipe: Connection,
    root: Path,
    own_videos: Path,
    seed: int,
    find_kinds: Callable[[Path, Path], dict[str, Kind]],
) -> None:
    init_worker_process()
    resource.setrlimit(resource.RLIMIT_DATA, (MAX_BYTES, MAX_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_BYTES, hard))
    kinds_by_name = find_kinds(root, own_videos)
    scratch = root.parent / f"scratch-{os.getpid()}"
    pipe.send(None)
    while True:
        pipe.send(_read(kinds_by_name, pipe.recv(), seed, scratch))


def _read(kinds_by_name: dict[str, Kind], number: int, seed: int, scratch: Path) -> Outcome:
    """Write the changed file beside the others of its folder, and read the folder."""
    name, content = make_input(kinds_by_name, number, seed)
    kind = kinds_by_name[name]
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(kind.folder, scratch)
    (scratch / kind.file).write_bytes(content)
    _reset_peak()
    start = time.monotonic()
    result, detail = READ, ""
    try:
        kind.read(scratch)
    except WtalError as error:
        detail = str(error)
        is_sentence = detail.isprintable() and len(detail) < MAX_MESSAGE_LENGTH
        result = REFUSED if is_sentence else FAILED
    except BaseException:  # also an exit, and a panic of a library in Rust
        result, detail = FAILED, traceback.format_exc()
    seconds, peak = time.monotonic() - start, _peak()
    if peak > MAX_BYTES:
        result, detail = FAILED, f"{peak >> 20} MB of memory"
    shutil.rmtree(scratch, ignore_errors=True)
    return Outcome(number, name, result, detail[-5000:], seconds, peak)


def _reset_peak() -> None:
    with suppress(OSError):  # Linux alone can reset it
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    """The largest resident memory in bytes of this process since `_reset_peak`, or of a process that it started."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    with suppress(OSError, StopIteration, IndexError):
        lines = Path("/proc/self/status").read_text().splitlines()
        line = next(line for line in lines if line.startswith("VmHWM"))
        return max(children, int(line.split()[1]) * 1024)
    return max(children, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
