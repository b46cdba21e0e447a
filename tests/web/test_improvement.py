"""Improving a model: the state of the background process, the API, and what a restart keeps."""

import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.helpers.errors import raises
from tests.helpers.processes import wait_until
from tests.helpers.server import RunningServer, run_server
from wtal.core.errors import DataError, WtalError
from wtal.core.io import read_json, write_json
from wtal.core.structures import Segment
from wtal.data.dataset import load_dataset
from wtal.web.corrections import CorrectionRecord
from wtal.web.improvement import Improver
from wtal.web.improvement_worker import ImprovementJob, ImprovementProgress
from wtal.web.models import ORIGINAL, ModelList, Scores
from wtal.web.training_set import TrainingData
from wtal.web.videos import VideoLibrary, video_key

LEFT = {"label": "left", "start": 1.0, "end": 2.0, "score": None}
DONE = ImprovementProgress(done=True, before=Scores(map=0.5, f1=0.4), after=Scores(map=0.75, f1=0.6))

# ---- with a stub of the process


@dataclass
class StubWorker:
    """Sends messages when they are released; None stands for the end of the process."""

    messages: list[ImprovementProgress | None]
    permits: threading.Semaphore
    on_done: Callable[[], object] = lambda: None

    def poll(self, timeout: float) -> ImprovementProgress | None:
        if not self.messages or not self.permits.acquire(timeout=0.01):
            return None
        message = self.messages.pop(0)
        if message is None:
            raise EOFError
        if message.done:
            self.on_done()
        return message

    def stop(self) -> int:
        return -9


@dataclass
class StubImprover:
    """An `Improver` with stubs, for the films of `own_videos` and their data set."""

    own_videos: Path
    films: Path
    store: Path
    messages: list[ImprovementProgress | None] = field(default_factory=lambda: [DONE])
    records: dict[str, CorrectionRecord] = field(default_factory=dict)
    jobs: list[ImprovementJob] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store.mkdir(exist_ok=True)
        self.permits = threading.Semaphore(0)
        self.reopen()

    def reopen(self, data: WtalError | None = None) -> None:
        """As a new server does."""
        self.models = ModelList(self.own_videos / "run", self.store)
        self.improver = Improver(
            self.store,
            self.models,
            data or TrainingData(load_dataset(self.own_videos / "data")),
            VideoLibrary(self.films),
            lambda: self.records,
            self.start_worker,
            lambda id: self.models.activate(id),
        )
        self.improver.resume()

    def start_worker(self, job: ImprovementJob) -> StubWorker:
        self.jobs.append(job)

        def train() -> None:
            shutil.copytree(self.own_videos / "run", job.out, dirs_exist_ok=True)

        return StubWorker(list(self.messages), self.permits, train)

    def correct(self, name: str, complete: bool = False) -> None:
        segments = (Segment("left", 1.0, 2.0),)
        self.records[video_key(name)] = CorrectionRecord(name, 1, "now", segments, "", complete, complete)

    def wait_for(self, state: str) -> dict:
        wait_until(lambda: self.improver.describe()["state"] == state)
        return self.improver.describe()


@pytest.fixture
def stub(own_videos, films, tmp_path) -> StubImprover:
    stub = StubImprover(own_videos, films, tmp_path / "store")
    stub.correct("film 0.mp4")
    yield stub
    stub.improver.close()


def test_new_model_is_listed_and_active_until_another_is_chosen(stub):
    stub.correct("film 2.mp4", complete=True)
    stub.correct("day 1/film 1.mp4", complete=True)
    stub.messages = [ImprovementProgress(stage="Training", share=0.5), DONE]
    assert [model["id"] for model in stub.improver.describe()["models"]] == [ORIGINAL]
    stub.improver.start()
    stub.improver.start()  # is running already
    stub.permits.release()
    wait_until(lambda: stub.improver.describe()["share"] == 0.5)
    state = stub.improver.describe()
    assert (state["state"], state["stage"]) == ("running", "Training") and len(stub.jobs) == 1
    stub.permits.release()
    improved, original = stub.wait_for("idle")["models"]
    assert improved["active"] and not original["active"]
    assert (improved["before"], improved["after"]) == (DONE.before.model_dump(), DONE.after.model_dump())
    assert improved["labels"] == {"videos": 2, "points": 0, "segments": 2, "complete": 1}
    assert len(improved["measured_on"]) == 1
    stub.reopen()
    assert stub.models.active.id == improved["id"] and stub.improver.describe()["models"][0] == improved
    stub.models.activate(ORIGINAL)
    stub.reopen()
    assert stub.models.active.id == ORIGINAL
    with raises(DataError, code="unknown-name"):
        stub.models.activate("0007")


