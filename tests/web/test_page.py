"""The web page in Chromium: what is clicked, dragged and typed is stored by the server."""

import json
import re
import shutil
import time

import pytest

from benchmarks.browser import CpuMeter
from tests.helpers.browser import timeline_pixels
from tests.helpers.page import (
    DURATION,
    LEFT,
    RIGHT,
    WEAK,
    delayed,
    delete_first,
    drag,
    expect,
    expect_rows,
    open_in_list,
    position,
    press,
    save,
    table,
    update_list,
    wait_until_saved,
)
from tests.helpers.processes import wait_until
from wtal.core.structures import Segment
from wtal.data.annotations.convert import read_annotations
from wtal.web.videos import video_key
from wtal.web.worker import Worker

MARKUP = '</script><img src=x onerror="boom()">'


# ---- model output


def test_threshold_filters_segments_and_is_remembered(site, visitor):
    page = visitor.open(site.add("threshold.mp4"))
    expect_rows(page, 2)
    assert table(page) == [("left", "0:01.0", "0:02.0"), ("right", "0:03.0", "0:04.0")]
    slider, value = page.locator("#threshold"), page.locator("#threshold-value")
    default = site.server.get(f"/api/videos/{video_key('threshold.mp4')}")["thresholds"]["left"]
    assert float(slider.input_value()) == pytest.approx(default)
    slider.fill("0.2")
    expect_rows(page, 3)
    expect(value).to_have_text("0.20")
    slider.fill("0.7")
    expect_rows(page, 1)
    page.reload()
    expect(value).to_have_text("0.70")
    expect_rows(page, 1)
    page.click("#reset-threshold")
    expect(value).to_have_text("Default")
    expect_rows(page, 2)
    page.reload()
    expect_rows(page, 2)
    expect(page.locator("#reset-threshold")).to_be_hidden()
    expect(page.locator("#timeline")).to_have_attribute(
        "aria-label", re.compile("2 segments, model output; 3 proposals")
    )
    expect(page).to_have_title("threshold.mp4 · beach")
    assert site.saved("threshold.mp4") is None


def test_left_end_of_the_threshold_shows_every_segment_and_ticks_mark_the_defaults(site, visitor):
    name = site.add(
        "left end.mp4", (Segment("left", 1, 2, 0.9), Segment("right", 3, 4, 0.196), Segment("left", 5, 6, 0.2))
    )
    key = video_key(name)
    details = site.server.get(f"/api/videos/{key}") | {"thresholds": {"left": 0.55, "right": None}}
    page = visitor.open()
    page.route(f"**/api/videos/{key}", lambda route: route.fulfill(json=details))
    page.goto(f"{site.server.url}/#video={name}")
    expect_rows(page, 1)
    slider = page.locator("#threshold")
    expect(slider).to_have_attribute("title", "Default: left 0.55, right never shown")
    box, tick = slider.bounding_box(), page.locator("#threshold-ticks span").bounding_box()
    assert tick["x"] + tick["width"] / 2 == pytest.approx(box["x"] + box["width"] / 2, abs=2), "0.55 of 0.19 to 0.9"
    slider.press("End")
    expect_rows(page, 1)
    slider.press("Home")
    expect_rows(page, 3)
    expect(page.locator("#threshold-value")).to_have_text("0.19")
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect_rows(page, 1)
    page.mouse.click(box["x"] + 1, box["y"] + box["height"] / 2)
    expect_rows(page, 3)


def test_caption_describes_segments_and_suggests_the_next_step(site, visitor):
    def expect_caption(page, text: str) -> None:
        expect(page.locator("#caption")).to_contain_text(text)

    shutil.copy(site.folder / "new.mp4", site.folder / "unprocessed.mp4")
    site.refresh()
    expect_caption(visitor.open("unprocessed.mp4"), "Run detection")
    expect_caption(visitor.open(site.add("bare.mp4", ())), "found no segments")
    key = video_key(site.add("weak.mp4", (WEAK,)))
    details = site.server.get(f"/api/videos/{key}") | {"thresholds": {"left": 0.3, "right": None}}
    weak = visitor.open("weak.mp4")
    weak.route(f"**/api/videos/{key}", lambda route: route.fulfill(json=details))
    weak.reload()
    expect_caption(weak, "Lower the confidence threshold")
    page = visitor.open(site.add("caption.mp4", (LEFT, RIGHT)))
    expect_caption(page, "2 segments, model output")
    left, right = page.locator("#chips button").all()
    left.click()
    expect_caption(page, "1 segment, model output")
    right.click()
    expect_caption(page, "hidden")
    left.click()
    right.click()
    press(page, "ArrowDown", "Delete")
    expect_caption(page, "1 segment, edited")
    expect(page.locator("#timeline")).to_have_attribute(
        "aria-label", "Timeline of caption.mp4, 0:06.0 long: 1 segment, edited; 2 proposals"
    )
    press(page, "ArrowDown", "Delete")
    expect_caption(page, "No segments, edited")
    save(page)


# ---- editing


