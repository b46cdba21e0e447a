"""Confidence intervals by a paired bootstrap over the videos, and comparison of several proposal files.

Each file is matched once, because a match does not depend on which other videos are drawn. A draw only changes how
often each proposal is counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from wtal.core.arrays import Bools, Floats, Ints
from wtal.core.structures import Proposals, Video
from wtal.evaluation.average_precision import resampled_precision_sum
from wtal.evaluation.evaluate import EvaluationWithMatches, evaluate_with_matches
from wtal.evaluation.matching import MatchedProposals
from wtal.evaluation.protocols import DEFAULT_OPTIONS, EvaluationOptions
from wtal.evaluation.results import EvaluationResult, between

DRAWS = 1000
DRAWS_PER_BLOCK = 100  # processed at once; bounds the memory


@dataclass(frozen=True)
class Interval:
    """A value and its 95 % percentile interval over resampled videos, as fractions."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class EvaluatedFile:
    """One file under one protocol, with the interval of its main average."""

    file: str
    result: EvaluationResult
    average: Interval


@dataclass(frozen=True)
class PairedDifference:
    """Main average of one file minus that of another under one protocol, both on the same draws."""

    protocol: str
    file: str
    other: str
    difference: Interval


@dataclass(frozen=True)
class EvaluationComparison:
    """Several files under several protocols, against the same ground truth."""

    entries: tuple[EvaluatedFile, ...]  # by protocol, then by file
    differences: tuple[PairedDifference, ...]  # first file minus each other file
    not_fitting: tuple[str, ...] = ()  # protocols that are defined for other ground truth

    def to_json(self) -> dict[str, Any]:
        """A plain dict for `evaluations.json`; fractions at full precision."""
        return {
            "draws": DRAWS,
            "entries": [asdict(entry) for entry in self.entries],
            "leads": [asdict(difference) for difference in self.differences],
            "not_fitting": self.not_fitting,
        }


def compare_evaluations(
    files: Mapping[str, Proposals],
    ground_truth: Sequence[Video],
    options: EvaluationOptions = DEFAULT_OPTIONS,
    protocols: Sequence[str] = (),
) -> EvaluationComparison:
    """Score proposal files under each protocol, and compare the first file with each of the others.

    Uses 1,000 draws with a fixed seed, the same for all files. Each draws as many videos as are scored, with
    replacement. Proposals in unknown videos are part of every draw.

    Args:
        files: Proposals by file name.
        ground_truth: Annotated videos.
        options: As in `wtal.evaluation.evaluate.evaluate`.
        protocols: Protocols to use instead of that of the options.

    Raises:
        DataError, ConfigError: As `wtal.evaluation.evaluate.evaluate`.
    """
    entries: list[EvaluatedFile] = []
    differences: list[PairedDifference] = []
    for protocol in protocols or [options.protocol]:
        evaluations = {
            name: evaluate_with_matches(proposals, ground_truth, replace(options, protocol=protocol))
            for name, proposals in files.items()
        }
        draws = {name: resampled_averages(evaluation) for name, evaluation in evaluations.items()}
        averages = {
            name: interval(evaluation.result.main_average, draws[name]) for name, evaluation in evaluations.items()
        }
        entries += [EvaluatedFile(name, evaluations[name].result, averages[name]) for name in files]
        first, *others = files
        for other in others:
            value = averages[first].value - averages[other].value
            difference = interval(value, draws[first] - draws[other])
            differences.append(PairedDifference(protocol, first, other, difference))
    return EvaluationComparison(tuple(entries), tuple(differences))


def mean_differences(
    evaluations: Sequence[EvaluationWithMatches], others: Sequence[EvaluationWithMatches]
) -> list[Interval]:
    """Mean of the main averages of some evaluations, such as one per seed, minus that of each other evaluation.

    All are on the same draws, so they need the same ground truth and options. The intervals show how far the difference
    depends on the choice of videos. They do not include the spread between the evaluations.
    """
    value = float(np.mean([evaluation.result.main_average for evaluation in evaluations]))
    draws = np.mean([resampled_averages(evaluation) for evaluation in evaluations], axis=0)  # draws
    return [interval(value - other.result.main_average, draws - resampled_averages(other)) for other in others]


def resampled_averages(evaluation: EvaluationWithMatches, num_draws: int = DRAWS, seed: int = 0) -> Floats:
    """Main average of each draw; nan for a draw without any ground-truth segment."""
    result, matches = evaluation.result, evaluation.matches
    copies = draw_videos(matches.instances.shape[1], num_draws, seed)
    hits = matches.hits[between(result.tious, *result.averages[-1])]
    blocks = np.split(copies, range(DRAWS_PER_BLOCK, num_draws, DRAWS_PER_BLOCK), axis=1)
    return np.concatenate([resampled_map(matches, hits, block).mean(0) for block in blocks])


def draw_videos(num_videos: int, num_draws: int, seed: int = 0) -> Ints:
    """Count of each video in draws with replacement of as many videos as the data have. videos x draws."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(num_videos, np.full(num_videos, 1 / num_videos), num_draws).T


def resampled_map(matches: MatchedProposals, hits: Bools, copies: Ints) -> Floats:
    """mAP when each video is repeated a number of times.

    Args:
        matches: Matched proposals.
        hits: Rows of `matches.hits`. tIoUs x N.
        copies: How often each video is repeated in each draw. videos x draws.

    Returns:
        tIoUs x draws. The mean is over the classes that have a ground-truth segment in the draw; nan if none has.
    """
    instances = matches.instances @ copies  # C x draws
    copies = np.vstack([copies, np.ones_like(copies[:1])])  # index -1: proposals in unknown videos count once
    total = np.zeros((len(hits), copies.shape[1]))
    for rows, count in zip(matches.class_slices, instances, strict=True):
        precision = resampled_precision_sum(hits[:, rows], copies[matches.video[rows]], matches.interpolated)
        total += np.divide(precision, count, out=np.zeros_like(total), where=count > 0)
    num_classes = (instances > 0).sum(0)
    return np.divide(total, num_classes, out=np.full_like(total, np.nan), where=num_classes > 0)


def interval(value: float, draws: Floats) -> Interval:
    """A value with the 2.5th and 97.5th percentile of its draws; nan draws are ignored."""
    low, high = np.nanpercentile(draws, (2.5, 97.5))
    return Interval(value, float(low), float(high))
