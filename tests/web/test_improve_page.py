"""*Improve model* in Chromium: start, progress, before and after, going back, cancel."""

import re
import shutil
from collections.abc import Iterator

import pytest

from tests.helpers.page import Site, Visitor, expect, press, save, update_list
from tests.helpers.processes import wait_until
from tests.helpers.server import run_server

TRAINING_TIMEOUT = 180_000  # milliseconds
LEFT = {"label": "left", "start": 1.0, "end": 2.0, "score": None}


@pytest.fixture(scope="module")
def site(own_videos, films, tmp_path_factory) -> Iterator[Site]:
    """A server for a folder with the films, which knows the data set of its model."""
    folder = tmp_path_factory.mktemp("improve") / "films"
    shutil.copytree(films, folder, ignore=shutil.ignore_patterns("timelines", "uploads"))
    with run_server(own_videos / "run", folder, folder / "timelines", data=own_videos / "data") as server:
        server.run_detection("film 3.mp4")
        yield Site(server)


def open_dialog(page) -> None:
    page.click("#show-improve")
    expect(page.locator("#improve")).to_be_visible()


@pytest.mark.slow
def test_improve_progress_scores_and_going_back(site: Site, visitor: Visitor):
    page, other = visitor.open("film 3.mp4"), visitor.open("film 0.mp4")
    page.bring_to_front()
    expect(page.locator("#run")).to_contain_text("own videos")
    open_dialog(page)
    expect(page.locator("#start-improvement")).to_be_disabled()
    expect(page.locator("#improvement-message")).to_contain_text("nothing to learn from yet")
    expect(page.locator("#improvement-measuring")).to_contain_text("cannot be measured yet")
    page.keyboard.press("1")  # no shortcut while the dialog is open
    page.click("#close-improve")
    expect(page.locator("#undo")).to_be_disabled()

    site.server.save("day 1/film 1.mp4", [LEFT])
    press(page, "c")  # not saved yet: opening the dialog saves it
    open_dialog(page)
    expect(page.locator("#improvement-labels")).to_contain_text("1 segment in 1 video")
    expect(page.locator("#improvement-measuring")).to_contain_text("film 3.mp4")
    page.click("#start-improvement")
    expect(page.locator("#improvement-message")).to_contain_text("You can close this window")
    expect(page.locator("#improvement-progress")).to_be_visible()
    expect(page.locator("#show-improve")).to_contain_text(re.compile(r"Improving: \d+ %"))
    page.click("#close-improve")
    other.bring_to_front()
    press(other, "1")  # the page is usable meanwhile
    expect(other.locator("#status")).to_contain_text("Added")
    save(other)
    assert site.saved("film 0.mp4")
    page.bring_to_front()

    expect(page.locator("#status")).to_contain_text("The model was improved", timeout=TRAINING_TIMEOUT)
    expect(page.locator("#run")).to_have_text("Model: improved 1")
    open_dialog(page)
    expect(page.locator("#improvement-message")).to_contain_text("The new model is in use. Mean average precision")
    rows = page.locator("#models tr")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text(re.compile(r"\d+\.\d → \d+\.\d \([+−]\d+\.\d\).*1 video"))
    expect(rows.first.locator("td").nth(4)).to_have_attribute("title", "film 3.mp4")
    expect(rows.first.get_by_role("button")).to_be_disabled()
    other.bring_to_front()
    update_list(other)
    expect(other.locator("#run")).to_have_text("Model: improved 1")
    page.bring_to_front()
    page.get_by_role("button", name=re.compile("^Use")).click()
    expect(page.locator("#run")).to_contain_text("own videos")
    expect(rows.last.get_by_role("button")).to_have_text("In use")
    expect(page.locator("#improvement-message")).to_be_empty()
    page.reload()
    expect(page.locator("#run")).to_contain_text("own videos")


@pytest.mark.slow
def test_improvement_is_cancelled(site: Site, visitor: Visitor):
    site.server.save("film 2.mp4", [LEFT])
    page = visitor.open("film 2.mp4")
    open_dialog(page)
    page.click("#start-improvement")
    page.click("#cancel-improvement")
    expect(page.locator("#improvement-message")).to_have_text("Cancelled.")
    expect(page.locator("#show-improve")).to_have_text("Improve model")
    wait_until(lambda: site.server.get("/api/improvement")["state"] == "cancelled")


def test_failure_and_missing_data_set_are_explained(site: Site, visitor: Visitor):
    page = visitor.open("film 0.mp4")
    answer = site.server.get("/api/improvement") | {"state": "failed", "error": "the disk is full", "share": 0.5}
    page.route("**/api/improvement", lambda route: route.fulfill(json=answer))
    open_dialog(page)
    message = page.locator("#improvement-message")
    expect(message).to_have_text("The model could not be improved: the disk is full.")
    page.click("#close-improve")
    answer |= {"state": "idle", "unavailable": "the data set is not known; use --data"}
    open_dialog(page)
    expect(message).to_have_text("Not available: the data set is not known; use --data.")
    expect(page.locator("#start-improvement")).to_be_disabled()
    page.keyboard.press("Escape")
    expect(page.locator("#improve")).to_be_hidden()


def test_dialog_is_as_wide_as_its_content(site: Site, visitor: Visitor):
    page = visitor.open("film 0.mp4", width=1280, height=720)
    answer = site.server.get("/api/improvement")
    page.route("**/api/improvement", lambda route: route.fulfill(json=answer))
    open_dialog(page)
    expect(page.locator("#models tr")).to_have_count(len(answer["models"]))
    assert page.locator("#improve").bounding_box()["width"] < 800
    page.click("#close-improve")
    labels = {"videos": 120, "points": 340, "segments": 560, "complete": 78}
    scores = {
        "before": {"map": 0.412, "f1": 0.398},
        "after": {"map": 0.523, "f1": 0.487},
        "measured_on": ["film 0.mp4"],
    }
    model = {"id": "1", "title": "improved 1", "active": False, "created": "2026-11-28T18:45:05Z", "labels": labels}
    answer["models"].append(model | scores)
    open_dialog(page)
    expect(page.locator("#models tr")).to_have_count(len(answer["models"]))
    expect(page.get_by_role("button", name="Use improved 1")).to_be_in_viewport(ratio=1)
