"""Results as tables for the terminal; the numbers are all in `wtal.result.Result`."""

from rich import box
from rich.table import Table
from rich.text import Text

from wtal.result import Result


def map_table(result: Result, decimals: int = 1, classes: bool = False) -> Table:
    """mAP in percent at each tIoU and its averages; with `classes` a row for each class as well."""
    title = Text(f"mAP (%), {result.protocol}, checkpoint: {result.checkpoint}")
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("tIoU")
    for threshold in result.tious:
        table.add_column(f"{threshold:g}", justify="right")
    for low, high in result.averages:
        table.add_column(f"{low:g}-{high:g}", justify="right", no_wrap=True)
    averages = [result.average(low, high) for low, high in result.averages]
    if classes:
        for label, precisions in result.per_class.items():
            table.add_row(Text(label), *_percent(precisions, decimals))
        table.add_section()
    table.add_row("mAP", *_percent([*result.map, *averages], decimals), style="bold")
    return table


def counted(result: Result) -> list[str]:
    """What was scored, and the notes of the evaluation, a line each."""
    counts = result.counts
    lines = [
        f"{counts.videos:,} videos, {counts.instances:,} instances of {len(result.per_class)} classes, "
        f"{counts.proposals:,} proposals"
    ]
    if counts.videos_left_out:
        lines.append(
            f"left out by {result.protocol}: {', '.join(counts.videos_left_out)} "
            f"with {counts.instances_left_out:,} instances"
        )
    return lines + list(result.notes)


def _percent(values: list[float] | tuple[float, ...], decimals: int) -> list[str]:
    return [f"{100 * value:.{decimals}f}" for value in values]
