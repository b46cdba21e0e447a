"""The predicted segments of a video in a terminal: one lane of characters per class, then a list."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from wtal.core.structures import Segment
from wtal.core.text import format_time, one_line, print_line
from wtal.inference.predict import VideoPrediction

NAME_WIDTH = 24  # columns for the class names
MIN_LANE_WIDTH, MAX_LANE_WIDTH = 20, 100  # columns


def render_timeline(prediction: VideoPrediction, segments: Sequence[Segment], console: Console) -> None:
    """Print the chosen segments of a video's prediction, in their order."""
    duration = format_time(prediction.end - prediction.start)
    console.print(Text.assemble((one_line(prediction.id), "bold"), f"  {duration}"), soft_wrap=True)
    if not segments:
        console.print("  no segments")
        return
    width = max(MIN_LANE_WIDTH, min(MAX_LANE_WIDTH, console.width - NAME_WIDTH - 4))
    console.print(_lanes(prediction, segments, width))
    # The label comes last, so that the numbers stay visible however long the label and narrow the terminal.
    print_line(console, f"  {'start':>9} {'end':>9} {'length':>9} {'score':>6}  label")
    for segment in segments:
        start, end = format_time(segment.start, 0.1), format_time(segment.end, 0.1)
        length = segment.end - segment.start
        numbers = f"{start:>9} {end:>9} {length:>7.1f} s {segment.confidence:>6.2f}"
        print_line(console, f"  {numbers}  {one_line(segment.label)}")


def lane(segments: Sequence[Segment], start: float, end: float, width: int) -> str:
    """A row of `width` characters from `start` to `end` seconds; every segment fills at least one character."""
    row = ["·"] * width
    for segment in segments:
        first, last = (round((t - start) / (end - start) * width) for t in (segment.start, segment.end))
        first = min(first, width - 1)
        last = min(max(last, first + 1), width)
        row[first:last] = "█" * (last - first)
    return "".join(row)


def _lanes(prediction: VideoPrediction, segments: Sequence[Segment], width: int) -> Text:
    text = Text(no_wrap=True, overflow="crop")
    for label in dict.fromkeys(segment.label for segment in segments):
        name = one_line(label)
        name = name if len(name) <= NAME_WIDTH else name[: NAME_WIDTH - 1] + "…"
        of_label = [segment for segment in segments if segment.label == label]
        text.append(f"  {name:<{NAME_WIDTH}} {lane(of_label, prediction.start, prediction.end, width)}\n")
    first, last = format_time(prediction.start), format_time(prediction.end)
    text.append(f"  {'':<{NAME_WIDTH}} {first}{last:>{width - len(first)}}", style="dim")
    return text
