"""Layout of a timeline figure: arithmetic on seconds, scores and curves, without drawing."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wtal.core.errors import DataError
from wtal.core.structures import Segment

# Inches. A timeline is one Axes: seconds to the right, inches downwards.
LEFT_MARGIN, RIGHT_MARGIN, EDGE_MARGIN = 0.95, 1.15, 0.1
TITLE_HEIGHT, ROW_HEIGHT, PROPOSAL_ROW_HEIGHT, ATTENTION_HEIGHT, CAS_HEIGHT = 0.25, 0.17, 0.09, 0.36, 0.55
LANE_GAP, AXIS_HEIGHT, TIMELINE_GAP, LABEL_GAP = 0.1, 0.2, 0.16, 0.115

MAX_SEGMENT_ROWS = 4  # of overlapping segments
MAX_CLASS_ROWS = 6  # CAS lines, and rows of proposals with a class of their own
MIN_OPACITY = 0.12
TICK_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)  # seconds
MAX_TICKS = 10

Measure = Callable[[str], float]  # the width of a text in points


@dataclass(frozen=True)
class TimelineData:
    """One video to draw.

    Args:
        title: Usually the id of the video.
        duration: Seconds.
        ground_truth: Annotated segments; empty if unknown.
        predictions: Segments shown as the result.
        proposals: All proposals.
        times: Snippet boundaries in seconds. T+1
        attention: Foreground probabilities. T
        cas: Logits or probabilities; columns beyond the classes (the background) are not drawn. T x C
        chosen: Classes whose CAS is drawn, six at most; by default those of the ground truth and the predictions.

    Raises:
        DataError: The curves have different lengths.
    """

    title: str
    duration: float
    ground_truth: tuple[Segment, ...]
    predictions: Sequence[Segment]
    proposals: Sequence[Segment]
    times: NDArray[np.floating]
    attention: NDArray[np.floating]
    cas: NDArray[np.floating]
    chosen: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        snippets = max(0, len(self.times) - 1)
        if self.attention.shape != (snippets,) or self.cas.ndim != 2 or len(self.cas) != snippets:
            raise DataError(
                f"the timeline has {len(self.times)} snippet boundaries, attention of shape {self.attention.shape} and "
                f"CAS of shape {self.cas.shape}",
                location=f"video {self.title}",
                hint="use curves of the same features, with shapes T+1, T and T x C",
                code="shape-mismatch",
            )


def tick_step(end: float) -> float:
    """Seconds between the ticks of an axis of that length: a round number that gives ten ticks at most."""
    return next((float(step) for step in TICK_STEPS if end / step <= MAX_TICKS), 3600.0 * np.ceil(end / 36_000))


def assign_rows(segments: Sequence[Segment]) -> list[int]:
    """A row for each segment, so that segments in a row do not overlap; the last row takes all that is left."""
    row_ends = [-np.inf] * MAX_SEGMENT_ROWS
    rows = [0] * len(segments)
    for i in sorted(range(len(segments)), key=lambda i: (segments[i].start, segments[i].end)):
        free = (row for row in range(MAX_SEGMENT_ROWS) if row_ends[row] <= segments[i].start + 1e-6)
        rows[i] = next(free, MAX_SEGMENT_ROWS - 1)
        row_ends[rows[i]] = max(row_ends[rows[i]], segments[i].end)
    return rows


def opacities(scores: Sequence[float]) -> NDArray[np.float64]:
    """Opacities from `MIN_OPACITY` (the lowest of the scores) to 1 (the highest)."""
    values = np.nan_to_num(np.asarray(scores, dtype=np.float64))
    low, high = values.min(), values.max()
    return MIN_OPACITY + (1 - MIN_OPACITY) * ((values - low) / (high - low) if high > low else np.ones_like(values))


def snippet_curve(
    times: NDArray[np.floating], values: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A curve through the centers of the snippets, extended to the outer boundaries. T+1, T -> T+2, T+2"""
    centers = (np.asarray(times[:-1], np.float64) + times[1:]) / 2
    return np.r_[times[0], centers, times[-1]], np.r_[values[0], values, values[-1]].astype(np.float64)


