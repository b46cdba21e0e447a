"""Tags of a project on the page: changes are combined, stored at once, and never lost."""

import shutil
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.processes import wait_until
from tests.helpers.server import RunningProject, run_project_server
from wtal.core.io import read_text
from wtal.data.tags import read_tags
from wtal.experiments.project import Project
from wtal.web.tagging import TagChange
from wtal.web.videos import video_key

LABELS = st.sampled_from(["dive", "swim", "run"])
changes = st.builds(
    lambda add, remove, tagged: TagChange(
        add=add, remove=[label for label in remove if label not in add], tagged=tagged
    ),
    st.lists(LABELS),
    st.lists(LABELS),
    st.booleans(),
)


@pytest.fixture
def videos(films, tmp_path) -> Path:
    folder = tmp_path / "films"
    return Path(shutil.copytree(films, folder, ignore=shutil.ignore_patterns("timelines", "uploads")))


@pytest.fixture
def server(videos):
    with run_project_server(Project.open(videos)) as running:
        yield running


@given(st.one_of(st.none(), st.lists(LABELS, unique=True)), changes)
def test_change_adds_and_removes_labels_and_keeps_the_others(labels, change):
    changed = change.apply(labels)
    expected = (set(labels or ()) - set(change.remove)) | set(change.add)
    assert set(changed or ()) == expected and (changed is None) == (not expected and not change.tagged)
    assert change.apply(changed) == changed, "repeating it changes nothing"


@given(changes, changes)
def test_changes_of_two_people_are_combined_in_any_order(first, second):
    if set(first.add) & set(second.remove) or set(second.add) & set(first.remove):
        return  # they contradict each other; the last one counts
    one, other = second.apply(first.apply(["walk"])), first.apply(second.apply(["walk"]))
    assert one and other and set(one) == set(other)


def test_tags_are_stored_at_once_in_the_table_of_the_project(server: RunningProject, videos):
    assert server.get("/api/project")["summary"] == "0 of 4 videos tagged; no class yet"
    assert not server.get("/api/project")["has_model"]
    answer = server.change("film 0.mp4", add=["dive"]).json
    assert answer["summary"] == "1 of 4 videos tagged; 'dive' has 1, aim for 5; tag videos without 'dive' too"
    server.change("day 1/film 1.mp4", tagged=True)
    assert server.tags() == {"day 1/film 1.mp4": [], "film 0.mp4": ["dive"], "film 2.mp4": None, "film 3.mp4": None}
    stored = {video.id: video.labels for video in read_tags(server.site.project.tags_file)}
    assert stored == {"day 1/film 1.mp4": (), "film 0.mp4": ("dive",)}
    server.change("film 0.mp4", remove=["dive"], tagged=False)
    assert server.tags()["film 0.mp4"] is None
    shutil.copy(videos / "film 0.mp4", videos / "later.mp4")
    server.site.library.refresh()
    assert server.tags()["later.mp4"] is None, "videos that are added later are picked up"
    server.site.project.tags_file.write_text("video,labels\nlater,swim\n")
    assert server.tags()["later.mp4"] == ["swim"], "also tags that are written by other programs"


def test_two_people_at_once_lose_nothing(server: RunningProject):
    labels = [f"class {number}" for number in range(12)]
    threads = [
        threading.Thread(target=server.change, args=("film 0.mp4",), kwargs={"add": [label]}) for label in labels
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.tags()["film 0.mp4"] == sorted(labels)
    assert sorted(entry["name"] for entry in server.get("/api/project")["classes"]) == sorted(labels)


def test_changes_are_made_all_or_none(server: RunningProject):
    request = {"changes": {video_key("film 0.mp4"): {"add": ["dive"]}, video_key("gone.mp4"): {"add": ["dive"]}}}
    response = server.send("POST", "/api/project/tags", request)
    assert (response.status, response.json["code"]) == (404, "video-not-found")
    request = {"changes": {video_key("film 0.mp4"): {"add": ["dive"]}, video_key("film 2.mp4"): {"add": ["a;b"]}}}
    response = server.send("POST", "/api/project/tags", request)
    assert (response.status, response.json["code"]) == (400, "invalid-label")
    assert set(server.tags().values()) == {None}
    assert not server.site.project.tags_file.exists()


def test_classes_are_added_renamed_and_removed(server: RunningProject):
    for name in ("swim", "dive", "<img src=x>", "typo/ü"):
        assert server.send("POST", "/api/project/classes", {"name": name}).status == 200
    server.change("film 0.mp4", add=["dive"])

    def rename(old: str, new: str) -> int:
        return server.send("PUT", f"/api/project/classes/{old}", {"name": new}).status

    assert rename("typo/%C3%BC", "") == 200
    assert rename("dive", "jump") == 200
    assert rename("jump", "") == 400
    classes = {entry["name"]: entry["count"] for entry in server.get("/api/project")["classes"]}
    assert classes == {"swim": 0, "jump": 1, "<img src=x>": 0} and list(classes) == ["swim", "jump", "<img src=x>"]
    assert server.tags()["film 0.mp4"] == ["jump"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"changes": []},
        {"changes": {"x": {"labels": []}}},
        {"changes": {"x": {"add": "dive"}}},
        {"changes": {"x": {"add": ["x" * 201]}}},
        {"changes": {"x": {"tagged": 1}}},
    ],
)
def test_invalid_requests_are_refused(server: RunningProject, body):
    response = server.send("POST", "/api/project/tags", body)
    assert (response.status, response.json["code"]) == (400, "invalid-request")


def test_table_with_a_line_that_cannot_be_read_is_not_overwritten(server: RunningProject):
    table = server.site.project.tags_file
    table.write_text("video,labels\nfilm 0.mp4,dive,nonsense\nfilm 2.mp4,swim\n")
    assert server.tags()["film 2.mp4"] == ["swim"]
    response = server.change("film 0.mp4", add=["dive"])
    assert response.status == 400 and "line 2" in response.json["error"]
    assert str(server.site.project.folder) not in response.json["error"]
    assert "nonsense" in read_text(table)
    table.write_bytes(b"\xff\xfe\0")
    assert server.get("/api/project")["error"]
    assert str(server.site.project.folder) not in server.get("/api/project")["error"]


def test_server_with_a_model_alone_has_no_project(own_videos, films, tmp_path):
    from tests.helpers.server import run_server

    with run_server(own_videos / "run", films, tmp_path) as server:
        assert server.get("/api/project") is None
        assert server.send("POST", "/api/project/tags", {"changes": {}}).status == 404


def test_requests_need_the_token_and_this_page(videos):
    with run_project_server(Project.open(videos), "x" * 40) as server:
        assert server.request("GET", "/api/project").status == 401
        headers = {"authorization": f"Bearer {'x' * 40}"}
        response = server.request("GET", "/api/project", headers=headers)
        assert response.status == 200 and "default-src 'none'" in response.headers["content-security-policy"]

        def is_unchanged() -> bool:
            etag = server.request("GET", "/api/project", headers=headers).headers["etag"]
            return server.request("GET", "/api/project", headers=headers | {"if-none-match": etag}).status == 304

        wait_until(is_unchanged)  # the state changes once it is known what is up to date
        headers |= {"sec-fetch-site": "cross-site"}
        assert server.request("POST", "/api/project/training", headers=headers).status == 403
        for path in ("/api/config", "/api/videos"):
            headers = {"authorization": f"Bearer {'x' * 40}"}
            assert server.request("GET", path, headers=headers).status == 503, "there is no model"
