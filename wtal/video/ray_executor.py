"""The same extraction on Ray Data: over the machines of the cluster that RAY_ADDRESS names, or on this one."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from wtal.core import ray_cluster
from wtal.core.errors import DataError, WtalError
from wtal.core.hardware import available_cores
from wtal.core.io import append_line
from wtal.video.backbones.base import Backbone
from wtal.video.backbones.registry import BackboneOptions, is_single_threaded, open_backbone
from wtal.video.local_executor import WORKER_DIED_MESSAGE, ExtractionOutcome, ExtractionTask, Heard, attempt

TRIES = 3  # a machine may go under a video twice; what kills a third is the video


def run_on_ray(
    jobs: Sequence[ExtractionTask], choice: BackboneOptions, workers: int | None, heard: Heard
) -> Iterator[ExtractionOutcome]:
    """Run the jobs on `workers` actors, each with its backbone; outcomes come as they are ready, `heard` is told.

    None is an actor a GPU, a core for tiny, or else a machine. Videos, features and weights must lie at the same
    paths on every machine. A worker that dies loses nothing: Ray starts another, and its video is begun again.
    Raises ConfigError where Ray is missing or the cluster does not answer; DataError when the backbone cannot be
    opened on a machine, or a feature file not written.
    """
    address = ray_cluster.find_cluster()
    return _run({job.id: job for job in jobs}, choice, workers, heard, address) if jobs else iter(())


def _run(
    jobs: dict[str, ExtractionTask], choice: BackboneOptions, workers: int | None, heard: Heard, address: str | None
) -> Iterator[ExtractionOutcome]:
    with ray_cluster.connected(address, workers):
        crew, beside, gpus = _num_workers(choice, workers)
        rows = [_row(job) for job in jobs.values()]
        for row in ray_cluster.map_rows(Extractor, (_absolute(choice), beside), rows, crew, gpus):
            if row["fatal"]:
                raise DataError(row["reason"])
            video = jobs[row["id"]].video
            yield ExtractionOutcome(row["id"], row["reason"].replace(str(video.absolute()), str(video)))
            heard(())  # where the workers are is not known here


class Extractor:
    """What each worker holds. The backbone is opened at its first video, where an error can be told."""

    def __init__(self, choice: BackboneOptions, beside: int) -> None:
        """`beside`: how many of these share a machine."""
        torch.set_num_threads(max(1, available_cores() // beside))  # as many as in the local engine: the same bits
        self.choice = choice
        self.backbone: Backbone | None = None

    def __call__(self, batch: dict[str, NDArray[Any]]) -> dict[str, list[Any]]:
        """One row of id, video and features to one of id, reason, and whether all must stop for that reason."""
        (id,), (video,), (features,) = batch["id"], batch["video"], batch["features"]
        try:
            self.backbone = self.backbone or open_backbone(self.choice)
            outcome = _attempt(ExtractionTask(str(id), Path(video), Path(features)), self.backbone)
        except WtalError as error:
            return {"id": [id], "reason": [str(error)], "fatal": [True]}
        return {"id": [id], "reason": [outcome.reason], "fatal": [False]}


def _attempt(job: ExtractionTask, backbone: Backbone) -> ExtractionOutcome:
    """Extract one video, unless it was begun too often: Ray would begin a video that kills workers for ever."""
    begun = job.features.with_name(f".{job.features.name}.begun.part")
    if begun.is_file() and begun.stat().st_size >= TRIES:
        begun.unlink()
        return ExtractionOutcome(job.id, WORKER_DIED_MESSAGE.format(job.video))
    append_line(begun, "")
    outcome = attempt(job, backbone)
    begun.unlink(missing_ok=True)
    return outcome


def _row(job: ExtractionTask) -> dict[str, str]:
    return {"id": job.id, "video": str(job.video.absolute()), "features": str(job.features.absolute())}


def _absolute(choice: BackboneOptions) -> BackboneOptions:
    """The same choice for a worker, which stands in another folder."""
    weights, flow = (path and path.absolute() for path in (choice.weights, choice.flow_weights))
    name = str(Path(choice.name).absolute()) if Path(choice.name).is_dir() else choice.name
    return replace(choice, name=name, weights=weights, flow_weights=flow)


def _num_workers(choice: BackboneOptions, workers: int | None) -> tuple[int, int, int]:
    """How many workers there is room for, how many of them share a machine, and the GPUs that each needs."""
    machines, processors, gpus = ray_cluster.cluster_size()
    gpus = 0 if choice.device == "cpu" or is_single_threaded(choice) else gpus
    room = gpus or processors
    # A network on a CPU uses all of a machine's cores, tiny uses one.
    crew = min(room, workers or (room if gpus or is_single_threaded(choice) else machines))
    return crew, -(-crew // machines), 1 if gpus else 0
