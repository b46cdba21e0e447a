"""What a comparison finds: each method's scores over the seeds, and the paired differences between methods."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from wtal.evaluation.protocols import COMPARISON_TIOUS
from wtal.evaluation.results import EvaluationResult

if TYPE_CHECKING:
    from wtal.core.config import Config


@dataclass(frozen=True)
class Score:
    """A method on one data set: average mAP in percent over the tIoUs that were scored, a number a seed."""

    data: str
    method: str
    averages: tuple[float, ...]
    maps: tuple[tuple[float, ...], ...]  # seeds x tIoUs, percent

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return float(np.mean(self.averages))

    @property
    def spread(self) -> float:
        """Standard deviation over the seeds (n - 1); 0 for a single one."""
        return float(np.std(self.averages, ddof=1)) if len(self.averages) > 1 else 0.0


@dataclass(frozen=True)
class Difference:
    """One method minus another, seed by seed, with a 95 % bootstrap interval over the seeds."""

    data: str
    method: str
    other: str
    mean: float
    low: float
    high: float


def score_of(data: str, method: str, results: Sequence[EvaluationResult]) -> Score:
    """A method's score from the results of its runs, one a seed."""
    return Score(
        data,
        method,
        tuple(100 * result.average() for result in results),
        tuple(tuple(100 * value for value in result.map) for result in results),
    )


def overall(scores: Sequence[Score]) -> list[Score]:
    """Each method's mean over the data sets, seed by seed."""
    methods = dict.fromkeys(score.method for score in scores)
    return [_mean_score(method, [s for s in scores if s.method == method]) for method in methods]


def differences_of(scores: Sequence[Score]) -> list[Difference]:
    """On one data set: `dfe`, or the first where it is not there, minus each of the others."""
    ours = next((s for s in scores if s.method == "dfe"), scores[0])
    return [
        Difference(s.data, ours.method, s.method, *paired_difference(ours.averages, s.averages))
        for s in scores
        if s is not ours
    ]


def paired_difference(ours: Sequence[float], others: Sequence[float]) -> tuple[float, float, float]:
    """Mean of the paired differences and its 95 % percentile bootstrap interval (10,000 draws, fixed seed)."""
    difference = np.subtract(ours, others)
    if len(difference) < 2 or np.ptp(difference) == 0:
        return float(difference.mean()), float(difference.min()), float(difference.max())
    interval = stats.bootstrap(
        (difference,), np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    return float(difference.mean()), float(interval.low), float(interval.high)


def comparison_json(
    scores: Sequence[Score], differences: Sequence[Difference], subset: str, seeds: int, config: "Config"
) -> dict[str, Any]:
    """All that a comparison found, for comparison.json."""
    means = overall(scores)
    return {
        "subset": subset,
        "tious": COMPARISON_TIOUS,
        "checkpoint": "last",
        "seeds": seeds,
        "scores": [asdict(s) | {"mean": s.mean, "spread": s.spread} for s in scores],
        "overall": [asdict(s) | {"mean": s.mean, "spread": s.spread} for s in means],
        "differences": [asdict(d) for d in differences],
        "overall_differences": [asdict(d) for d in differences_of(means)],
        "config": config.model_dump(),
    }


def _mean_score(method: str, scores: Sequence[Score]) -> Score:
    averages = np.mean([score.averages for score in scores], axis=0)  # seeds
    maps = np.mean([score.maps for score in scores], axis=0)  # seeds x tIoUs
    return Score("mean", method, tuple(averages.tolist()), tuple(map(tuple, maps.tolist())))