def test_improvement_continues_after_a_restart(stub):
    stub.improver.start()
    wait_until(lambda: stub.jobs)
    stub.improver.close()
    assert stub.improver.describe()["state"] == "running"
    stub.records.clear()  # the labels are those of the start
    stub.permits.release()
    stub.reopen()
    state = stub.wait_for("idle")
    assert len(stub.jobs) == 2 and stub.jobs[0] == stub.jobs[1]
    assert state["models"][0]["labels"]["videos"] == 1


def test_held_out_videos_are_remembered(stub):
    stub.correct("film 0.mp4", complete=True)
    stub.correct("film 2.mp4", complete=True)
    stub.permits.release(9)
    (held_out,) = stub.improver.describe()["measured_on"]
    stub.improver.start()
    stub.wait_for("idle")
    for name in ("film 0.mp4", "film 2.mp4"):
        stub.correct(name, complete=name == held_out)
    stub.reopen()
    assert stub.improver.describe()["measured_on"] == [held_out]
    stub.correct(held_out)
    stub.reopen()
    state = stub.improver.describe()
    assert state["measured_on"] == [] and state["labels"]["videos"] == 1, "it is still not trained on"


def test_cancelled_improvement_leaves_nothing(stub):
    stub.improver.cancel()  # nothing is running
    stub.improver.start()
    (job,) = stub.jobs
    assert job.data.is_dir()
    stub.improver.cancel()
    state = stub.improver.describe()
    assert state["state"] == "cancelled" and len(state["models"]) == 1
    assert not job.data.parent.exists()
    stub.permits.release()
    stub.improver.start()
    assert len(stub.wait_for("idle")["models"]) == 2


@pytest.mark.parametrize(
    ("message", "expected"),
    [(ImprovementProgress(error="the disk is full"), "the disk is full"), (None, "SIGKILL")],
    ids=["error", "crash"],
)
def test_failure_is_one_sentence_and_leaves_nothing(stub, message, expected):
    stub.messages = [message]
    stub.permits.release()
    stub.improver.start()
    state = stub.wait_for("failed")
    assert expected in state["error"] and len(state["error"].splitlines()) == 1
    assert not stub.jobs[0].data.parent.exists() and len(state["models"]) == 1
    stub.reopen()
    assert stub.improver.describe()["error"] == state["error"]


def test_new_model_that_cannot_be_activated_is_listed(stub, monkeypatch):
    def fail(id: str) -> None:
        raise DataError("the disk is full")

    monkeypatch.setattr(stub.models, "activate", fail)
    stub.permits.release()
    stub.improver.start()
    improved, original = stub.wait_for("failed")["models"]
    assert original["active"] and not improved["active"]
    monkeypatch.undo()
    stub.models.activate(improved["id"])
    assert stub.models.active.id == improved["id"]


def test_skipped_videos_are_not_measured_on(stub):
    stub.correct("film 0.mp4", complete=True)
    stub.correct("film 2.mp4", complete=True)
    (held_out,) = stub.improver.describe()["measured_on"]
    stub.messages = [DONE.model_copy(update={"skipped": {held_out: "damaged"}})]
    stub.permits.release()
    stub.improver.start()
    assert stub.wait_for("idle")["models"][0]["measured_on"] == []


def test_full_disk_at_the_start_is_an_error(stub, monkeypatch):
    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("wtal.web.improvement.write_json", fail)
    with raises(DataError):
        stub.improver.start()
    assert stub.improver.describe()["state"] == "idle" and not list((stub.store / "models").iterdir())


def test_unavailable_improvement_says_why(stub):
    stub.records.clear()
    assert "nothing to learn" in stub.improver.describe()["unavailable"]
    with raises(DataError, code="no-labels"):
        stub.improver.start()
    stub.reopen(DataError("not known", hint="use --data", code="no-data"))
    assert stub.improver.describe()["unavailable"] == "not known; use --data"
    with raises(DataError, code="no-data"):
        stub.improver.start()


def test_improvement_of_another_model_is_not_continued(stub):
    stub.improver.start()
    stub.improver.close()
    path = stub.store / "improvement.json"
    write_json(path, read_json(path) | {"base": "another"})
    stub.reopen()
    assert stub.improver.describe()["state"] == "failed" and len(stub.jobs) == 1


