"""The worker process."""

import os
import signal
import subprocess

import pytest

from tests.helpers.processes import wait_until
from tests.helpers.server import run_server
from wtal.core.errors import DataError
from wtal.web.worker import Task, WorkerProgress, _run_task


@pytest.mark.parametrize("field", ["path", "out"])
def test_errors_are_reported_without_the_folder(tmp_path, field):
    task = Task(tmp_path / "a film.mp4", tmp_path / "found" / "key", "a film.mp4", "")

    def predict(task: Task, on_progress: object) -> None:
        raise PermissionError(13, "Permission denied", str(getattr(task, field)))

    progress = _run_task(predict, task, print)
    assert not progress.done and "Permission denied" in progress.error and str(tmp_path) not in progress.error


def test_reason_does_not_repeat_the_name_of_the_video(tmp_path):
    task = Task(tmp_path / "a film.mp4", tmp_path / "out", "a film.mp4", "")

    def predict(task: Task, on_progress: object) -> None:
        raise DataError("is a text file", path=task.path, hint="use a video file")

    assert _run_task(predict, task, print).error == "is a text file; use a video file"


def test_success_is_reported(tmp_path):
    task = Task(tmp_path / "a.mp4", tmp_path / "out", "a.mp4", "")
    assert _run_task(lambda task, on_progress: None, task, print) == WorkerProgress(done=True)


def worker_pids() -> set[int]:
    """The spawned processes of this process."""
    command = ["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return {int(line.split()[0]) for line in lines if "spawn_main" in line}


@pytest.mark.slow
def test_killed_worker_fails_only_its_video(own_videos, films, tmp_path):
    with run_server(own_videos / "run", films, tmp_path) as server:
        key = server.videos()["film 0.mp4"]["key"]
        other_pids = worker_pids()
        server.send("POST", "/api/jobs", {"keys": [key]})
        wait_until(lambda: worker_pids() - other_pids)
        (pid,) = worker_pids() - other_pids
        os.kill(pid, signal.SIGKILL)
        assert "SIGKILL" in server.wait_for_state("film 0.mp4", "failed")["reason"]
        server.run_detection("film 0.mp4")
