"""What `wtal doctor` found, a line each under headings; then what to do, if anything."""

from collections.abc import Sequence
from itertools import groupby

from rich.console import Console
from rich.table import Table
from rich.text import Text

from wtal.doctor import NECESSARY, Finding, healthy

COLOURS = {"ok": "green", "missing": "yellow", "broken": "red"}


def render(findings: Sequence[Finding], console: Console) -> None:
    """Print the findings. What other programs say is never taken for markup."""
    for group, found in groupby(findings, key=lambda finding: finding.group):
        console.print(Text(group, style="bold"))
        console.print(_table(list(found)))
    for finding in findings:
        if finding.mend:
            console.print(Text(f"{finding.what}: {finding.mend}"), soft_wrap=True)
    console.print(_verdict(findings), soft_wrap=True)


def _table(findings: Sequence[Finding]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(min_width=14)
    table.add_column(min_width=7)
    table.add_column(overflow="fold")
    for finding in findings:
        state = Text(finding.state, style=COLOURS[finding.state])
        table.add_row(Text(f"  {finding.what}"), state, Text(finding.detail))
    return table


def _verdict(findings: Sequence[Finding]) -> Text:
    if healthy(findings):
        return Text("healthy: from videos to timelines works with the backbone tiny", style="green")
    ill = [finding.what for finding in findings if finding.what in NECESSARY and finding.state != "ok"]
    return Text(f"not healthy: {', '.join(ill)} must work before anything else does", style="red")
