"""Results as tables for the terminal; the numbers are all in `wtal.evaluation.results.EvaluationResult`.

FROM: A comparison of methods as terminal tables.
FROM: What `wtal doctor` found: a line each under headings, and below what does not work how to mend it.
FROM: What `wtal check` shows of a data set folder: the counts in tables, then every problem with its way out.
FROM: What a run's memory holds, as a table: which class, how often written, which classes lie nearest.
FROM: A table as plain text cells, for a terminal or for Markdown.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch.nn.functional as F
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from wtal.core.text import plain, print_line, table
from wtal.data.problems import Problem
from wtal.data.validation import SubsetSummary, ValidationReport
from wtal.evaluation.protocols import COMPARISON_TIOUS
from wtal.evaluation.results import EvaluationResult, format_range
from wtal.experiments.statistics import Difference, Score, differences_of, overall
from wtal.inference.calibration import LABELS, Calibration, percent
from wtal.models.checkpoint import ModelMetadata
from wtal.models.dfe import DFE
from wtal.models.memory import LearnedMemory

COMPARISON_RANGE = format_range(COMPARISON_TIOUS[0], COMPARISON_TIOUS[-1])
CELL, GAP = 10, 3  # "12.3 ± 4.5", and what stands between two columns


def render_comparison(
    scores: Sequence[Score], differences: Sequence[Difference], subset: str, console: Console
) -> None:
    """A row a method, a column a data set: mean and spread over seeds; then the paired differences."""
    seeds = len(scores[0].averages)
    several = len({score.data for score in scores}) > 1
    means = overall(scores) if several else []
    print_line(console, f"average mAP (%) over tIoU {COMPARISON_RANGE}, {subset} subset, last checkpoint")
    for score_table in _score_tables([*scores, *means], console.width):
        console.print(score_table)
    over = "1 seed" if seeds == 1 else f"mean ± standard deviation over {seeds} seeds"
    print_line(console, f"activitynet protocol at tIoU {COMPARISON_RANGE}; {over}")
    if several:
        print_line(console, "column mean: over the data sets, seed by seed")
    differences = [*differences, *(differences_of(means) if several else [])]
    if differences:
        interval = "no interval from 1 seed" if seeds == 1 else "95 % bootstrap interval over the seeds"
        print_line(console, f"\npaired differences, seed by seed; {interval}")
        console.print(_difference_table(differences, intervals=seeds > 1))


def _score_tables(scores: Sequence[Score], width: int) -> Iterator[Table]:
    """As many data sets side by side as the terminal is wide."""
    methods = list(dict.fromkeys(score.method for score in scores))
    cells = {(score.data, score.method): score for score in scores}
    for datas in _rows([score.data for score in scores], width - max(map(len, methods))):
        table = _table("method", *datas)
        for method in methods:
            table.add_row(method, *(_score_cell(cells[data, method]) for data in datas))
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


def _score_cell(score: Score) -> str:
    return f"{score.mean:.1f} ± {score.spread:.1f}" if len(score.averages) > 1 else f"{score.mean:.1f}"


def render_validation(report: ValidationReport, console: Console) -> None:
    """Print the report. Text from the files is never taken for markup."""
    print_line(console, _headline(report))
    if report.subsets:
        console.print(_subset_table(report.subsets))
        console.print(_class_table(report))
    for problem in report.problems:
        console.print(_problem_line(problem), soft_wrap=True)
    print_line(console, _validation_verdict(report), style="red" if report.fatal else "green")


def _headline(report: ValidationReport) -> str:
    width = "no features yet" if report.width is None else f"{report.width} numbers a snippet"
    if len(report.modalities) > 1:
        width += f" ({' + '.join(map(str, report.modalities))})"
    return f"{report.path}: {len(report.classes)} classes, {width}, a snippet every {report.clock.stride:g} s"


def _subset_table(subsets: tuple[SubsetSummary, ...]) -> Table:
    table = Table("subset")
    for name in (
        "sequences",
        "instances",
        "hours",
        "snippets min / median / max",
        "with 0, 1, 2, ... labels",
    ):
        table.add_column(name, justify="right")
    for subset in subsets:
        least, middle, most = subset.snippets or (0, 0, 0)
        table.add_row(
            Text(subset.name),
            str(subset.sequences),
            str(subset.instances),
            f"{subset.hours:.2f}",
            f"{least} / {middle:g} / {most}" if subset.snippets else "-",
            ", ".join(map(str, subset.with_labels)),
        )
    return table


def _class_table(report: ValidationReport) -> Table:
    table = Table("class", title="sequences that carry a class", title_justify="left")
    for subset in report.subsets:
        table.add_column(Text(subset.name), justify="right")
    for label in report.classes:
        table.add_row(Text(label), *(str(subset.sequences_of[label]) for subset in report.subsets))
    return table


def _problem_line(problem: Problem) -> Text:
    kind = ("error  ", "red") if problem.fatal else ("remark ", "yellow")
    return Text.assemble(kind, str(problem))


def _validation_verdict(report: ValidationReport) -> str:
    fatal = sum(problem.fatal for problem in report.problems)
    remarks = len(report.problems) - fatal
    if fatal:
        return f"{fatal} {'error' if fatal == 1 else 'errors'} to mend, {remarks} remarks"
    return f"ready to train and score, {remarks} remarks"


def memory_table(model: DFE, meta: ModelMetadata, nearest: int = 3) -> Table:
    """A row a class, background last; nearness is the cosine between the means of two classes' slots."""
    names = [*meta.classes, "(background)"]
    prototypes = F.normalize(model.memory.prototypes.detach().mean(1), dim=-1)  # K x H
    alike = (prototypes @ prototypes.T).fill_diagonal_(-2)
    table = Table(title=f"memory of {meta.config.method}, step {meta.step}", title_justify="left")
    table.add_column("class")
    table.add_column("slots", justify="right")
    learned = isinstance(model.memory, LearnedMemory)
    if learned:
        table.caption, table.caption_justify = "learned by gradient, so there are no writes to count", "left"
    else:
        table.add_column("times written", justify="right")
    table.add_column("nearest classes (cosine)")
    for name, row, written in zip(names, alike, model.memory.written, strict=True):
        values, places = row.topk(min(nearest, len(names) - 1))
        near = ", ".join(f"{names[i]} {v:.2f}" for v, i in zip(values.tolist(), places.tolist(), strict=True))
        times = () if learned else (f"{int(written.sum()):,}",)
        table.add_row(escape(name), str(int((written > 0).sum())), *times, escape(near))
    return table


