"""A comparison of methods as terminal tables."""

from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.table import Table

from wtal.compare import Difference, Score


def render(scores: Sequence[Score], differences: Sequence[Difference], subset: str, console: Console) -> None:
    """A row a method, a column a data set: mean and spread over seeds; then the paired differences."""
    datas = list(dict.fromkeys(score.data for score in scores))
    methods = list(dict.fromkeys(score.method for score in scores))
    cells = {(score.data, score.method): score for score in scores}
    table = Table(title=f"average mAP (%), tIoU 0.1:0.7, {subset}, last checkpoint", title_justify="left")
    table.add_column("method")
    for data in datas:
        table.add_column(data, justify="right")
    if len(datas) > 1:
        table.add_column("mean", justify="right")
    for method in methods:
        row = [cells[data, method] for data in datas]
        mean = [f"{np.mean([score.mean for score in row]):.1f}"] if len(datas) > 1 else []
        table.add_row(method, *(f"{score.mean:.1f} ± {score.spread:.1f}" for score in row), *mean)
    console.print(table)
    seeds = len(scores[0].averages)
    console.print(f"activitynet protocol; mean and standard deviation over {seeds} seeds")
    for d in differences:
        console.print(
            f"{d.data}: {d.method} - {d.other} = {d.mean:+.1f}  [{d.low:+.1f}, {d.high:+.1f}]  (95 %, over seeds)"
        )
