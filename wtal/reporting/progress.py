"""Progress of long-running work: a bar in a terminal, occasional lines in a pipe or a log file.

Each context manager yields the callback that the work reports its progress to.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from wtal.core.text import format_time, print_line

if TYPE_CHECKING:
    from wtal.experiments.project_status import ProjectProgress
    from wtal.video.extract_dataset import ExtractionProgress

SHOWN_LOSSES = ("loss", "mil", "mil_suppressed", "co_activity", "distillation_cas", "distillation_attention")
BAR_WIDTH = 20
RESERVED_WIDTH = 52  # columns of the description, the bar, the counts and the remaining time
MIN_NOTE_WIDTH = 12
LOG_NOTE_WIDTH = 200
LOG_INTERVAL = 30.0  # seconds between two lines in a log
MAX_ACTIVE_VIDEOS = 3

OnProgress = Callable[[int, int, str], None]  # done, total, note


@contextmanager
def count_progress(description: str, console: Console) -> Iterator[Callable[[int, int], None]]:
    """Yield a callback for (done, total). Work that takes under `LOG_INTERVAL` leaves no output."""
    with _progress(description, console, brief=True) as on_progress:
        yield lambda done, total: on_progress(done, total, "")


@contextmanager
def training_progress(steps: int, console: Console) -> Iterator[Callable[[int, dict[str, float]], None]]:
    """Yield a callback for (step, loss terms by name)."""
    width = console.width - RESERVED_WIDTH if console.is_terminal else LOG_NOTE_WIDTH
    with _progress("training", console, total=steps) as on_progress:
        yield lambda step, losses: on_progress(step, steps, _format_losses(losses, width))


@contextmanager
def runs_progress(console: Console) -> Iterator[Callable[[Any, int, int], None]]:
    """Yield a callback for (finished run, done, total)."""
    with _progress("runs", console, log_interval=0.0) as on_progress:
        yield lambda run, done, total: on_progress(done, total, str(run))


@contextmanager
def extraction_progress(console: Console, *, brief: bool = False) -> Iterator[Callable[["ExtractionProgress"], None]]:
    """Yield a callback that shows the videos in progress and the time reached in each.

    `brief`: the bar disappears at the end, and short work prints no line.
    """
    with _progress("videos", console, brief=brief) as on_progress:
        yield lambda state: on_progress(state.done, state.total, _format_active(state.active))


@contextmanager
def steps_progress(console: Console) -> Iterator[Callable[["ProjectProgress"], None]]:
    """Yield a callback that shows a bar or lines for each step, one after another."""
    with ExitStack() as stack:
        bars: dict[str, OnProgress] = {}

        def on_progress(state: "ProjectProgress") -> None:
            if state.step not in bars:
                stack.close()  # the bar of the step before
                bars[state.step] = stack.enter_context(_progress(state.step, console, brief=True))
            bars[state.step](state.done, state.total, state.message)

        yield on_progress


@contextmanager
def _progress(
    description: str,
    console: Console,
    *,
    total: int | None = None,
    log_interval: float = LOG_INTERVAL,
    brief: bool = False,
) -> Iterator[OnProgress]:
    """A bar in a terminal, else lines. `brief`: the bar disappears at the end, and short work prints no line."""
    if not console.is_terminal:
        yield _log_progress(description, console, log_interval, brief)
        return
    columns = (TextColumn("{task.description}"), BarColumn(BAR_WIDTH), MofNCompleteColumn(), TimeRemainingColumn())
    note = TextColumn("{task.fields[note]}", style="dim", markup=False)
    with Progress(*columns, note, console=console, transient=brief) as bar:
        task = bar.add_task(description, total=total, note="")
        yield lambda done, total, note: bar.update(task, completed=done, total=total, note=note)


def _log_progress(description: str, console: Console, interval: float, brief: bool) -> OnProgress:
    """Print a line at the start, every `interval` seconds and at the end; if `brief`, none before an interval."""
    last = time.monotonic() if brief else float("-inf")
    silent = brief

    def on_progress(done: int, total: int, note: str) -> None:
        nonlocal last, silent
        now = time.monotonic()
        if now - last >= interval or (done == total and not silent):
            last, silent = now, False
            print_line(console, f"{description} {done}/{total}  {note}".rstrip())

    return on_progress


def _format_active(active: tuple[tuple[str, float], ...]) -> str:
    return "  ".join(f"{id} {format_time(second)}" for id, second in active[:MAX_ACTIVE_VIDEOS])


def _format_losses(losses: dict[str, float], width: int) -> str:
    """As many loss terms as fit, the total loss first."""
    note = ""
    for name in SHOWN_LOSSES:
        longer = f"{note}  {name} {losses[name]:.3f}".strip() if name in losses else note
        if len(longer) > max(width, MIN_NOTE_WIDTH):
            break
        note = longer
    return note