def test_dragged_edge_is_saved_and_undone(site, visitor):
    name = site.add("drag.mp4")
    page = visitor.open(name)
    expect_rows(page, 2)
    page.mouse.move(*position(page, 2.0))
    expect(page.locator("#timeline")).to_have_class("edge")
    drag(page, 2.0, 2.5)
    wait_until_saved(page)  # automatically
    left, right = site.saved(name)
    assert left[:2] == ("left", 1.0) and left[2] == pytest.approx(2.5, abs=0.02) and right == ("right", 3.0, 4.0)
    scores = [segment["score"] for segment in site.server.corrections(name)["segments"]]
    assert scores == [None, pytest.approx(0.6)]
    page.keyboard.press("z")
    save(page)
    assert site.saved(name) is None
    page.click("#redo")
    save(page)
    page.close()
    again = visitor.open(name)
    expect(again.locator("#caption")).to_have_text("2 segments, edited")
    seconds = float(again.locator("#segments input").nth(1).input_value().partition(":")[2])
    assert seconds == pytest.approx(2.5, abs=0.02)
    on_disk = json.loads((site.server.service.store / "corrections" / f"{video_key(name)}.json").read_text())
    assert [segment["label"] for segment in on_disk["segments"]] == ["left", "right"]


def test_drag_beside_an_edge_only_pans(site, visitor):
    page = visitor.open(site.add("pan.mp4"))
    expect_rows(page, 2)
    page.click("#zoom-in")
    drag(page, 2.0, 3.0)
    expect(page.locator("#undo")).to_be_disabled()
    page.mouse.dblclick(*position(page, 3.5, lane=1))  # zooms, as proposals cannot be edited
    expect(page.locator("#undo")).to_be_disabled()


def test_escape_cancels_a_drag(site, visitor):
    name = site.add("escape.mp4")
    page = visitor.open(name)
    expect_rows(page, 2)
    segments = table(page)

    def pixels() -> str:
        page.mouse.move(5, 5)
        return timeline_pixels(page)

    page.mouse.click(*position(page, 1.5))
    initial = pixels()
    page.mouse.move(*position(page, 2.0))
    page.mouse.down()
    page.mouse.move(*position(page, 2.5))
    expect(page.locator("#segments input").nth(1)).to_have_value("0:02.5")
    page.keyboard.press("Delete")  # ignored during a drag
    page.keyboard.press("Control+z")
    page.keyboard.press("Escape")
    assert table(page) == segments
    page.mouse.move(*position(page, 2.8))
    page.mouse.up()
    assert pixels() == initial and table(page) == segments
    page.click("#zoom-in")
    initial = pixels()
    page.mouse.move(*position(page, 2.6, lane=4))
    page.mouse.down()
    page.mouse.move(*position(page, 4.0, lane=4))
    expect(page.locator("#timeline")).to_have_class("dragged")
    assert pixels() != initial
    page.keyboard.press("Escape")
    page.mouse.up()
    assert pixels() == initial
    save(page)
    expect(page.locator("#undo")).to_be_disabled()
    assert site.saved(name) is None


def test_undo_is_ignored_during_a_drag(site, visitor):
    name = site.add("undo.mp4")
    page = visitor.open(name)
    expect_rows(page, 2)
    drag(page, 2.0, 2.5)
    save(page)
    saved, segments = site.saved(name), table(page)
    page.mouse.move(*position(page, 4.0))
    page.mouse.down()
    page.mouse.move(*position(page, 4.5))
    page.keyboard.press("Control+z")
    page.keyboard.press("Escape")
    page.mouse.up()
    save(page)
    assert len(saved) == 2 and site.saved(name) == saved and table(page) == segments


def test_editing_by_keyboard(site, visitor):
    name = site.add("keys.mp4")
    page = visitor.open(name)
    expect_rows(page, 2)
    status = page.locator("#status")
    press(page, "ArrowDown", "ArrowDown", "ArrowLeft", "[")  # "right" starts one snippet earlier
    expect(status).to_have_text("right, 0:02.5 to 0:04.0, 1.5 s")
    press(page, "ArrowRight", "s")
    expect_rows(page, 3)
    page.keyboard.press("l")
    page.keyboard.type("wave")
    page.keyboard.press("Enter")
    expect(page.locator("#timeline")).to_be_focused()
    save(page)
    assert site.saved(name) == [("left", 1.0, 2.0), ("wave", 2.5, 3.0), ("right", 3.0, 4.0)]
    press(page, "Delete", *["ArrowRight"] * 5, "a")
    expect(status).to_have_text("Added wave, 0:05.5 to 0:06.0, 0.5 s")
    save(page)
    assert site.saved(name) == [("left", 1.0, 2.0), ("right", 3.0, 4.0), ("wave", 5.5, 6.0)]
    press(page, *["Control+z"] * 6)
    expect(status).to_have_text("Nothing to undo")
    save(page)
    assert site.saved(name) is None
    press(page, "Control+y", "Z")
    expect_rows(page, 3)
    save(page)


