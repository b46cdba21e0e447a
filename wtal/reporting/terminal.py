"""A timeline as a terminal shows it: a lane for each class that was found, then when, how long and how sure.

FROM: How far long work is: a bar in a terminal, now and then a plain line in a pipe or a log.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from wtal.core.structures import Segment
from wtal.core.text import print_line
from wtal.inference.video import VideoPrediction
from wtal.reporting.figures.layout import clock_time, plain

SHOWN = ("loss", "mil", "mil_suppressed", "co_activity", "distillation_cas", "prototypes")
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
        yield _progress_lines(what, console, pause, brief)
        return
    with _bar(console, brief) as bar:
        yield _on_bar(bar, bar.add_task(what, total=total, note=""))


def _on_bar(bar: Progress, task: TaskID) -> Heard:
    return lambda done, total, note: bar.update(task, completed=done, total=total, note=note)


def _progress_lines(what: str, console: Console, pause: float, brief: bool) -> Heard:
    """A line at the start, each `pause` seconds, and at the end; if `brief`, none before a pause is over."""
    last = time.monotonic() if brief else float("-inf")
    silent = brief

    def heard(done: int, total: int, note: str) -> None:
        nonlocal last, silent
        now = time.monotonic()
        if now - last >= pause or (done == total and not silent):
            last, silent = now, False
            print_line(console, f"{what} {done}/{total}  {note}".rstrip())

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


NAME = 24  # columns for the names of classes
LEAST, MOST = 20, 100  # columns for the lanes


def render_timeline(timeline: VideoPrediction, shown: Sequence[Segment], console: Console) -> None:
    """Print of one timeline the proposals that are to be shown, in their order."""
    length = clock_time(timeline.end - timeline.start)
    console.print(Text.assemble((plain(timeline.id), "bold"), f"  {length}"), soft_wrap=True)
    if not shown:
        console.print("  nothing found")
        return
    console.print(_lanes(timeline, shown, max(LEAST, min(MOST, console.width - NAME - 4))))
    for line in _lines(shown):
        print_line(console, line)


def _lanes(timeline: VideoPrediction, shown: Sequence[Segment], columns: int) -> Text:
    text = Text(no_wrap=True, overflow="crop")
    for label in dict.fromkeys(p.label for p in shown):
        name = plain(label)
        name = name if len(name) <= NAME else name[: NAME - 1] + "…"
        text.append(f"  {name:<{NAME}} ")
        text.append(lane([p for p in shown if p.label == label], timeline.start, timeline.end, columns) + "\n")
    first, last = clock_time(timeline.start), clock_time(timeline.end)
    text.append(f"  {'':<{NAME}} {first}{last:>{columns - len(first)}}", style="dim")
    return text


def lane(proposals: Sequence[Segment], start: float, end: float, columns: int) -> str:
    """A row of characters from `start` to `end` seconds, filled where a proposal is (always at least one)."""
    row = ["·"] * columns
    for proposal in proposals:
        first, last = (round((t - start) / (end - start) * columns) for t in (proposal.start, proposal.end))
        first = min(first, columns - 1)
        last = min(max(last, first + 1), columns)
        row[first:last] = "█" * (last - first)
    return "".join(row)


def _lines(shown: Sequence[Segment]) -> Iterator[str]:
    """The label last: however long it is, and however narrow the terminal, the figures can be read."""
    yield f"  {'start':>9} {'end':>9} {'length':>9} {'score':>6}  label"
    for p in shown:
        start, end = clock_time(p.start, 0.1), clock_time(p.end, 0.1)
        yield f"  {start:>9} {end:>9} {p.end - p.start:>7.1f} s {p.score:>6.2f}  {plain(p.label)}"
