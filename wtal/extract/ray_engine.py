"""The same extraction on Ray Data: over the machines of the cluster that RAY_ADDRESS names, or on this one."""

import logging
import os
import secrets
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from wtal.errors import ConfigError, DataError, WtalError, first_line
from wtal.extract.backbone import Backbone
from wtal.extract.backbones import Choice, one_core, open_backbone
from wtal.extract.engine import DIED, Heard, Job, Outcome, attempt
from wtal.files import append_line
from wtal.machine import cores

TRIES = 3  # a machine may go under a video twice; what kills a third is the video
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".*",  # what Ray prints of workers that died; the videos are tried again
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # the coming default; unset, Ray warns of it
}
LOCAL = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # on Linux too: ports on the loopback address alone
ANSWER = 5.0  # seconds that a cluster may take to answer
OBJECTS = 1 << 27  # bytes of shared memory for names and reasons, which is all that is handed around


def run_on_ray(jobs: Sequence[Job], choice: Choice, workers: int | None, heard: Heard) -> Iterator[Outcome]:
    """Run the jobs on `workers` actors, each with its backbone; outcomes come as they are ready, `heard` is told.

    None is an actor a GPU, a core for tiny, or else a machine. Videos, features and weights must lie at the same
    paths on every machine. A worker that dies loses nothing: Ray starts another, and its video is begun again.
    Raises ConfigError where Ray is missing or the cluster does not answer; DataError when the backbone cannot be
    opened on a machine, or a feature file not written.
    """
    address = os.environ.get("RAY_ADDRESS")
    set_up(address)
    try:
        import_module("ray.data")
    except ImportError as error:
        raise ConfigError("this engine needs Ray; pip install 'ray[data]'") from error
    return _run({job.id: job for job in jobs}, choice, workers, heard, address) if jobs else iter(())


def set_up(address: str | None) -> None:
    """Tell Ray, which must not be imported yet, to be quiet and local; what the user has set stands."""
    own = {} if address else LOCAL | {"RAY_AUTH_TOKEN": secrets.token_hex(32)}  # or else Ray leaves one at home
    for name, value in (QUIET | own).items():
        os.environ.setdefault(name, value)


def _run(
    jobs: dict[str, Job], choice: Choice, workers: int | None, heard: Heard, address: str | None
) -> Iterator[Outcome]:
    import ray.data

    with _connected(address, workers):
        crew, beside, gpus = _crew(choice, workers)
        rows = ray.data.from_items([_row(job) for job in jobs.values()], override_num_blocks=len(jobs))
        done = rows.map_batches(
            Extractor,
            fn_constructor_args=(_absolute(choice), beside),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=crew, max_tasks_in_flight_per_actor=1),
            num_cpus=1,
            num_gpus=gpus,
        )
        for row in _rows(done):
            if row["fatal"]:
                raise DataError(row["reason"])
            video = jobs[row["id"]].video
            yield Outcome(row["id"], row["reason"].replace(str(video.absolute()), str(video)))
            heard(())  # where the workers are is not known here


def _rows(done: Any) -> Iterator[dict[str, Any]]:
    """What the workers answer. Raises ConfigError where the cluster fails them."""
    from ray.exceptions import RayError

    try:
        yield from done.iter_rows()
    except RayError as error:
        raise ConfigError(
            f"the cluster failed ({first_line(error)}); see that each machine has wtal, then run it again to go on"
        ) from error


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
    import ray

    resources = ray.cluster_resources()
    gpus = 0 if choice.device == "cpu" or one_core(choice) else int(resources.get("GPU", 0))
    room = max(1, gpus or int(resources.get("CPU", 1)))
    machines = sum(node["Alive"] for node in ray.nodes())
    # A network on a CPU uses all of a machine's cores, tiny uses one.
    crew = min(room, workers or (room if gpus or one_core(choice) else machines))
    return crew, -(-crew // max(1, machines)), 1 if gpus else 0


@contextmanager
def _connected(address: str | None, workers: int | None) -> Iterator[None]:
    """With Ray started on this machine, or the cluster reached; one that the caller has started is left alone."""
    import ray
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    if ray.is_initialized():
        yield
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    with _hushed():
        if address:
            _join(address, quiet)
        else:
            ray.init("local", num_cpus=workers, include_dashboard=False, object_store_memory=OBJECTS, **quiet)
    try:
        yield
    finally:
        ray.shutdown()


def _join(address: str, quiet: dict[str, Any]) -> None:
    """Raises ConfigError where no cluster answers, or one that does not let us in."""
    import ray

    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        if port.isdecimal():
            socket.create_connection((host, int(port)), ANSWER).close()  # Ray itself would try for minutes
        ray.init(address, **quiet)
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(
            f"RAY_ADDRESS is {address}, where no cluster can be joined ({reason}); start one there with `ray start "
            f"--head`, have its version of Ray, its RAY_AUTH_MODE and RAY_AUTH_TOKEN, or unset RAY_ADDRESS"
        ) from error


@contextmanager
def _hushed() -> Iterator[None]:
    """Without what Ray's libraries write to the standard error stream beneath Python while they start."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
