"""Labeling in Chromium: points, held keys, drags of whole segments, frames, speed, and marks."""

import re

import pytest

from tests.helpers.page import delayed, drag, expect, expect_rows, open_in_list, position, press, save, wait_until_saved
from tests.helpers.processes import wait_until
from wtal.core.structures import Segment
from wtal.web.videos import video_key

NEW = [("left", 1.0, 2.0), ("right", 3.0, 4.0)]  # what a new video of the site shows


def play(page, start: float) -> None:
    """Play from a time, so slowly that the speed of the machine does not matter: 0.06 s a second."""
    page.evaluate("const player = document.querySelector('#player'); player.playbackRate = 0.0625; player.play()")
    seek(page, start)


def seek(page, time: float) -> None:
    """Set the time of the player, which goes on playing."""
    page.evaluate("time => { document.querySelector('#player').currentTime = time }", time)


def tap(page, digit: str) -> None:
    """Press and release a number key at once, which the machine may be too slow for from outside of the page."""
    page.evaluate(
        """digit => { for (const type of ["keydown", "keyup"]) document.activeElement.dispatchEvent(
        new KeyboardEvent(type, { key: digit, code: `Digit${digit}`, bubbles: true })) }""",
        digit,
    )


def hold(page, key: str, until: float) -> None:
    """Press a key and keep it pressed for longer than a short press, to a time of the player."""
    page.keyboard.down(key)
    page.wait_for_timeout(400)
    seek(page, until)


def player_time(page) -> float:
    return page.evaluate("document.querySelector('#player').currentTime")


def test_number_key_adds_a_point(site, visitor):
    name = site.add("point.mp4")
    page = visitor.open(name)
    expect_rows(page, 2)
    expect(page.locator("#chips kbd")).to_have_text(["1", "2"])
    page.mouse.click(*position(page, 4.5))
    press(page, "2")
    expect_rows(page, 3)
    expect(page.locator("#status")).to_contain_text("Added right, point at 0:04.5")
    expect(page.locator("#caption")).to_have_text("2 segments and 1 point, edited")
    page.keyboard.press("2")
    expect(page.locator("#status")).to_contain_text("already a point of right")
    page.keyboard.press("3")  # there is no third class
    save(page)
    assert site.saved(name) == [*NEW, ("right", pytest.approx(4.5, abs=0.02), pytest.approx(4.5, abs=0.02))]
    point = site.saved(name)[2]
    assert point[1] == point[2]
    page.reload()
    expect(page.locator("#segments td", has_text="point")).to_have_count(1)
    page.keyboard.press("z")
    expect(page.locator("#status")).to_have_text("Nothing to undo")


def test_keys_label_while_the_video_plays(site, visitor):
    name = site.add("plays.mp4", ())
    page = visitor.open(name)
    expect(page.locator("#caption")).to_contain_text("found no segments")
    page.locator("#player").focus()  # as after a click on its play button
    play(page, 0.5)
    tap(page, "1")
    seek(page, 1.5)
    hold(page, "2", 3)
    expect(page.locator("#caption")).to_have_text("1 segment and 1 point, edited")  # while the key is held
    page.keyboard.up("2")
    page.keyboard.press("Space")
    save(page)
    (label, at, end), (label_2, start_2, end_2) = site.saved(name)
    assert (label, at, label_2) == ("left", end, "right")
    assert 0.5 <= at < 1.5 <= start_2 < 3 <= end_2, "as long as the key was held"


def test_key_held_while_paused_adds_a_point_and_escape_cancels(site, visitor):
    name = site.add("paused.mp4")
    page = visitor.open(name)
    expect_rows(page, 2)
    page.mouse.click(*position(page, 2.5))
    page.keyboard.down("1")
    page.wait_for_timeout(400)
    page.keyboard.press("Escape")
    page.keyboard.up("1")
    expect(page.locator("#undo")).to_be_disabled()
    page.keyboard.down("1")
    page.wait_for_timeout(400)
    page.keyboard.up("1")
    save(page)
    (point,) = set(site.saved(name)) - set(NEW)
    assert point[1] == point[2] == pytest.approx(2.5, abs=0.02)


def test_held_key_replaces_what_it_covers(site, visitor):
    name = site.add("covers.mp4", (Segment("left", 0.4, 0.5, 0.9), Segment("left", 4, 5, 0.8)))
    page = visitor.open(name)
    expect_rows(page, 2)
    play(page, 0)
    hold(page, "1", 2)
    page.keyboard.up("1")
    page.keyboard.press("Space")
    save(page)
    saved = site.saved(name)
    assert len(saved) == 2 and saved[0][1] < 0.4 and saved[0][2] >= 2 and saved[1] == ("left", 4, 5)
    page.keyboard.press("z")
    save(page)
    assert site.saved(name) is None


def test_whole_segment_is_dragged(site, visitor):
    name = site.add("whole.mp4")
    page = visitor.open(name)
    expect_rows(page, 2)
    page.mouse.move(*position(page, 3.5))
    expect(page.locator("#timeline")).to_have_class("whole")
    drag(page, 3.5, 4.5)
    wait_until_saved(page)
    left, right = site.saved(name)
    assert left == NEW[0]
    assert right[1:] == (pytest.approx(4, abs=0.03), pytest.approx(5, abs=0.03))
    assert right[2] - right[1] == pytest.approx(1, abs=0.002)
    drag(page, 4.5, 5.95)  # at most to the end of the video
    save(page)
    assert site.saved(name)[1][1:] == (pytest.approx(5, abs=0.002), pytest.approx(6, abs=0.002))
    page.mouse.move(*position(page, 5.5))
    page.mouse.down()
    page.mouse.move(*position(page, 3))
    expect(page.locator("#segments input").nth(2)).to_have_value(re.compile("0:02"))
    page.keyboard.press("Escape")
    page.mouse.up()
    expect(page.locator("#segments input").nth(2)).to_have_value("0:05.0")
    press(page, "Shift+ArrowLeft", "Shift+ArrowLeft")
    expect(page.locator("#status")).to_have_text("right, 0:04.8 to 0:05.8, 1.0 s")


