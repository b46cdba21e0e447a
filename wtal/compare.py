"""Methods against each other: same seeds, same steps, last checkpoint. Runs what is missing, side by side."""

import hashlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

from wtal import checkpoint
from wtal.config import METHODS, Config
from wtal.errors import ConfigError, WtalError
from wtal.experiment import evaluate_file, localize_run, require_actions, train_run
from wtal.files import read_json, write_json
from wtal.formats.plain import read_folder
from wtal.protocols import TIOUS
from wtal.result import Result
from wtal.scores import Difference, Score, comparison_json, differences_of, score_of

TEXTS = ("annotations.json", "tags.csv", "dataset.json")
Done = Callable[["Job", int, int], object]


@dataclass(frozen=True)
class Job:
    """One run of the comparison: a data set, a method, a seed."""

    data: Path
    name: str  # of the data set, unlike any other in the comparison
    method: str
    config: Config  # with the method and the seed in it
    subset: str
    out: Path  # the comparison's folder

    @property
    def run(self) -> Path:
        """The run folder. `dfe-global` is trained as `dfe` and shares its run."""
        return self.out / self.name / self.config.method / f"seed-{self.config.train.seed}"

    @property
    def results(self) -> Path:
        """Where this job's score stands."""
        return self.run / f"results-{self.method}-{self.subset}.json"

    def __str__(self) -> str:
        return f"{self.name} {self.method} seed {self.config.train.seed}"


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
    Raises ConfigError for an unknown method or a run folder of other settings or data, DataError for data
    that cannot be trained on or scored; the runs that were finished until then stay.
    """
    names, methods = data_names(datas), _known_methods(methods)
    for data, name in names.items():
        require_actions(read_folder(data), subset)
        _claim(out / name, data)
    jobs = [
        Job(data, name, method, _configured(config, method, seed), subset, out)
        for data, name in names.items()
        for method in methods
        for seed in range(seeds)
    ]
    _run_all(jobs, workers or os.cpu_count() or 1, done)
    scores = [
        score_of(name, method, [_result(job) for job in jobs if (job.name, job.method) == (name, method)])
        for name in names.values()
        for method in methods
    ]
    differences = [d for name in names.values() for d in differences_of([s for s in scores if s.data == name])]
    write_json(out / "comparison.json", comparison_json(scores, differences, subset, seeds, config))
    return scores, differences


def data_names(datas: Sequence[Path]) -> dict[Path, str]:
    """Each data set folder once, under the shortest end of its path that tells it from the others."""
    folders = {data.resolve(): data for data in datas}
    for count in range(1, max((len(path.parts) for path in folders), default=0) + 1):
        names = {data: "-".join(path.parts[-count:]).strip(os.sep) for path, data in folders.items()}
        if len(set(names.values())) == len(names):
            return names
    raise ConfigError("the data set folders cannot be told apart by their names; rename one of them")


def _known_methods(methods: Sequence[str]) -> list[str]:
    wanted = list(dict.fromkeys(methods))
    unknown = [name for name in wanted if name not in METHODS]
    if unknown or not wanted:
        what = f"there is no method {unknown[0]!r}" if unknown else "no method to compare"
        raise ConfigError(f"{what}; use {', '.join(METHODS)}")
    return wanted


def _configured(config: Config, method: str, seed: int) -> Config:
    trained_as = "dfe" if method == "dfe-global" else method
    return config.model_copy(update={"method": trained_as, "train": config.train.model_copy(update={"seed": seed})})


def _claim(place: Path, data: Path) -> None:
    """Remember whose runs stand at `place`; refuse those of other data, or of these before they changed."""
    path, ours = place / "data.json", _fingerprint(data)
    if not path.is_file():
        write_json(path, {"path": str(data.resolve()), "fingerprint": ours})
        return
    claimed = read_json(path)
    if not isinstance(claimed, dict) or claimed.get("fingerprint") != ours:
        raise ConfigError(f"{place}: holds runs of other data, or {data} was changed since; name another --out")


def _fingerprint(data: Path) -> str:
    """Of the tags, the segments, and the names and sizes of the features."""
    digest = hashlib.sha256()
    for path in (data / name for name in TEXTS):
        digest.update(path.read_bytes() if path.is_file() else b"-")
    for path in sorted((data / "features").glob("*.npy")):
        digest.update(f"{path.name} {path.stat().st_size}\n".encode())
    return digest.hexdigest()


def _run_all(jobs: Sequence[Job], workers: int, done: Done | None) -> None:
    """Run the jobs that have no score yet, `workers` at a time."""
    missing = [job for job in jobs if not _is_scored(job)]
    groups: dict[Path, list[Job]] = {}  # jobs that share a run, so that no two processes write one folder
    for job in missing:
        groups.setdefault(job.run, []).append(job)
    if not groups:
        return
    finished = len(jobs) - len(missing)
    others = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(groups)), context, initializer=_prepare_worker) as pool:
        futures = {pool.submit(_run_group, group): group for group in groups.values()}
        try:
            for future in as_completed(futures):
                future.result()
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


def _prepare_worker() -> None:
    """One thread a worker; an interrupt is the parent's to answer, and no worker outlives the parent."""
    import torch

    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


def _run_group(jobs: list[Job]) -> None:
    for job in jobs:
        if not _is_scored(job):
            _run(job)


def _run(job: Job) -> None:
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


def _result(job: Job) -> Result:
    return Result.from_json(read_json(job.results))
