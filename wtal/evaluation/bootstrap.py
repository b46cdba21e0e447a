"""How sure a difference is: a paired bootstrap over the videos. Hands on several files side by side.

A file is matched once: whether a proposal hits does not depend on which other videos are drawn. A draw only
counts again, each proposal as often as its video was drawn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from wtal.core.structures import Proposals, Video
from wtal.evaluation.evaluate import Ambiguous, EvaluationWithMatches, evaluate_with_matches
from wtal.evaluation.matching import Bools, Floats, Ints, MatchedProposals
from wtal.evaluation.results import EvaluationResult, between

DRAWS = 1000
BLOCK = 100  # draws that are counted at once: bounds the memory


@dataclass(frozen=True)
class Interval:
    """A figure and its 95 % percentile interval over resampled videos, as fractions."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class EvaluatedFile:
    """One file under one protocol, with its main average: the last that the protocol reports."""

    file: str
    result: EvaluationResult
    average: Interval


@dataclass(frozen=True)
class PairedDifference:
    """The main average of one file minus another's under one protocol, both on the same draws."""

    protocol: str
    file: str
    other: str
    difference: Interval


@dataclass(frozen=True)
class EvaluationComparison:
    """Several files, several protocols, one ground truth."""

    entries: tuple[EvaluatedFile, ...]  # by protocol, then by file
    leads: tuple[PairedDifference, ...]  # of the first file over each other one
    not_fitting: tuple[str, ...] = ()  # protocols that mean another ground truth

    def to_json(self) -> dict[str, Any]:
        """A plain dict, fractions at full precision."""
        return {"draws": DRAWS} | asdict(self)


def compare_evaluations(
    files: Mapping[str, Proposals],
    truth: Sequence[Video],
    protocols: Sequence[str],
    tious: ArrayLike | None = None,
    subset: str | None = None,
    ambiguous: Ambiguous | None = None,
    checkpoint: str = "not said",
) -> EvaluationComparison:
    """Score files of proposals under each protocol, and compare the first with each of the others.

    Options and errors are those of `wtal.evaluation.evaluate.evaluate`. 1,000 draws of as many videos as are scored,
    with a fixed seed and the same for all files; proposals in unknown videos stay in each draw.
    """
    entries: list[EvaluatedFile] = []
    leads: list[PairedDifference] = []
    for protocol in protocols:
        judged = {
            name: evaluate_with_matches(found, truth, protocol, tious, subset, ambiguous, checkpoint)
            for name, found in files.items()
        }
        drawn = {name: resampled_averages(one) for name, one in judged.items()}
        averages = {name: interval(_main_average(one.result), drawn[name]) for name, one in judged.items()}
        entries += [EvaluatedFile(name, one.result, averages[name]) for name, one in judged.items()]
        ours, *others = files
        for other in others:
            difference = averages[ours].value - averages[other].value
            leads.append(PairedDifference(protocol, ours, other, interval(difference, drawn[ours] - drawn[other])))
    return EvaluationComparison(tuple(entries), tuple(leads))


def resampled_averages(judged: EvaluationWithMatches, draws: int = DRAWS, seed: int = 0) -> Floats:
    """The main average of as many resampled sets of videos as there are draws; nan without any action."""
    result, ranked = judged.result, judged.ranked
    times = draw_videos(ranked.instances.shape[1], draws, seed)
    chosen = ranked.hits[between(result.tious, *result.averages[-1])]
    blocks = np.split(times, range(BLOCK, draws, BLOCK), axis=1)
    return np.concatenate([resampled_map(ranked, chosen, block).mean(0) for block in blocks])


def draw_videos(videos: int, draws: int, seed: int = 0) -> Ints:
    """How often each video stands in a set drawn with replacement and as large as the whole. videos x draws."""
    return np.random.default_rng(seed).multinomial(videos, np.full(videos, 1 / videos), draws).T


def resampled_map(ranked: MatchedProposals, hits: Bools, times: Ints) -> Floats:
    """mAP where each video stands `times` times. tIoUs x N, videos x draws -> tIoUs x draws.

    A draw's mean is over the classes that have an action in it; nan where none has.
    """
    instances = ranked.instances @ times  # C x draws
    times = np.vstack([times, np.ones_like(times[:1])])  # -1, the last: videos elsewhere, always there once
    total = np.zeros((len(hits), times.shape[1]))
    for rows, count in zip(ranked.classes, instances, strict=True):
        precision = summed_precision(hits[:, rows], times[ranked.video[rows]], ranked.interpolated)
        total += np.divide(precision, count, out=np.zeros_like(total), where=count > 0)
    counted = (instances > 0).sum(0)
    return np.divide(total, counted, out=np.full_like(total, np.nan), where=counted > 0)


def summed_precision(hits: Bools, times: Ints, interpolated: bool) -> Floats:
    """The precision at each hit, summed, where each proposal stands `times` times in a row.

    tIoUs x N by falling score, N x draws -> tIoUs x draws: `average_precision` without its division.
    """
    ranks = times.cumsum(0)  # N x draws, of each proposal's last copy
    harmonic = np.r_[0.0, np.cumsum(1 / np.arange(1, ranks.max(initial=0) + 1))]
    total = np.zeros((len(hits), times.shape[1]))
    for row, hit in enumerate(hits):
        found, last = times[hit], ranks[hit]  # H x draws
        right = found.cumsum(0)
        if interpolated:
            # Of a hit's copies the last has the best precision, and the envelope gives it to all of them.
            precision = np.divide(right, last, out=np.zeros(last.shape), where=last > 0)
            envelope = np.maximum.accumulate(precision[::-1])[::-1]
            total[row] = (found * envelope).sum(0)
        else:
            # (right + 1) / (rank + 1) + (right + 2) / (rank + 2) + ...: each is 1 - wrong / rank.
            total[row] = (found - (last - right) * (harmonic[last] - harmonic[last - found])).sum(0)
    return total


def interval(value: float, draws: Floats) -> Interval:
    """A figure with the 2.5th and 97.5th percentile of its draws; draws without any action do not count."""
    low, high = np.nanpercentile(draws, (2.5, 97.5))
    return Interval(value, float(low), float(high))


def _main_average(result: EvaluationResult) -> float:
    return result.average(*result.averages[-1])
