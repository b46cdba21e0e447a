"""From one video's snippet scores to its proposals. Axes: T snippets, C classes, N candidates. No torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wtal.records import Proposal
from wtal.timeline import SnippetClock, tiou

if TYPE_CHECKING:
    from wtal.config import LocalizeConfig

Floats = NDArray[np.floating]
Ints = NDArray[np.intp]


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
        the noise of single snippets breaks runs apart (LOG, *where to cut*).
        """
        return self.cas[:, :-1]


def localize(
    scores: SnippetScores, classes: Sequence[str], clock: SnippetClock, settings: "LocalizeConfig"
) -> list[Proposal]:
    """Proposals in seconds, the surest first (docs/method.md, "From snippets to proposals").

    Thresholds over attention and over a class's evidence give runs of snippets; each run scores by outer-inner
    contrast plus a share of the video score; Gaussian soft-NMS thins them out, class by class.
    """
    proposals: list[Proposal] = []
    common = candidates(scores.attention, settings.attention_thresholds)
    evidence = scores.evidence
    for label in confident_classes(scores.video, settings.video_threshold):
        own = candidates(_relative(evidence[:, label]), settings.evidence_thresholds)
        runs = np.unique(np.concatenate([common, own]), axis=0)
        contrast = outer_inner_contrast(evidence[:, label], runs, settings.flank)
        score = contrast + settings.gamma * scores.video[label]
        seconds = clock.seconds(runs)
        kept, score = soft_nms(seconds, score, settings.nms_sigma, settings.min_score)
        proposals += [
            Proposal(classes[label], float(start), float(end), float(s))
            for (start, end), s in zip(seconds[kept], score, strict=True)
        ]
    return sorted(proposals, key=lambda p: -p.score)


def confident_classes(video: Floats, threshold: float) -> list[int]:
    """Classes whose video score passes; the best one if none does. C -> indices."""
    passing = np.flatnonzero(video >= threshold)
    return passing.tolist() or [int(video.argmax())]


def candidates(curve: Floats, thresholds: Sequence[float]) -> Ints:
    """The runs of snippets above each threshold. T -> N x 2."""
    return np.concatenate([np.empty((0, 2), np.intp), *(runs(curve > t) for t in thresholds)])


def runs(mask: NDArray[np.bool_]) -> Ints:
    """Half-open [start, end) of every run of True. T -> N x 2."""
    edges = np.flatnonzero(np.diff(np.r_[False, mask, False]))
    return edges.reshape(-1, 2)


def outer_inner_contrast(curve: Floats, runs: Ints, flank: float) -> Floats:
    """Mean inside each run minus the mean of its flanks, each `flank` of its length. T, N x 2 -> N.

    A flank is at least one snippet, as far as the video reaches; where there is none, outside counts as 0.
    """
    total = np.r_[0.0, np.cumsum(curve, dtype=np.float64)]
    start, end = runs[:, 0], runs[:, 1]
    reach = np.maximum(1, np.round(flank * (end - start)).astype(np.intp))
    before, after = np.maximum(0, start - reach), np.minimum(len(curve), end + reach)
    inside = total[end] - total[start]
    outside = total[after] - total[before] - inside
    outer = np.maximum(1, (after - before) - (end - start))
    return inside / np.maximum(1, end - start) - outside / outer


def soft_nms(segments: Floats, scores: Floats, sigma: float, min_score: float) -> tuple[Ints, Floats]:
    """Gaussian soft-NMS: each chosen segment lowers the others' scores by exp(-tiou^2 / sigma).

    N x 2 seconds, N -> the indices kept, the surest first, and their lowered scores.
    """
    scores = scores.astype(np.float64)
    shared = tiou(segments[:, None, 0], segments[:, None, 1], segments[None, :, 0], segments[None, :, 1])
    decay = np.exp(-(shared**2) / sigma)
    left = np.ones(len(scores), bool)
    kept: list[int] = []
    while left.any():
        best = int(np.where(left, scores, -np.inf).argmax())
        if scores[best] < min_score:
            break
        left[best] = False
        kept.append(best)
        scores = np.where(left, scores * decay[best], scores)
    return np.array(kept, np.intp), scores[kept]


def _relative(curve: Floats) -> Floats:
    """Stretched to [0, 1] over the video; a flat curve stays at 0."""
    low, high = curve.min(), curve.max()
    return (curve - low) / (high - low) if high > low else np.zeros_like(curve)


def surest(proposals: list[Proposal], share: float = 0.4) -> list[Proposal]:
    """Proposals at least `share` as sure as the surest, none over another: what a person would look at first."""
    kept: list[Proposal] = []
    for proposal in sorted(proposals, key=lambda p: -p.score):
        if proposal.score < share * max(p.score for p in proposals):
            break
        if not any(proposal.start < other.end and other.start < proposal.end for other in kept):
            kept.append(proposal)
    return kept