@dataclass(frozen=True)
class TableData:
    """Rows of cells under columns; the first column stands left, numbers right."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    bold: tuple[int, ...] = ()  # rows that are ours


def terminal(sheet: TableData) -> Table:
    """For a terminal of any width: long words are folded."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, name in enumerate(sheet.columns):
        table.add_column(Text(name), justify="right" if place else "left", overflow="fold")
    for number, row in enumerate(sheet.rows):
        table.add_row(*map(Text, row), style="bold" if number in sheet.bold else "")
    return table


def markdown(sheet: TableData) -> list[str]:
    """The lines of a Markdown table; no cell can break out of it."""
    rows = [[_sheet_cell(cell, number in sheet.bold) for cell in row] for number, row in enumerate(sheet.rows)]
    return list(table([plain(name) for name in sheet.columns], rows))


def mean_and_spread(values: Sequence[float], decimals: int = 1) -> str:
    """`12.3 ± 0.4`: the mean and the standard deviation (n - 1), or the one value alone."""
    mean = f"{np.mean(values):.{decimals}f}"
    return mean if len(values) < 2 else f"{mean} ± {np.std(values, ddof=1):.{decimals}f}"


def _sheet_cell(text: str, bold: bool) -> str:
    return f"**{plain(text)}**" if bold and text else plain(text)


def map_table(result: EvaluationResult, decimals: int = 1, classes: bool = False) -> Table:
    """mAP in percent at each tIoU and its averages; with `classes` a row for each class as well."""
    title = Text(f"mAP (%), {result.protocol}, tIoU {result.tiou_range}, checkpoint: {result.checkpoint}")
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("tIoU")
    for threshold in result.tious:
        table.add_column(f"{threshold:g}", justify="right")
    for low, high in result.averages:
        table.add_column(format_range(low, high), justify="right", no_wrap=True)
    averages = [result.average(low, high) for low, high in result.averages]
    if classes:
        for label, precisions in result.per_class.items():
            table.add_row(Text(label), *_percent(precisions, decimals))
        table.add_section()
    table.add_row("mAP", *_percent([*result.map, *averages], decimals), style="bold")
    return table


def _percent(values: list[float] | tuple[float, ...], decimals: int) -> list[str]:
    return [f"{100 * value:.{decimals}f}" for value in values]


def operating_sheet(calibration: Calibration, aim: str) -> TableData:
    """A row for each class: how many there were, from which score it is shown, and what that reached."""
    point = calibration.at(aim)
    what = "tagged" if calibration.source == LABELS else "actions"
    rows = []
    for label, threshold in point.thresholds.items():
        reached = point.reached[label]
        least = "never" if threshold is None else f"{threshold:.3f}"
        figures = map(percent, (reached.precision, reached.recall, reached.f1))
        rows.append((label, f"{reached.there:,}", least, f"{reached.shown:,}", f"{reached.right:,}", *figures))
    return TableData((aim, what, "score", "shown", "right", "precision", "recall", "F1"), tuple(rows))
