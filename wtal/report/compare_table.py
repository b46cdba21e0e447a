"""A comparison of methods as terminal tables."""

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from wtal.report.say import say
from wtal.scores import Difference, Score, differences_of, overall

CELL, GAP = 10, 3  # "12.3 ± 4.5", and what stands between two columns


def render(scores: Sequence[Score], differences: Sequence[Difference], subset: str, console: Console) -> None:
    """A row a method, a column a data set: mean and spread over seeds; then the paired differences."""
    seeds = len(scores[0].averages)
    several = len({score.data for score in scores}) > 1
    means = overall(scores) if several else []
    say(console, f"average mAP (%), tIoU 0.1:0.7, {subset} subset, last checkpoint")
    for table in _score_tables([*scores, *means], console.width):
        console.print(table)
    over = "1 seed" if seeds == 1 else f"mean ± standard deviation over {seeds} seeds"
    say(console, f"activitynet protocol; {over}")
    if several:
        say(console, "column mean: over the data sets, seed by seed")
    differences = [*differences, *(differences_of(means) if several else [])]
    if differences:
        interval = "no interval from 1 seed" if seeds == 1 else "95 % bootstrap interval over the seeds"
        say(console, f"\npaired differences, seed by seed; {interval}")
        console.print(_difference_table(differences, intervals=seeds > 1))


def _score_tables(scores: Sequence[Score], width: int) -> Iterator[Table]:
    """As many data sets side by side as the terminal is wide."""
    methods = list(dict.fromkeys(score.method for score in scores))
    cells = {(score.data, score.method): score for score in scores}
    for datas in _rows([score.data for score in scores], width - max(map(len, methods))):
        table = _table("method", *datas)
        for method in methods:
            table.add_row(method, *(_cell(cells[data, method]) for data in datas))
        yield table


def _rows(datas: Sequence[str], room: int) -> list[list[str]]:
    """The data sets, dealt into rows of columns that fit beside the methods; at least one a row."""
    rows: list[list[str]] = [[]]
    for data in dict.fromkeys(datas):
        if rows[-1] and sum(max(CELL, len(name)) + GAP for name in [*rows[-1], data]) > room - 1:
            rows.append([])
        rows[-1].append(data)
    return rows


def _difference_table(differences: Sequence[Difference], intervals: bool) -> Table:
    table = _table("data", "methods", "difference", *(["95 % interval"] if intervals else []))
    table.columns[1].justify = "left"
    for d in differences:
        interval = [f"[{d.low:+.1f}, {d.high:+.1f}]"] if intervals else []
        table.add_row(*map(Text, (d.data, f"{d.method} - {d.other}", f"{d.mean:+.1f}", *interval)))
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(Text(first))
    for name in others:
        table.add_column(Text(name), justify="right", overflow="fold")
    return table


def _cell(score: Score) -> str:
    return f"{score.mean:.1f} ± {score.spread:.1f}" if len(score.averages) > 1 else f"{score.mean:.1f}"
