"""Of which kind each prediction is, and what mending a kind would be worth.

Source: the kinds of Alwassel et al., Diagnosing Error in Temporal Action Detectors (ECCV 2018).
"""

import numpy as np

from wtal.analysis.layout import Layout
from wtal.analysis.records import (
    BACKGROUND,
    CONFUSION,
    DEPTH,
    DOUBLE,
    KINDS,
    LOCALIZATION,
    LOWEST,
    TRUE_POSITIVE,
    WRONG_LABEL,
    Gain,
)
from wtal.matching import Bools, Floats, Ints


def kinds_at(hits: Bools, own: Floats, other: Floats, tiou: float) -> Ints:
    """The kind of each prediction, by the action that it overlaps most. N each.

    `own` and `other` are its highest tIoU with actions of its own label and of others; where they are equal, its
    own counts, as several labels of one moment must not make a wrong label of a double detection.
    """
    most, mine = np.maximum(own, other), own >= other
    told = [
        (hits, TRUE_POSITIVE),
        (most < LOWEST, BACKGROUND),
        (mine & (most >= tiou), DOUBLE),
        (most >= tiou, WRONG_LABEL),
        (mine, LOCALIZATION),
    ]
    conditions, kinds = zip(*told, strict=True)
    return np.select(conditions, kinds, CONFUSION)


def profile(kinds: Ints, ranks: Floats) -> tuple[tuple[dict[str, int], ...], dict[str, int]]:
    """How many predictions of each kind are among the top-1G ... top-10G, and how many come after."""
    return tuple(_count(kinds[ranks < depth]) for depth in range(1, DEPTH + 1)), _count(kinds[ranks >= DEPTH])


def gains(layout: Layout, hits: Bools, kinds: Ints, interpolated: bool) -> dict[str, Gain]:
    """What mAP gains without each kind of error, at the first tIoU and as the mean of the others. tIoUs x N, twice.

    A false positive takes no action, so that without it all other predictions keep theirs.
    """

    def scores(left_out: int) -> Floats:
        rows = zip(hits, kinds != left_out, strict=True)
        return np.array([layout.mean_precision(hit, kept & ~hit, interpolated) for hit, kept in rows])

    before = scores(-1)
    gained = {name: scores(kind) - before for kind, name in enumerate(KINDS) if kind != TRUE_POSITIVE}
    return {name: Gain(float(more[0]), float(more[1:].mean())) for name, more in gained.items()}


def _count(kinds: Ints) -> dict[str, int]:
    return dict(zip(KINDS, np.bincount(kinds, minlength=len(KINDS)).tolist(), strict=True))