def test_shortcuts_are_listed(site, visitor):
    page = visitor.open(site.add("shortcuts.mp4"))
    press(page, "?")
    expect(page.locator("#shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#shortcuts")).to_be_hidden()


def test_typed_times_are_checked(site, visitor):
    name = site.add("typed.mp4")
    page = visitor.open(name)
    expect_rows(page, 2)
    start, end = page.locator("#segments input").nth(0), page.locator("#segments input").nth(1)
    for invalid, reason in (("soon", "Not a time"), ("9", "before the end"), ("0:02.5", "before the end")):
        start.fill(invalid)
        start.press("Tab")
        expect(start).to_have_attribute("aria-invalid", "true")
        expect(start).to_have_value(invalid)
        expect(page.locator("#status")).to_contain_text(reason)
    start.fill("1.25")
    start.press("Tab")
    expect(end).to_be_focused()
    end.fill("0:02,125")
    end.press("Tab")
    save(page)
    assert site.saved(name) == [("left", 1.25, 2.125), ("right", 3.0, 4.0)]
    page.locator("#threshold").fill("0.9")
    expect(page.locator("#status")).to_contain_text("not to edited segments")
    assert table(page)[0] == ("left", "0:01.3", "0:02.1")
    assert [edge.get_attribute("title") for edge in (start, end)] == ["0:01.25", "0:02.125"]


def test_focus_in_a_time_changes_nothing(site, visitor):
    name = site.add("exact.mp4")
    exact = [{"label": "left", "start": 1.234, "end": 2.05}, {"label": "right", "start": 3.0, "end": 4.449}]
    assert site.server.save(name, exact).status == 200
    initial = site.server.corrections(name)
    page = visitor.open(name)
    expect_rows(page, 2)
    rounded = table(page)
    assert rounded == [("left", "0:01.2", "0:02.1"), ("right", "0:03.0", "0:04.4")]
    for edge, value in zip(page.locator("#segments input").all(), ("1.234", "2.05", "3.0", "4.449"), strict=True):
        edge.focus()
        expect(edge).to_have_value(f"0:0{value}")
        page.keyboard.type("5")  # replaces the selected text
        expect(edge).to_have_value("5")
        page.keyboard.press("Escape")
        expect(edge).to_have_value(f"0:0{value}")
        page.keyboard.press("Tab")
    assert table(page) == rounded
    start = page.locator("#segments input").first
    start.fill("1.234")  # the same time, written differently
    start.press("Enter")
    expect(start).to_have_value("0:01.234")
    page.locator("#timeline").focus()
    save(page)
    assert table(page) == rounded
    expect(page.locator("#undo")).to_be_disabled()
    assert site.server.corrections(name) == initial


def test_focus_follows_a_segment_that_changes_its_position(site, visitor):
    name = site.add("order.mp4")
    site.server.save(name, [{"label": "left", "start": 1, "end": 5}, {"label": "right", "start": 3, "end": 4}])
    page = visitor.open(name)
    expect_rows(page, 2)
    fields = page.locator("#segments input")
    fields.nth(0).fill("3.5")
    page.keyboard.press("Tab")
    page.keyboard.type("5.5")
    page.keyboard.press("Enter")
    fields.nth(2).fill("0.5")
    page.keyboard.press("Enter")
    page.keyboard.type("0.25")
    page.keyboard.press("Tab")
    expect(fields.nth(1)).to_be_focused()
    save(page)
    assert site.saved(name) == [("left", 0.25, 5.5), ("right", 3, 4)]


def test_class_typed_in_another_case_is_the_class_that_exists(site, visitor):
    page = visitor.open(site.add("case.mp4"))
    expect_rows(page, 2)
    page.fill("#label", "RIGHT")
    page.keyboard.press("Enter")
    expect(page.locator("#label")).to_have_value("right")
    expect(page.locator("#chips button")).to_have_count(2)


def test_double_click_adds_a_segment_and_edits_can_be_discarded(site, visitor):
    name = site.add("add.mp4")
    page = visitor.open(name)
    expect_rows(page, 2)
    page.fill("#label", "new class")
    page.keyboard.press("Enter")
    page.mouse.dblclick(*position(page, 4.5))
    expect_rows(page, 3)
    save(page)
    label, start, end = site.saved(name)[2]
    assert label == "new class" and start == pytest.approx(4.5, abs=0.02) and end == pytest.approx(5.5, abs=0.02)
    assert site.server.videos()[name]["labels"] == ["left", "right", "new class"]
    page.click("#discard")
    save(page)
    assert site.saved(name) is None
    expect_rows(page, 2)
    page.click("#undo")
    save(page)
    assert len(site.saved(name)) == 3