def test_point_is_dragged_typed_and_deleted(site, visitor):
    name = site.add("move.mp4")
    site.server.save(name, [{"label": "left", "start": 2.0, "end": 2.0}])
    page = visitor.open(name)
    expect_rows(page, 1)
    drag(page, 2.0, 3.0)
    save(page)
    (point,) = site.saved(name)
    assert point[1] == point[2] == pytest.approx(3, abs=0.02)
    start, end = page.locator("#segments input").all()
    start.fill("1.5")
    start.press("Enter")
    save(page)
    assert site.saved(name) == [("left", 1.5, 1.5)]
    end.fill("2.5")  # becomes a segment
    end.press("Enter")
    save(page)
    assert site.saved(name) == [("left", 1.5, 2.5)]
    press(page, "z", "ArrowDown", "Delete")
    save(page)
    assert site.saved(name) == []


def test_button_adds_a_point_of_the_class(site, visitor):
    name = site.add("button.mp4")
    page = visitor.open(name)
    expect_rows(page, 2)
    page.fill("#label", "wave")
    page.keyboard.press("Enter")
    page.mouse.click(*position(page, 2.5))
    page.click("#add-point")
    expect(page.locator("#chips kbd")).to_have_text(["1", "2", "3"])  # the new class has a key
    press(page, "ArrowRight", "ArrowRight", "ArrowRight", "ArrowRight", "3", "ArrowRight", "m")
    save(page)
    assert [label for label, start, end in site.saved(name) if start == end] == ["wave"] * 3


def test_frames_and_speed(site, visitor):
    name = site.add("frames.mp4")
    page = visitor.open(name)
    expect_rows(page, 2)
    assert site.server.get(f"/api/videos/{video_key(name)}")["fps"] == 10
    page.mouse.click(*position(page, 2.5))
    press(page, ".", ".", ",", ".")
    expect(page.locator("#clock")).to_contain_text("0:02.7")
    page.click("#previous-frame")
    page.click("#next-frame")
    page.click("#next-frame")
    expect(page.locator("#clock")).to_contain_text("0:02.8")
    assert player_time(page) == pytest.approx(2.8, abs=0.01)
    page.select_option("#speed", "0.5")
    assert page.evaluate("document.querySelector('#player').playbackRate") == 0.5
    press(page, ">", ">", "<")
    expect(page.locator("#speed")).to_have_value("0.75")
    open_in_list(page, "new.mp4")
    wait_until(lambda: page.evaluate("document.querySelector('#player').readyState > 0"))
    assert page.evaluate("document.querySelector('#player').playbackRate") == 0.75, "also of the next video"


def test_complete_and_reviewed(site, visitor):
    name = site.add("marks.mp4")
    page = visitor.open(name)
    expect_rows(page, 2)
    complete, reviewed = page.locator("#mark-complete"), page.locator("#mark-reviewed")
    complete.click()  # without an edit: confirms the model output
    expect(complete).to_have_attribute("aria-pressed", "true")
    expect(reviewed).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#caption")).to_have_text("2 segments, edited, complete")
    save(page)
    stored = site.server.corrections(name)
    assert stored["complete"] and stored["reviewed"] and site.saved(name) == NEW
    press(page, "1")  # a point: the timeline cannot be complete
    expect(page.locator("#status")).to_contain_text("not complete any more")
    expect(complete).to_have_attribute("aria-pressed", "false")
    page.keyboard.press("c")
    expect(page.locator("#status")).to_contain_text("points cannot be complete")
    save(page)
    stored = site.server.corrections(name)
    assert not stored["complete"] and stored["reviewed"] and len(stored["segments"]) == 3
    press(page, "z", "r")
    expect(complete).to_have_attribute("aria-pressed", "false")  # complete implies reviewed
    save(page)
    stored = site.server.corrections(name)
    assert not stored["complete"] and not stored["reviewed"]
    page.keyboard.press("z")
    expect(complete).to_have_attribute("aria-pressed", "true")
    page.reload()
    expect(page.locator("#timeline")).to_have_attribute("aria-label", re.compile("edited"))


def test_marks_of_two_people_are_a_conflict(site, visitor):
    name = site.add("conflict marks.mp4")
    page = visitor.open(name)
    expect_rows(page, 2)
    other = [{"label": "wave", "start": 0.0, "end": 1.0, "score": None}]
    with delayed(page, "**/api/videos"):  # else it may load the other version before the edit
        assert site.server.save(name, other, complete=True).status == 200
        press(page, "c")
    expect(page.locator("#conflict")).to_be_visible()
    page.click("#keep-theirs")
    expect(page.locator("#caption")).to_have_text("1 segment, edited, complete")
    page.keyboard.press("z")  # back to what was marked here
    save(page)
    assert site.saved(name) == NEW and site.server.corrections(name)["complete"]
    visitor.expect_messages("409")
