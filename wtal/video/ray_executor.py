"""Extract many videos with Ray: on the cluster in the variable RAY_ADDRESS, or on this computer."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from wtal.core import ray_cluster
from wtal.core.concurrency import limit_memory
from wtal.core.errors import WtalError
from wtal.core.hardware import available_cores
from wtal.video.backbones.base import Backbone, BackboneOptions
from wtal.video.backbones.registry import BACKBONES, find_backbone
from wtal.video.local_executor import (
    ActiveVideos,
    ExtractionOutcome,
    ExtractionTask,
    open_backbone_with_threads,
    run_task,
    worker_died_error,
)


def run_on_ray(
    tasks: Sequence[ExtractionTask],
    options: BackboneOptions,
    workers: int | None,
    on_progress: Callable[[ActiveVideos], object],
) -> Iterator[ExtractionOutcome]:
    """Run tasks on Ray actors.

    Videos, features and weights must have the same paths on every machine. A worker that dies is replaced by Ray, and
    its video is extracted again. The features equal those of the local executor bit for bit.

    Args:
        tasks: The videos.
        options: The backbone.
        workers: Number of actors. None means one per GPU, or one per core for a backbone that runs on a single core,
            otherwise one per machine.
        on_progress: Called after each video without active videos, which are not known here.

    Yields:
        The outcome of each task, in order of completion.

    Raises:
        ConfigError: Ray is not installed, or the cluster does not respond.
        DataError: The backbone cannot be opened on a machine, or a feature file cannot be written.
    """
    address = ray_cluster.find_cluster()
    return _run(tasks, options, workers, on_progress, address) if tasks else iter(())


def _run(
    tasks: Sequence[ExtractionTask],
    options: BackboneOptions,
    workers: int | None,
    on_progress: Callable[[ActiveVideos], object],
    address: str | None,
) -> Iterator[ExtractionOutcome]:
    ray_cluster.connect(address, workers)
    num_workers, workers_per_machine, gpus = _num_workers(options, workers)
    arguments = (dict(BACKBONES), _absolute_options(options), workers_per_machine)
    absolute_tasks = [replace(task, video=task.video.absolute(), features=task.features.absolute()) for task in tasks]
    for index, outcome in ray_cluster.map_items(Extractor, arguments, absolute_tasks, num_workers, gpus):
        if isinstance(outcome, ray_cluster.WorkerDiedError):
            outcome = ExtractionOutcome(tasks[index].id, worker_died_error(tasks[index].video))
        elif isinstance(outcome, WtalError):
            raise outcome
        if outcome.error:
            outcome.error.path = str(tasks[index].video)
        yield outcome
        on_progress(())


class Extractor:
    """A Ray actor. The backbone is opened by the first task, so that an error reaches the driver.

    Args:
        backbones: The registry of the driver, including backbones that the user added.
        options: The backbone, with absolute paths.
        workers_per_machine: Number of actors that share a machine.
    """

    def __init__(
        self, backbones: Mapping[str, type[Backbone] | str], options: BackboneOptions, workers_per_machine: int
    ) -> None:
        limit_memory(workers_per_machine)
        BACKBONES.update(backbones)
        self.options = options
        self.threads = max(1, available_cores() // workers_per_machine)  # as in the local executor: the same bits
        self.backbone: Backbone | None = None

    def __call__(self, task: ExtractionTask) -> ExtractionOutcome:
        """Extract one video."""
        if self.backbone is None:
            self.backbone = open_backbone_with_threads(self.options, self.threads)
        return run_task(task, self.backbone)


def _absolute_options(options: BackboneOptions) -> BackboneOptions:
    """The same options for a worker, which has another working directory."""
    weights, flow_weights = (path and path.absolute() for path in (options.weights, options.flow_weights))
    name = options.name if options.name in BACKBONES else str(Path(options.name).absolute())
    return replace(options, name=name, weights=weights, flow_weights=flow_weights)


def _num_workers(options: BackboneOptions, workers: int | None) -> tuple[int, int, int]:
    """The number of workers, of workers per machine, and of GPUs per worker."""
    machines, cores, gpus = ray_cluster.cluster_size()
    single_core = find_backbone(options.name).single_core
    gpus = 0 if options.device == "cpu" or single_core else gpus
    limit = gpus or cores
    # A network on a CPU uses all cores of a machine.
    num_workers = min(limit, workers or (limit if gpus or single_core else machines))
    return num_workers, -(-num_workers // machines), 1 if gpus else 0