def test_new_segments_have_a_class_of_the_video(site, visitor):
    site.add("wide.mp4", (Segment("right", 1, 2, 0.9), Segment("left", 3, 4, 0.8)))
    site.add("empty.mp4", ())
    page = visitor.open(site.add("class.mp4"))
    label = page.locator("#label")
    expect(label).to_have_value("left")
    open_in_list(page, "wide.mp4")
    expect(label).to_have_value("right")
    page.locator("#segments button").nth(1).click()
    expect(label).to_have_value("left")
    open_in_list(page, "empty.mp4")
    expect(label).to_have_value("")
    press(page, "a")
    expect(page.locator("#status")).to_have_text("Enter a class first.")
    expect(label).to_be_focused()
    page.keyboard.type("wave")
    page.keyboard.press("Enter")
    open_in_list(page, "wide.mp4")
    expect(label).to_have_value("right")
    open_in_list(page, "empty.mp4")
    expect(label).to_have_value("wave")


def test_markup_in_a_class_name_is_text(site, visitor):
    name = site.add("markup.mp4")
    page = visitor.open(name)
    expect_rows(page, 2)
    page.locator("#segments button").first.click()
    page.fill("#label", "a[1 to 2]")
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_contain_text("cannot contain brackets")
    page.fill("#label", MARKUP)
    page.keyboard.press("Enter")
    save(page)
    assert site.saved(name)[0][0] == MARKUP
    page.reload()
    expect(page.locator("#segments th").first).to_have_text(MARKUP)
    expect(page.locator("#chips button")).to_have_count(3)
    expect(page.locator("img[onerror]")).to_have_count(0)


# ---- export, detection, uploads


@pytest.mark.parametrize(
    ("format", "suffix", "remark", "hint"),
    [
        ("activitynet", " activitynet.json", "scores", None),
        ("elan", ".eaf", None, "ELAN"),
        ("boris-project", " boris-project.boris", "comments", "BORIS"),
        ("sportscode", ".xml", None, "Sportscode"),
    ],
)
def test_export(site, visitor, tmp_path, format, suffix, remark, hint):
    page = visitor.open(site.add(f"export {format}.mp4"))
    expect_rows(page, 2)
    page.locator("#threshold").fill("0.2")
    page.select_option("#format", format)
    expect(page.locator("#format option[value=labelstudio]")).to_have_text("Label Studio (.json)")
    with page.expect_download() as download:
        page.click("#export")
    name = f"export {format}{suffix}"
    assert download.value.suggested_filename == name
    download.value.save_as(tmp_path / name)
    (annotation,) = read_annotations(tmp_path / name)[0].annotations
    exported = sorted((s.start, s.end, s.label) for s in annotation.segments)
    assert exported == [(1, 2, "left"), (3, 4, "right"), (4.6, 5.2, "left")]
    message = page.locator("#export-status")
    expect(message).to_contain_text(name)
    if hint:
        expect(message).to_contain_text(hint)
    if remark:
        expect(message.locator("li")).to_contain_text([remark])
    else:
        assert [s.score for s in annotation.segments] == pytest.approx([0.9, 0.6, 0.2], abs=1e-3)
    with page.expect_download() as download:
        page.click("#tags a")
    assert download.value.path().read_bytes() == site.server.request("GET", "/api/tags.csv").body
    update_list(page)
    open_in_list(page, "new.mp4")
    expect(message).to_be_empty()


def test_detection_is_cancelled_and_run_again(site, visitor, monkeypatch):
    page = visitor.open("new.mp4")
    job = page.locator("#job-text")
    expect(job).to_contain_text("no model output")
    expect(page.locator("#timeline")).to_have_attribute("aria-label", re.compile("new.mp4, 0:06.0 long: 0 segments"))
    page.click("#export")
    expect(page.locator("#export-status")).to_contain_text("No segments to export")
    with monkeypatch.context() as patch:
        patch.setattr(Worker, "poll", lambda self, timeout: time.sleep(0.01))  # never ends by itself
        page.click("#run-detection")
        page.click("#cancel-detection")
        expect(job).to_contain_text("cancelled (20")
        expect(page.locator("#videos [aria-current] .labels")).to_contain_text("Cancelled: 20")
    page.click("#run-detection")
    expect(page.locator("#job")).to_be_hidden()
    assert site.server.videos()["new.mp4"]["state"] == "done"
    expect(page.locator("#timeline")).to_have_attribute("aria-label", re.compile(r"model output; [1-9]\d* proposals"))


def test_progress_of_detection_is_shown(site, visitor):
    page = visitor.open("new.mp4")
    video = site.server.videos()["new.mp4"] | {"state": "running", "position": 0.0, "duration": None}
    page.route("**/api/videos", lambda route: route.fulfill(json={"videos": [video], "moved": {}}))
    update_list(page)
    expect(page.locator("#job-text")).to_have_text("Running: opening the video.")
    video |= {"position": 2.0, "duration": DURATION}
    update_list(page)
    expect(page.locator("#job-text")).to_have_text("Running: 0:02 of 0:06.")


