"""Suggested videos as a terminal table."""

from collections.abc import Sequence

from wtal.core.text import format_time
from wtal.experiments.suggestions import Suggestion
from wtal.reporting.tables import TableData

MAX_LABELS = 3


def suggestion_table(suggestions: Sequence[Suggestion]) -> TableData:
    """A row for each suggested video: its gain relative to the first, the classes with the most gain, and moments."""
    rows = tuple(
        (
            suggestion.video_id,
            f"{suggestion.gain:.2f}",
            ", ".join(suggestion.labels[:MAX_LABELS]),
            "\n".join(f"{format_time(moment.time)} {moment.label}" for moment in suggestion.moments),
        )
        for suggestion in suggestions
    )
    return TableData(("video", "gain", "classes", "moments"), rows, align="lrll")
