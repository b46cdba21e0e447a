"""Methods against each other: same seeds, same steps, last checkpoint; mean, spread and paired differences."""

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from wtal import checkpoint
from wtal.config import METHODS, Config
from wtal.errors import ConfigError
from wtal.result import Result
from wtal.experiment import evaluate_file, localize_run, train_run
from wtal.files import read_json, write_json

TIOUS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
Done = Callable[["Job", int, int], object]


@dataclass(frozen=True)
class Job:
    """One run of the comparison: a data set, a method, a seed."""

    data: Path
    method: str
    config: Config  # with the method and the seed in it
    subset: str
    out: Path  # the comparison's folder

    @property
    def run(self) -> Path:
        """The run folder. `dfe-global` is trained as `dfe` and shares its run."""
        return self.out / self.data.resolve().name / self.config.method / f"seed-{self.config.train.seed}"

    @property
    def results(self) -> Path:
        """Where this job's score stands."""
        return self.run / f"results-{self.method}-{self.subset}.json"


@dataclass(frozen=True)
class Score:
    """A method on one data set, average mAP over tIoU 0.1:0.7 in percent, a number a seed."""

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


def compare(
    datas: Sequence[Path],
    methods: Sequence[str],
    seeds: int,
    subset: str,
    config: Config,
    out: Path,
    workers: int | None = None,
    done: Done | None = None,
) -> tuple[list[Score], list[Difference]]:
    """Train what is missing, score it, and tabulate; `out/comparison.json` gets it all.

    Runs stand side by side, one a core. A finished run is used again, an interrupted one goes on.
    Raises ConfigError for an unknown method or a run folder with other settings.
    """
    unknown = [name for name in methods if name not in METHODS]
    if unknown:
        raise ConfigError(f"there is no method {unknown[0]!r}; use {', '.join(METHODS)}")
    jobs = [
        Job(data, method, _configured(config, method, seed), subset, out)
        for data in datas
        for method in methods
        for seed in range(seeds)
    ]
    _run_all(jobs, workers or os.cpu_count() or 1, done)
    scores = [
        _score(data, method, [job for job in jobs if (job.data, job.method) == (data, method)])
        for data in datas
        for method in methods
    ]
    differences = [d for data in datas for d in _differences([s for s in scores if s.data == data.resolve().name])]
    write_json(
        out / "comparison.json",
        {
            "subset": subset,
            "tious": TIOUS,
            "checkpoint": "last",
            "seeds": seeds,
            "scores": [asdict(s) | {"mean": s.mean, "spread": s.spread} for s in scores],
            "differences": [asdict(d) for d in differences],
            "config": config.model_dump(),
        },
    )
    return scores, differences


def paired_difference(ours: Sequence[float], others: Sequence[float]) -> tuple[float, float, float]:
    """Mean of the paired differences and its 95 % percentile bootstrap interval (10,000 draws, fixed seed)."""
    difference = np.subtract(ours, others)
    if len(difference) < 2 or np.ptp(difference) == 0:
        return float(difference.mean()), float(difference.min()), float(difference.max())
    interval = stats.bootstrap(
        (difference,), np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    return float(difference.mean()), float(interval.low), float(interval.high)


def _configured(config: Config, method: str, seed: int) -> Config:
    trained_as = "dfe" if method == "dfe-global" else method
    return config.model_copy(update={"method": trained_as, "train": config.train.model_copy(update={"seed": seed})})


def _run_all(jobs: Sequence[Job], workers: int, done: Done | None) -> None:
    """Jobs that share a run stand in one group, so that no two processes write one folder."""
    groups: dict[Path, list[Job]] = {}
    for job in jobs:
        groups.setdefault(job.run, []).append(job)
    finished = 0
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(groups)), context, initializer=_one_thread) as pool:
        futures = {pool.submit(_run_group, group): group for group in groups.values()}
        try:
            for future in as_completed(futures):
                future.result()
                for job in futures[future]:
                    finished += 1
                    if done is not None:
                        done(job, finished, len(jobs))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _run_group(jobs: list[Job]) -> None:
    for job in jobs:
        _run(job)


def _run(job: Job) -> None:
    if _is_scored(job):
        return
    train_run(job.data, job.run, job.config, resume=True, device="cpu")
    branch = "global" if job.method == "dfe-global" else "local"
    proposals = job.run / f"proposals-{job.method}-{job.subset}.json"
    localize_run(job.run, job.data, job.subset, proposals, branch)
    evaluate_file(proposals, job.data, tious=TIOUS, subset=job.subset, out=job.results, checkpoint="last")


def _is_scored(job: Job) -> bool:
    """Whether the finished run is this very one. Other settings in its place are refused, not overwritten."""
    if not job.results.is_file():
        return False
    if checkpoint.read_meta(job.run).config != job.config:
        raise ConfigError(f"{job.run}: was trained with other settings; name another --out for this comparison")
    return True


def _score(data: Path, method: str, jobs: Sequence[Job]) -> Score:
    results = [Result.from_json(read_json(job.results)) for job in jobs]
    return Score(
        data.resolve().name,
        method,
        tuple(100 * result.average() for result in results),
        tuple(tuple(100 * value for value in result.map) for result in results),
    )


def _differences(scores: Sequence[Score]) -> list[Difference]:
    """The last-named method of interest, `dfe`, against each other one; else the first against the rest."""
    ours = next((s for s in scores if s.method == "dfe"), scores[0])
    return [
        Difference(s.data, ours.method, s.method, *paired_difference(ours.averages, s.averages))
        for s in scores
        if s is not ours
    ]
