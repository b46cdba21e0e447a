"""Ray: on the cluster in the variable RAY_ADDRESS, or on this computer only. Without output and usage statistics."""

import logging
import os
import pickle
import secrets
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, cast

from wtal.core.errors import ConfigError, WtalError, short_message

QUIET_VARIABLES = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".*",  # messages about workers that died; their work is repeated
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # the future default; Ray warns if it is not set
}
LOCAL_VARIABLES = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # also on Linux: listen on the loopback address only
CONNECT_TIMEOUT = 5.0  # seconds
MAX_ATTEMPTS = 3  # a machine may fail twice during an item; if a third worker dies, the item is the cause
OBJECT_STORE_BYTES = 1 << 27  # shared memory for what is passed between processes: names, errors and proposals


class WorkerDiedError(WtalError):
    """The workers that processed an item died repeatedly."""

    default_code = "worker-died"


def find_cluster() -> str | None:
    """The address in RAY_ADDRESS, after Ray has been imported. Raises ConfigError where Ray is not installed."""
    address = os.environ.get("RAY_ADDRESS")
    set_environment(address)
    try:
        import_module("ray.data")
    except ImportError as error:
        raise ConfigError("this engine needs Ray", hint="pip install 'wtal[ray]'", code="missing-dependency") from error
    return address


def set_environment(address: str | None) -> None:
    """Set the variables that make Ray silent and local, unless the user has set them. Call it before importing Ray."""
    # Without a token in the environment, Ray writes one to the home folder.
    local = {} if address else LOCAL_VARIABLES | {"RAY_AUTH_TOKEN": secrets.token_hex(32)}
    for name, value in (QUIET_VARIABLES | local).items():
        os.environ.setdefault(name, value)


def connect(address: str | None, workers: int | None) -> None:
    """Start Ray on this computer, or connect to a cluster. If Ray is already running, use that.

    Ray runs until the process ends: a process in which it is started a second time can exit without a message.

    Raises:
        ConfigError: The cluster does not respond or rejects the connection.
    """
    import ray
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    if ray.is_initialized():
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    with _suppress_stderr():
        if address:
            _connect(address, quiet)
        else:
            ray.init(
                "local", num_cpus=workers, include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES, **quiet
            )


def _connect(address: str, quiet: dict[str, Any]) -> None:
    import ray

    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        if port.isdecimal():
            socket.create_connection((host, int(port)), CONNECT_TIMEOUT).close()  # Ray itself would try for minutes
        ray.init(address, **quiet)
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(
            f"cannot connect to the Ray cluster at RAY_ADDRESS={address} ({reason})",
            hint="start it with `ray start --head`, use its version of Ray, RAY_AUTH_MODE and RAY_AUTH_TOKEN, "
            "or unset RAY_ADDRESS",
            code="cluster-unreachable",
        ) from error


@contextmanager
def _suppress_stderr() -> Iterator[None]:
    """Discard what Ray's C++ libraries write to standard error while they start."""
    original, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(original, 2)
        os.close(original)
        os.close(null)


def cluster_size() -> tuple[int, int, int]:
    """The number of machines in the cluster, and of cores and GPUs of all machines together."""
    import ray

    resources = ray.cluster_resources()
    machines = sum(node["Alive"] for node in ray.nodes())
    return max(1, machines), max(1, int(resources.get("CPU", 1))), int(resources.get("GPU", 0))


def map_items(
    worker: type, arguments: tuple[Any, ...], items: Sequence[Any], num_workers: int, gpus_per_worker: int = 0
) -> Iterator[tuple[int, Any]]:
    """Process items with actors and yield index and result of each item, in order of completion.

    A worker that dies is replaced, and its item is processed again, at most `MAX_ATTEMPTS` times.

    Args:
        worker: Each actor creates a `worker(*arguments)` and calls it with one item at a time.
        arguments: Must be picklable, as must the items and results.
        items: At least one.
        num_workers: Number of actors.
        gpus_per_worker: Number of GPUs that each actor needs.

    Yields:
        The index of an item, and what the worker returned for it, the WtalError that it raised, or a WorkerDiedError.

    Raises:
        ConfigError: The cluster fails.
    """
    import ray.data
    from ray.exceptions import RayError

    # Pickled as Ray itself would do: these bytes travel between this process and its own workers only.
    rows = [{"index": index, "item": pickle.dumps(item)} for index, item in enumerate(items)]
    results = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        _PickledWorker,
        fn_constructor_args=(worker, arguments, _attempt_counter()),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=num_workers, max_tasks_in_flight_per_actor=1),
        num_cpus=1,
        num_gpus=gpus_per_worker,
    )
    try:
        for row in results.iter_rows():
            yield int(row["index"]), pickle.loads(row["result"])
    except RayError as error:
        raise ConfigError(
            f"the Ray cluster failed ({short_message(error)})",
            hint="check that wtal is installed on each machine, then run it again",
            code="cluster-failed",
        ) from error


class _PickledWorker:
    """Converts between rows of a Ray data set, which contain bytes, and the items and results of a worker."""

    def __init__(self, worker: type, arguments: tuple[Any, ...], count_attempt: Callable[[int], int]) -> None:
        self.worker = worker(*arguments)
        self.count_attempt = count_attempt

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        (index,), (item,) = batch["index"], batch["item"]
        try:
            if self.count_attempt(int(index)) > MAX_ATTEMPTS:  # Ray itself would repeat it forever
                raise WorkerDiedError("each worker process died, probably out of memory")
            result = self.worker(pickle.loads(item))
        except WtalError as error:
            result = error
        return {"index": [index], "result": [pickle.dumps(result)]}


def _attempt_counter() -> Callable[[int], int]:
    """A function shared by all workers that returns how often it has been called with a number."""
    import ray

    # If the machine of the counter fails, it restarts from zero, which only allows a few more attempts.
    counter: Any = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(_Counter).remote()
    return lambda number: cast(int, ray.get(counter.increment.remote(number)))


class _Counter:
    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()

    def increment(self, number: int) -> int:
        self.counts[number] += 1
        return self.counts[number]
