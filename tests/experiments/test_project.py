"""A project: the videos, the tags and classes, and the folders that can be projects."""

from pathlib import Path

import pytest

from tests.experiments.conftest import TAGS
from tests.helpers.errors import raises
from tests.helpers.video import film
from wtal.core.errors import DataError
from wtal.core.io import read_json, write_json
from wtal.core.structures import Segment
from wtal.data.tag_table import TagEntry, write_tag_table
from wtal.data.video_files import PROJECT_NAME
from wtal.experiments.project import Project

pytestmark = pytest.mark.usefixtures("no_weights")


def test_videos_have_the_ids_of_the_data_set(project, videos):
    assert [(video.id, video.file, video.labels) for video in project.videos()] == [
        ("broken", "broken.mp4", None),
        ("c", "c.mp4", None),
        ("d", "d.mp4", None),
        ("set__a", "set/a.mp4", None),
        ("set__b", "set/b.mp4", None),
        ("untagged", "untagged.mp4", None),
    ]
    project.set_tags(TAGS)
    tagged = {video.file: list(video.labels) for video in project.videos() if video.labels is not None}
    assert tagged == TAGS
    film(project.folder / "never.mp4", 9, seconds=1)
    film(videos / "later.mp4", 9, seconds=1)
    assert len(project.videos()) == 7, "the folder of the project is not scanned"


def test_summary_says_what_is_needed(project):
    summary = project.tag_summary()
    assert (summary.videos, summary.tagged, summary.counts, summary.can_train) == (6, 0, {}, False)
    project.set_classes(["jump", "dive", "run"])
    project.set_tags(TAGS)
    summary = project.tag_summary()
    assert summary.counts == {"dive": 0, "jump": 1, "run": 2} and summary.can_train
    assert str(summary) == "4 of 6 videos tagged; 'dive' has 0, 'jump' has 1, 'run' has 2, aim for 5"
    project.set_classes(["jump", "dive", "run", "climb", "swim"])
    assert str(project.tag_summary()).endswith("'swim' has 0, 2 more classes have too few, aim for 5")
    project.set_classes(["jump", "dive", "run"])
    project.set_tags({file: ["run"] for file in TAGS})
    assert "without 'run'" in str(project.tag_summary())
    assert project.classes() == ["jump", "dive", "run"], "in the order in which they were added"


def test_tags_are_set_and_removed_and_times_are_kept(project):
    write_tag_table(project.tags_file, {"c.mp4": TagEntry(("jump", "run"), (Segment("run", 0.5, 1),))})
    project.set_tags({"c.mp4": ["run", "swim"], "d.mp4": ["run"]})
    assert project.tag_table().entries["c.mp4"] == TagEntry(("run", "swim"), (Segment("run", 0.5, 1),))
    project.set_tags({"d.mp4": None})
    assert project.tag_table().entries.keys() == {"c.mp4"}
    with raises(DataError, code="video-not-found", path="gone.mp4"):
        project.set_tags({"gone.mp4": ["run"]})
    with raises(DataError, code="invalid-label"):
        project.set_tags({"c.mp4": ["a;b"]})


def test_tags_of_missing_videos_are_kept_and_unreadable_lines_are_not_overwritten(project, videos):
    project.set_tags(TAGS)
    (videos / "c.mp4").rename(videos / "elsewhere")
    project.set_tags({"d.mp4": ["swim"]})
    (videos / "elsewhere").rename(videos / "c.mp4")
    assert {file: list(entry.labels) for file, entry in project.tag_table().entries.items()} == TAGS | {
        "d.mp4": ["swim"]
    }
    text = project.tags_file.read_text() + "untagged.mp4,run,nonsense,\n"
    project.tags_file.write_text(text)
    with raises(DataError, path=project.tags_file):
        project.set_tags({"d.mp4": ["run"]})
    assert project.tags_file.read_text() == text
    project.tags_file.write_text("video,labels\n")
    project.set_tags({"d.mp4": ["run"]})
    assert project.tag_table().entries.keys() == {"d.mp4"}


