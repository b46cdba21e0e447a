"""Scores of methods over several seeds, and paired differences between methods."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from wtal.evaluation.protocols import DEFAULT_OPTIONS
from wtal.evaluation.results import EvaluationResult
from wtal.experiments.external import ExternalScore

if TYPE_CHECKING:
    from wtal.core.config import Config


@dataclass(frozen=True)
class Score:
    """mAP in percent of a method on one data set.

    Attributes:
        data: Name of the data set.
        method: Name of the method.
        averages: Average over the scored tIoUs, for each seed.
        maps: mAP at each tIoU. seeds x tIoUs.
    """

    data: str
    method: str
    averages: tuple[float, ...]
    maps: tuple[tuple[float, ...], ...]

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return float(np.mean(self.averages))

    @property
    def spread(self) -> float:
        """Standard deviation over the seeds (n - 1); 0 for a single seed."""
        return float(np.std(self.averages, ddof=1)) if len(self.averages) > 1 else 0.0

    def to_json(self) -> dict[str, Any]:
        """A plain dict."""
        return asdict(self) | {"mean": self.mean, "spread": self.spread}


@dataclass(frozen=True)
class Difference:
    """Mean over the seeds of one method minus another, with a 95 % bootstrap interval over the seeds."""

    data: str
    method: str
    other: str
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """Scores of several methods on one or more data sets.

    Attributes:
        scores: One for each data set and method.
        differences: `dfe`, or the first method, minus each of the others, for each data set.
        subset: The scored subset.
        seeds: Number of seeds.
        config: Settings of the runs; method and seed vary.
        external: Other systems, each with the difference of `dfe`, or the first method, minus it.
    """

    scores: list[Score]
    differences: list[Difference]
    subset: str
    seeds: int
    config: "Config"
    external: tuple[ExternalScore, ...] = ()

    @classmethod
    def from_scores(
        cls,
        scores: Sequence[Score],
        subset: str,
        seeds: int,
        config: "Config",
        external: tuple[ExternalScore, ...] = (),
    ) -> "Comparison":
        """Compute the differences between the methods on each data set."""
        datasets = dict.fromkeys(score.data for score in scores)
        differences = [d for name in datasets for d in differences_of([s for s in scores if s.data == name])]
        return cls(list(scores), differences, subset, seeds, config, external)

    def to_json(self) -> dict[str, Any]:
        """A plain dict for `comparison.json`."""
        means = overall(self.scores)
        return {
            "subset": self.subset,
            "protocol": DEFAULT_OPTIONS.protocol,
            "tious": DEFAULT_OPTIONS.thresholds,
            "checkpoint": "last",
            "seeds": self.seeds,
            "scores": [score.to_json() for score in self.scores],
            "overall": [score.to_json() for score in means],
            "differences": [asdict(difference) for difference in self.differences],
            "overall_differences": [asdict(difference) for difference in differences_of(means)],
            "external": [score.to_json() for score in self.external],
            "config": self.config.model_dump(),
        }


def score_of(data: str, method: str, results: Sequence[EvaluationResult]) -> Score:
    """The score of a method from the results of its runs, one for each seed."""
    return Score(
        data,
        method,
        tuple(100 * result.average() for result in results),
        tuple(tuple(100 * value for value in result.map) for result in results),
    )


def overall(scores: Sequence[Score]) -> list[Score]:
    """Each method's mean over the data sets, for each seed."""
    methods = dict.fromkeys(score.method for score in scores)
    return [_mean_score(method, [score for score in scores if score.method == method]) for method in methods]


def _mean_score(method: str, scores: Sequence[Score]) -> Score:
    averages = np.mean([score.averages for score in scores], axis=0)  # seeds
    maps = np.mean([score.maps for score in scores], axis=0)  # seeds x tIoUs
    return Score("mean", method, tuple(averages.tolist()), tuple(map(tuple, maps.tolist())))


def differences_of(scores: Sequence[Score]) -> list[Difference]:
    """On one data set: the reference method minus each of the others."""
    reference = reference_of(scores)
    return [
        Difference(score.data, reference.method, score.method, *paired_difference(reference.averages, score.averages))
        for score in scores
        if score is not reference
    ]


def reference_of(scores: Sequence[Score]) -> Score:
    """The score of `dfe`, or of the first method if `dfe` is missing."""
    return next((score for score in scores if score.method == "dfe"), scores[0])


def paired_difference(values: Sequence[float], others: Sequence[float]) -> tuple[float, float, float]:
    """Mean of the paired differences and its 95 % percentile bootstrap interval (10,000 draws, fixed seed)."""
    difference = np.subtract(values, others)
    if len(difference) < 2 or np.ptp(difference) == 0:
        return float(difference.mean()), float(difference.min()), float(difference.max())
    interval = stats.bootstrap(
        (difference,), np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    return float(difference.mean()), float(interval.low), float(interval.high)
