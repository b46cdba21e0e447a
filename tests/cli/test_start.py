"""`wtal start`: one command from a folder of videos to the page; interrupted, repeated, and with bad input."""

import shutil
import signal
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.helpers.processes import interrupt, start_wtal, wait_until
from tests.helpers.video import film
from wtal.cli import app
from wtal.data.layouts.activitynet import read_proposals
from wtal.experiments.project import Project
from wtal.experiments.project_models import newest_model

FAST = ("method=local", "train.steps=4", "train.save_every=2", "train.batch_size=2", "model.width=16")
FAST_OPTIONS = [part for setting in FAST for part in ("--set", setting)]
TABLE = "video,labels\nset/a.mp4,run\nb,jump\nc,run;jump\nd,\n"
NO_PAGE = "import wtal.web.server; wtal.web.server.serve_project = lambda *_: None"


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("films")
    (root / "set").mkdir()
    for seed, name in enumerate(["set/a.mp4", "b.mp4", "c.mp4", "d.mp4", "untagged.mp4"]):
        film(root / name, seed, seconds=2)
    (root / "broken.mp4").write_text("no video")
    return root


@pytest.fixture
def videos(films, tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("WTAL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "tags.csv").write_text(TABLE)
    return Path(shutil.copytree(films, tmp_path / "videos"))


@pytest.fixture(autouse=True)
def served(monkeypatch) -> list[Project]:
    """The projects whose page was opened."""
    projects: list[Project] = []
    monkeypatch.setattr("wtal.web.server.serve_project", lambda project, *_: projects.append(project))
    return projects


def run(*arguments: object, exit_code: int = 0) -> str:
    result = CliRunner().invoke(app, ["start", "--port", "0", *map(str, arguments)])
    assert result.exit_code == exit_code, result.output
    return result.output


def test_from_videos_and_tags_to_the_page(videos, tmp_path, served):
    output = run(videos, "--tags", tmp_path / "tags.csv", *FAST_OPTIONS)
    (project,) = served
    assert project.folder == videos / "wtal" and newest_model(project) is not None
    assert str(project.tag_summary()) in output and "wtal weights" in output
    assert f"{videos / 'broken.mp4'}: " in output, "a video that cannot be read is named"
    predicted = {"set__a", "b", "c", "d", "untagged"}
    assert read_proposals(project.timeline_file).keys() == predicted
    written = project.timeline_file.stat().st_mtime_ns, newest_model(project)

    run(videos, "--tags", tmp_path / "tags.csv")
    assert (project.timeline_file.stat().st_mtime_ns, newest_model(project)) == written, "nothing is done again"
    film(videos / "later.mp4", 9, seconds=1)
    run(videos)
    assert read_proposals(project.timeline_file).keys() == predicted | {"later"}
    assert len(served) == 3 and newest_model(project) == written[1]


def test_without_tags_the_page_opens_first(videos, tmp_path, served):
    output = run(videos, "--project", tmp_path / "project", "--port", 0)
    assert [project.folder for project in served] == [tmp_path / "project"]
    assert newest_model(served[0]) is None and "0 of 6 videos tagged" in output
    assert not (videos / "wtal").exists()


def test_without_the_web_extra_it_ends_with_the_timelines(videos, tmp_path, served, monkeypatch):
    monkeypatch.setattr("wtal.cli.start.has_page", lambda: False)
    output = run(videos, "--tags", tmp_path / "tags.csv", *FAST_OPTIONS)
    assert not served and (videos / "wtal/timeline.json").is_file() and "wtal[web]" in output


@pytest.mark.slow
def test_interrupted_command_continues(videos, tmp_path):
    table = tmp_path / "tags.csv"
    options = ["start", videos, "--port", 0, "--tags", table, *FAST_OPTIONS]
    long = [str(option).replace("train.steps=4", "train.steps=100000") for option in options]
    process = start_wtal(*long, setup=NO_PAGE)
    project = Project(videos / "wtal", videos)
    wait_until(lambda: list(project.runs.glob("tiny-1/checkpoint-*")))
    output = interrupt(process, signal.SIGINT)
    assert process.returncode == 130 and "Traceback" not in output
    assert project.status().state == "stopped"
    features = {path: path.stat().st_mtime_ns for path in (project.data / "features").glob("*.npy")}
    process = start_wtal(*long, setup=NO_PAGE)
    wait_until(lambda: project.status().state == "running" and project.status().step == "model")
    interrupt(process, signal.SIGINT)
    assert {path.name for path in project.runs.iterdir()} == {"tiny-1"}, "the same run goes on"
    process = start_wtal(*options, setup=NO_PAGE)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert {path: path.stat().st_mtime_ns for path in features} == features
    assert newest_model(project) == project.runs / "tiny-2", "other settings make another model"


@pytest.mark.parametrize(
    ("make", "arguments", "code"),
    [
        (lambda root: None, ["nowhere"], "no such folder"),
        (lambda root: None, ["videos/b.mp4"], "is not a folder"),
        (lambda root: (root / "empty").mkdir(), ["empty"], "contains no video"),
        (lambda root: None, ["videos", "--tags", "nowhere.csv"], "no such file"),
        (lambda root: (root / "tags.csv").write_text("nonsense"), ["videos", "--tags", "tags.csv"], "header"),
        (lambda root: None, ["videos", "--backbone", "nothing"], "unknown backbone"),
        (lambda root: None, ["videos", "--backbone", "i3d"], "wtal weights"),
        (lambda root: None, ["videos", "--set", "train.steps=none"], "train.steps"),
        (lambda root: None, ["videos", "--device", "tpu"], "unknown device"),
        (lambda root: None, ["videos", "--project", "videos/b.mp4"], "--project"),
        (lambda root: None, ["videos", "--project", "videos/set"], "--project"),
    ],
)
def test_bad_input_is_one_sentence(videos, tmp_path, served, monkeypatch, make, arguments, code):
    monkeypatch.chdir(tmp_path)
    make(tmp_path)
    output = run(*arguments, exit_code=2)
    assert code in output and "Traceback" not in output and not served


def test_used_port_is_an_error_before_anything_is_done(videos, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        output = run(videos, "--tags", tmp_path / "tags.csv", "--port", port, exit_code=2)
    assert str(port) in output and not (videos / "wtal").exists()