def test_upload_is_opened_and_errors_are_shown(site, visitor, own_videos, tmp_path):
    page = visitor.open(site.add("uploads.mp4"))
    film = shutil.copy(own_videos / "videos" / "film 1.mp4", tmp_path / "mine.mp4")
    page.set_input_files("#file", film)
    expect(page.locator("#name")).to_have_text("uploads/mine.mp4")
    expect(page.locator("#job")).to_be_hidden()
    transfer = page.evaluate_handle(
        "() => { const data = new DataTransfer(); data.items.add(new File(['no film'], 'no.mp4'));"
        " data.items.add(new File(['a'], 'a.txt')); return data; }"
    )
    page.dispatch_event("#viewer", "drop", {"dataTransfer": transfer})
    expect(page.locator("#uploads li")).to_have_count(2)
    expect(page.locator("#uploads")).to_contain_text("Not uploaded: not a video")
    page.get_by_role("button", name="Dismiss a.txt").click()
    open_in_list(page, "uploads/no.mp4")
    expect(page.locator("#uploads li")).to_have_count(0)
    expect(page.locator("#job-text")).to_contain_text("not a video")
    expect(page.locator("#run-detection")).to_have_text("Try again")
    expect(page.locator("#player-error")).to_contain_text("cannot play")
    expect(page.locator("#clock")).to_be_empty()


def test_failed_video_says_why_and_is_tried_again(site, visitor, own_videos):
    name = "replaced by a video.mp4"
    (site.folder / name).write_bytes(b"just text" * 99)
    site.refresh()
    site.server.send("POST", "/api/jobs", {"keys": [video_key(name)]})
    site.server.wait_for_state(name, "failed")
    page = visitor.open(name)
    entry = page.locator("#videos button", has_text=name)
    expect(entry.locator(".status")).to_have_text("Failed")
    expect(entry.locator(".labels")).to_contain_text("text file")
    expect(page.locator("#job-text")).to_contain_text("text file")
    shutil.copy(own_videos / "videos" / "film 1.mp4", site.folder / name)
    site.refresh()
    page.get_by_role("button", name="Try again").click()
    expect(entry.locator(".status")).to_have_text("Predicted")
    expect(page.locator("#job")).to_be_hidden()
    expect(page.locator("#timeline")).to_have_attribute("aria-label", re.compile("model output"))


def test_each_of_several_uploads_can_be_opened(site, visitor, own_videos, tmp_path):
    page = visitor.open(site.add("several.mp4"))
    names = ("one.mp4", "two.mp4")
    page.set_input_files(
        "#file", [shutil.copy(own_videos / "videos" / "film 1.mp4", tmp_path / name) for name in names]
    )
    entries = page.locator("#uploads li")
    expect(page.get_by_role("button", name="Open two.mp4")).to_be_visible()
    expect(entries).to_have_text([re.compile(f"{name}.*Uploaded") for name in names])
    expect(page.locator("#name")).to_have_text("several.mp4")
    page.get_by_role("button", name="Open one.mp4").click()
    expect(page.locator("#name")).to_have_text("uploads/one.mp4")
    expect(entries).to_have_count(1)
    page.get_by_role("button", name="Dismiss two.mp4").click()
    expect(entries).to_have_count(0)


def test_upload_that_is_opened_before_it_is_answered_leaves_the_list(site, visitor, own_videos, tmp_path):
    page = visitor.open(site.add("early.mp4"))
    routes = []
    page.route("**/api/uploads/first.mp4", lambda route: routes.append(route))
    films = [shutil.copy(own_videos / "videos" / "film 1.mp4", tmp_path / name) for name in ("first.mp4", "next.mp4")]
    page.set_input_files("#file", films)
    wait_until(lambda: page.wait_for_timeout(20) or routes)
    answer = site.server.request("PUT", "/api/uploads/first.mp4", films[0].read_bytes())
    site.server.wait_for_state("uploads/first.mp4", "done")
    update_list(page)
    open_in_list(page, "uploads/first.mp4")
    routes[0].fulfill(status=201, json=answer.json)
    expect(page.get_by_role("button", name="Open next.mp4")).to_be_visible()
    expect(page.locator("#uploads li")).to_have_count(1)


# ---- changes by others


def test_conflict_of_two_editors(site, visitor):
    name = site.add("two.mp4")
    other, mine = visitor.open(name), visitor.open(name)  # the last one is in front
    expect_rows(mine, 2)
    expect_rows(other, 2)
    remote = [{"label": "wave", "start": 0, "end": 1}]
    with delayed(mine, "**/corrections"):
        press(mine, "ArrowDown", "Delete")
        assert site.server.save(name, remote).status == 200
    expect(mine.locator("#conflict")).to_contain_text("Someone else edited this video at")
    assert site.saved(name) == [("wave", 0, 1)]
    mine.click("#keep-theirs")
    expect_rows(mine, 1)
    assert table(mine) == [("wave", "0:00.0", "0:01.0")]
    mine.keyboard.press("z")
    save(mine)
    assert site.saved(name) == [("right", 3, 4)]
    update_list(other)
    expect_rows(other, 1)  # it had no changes of its own
    expect(other.locator("#segments th")).to_have_text("right")
    with delayed(mine, "**/corrections"):
        mine.locator("#segments button").click()
        mine.keyboard.press("s")
        mine.keyboard.press("Delete")
        revision = site.server.corrections(name)["revision"]
        assert site.server.save(name, remote, revision).status == 200
    mine.click("#keep-mine")
    wait_until_saved(mine)
    assert site.saved(name) == []
    mine.keyboard.press("z")
    save(mine)
    assert site.saved(name) == [("wave", 0, 1)]
    visitor.expect_messages("409")


