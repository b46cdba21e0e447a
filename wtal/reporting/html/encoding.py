"""A video's timeline as bytes that the page unpacks when the video is opened: small, and exact enough to draw.

Little-endian; each column whole before the next, wide numbers first, so that the page can view them where they lie:

uint32   A truths, R results, P proposals, T snippets, K classes with a CAS line
float32  lowest and highest CAS; T + 1 snippet edges (none where T is 0);
         of truths, results and proposals each their starts, their ends and their scores (truths: 0)
uint16   K classes; the labels of truths, results and proposals
uint8    T attention; K x T CAS
"""

from base64 import b64encode
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wtal.core.errors import DataError
from wtal.core.structures import Segment
from wtal.reporting.figures.layout import TimelineData, value_range

LINES = 12  # classes whose CAS is kept: those that occur in the video, the surest first
FURTHEST = 3e38  # that float32 can hold


def pack(panel: TimelineData, classes: Sequence[str]) -> str:
    """The panel in base64; labels are places in `classes`. Raises DataError for a label that is not there."""
    places = {label: place for place, label in enumerate(classes)}
    lanes: list[Sequence[Segment | Segment]] = [panel.truth, panel.result, panel.proposals]
    unknown = next((s.label for lane in lanes for s in lane if s.label not in places), None)
    if unknown is not None:
        raise DataError(f"{panel.title}: {unknown!r} is none of the classes; evaluate with the run's own data set")
    lines = line_classes(panel, classes)
    cas = np.nan_to_num(panel.cas[:, [places[label] for label in lines]])  # T x K
    low, high = value_range(cas)
    columns = [
        np.array([*map(len, lanes), len(panel.attention), len(lines)], "<u4"),
        _floats([low, high]),
        _floats(panel.times),
        *(_floats([(s.start, s.end, getattr(s, "score", 0)) for s in lane]).T.ravel() for lane in lanes),
        np.array([places[label] for label in lines], "<u2"),
        *(np.array([places[s.label] for s in lane], "<u2") for lane in lanes),
        _bytes(panel.attention, 0, 1),
        _bytes(cas.T, low, high),
    ]
    return b64encode(b"".join(column.tobytes() for column in columns)).decode("ascii")


def line_classes(panel: TimelineData, classes: Sequence[str]) -> list[str]:
    """Classes whose CAS is worth a line: of the truth, of the result, then of the surest proposals."""
    if panel.cas.shape[1] < len(classes):
        return []
    surest = sorted(panel.proposals, key=lambda p: -p.confidence)
    labels = [*(a.label for a in panel.truth), *(p.label for p in panel.result), *(p.label for p in surest)]
    return list(dict.fromkeys(labels))[:LINES]


def _floats(values: ArrayLike) -> NDArray[np.float32]:
    return np.clip(np.asarray(values, np.float64), -FURTHEST, FURTHEST).astype("<f4")


def _bytes(values: NDArray[np.floating], low: float, high: float) -> NDArray[np.uint8]:
    """Values as 0 to 255 of their range: a step is less than a pixel of the lane they are drawn in."""
    shares = (np.nan_to_num(np.asarray(values, np.float64)) - low) / (high - low)
    return np.rint(255 * np.clip(shares, 0, 1)).astype("u1")
