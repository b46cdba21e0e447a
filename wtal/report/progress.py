"""How far long work is: a bar in a terminal, now and then a plain line in a pipe or a log."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from wtal.report.layout import clock_time
from wtal.report.say import say

SHOWN = ("loss", "mil", "mil_suppressed", "coactivity", "distillation_cas", "prototypes")
BAR = 20
BESIDE = 52  # columns that description, bar, counts and time left take
PAUSE = 30.0  # seconds between two lines in a log

Heard = Callable[[int, int, str], None]


@contextmanager
def counting(what: str, console: Console) -> Iterator[Callable[[int, int], None]]:
    """Hears (done, total). Work that is soon done leaves no trace."""
    with _shown(what, None, console, brief=True) as heard:
        yield lambda done, total: heard(done, total, "")


@contextmanager
def training(steps: int, console: Console) -> Iterator[Callable[[int, dict[str, float]], None]]:
    """Hears (step, loss terms by name)."""
    room = console.width - BESIDE if console.is_terminal else 200
    with _shown("training", steps, console) as heard:
        yield lambda step, terms: heard(step, steps, _terms(terms, room))


@contextmanager
def jobs(console: Console) -> Iterator[Callable[[Any, int, int], None]]:
    """Hears (job, done, total) and names the run of a comparison that was finished last."""
    with _shown("runs", None, console, pause=0.0) as heard:
        yield lambda job, done, total: heard(done, total, str(job))


@contextmanager
def extracting(console: Console) -> Iterator[Callable[[Any], None]]:
    """Hears how far an extraction is, and names the videos under way with the second reached in each."""
    with _shown("videos", None, console) as heard:
        yield lambda now: heard(now.done, now.total, _reached(now.active))


@contextmanager
def watching(videos: int, console: Console) -> Iterator[Callable[[int, float], None]]:
    """Hears (videos done, second reached in the next)."""
    with _shown("videos", videos, console, brief=True) as heard:
        yield lambda done, second: heard(done, videos, clock_time(second))


@contextmanager
def _shown(
    what: str, total: int | None, console: Console, pause: float = PAUSE, brief: bool = False
) -> Iterator[Heard]:
    if not console.is_terminal:
        yield _lines(what, console, pause, brief)
        return
    with _bar(console, brief) as bar:
        yield _on_bar(bar, bar.add_task(what, total=total, note=""))


def _on_bar(bar: Progress, task: TaskID) -> Heard:
    return lambda done, total, note: bar.update(task, completed=done, total=total, note=note)


def _lines(what: str, console: Console, pause: float, brief: bool) -> Heard:
    """A line at the start, each `pause` seconds, and at the end; if `brief`, none before a pause is over."""
    last = time.monotonic() if brief else float("-inf")
    silent = brief

    def heard(done: int, total: int, note: str) -> None:
        nonlocal last, silent
        now = time.monotonic()
        if now - last >= pause or (done == total and not silent):
            last, silent = now, False
            say(console, f"{what} {done}/{total}  {note}".rstrip())

    return heard


def _reached(active: tuple[tuple[str, float], ...], most: int = 3) -> str:
    """Up to three videos with the second reached in each."""
    return "  ".join(f"{id} {clock_time(second)}" for id, second in active[:most])


def _terms(terms: dict[str, float], room: int) -> str:
    """As many loss terms as there is room for, the loss first."""
    note = ""
    for name in SHOWN:
        longer = f"{note}  {name} {terms[name]:.3f}".strip() if name in terms else note
        if len(longer) > max(room, 12):
            break
        note = longer
    return note


def _bar(console: Console, brief: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(BAR), MofNCompleteColumn(), TimeRemainingColumn())
    note = TextColumn("{task.fields[note]}", style="dim", markup=False)
    return Progress(*columns, note, console=console, transient=brief)
