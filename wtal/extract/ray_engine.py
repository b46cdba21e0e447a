"""The same extraction on Ray Data: over the machines of the cluster that RAY_ADDRESS names, or on this one."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from wtal import cluster
from wtal.errors import DataError, WtalError
from wtal.extract.backbone import Backbone
from wtal.extract.backbones import Choice, one_core, open_backbone
from wtal.extract.engine import DIED, Heard, Job, Outcome, attempt
from wtal.files import append_line
from wtal.machine import cores

TRIES = 3  # a machine may go under a video twice; what kills a third is the video


def run_on_ray(jobs: Sequence[Job], choice: Choice, workers: int | None, heard: Heard) -> Iterator[Outcome]:
    """Run the jobs on `workers` actors, each with its backbone; outcomes come as they are ready, `heard` is told.

    None is an actor a GPU, a core for tiny, or else a machine. Videos, features and weights must lie at the same
    paths on every machine. A worker that dies loses nothing: Ray starts another, and its video is begun again.
    Raises ConfigError where Ray is missing or the cluster does not answer; DataError when the backbone cannot be
    opened on a machine, or a feature file not written.
    """
    address = cluster.find_cluster()
    return _run({job.id: job for job in jobs}, choice, workers, heard, address) if jobs else iter(())


def _run(
    jobs: dict[str, Job], choice: Choice, workers: int | None, heard: Heard, address: str | None
) -> Iterator[Outcome]:
    with cluster.connected(address, workers):
        crew, beside, gpus = _crew(choice, workers)
        rows = [_row(job) for job in jobs.values()]
        for row in cluster.answers(Extractor, (_absolute(choice), beside), rows, crew, gpus):
            if row["fatal"]:
                raise DataError(row["reason"])
            video = jobs[row["id"]].video
            yield Outcome(row["id"], row["reason"].replace(str(video.absolute()), str(video)))
            heard(())  # where the workers are is not known here


class Extractor:
    """What each worker holds. The backbone is opened at its first video, where an error can be told."""

    def __init__(self, choice: Choice, beside: int) -> None:
        """`beside`: how many of these share a machine."""
        torch.set_num_threads(max(1, cores() // beside))  # as many as in the local engine: the same bits
        self.choice = choice
        self.backbone: Backbone | None = None

    def __call__(self, batch: dict[str, NDArray[Any]]) -> dict[str, list[Any]]:
        """One row of id, video and features to one of id, reason, and whether all must stop for that reason."""
        (id,), (video,), (features,) = batch["id"], batch["video"], batch["features"]
        try:
            self.backbone = self.backbone or open_backbone(self.choice)
            outcome = _attempt(Job(str(id), Path(video), Path(features)), self.backbone)
        except WtalError as error:
            return {"id": [id], "reason": [str(error)], "fatal": [True]}
        return {"id": [id], "reason": [outcome.reason], "fatal": [False]}


def _attempt(job: Job, backbone: Backbone) -> Outcome:
    """Extract one video, unless it was begun too often: Ray would begin a video that kills workers for ever."""
    begun = job.features.with_name(f".{job.features.name}.begun.part")
    if begun.is_file() and begun.stat().st_size >= TRIES:
        begun.unlink()
        return Outcome(job.id, DIED.format(job.video))
    append_line(begun, "")
    outcome = attempt(job, backbone)
    begun.unlink(missing_ok=True)
    return outcome


def _row(job: Job) -> dict[str, str]:
    return {"id": job.id, "video": str(job.video.absolute()), "features": str(job.features.absolute())}


def _absolute(choice: Choice) -> Choice:
    """The same choice for a worker, which stands in another folder."""
    weights, flow = (path and path.absolute() for path in (choice.weights, choice.flow_weights))
    name = str(Path(choice.name).absolute()) if Path(choice.name).is_dir() else choice.name
    return replace(choice, name=name, weights=weights, flow_weights=flow)


def _crew(choice: Choice, workers: int | None) -> tuple[int, int, int]:
    """How many workers there is room for, how many of them share a machine, and the GPUs that each needs."""
    machines, processors, gpus = cluster.size()
    gpus = 0 if choice.device == "cpu" or one_core(choice) else gpus
    room = gpus or processors
    # A network on a CPU uses all of a machine's cores, tiny uses one.
    crew = min(room, workers or (room if gpus or one_core(choice) else machines))
    return crew, -(-crew // machines), 1 if gpus else 0
