"""The validation report of a data set as tables (`wtal check`)."""

from collections.abc import Iterator

from rich.text import Text

from wtal.core.text import format_count, printable
from wtal.data.problems import Problem
from wtal.data.validation import SubsetSummary, ValidationReport
from wtal.reporting.tables import Block, TableData


def validation_blocks(report: ValidationReport) -> Iterator[Block]:
    """What the data set contains, its problems, and whether it can be used."""
    yield _headline(report)
    if report.subsets:
        yield _subset_table(report.subsets)
        yield _class_table(report)
    yield from map(_problem_line, report.problems)
    yield Text(printable(_verdict(report)), style="red" if report.fatal else "green")


def _headline(report: ValidationReport) -> str:
    width = "no features yet" if report.width is None else f"{report.width} feature dimensions"
    if len(report.modalities) > 1:
        width += f" ({' + '.join(map(str, report.modalities))})"
    classes = format_count(len(report.classes), "class", "classes")
    return f"{report.path}: {classes}, {width}, one snippet every {report.clock.stride:g} s"


def _subset_table(subsets: tuple[SubsetSummary, ...]) -> TableData:
    rows = []
    for subset in subsets:
        shortest, median, longest = subset.snippets or (0, 0, 0)
        rows.append(
            (
                subset.name,
                str(subset.sequences),
                str(subset.instances),
                f"{subset.hours:.2f}",
                f"{shortest} / {median:g} / {longest}" if subset.snippets else "-",
                ", ".join(map(str, subset.with_labels)),
            )
        )
    columns = (
        "subset",
        "videos",
        "segments",
        "hours",
        "snippets\nmin / median / max",
        "videos with\n0, 1, 2, ... labels",
    )
    return TableData(columns, tuple(rows))


def _class_table(report: ValidationReport) -> TableData:
    rows = [(label, *(str(subset.sequences_of[label]) for subset in report.subsets)) for label in report.classes]
    return TableData(("class", *(subset.name for subset in report.subsets)), tuple(rows), title="videos per class")


def _problem_line(problem: Problem) -> Text:
    severity = ("error   ", "red") if problem.fatal else ("warning ", "yellow")
    return Text.assemble(severity, str(problem))


def _verdict(report: ValidationReport) -> str:
    errors = sum(problem.fatal for problem in report.problems)
    warnings = len(report.problems) - errors
    counts = f"{format_count(errors, 'error')}, {format_count(warnings, 'warning')}"
    return f"{counts}; fix the errors before training" if errors else f"ready for training and evaluation; {counts}"