def value_range(cas: NDArray[np.floating]) -> tuple[float, float]:
    """The limits of the CAS axis: 0 and 1 for probabilities, else whole numbers that enclose the logits."""
    finite = cas[np.isfinite(cas)]
    if not finite.size or (finite.min() >= 0 and finite.max() <= 1):
        return 0.0, 1.0
    low, high = float(np.floor(finite.min())), float(np.ceil(finite.max()))
    return low, max(high, low + 1)


def spread_positions(positions: Sequence[float], gap: float, bottom: float) -> list[float]:
    """Positions (downwards), moved up until they are at least `gap` apart and none is below `bottom`."""
    order = sorted(range(len(positions)), key=lambda i: positions[i], reverse=True)
    moved, below = [0.0] * len(positions), bottom + gap
    for i in order:
        moved[i] = below = min(positions[i], below - gap)
    return moved


def truncate_text(text: str, width: float, measure: Measure, min_length: int = 6) -> str:
    """The text, cut with an ellipsis to fit into `width` points; empty if fewer than `min_length` letters fit."""
    if measure(text) <= width:
        return text
    for length in range(len(text) - 1, min_length - 1, -1):
        if measure(short := text[:length].rstrip() + "…") <= width:
            return short
    return ""


def cas_classes(timeline: TimelineData, classes: Sequence[str]) -> list[str]:
    """Classes whose CAS is drawn: the chosen ones, else those of the segments, else the one with the highest peak."""
    segments = [*timeline.ground_truth, *timeline.predictions]
    candidates = timeline.chosen or [segment.label for segment in segments]
    drawn = [label for label in dict.fromkeys(candidates) if label in classes][:MAX_CLASS_ROWS]
    if drawn or not timeline.cas[:, : len(classes)].size:
        return drawn
    peaks = np.nan_to_num(timeline.cas[:, : len(classes)], nan=-np.inf).max(0)
    return [classes[int(peaks.argmax())]]


def proposal_rows(timeline: TimelineData, drawn: Sequence[str]) -> dict[str, int]:
    """The row of each label: first the classes with a CAS line, then by score; the rest share the last row."""
    by_score = sorted(timeline.proposals, key=lambda proposal: -proposal.confidence)
    labels = dict.fromkeys(proposal.label for proposal in by_score)
    order = [label for label in drawn if label in labels] + [label for label in labels if label not in drawn]
    return {label: min(row, MAX_CLASS_ROWS) for row, label in enumerate(order)}


def rows_height(rows: Iterable[int], height: float) -> float:
    """Inches of a lane with these rows; an empty lane has one."""
    return height * (1 + max(rows, default=0))


def timeline_height(timeline: TimelineData, drawn: Sequence[str]) -> float:
    """Inches from the title to the time axis."""
    segments = (assign_rows(timeline.ground_truth), assign_rows(timeline.predictions))
    lanes = sum(rows_height(rows, ROW_HEIGHT) for rows in segments)
    lanes += max(ROW_HEIGHT, rows_height(proposal_rows(timeline, drawn).values(), PROPOSAL_ROW_HEIGHT))
    return TITLE_HEIGHT + lanes + ATTENTION_HEIGHT + CAS_HEIGHT + 4 * LANE_GAP + AXIS_HEIGHT


def axis_end(timeline: TimelineData) -> float:
    """The end of the time axis in seconds: of the video, or of its last snippet or segment."""
    segments = [*timeline.ground_truth, *timeline.predictions]
    ends = [timeline.duration, *timeline.times[-1:], *(segment.end for segment in segments)]
    return max((float(end) for end in ends if np.isfinite(end)), default=0.0) or 1.0
