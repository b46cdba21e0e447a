"""A timeline as a terminal shows it: a lane for each class that was found, then when, how long and how sure."""

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.text import Text

from wtal.records import Proposal
from wtal.report.layout import clock_time, plain
from wtal.report.say import say
from wtal.timelines import Timeline

NAME = 24  # columns for the names of classes
LEAST, MOST = 20, 100  # columns for the lanes


def render(timeline: Timeline, shown: Sequence[Proposal], console: Console) -> None:
    """Print of one timeline the proposals that are to be shown, in their order."""
    length = clock_time(timeline.end - timeline.start)
    console.print(Text.assemble((plain(timeline.id), "bold"), f"  {length}"), soft_wrap=True)
    if not shown:
        console.print("  nothing found")
        return
    console.print(_lanes(timeline, shown, max(LEAST, min(MOST, console.width - NAME - 4))))
    for line in _lines(shown):
        say(console, line)


def _lanes(timeline: Timeline, shown: Sequence[Proposal], columns: int) -> Text:
    text = Text(no_wrap=True, overflow="crop")
    for label in dict.fromkeys(p.label for p in shown):
        name = plain(label)
        name = name if len(name) <= NAME else name[: NAME - 1] + "…"
        text.append(f"  {name:<{NAME}} ")
        text.append(lane([p for p in shown if p.label == label], timeline.start, timeline.end, columns) + "\n")
    first, last = clock_time(timeline.start), clock_time(timeline.end)
    text.append(f"  {'':<{NAME}} {first}{last:>{columns - len(first)}}", style="dim")
    return text


def lane(proposals: Sequence[Proposal], start: float, end: float, columns: int) -> str:
    """A row of characters from `start` to `end` seconds, filled where a proposal is (always at least one)."""
    row = ["·"] * columns
    for proposal in proposals:
        first, last = (round((t - start) / (end - start) * columns) for t in (proposal.start, proposal.end))
        first = min(first, columns - 1)
        last = min(max(last, first + 1), columns)
        row[first:last] = "█" * (last - first)
    return "".join(row)


def _lines(shown: Sequence[Proposal]) -> Iterator[str]:
    """The label last: however long it is, and however narrow the terminal, the figures can be read."""
    yield f"  {'start':>9} {'end':>9} {'length':>9} {'score':>6}  label"
    for p in shown:
        start, end = clock_time(p.start, 0.1), clock_time(p.end, 0.1)
        yield f"  {start:>9} {end:>9} {p.end - p.start:>7.1f} s {p.score:>6.2f}  {plain(p.label)}"
