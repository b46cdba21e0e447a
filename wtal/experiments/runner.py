"""Runs many trainings in parallel processes. Finished runs are reused, interrupted ones continue."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass
from pathlib import Path

import torch

from wtal.core.concurrency import init_worker_process, process_pool
from wtal.core.config import Config, flatten
from wtal.core.errors import ConfigError, WtalError, short_message
from wtal.core.io import read_json, realpath, write_json
from wtal.core.methods import DEFAULT_METHOD, find_method, load_method
from wtal.data.dataset import dataset_fingerprint, load_dataset
from wtal.data.validation import require_valid_features
from wtal.evaluation.protocols import DEFAULT_PROTOCOL, EvaluationOptions
from wtal.evaluation.results import EvaluationResult, read_result
from wtal.experiments.model_card import write_card
from wtal.experiments.pipeline import evaluate, localize, train
from wtal.experiments.statistics import Score
from wtal.models import checkpoint
from wtal.models.teacher import STAGE_ONE_DIR


@dataclass(frozen=True)
class RunSpec:
    """One run: train a method with one seed on a data set, localize a subset and score the proposals.

    Attributes:
        data: Folder of the data set.
        name: Name of the data set, unique among the runs in `out`.
        method: Name of the method. It may share the run of the method that it is trained as.
        config: Settings, with the trained method and the seed.
        options: How the proposals are scored; with the subset that is localized.
        out: Folder of all runs.
        device: `auto`, `cpu` or `cuda`.
        ground_truth: File or folder with the ground truth; None: the data set.
    """

    data: Path
    name: str
    method: str
    config: Config
    options: EvaluationOptions
    out: Path
    device: str = "cpu"
    ground_truth: Path | None = None

    @property
    def subset(self) -> str:
        """The subset that is localized and scored."""
        if self.options.subset is None:
            raise ValueError("a run needs options with a subset")
        return self.options.subset

    @property
    def run_dir(self) -> Path:
        """The run folder."""
        return self.out / self.name / self.config.method / f"seed-{self.config.train.seed}"

    @property
    def stage_one(self) -> Path:
        """The folder of the models of stage one, which methods with two stages share for each seed."""
        return self.out / self.name / DEFAULT_METHOD / f"seed-{self.config.train.seed}" / STAGE_ONE_DIR

    @property
    def shared_dir(self) -> Path:
        """A folder that identifies the runs that write to the same files, so that one process trains them."""
        return self.stage_one if self.config.method_spec.has_two_stages else self.run_dir

    @property
    def proposals_path(self) -> Path:
        """File of the proposals."""
        return self.run_dir / f"proposals-{self.method}-{self.subset}.json"

    @property
    def results_path(self) -> Path:
        """File of the results. The name contains the protocol unless it is the default."""
        protocol = "" if self.options.protocol == DEFAULT_PROTOCOL else f"-{self.options.protocol}"
        return self.run_dir / f"results-{self.method}-{self.subset}{protocol}.json"

    def __str__(self) -> str:
        return f"{self.name} {self.method} seed {self.config.train.seed}"


OnProgress = Callable[[RunSpec, int, int], object]  # called with a finished run, number of finished runs, of all


def comparison_options(subset: str) -> EvaluationOptions:
    """How the runs of a comparison are scored."""
    return EvaluationOptions(subset=subset, checkpoint="last")


def run_specs(specs: Sequence[RunSpec], workers: int, on_progress: OnProgress | None = None) -> None:
    """Train, localize and score the runs that have no results yet.

    Args:
        specs: The runs.
        workers: Number of parallel processes.
        on_progress: Called after each run.

    Raises:
        ConfigError: A run folder has other settings.
        WtalError: The first error of a run, after all other runs have finished. They are reused by the next call.
    """
    unfinished = [spec for spec in specs if not _is_finished(spec)]
    for data in {spec.data for spec in unfinished}:  # validated once, not by every run
        dataset = load_dataset(data)
        require_valid_features(dataset, dataset.subset("training"))
    groups: dict[Path, list[RunSpec]] = {}
    for spec in unfinished:
        groups.setdefault(spec.shared_dir, []).append(spec)
    if groups:
        _run_in_processes(list(groups.values()), min(workers, len(groups)), len(specs), on_progress)


def _run_in_processes(
    groups: Sequence[list[RunSpec]], workers: int, total: int, on_progress: OnProgress | None
) -> None:
    finished = total - sum(map(len, groups))
    failures: list[tuple[list[RunSpec], WtalError]] = []
    with process_pool(workers, _init_worker, hint="use fewer --workers") as pool:
        futures = {pool.submit(_run_group, group): group for group in groups}
        for future in as_completed(futures):
            if (error := _user_error(future)) is not None:
                failures.append((futures[future], error))
                continue
            for spec in futures[future]:
                finished += 1
                if on_progress is not None:
                    on_progress(spec, finished, total)
    if failures:
        raise _summarize(failures, total)


def _user_error(future: "Future[None]") -> WtalError | None:
    """The WtalError of a run; any other exception is raised."""
    try:
        future.result()
    except WtalError as error:
        return error
    return None


def _summarize(failures: Sequence[tuple[list[RunSpec], WtalError]], total: int) -> WtalError:
    """The first error, with the name of its run and the number of failed runs."""
    specs, error = failures[0]
    failed = sum(len(group) for group, _ in failures)
    others = f" ({failed} of {total} runs failed, the others are kept)" if total > 1 else ""
    return type(error)(
        f"{specs[0]}: {error.message}{others}",
        path=error.path,
        location=error.location,
        hint=error.hint,
        code=error.code,
    )


def _init_worker() -> None:
    init_worker_process()
    torch.set_num_threads(1)  # whatever the number of workers, because it affects the last digits of the weights


def _run_group(specs: list[RunSpec]) -> None:
    for spec in specs:
        if not _is_finished(spec):
            _run(spec)


def _run(spec: RunSpec) -> None:
    load_method(spec.config.method)
    try:
        train(
            spec.data,
            spec.run_dir,
            spec.config,
            resume=True,
            device=spec.device,
            features_checked=True,
            stage_one=spec.stage_one,
        )
    except torch.OutOfMemoryError as error:
        raise WtalError(
            f"out of memory on the device ({short_message(error)})",
            hint="lower train.batch_size",
            code="out-of-memory",
        ) from error
    localize(spec.run_dir, spec.data, spec.proposals_path, spec.subset, find_method(spec.method).branch)
    evaluate(spec.proposals_path, spec.ground_truth or spec.data, spec.options, out=spec.results_path)


def _is_finished(spec: RunSpec) -> bool:
    """Whether this run has results. Raises ConfigError if the folder has a run with other settings."""
    if not spec.results_path.is_file():
        return False
    config = checkpoint.read_meta(spec.run_dir).config
    if config != spec.config:
        expected = flatten(spec.config)
        changed = [name for name, value in flatten(config).items() if value != expected.get(name)]
        raise ConfigError(
            f"the run has other settings: {', '.join(changed)}",
            path=spec.run_dir,
            hint="use another --out",
            code="other-settings",
        )
    result, options = read_result(spec.results_path), spec.options
    return (result.protocol, result.subset, result.tious) == (options.protocol, options.subset, options.thresholds)


def write_cards(specs: Sequence[RunSpec], scores: Sequence[Score]) -> None:
    """Write the result of each run, and the scores over the seeds under the same protocol, to its model card."""
    datasets = {data: load_dataset(data) for data in {spec.data for spec in specs}}
    for spec in specs:
        if spec.method == spec.config.method:
            scores_on_data = [score for score in scores if score.data == spec.name]
            write_card(spec.run_dir, datasets[spec.data], [read_result(spec.results_path)], scores_on_data)


def require_same_data(folder: Path, data: Path) -> None:
    """Record the data set of the runs in a folder in `data.json`.

    Raises:
        ConfigError: The folder has runs on other data, or the data have changed.
    """
    path, fingerprint = folder / "data.json", dataset_fingerprint(data)
    if not path.is_file():
        write_json(path, {"path": str(realpath(data)), "fingerprint": fingerprint})
        return
    recorded = read_json(path)
    if not isinstance(recorded, dict) or recorded.get("fingerprint") != fingerprint:
        raise ConfigError(
            f"the folder has runs on other data than {data}, or the data have changed",
            path=folder,
            hint="use another --out",
            code="other-data",
        )


def results_of(specs: Sequence[RunSpec]) -> list[EvaluationResult]:
    """Results of finished runs."""
    return [read_result(spec.results_path) for spec in specs]
