"""A video's timeline as base64, which the page decodes when the video is opened: small, and precise enough to draw.

Little-endian; each column is contiguous, wide numbers come first, so that the page can view them in place:

uint32   numbers of ground truth segments A, predictions R, proposals P, snippets T, and classes with a CAS line K
float32  lowest and highest CAS; T + 1 snippet boundaries (none if T is 0);
         for ground truth, predictions and proposals their starts, their ends and their scores (ground truth: 0)
uint16   K class indices; the class indices of ground truth, predictions and proposals
uint8    T attention; K x T CAS
"""

from base64 import b64encode
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wtal.core.errors import DataError
from wtal.core.structures import Segment
from wtal.reporting.figures.layout import TimelineData, value_range

MAX_CAS_LINES = 12  # classes whose CAS is stored
MAX_FLOAT32 = 3e38


def encode_timeline(timeline: TimelineData, classes: Sequence[str]) -> str:
    """Encode a timeline; labels become indices in `classes`. Raises DataError for an unknown label."""
    indices = {label: index for index, label in enumerate(classes)}
    lanes: list[Sequence[Segment]] = [timeline.ground_truth, timeline.predictions, timeline.proposals]
    unknown = next((segment.label for lane in lanes for segment in lane if segment.label not in indices), None)
    if unknown is not None:
        raise DataError(
            f"unknown class {unknown!r}",
            location=f"video {timeline.title}",
            hint="use the data set that the run was trained on",
            code="unknown-name",
        )
    lines = line_classes(timeline, classes)
    cas = np.nan_to_num(timeline.cas[:, [indices[label] for label in lines]])  # T x K
    low, high = value_range(cas)
    columns = [
        np.array([*map(len, lanes), len(timeline.attention), len(lines)], "<u4"),
        _floats([low, high]),
        _floats(timeline.times),
        *(_floats([(s.start, s.end, s.score or 0) for s in lane]).T.ravel() for lane in lanes),
        np.array([indices[label] for label in lines], "<u2"),
        *(np.array([indices[segment.label] for segment in lane], "<u2") for lane in lanes),
        _bytes(timeline.attention, 0, 1),
        _bytes(cas.T, low, high),
    ]
    return b64encode(b"".join(column.tobytes() for column in columns)).decode("ascii")


def line_classes(timeline: TimelineData, classes: Sequence[str]) -> list[str]:
    """Classes with a CAS line: those of the ground truth, the predictions and the highest-scoring proposals."""
    if timeline.cas.shape[1] < len(classes):
        return []
    by_score = sorted(timeline.proposals, key=lambda proposal: -proposal.confidence)
    segments = [*timeline.ground_truth, *timeline.predictions, *by_score]
    return list(dict.fromkeys(segment.label for segment in segments))[:MAX_CAS_LINES]


def _floats(values: ArrayLike) -> NDArray[np.float32]:
    return np.clip(np.asarray(values, np.float64), -MAX_FLOAT32, MAX_FLOAT32).astype("<f4")


def _bytes(values: NDArray[np.floating], low: float, high: float) -> NDArray[np.uint8]:
    """Values of a range as 0 to 255: a step is less than a pixel of their lane."""
    shares = (np.nan_to_num(np.asarray(values, np.float64)) - low) / (high - low)
    return np.rint(255 * np.clip(shares, 0, 1)).astype("u1")
