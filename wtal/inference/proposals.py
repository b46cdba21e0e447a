"""From one video's snippet scores to its proposals. Axes: T snippets, C classes, N candidates. No torch.

FROM: Gaussian soft-NMS of many segments at once: the same choice as one by one, in a handful of rounds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wtal.core.clock import SnippetClock, tiou
from wtal.core.structures import Segment

if TYPE_CHECKING:
    from wtal.core.config import LocalizeConfig


Floats = NDArray[np.floating]
Ints = NDArray[np.intp]


def soft_nms(
    segments: Floats, scores: Floats, groups: Ints, sigma: float, min_score: float
) -> tuple[Ints, NDArray[np.float64]]:
    """Each chosen segment lowers those of its group that it overlaps, by exp(-tiou^2 / sigma); the surest first.

    N x 2 seconds, N scores, none below 0, N groups (as classes) -> the indices kept, the surest first, and their
    lowered scores.

    Chosen one by one, a segment above all that overlap it will be chosen before them whatever else happens, as
    scores only sink. So all such segments are chosen at once, and only overlapping pairs are ever looked at.
    """
    lowered: NDArray[np.float64] = scores.astype(np.float64)
    one, other = overlapping_pairs(segments, groups)
    sinks = tiou(*segments[one].T, *segments[other].T) ** 2 / sigma
    left, kept = lowered >= min_score, np.zeros(len(lowered), bool)
    while left.any():
        both = np.flatnonzero(left[one] & left[other])
        one, other, sinks = one[both], other[both], sinks[both]
        winner = np.where(lowered[one] >= lowered[other], one, other)  # of equals the first
        loser = one + other - winner
        best = left.copy()
        best[loser] = False
        kept |= best
        chosen = np.flatnonzero(best[winner])
        lowered *= np.exp(-np.bincount(loser[chosen], sinks[chosen], len(lowered)))
        left &= ~best & (lowered >= min_score)
    surest = np.flatnonzero(kept)
    surest = surest[np.argsort(-lowered[surest], kind="stable")]
    return surest, lowered[surest]


def overlapping_pairs(segments: Floats, groups: Ints) -> tuple[Ints, Ints]:
    """Indices of every two segments of one group that share some time, the lower first. N x 2, N -> P, P."""
    # Each group gets a stretch of time to itself, so that one search finds the neighbours of all.
    start, end = segments.T + groups * (np.ptp(segments) + 1 if len(segments) else 0)
    order = np.argsort(start, kind="stable")
    first = np.arange(len(order))
    # In the order of their starts, whatever begins before a segment's end follows right behind it.
    behind = np.maximum(0, np.searchsorted(start[order], end[order]) - first - 1)
    one = np.repeat(first, behind)
    other = one + 1 + np.arange(len(one)) - np.repeat(np.cumsum(behind) - behind, behind)
    one, other = order[one], order[other]
    return np.minimum(one, other), np.maximum(one, other)


RELATIVE_SCORE_THRESHOLD = 0.4  # of the surest proposal's score


@dataclass(frozen=True)
class SnippetScores:
    """What the local branch says of one video."""

    attention: Floats  # T            foreground probability
    cas: Floats  # T x (C + 1)  class probabilities, the last is background
    video: Floats  # C            class probabilities of the whole video

    @property
    def evidence(self) -> Floats:
        """How much each snippet speaks for each class. T x C.

        Not attention x CAS: distillation has put attention into the background column already, and twice
        the noise of single snippets breaks runs apart (docs/experiments/2026-11-22-search-for-defaults.md).
        """
        return self.cas[:, :-1]


def generate_proposals(
    scores: SnippetScores, classes: Sequence[str], clock: SnippetClock, settings: "LocalizeConfig"
) -> list[Segment]:
    """Proposals in seconds, the surest first (docs/method.md, "From snippets to proposals").

    Thresholds over attention and over a class's evidence give runs of snippets; each run scores by outer-inner
    contrast plus a share of the video score; Gaussian soft-NMS thins them out, class by class.
    """
    chosen = confident_classes(scores.video, settings.video_threshold)  # K
    evidence = np.ascontiguousarray(scores.evidence.T[chosen])  # K x T
    rows, runs = _candidates_by_class(scores.attention, evidence, settings)
    score = outer_inner_contrast(evidence, rows, runs, settings.flank)
    score = score + settings.gamma * scores.video[chosen][rows]
    seconds = clock.seconds(runs)
    kept, score = soft_nms(seconds, score, rows, settings.nms_sigma, settings.min_score)
    names = [classes[label] for label in chosen[rows[kept]].tolist()]
    return list(map(Segment._make, zip(names, *seconds[kept].T.tolist(), score.tolist(), strict=True)))


def confident_classes(video: Floats, threshold: float) -> Ints:
    """Classes whose video score passes; the best one if none does. C -> K indices."""
    passing = np.flatnonzero(video >= threshold)
    return passing if len(passing) else np.array([video.argmax()])


def _candidates_by_class(attention: Floats, evidence: Floats, settings: "LocalizeConfig") -> tuple[Ints, Ints]:
    """Runs of attention, which hold for every class, and of each class's own evidence; each once.

    T, K x T -> N rows of the class, N x 2 [start, end), sorted by both.
    """
    count, length = evidence.shape
    _, common = candidates(attention[None], settings.attention_thresholds)
    rows, own = candidates(_relative(evidence), settings.evidence_thresholds)
    rows = np.r_[np.repeat(np.arange(count), len(common)), rows]
    start, end = np.r_[np.tile(common, (count, 1)), own].T
    keys = np.sort((rows * (length + 1) + start) * (length + 1) + end)
    keys = keys[np.diff(keys, prepend=-1) > 0]  # each once
    keys, end = np.divmod(keys, length + 1)
    rows, start = np.divmod(keys, length + 1)
    return rows, np.stack([start, end], 1)


def candidates(curves: Floats, thresholds: Sequence[float]) -> tuple[Ints, Ints]:
    """The runs of snippets of each curve above each threshold. K x T -> N rows of the curve, N x 2."""
    found = [runs(curves > t) for t in thresholds] or [runs(np.zeros_like(curves, bool))]
    rows, spans = zip(*found, strict=True)
    return np.concatenate(rows), np.concatenate(spans)


def runs(masks: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """Half-open [start, end) of every run of True in each row. K x T -> N rows, N x 2."""
    fenced = np.zeros((len(masks), masks.shape[1] + 2), bool)
    fenced[:, 1:-1] = masks
    rows, edges = np.nonzero(fenced[:, 1:] != fenced[:, :-1])
    return rows[::2], edges.reshape(-1, 2)


def outer_inner_contrast(curves: Floats, rows: Ints, runs: Ints, flank: float) -> NDArray[np.float64]:
    """Mean inside each run minus the mean of its flanks, each `flank` of its length. K x T, N, N x 2 -> N.

    A flank is at least one snippet, as far as the video reaches; where there is none, outside counts as 0.
    """
    total = np.zeros((len(curves), curves.shape[1] + 1))
    np.cumsum(curves, 1, dtype=np.float64, out=total[:, 1:])
    start, end = runs.T
    reach = np.maximum(1, np.round(flank * (end - start)).astype(np.intp))
    before, after = np.maximum(0, start - reach), np.minimum(curves.shape[1], end + reach)
    inside = total[rows, end] - total[rows, start]
    outside = total[rows, after] - total[rows, before] - inside
    outer = np.maximum(1, (after - before) - (end - start))
    return inside / np.maximum(1, end - start) - outside / outer


def _relative(curves: Floats) -> Floats:
    """Each row stretched to [0, 1]; a flat one stays at 0. K x T."""
    low, high = curves.min(1, keepdims=True), curves.max(1, keepdims=True)
    return (curves - low) / np.where(high > low, high - low, 1)


def top_non_overlapping(proposals: Sequence[Segment]) -> list[Segment]:
    """Proposals at least SURE as sure as the surest, none over another: what a person would look at first."""
    kept: list[Segment] = []
    least = RELATIVE_SCORE_THRESHOLD * max((p.confidence for p in proposals), default=0)
    for proposal in sorted(proposals, key=lambda p: -p.confidence):
        if proposal.confidence < least:
            break
        if not any(proposal.start < other.end and other.start < proposal.end for other in kept):
            kept.append(proposal)
    return kept
