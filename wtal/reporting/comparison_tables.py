"""A comparison of methods as tables: scores over the seeds and paired differences."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from wtal.core.methods import method_title, supervision_of
from wtal.core.text import format_count, format_percent
from wtal.evaluation.bootstrap import DRAWS
from wtal.evaluation.protocols import DEFAULT_OPTIONS
from wtal.evaluation.results import format_range
from wtal.experiments.external import ExternalScore
from wtal.experiments.statistics import Comparison, Difference, Score, differences_of, overall
from wtal.reporting.tables import Block, TableData, format_interval, format_mean_std


def comparison_blocks(comparison: Comparison) -> Iterator[Block]:
    """Each method's score on each data set, the mean over the data sets, and the paired differences.

    Other systems have a row of their own, and a table of the differences to them.
    """
    scores, differences, seeds = comparison.scores, comparison.differences, comparison.seeds
    means = overall(scores) if len({score.data for score in scores}) > 1 else []
    tious = format_range(DEFAULT_OPTIONS.thresholds[0], DEFAULT_OPTIONS.thresholds[-1])
    supervision = comparison.config.train.supervision
    title = f"average mAP (%) over tIoU {tious}, {comparison.subset} subset, last checkpoint"
    yield replace(_score_table([*scores, *means], comparison.external, supervision), title=title)
    yield f"protocol {DEFAULT_OPTIONS.protocol}; {describe_seeds(seeds)}"
    if note := supervision_note([score.method for score in scores], supervision):
        yield note
    if means:
        yield "column mean: mean over the data sets, computed for each seed"
        differences = [*differences, *differences_of(means)]
    if differences:
        interval = "no interval for a single seed" if seeds == 1 else "95 % bootstrap intervals over the seeds"
        yield ""
        title = f"paired differences by seed; {interval}"
        yield replace(_difference_table(differences, supervision, intervals=seeds > 1), title=title)
    if comparison.external:
        yield ""
        yield external_table(comparison.external)
        yield from external_notes(comparison.external)


def describe_seeds(seeds: int) -> str:
    """What a figure over so many seeds is."""
    return "1 seed" if seeds == 1 else f"mean ± standard deviation over {seeds} seeds"


def supervision_note(methods: Iterable[str], supervision: str) -> str:
    """A note on the labels in brackets of `method_title`; "" if all methods were trained on tags alone."""
    kinds = {supervision_of(method, supervision) for method in methods}
    if kinds == {"tags"}:
        return ""
    warning = "; do not rank methods with different labels against each other" if len(kinds) > 1 else ""
    return f"in brackets: the labels beyond tags that a method was trained on{warning}"


def external_label(score: ExternalScore) -> str:
    """The name of another system in a table of methods."""
    return f"{score.name} (external)"


def external_table(external: Sequence[ExternalScore]) -> TableData:
    """The differences between a method and the other systems."""
    rows = tuple(
        (
            f"{score.method} - {score.name}",
            format_percent(score.difference.value, sign=True),
            format_interval(score.difference.low, score.difference.high, sign=True),
        )
        for score in external
    )
    tious = format_range(*external[0].result.averages[-1])
    title = f"differences to external systems in average mAP (points) over tIoU {tious}"
    return TableData(("methods", "difference", "95 % interval"), rows, title)


def external_notes(external: Sequence[ExternalScore]) -> list[str]:
    """How the other systems were compared, and the notes on their scores."""
    first = external[0]
    lines = [
        "external: one proposals file, scored the same way; seed and checkpoint unknown",
        f"95 % intervals: paired bootstrap over {format_count(first.result.counts.videos, 'video')}, {DRAWS:,} draws",
    ]
    if first.seeds > 1:
        lines.append(f"{first.method}: mean over {first.seeds} seeds; the intervals do not include their spread")
    return lines + [f"{score.name}: {note}" for score in external for note in score.result.notes]


def _score_table(scores: Sequence[Score], external: Sequence[ExternalScore], supervision: str) -> TableData:
    cells = {(score.data, score.method): format_mean_std(score.averages) for score in scores}
    datasets = tuple(dict.fromkeys(score.data for score in scores))
    methods = dict.fromkeys(score.method for score in scores)
    rows = [
        (method_title(method, supervision), *(cells[dataset, method] for dataset in datasets)) for method in methods
    ]
    rows += [(external_label(score), format_percent(score.result.main_average)) for score in external]
    return TableData(("method", *datasets), tuple(rows))


def _difference_table(differences: Sequence[Difference], supervision: str, intervals: bool) -> TableData:
    rows = [
        (
            d.data,
            f"{method_title(d.method, supervision)} - {method_title(d.other, supervision)}",
            f"{d.mean:+.1f}",
            f"[{d.low:+.1f}, {d.high:+.1f}]",
        )
        for d in differences
    ]
    columns = ("data", "methods", "difference", "95 % interval")
    end = None if intervals else -1
    return TableData(columns[:end], tuple(row[:end] for row in rows), align="llr", labels=2)