@pytest.mark.parametrize("width", [1200, 380])
def test_conflict_is_in_view(site, visitor, width):
    name = site.add(f"conflict {width}.mp4")
    page = visitor.open(name, width=width, height=900)
    expect_rows(page, 2)
    with delayed(page, "**/api/videos"):  # else it may load the other version before the edit
        assert site.server.save(name, [{"label": "wave", "start": 0, "end": 1}]).status == 200
        start = page.locator("#segments input").first
        start.scroll_into_view_if_needed()
        start.fill("0.5")
        page.keyboard.press("Enter")
    keep_mine = page.get_by_role("button", name="Keep mine")
    expect(keep_mine).to_be_in_viewport(ratio=1)
    keep_mine.click()
    expect(page.locator("#conflict")).to_be_hidden()
    wait_until_saved(page)
    visitor.expect_messages("409")


def test_loading_the_version_of_another_user_clears_redo(site, visitor):
    name = site.add("others.mp4")
    page = visitor.open(name)
    expect_rows(page, 2)
    press(page, "ArrowDown", "Delete", "z")
    expect(page.locator("#redo")).to_be_enabled()
    save(page)
    revision = (site.server.corrections(name) or {"revision": 0})["revision"]
    assert site.server.save(name, [{"label": "wave", "start": 0, "end": 1}], revision).status == 200
    update_list(page)
    expect(page.locator("#status")).to_contain_text("Someone else edited this video")
    assert table(page) == [("wave", "0:00.0", "0:01.0")]
    expect(page.locator("#redo")).to_be_disabled()
    press(page, "Z")
    expect(page.locator("#status")).to_have_text("Nothing to redo")
    save(page)
    assert site.saved(name) == [("wave", 0, 1)]
    page.keyboard.press("z")
    save(page)
    assert site.saved(name) is None, "undo restores what was there before"


def test_removed_video_keeps_unsaved_changes(site, visitor, tmp_path):
    name = site.add("leaves.mp4")
    page = visitor.open(name)
    expect_rows(page, 2)
    delete_first(page)
    save(page)
    (site.folder / name).rename(tmp_path / "elsewhere.mp4")
    site.refresh()
    update_list(page)
    missing = page.locator("#missing")
    expect(missing).to_have_text("leaves.mp4 is not in the folder any more.")
    page.keyboard.press("a")
    expect(missing).to_contain_text("Put the file back")
    expect(page.locator("#save-status")).to_have_text("Not saved: the video file is missing")
    (tmp_path / "elsewhere.mp4").rename(site.folder / name)
    site.refresh()
    update_list(page)
    wait_until_saved(page)
    expect(missing).to_be_hidden()
    assert site.saved(name) == [("left", 1.0, pytest.approx(2.0)), ("right", 3.0, 4.0)]
    (site.folder / name).rename(tmp_path / "elsewhere.mp4")
    site.refresh()
    page.keyboard.press("z")
    expect(missing).to_be_visible()
    visitor.expect_messages("404")


def test_edits_continue_in_a_renamed_video(site, visitor):
    name = site.add("before.mp4")
    page = visitor.open(name)
    expect_rows(page, 2)
    delete_first(page)
    save(page)
    with delayed(page, "**/api/videos"):  # else it may follow the new name before the edit
        (site.folder / name).rename(site.folder / "after.mp4")
        page.keyboard.press("a")
        page.keyboard.press("Control+s")
        expect(page.locator("#save-status")).to_have_text("Not saved: the video file is missing")
    site.refresh()
    update_list(page)
    expect(page.locator("#name")).to_have_text("after.mp4")
    wait_until_saved(page)
    expect(page.locator("#missing")).to_be_hidden()
    assert site.saved("after.mp4") == [("left", 1.0, pytest.approx(2.0)), ("right", 3.0, 4.0)]
    expect(page.locator("#caption")).to_have_text("2 segments, edited")
    press(page, "z", "z")
    save(page)
    assert site.saved("after.mp4") is None
    page.wait_for_url(re.compile(r"#video=after.mp4&"))
    visitor.expect_messages("404")


