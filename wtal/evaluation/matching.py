"""Which proposals find an action, and the average precision that follows: arrays in, arrays out.

`evaluate` sorts, selects and explains; the rules of a protocol come from `wtal.evaluation.protocols`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wtal.core.clock import tiou
from wtal.evaluation.protocols import Protocol

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

VECTORIZE_THRESHOLD = 0.9  # of the pairs left by a round: it is not worth another


@dataclass(frozen=True)
class Intervals:
    """Proposals or actions as columns of N, in the unit that the protocol compares in."""

    video: Ints  # position in the list of scored videos; below 0: not among them
    label: Ints  # position in the list of classes; below 0: not among them
    start: Floats
    end: Floats
    score: Floats  # all 0 for actions

    def __getitem__(self, rows: Any) -> "Intervals":
        return Intervals(self.video[rows], self.label[rows], self.start[rows], self.end[rows], self.score[rows])

    def __len__(self) -> int:
        return len(self.video)


@dataclass(frozen=True)
class MatchedProposals:
    """A file as it is counted: its N proposals by class, surest first in each, and how many actions there are."""

    video: Ints  # N    position in the list of scored videos; below 0: not among them
    edges: Ints  # C+1  where each class begins
    hits: Bools  # tIoUs x N
    instances: Ints  # C x videos
    interpolated: bool

    @property
    def classes(self) -> Iterator[slice]:
        """Each class's proposals."""
        return (slice(first, last) for first, last in pairwise(self.edges.tolist()))


def match_proposals(
    proposals: Intervals, actions: Intervals, rules: Protocol, thresholds: tuple[float, ...], size: tuple[int, int]
) -> MatchedProposals:
    """Sort the proposals and match them, once; `size` counts the classes and the scored videos."""
    proposals = proposals[np.lexsort((-proposals.score, proposals.label))]
    cells = np.bincount(actions.label * size[1] + actions.video, minlength=size[0] * size[1])
    return MatchedProposals(
        proposals.video,
        np.searchsorted(proposals.label, np.arange(size[0] + 1)),
        find_hits(proposals, actions, rules, thresholds),
        cells.reshape(size),
        rules.interpolated,
    )


def find_hits(proposals: Intervals, actions: Intervals, rules: Protocol, thresholds: tuple[float, ...]) -> Bools:
    """Which proposals, given surest first within each class, are true positives. tIoUs x N."""
    return matched_segment(proposals, actions, rules, thresholds) >= 0


def matched_segment(proposals: Intervals, actions: Intervals, rules: Protocol, thresholds: tuple[float, ...]) -> Ints:
    """The row of the action that each proposal takes, -1 for a false positive; order as above. tIoUs x N."""
    lists = list(_candidate_pairs(proposals, actions, rules, min(thresholds)))
    if not lists:
        return np.full((len(thresholds), len(proposals)), -1)
    wishing, wished, shared = (np.concatenate(column) for column in zip(*lists, strict=True))
    size = len(proposals), len(actions)
    return np.array([greedy_match(wishing[shared >= t], wished[shared >= t], size) for t in thresholds])


def greedy_match(proposals: Ints, actions: Ints, size: tuple[int, int]) -> Ints:
    """What each proposal gets when each in its turn takes the first action on its list that is free; -1: none.

    The lists are pairs (proposal, action), by proposal and then by liking; `size` counts both sides. A round
    settles every proposal that no earlier one can disappoint: rounds are few, and each is whole-array work. Where
    they are not, as all like the same ones, the rest is settled one by one.
    """
    got, taken = np.full(size[0], -1), np.zeros(size[1], bool)
    earliest = np.empty(size[1], np.int64)
    before = len(proposals) + 1.0
    while len(proposals) < before:
        before = VECTORIZE_THRESHOLD * len(proposals)
        earliest[actions[::-1]] = proposals[::-1]  # the last write stays: the earliest to want each action
        favourite = np.r_[True, proposals[1:] != proposals[:-1]]
        settled = favourite & (earliest[actions] == proposals)
        got[proposals[settled]] = actions[settled]
        taken[actions[settled]] = True
        waiting = (got[proposals] < 0) & ~taken[actions]
        proposals, actions = proposals[waiting], actions[waiting]
    begins = np.flatnonzero(np.r_[True, proposals[1:] != proposals[:-1]])
    for first, last in pairwise([*begins.tolist(), len(proposals)]):
        free = np.flatnonzero(~taken[actions[first:last]])
        if len(free):
            got[proposals[first]] = actions[first + free[0]]
            taken[actions[first + free[0]]] = True
    return got


def average_precision(hits: Bools, instances: int, interpolated: bool = True) -> Floats:
    """The precision at each hit, summed, over the number of instances. tIoUs x N by falling score -> tIoUs.

    `interpolated` takes the best precision at this recall or a higher one (the envelope of VOC 2011).
    """
    precision = hits.cumsum(1) / np.arange(1, hits.shape[1] + 1)
    if interpolated:
        precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    total: Floats = (precision * hits).sum(1) / instances
    return total


def _candidate_pairs(
    proposals: Intervals, actions: Intervals, rules: Protocol, lowest: float
) -> Iterator[tuple[Ints, Ints, Floats]]:
    """Per video and class: proposal rows, action rows by falling liking, tIoU; the pairs from `lowest` on."""
    classes = actions.label.max(initial=0) + 1
    proposal_keys = np.where(proposals.video >= 0, proposals.video * classes + proposals.label, -1)
    by_key = np.argsort(proposal_keys, kind="stable")
    action_keys = actions.video * classes + actions.label
    by_action_key = np.argsort(action_keys, kind="stable")
    groups, begins = np.unique(action_keys[by_action_key], return_index=True)
    firsts, lasts = (np.searchsorted(proposal_keys[by_key], groups, side) for side in ("left", "right"))
    for first, last, wanted in zip(firsts, lasts, np.split(by_action_key, begins[1:]), strict=True):
        if first == last:
            continue
        rows = by_key[first:last]
        shared = tiou(
            proposals.start[rows, None], proposals.end[rows, None], actions.start[wanted], actions.end[wanted]
        )
        order = preference_order(shared, rules.best_first)
        ranked = np.take_along_axis(shared, order, axis=1)
        row, place = np.nonzero(ranked >= lowest)
        yield rows[row], wanted[order[row, place]], ranked[row, place]


def preference_order(shared: Floats, best_first: bool) -> Ints:
    """Each proposal's order of actions: by falling tIoU, or as in the file. tIoUs P x A -> places P x A."""
    if not best_first:
        return np.broadcast_to(np.arange(shared.shape[1]), shared.shape)
    # Whole snippets tie often. numpy's default sort, reversed, breaks ties as the public evaluators do;
    # a rule of our own would move thumos14-snippet by 0.03 points.
    return np.argsort(shared, axis=1)[:, ::-1]
