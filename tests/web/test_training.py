"""The steps of a project on the page: start, stop, what a restart continues, and the timelines at the end."""

import shutil
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from tests.helpers.errors import raises
from tests.helpers.processes import wait_until
from tests.helpers.server import RunningProject, run_project_server
from wtal.core.errors import DataError
from wtal.core.io import directory_lock, write_json
from wtal.experiments.project import Project
from wtal.experiments.project_status import STATUS_NAME, ProjectStatus, read_status
from wtal.web.training import Training, start_process

FAST = ("train.steps=4", "train.save_every=2", "train.batch_size=2", "model.width=16", "teacher.models=1")
TAGS = {"film 0.mp4": ["left"], "day 1/film 1.mp4": ["left", "right"], "film 2.mp4": ["right"]}


@pytest.fixture
def project(films, tmp_path, monkeypatch) -> Project:
    monkeypatch.setenv("WTAL_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "films"
    shutil.copytree(films, folder, ignore=shutil.ignore_patterns("timelines", "uploads"))
    project = Project.open(folder)
    project.configure(overrides=FAST)
    project.page.mkdir()
    return project


# ---- with a stub of the process


@dataclass
class StubProcess:
    """Ends when it is told to."""

    code: int | None = None
    terminated: bool = False
    ignores_terminate: bool = False
    stdin: None = None

    def poll(self) -> int | None:
        return self.code

    def terminate(self) -> None:
        self.terminated = True
        if not self.ignores_terminate:
            self.code = 130

    def kill(self) -> None:
        self.code = -9

    def wait(self, timeout: float | None = None) -> int:
        if self.code is None:
            raise subprocess.TimeoutExpired("stub", 0)
        return self.code


@dataclass
class StubTraining:
    """A `Training` with stubs of the process."""

    project: Project
    processes: list[StubProcess] = field(default_factory=list)
    ended: list[bool] = field(default_factory=list)

    def open(self) -> Training:
        """As a new server does."""
        training = Training(
            self.project, self.project.page, lambda: "tags", lambda: self.ended.append(True), self.start_process
        )
        training.open()
        return training

    def start(self) -> Training:
        """As a new server does, on whose page somebody tags videos and starts the training."""
        self.project.set_tags(TAGS)
        training = self.open()
        training.start()
        return training

    def start_process(self, project: Project) -> StubProcess:
        self.processes.append(StubProcess())
        return self.processes[-1]


@pytest.fixture
def stub(project) -> StubTraining:
    return StubTraining(project)


def wait_for(training: Training, is_met: Callable[[dict], bool]) -> None:
    wait_until(lambda: is_met(training.describe()))


def test_nothing_is_trained_without_a_class(stub):
    training = stub.open()
    with raises(DataError, code="no-labels"):
        training.start()
    stub.project.set_tags({"film 0.mp4": []})
    with raises(DataError, code="no-labels"):
        training.start()
    assert not stub.processes and training.describe()["state"] == "idle"
    training.close()


def test_start_and_stop(stub):
    training = stub.start()
    training.start()
    assert len(stub.processes) == 1, "one at a time"
    assert training.describe()["state"] == "running" and training.describe()["can_stop"]
    training.stop()
    assert stub.processes[0].terminated and training.describe()["state"] != "running"
    training.close()
    stub.open().close()
    assert len(stub.processes) == 1, "what a person stopped is not continued"


def test_restarted_server_continues(stub):
    training = stub.start()
    training.close()
    assert stub.processes[0].terminated
    training = stub.open()
    assert len(stub.processes) == 2
    stub.processes[1].code = 0
    wait_until(lambda: stub.ended)
    training.close()
    stub.open().close()
    assert len(stub.processes) == 2, "it has ended"


def test_process_that_is_killed_says_so(stub):
    training = stub.start()
    stub.processes[0].code = -9
    wait_for(training, lambda state: state["state"] == "failed")
    assert "memory" in training.describe()["error"]
    training.start()
    assert training.describe()["state"] == "running" and not training.describe()["error"]
    training.close()


def test_steps_that_another_process_does_are_shown(stub, monkeypatch):
    is_seen = threading.Event()

    def status() -> ProjectStatus:
        result = read_status(stub.project.folder)
        if result.state == "running" and threading.current_thread().name == "training":
            is_seen.set()
        return result

    monkeypatch.setattr(stub.project, "status", status)
    stub.project.set_tags(TAGS)
    training = stub.open()
    with directory_lock(stub.project.folder):
        write_json(stub.project.folder / STATUS_NAME, {"state": "running", "step": "model", "done": 1, "total": 2})
        wait_for(training, lambda state: state["state"] == "running")
        assert not training.describe()["can_stop"]
        training.start()
        assert not stub.processes
        with raises(DataError, code="locked"):
            training.stop()
        wait_until(is_seen.is_set)
    wait_until(lambda: stub.ended)
    training.close()


# ---- with the process


def start(server: RunningProject) -> None:
    assert server.send("POST", "/api/project/training", {}).status == 202


def wait_until_trained(server: RunningProject) -> None:
    wait_until(lambda: server.get("/api/project")["has_model"] or server.training()["state"] == "failed")
    wait_until(lambda: server.training()["state"] != "opening")
    assert server.training()["state"] == "done", server.training()["error"]


def test_process_imports_nothing_from_the_working_directory(project, tmp_path, monkeypatch):
    for name in ("wtal", "numpy", "torch", "json"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(99)")
    monkeypatch.chdir(tmp_path)
    (project.folder / "wtal-project.json").write_text("damaged")
    process = start_process(project)
    assert process.wait(60) == 2
    process.stdin.close()


@pytest.mark.slow
def test_from_tags_to_timelines(project):
    with run_project_server(project) as server:
        response = server.send("POST", "/api/project/training", {})
        assert (response.status, response.json["code"]) == (400, "no-labels")
        for name, labels in TAGS.items():
            server.change(name, add=labels)
        start(server)
        assert server.training()["state"] == "running"
        wait_until(lambda: server.training()["step"] in ("features", "model"))
        server.change("film 2.mp4", add=["left"])
        server.change("film 2.mp4", remove=["left"])
        wait_until_trained(server)
        names = ["day 1/film 1.mp4", "film 0.mp4", "film 2.mp4", "film 3.mp4"]
        assert list(server.get_videos()) == names
        for name in names:
            wait_until(lambda name=name: server.get_videos()[name]["state"] == "done")
        assert server.get("/api/config")["classes"] == ["left", "right"]
        assert server.get("/api/improvement")["unavailable"].startswith("there is nothing to learn"), "data are known"

        shutil.copy(project.videos_folder / "film 0.mp4", project.videos_folder / "later.mp4")
        server.site.library.refresh()
        wait_until(lambda: server.training()["is_current"] is False)
        server.change("later.mp4", add=["jump"])
        start(server)
        # Until then requests may be answered that the model is being loaded.
        wait_until(lambda: server.training()["state"] not in ("running", "opening"))
        assert server.get("/api/config")["classes"] == ["jump", "left", "right"]
        wait_until(lambda: server.get_videos()["later.mp4"]["state"] == "done")
        wait_until(lambda: server.training()["is_current"])
    with run_project_server(project) as server:
        assert server.get("/api/project")["has_model"]
        assert {video["state"] for video in server.get_videos().values()} == {"done"}


@pytest.mark.slow
def test_training_is_stopped_and_survives_a_restart(project):
    project.configure(overrides=("train.steps=100000", *FAST[1:]))
    project.set_tags(TAGS)
    with run_project_server(project) as server:
        start(server)
        wait_until(lambda: server.training()["step"] == "model" and server.training()["done"] > 4)
    assert project.status().state == "stopped", "the process ends with the server"
    with run_project_server(project) as server:
        wait_until(lambda: server.training()["step"] == "model" and server.training()["done"] > 4)
        assert server.request("DELETE", "/api/project/training").status == 200
        assert server.training()["state"] == "stopped"
        project.configure(overrides=FAST)
        start(server)
        wait_until_trained(server)