@pytest.mark.parametrize("is_seen", [True, False], ids=["step by step", "at once"])
def test_edits_follow_swapped_names(site, visitor, is_seen):
    """The names of two videos are swapped by three renames, which the page sees one by one or only in the end."""
    first, second = site.add(f"one {is_seen}.mp4"), site.add(f"other {is_seen}.mp4", (RIGHT,))
    between = f"between {is_seen}.mp4"
    page = visitor.open(first)
    expect_rows(page, 2)
    delete_first(page)
    save(page)
    site.rename(first, between)
    update_list(page)
    expect(page.locator("#name")).to_have_text(between)
    site.rename(second, first)
    if is_seen:
        update_list(page)
        expect(page.locator("#videos button", has_text=first)).to_be_visible()
        expect(page.locator("#videos button", has_text=second)).to_have_count(0)
        expect(page.locator("#name")).to_have_text(between)
    site.rename(between, second)
    update_list(page)
    expect(page.locator("#name")).to_have_text(second)
    press(page, "z")
    save(page)
    assert site.saved(second) is None and site.saved(first) is None
    page = visitor.open(first)
    expect_rows(page, 1)
    delete_first(page)
    save(page)
    assert site.saved(first) == [] and site.saved(second) is None
    visitor.expect_messages("404")  # of requests for a name that was just given up


def test_unsaved_changes_are_not_saved_for_a_replaced_file(site, visitor):
    name = site.add("taken.mp4")
    page = visitor.open(name)
    expect_rows(page, 2)
    with delayed(page, "**/api/videos"):
        with delayed(page, "**/corrections"):
            delete_first(page)
            path = site.folder / name
            path.write_bytes(path.read_bytes()[:-1] + b"!")  # of the same size
        page.keyboard.press("Control+s")
        expect(page.locator("#save-status")).to_have_text("Not saved: the video file is missing")
    update_list(page)
    expect(page.locator("#status")).to_contain_text("replaced by another one")
    wait_until_saved(page)
    assert site.saved(name) is None
    visitor.expect_messages("404")


def test_edits_of_a_replaced_file_are_to_be_checked(site, visitor):
    name = site.add("replaced.mp4")
    details = site.server.get(f"/api/videos/{video_key(name)}") | {"replaced": True}
    page = visitor.open("new.mp4")
    page.route(f"**/api/videos/{video_key(name)}", lambda route: route.fulfill(json=details))
    open_in_list(page, name)
    expect(page.locator("#replaced")).to_be_visible()
    press(page, "ArrowDown", "Delete")
    save(page)
    expect(page.locator("#replaced")).to_be_hidden()


def test_edits_are_kept_while_the_server_is_unreachable(site, visitor):
    name = site.add("gone.mp4")
    page = visitor.open(name)
    expect_rows(page, 2)
    page.route("**/api/**", lambda route: route.abort())
    delete_first(page)
    expect(page.locator("#save-status")).to_have_text("Not saved: the server does not answer")
    expect(page.locator("#connection-error")).to_be_visible()
    dialogs = []

    def dismiss(dialog) -> None:
        dialogs.append(dialog.type)
        dialog.dismiss()

    page.once("dialog", dismiss)
    page.close(run_before_unload=True)
    wait_until(lambda: page.evaluate("1") and dialogs)
    assert dialogs == ["beforeunload"]
    page.unroute("**/api/**")
    update_list(page)
    wait_until_saved(page)
    expect(page.locator("#connection-error")).to_be_hidden()
    assert site.saved(name) == [("right", 3, 4)]
    visitor.expect_messages("ERR_FAILED")


# ---- address, layout, speed


def test_address_has_the_video_and_the_time(site, visitor):
    site.add("there.mp4")
    page = visitor.open(site.add("here.mp4"))
    expect_rows(page, 2)
    press(page, "ArrowDown")
    page.wait_for_url(re.compile(r"#video=here.mp4&t=1\.0$"))
    page.reload()
    expect(page.locator("#clock")).to_have_text("0:01.0 of 0:06.0")
    page.fill("#search", "there")
    expect(page.locator("#videos li:visible")).to_have_count(1)
    open_in_list(page, "there.mp4")
    expect(page.locator("#timeline")).to_be_focused()


def test_back_opens_the_previous_video_with_its_changes(site, visitor):
    site.add("second.mp4")
    name = site.add("first.mp4")
    page = visitor.open(name)
    expect_rows(page, 2)
    page.locator("#segments button").nth(1).click()
    page.wait_for_url(re.compile(r"t=3\.0$"))
    page.route("**/corrections", lambda route: route.abort())
    page.keyboard.press("Delete")
    expect(page.locator("#save-status")).to_contain_text("Not saved:")
    open_in_list(page, "second.mp4")
    expect_rows(page, 2)
    page.wait_for_url(re.compile("#video=second.mp4"))
    page.go_back()
    expect(page.locator("#name")).to_have_text(name)
    expect(page.locator("#clock")).to_have_text("0:03.0 of 0:06.0")
    expect_rows(page, 1)
    page.go_forward()
    expect(page.locator("#name")).to_have_text("second.mp4")
    page.go_back()
    expect(page.locator("#name")).to_have_text(name)
    page.unroute("**/corrections")
    save(page)
    assert site.saved(name) == [("left", 1, 2)]
    visitor.expect_messages("ERR_FAILED")


