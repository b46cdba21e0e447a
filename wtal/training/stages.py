"""Training of a method from start to end: one network, or two stages with a teacher between them.

A run folder of a method with two stages:

    stage-one/model-1 ... model-K    run folders of the models of stage one
    teacher/                         the memory and the class probabilities of the training snippets
    checkpoint-000500/               the local branch, the only network of inference
    metrics.jsonl                    losses of stage two
"""

import multiprocessing
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, wait
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wtal.core import distributed
from wtal.core.concurrency import init_worker_process, process_pool
from wtal.core.config import SEED_LIMIT, Config, describe_changes
from wtal.core.errors import CheckpointError
from wtal.core.hardware import choose_device
from wtal.data.batching import TrainingDataset
from wtal.data.dataset import Dataset
from wtal.data.snippet_labels import segment_targets, snippet_labels
from wtal.models import checkpoint
from wtal.models.teacher import STAGE_ONE_DIR, TEACHER_DIR, load_stage_one, read_teacher, stage_one_dirs
from wtal.training.teacher_writer import require_same_teacher, write_teacher
from wtal.training.trainer import OnProgress, Validate, fit, require_empty_run_dir, require_same_start

REPORT_EVERY = 0.2  # seconds between looks at the steps of other processes

Reports = SimpleQueue[tuple[str, int, dict[str, float]]]


def total_steps(config: Config) -> int:
    """The number of steps of all networks that a method trains."""
    models = config.teacher.models if config.method_spec.has_two_stages else 0
    return (models + 1) * config.train.steps


def stage_one_config(config: Config, model: int) -> Config:
    """The settings of a model of stage one: method `local`, with another seed for each model.

    Args:
        config: Settings of the run.
        model: Number of the model, from 1.
    """
    seed = (config.train.seed * (config.teacher.models + 1) + model) % SEED_LIMIT
    return config.model_copy(update={"method": "local", "train": config.train.model_copy(update={"seed": seed})})


def train(
    config: Config,
    dataset: Dataset,
    run_dir: Path,
    *,
    resume: bool = False,
    device: str = "auto",
    held_out: frozenset[str] = frozenset(),
    validate: Validate | None = None,
    compiled: bool = False,
    workers: int = 1,
    stage_one: Path | None = None,
    trained_stage_one: Path | None = None,
    log: str | None = None,
    on_progress: OnProgress | None = None,
) -> Path:
    """Train a model and return the folder of its last checkpoint.

    A run that is killed at any moment and resumed ends with the same weights.

    Args:
        config: Settings.
        dataset: The data set; of its training subset, features and tags are used, and segments and points as the
            setting `train.supervision` says.
        run_dir: The folder to write.
        resume: Continue the run in `run_dir`.
        device: `auto`, `cpu` or `cuda`.
        held_out: Ids of training videos to leave out.
        validate: Computes scores of the network at each checkpoint of the last stage; they select nothing.
        compiled: Compile the networks with torch.compile.
        workers: Processes that train models of stage one side by side; they are started with `spawn`.
        stage_one: Folder of the models of stage one, which runs can share; None: in `run_dir`.
        trained_stage_one: Folder of models of stage one that are used as they are, although they were trained on other
            labels; then only the memory, the teacher and stage two are made.
        log: `tensorboard` or `wandb` to write the metrics of each network for it too.
        on_progress: Called with the number of steps done and the losses of a step.

    Raises:
        CheckpointError: `run_dir` holds another run.
        ConfigError: A setting cannot be used, or training diverged.
        DataError: The data cannot be used, or nothing can be written.
    """
    spec, targets, offset = config.method_spec, None, 0
    # Options of `fit` that all networks share.
    options: dict[str, Any] = {"device": device, "held_out": held_out, "compiled": compiled, "log": log}
    if not resume:
        require_empty_run_dir(run_dir)
    elif not spec.has_two_stages and (run_dir / STAGE_ONE_DIR).exists():
        raise CheckpointError(
            f"the folder holds a run of a method with two stages, not of {config.method}",
            path=run_dir,
            hint="choose another folder",
            code="different-run",
        )
    if spec.teacher == "segments":
        targets = segment_targets(dataset, held_out)
    elif spec.has_two_stages and _is_unfinished(config, run_dir, device):
        models = trained_stage_one or stage_one or run_dir / STAGE_ONE_DIR
        if trained_stage_one is None:
            _require_same_stage_one(config, models)
            _train_stage_one(config, dataset, models, workers, on_progress, options)
            offset = total_steps(config) - config.train.steps
        targets = _teach(config, dataset, models, run_dir / TEACHER_DIR, device, held_out)
    return fit(
        config,
        dataset,
        run_dir,
        resume=True,  # checked above
        targets=targets,
        validate=validate,
        on_progress=None if on_progress is None else lambda step, losses: on_progress(offset + step, losses),
        **options,
    )


