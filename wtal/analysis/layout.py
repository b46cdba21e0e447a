"""Predictions and actions laid out as a protocol compares them, how much they overlap and how precise they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from wtal import evaluate
from wtal.evaluate import Ambiguous
from wtal.matching import Bools, Floats, Intervals, Ints
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

    def ranks(self) -> Floats:
        """How many predictions of its class are surer than each, for each action of the class. N"""
        label = self.proposals.label
        ranks: Floats = (np.arange(len(label)) - np.searchsorted(label, label)) / self.instances[label]
        return ranks

    def mean_precision(
        self, hits: Bools, wrong: Bools, interpolated: bool, among: Ints | None = None, usual: float | None = None
    ) -> float:
        """The mean over classes of their average precision at one tIoU: of these hits and false positives. N, N

        Among so many instances of each class, its own if left out; classes of none are passed over. With `usual`
        precision is as if each class had that many of them.
        """
        instances = self.instances if among is None else among
        label, rows = self.proposals.label, np.flatnonzero(hits)
        of, there = label[rows], instances[label[rows]]
        before = np.append(0, wrong.cumsum())  # false positives before each row
        worth = 1 if usual is None else usual / there
        right = worth * (np.arange(1, len(rows) + 1) - np.searchsorted(of, of))
        precision = right / (right + before[rows] - before[np.searchsorted(label, of)])
        if interpolated:
            precision = _envelope(precision, of)
        return float((precision / there).sum() / np.count_nonzero(instances))


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


def _envelope(precision: Floats, label: Ints) -> Floats:
    """The highest precision from each hit on, of its class; by class. H, H -> H"""
    values, places = np.unique(precision, return_inverse=True)
    shift = label * len(values)  # whole numbers, so that no class reaches into another and nothing is rounded
    return values[np.maximum.accumulate((places - shift)[::-1])[::-1] + shift]


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