@pytest.mark.parametrize("name", ["improvement.json", "held-out.json", "models/0001/model.json"])
def test_damaged_files_are_reported(stub, name):
    path = stub.store / name
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, ["damaged"])
    with raises(DataError, code="invalid-value", path=path):
        stub.reopen()
        stub.improver.start()


# ---- with the process


@pytest.fixture
def folder(films, tmp_path) -> Path:
    """A folder with the films, and one that the data set does not have."""
    folder = tmp_path / "films"
    shutil.copytree(films, folder, ignore=shutil.ignore_patterns("timelines", "uploads"))
    (folder / "new.mp4").write_bytes((folder / "film 0.mp4").read_bytes() + b"new")
    (folder / "damaged.mp4").write_bytes(b"not a video")
    return folder


def improvement(server: RunningServer) -> dict:
    return server.get("/api/improvement")


@pytest.mark.slow
def test_improve_and_go_back(own_videos, folder, tmp_path):
    store = tmp_path / "store"
    with run_server(own_videos / "run", folder, store, data=own_videos / "data") as server:
        server.run_detection("film 3.mp4")
        original = server.get("/api/config")["model"]
        assert "nothing to learn" in improvement(server)["unavailable"]
        assert server.send("POST", "/api/improvement", {}).json["code"] == "no-labels"
        server.save("film 3.mp4", [LEFT], complete=True)
        server.save("new.mp4", [LEFT | {"label": "wave", "end": 1.0}])
        server.save("damaged.mp4", [LEFT])
        assert server.send("POST", "/api/improvement", {}).status == 202
        assert improvement(server)["state"] == "running"
        assert server.send("PUT", "/api/model", {"id": "0009"}).status == 400
        wait_until(lambda: improvement(server)["state"] != "running")
        state = improvement(server)
        assert state["state"] == "idle", state["error"]
        model, first = state["models"]
        assert model["active"] and model["measured_on"] == ["film 3.mp4"]
        assert 0 <= model["before"]["map"] <= 1 and 0 <= model["after"]["f1"] <= 1
        assert model["skipped"].keys() == {"damaged.mp4"}
        config = server.get("/api/config")
        assert config["classes"] == ["left", "right", "wave"] and config["model"] != original
        server.wait_for_state("film 3.mp4", "done")  # processed again
        assert server.get(f"/api/videos/{video_key('film 3.mp4')}")["classes"] == config["classes"]
        assert server.send("PUT", "/api/model", {"id": first["id"]}).status == 200
        assert server.get("/api/config")["model"] == original
        assert server.videos()["film 3.mp4"]["state"] == "done", "its prediction is still there"
    with run_server(own_videos / "run", folder, store, data=own_videos / "data") as server:
        assert [entry["id"] for entry in improvement(server)["models"] if entry["active"]] == [first["id"]]


@pytest.mark.slow
def test_process_continues_after_a_restart_and_reuses_stage_one(own_videos, folder, tmp_path):
    store = tmp_path / "store"
    with run_server(own_videos / "run", folder, store, data=own_videos / "data") as server:
        server.save("film 0.mp4", [LEFT])
        server.send("POST", "/api/improvement", {})
    with run_server(own_videos / "run", folder, store, data=own_videos / "data") as server:
        wait_until(lambda: improvement(server)["state"] != "running")
        state = improvement(server)
        assert state["state"] == "idle", state["error"]
        model = state["models"][0]
        assert model["active"] and model["before"] is None and model["measured_on"] == []
        run = store / "models" / model["id"] / "run"
        assert (run / "teacher").is_dir() and not (run / "stage-one").exists()


@pytest.mark.slow
def test_process_is_cancelled(own_videos, folder, tmp_path):
    with run_server(own_videos / "run", folder, tmp_path / "store", data=own_videos / "data") as server:
        server.save("film 0.mp4", [LEFT])
        server.send("POST", "/api/improvement", {})
        assert server.request("DELETE", "/api/improvement").status == 200
        assert improvement(server)["state"] == "cancelled"
        assert list((tmp_path / "store" / "models").iterdir()) == []


def test_server_without_a_data_set_says_how_to_give_one(own_videos, films, tmp_path):
    with run_server(own_videos / "run", films, tmp_path / "store") as server:
        assert "--data" in improvement(server)["unavailable"]
        assert server.send("POST", "/api/improvement", {}).json["code"] == "no-data"
        assert server.send("PUT", "/api/model", {"id": 1}).status == 400
    with raises(DataError), run_server(own_videos / "run", films, tmp_path / "store", data=tmp_path):
        pass