def _require_same_stage_one(config: Config, stage_one: Path) -> None:
    """Raise CheckpointError if the models of stage one were started with other settings.

    Their own settings would name derived ones: the seed of a model instead of the seed of the run.
    """
    for folder in stage_one_dirs(stage_one, config):
        if checkpoint.latest_checkpoint(folder) is None:
            continue
        saved = checkpoint.read_meta(folder).config
        seed = saved.train.seed // (saved.teacher.models + 1)  # the inverse of stage_one_config
        train = saved.train.model_copy(update={"seed": seed})
        run = saved.model_copy(update={"method": config.method, "train": train})
        if changes := describe_changes(run.model_dump(mode="json"), config):
            raise checkpoint.different_run(stage_one, changes)


def _is_unfinished(config: Config, run_dir: Path, device: str) -> bool:
    """Whether stage two has steps left, so that its teacher is needed; the same in all processes."""
    folder = checkpoint.latest_checkpoint(run_dir)
    is_unfinished = folder is None or checkpoint.read_meta(folder).step < config.train.steps
    require_same_start(run_dir, int(is_unfinished), choose_device(device))
    return is_unfinished


def _teach(
    config: Config, dataset: Dataset, stage_one: Path, folder: Path, device: str, held_out: frozenset[str]
) -> dict[str, Tensor]:
    """Write the teacher, unless it is there, and return its targets. Only the first process writes."""
    labels = snippet_labels(dataset, config.train.supervision, held_out)
    data = TrainingDataset(dataset, config.train.seed, held_out, snippet_labels=labels)
    if folder.is_dir():
        require_same_teacher(folder, config, data)
    elif distributed.is_first():
        write_teacher(config, data, load_stage_one(stage_one, config), folder, choose_device(device))
    distributed.barrier(choose_device(device))
    return read_teacher(folder).targets


def _train_stage_one(
    config: Config,
    dataset: Dataset,
    stage_one: Path,
    workers: int,
    on_progress: OnProgress | None,
    options: Mapping[str, Any],
) -> None:
    """Train the models of stage one that are not finished. `options` are those of `fit` for each."""
    jobs = [
        (stage_one_config(config, number), dataset, folder, options)
        for number, folder in enumerate(stage_one_dirs(stage_one, config), 1)
    ]
    progress = _SumOfSteps(on_progress)
    workers = min(workers, len(jobs))
    if workers <= 1 or distributed.local_rows(config.train.batch_size) is not None:  # or all processes train each model
        for job in jobs:
            _fit_model(*job, progress.add)
        return
    reports = multiprocessing.get_context("spawn").SimpleQueue()
    with process_pool(workers, _init_worker, (reports,), hint="continue with --resume and fewer --workers") as pool:
        pending = {pool.submit(_fit_in_worker, *job) for job in jobs}
        while pending:
            done, pending = wait(pending, REPORT_EVERY, FIRST_COMPLETED)
            while not reports.empty():
                progress.add(*reports.get())
            for future in done:
                future.result()


def _fit_model(
    config: Config,
    dataset: Dataset,
    run_dir: Path,
    options: Mapping[str, Any],
    report: Callable[[str, int, dict[str, float]], None],
) -> None:
    """Train one model; `report` is called with its folder, the number of steps done and the losses of a step."""
    name = str(run_dir)
    fit(config, dataset, run_dir, resume=True, on_progress=lambda step, losses: report(name, step, losses), **options)
    report(name, config.train.steps, {})  # also of a model that was finished before


class _SumOfSteps:
    """Adds up the steps of several models for one progress display."""

    def __init__(self, on_progress: OnProgress | None) -> None:
        self._on_progress, self._steps = on_progress, dict[str, int]()

    def add(self, name: str, step: int, losses: dict[str, float]) -> None:
        """Report the steps of one model."""
        self._steps[name] = step
        if self._on_progress is not None:
            self._on_progress(sum(self._steps.values()), losses)


_reports: Reports  # in a worker process: the queue to the parent


def _init_worker(reports: Reports) -> None:
    global _reports  # the initializer of a pool has no other way to pass a value on
    init_worker_process()
    torch.set_num_threads(1)
    _reports = reports


def _fit_in_worker(config: Config, dataset: Dataset, run_dir: Path, options: Mapping[str, Any]) -> None:
    _fit_model(config, dataset, run_dir, options, lambda *report: _reports.put(report))
