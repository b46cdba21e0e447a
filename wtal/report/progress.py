"""How far long work is, in the terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

SHOWN = ("loss", "mil", "mil_suppressed", "coactivity", "distillation_cas", "prototypes")


@contextmanager
def counting(what: str, console: Console) -> Iterator[Callable[[int, int], None]]:
    """A bar that hears (done, total)."""
    with _bar(console) as bar:
        task = bar.add_task(what, total=None, note="")
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def training(steps: int, console: Console) -> Iterator[Callable[[int, dict[str, float]], None]]:
    """A bar that hears (step, loss terms by name)."""
    with _bar(console) as bar:
        task = bar.add_task("training", total=steps, note="")

        def heard(step: int, terms: dict[str, float]) -> None:
            note = "  ".join(f"{name} {terms[name]:.3f}" for name in SHOWN if name in terms)
            bar.update(task, completed=step, note=note)

        yield heard


@contextmanager
def jobs(console: Console) -> Iterator[Callable[[Any, int, int], None]]:
    """A bar over the runs of a comparison, naming the one that was finished last."""
    with _bar(console) as bar:
        task = bar.add_task("runs", total=None, note="")

        def heard(job: Any, done: int, total: int) -> None:
            note = f"{job.data.name} {job.method} seed {job.config.train.seed}"
            bar.update(task, completed=done, total=total, note=note)

        yield heard


def _bar(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, TextColumn("{task.fields[note]}", style="dim"), console=console)
