"""The videos and moments that the page suggests."""

import pytest

from tests.helpers.page import expect, press
from tests.helpers.processes import wait_until
from tests.helpers.server import RunningServer, run_server
from wtal.core.io import read_json, write_json
from wtal.data.dataset import load_dataset
from wtal.experiments.suggestions import Suggestion, suggest
from wtal.web.videos import video_key

NAMES = {"film 0": "film 0.mp4", "film 1": "day 1/film 1.mp4", "film 2": "film 2.mp4", "film 3": "film 3.mp4"}


def order(server: RunningServer) -> list[str]:
    """The names of the videos to review, the first ones first."""
    videos = sorted(server.videos().values(), key=lambda video: video["review_position"])
    return [video["name"] for video in videos if video["review_position"] and video["name"] in NAMES.values()]


def moments(server: RunningServer, name: str) -> list[dict]:
    return server.get(f"/api/videos/{video_key(name)}")["moments"]


def expect_suggestions(server: RunningServer, suggestions: list[Suggestion]) -> None:
    """The server has these suggestions, as soon as they are computed."""
    expected = {NAMES[s.video_id]: [{"time": m.time, "label": m.label} for m in s.moments] for s in suggestions}
    assert any(expected.values())
    wait_until(lambda: {name: moments(server, name) for name in expected} == expected)
    assert order(server)[: len(expected)] == list(expected)
    assert not any(moments(server, name) for name in NAMES.values() if name not in expected)


@pytest.mark.slow
def test_suggestions_are_computed_once_and_order_the_review(own_videos, films, tmp_path):
    path = tmp_path / "suggestions.json"
    expected = suggest(own_videos / "run", load_dataset(own_videos / "data"), 9)
    with run_server(own_videos / "run", films, tmp_path, data=own_videos / "data") as server:
        expect_suggestions(server, expected)
    stored = read_json(path)
    last = list(stored["moments"])[-1]
    write_json(path, stored | {"moments": {last: []}})
    with run_server(own_videos / "run", films, tmp_path, data=own_videos / "data") as server:
        assert order(server)[0] == NAMES[expected[-1].video_id], "read, not computed again"
    write_json(path, {"model": stored["model"], "videos": {"film 2": []}})  # of an earlier version
    with run_server(own_videos / "run", films, tmp_path, data=own_videos / "data") as server:
        expect_suggestions(server, expected)


@pytest.mark.slow
def test_suggestions_are_those_of_the_active_model(own_videos, films, tmp_path):
    first = suggest(own_videos / "run", load_dataset(own_videos / "data"), 9)
    labeled = NAMES[first[0].video_id]
    segment = {"label": first[0].labels[0], "start": 1.0, "end": 2.0, "score": None}
    with run_server(own_videos / "run", films, tmp_path, data=own_videos / "data") as server:
        expect_suggestions(server, first)
        server.save(labeled, [segment])
        server.send("POST", "/api/improvement", {})
        wait_until(lambda: server.get("/api/improvement")["state"] != "running")
        improved, original = server.get("/api/improvement")["models"]
        assert improved["active"], server.get("/api/improvement")["error"]
        folder = tmp_path / "models" / improved["id"]
        stage_one = own_videos / "run" / "stage-one"
        second = suggest(folder / "run", load_dataset(folder / "data"), 9, stage_one=stage_one)
        assert second and first[0].video_id not in [suggestion.video_id for suggestion in second]
        assert {s.video_id: s.moments for s in second}.items() - {s.video_id: s.moments for s in first}.items()
        expect_suggestions(server, second)
        server.send("PUT", "/api/model", {"id": original["id"]})
        server.discard(labeled, server.corrections(labeled)["revision"])
        expect_suggestions(server, first)
        server.send("PUT", "/api/model", {"id": improved["id"]})
    with run_server(own_videos / "run", films, tmp_path, data=own_videos / "data") as server:
        expect_suggestions(server, second)


def test_next_moment(site, visitor):
    name = site.add("moments.mp4")
    key = video_key(name)
    moments = [{"time": 1.5, "label": "left"}, {"time": 4.0, "label": "right"}]
    details = site.server.get(f"/api/videos/{key}") | {"moments": moments}
    page = visitor.open("new.mp4")
    expect(page.locator("#clock")).to_contain_text("of 0:06.0")
    expect(page.locator("#next-moment")).to_be_hidden()
    press(page, "g")
    expect(page.locator("#status")).to_contain_text("No moments are suggested")
    page.route(f"**/api/videos/{key}", lambda route: route.fulfill(json=details))
    page.locator("#videos button", has_text=name).click()
    page.click("#next-moment")
    expect(page.locator("#status")).to_contain_text("Moment 1 of 2: is it left?")
    expect(page.locator("#clock")).to_contain_text("0:01.5")
    press(page, "g")
    expect(page.locator("#clock")).to_contain_text("0:04.0")
    press(page, "g")
    expect(page.locator("#clock")).to_contain_text("0:01.5")


@pytest.mark.parametrize("is_predicted", [True, False])
def test_next_to_review_opens_the_first_moment(site, visitor, is_predicted):
    name = site.add(f"next {is_predicted}.mp4")
    key = video_key(name)
    listing = site.server.get("/api/videos")
    listing["videos"] = [video for video in listing["videos"] if video["name"] in (name, "new.mp4")]
    details = site.server.get(f"/api/videos/{key}") | {"moments": [{"time": 2.5, "label": "left"}]}
    if not is_predicted:
        details |= {"packed": None, "duration": None, "classes": [], "thresholds": {}}
    page = visitor.context.new_page()
    page.route("**/api/videos", lambda route: route.fulfill(json=listing))
    page.route(f"**/api/videos/{key}", lambda route: route.fulfill(json=details))
    page.goto(f"{site.server.url}/#video=new.mp4")
    expect(page.locator("#clock")).to_contain_text("of 0:06.0")
    page.click("#next-to-review")
    expect(page.locator("#name")).to_have_text(name)
    expect(page.locator("#clock")).to_have_text("0:02.5 of 0:06.0")
    expect(page.locator("#status")).to_have_text("Moment 1 of 1: is it left?")
