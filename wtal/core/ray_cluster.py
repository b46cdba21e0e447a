"""Ray, where it is asked for: the cluster that RAY_ADDRESS names, or this machine alone. Quiet, and private."""

import logging
import os
import secrets
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, cast

from wtal.core.errors import ConfigError, short_message

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".*",  # what Ray prints of workers that died; their work is done again
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # the coming default; unset, Ray warns of it
}
LOCAL = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # on Linux too: ports on the loopback address alone
ANSWER = 5.0  # seconds that a cluster may take to answer
OBJECTS = 1 << 27  # bytes of shared memory for names, reasons and proposals, which is all that is handed around


def find_cluster() -> str | None:
    """What RAY_ADDRESS says, with Ray ready to use. Raises ConfigError where it is missing."""
    address = os.environ.get("RAY_ADDRESS")
    require_ray(address)
    try:
        import_module("ray.data")
    except ImportError as error:
        raise ConfigError("this engine needs Ray; pip install 'ray[data]'") from error
    return address


def require_ray(address: str | None) -> None:
    """Tell Ray, which must not be imported yet, to be quiet and local; what the user has set stands."""
    own = {} if address else LOCAL | {"RAY_AUTH_TOKEN": secrets.token_hex(32)}  # or else Ray leaves one at home
    for name, value in (QUIET | own).items():
        os.environ.setdefault(name, value)


def cluster_size() -> tuple[int, int, int]:
    """How many machines the cluster has, and the cores and GPUs of all together."""
    import ray

    resources = ray.cluster_resources()
    machines = sum(node["Alive"] for node in ray.nodes())
    return max(1, machines), max(1, int(resources.get("CPU", 1))), int(resources.get("GPU", 0))


def map_rows(
    worker: type, arguments: tuple[Any, ...], rows: Sequence[dict[str, str]], crew: int, gpus: int = 0
) -> Iterator[dict[str, Any]]:
    """What `crew` actors, each a worker(*arguments), answer to the rows, one by one as they are ready.

    A worker that dies is replaced, and its row done again, for ever if it must. `gpus` is how many each needs.
    Raises ConfigError where the cluster fails.
    """
    import ray.data
    from ray.exceptions import RayError

    done = ray.data.from_items(list(rows), override_num_blocks=len(rows)).map_batches(
        worker,
        fn_constructor_args=arguments,
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=crew, max_tasks_in_flight_per_actor=1),
        num_cpus=1,
        num_gpus=gpus,
    )
    try:
        yield from done.iter_rows()
    except RayError as error:
        raise ConfigError(
            f"the cluster failed ({short_message(error)}); see that each machine has wtal, then run it again"
        ) from error


def attempt_counter() -> Callable[[str], int]:
    """A function for all workers that says how often any of them has called it with that name."""
    import ray

    # Where its machine goes under, it begins anew: a few tries more, no harm.
    counter: Any = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(_Counter).remote()
    return lambda name: cast(int, ray.get(counter.add.remote(name)))


class _Counter:
    """What a machine of the cluster holds for all."""

    def __init__(self) -> None:
        self.count: Counter[str] = Counter()

    def add(self, name: str) -> int:
        self.count[name] += 1
        return self.count[name]


@contextmanager
def connected(address: str | None, workers: int | None) -> Iterator[None]:
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
    with _suppress_stderr():
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
def _suppress_stderr() -> Iterator[None]:
    """Without what Ray's libraries write to the standard error stream beneath Python while they start."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
