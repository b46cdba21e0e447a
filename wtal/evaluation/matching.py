"""Matching of proposals with ground-truth segments. Works on arrays; `evaluate` prepares them."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from wtal.core.arrays import Bools, Floats, Ints
from wtal.core.clock import tiou
from wtal.evaluation.protocols import Protocol

VECTORIZE_THRESHOLD = 0.9  # share of pairs left after a round of array operations above which a plain loop is faster


@dataclass(frozen=True)
class Intervals:
    """Proposals or ground-truth segments as columns of length N, in the protocol's unit."""

    video: Ints  # index into the scored videos; negative: not one of them
    label: Ints  # index into the classes; negative: not one of them
    start: Floats
    end: Floats
    score: Floats  # 0 for ground truth

    def __getitem__(self, rows: Any) -> "Intervals":
        return Intervals(self.video[rows], self.label[rows], self.start[rows], self.end[rows], self.score[rows])

    def __len__(self) -> int:
        return len(self.video)


@dataclass(frozen=True)
class MatchedProposals:
    """N proposals sorted by class and descending score, and which of them are true positives."""

    video: Ints  # N: index into the scored videos; negative: not one of them
    class_offsets: Ints  # C + 1: row at which each class begins
    hits: Bools  # tIoUs x N
    instances: Ints  # C x videos: number of ground-truth segments
    interpolated: bool

    @property
    def class_slices(self) -> Iterator[slice]:
        """The rows of each class."""
        return (slice(first, last) for first, last in pairwise(self.class_offsets.tolist()))


def match_proposals(
    proposals: Intervals,
    ground_truth: Intervals,
    protocol: Protocol,
    thresholds: tuple[float, ...],
    num_classes: int,
    num_videos: int,
) -> MatchedProposals:
    """Match the proposals at each threshold; they are sorted as by `sort_by_score`."""
    cells = np.bincount(ground_truth.label * num_videos + ground_truth.video, minlength=num_classes * num_videos)
    return MatchedProposals(
        proposals.video,
        np.searchsorted(proposals.label, np.arange(num_classes + 1)),
        find_hits(proposals, ground_truth, protocol, thresholds),
        cells.reshape(num_classes, num_videos),
        protocol.interpolated,
    )


def sort_by_score(proposals: Intervals) -> Intervals:
    """Sort by class and descending score. Equal scores keep their order."""
    return proposals[np.lexsort((-proposals.score, proposals.label))]


def find_hits(
    proposals: Intervals, ground_truth: Intervals, protocol: Protocol, thresholds: tuple[float, ...]
) -> Bools:
    """Which proposals are true positives; arguments as for `matched_segment`. tIoUs x N."""
    return matched_segment(proposals, ground_truth, protocol, thresholds) >= 0


def matched_segment(
    proposals: Intervals, ground_truth: Intervals, protocol: Protocol, thresholds: tuple[float, ...]
) -> Ints:
    """Row of the ground-truth segment that each proposal is matched with, -1 for a false positive.

    Args:
        proposals: N proposals; those of a class by descending score.
        ground_truth: Ground-truth segments.
        protocol: Decides which free segment a proposal prefers.
        thresholds: tIoU thresholds.

    Returns:
        tIoUs x N.
    """
    columns = list(_candidate_pairs(proposals, ground_truth, protocol, min(thresholds)))
    if not columns:
        return np.full((len(thresholds), len(proposals)), -1)
    rows, segments, overlaps = (np.concatenate(column) for column in zip(*columns, strict=True))
    size = len(proposals), len(ground_truth)
    return np.array([greedy_match(rows[overlaps >= t], segments[overlaps >= t], size) for t in thresholds])


def greedy_match(proposals: Ints, segments: Ints, size: tuple[int, int]) -> Ints:
    """Match each proposal in turn with the first free segment on its list.

    The result is that of the loop at the end of the function over all pairs. As it is slow for millions of pairs,
    rounds of array operations come first. A round matches every proposal that is the first of all remaining ones to
    list its own first choice: no other proposal can take that segment before it. Few rounds match nearly everything,
    unless many proposals list the same segments in the same order.

    Args:
        proposals: Proposal of each candidate pair. The pairs are sorted by proposal, then by its preference.
        segments: Segment of each candidate pair.
        size: Number of proposals and of segments.

    Returns:
        The segment of each proposal, -1 if none was free.
    """
    matched, is_free = np.full(size[0], -1), np.ones(size[1], bool)
    first_proposal = np.empty(size[1], np.int64)  # of all that list a segment
    max_pairs = len(proposals) + 1.0
    while len(proposals) < max_pairs:
        max_pairs = VECTORIZE_THRESHOLD * len(proposals)
        first_proposal[segments[::-1]] = proposals[::-1]  # the last assignment to an index wins
        is_first_choice = np.r_[True, proposals[1:] != proposals[:-1]]
        settled = is_first_choice & (first_proposal[segments] == proposals)
        matched[proposals[settled]] = segments[settled]
        is_free[segments[settled]] = False
        remaining = (matched[proposals] < 0) & is_free[segments]
        proposals, segments = proposals[remaining], segments[remaining]
    for proposal, segment in zip(proposals.tolist(), segments.tolist(), strict=True):
        if matched[proposal] < 0 and is_free[segment]:
            matched[proposal] = segment
            is_free[segment] = False
    return matched


def preference_order(overlaps: Floats, prefers_best: bool) -> Ints:
    """Column order in which each proposal prefers segments: by descending tIoU, or file order. P x S -> P x S."""
    if not prefers_best:
        return np.broadcast_to(np.arange(overlaps.shape[1]), overlaps.shape)
    # In whole snippets equal tIoUs are common. Reversing numpy's default sort breaks ties as the public evaluators do;
    # a stable order would change thumos14-snippet by 0.03 points.
    return np.argsort(overlaps, axis=1)[:, ::-1]


def _candidate_pairs(
    proposals: Intervals, ground_truth: Intervals, protocol: Protocol, min_tiou: float
) -> Iterator[tuple[Ints, Ints, Floats]]:
    """For each video and class: proposal row, segment row and tIoU of the pairs that reach `min_tiou`.

    Pairs are sorted by proposal, then by its preference.
    """
    num_classes = ground_truth.label.max(initial=0) + 1
    proposal_keys = np.where(proposals.video >= 0, proposals.video * num_classes + proposals.label, -1)
    segment_keys = ground_truth.video * num_classes + ground_truth.label
    proposal_order = np.argsort(proposal_keys, kind="stable")
    segment_order = np.argsort(segment_keys, kind="stable")
    keys, offsets = np.unique(segment_keys[segment_order], return_index=True)
    firsts, lasts = (np.searchsorted(proposal_keys[proposal_order], keys, side) for side in ("left", "right"))
    for first, last, segments in zip(firsts, lasts, np.split(segment_order, offsets[1:]), strict=True):
        if first == last:
            continue
        rows = proposal_order[first:last]
        overlaps = tiou(
            proposals.start[rows, None],
            proposals.end[rows, None],
            ground_truth.start[segments],
            ground_truth.end[segments],
        )
        order = preference_order(overlaps, protocol.prefers_best)
        sorted_overlaps = np.take_along_axis(overlaps, order, axis=1)
        row, rank = np.nonzero(sorted_overlaps >= min_tiou)
        yield rows[row], segments[order[row, rank]], sorted_overlaps[row, rank]