def test_class_is_renamed_merged_and_removed(project):
    write_tag_table(project.tags_file, {"c.mp4": TagEntry(("jump", "run"), (Segment("run", 0.5, 1),))})
    project.set_classes(["walk", "run", "typo"])
    project.rename_class("run", "sprint")
    assert project.classes() == ["walk", "sprint", "typo", "jump"]
    assert project.tag_table().entries["c.mp4"] == TagEntry(("jump", "sprint"), (Segment("sprint", 0.5, 1),))
    project.rename_class("sprint", "jump")
    assert project.tag_table().entries["c.mp4"] == TagEntry(("jump",), (Segment("jump", 0.5, 1),))
    project.rename_class("typo", "")
    assert project.classes() == ["walk", "jump"]
    with raises(DataError, code="class-in-use"):
        project.rename_class("jump", "")
    with raises(DataError, code="invalid-label"):
        project.rename_class("jump", "a;b")


def test_tables_are_copied_once_and_again_when_they_change(project, tmp_path):
    table = tmp_path / "tags.csv"
    table.write_text("video,labels\nset/a,run[0 to 1]\nb,jump\nnowhere,run\n")
    added = project.add_tags([table])
    assert added.entries.keys() == {"set/a.mp4", "set/b.mp4"} and len(added.remarks) == 1
    project.set_tags({"set/b.mp4": ["swim"], "c.mp4": ["run"]})
    project.add_tags([table])
    assert project.tag_table().entries["set/b.mp4"].labels == ("swim",), "what was changed on the page stays"
    table.write_text("video,labels\nb,dive\n")
    project.add_tags([table])
    entries = project.tag_table().entries
    assert {file: entry.labels for file, entry in entries.items()} == {
        "set/a.mp4": ("run",),
        "set/b.mp4": ("dive",),
        "c.mp4": ("run",),
    }
    for labels in ("dive", "dive[2 to 1]"):
        table.write_text(f"video,labels\nnowhere,{labels}\n")
        with raises(DataError, code="no-videos", path=table):
            project.add_tags([table])


def test_tables_in_a_folder_are_the_same_for_all_commands(project, tmp_path):
    tables = tmp_path / "tables"
    (tables / "folder.csv").mkdir(parents=True)
    (tables / "A.CSV").write_text("video,labels\nc.mp4,dive\n")
    project.add_tags([tables])
    assert project.tag_table().entries["c.mp4"].labels == ("dive",)
    project.set_tags({"c.mp4": ["swim"]})
    project.add_tags([tables])
    assert project.tag_table().entries["c.mp4"].labels == ("swim",), "they have not changed"
    (tables / "A.CSV").write_text("video,labels\nc.mp4,run\n")
    project.add_tags([tables])
    assert project.tag_table().entries["c.mp4"].labels == ("run",)


def test_table_of_the_project_is_none_of_the_tables_beside_it(project, videos):
    (videos / "tags.csv").write_text("video,labels\nc.mp4,run\n")
    project.add_tags([videos])
    project.set_tags({"c.mp4": ["swim"]})
    project.add_tags([videos])
    assert project.tag_table().entries["c.mp4"].labels == ("swim",), "what was changed on the page stays"


def test_folders_that_cannot_be_projects(videos, tmp_path):
    with raises(DataError, code="file-not-found"):
        Project.open(tmp_path / "nowhere")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").touch()
    with raises(DataError, code="already-exists", path=tmp_path / "full"):
        Project.open(videos, tmp_path / "full")
    with raises(DataError, code="not-a-directory"):
        Project.open(videos, videos / "c.mp4")
    project = Project.open(videos)
    with raises(DataError, code="is-project"):
        Project.open(project.folder)
    with raises(DataError, code="other-videos", path=project.folder):
        Project.open(tmp_path, project.folder)
    (project.folder / PROJECT_NAME).write_text('{"format": 2, "videos": ".."}')
    with raises(DataError, code="invalid-value", path=project.folder / PROJECT_NAME):
        Project.open(videos)


def test_unwritable_folder_names_the_option(videos, monkeypatch):
    def fail(path: Path, _: object) -> None:
        raise DataError("permission denied", path=path, code="permission-denied")

    monkeypatch.setattr("wtal.experiments.project.write_json", fail)
    with raises(DataError, code="permission-denied", path=videos / "wtal") as caught:
        Project.open(videos)
    assert "--project" in caught.value.hint


@pytest.mark.parametrize("recorded", ["x" * 5000, "missing", "a/" * 3000])
def test_project_whose_recorded_folder_does_not_exist_is_opened(project, videos, recorded):
    path = project.folder / PROJECT_NAME
    write_json(path, read_json(path) | {"videos": recorded})
    assert Project.open(videos).videos() == project.videos()
