"""The steps of a project: which are up to date, what is done, and that it goes on where it stopped."""

import signal
import subprocess
import sys

import pytest

from tests.experiments.conftest import FAST, TAGS
from tests.helpers.errors import raises
from tests.helpers.processes import interrupt, wait_until
from tests.helpers.video import film
from wtal.core.errors import DataError
from wtal.core.io import directory_lock
from wtal.core.structures import Segment
from wtal.data.dataset import load_dataset
from wtal.data.layouts.activitynet import read_proposals
from wtal.data.tag_table import TagEntry, write_tag_table
from wtal.experiments.project import Project
from wtal.experiments.project_models import newest_model
from wtal.experiments.project_run import run_steps
from wtal.experiments.project_status import ProjectStatus
from wtal.experiments.project_steps import STEPS, find_steps
from wtal.inference.calibration import CALIBRATION_NAME, read_calibration
from wtal.models.checkpoint import read_meta

pytestmark = pytest.mark.usefixtures("no_weights")


def states(project: Project) -> dict[str, str]:
    return {step.name: step.state for step in find_steps(project)}


def test_steps_run_once_and_again_only_for_what_changed(project, videos):
    assert states(project) == dict.fromkeys(STEPS, "blocked") | {"videos": "done", "features": "needed"}
    run_steps(project)
    assert states(project)["features"] == "done", "features need no tags"
    assert newest_model(project) is None and not project.timeline_file.exists()

    project.set_tags(TAGS)
    expected = dict.fromkeys(STEPS, "needed") | dict.fromkeys(["videos", "tags", "features"], "done")
    assert states(project) == expected
    seen = []
    run_steps(project, lambda progress: seen.append(progress.step))
    assert states(project) == dict.fromkeys(STEPS, "done")
    assert "features" not in seen and list(dict.fromkeys(seen)) == ["data set", "model", "calibration", "predictions"]
    model = newest_model(project)
    assert model == project.runs / "tiny-1" and read_calibration(model) is not None
    assert [video.id for video in load_dataset(project.data).videos] == ["c", "d", "set__a", "set__b"]
    predicted = {"c", "d", "set__a", "set__b", "untagged"}
    assert read_proposals(project.timeline_file).keys() == read_proposals(project.proposals_file).keys() == predicted
    assert project.status().state == "done"

    again = []
    run_steps(project, lambda progress: again.append(progress.step))
    assert set(again) == {"data set"}, "only the tags are read"

    (model / CALIBRATION_NAME).write_bytes(b"\xff")
    assert states(project)["calibration"] == "needed", "it is damaged"
    run_steps(project)
    assert read_calibration(model) is not None and states(project) == dict.fromkeys(STEPS, "done")

    project.timeline_file.unlink()
    assert states(project)["predictions"] == "needed"

    film(videos / "later.mp4", 9, seconds=1)
    assert states(project)["features"] == "needed"
    run_steps(project)
    assert read_proposals(project.timeline_file).keys() == predicted | {"later"}
    assert newest_model(project) == model, "a video without tags does not change the model"

    project.set_tags({"later.mp4": ["jump"]})
    assert states(project)["model"] == "needed"
    run_steps(project)
    assert newest_model(project) == project.runs / "tiny-2"
    project.set_tags({"later.mp4": None})
    assert states(project)["model"] == "done", "the first model fits these tags"


def test_times_in_the_table_are_trained_on(project):
    project.set_tags(TAGS)
    entries = dict(project.tag_table().entries)
    entries["c.mp4"] = TagEntry(("run",), (Segment("run", 0, 1),))
    write_tag_table(project.tags_file, entries)
    run_steps(project)
    assert read_meta(newest_model(project)).config.train.supervision == "all"


def test_without_videos_nothing_can_be_done(tmp_path):
    (tmp_path / "empty").mkdir()
    project = Project.open(tmp_path / "empty")
    assert set(states(project).values()) == {"blocked"}
    with raises(DataError, code="no-videos"):
        run_steps(project)
    assert project.status().state == "failed" and project.status().error


def test_damaged_table_is_an_error_and_loses_nothing(project):
    project.tags_file.write_text("video,labels\nc.mp4,run\nd.mp4")
    assert states(project)["data set"] == "needed", "a bad line is skipped as by `wtal init`"
    project.tags_file.write_text("nonsense")
    assert states(project)["tags"] == "blocked"
    with raises(DataError, code="invalid-header"):
        run_steps(project)
    assert project.status().state == "failed"


def test_only_one_process_runs_the_steps(project):
    with directory_lock(project.folder), raises(DataError, code="locked"):
        run_steps(project)


def test_status_of_a_process_that_is_gone_is_stopped(project):
    assert project.status() == ProjectStatus()
    running = ProjectStatus(state="running", step="model", done=1, total=4)
    (project.folder / "status.json").write_text(running.model_dump_json())
    assert project.status().state == "stopped"
    with directory_lock(project.folder):
        assert project.status() == running


@pytest.mark.slow
@pytest.mark.parametrize("stop_signal", [signal.SIGTERM, signal.SIGKILL])
def test_stopped_worker_continues_where_it_stopped(project, videos, stop_signal):
    project.set_tags(TAGS)
    project.configure(overrides=["train.steps=100000", *FAST[:1], *FAST[2:]])
    command = [sys.executable, "-m", "wtal.experiments.project_worker", str(videos), str(project.folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_until(lambda: project.status().step == "model" and project.status().done > 4)
    assert project.status().state == "running"
    output = interrupt(process, stop_signal)
    assert output == "" and project.status().state == "stopped"
    step = {step.name: step for step in find_steps(project)}
    assert step["features"].state == "done" and step["model"].state == "needed"
    assert list((project.runs / "tiny-1").glob("checkpoint-*"))
    resumed = []
    with pytest.raises(KeyboardInterrupt):
        run_steps(project, lambda progress: _stop_in_training(progress, resumed))
    assert resumed[-1] > 2 and project.status().state == "stopped"
    assert [path.name for path in project.runs.iterdir()] == ["tiny-1"], "the same run is continued"


def _stop_in_training(progress, steps: list[int]) -> None:
    if progress.step == "model" and progress.done:
        steps.append(progress.done)
        raise KeyboardInterrupt
