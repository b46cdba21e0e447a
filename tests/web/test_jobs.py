"""The queue of videos to process."""

import signal
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.helpers.errors import raises
from tests.helpers.processes import wait_until
from wtal.core.errors import DataError
from wtal.core.io import read_json, write_json
from wtal.web.jobs import JobQueue
from wtal.web.worker import Task, WorkerProgress


@dataclass
class StubWorker:
    """A worker that sends one message for each release of a semaphore."""

    started: list[str]
    permits: threading.Semaphore
    messages: list[WorkerProgress] = field(default_factory=list)

    def start(self, task: Task) -> None:
        self.started.append(task.name)
        self.messages = [WorkerProgress(1.0, 2.0), WorkerProgress(done=True)]
        if task.name == "crash":
            self.messages = []
        if task.name == "bad":
            self.messages = [WorkerProgress(error="bad: not a video")]

    def poll(self, timeout: float) -> WorkerProgress | None:
        if not self.messages:
            raise EOFError
        return self.messages.pop(0) if self.permits.acquire(timeout=0.01) else None

    def stop(self) -> int:
        return -signal.SIGKILL


class StubQueue:
    """A queue with stub workers."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "jobs.json"
        self.started: list[str] = []
        self.permits = threading.Semaphore(0)
        self.workers = 0  # that were started
        self.queue = JobQueue(self.path, self.create_task, self.start_worker)

    def start_worker(self) -> StubWorker:
        self.workers += 1
        return StubWorker(self.started, self.permits)

    def create_task(self, key: str) -> Task:
        if key == "gone":
            raise DataError("the video was moved or deleted", path="gone", code="video-not-found")
        return Task(Path(key), Path("out"), key, "")

    def states(self) -> dict[str, str]:
        return {key: item.state for key, item in self.queue.items().items()}

    def wait_for(self, **states: str) -> None:
        wait_until(lambda: self.states() == states)


@pytest.fixture
def stub(tmp_path) -> StubQueue:
    return StubQueue(tmp_path)


def test_videos_are_processed_in_order_and_errors_are_kept(stub):
    for key in ("a", "bad", "gone", "crash", "b", "a"):
        stub.queue.add(key)
    assert list(stub.queue.items()) == ["a", "bad", "gone", "crash", "b"]
    stub.queue.start()
    wait_until(lambda: stub.states()["a"] == "running")
    stub.permits.release()
    wait_until(lambda: stub.queue.items()["a"].position == 1.0)
    assert read_json(stub.path)[0]["state"] == "running"
    stub.queue.add("a")  # already running
    stub.permits.release(9)
    stub.wait_for(bad="failed", gone="failed", crash="failed")
    stub.queue.close()
    assert stub.started == ["a", "bad", "crash", "b"]
    reasons = {key: item.reason for key, item in stub.queue.items().items()}
    assert reasons["bad"] == "bad: not a video"
    assert reasons["gone"].startswith("gone: ")
    assert "SIGKILL" in reasons["crash"]


def test_queue_continues_after_a_restart(stub, tmp_path):
    stub.queue.add("a", "b", "c")
    stub.queue.start()
    wait_until(lambda: stub.states()["a"] == "running")
    stub.queue.cancel("b")
    stub.queue.close()
    restarted = StubQueue(tmp_path)
    assert restarted.states() == {"a": "queued", "b": "cancelled", "c": "queued"}
    restarted.queue.start()
    restarted.permits.release(8)
    restarted.wait_for(b="cancelled")
    restarted.queue.close()
    assert restarted.started == ["a", "c"]
    assert [entry["key"] for entry in read_json(stub.path)] == ["b"]


def test_cancelled_video_can_be_queued_again(stub):
    stub.queue.start()
    stub.queue.add("a")
    stub.wait_for(a="running")
    stub.queue.cancel("a")
    stub.wait_for(a="cancelled")
    stub.queue.add("a")
    stub.permits.release(4)  # the cancelled run may take some
    stub.wait_for()
    stub.queue.close()
    assert stub.started == ["a", "a"]


def test_new_worker_also_processes_the_video_in_progress(stub):
    stub.queue.start()
    stub.queue.add("a", "b")
    stub.wait_for(a="running", b="queued")
    stub.queue.restart_worker()
    wait_until(lambda: stub.started == ["a", "a"])
    stub.permits.release(9)
    stub.wait_for()
    stub.queue.restart_worker()  # nothing is running
    stub.queue.add("c")
    stub.wait_for()
    stub.queue.close()
    assert stub.started == ["a", "a", "b", "c"] and stub.workers == 3


def test_unwritable_file_does_not_stop_the_queue(stub):
    stub.permits.release(9)
    stub.queue.add("a")
    stub.path.unlink()
    stub.path.mkdir()
    stub.queue.start()
    stub.wait_for()
    stub.path.rmdir()
    stub.queue.add("b")
    stub.wait_for()
    stub.queue.close()
    assert stub.started == ["a", "b"] and read_json(stub.path) == []


def test_reads_the_queue_of_version_0_1_0(tmp_path):
    states = {"a": "waiting", "b": "working", "c": "failed", "d": "cancelled"}
    entries = [
        {"key": key, "state": state, "reason": "", "second": 0.0, "duration": None} for key, state in states.items()
    ]
    write_json(tmp_path / "jobs.json", entries)
    assert StubQueue(tmp_path).states() == {"b": "queued", "a": "queued", "c": "failed", "d": "cancelled"}
    assert next(iter(StubQueue(tmp_path).states())) == "b", "it was being processed"


@pytest.mark.parametrize("value", [{"a": 1}, [1], [{"key": "a"}], [{"key": "a", "state": "odd", "reason": ""}]])
def test_file_that_is_not_a_queue_is_an_error(tmp_path, value):
    write_json(tmp_path / "jobs.json", value)
    with raises(DataError, code="invalid-value", path=tmp_path / "jobs.json"):
        StubQueue(tmp_path)