def test_skip_link_focuses_the_timeline(site, visitor):
    name = site.add("skip.mp4")
    page = visitor.open(name)
    expect_rows(page, 2)
    page.locator("#skip").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#timeline")).to_be_focused()
    page.evaluate("location.hash = '#timeline'")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#clock")).to_have_text("0:01.0 of 0:06.0")
    expect(page.locator("#name")).to_have_text(name)
    page.wait_for_url(re.compile(r"#video=skip.mp4&t=1\.0$"))


def test_player_timeline_and_edit_buttons_are_in_view(site, visitor):
    page = visitor.open(site.add("layout.mp4"), width=1280, height=720)
    expect_rows(page, 2)
    press(page, "ArrowDown", "ArrowRight", "[")
    expect(page.locator("#caption")).to_have_text("2 segments, edited")
    page.locator("#threshold").fill("0.3")
    timeline_pixels(page)
    for selector in (
        "#player",
        "#timeline",
        "#overview",
        "#add",
        "#undo",
        "#threshold",
        "#export",
        "#status",
        "#save-status",
    ):
        expect(page.locator(selector)).to_be_in_viewport(ratio=1)


def test_text_of_two_lines_does_not_move_the_page(site, visitor):
    page = visitor.open(site.add("lines.mp4"), width=1280, height=720)
    expect_rows(page, 2)
    page.locator("#next-moment").evaluate("button => button.hidden = false")
    texts = ("left", "prediction: a class with a long name, 0:01.0 to 0:02.0, 1.0 s, score 0.90")
    tops = set()
    for text in texts:
        page.locator("#status").evaluate("(status, text) => { status.textContent = text; }", text)
        tops.add(round(page.locator("#timeline").bounding_box()["y"]))
    assert len(tops) == 1


def test_head_of_the_table_stays_in_view(site, visitor):
    page = visitor.open(site.add("rows.mp4", [Segment("left", i, i + 0.5, 0.9) for i in range(50)], 50))
    expect(page.locator("#caption")).to_contain_text("50 segments")
    page.locator("#segments-box").evaluate("box => box.scrollTop = 600")
    expect(page.locator("#segments-table thead th").first).to_be_in_viewport(ratio=1)


def test_player_is_as_wide_as_the_frames(site, visitor):
    page = visitor.open(site.add("narrow.mp4"), width=1280, height=720)
    expect_rows(page, 2)
    player = page.locator("#player")
    ratio = "player => player.videoWidth / player.videoHeight"
    wait_until(lambda: player.evaluate("player => player.readyState > 0"))

    def is_as_wide() -> bool:
        box = player.bounding_box()
        return box["width"] / box["height"] == pytest.approx(player.evaluate(ratio), rel=0.02)

    wait_until(is_as_wide)  # the layout follows the metadata


def test_dark_theme_phone_and_empty_folder(site, visitor):
    page = visitor.open(site.add("phone.mp4"), width=380, height=800)
    expect_rows(page, 2)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth") <= 380
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 28)"
    page.route("**/api/videos", lambda route: route.fulfill(json={"videos": [], "moved": {}}))
    page.goto("about:blank")
    page.goto(site.server.url)
    expect(page.locator("#welcome-text")).to_contain_text("no videos in beach")


@pytest.mark.slow
def test_ten_thousand_segments_are_fast(site, visitor):
    """No step takes more than 100 ms of processor time."""
    name = site.add("long.mp4", [Segment("left", i, i + 0.5, 0.9 - i * 1e-5) for i in range(10_000)], 10_000)
    segments = [{"label": ("left", "right")[i % 2], "start": i, "end": i + 0.5} for i in range(10_000)]
    site.server.save(name, segments)
    page = visitor.open(name)
    meter = CpuMeter(page)

    def is_at_edge(x: float) -> bool:
        page.mouse.move(x, y)
        return "edge" in (page.locator("#timeline").get_attribute("class") or "")

    expect(page.locator("#caption")).to_contain_text("10000 segments")
    page.locator("#timeline").focus()
    keys = ["ArrowDown", "ArrowDown", "ArrowRight", "[", "z", "Delete", "z", "+", "+", "+", "ArrowDown", "-"]
    costs = {f"{i} {key}": meter.measure(lambda key=key: page.keyboard.press(key)) for i, key in enumerate(keys)}
    x, y = position(page, 3)
    page.mouse.move(x, y)
    costs["move"] = meter.measure(lambda: page.mouse.move(x + 5, y))
    edge_x = next(x + i for i in range(30) if is_at_edge(x + i))
    costs["grab"] = meter.measure(page.mouse.down)
    costs |= {f"drag {i}": meter.measure(lambda i=i: page.mouse.move(edge_x + 7 * i, y)) for i in range(1, 6)}
    costs["release"] = meter.measure(page.mouse.up)
    expect(page.locator("#undo")).to_be_enabled()
    script = "document.querySelector('#segments-box').scrollTop = 150000"
    costs["scroll"] = meter.measure(lambda: page.evaluate(script))
    assert page.locator("#segments tr").count() < 60
    assert max(costs.values()) < 0.1, {key: round(1000 * value) for key, value in costs.items()}
    wait_until_saved(page)
