"""The videos and moments that the page suggests."""

import pytest

from tests.helpers.page import expect, press
from tests.helpers.server import run_server, wait_until
from wtal.core.io import read_json, write_json
from wtal.data.dataset import load_dataset
from wtal.experiments.suggestions import suggest
from wtal.web.videos import video_key


@pytest.mark.slow
def test_suggestions_are_computed_once_and_order_the_review(own_videos, films, tmp_path):
    path = tmp_path / "suggestions.json"
    expected = suggest(own_videos / "run", load_dataset(own_videos / "data"), 9)
    names = {"film 0": "film 0.mp4", "film 1": "day 1/film 1.mp4", "film 2": "film 2.mp4"}

    def order(server) -> list[str]:
        videos = sorted(server.videos().values(), key=lambda video: video["review_position"])
        return [video["name"] for video in videos][: len(names)]

    with run_server(own_videos / "run", films, tmp_path, data=own_videos / "data") as server:
        first = video_key(names[expected[0].video_id])
        wait_until(lambda: server.get(f"/api/videos/{first}")["moments"])
        assert order(server) == [names[suggestion.video_id] for suggestion in expected]
        for suggestion in expected:
            moments = server.get(f"/api/videos/{video_key(names[suggestion.video_id])}")["moments"]
            assert moments == [{"time": m.time, "label": m.label} for m in suggestion.moments]
        assert server.get(f"/api/videos/{video_key('film 3.mp4')}")["moments"] == []
    write_json(path, read_json(path) | {"videos": {"film 2": []}})
    with run_server(own_videos / "run", films, tmp_path, data=own_videos / "data") as server:
        assert order(server)[0] == "film 2.mp4", "read, not computed again"


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
