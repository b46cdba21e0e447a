"""A comparison of methods as terminal tables: scores over the seeds and paired differences."""

from collections.abc import Sequence

from rich.console import Console

from wtal.core.text import print_line
from wtal.evaluation.protocols import COMPARISON_TIOUS
from wtal.evaluation.results import format_range
from wtal.experiments.statistics import Comparison, Difference, Score, differences_of, overall
from wtal.reporting.tables import TableData, format_mean_std, print_table


def render_comparison(comparison: Comparison, console: Console) -> None:
    """Print each method's score on each data set, the mean over the data sets, and the paired differences."""
    scores, differences, seeds = comparison.scores, comparison.differences, comparison.seeds
    means = overall(scores) if len({score.data for score in scores}) > 1 else []
    tious = format_range(COMPARISON_TIOUS[0], COMPARISON_TIOUS[-1])
    print_line(console, f"average mAP (%) over tIoU {tious}, {comparison.subset} subset, last checkpoint")
    print_table(_score_table([*scores, *means]), console)
    print_line(console, f"activitynet protocol at tIoU {tious}; {describe_seeds(seeds)}")
    if means:
        print_line(console, "column mean: mean over the data sets, computed for each seed")
        differences = [*differences, *differences_of(means)]
    if differences:
        interval = "no interval for a single seed" if seeds == 1 else "95 % bootstrap intervals over the seeds"
        print_line(console, f"\npaired differences by seed; {interval}")
        print_table(_difference_table(differences, intervals=seeds > 1), console)


def describe_seeds(seeds: int) -> str:
    """What a figure over so many seeds is."""
    return "1 seed" if seeds == 1 else f"mean ± standard deviation over {seeds} seeds"


def _score_table(scores: Sequence[Score]) -> TableData:
    cells = {(score.data, score.method): format_mean_std(score.averages) for score in scores}
    datasets = tuple(dict.fromkeys(score.data for score in scores))
    methods = dict.fromkeys(score.method for score in scores)
    rows = tuple((method, *(cells[dataset, method] for dataset in datasets)) for method in methods)
    return TableData(("method", *datasets), rows)


def _difference_table(differences: Sequence[Difference], intervals: bool) -> TableData:
    rows = [
        (d.data, f"{d.method} - {d.other}", f"{d.mean:+.1f}", f"[{d.low:+.1f}, {d.high:+.1f}]") for d in differences
    ]
    columns = ("data", "methods", "difference", "95 % interval")
    end = None if intervals else -1
    return TableData(columns[:end], tuple(row[:end] for row in rows), align="llr", labels=2)
