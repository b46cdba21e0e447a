"""Predictions and actions laid out as a protocol compares them, and how much they overlap."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from wtal import evaluate
from wtal.evaluate import Ambiguous
from wtal.matching import Floats, Intervals, Ints
from wtal.protocols import Protocol
from wtal.records import Proposals, Video
from wtal.timeline import tiou

BLOCK = 1_000_000  # tIoUs that are worked out at once: bounds the memory


@dataclass(frozen=True)
class Layout:
    """What is scored: N predictions by class and surest first in each, M actions in the order of the videos."""

    videos: tuple[Video, ...]
    classes: tuple[str, ...]
    proposals: Intervals
    actions: Intervals

    @property
    def instances(self) -> Ints:
        """How many actions each class has. C"""
        return np.bincount(self.actions.label, minlength=len(self.classes))

    @property
    def by_class(self) -> Iterator[slice]:
        """Each class's predictions."""
        edges = np.searchsorted(self.proposals.label, np.arange(len(self.classes) + 1))
        return (slice(first, last) for first, last in pairwise(edges.tolist()))

    def ranks(self) -> Floats:
        """How many predictions of its class are surer than each, for each action of the class. N"""
        places = [np.arange(rows.stop - rows.start) for rows in self.by_class]
        ranks: Floats = np.concatenate(places) / self.instances[self.proposals.label]
        return ranks


def lay_out(
    proposals: Proposals,
    truth: Sequence[Video],
    rules: Protocol,
    subset: str | None = None,
    ambiguous: Ambiguous | None = None,
) -> Layout:
    """What `wtal.evaluate` scores, in the same order: options and errors are the same."""
    told = evaluate.lay_out(proposals, truth, rules, subset, ambiguous)
    kept = told.proposals[np.lexsort((-told.proposals.score, told.proposals.label))]
    return Layout(tuple(told.scored), tuple(told.classes), kept, told.actions)


def nearest(layout: Layout) -> tuple[Floats, Floats]:
    """Each prediction's highest tIoU with an action of its own label, and of another one. N, N"""
    proposals, actions = layout.proposals, layout.actions
    own, other = np.zeros(len(proposals)), np.zeros(len(proposals))
    by_video = np.argsort(proposals.video, kind="stable")
    places = np.arange(len(layout.videos) + 1)
    firsts = np.searchsorted(proposals.video[by_video], places)
    first_actions = np.searchsorted(actions.video, places)
    for (first, last), (low, high) in zip(pairwise(firsts), pairwise(first_actions), strict=True):
        if first == last or low == high:
            continue
        there = actions[low:high]
        for rows in np.array_split(by_video[first:last], 1 + (last - first) * (high - low) // BLOCK):
            these = proposals[rows]
            shared = tiou(these.start[:, None], these.end[:, None], there.start, there.end)
            same = these.label[:, None] == there.label
            own[rows] = np.where(same, shared, 0).max(1)
            other[rows] = np.where(same, 0, shared).max(1)
    return own, other
