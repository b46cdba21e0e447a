"""The order of review, and the queue in Chromium."""

from tests.helpers.page import expect, expect_rows, open_in_list, press, save, update_list
from wtal.core.structures import Segment
from wtal.web.predictions import VideoSummary
from wtal.web.review import review_order


def summary(uncertainty: float) -> VideoSummary:
    return VideoSummary("a.mp4", "", 1.0, (), uncertainty)


SUMMARIES = {"a": summary(0.1), "new": None, "b": summary(0.9), "c": summary(0.0)}


def test_uncertain_videos_come_first_and_those_without_prediction_last():
    assert review_order(SUMMARIES, {}) == ["b", "a", "c", "new"]
    assert review_order({}, {}) == []


def test_suggested_videos_come_before_all_others():
    assert review_order(SUMMARIES, {"new": 0, "c": 1, "reviewed": 2}) == ["new", "c", "b", "a"]


def test_reviewed_videos_leave_the_order(server):
    server.run_detection("film 0.mp4")
    server.run_detection("film 2.mp4")

    def order() -> list[str]:
        videos = [video for video in server.videos().values() if video["review_position"]]
        return [video["name"] for video in sorted(videos, key=lambda video: video["review_position"])]

    before = order()
    is_predicted = [server.videos()[name]["status"] == "predicted" for name in before]
    assert is_predicted == sorted(is_predicted, reverse=True) and {"film 0.mp4", "film 2.mp4"} <= set(before)
    revision = server.save(before[0], [], reviewed=True).json["revision"]
    assert order() == before[1:]
    server.discard(before[0], revision)
    assert order() == before


def test_queue_and_progress(site, visitor):
    for name in ("queue 1.mp4", "queue 2.mp4", "queue 3.mp4"):
        site.add(name, (Segment("left", 1, 2, 0.9),))
    listing = site.server.get("/api/videos")
    listing["videos"] = [video for video in listing["videos"] if video["name"].startswith("queue")]
    for video, position in zip(listing["videos"], (2, 3, 1), strict=True):
        video["review_position"] = position

    page = visitor.context.new_page()
    page.route("**/api/videos", lambda route: route.fulfill(json=listing))
    page.goto(f"{site.server.url}/#video=queue 1.mp4")
    expect_rows(page, 1)
    names = page.locator("#videos .id")
    expect(names).to_have_text(["queue 1.mp4", "queue 2.mp4", "queue 3.mp4"])
    expect(page.locator("#videos .status")).to_have_text(["Predicted"] * 3)
    page.select_option("#order", "review")
    expect(names).to_have_text(["queue 3.mp4", "queue 1.mp4", "queue 2.mp4"])
    expect(page.locator("#review-text")).to_have_text("0 of 3 reviewed")
    page.click("#next-to-review")
    expect(page.locator("#name")).to_have_text("queue 2.mp4")
    press(page, "v")
    expect(page.locator("#name")).to_have_text("queue 3.mp4")
    press(page, "r")
    save(page)
    press(page, "v")  # before the list was requested again
    expect(page.locator("#name")).to_have_text("queue 1.mp4")
    listing["videos"][2] |= {"review_position": 0, "reviewed": True, "status": "reviewed", "edited": True}
    update_list(page)
    expect(names).to_have_text(["queue 1.mp4", "queue 2.mp4", "queue 3.mp4"])
    expect(page.locator("#videos .status").last).to_have_text("Reviewed")
    expect(page.locator("#review-text")).to_have_text("1 of 3 reviewed")
    expect(page.locator("#states-text")).to_have_text("2 predicted")
    expect(page.locator("#folder-progress .predicted")).to_have_attribute("style", "--videos: 2;")
    listing["videos"][1] |= {"state": "failed", "status": "failed", "reason": "not a video", "labels": []}
    update_list(page)
    expect(page.locator("#videos .status").nth(1)).to_have_text("Failed")
    expect(page.locator("#states-text")).to_have_text("1 predicted, 1 failed")
    page.reload()
    expect(page.locator("#order")).to_have_value("review")
    open_in_list(page, "queue 2.mp4")
    press(page, "v")
    expect(page.locator("#name")).to_have_text("queue 1.mp4")
    listing["videos"] = listing["videos"][2:]
    update_list(page)
    page.click("#next-to-review")
    expect(page.locator("#status")).to_have_text("All videos are reviewed.")
