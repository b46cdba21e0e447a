"""Runs side by side, one a core: what is missing is trained, localized and scored; what is finished stays."""

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import torch

from wtal.core.concurrency import init_worker_process
from wtal.core.config import Config, flatten
from wtal.core.errors import ConfigError, DataError, WtalError, short_message
from wtal.core.io import read_json, realpath, write_json
from wtal.core.methods import find_method, load_method
from wtal.data.dataset import dataset_fingerprint, load_dataset
from wtal.data.validation import require_valid_features
from wtal.evaluation.protocols import COMPARISON_TIOUS, EvaluationOptions
from wtal.evaluation.results import EvaluationResult
from wtal.experiments.model_card import write_card
from wtal.experiments.pipeline import evaluate_file, localize_run, train_run
from wtal.experiments.statistics import Score
from wtal.models import checkpoint

Done = Callable[["RunSpec", int, int], object]


@dataclass(frozen=True)
class RunSpec:
    """One run: a data set, a method, a seed."""

    data: Path
    name: str  # of the data set, unlike any other in the comparison
    method: str
    config: Config  # with the method and the seed in it
    options: EvaluationOptions  # with the subset that is localized and scored
    out: Path  # the folder for all runs
    device: str = "cpu"
    ground_truth: Path | None = None  # None: the data set folder

    @property
    def subset(self) -> str:
        """The subset that is localized and scored."""
        assert self.options.subset is not None
        return self.options.subset

    @property
    def run(self) -> Path:
        """The run folder. `dfe-global` is trained as `dfe` and shares its run."""
        return self.out / self.name / self.config.method / f"seed-{self.config.train.seed}"

    @property
    def proposals(self) -> Path:
        """Where this job's proposals stand."""
        return self.run / f"proposals-{self.method}-{self.subset}.json"

    @property
    def results(self) -> Path:
        """Where this job's score stands."""
        return self.results_under(self.options.protocol)

    def results_under(self, protocol: str) -> Path:
        """Where its score under a protocol stands; `activitynet` is the one that goes without saying."""
        known = "" if protocol == "activitynet" else f"-{protocol}"
        return self.run / f"results-{self.method}-{self.subset}{known}.json"

    def __str__(self) -> str:
        return f"{self.name} {self.method} seed {self.config.train.seed}"


def run_specs(jobs: Sequence[RunSpec], workers: int, done: Done | None = None) -> None:
    """Run the jobs that have no score yet, `workers` at a time; `done` hears (job, finished, all).

    Raises ConfigError where a run folder has other settings, and the first error of a run that failed, once
    the others are finished: run again, they are used as they are.
    """
    missing = [job for job in jobs if not _is_scored(job)]
    groups: dict[Path, list[RunSpec]] = {}  # jobs that share a run, so that no two processes write one folder
    for job in missing:
        groups.setdefault(job.run, []).append(job)
    if not groups:
        return
    finished = len(jobs) - len(missing)
    for data in {job.data for job in missing}:  # once, not by every run
        folder = load_dataset(data)
        require_valid_features(folder, folder.subset("training"))
    others = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    failed: list[tuple[list[RunSpec], WtalError]] = []
    with ProcessPoolExecutor(min(workers, len(groups)), context, initializer=_prepare_worker) as pool:
        futures = {pool.submit(_run_group, group): group for group in groups.values()}
        try:
            for future in as_completed(futures):
                error = _error_of(future)
                if error is not None:
                    failed.append((futures[future], error))
                    continue
                for job in futures[future]:
                    finished += 1
                    if done is not None:
                        done(job, finished, len(jobs))
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            if isinstance(error, BrokenProcessPool):
                raise WtalError(
                    "a run was killed from outside, most often for want of memory; try fewer --workers"
                ) from error
            raise
    if failed:
        raise _summary(failed, len(jobs))


def comparison_options(subset: str) -> EvaluationOptions:
    """How the runs of a comparison are scored."""
    return EvaluationOptions(tious=COMPARISON_TIOUS, subset=subset, checkpoint="last")


def result_of(job: RunSpec) -> EvaluationResult:
    """The score of a finished job."""
    try:
        return EvaluationResult.from_json(read_json(job.results))
    except DataError as error:
        raise DataError(f"{job.results}: {error}") from error


def write_cards(jobs: Sequence[RunSpec], scores: Sequence[Score]) -> None:
    """Tell every run's model card its result, and the spread over the seeds; `scores` are of the same protocol."""
    folders = {data: load_dataset(data) for data in {job.data for job in jobs}}
    for job in jobs:
        if job.method == job.config.method:
            of_data = [score for score in scores if score.data == job.name]
            write_card(job.run, folders[job.data], [result_of(job)], of_data)


def claim(place: Path, data: Path) -> None:
    """Remember whose runs stand at `place`; refuse those of other data, or of these before they changed."""
    path, ours = place / "data.json", dataset_fingerprint(data)
    if not path.is_file():
        write_json(path, {"path": str(realpath(data)), "fingerprint": ours})
        return
    claimed = read_json(path)
    if not isinstance(claimed, dict) or claimed.get("fingerprint") != ours:
        raise ConfigError(f"{place}: holds runs of other data, or {data} was changed since; name another --out")


def _error_of(future: "Future[None]") -> WtalError | None:
    """What a run complained of; anything but a WtalError is raised."""
    try:
        future.result()
    except WtalError as error:
        return error
    return None


def _summary(failed: Sequence[tuple[list[RunSpec], WtalError]], count: int) -> WtalError:
    """The first error as it is, with the name of its run and how many others there are."""
    jobs, first = failed[0]
    lost = sum(len(group) for group, _ in failed)
    more = f"; {lost} of {count} runs failed, the others are kept" if count > lost or lost > 1 else ""
    return type(first)(f"{jobs[0]}: {first}{more}")


def _prepare_worker() -> None:
    init_worker_process()
    torch.set_num_threads(1)  # whatever the number of workers, since it determines the last digits


def _run_group(jobs: list[RunSpec]) -> None:
    for job in jobs:
        if not _is_scored(job):
            _run(job)


def _run(job: RunSpec) -> None:
    load_method(job.config.method)
    try:
        train_run(job.data, job.run, job.config, resume=True, device=job.device, checked=True)
    except torch.OutOfMemoryError as error:
        raise WtalError(f"the device has too little memory ({short_message(error)}); lower train.batch_size") from error
    branch = find_method(job.method).branch
    localize_run(job.run, job.data, job.subset, job.proposals, branch)
    evaluate_file(job.proposals, job.ground_truth or job.data, job.options, out=job.results)


def _is_scored(job: RunSpec) -> bool:
    """Whether the finished run is this very one. Other settings in its place are refused, not overwritten."""
    if not job.results.is_file():
        return False
    before = checkpoint.read_meta(job.run).config
    if before != job.config:
        other = [name for name, value in flatten(before).items() if value != flatten(job.config).get(name)]
        raise ConfigError(f"{job.run}: was made with another {', '.join(other)}; name another --out for this")
    result = result_of(job)
    options = job.options
    return (result.protocol, result.subset, result.tious) == (options.protocol, options.subset, options.thresholds)
