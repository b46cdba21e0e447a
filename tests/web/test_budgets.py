"""Time budgets and agreement on the web page."""

import csv
import io

import pytest

from tests.helpers.page import LEFT, RIGHT, WEAK, expect, expect_rows, press
from wtal.evaluation.agreement import measure_agreement
from wtal.evaluation.time_budget import time_budget
from wtal.web.videos import video_key


def budget(site, name: str | None = None, path: str = "/api/budget", **thresholds: float):
    keys = {video_key(video): threshold for video, threshold in thresholds.items()}
    response = site.server.send("POST", path, {"key": name and video_key(name), "thresholds": keys})
    assert response.status == 200, response.body
    return response.json


def by_class(report) -> dict[str, dict]:
    return {of_class["label"]: of_class for of_class in report["classes"]}


def test_model_output_above_the_threshold_is_measured(site):
    name = site.add("output.mp4", (LEFT, RIGHT, WEAK))
    default = budget(site, name)
    expected = time_budget({name: [LEFT, RIGHT]}, {name: 6.0}).overall
    assert by_class(default)["left"]["total"] == expected["left"].total
    assert by_class(default)["left"]["share"] == pytest.approx(1 / 6)
    assert default["agreement"] is None and default["duration"] == 6 and default["remarks"] == []
    assert by_class(budget(site, name, **{name: 0.0}))["left"]["bouts"] == 2
    assert list(by_class(budget(site, name, **{name: 0.8}))) == ["left"]


def test_corrected_timelines_are_measured_and_compared_with_the_model(site):
    name, plain = site.add("corrected.mp4"), site.add("plain.mp4")
    corrected = [{"label": "left", "start": 1, "end": 2.2}, {"label": "left", "start": 5, "end": 5}]
    site.server.save(name, corrected, reviewed=True)
    report = budget(site, name)
    left = by_class(report)["left"]
    assert (left["bouts"], left["points"], left["mean"]) == (1, 1, pytest.approx(1.2))
    agreement = report["agreement"]
    segments = {name: [LEFT, RIGHT]}, {name: [LEFT._replace(end=2.2), LEFT._replace(start=5, end=5)]}
    expected = measure_agreement(*segments, {name: 6.0}).overall
    assert agreement["overall"]["kappa"] == pytest.approx(expected.kappa)
    assert (agreement["overall"]["precision"], agreement["overall"]["recall"]) == (0.5, 0.5)
    everything = budget(site)
    videos = {video["name"]: video["mark"] for video in everything["agreement"]["videos"]}
    assert videos[name] == "reviewed" and plain not in videos
    rows = list(csv.DictReader(io.StringIO(budget(site, path="/api/budget.csv")["content"])))
    of_video = {row["class"]: row for row in rows if row["video"] == name}
    assert float(of_video["left"]["mean_s"]) == pytest.approx(1.2) and float(of_video[""]["precision"]) == 0.5
    assert {row["video"] for row in rows} >= {plain, ""}


def test_video_without_prediction_has_no_duration(site):
    site.server.save("new.mp4", [{"label": "left", "start": 1, "end": 2}])
    report = budget(site, "new.mp4")
    assert report["duration"] is None and by_class(report)["left"]["share"] is None and report["remarks"]
    assert report["agreement"] is None
    site.server.discard("new.mp4", 1)


def test_unknown_video_is_rejected(site):
    response = site.server.send("POST", "/api/budget", {"key": "0" * 20})
    assert response.status == 404 and response.json["code"] == "video-not-found"
    assert site.server.send("POST", "/api/budget", {"thresholds": []}).status == 400


def test_page_shows_the_budget_and_downloads_it(site, visitor):
    name = site.add("budget.mp4")
    site.add("other.mp4", (LEFT, LEFT._replace(start=3, end=4)))
    page = visitor.open(name)
    expect_rows(page, 2)
    page.locator("#threshold").fill("0.2")
    expect_rows(page, 3)
    rows, message = page.locator("#budget-classes tr"), page.locator("#budget-message")
    press(page, "b")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("left")
    assert rows.first.locator("td").all_inner_texts() == ["2", "0:01.6", "0.80", "0.80", "26.7"]
    expect(page.locator("#budget-agreement")).to_be_hidden()
    page.keyboard.press("Escape")
    press(page, "ArrowDown", "Delete", "b")  # not saved yet
    expect(page.locator("#budget-agreement")).to_be_visible()
    expect(page.locator("#agreement-classes .total td").first).not_to_be_empty()
    page.check("#budget-all")
    expect(page.locator("#agreement-videos tr", has_text=f"{name} (edited)")).to_have_count(1)
    with page.expect_download() as download:
        page.click("#download-budget")
    assert download.value.suggested_filename == "time budget of all videos.csv"
    expect(message).to_have_text("Downloaded.")
    rows_of_file = csv.DictReader(io.StringIO(download.value.path().read_text()))
    assert {row["video"] for row in rows_of_file} >= {name, "other.mp4"}
    page.click("#close-budget")
    expect(page.locator("#budget")).to_be_hidden()
