"""Where the parts of a timeline picture go: arithmetic on seconds, scores and curves; nothing is drawn."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wtal.core.errors import DataError
from wtal.core.structures import Segment

# Inches. A panel is one Axes: seconds to the right, inches downwards.
WIDTH, LEFT, RIGHT, EDGE = 7.2, 0.95, 1.15, 0.1
CAPTION, ROW, THIN_ROW, ATTENTION, CAS, LANE_GAP = 0.25, 0.17, 0.09, 0.36, 0.55, 0.1
AXIS, BETWEEN, NAME_GAP = 0.2, 0.16, 0.115

MOST_ROWS = 4  # of segments that overlap
MOST_LINES = 6  # of CAS, and rows of proposals with a class of their own

Measure = Callable[[str], float]  # the width of a text in points


@dataclass(frozen=True)
class TimelineData:
    """One video to draw. Times in seconds; `cas` holds logits or probabilities, a column for each class.

    Columns beyond the classes (the background) are not drawn. `chosen` names the classes whose CAS is drawn,
    six at most; left empty, those of the truth and the result. Raises DataError when the arrays do not fit
    each other.
    """

    title: str
    duration: float
    truth: tuple[Segment, ...]
    result: Sequence[Segment]
    proposals: Sequence[Segment]
    times: NDArray[np.floating]  # T+1  snippet edges
    attention: NDArray[np.floating]  # T
    cas: NDArray[np.floating]  # T x C
    chosen: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        snippets = max(0, len(self.times) - 1)
        if self.attention.shape != (snippets,) or self.cas.ndim != 2 or len(self.cas) != snippets:
            raise DataError(
                f"{self.title}: {len(self.times)} snippet edges, attention {self.attention.shape}, "
                f"CAS {self.cas.shape}; draw curves that come from the same features (T+1, T, T x C)"
            )


def clock_time(seconds: float, step: float = 1.0) -> str:
    """m:ss (h:mm:ss from an hour on), with a decimal where the step between times is a fraction."""
    tenths = round(seconds * 10) if step < 1 else round(seconds) * 10
    minutes, rest = divmod(tenths, 600)
    text = f"{rest / 10:04.1f}" if step < 1 else f"{rest // 10:02d}"
    return f"{minutes // 60}:{minutes % 60:02d}:{text}" if minutes >= 60 else f"{minutes}:{text}"


def tick_step(until: float) -> float:
    """Seconds between the ticks of an axis that long: a round number, ten ticks at most."""
    steps = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
    return next((float(step) for step in steps if until / step <= 10), 3600.0 * np.ceil(until / 36_000))


def pack(segments: Sequence[Segment | Segment]) -> list[int]:
    """A row for each segment, so that those in one row do not overlap; a fifth row is the fourth."""
    ends = [-np.inf] * MOST_ROWS
    rows = [0] * len(segments)
    for i in sorted(range(len(segments)), key=lambda i: (segments[i].start, segments[i].end)):
        free = (row for row in range(MOST_ROWS) if ends[row] <= segments[i].start + 1e-6)
        rows[i] = next(free, MOST_ROWS - 1)
        ends[rows[i]] = max(ends[rows[i]], segments[i].end)
    return rows


def opacities(scores: Sequence[float]) -> NDArray[np.float64]:
    """Scores as opacity relative to each other, 0.12 (the weakest) to 1 (the strongest)."""
    values = np.nan_to_num(np.asarray(scores, dtype=np.float64))
    low, high = values.min(), values.max()
    return 0.12 + 0.88 * ((values - low) / (high - low) if high > low else np.ones_like(values))


def steps(times: NDArray[np.floating], values: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A curve through the middles of the snippets, out to the outer edges. T+1, T -> T+2, T+2"""
    middles = (np.asarray(times[:-1], np.float64) + times[1:]) / 2
    return np.r_[times[0], middles, times[-1]], np.r_[values[0], values, values[-1]].astype(np.float64)


def value_range(cas: NDArray[np.floating]) -> tuple[float, float]:
    """Where the CAS axis begins and ends: 0 to 1 for probabilities, else whole numbers round the logits."""
    finite = cas[np.isfinite(cas)]
    if not finite.size or (finite.min() >= 0 and finite.max() <= 1):
        return 0.0, 1.0
    low, high = float(np.floor(finite.min())), float(np.ceil(finite.max()))
    return low, max(high, low + 1)


def spread(places: Sequence[float], gap: float, foot: float) -> list[float]:
    """The places (downwards), moved so far apart that at least `gap` lies between them, none below `foot`."""
    order = sorted(range(len(places)), key=lambda i: places[i], reverse=True)
    moved, below = [0.0] * len(places), foot + gap
    for i in order:
        moved[i] = below = min(places[i], below - gap)
    return moved


def elide(text: str, room: float, measure: Measure, least: int = 6) -> str:
    """The text, cut with an ellipsis to fit in `room` points; empty when under `least` letters are left."""
    if measure(text) <= room:
        return text
    for letters in range(len(text) - 1, least - 1, -1):
        if measure(short := text[:letters].rstrip() + "…") <= room:
            return short
    return ""


def plain(text: str) -> str:
    """One line of printable characters: what a picture can show of a label or an id."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def chosen_classes(panel: TimelineData, classes: Sequence[str]) -> list[str]:
    """Classes whose CAS is drawn: as asked for, else those that occur, else the strongest one."""
    wanted = panel.chosen or [*(a.label for a in panel.truth), *(p.label for p in panel.result)]
    known = [label for label in dict.fromkeys(wanted) if label in classes][:MOST_LINES]
    if known or not panel.cas[:, : len(classes)].size:
        return known
    peaks = np.nan_to_num(panel.cas[:, : len(classes)], nan=-np.inf).max(0)
    return [classes[int(peaks.argmax())]]


def proposal_rows(panel: TimelineData, chosen: Sequence[str]) -> dict[str, int]:
    """The row of each proposed label: the chosen ones first, then the surest; the rest share a last row."""
    proposed = dict.fromkeys(p.label for p in sorted(panel.proposals, key=lambda p: -p.confidence))
    order = [label for label in chosen if label in proposed]
    order += [label for label in proposed if label not in chosen]
    return {label: min(row, MOST_LINES) for row, label in enumerate(order)}


def rows_height(rows: Iterable[int], height: float) -> float:
    return height * (1 + max(rows, default=0))


def panel_height(panel: TimelineData, chosen: Sequence[str]) -> float:
    lanes = rows_height(pack(panel.truth), ROW) + rows_height(pack(panel.result), ROW)
    lanes += max(ROW, rows_height(proposal_rows(panel, chosen).values(), THIN_ROW))
    return CAPTION + lanes + ATTENTION + CAS + 4 * LANE_GAP + AXIS


def end_of_axis(panel: TimelineData) -> float:
    """The end of the time axis in seconds: of the video, or of its last snippet or segment."""
    ends = [panel.duration, *panel.times[-1:], *(a.end for a in panel.truth), *(p.end for p in panel.result)]
    return max((float(end) for end in ends if np.isfinite(end)), default=0.0) or 1.0
