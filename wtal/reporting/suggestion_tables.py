"""Suggested videos as a terminal table."""

from collections.abc import Sequence

from wtal.core.text import format_time, one_line
from wtal.experiments.suggestions import Suggestion
from wtal.reporting.tables import TableData

MAX_LABELS = 3


def suggestion_table(suggestions: Sequence[Suggestion]) -> TableData:
    """A row for each suggested video: its gain relative to the first, the classes with the most gain, and moments.

    The moments are lines of their cells: the time and the class that is expected there.
    """
    rows = tuple(
        (
            suggestion.video_id,
            f"{suggestion.gain:.2f}",
            one_line(", ".join(suggestion.labels[:MAX_LABELS])),
            "\n".join(format_time(moment.time) for moment in suggestion.moments),
            "\n".join(one_line(moment.label) for moment in suggestion.moments),
        )
        for suggestion in suggestions
    )
    return TableData(("video", "gain", "classes", "moment", "expected class"), rows, align="lrlrl")
