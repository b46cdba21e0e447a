"""What `wtal doctor` found: a line each under headings, and below what does not work how to mend it."""

from collections.abc import Sequence
from itertools import groupby

from rich.console import Console
from rich.text import Text

from wtal.doctor import NECESSARY, Finding, healthy

COLOURS = {"ok": "green", "missing": "yellow", "broken": "red"}
WHAT, STATE = 16, 9  # columns


def render(findings: Sequence[Finding], console: Console) -> None:
    """Print the findings. What other programs say is never taken for markup, and no line is wrapped."""
    for group, found in groupby(findings, key=lambda finding: finding.group):
        console.print(Text(group, style="bold"))
        for finding in found:
            console.print(_line(finding), soft_wrap=True)
    console.print(_verdict(findings), soft_wrap=True)


def _line(finding: Finding) -> Text:
    state = f"{finding.state:<{STATE}}", COLOURS[finding.state]
    line = Text.assemble(f"  {finding.what:<{WHAT}}", state, finding.detail)
    return line.append(f"\n{'':{2 + WHAT + STATE}}{finding.mend}") if finding.mend else line


def _verdict(findings: Sequence[Finding]) -> Text:
    if healthy(findings):
        return Text("healthy: from videos to timelines works with the backbone tiny", style="green")
    ill = [finding.what for finding in findings if finding.what in NECESSARY and finding.state != "ok"]
    return Text(f"not healthy: {', '.join(ill)} must work before anything else does", style="red")
