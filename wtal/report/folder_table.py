"""What `wtal check` shows of a data set folder: the counts in tables, then every problem with its way out."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from wtal.check import Problem, Report, SubsetSummary
from wtal.report.say import say


def render(report: Report, console: Console) -> None:
    """Print the report. Text from the files is never taken for markup."""
    say(console, _headline(report))
    if report.subsets:
        console.print(_subset_table(report.subsets))
        console.print(_class_table(report))
    for problem in report.problems:
        console.print(_line(problem), soft_wrap=True)
    say(console, _verdict(report), style="red" if report.fatal else "green")


def _headline(report: Report) -> str:
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


def _class_table(report: Report) -> Table:
    table = Table("class", title="sequences that carry a class", title_justify="left")
    for subset in report.subsets:
        table.add_column(Text(subset.name), justify="right")
    for label in report.classes:
        table.add_row(Text(label), *(str(subset.sequences_of[label]) for subset in report.subsets))
    return table


def _line(problem: Problem) -> Text:
    kind = ("error  ", "red") if problem.fatal else ("remark ", "yellow")
    return Text.assemble(kind, str(problem))


def _verdict(report: Report) -> str:
    fatal = sum(problem.fatal for problem in report.problems)
    remarks = len(report.problems) - fatal
    if fatal:
        return f"{fatal} {'error' if fatal == 1 else 'errors'} to mend, {remarks} remarks"
    return f"ready to train and score, {remarks} remarks"
