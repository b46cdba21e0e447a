"""Connecting to Ray and processing items with its actors."""

import pickle
import socket
from importlib.util import find_spec

import pytest

from tests.helpers.errors import raises
from wtal.core.errors import ConfigError, DataError
from wtal.core.ray_cluster import MAX_ATTEMPTS, WorkerDiedError, _PickledWorker, connect, set_environment

pytestmark = [
    pytest.mark.xdist_group("ray"),  # one cluster at a time
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),  # about Ray's own settings
]

set_environment(None)  # before Ray is imported


def test_existing_cluster_is_used_without_changing_its_settings(monkeypatch):
    calls = []
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.init", lambda address, **settings: calls.append((address, settings)))
    with socket.create_server(("127.0.0.1", 0)) as cluster:
        address = f"127.0.0.1:{cluster.getsockname()[1]}"
        connect(address, 2)
    ((used_address, settings),) = calls
    assert used_address == address
    assert not {"num_cpus", "object_store_memory"} & set(settings)


def test_rejected_connection_is_reported_in_one_line(monkeypatch):
    def refuse(*_, **__):
        raise ConnectionError("Failed to connect to Ray cluster\nand much more")

    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.init", refuse)
    with raises(ConfigError, code="cluster-unreachable") as caught:
        connect("auto", 1)
    assert "Failed to connect" in caught.value.message and "\n" not in str(caught.value)


class Doubler:
    def __call__(self, item):
        if item < 0:
            raise DataError("is negative")
        return 2 * item


@pytest.mark.parametrize("item, attempt, expected", [(3, 1, 6), (-1, 1, DataError), (3, MAX_ATTEMPTS, 6)])
def test_worker_returns_a_result_or_an_error(item, attempt, expected):
    row = _PickledWorker(Doubler, (), lambda index: attempt)({"index": [7], "item": [pickle.dumps(item)]})
    result = pickle.loads(row["result"][0])
    assert row["index"] == [7]
    assert result == expected or type(result) is expected


def test_item_is_given_up_after_too_many_attempts():
    worker = _PickledWorker(Doubler, (), lambda index: MAX_ATTEMPTS + 1)
    (result,) = worker({"index": [0], "item": [pickle.dumps(3)]})["result"]
    assert isinstance(pickle.loads(result), WorkerDiedError)
