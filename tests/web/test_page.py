"""The web page in a real Chromium: what is clicked, dragged and typed is on disk afterwards."""

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest

from tests.helpers.browser import chromium
from tests.helpers.server import Served, served
from wtal.core.structures import Segment
from wtal.data.annotations.convert import read_annotations
from wtal.web.predictions import StoredPrediction, prediction_path, write_prediction
from wtal.web.videos import key_of

expect = pytest.importorskip("playwright.sync_api", reason="there is no playwright here; install wtal[dev]").expect

LEFT, RIGHT, UNSURE = Segment("left", 1, 2, 0.9), Segment("right", 3, 4, 0.6), Segment("left", 4.6, 5.2, 0.2)
NASTY = '</script><img src=x onerror="boom()">'
END = 6.0  # seconds of each film


@pytest.fixture(scope="module")
def site(own_videos, tmp_path_factory) -> Iterator[Served]:
    """A server on a folder with one video in which nobody has looked for anything."""
    folder = tmp_path_factory.mktemp("page") / "beach"
    folder.mkdir()
    shutil.copy(own_videos / "videos" / "film 0.mp4", folder / "new.mp4")
    with served(own_videos / "run", folder, folder / "timelines", most=1 << 20) as site:
        yield site


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def visit(site, browser) -> Iterator[Callable]:
    """Opens the page on a video; nothing may stand on its console but what a test awaits."""
    context = browser.new_context(viewport={"width": 1200, "height": 1000}, reduced_motion="reduce")
    context.set_default_timeout(10_000)
    said: list[str] = []

    def visit(name: str = "", **size: int):
        page = context.new_page()
        if size:
            page.set_viewport_size(size)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(f"{site.url}/#video={name}")
        if name:
            expect(page.locator("#name")).to_have_text(name)
        return page

    visit.said = said
    yield visit
    context.close()
    assert said == []


def put(site: Served, name: str, found: Sequence[Segment] = (LEFT, RIGHT, UNSURE), end: float = END) -> str:
    """A video in the folder, a file like no other, with what was found in it; returns its name."""
    library = site.desk.library
    (library.folder / name).write_bytes((library.folder / "new.mp4").read_bytes() + name.encode())
    library.look_again()
    edges = np.linspace(0, end, 13)
    curves = edges, np.linspace(0, 1, 12, dtype=np.float32), np.zeros((12, 2), np.float16)
    file = library.find(key_of(name))
    place = prediction_path(site.desk.store, file, site.desk.model)
    write_prediction(
        place, StoredPrediction(name, library.fingerprint(file), 10.0, ("left", "right"), tuple(found), *curves)
    )
    return name


def saved(site: Served, name: str) -> list[tuple[str, float, float]] | None:
    """What the server has as corrected."""
    told = site.get(f"/api/videos/{key_of(name)}")["corrections"]
    return told and [(s["label"], s["start"], s["end"]) for s in told["segments"]]


def kept(page) -> None:
    """Wait until the page says that all is saved."""
    expect(page.locator("#saved")).to_have_text(re.compile(r"^(saved \d\d:\d\d)?$"))


def save(page) -> None:
    page.keyboard.press("Control+s")
    kept(page)


def look(page) -> None:
    """Have the page look now at what others did, as when its window is chosen."""
    page.evaluate("dispatchEvent(new Event('focus'))")


def table(page) -> list[tuple[str, str, str]]:
    """Class, start and end of each row."""
    rows = page.locator("#segments tr:not(.spacer)").all()
    return [(r.locator("th").inner_text(), *(i.input_value() for i in r.locator("input").all())) for r in rows]


def rows(page, count: int) -> None:
    expect(page.locator("#segments tr:not(.spacer)")).to_have_count(count)


def place(page, seconds: float, row: int = 0) -> tuple[float, float]:
    """Where a moment of a lane is on the screen, the whole video being shown."""
    page.locator("#lanes").scroll_into_view_if_needed()
    box = page.locator("#lanes").bounding_box()
    return box["x"] + 108 + seconds / END * (box["width"] - 208), box["y"] + 24 + 36 * row + 9


def drag(page, start: float, end: float) -> None:
    page.mouse.move(*place(page, start))
    page.mouse.down()
    page.mouse.move(*place(page, (start + end) / 2))
    page.mouse.move(*place(page, end))
    page.mouse.up()


def test_what_was_found_is_shown_and_how_sure_it_must_be_is_moved(site, visit):
    page = visit(put(site, "slide.mp4"))
    rows(page, 2)
    assert table(page) == [("left", "0:01.0", "0:02.0"), ("right", "0:03.0", "0:04.0")]
    slider = page.locator("#least")
    assert float(slider.input_value()) == pytest.approx(0.36), "where the least sure of what is shown may lie"
    slider.fill("0.2")
    rows(page, 3)
    expect(page.locator("#least-value")).to_have_text("0.20")
    slider.fill("0.7")
    rows(page, 1)
    page.reload()
    expect(page.locator("#least-value")).to_have_text("0.70")  # tomorrow's download is today's
    rows(page, 1)
    page.click("#default")
    expect(page.locator("#least-value")).to_have_text("default")
    rows(page, 2)
    page.reload()
    rows(page, 2)
    expect(page.locator("#default")).to_be_hidden()
    expect(page.locator("#lanes")).to_have_attribute("aria-label", re.compile("2 segments as found, 3 proposals"))
    expect(page).to_have_title("slide.mp4 · beach")
    assert saved(site, "slide.mp4") is None


def test_an_edge_is_dragged_undone_and_there_tomorrow(site, visit):
    name = put(site, "drag.mp4")
    page = visit(name)
    rows(page, 2)
    page.mouse.move(*place(page, 2.0))
    expect(page.locator("#lanes")).to_have_class("edge")
    drag(page, 2.0, 2.5)
    kept(page)  # by itself, after a second
    (left, right) = saved(site, name)
    assert left[:2] == ("left", 1.0) and left[2] == pytest.approx(2.5, abs=0.02) and right == ("right", 3.0, 4.0)
    told = site.get(f"/api/videos/{key_of(name)}")["corrections"]["segments"]
    assert told[0]["score"] is None and told[1]["score"] == pytest.approx(0.6)
    page.keyboard.press("z")
    save(page)
    assert saved(site, name) is None
    page.click("#redo")
    save(page)
    page.close()
    again = visit(name)
    expect(again.locator("#caption")).to_have_text("What happens when: 2 segments, corrected")
    assert float(again.locator("#segments input").nth(1).input_value().partition(":")[2]) == pytest.approx(
        2.5, abs=0.02
    )
    on_disk = json.loads((site.desk.store / "corrections" / f"{key_of(name)}.json").read_text())
    assert [s["label"] for s in on_disk["segments"]] == ["left", "right"]


def test_a_drag_beside_an_edge_moves_the_view_and_nothing_else(site, visit):
    page = visit(put(site, "pan.mp4"))
    rows(page, 2)
    page.click("#in")
    drag(page, 2.0, 3.0)
    assert page.locator("#undo").is_disabled()
    page.mouse.dblclick(*place(page, 3.5, row=1))  # a proposal: zooms, as nothing can be added there
    assert page.locator("#undo").is_disabled()


def test_escape_takes_a_drag_back(site, visit):
    name = put(site, "escape.mp4")
    page = visit(name)
    rows(page, 2)
    found = table(page)

    def seen() -> str:
        page.mouse.move(5, 5)
        page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return page.evaluate("document.querySelector('#lanes').toDataURL()")

    page.mouse.click(*place(page, 1.5))
    before = seen()
    page.mouse.move(*place(page, 2.0))
    page.mouse.down()
    page.mouse.move(*place(page, 2.5))
    expect(page.locator("#segments input").nth(1)).to_have_value("0:02.5")
    page.keyboard.press("Delete")  # nothing else is done meanwhile
    page.keyboard.press("Control+z")
    page.keyboard.press("Escape")
    assert table(page) == found
    page.mouse.move(*place(page, 2.8))
    page.mouse.up()
    assert seen() == before and table(page) == found
    page.click("#in")
    before = seen()
    page.mouse.move(*place(page, 2.6, row=4))
    page.mouse.down()
    page.mouse.move(*place(page, 4.0, row=4))
    expect(page.locator("#lanes")).to_have_class("dragged")
    assert seen() != before
    page.keyboard.press("Escape")
    page.mouse.up()
    assert seen() == before
    save(page)
    assert page.locator("#undo").is_disabled() and saved(site, name) is None
    page.click("#whole")
    drag(page, 2.0, 2.5)
    save(page)
    mine, dragged = saved(site, name), table(page)
    page.mouse.move(*place(page, 4.0))
    page.mouse.down()
    page.mouse.move(*place(page, 4.5))
    page.keyboard.press("Control+z")
    page.keyboard.press("Escape")
    page.mouse.up()
    save(page)
    assert len(mine) == 2 and saved(site, name) == mine and table(page) == dragged


def test_the_caption_says_what_is_there_and_what_to_do(site, visit):
    def says(page, text: str) -> None:
        expect(page.locator("#caption")).to_have_text(text)

    unseen = site.desk.library.folder / "unseen.mp4"
    shutil.copy(site.desk.library.folder / "new.mp4", unseen)
    site.desk.library.look_again()
    says(visit("unseen.mp4"), "Nothing is marked yet; find what happens, or add a segment")
    says(visit(put(site, "bare.mp4", ())), "Nothing was found; add a segment where something happens")
    key = key_of(put(site, "unsure.mp4", (UNSURE,)))
    told = site.get(f"/api/videos/{key}") | {"thresholds": {"left": 0.3, "right": None}}
    unsure = visit("unsure.mp4")
    unsure.route(f"**/api/videos/{key}", lambda route: route.fulfill(json=told))
    unsure.reload()
    says(unsure, "Nothing is sure enough to be shown; move “how sure” to the left, or add a segment")
    page = visit(put(site, "words.mp4", (LEFT, RIGHT)))
    says(page, "What happens when: 2 segments, as found")
    left, right = page.locator("#chips button").all()
    left.click()
    says(page, "What happens when: 1 segment, as found")
    right.click()
    says(page, "All classes that happen here are hidden; choose them above the timeline")
    left.click()
    right.click()
    page.locator("#lanes").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Delete")
    says(page, "What happens when: 1 segment, corrected")
    expect(page.locator("#lanes")).to_have_attribute(
        "aria-label", "Timeline of words.mp4, 0:06.0 long: 1 segment corrected, 2 proposals"
    )
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Delete")
    says(page, "Nothing happens here, as it was corrected")
    save(page)


def test_all_by_keyboard(site, visit):
    name = put(site, "keys.mp4")
    page = visit(name)
    rows(page, 2)
    page.locator("#lanes").focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowLeft", "["):  # right begins half a second earlier
        page.keyboard.press(key)
    expect(page.locator("#said")).to_have_text("right, 0:02.5 to 0:04.0, 1.5 s")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("s")
    rows(page, 3)
    page.keyboard.press("l")
    page.keyboard.type("wave")
    page.keyboard.press("Enter")
    expect(page.locator("#lanes")).to_be_focused()
    save(page)
    assert saved(site, name) == [("left", 1.0, 2.0), ("wave", 2.5, 3.0), ("right", 3.0, 4.0)]
    page.keyboard.press("Delete")
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("a")
    expect(page.locator("#said")).to_have_text("added wave, 0:05.5 to 0:06.0, 0.5 s")
    save(page)
    assert saved(site, name) == [("left", 1.0, 2.0), ("right", 3.0, 4.0), ("wave", 5.5, 6.0)]
    for _ in range(6):
        page.keyboard.press("Control+z")
    expect(page.locator("#said")).to_have_text("There is nothing to undo.")
    save(page)
    assert saved(site, name) is None
    page.keyboard.press("Control+y")
    page.keyboard.press("Z")
    rows(page, 3)
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#keys")).to_be_hidden()
    save(page)


def test_times_are_typed(site, visit):
    name = put(site, "typed.mp4")
    page = visit(name)
    rows(page, 2)
    start, end = page.locator("#segments input").nth(0), page.locator("#segments input").nth(1)
    for wrong, why in (("soon", "no time"), ("9", "before the end"), ("0:02.5", "before the end")):
        start.fill(wrong)
        start.press("Tab")
        expect(start).to_have_attribute("aria-invalid", "true")
        expect(start).to_have_value(wrong)
        expect(page.locator("#said")).to_contain_text(why)
    start.fill("1.25")
    start.press("Tab")
    expect(end).to_be_focused()
    end.fill("0:02,125")
    end.press("Tab")
    save(page)
    assert saved(site, name) == [("left", 1.25, 2.125), ("right", 3.0, 4.0)]
    page.locator("#least").fill("0.9")
    expect(page.locator("#said")).to_contain_text("moves the result")
    assert table(page)[0] == ("left", "0:01.3", "0:02.1")
    assert [edge.get_attribute("title") for edge in (start, end)] == ["0:01.25", "0:02.125"]


def test_a_look_at_a_time_changes_nothing(site, visit):
    name = put(site, "exact.mp4")
    exact = [{"label": "left", "start": 1.234, "end": 2.05}, {"label": "right", "start": 3.0, "end": 4.449}]
    put_exact = {"revision": 0, "segments": exact}
    assert site.send("PUT", f"/api/videos/{key_of(name)}/corrections", put_exact).status == 200
    before = site.get(f"/api/videos/{key_of(name)}")["corrections"]
    page = visit(name)
    rows(page, 2)
    read = table(page)
    assert read == [("left", "0:01.2", "0:02.1"), ("right", "0:03.0", "0:04.4")]
    for edge, value in zip(page.locator("#segments input").all(), ("1.234", "2.05", "3.0", "4.449"), strict=True):
        edge.focus()
        expect(edge).to_have_value(f"0:0{value}")
        page.keyboard.type("5")  # over all of it, as in any field that Tab comes to
        expect(edge).to_have_value("5")
        page.keyboard.press("Escape")
        expect(edge).to_have_value(f"0:0{value}")
        page.keyboard.press("Tab")
    assert table(page) == read
    start = page.locator("#segments input").first
    start.fill("1.234")  # the same, in other words
    start.press("Enter")
    expect(start).to_have_value("0:01.234")
    page.locator("#lanes").focus()
    save(page)
    assert table(page) == read and page.locator("#undo").is_disabled()
    assert site.get(f"/api/videos/{key_of(name)}")["corrections"] == before


def test_a_row_goes_where_its_segment_goes(site, visit):
    """What is typed next is meant for the same segment, whatever its place is now."""
    name = put(site, "order.mp4")
    long = [{"label": "left", "start": 1, "end": 5}, {"label": "right", "start": 3, "end": 4}]
    site.send("PUT", f"/api/videos/{key_of(name)}/corrections", {"revision": 0, "segments": long})
    page = visit(name)
    rows(page, 2)
    times = page.locator("#segments input")
    times.nth(0).fill("3.5")
    page.keyboard.press("Tab")
    page.keyboard.type("5.5")
    page.keyboard.press("Enter")
    times.nth(2).fill("0.5")
    page.keyboard.press("Enter")
    page.keyboard.type("0.25")
    page.keyboard.press("Tab")
    expect(times.nth(1)).to_be_focused()
    save(page)
    assert saved(site, name) == [("left", 0.25, 5.5), ("right", 3, 4)]


def test_a_double_click_adds_and_all_is_discarded(site, visit):
    name = put(site, "add.mp4")
    page = visit(name)
    rows(page, 2)
    page.fill("#label", "new class")
    page.keyboard.press("Enter")
    page.mouse.dblclick(*place(page, 4.5))
    rows(page, 3)
    save(page)
    label, start, end = saved(site, name)[2]
    assert label == "new class" and start == pytest.approx(4.5, abs=0.02) and end == pytest.approx(5.5, abs=0.02)
    assert site.videos()[name]["labels"] == ["left", "right", "new class"]
    page.click("#discard")
    save(page)
    assert saved(site, name) is None
    rows(page, 2)
    page.click("#undo")
    save(page)
    assert len(saved(site, name)) == 3


def test_no_word_is_obeyed(site, visit):
    name = put(site, "nasty.mp4")
    page = visit(name)
    rows(page, 2)
    page.locator("#segments button").first.click()
    page.fill("#label", "a[1 to 2]")
    page.keyboard.press("Enter")
    expect(page.locator("#said")).to_contain_text("may not have brackets")
    page.fill("#label", NASTY)
    page.keyboard.press("Enter")
    save(page)
    assert saved(site, name)[0][0] == NASTY
    page.reload()
    expect(page.locator("#segments th").first).to_have_text(NASTY)
    expect(page.locator("#chips button")).to_have_count(3)
    assert page.locator("img").count() == 0


@pytest.mark.parametrize(
    ("format", "ending", "lost", "hint"),
    [("activitynet", " activitynet.json", "scores", None), ("elan", ".eaf", None, "open it in ELAN")],
)
def test_it_is_taken_along(site, visit, tmp_path, format, ending, lost, hint):
    page = visit(put(site, f"along {format}.mp4"))
    rows(page, 2)
    page.locator("#least").fill("0.2")
    page.select_option("#format", format)
    expect(page.locator("#format option[value=labelstudio]")).to_have_text("Label Studio (.json)")
    with page.expect_download() as coming:
        page.click("#export")
    file = f"along {format}{ending}"
    assert coming.value.suggested_filename == file
    coming.value.save_as(tmp_path / file)
    (timeline,) = read_annotations(tmp_path / file)[0].annotations
    assert sorted((s.start, s.end, s.label) for s in timeline.segments) == [
        (1, 2, "left"),
        (3, 4, "right"),
        (4.6, 5.2, "left"),
    ]
    expect(page.locator("#remarks p").first).to_have_text(f"{file} is downloaded.")
    if hint:
        expect(page.locator("#remarks p").nth(1)).to_contain_text(hint)
    if lost:
        expect(page.locator("#remarks")).to_contain_text("What this format cannot hold:")
        expect(page.locator("#remarks li")).to_contain_text([lost])
    else:
        assert [s.score for s in timeline.segments] == pytest.approx([0.9, 0.6, 0.2], abs=1e-3)
    with page.expect_download() as coming:
        page.click("#tags a")
    assert coming.value.path().read_bytes() == site.ask("GET", "/api/tags.csv").body


def test_a_video_is_looked_at_cancelled_and_looked_at_again(site, visit):
    page = visit("new.mp4")
    expect(page.locator("#job-text")).to_have_text("Nobody has looked for anything in this video yet.")
    expect(page.locator("#lanes")).to_have_attribute("aria-label", re.compile("new.mp4, 0:06.0 long: 0 segments"))
    page.locator("#export").dispatch_event("click")
    expect(page.locator("#remarks")).to_have_text(re.compile("nothing to download yet: find what happens"))
    page.click("#job-ask")
    page.click("#job-cancel")
    expect(page.locator("#job-text")).to_contain_text("The search was cancelled on this page, 20")
    expect(page.locator("#videos [aria-current] .labels")).to_contain_text("cancelled on this page, 20")
    page.click("#job-ask")
    expect(page.locator("#job")).to_be_hidden(timeout=30_000)
    assert site.videos()["new.mp4"]["state"] == "done"
    expect(page.locator("#lanes")).to_have_attribute("aria-label", re.compile(r"as found, [1-9]\d* proposals"))


def test_videos_are_uploaded_and_one_that_is_none_says_so(site, visit, own_videos, tmp_path):
    page = visit(put(site, "before.mp4"))
    film = shutil.copy(own_videos / "videos" / "film 1.mp4", tmp_path / "mine.mp4")
    page.set_input_files("#file", film)
    expect(page.locator("#name")).to_have_text("uploads/mine.mp4")
    expect(page.locator("#job")).to_be_hidden(timeout=30_000)
    transfer = page.evaluate_handle(
        "() => { const data = new DataTransfer(); data.items.add(new File(['no film'], 'no.mp4'));"
        " data.items.add(new File(['a'], 'a.txt')); return data; }"
    )
    page.dispatch_event("#viewer", "drop", {"dataTransfer": transfer})
    expect(page.locator("#uploads li")).to_have_count(2)
    expect(page.locator("#uploads")).to_contain_text("not added: its name must end in one of")
    page.get_by_role("button", name="dismiss a.txt").click()
    page.get_by_role("button", name="uploads/no.mp4").click()
    expect(page.locator("#uploads li")).to_have_count(0)
    expect(page.locator("#job-text")).to_contain_text("The search failed: no.mp4: is text, not a video", timeout=20_000)
    expect(page.locator("#job-ask")).to_have_text("try again")
    expect(page.locator("#trouble")).to_have_text("This browser cannot play the file.")
    expect(page.locator("#clock")).to_be_empty()
    visit.said.clear()


def test_of_several_uploads_each_can_be_opened(site, visit, own_videos, tmp_path):
    page = visit(put(site, "several.mp4"))
    films = [shutil.copy(own_videos / "videos" / "film 1.mp4", tmp_path / name) for name in ("one.mp4", "two.mp4")]
    page.set_input_files("#file", films)
    rows_of_uploads = page.locator("#uploads li")
    expect(page.get_by_role("button", name="open two.mp4")).to_be_visible()
    expect(rows_of_uploads).to_have_text([re.compile("one.mp4.*added"), re.compile("two.mp4.*added")])
    expect(page.locator("#name")).to_have_text("several.mp4")
    page.get_by_role("button", name="open one.mp4").click()
    expect(page.locator("#name")).to_have_text("uploads/one.mp4")
    expect(rows_of_uploads).to_have_count(1)
    page.get_by_role("button", name="dismiss two.mp4").click()
    expect(rows_of_uploads).to_have_count(0)


def test_the_search_says_what_it_is_at(site, visit):
    page = visit("new.mp4")
    told = site.videos()["new.mp4"] | {"state": "working", "second": 0.0, "duration": None}
    page.route("**/api/videos", lambda route: route.fulfill(json={"videos": [told], "moved": {}}))
    look(page)
    expect(page.locator("#job-text")).to_have_text("The video is being opened.")
    told |= {"second": 2.0, "duration": END}
    look(page)
    expect(page.locator("#job-text")).to_have_text("What happens is being looked for: at 0:02 of 0:06.")


def test_two_who_correct_the_same_video(site, visit):
    name = put(site, "two.mp4")
    other, mine = visit(name), visit(name)  # the later one lies in front
    rows(mine, 2)
    rows(other, 2)
    mine.locator("#lanes").focus()
    mine.keyboard.press("ArrowDown")
    mine.keyboard.press("Delete")
    theirs = [{"label": "wave", "start": 0, "end": 1}]
    put_theirs = {"revision": 0, "segments": theirs}
    assert site.send("PUT", f"/api/videos/{key_of(name)}/corrections", put_theirs).status == 200
    expect(mine.locator("#conflict")).to_contain_text("Somebody else saved this timeline at")
    assert saved(site, name) == [("wave", 0, 1)]
    mine.click("#take")
    assert table(mine) == [("wave", "0:00.0", "0:01.0")]
    mine.keyboard.press("z")
    save(mine)
    assert saved(site, name) == [("right", 3, 4)]
    look(other)
    rows(other, 1)  # it had nothing of its own to lose
    expect(other.locator("#segments th")).to_have_text("right")
    mine.locator("#segments button").click()
    mine.keyboard.press("s")
    mine.keyboard.press("Delete")
    now = site.get(f"/api/videos/{key_of(name)}")["corrections"]["revision"]
    site.send("PUT", f"/api/videos/{key_of(name)}/corrections", {"revision": now, "segments": theirs})
    mine.click("#keep")
    kept(mine)
    assert saved(site, name) == []
    mine.keyboard.press("z")
    save(mine)
    assert saved(site, name) == [("wave", 0, 1)]
    assert all("409" in text for text in visit.said)
    visit.said.clear()


def test_the_question_whose_holds_is_in_sight_where_one_works(site, visit):
    name = put(site, "sight.mp4")
    for width in (1200, 380):
        page = visit(name, width=width, height=900)
        rows(page, 2)
        theirs = {"revision": 0, "segments": [{"label": "wave", "start": 0, "end": 1}]}
        assert site.send("PUT", f"/api/videos/{key_of(name)}/corrections", theirs).status == 200
        times = page.locator("#segments input")
        times.first.scroll_into_view_if_needed()
        times.first.fill("0.5")
        page.keyboard.press("Enter")
        keep = page.get_by_role("button", name="keep mine")
        expect(keep).to_be_in_viewport(ratio=1)
        keep.click()
        expect(page.locator("#conflict")).to_be_hidden()
        page.click("#discard")
        save(page)
        page.close()
    assert all("409" in text for text in visit.said)
    visit.said.clear()


def test_a_video_that_leaves_the_folder_while_it_is_open(site, visit, tmp_path):
    name, folder = put(site, "leaves.mp4"), site.desk.library.folder
    page = visit(name)
    rows(page, 2)
    page.locator("#segments button").first.click()
    page.keyboard.press("Delete")
    save(page)
    (folder / name).rename(tmp_path / "elsewhere.mp4")
    site.desk.library.look_again()
    look(page)
    missing = page.locator("#missing")
    expect(missing).to_have_text("leaves.mp4 is not in the folder any more.")
    page.keyboard.press("a")
    expect(missing).to_contain_text("To keep what is not saved, put the file back.")
    expect(page.locator("#saved")).to_have_text("not saved: the file is gone")
    (tmp_path / "elsewhere.mp4").rename(folder / name)
    site.desk.library.look_again()
    look(page)
    kept(page)
    expect(missing).to_be_hidden()
    assert saved(site, name) == [("left", 1.0, pytest.approx(2.0)), ("right", 3.0, 4.0)]
    (folder / name).rename(tmp_path / "elsewhere.mp4")
    site.desk.library.look_again()
    page.keyboard.press("z")
    expect(missing).to_be_visible()  # as the server refuses, whether the list was looked at or not
    assert all("404" in text for text in visit.said)
    visit.said.clear()


def test_work_goes_on_where_a_video_is_renamed_while_it_is_open(site, visit):
    name, folder = put(site, "before.mp4"), site.desk.library.folder
    page = visit(name)
    rows(page, 2)
    page.locator("#segments button").first.click()
    page.keyboard.press("Delete")
    save(page)
    (folder / name).rename(folder / "after.mp4")
    page.keyboard.press("a")
    page.keyboard.press("Control+s")
    expect(page.locator("#saved")).to_have_text("not saved: the file is gone")
    site.desk.library.look_again()
    look(page)
    expect(page.locator("#name")).to_have_text("after.mp4")
    kept(page)
    expect(page.locator("#missing")).to_be_hidden()
    assert saved(site, "after.mp4") == [("left", 1.0, pytest.approx(2.0)), ("right", 3.0, 4.0)]
    expect(page.locator("#caption")).to_have_text("What happens when: 2 segments, corrected")
    for _ in range(2):
        page.keyboard.press("z")
    save(page)
    assert saved(site, "after.mp4") is None
    page.wait_for_url(re.compile(r"#video=after.mp4&"))
    assert all("404" in text for text in visit.said)
    visit.said.clear()


def test_names_that_change_places_step_by_step(site, visit):
    """As a hand swaps two names; a name that is taken again leads to the file that has it."""
    folder, (one, other) = site.desk.library.folder, (put(site, "one.mp4"), put(site, "other.mp4", (RIGHT,)))
    page = visit(one)
    rows(page, 2)
    page.locator("#segments button").first.click()
    page.keyboard.press("Delete")
    save(page)
    for old, new in ((one, "between.mp4"), (other, one), ("between.mp4", other)):
        (folder / old).rename(folder / new)
        site.desk.library.look_again()
        look(page)
        expect(page.locator("#name")).to_have_text(new if old != other else "between.mp4")
    page.keyboard.press("z")
    save(page)
    assert saved(site, other) is None and saved(site, one) is None
    fresh = visit(one)
    rows(fresh, 1)
    fresh.locator("#segments button").first.click()
    fresh.keyboard.press("Delete")
    save(fresh)
    assert saved(site, one) == [] and saved(site, other) is None


def test_what_is_not_saved_is_not_saved_onto_another_file(site, visit):
    name, folder = put(site, "taken.mp4"), site.desk.library.folder
    page = visit(name)
    rows(page, 2)
    page.locator("#segments button").first.click()
    page.keyboard.press("Delete")
    (folder / name).write_bytes((folder / name).read_bytes()[:-1] + b"!")  # of the same size
    page.keyboard.press("Control+s")
    expect(page.locator("#saved")).to_have_text("not saved: the file is gone")
    look(page)
    expect(page.locator("#said")).to_contain_text("Another file has this name now")
    kept(page)
    assert saved(site, name) is None
    assert all("404" in text for text in visit.said)
    visit.said.clear()


def test_corrections_of_another_file_are_looked_at_again(site, visit):
    name = put(site, "replaced.mp4")
    told = site.get(f"/api/videos/{key_of(name)}") | {"replaced": True}
    page = visit("new.mp4")
    page.route(f"**/api/videos/{key_of(name)}", lambda route: route.fulfill(json=told))
    page.get_by_role("button", name=name).click()
    replaced = page.locator("#replaced")
    expect(replaced).to_contain_text("another file than the one that was corrected")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Delete")
    save(page)
    expect(replaced).to_be_hidden()


def test_what_is_added_is_of_a_class_of_this_video(site, visit):
    put(site, "wide.mp4", (Segment("right", 1, 2, 0.9), Segment("left", 3, 4, 0.8)))
    put(site, "empty.mp4", ())
    page = visit(put(site, "class.mp4"))
    field = page.locator("#label")
    expect(field).to_have_value("left")
    page.get_by_role("button", name="wide.mp4").click()
    expect(field).to_have_value("right")
    page.locator("#segments button").nth(1).click()
    expect(field).to_have_value("left")
    page.get_by_role("button", name="empty.mp4").click()
    expect(page.locator("#name")).to_have_text("empty.mp4")
    expect(field).to_have_value("")
    page.locator("#lanes").focus()
    page.keyboard.press("a")
    expect(page.locator("#said")).to_have_text("Write the class of what happens here, then add it.")
    page.keyboard.type("wave")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="wide.mp4").click()
    expect(field).to_have_value("right")
    page.get_by_role("button", name="empty.mp4").click()
    expect(field).to_have_value("wave")


def test_what_was_undone_is_not_done_again_on_what_somebody_else_left(site, visit):
    name = put(site, "others.mp4")
    page = visit(name)
    rows(page, 2)
    page.locator("#lanes").focus()
    for key in ("ArrowDown", "Delete", "z"):
        page.keyboard.press(key)
    expect(page.locator("#redo")).to_be_enabled()
    kept(page)
    revision = (site.get(f"/api/videos/{key_of(name)}")["corrections"] or {"revision": 0})["revision"]
    put_theirs = {"revision": revision, "segments": [{"label": "wave", "start": 0, "end": 1}]}
    assert site.send("PUT", f"/api/videos/{key_of(name)}/corrections", put_theirs).status == 200
    look(page)
    expect(page.locator("#said")).to_contain_text("Somebody else changed this timeline")
    assert table(page) == [("wave", "0:00.0", "0:01.0")]
    assert page.locator("#redo").is_disabled() and page.locator("#undo").is_enabled()
    page.locator("#lanes").focus()
    page.keyboard.press("Z")
    expect(page.locator("#said")).to_have_text("There is nothing to do again.")
    save(page)
    assert saved(site, name) == [("wave", 0, 1)]
    page.keyboard.press("z")
    save(page)
    assert saved(site, name) is None, "what was there before theirs can be had back"


def test_while_the_server_is_gone_nothing_is_lost(site, visit):
    name = put(site, "gone.mp4")
    page = visit(name)
    rows(page, 2)
    page.route("**/api/**", lambda route: route.abort())
    page.locator("#segments button").first.click()
    page.keyboard.press("Delete")
    expect(page.locator("#saved")).to_have_text("not saved: the server does not answer")
    expect(page.locator("#gone")).to_be_visible()
    asked = []
    page.once("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
    page.close(run_before_unload=True)
    until = time.monotonic() + 5
    while not asked and time.monotonic() < until:
        page.wait_for_timeout(20)
    assert asked == ["beforeunload"]
    page.unroute("**/api/**")
    look(page)
    kept(page)
    expect(page.locator("#gone")).to_be_hidden()
    assert saved(site, name) == [("right", 3, 4)]
    assert all("ERR_FAILED" in text for text in visit.said)
    visit.said.clear()


def test_the_address_keeps_the_video_and_the_moment(site, visit):
    put(site, "there.mp4")
    page = visit(put(site, "here.mp4"))
    rows(page, 2)
    page.locator("#lanes").focus()
    page.keyboard.press("ArrowDown")
    page.wait_for_url(re.compile(r"#video=here.mp4&t=1\.0$"))
    page.reload()
    expect(page.locator("#clock")).to_have_text("0:01.0 of 0:06.0")
    page.fill("#find", "there")
    expect(page.locator("#videos li:visible")).to_have_count(1)
    page.get_by_role("button", name="there.mp4").click()
    expect(page.locator("#name")).to_have_text("there.mp4")
    expect(page.locator("#lanes")).to_be_focused()


def test_back_goes_to_the_video_before_and_loses_nothing(site, visit):
    put(site, "after.mp4")
    name = put(site, "first.mp4")
    page = visit(name)
    rows(page, 2)
    page.locator("#segments button").nth(1).click()
    page.wait_for_url(re.compile(r"t=3\.0$"))
    page.route("**/corrections", lambda route: route.abort())
    page.keyboard.press("Delete")
    expect(page.locator("#saved")).to_contain_text("not saved:")
    page.get_by_role("button", name="after.mp4").click()
    expect(page.locator("#name")).to_have_text("after.mp4")
    rows(page, 2)
    page.wait_for_url(re.compile("#video=after.mp4"))
    page.go_back()
    expect(page.locator("#name")).to_have_text(name)
    expect(page.locator("#clock")).to_have_text("0:03.0 of 0:06.0")
    rows(page, 1)
    page.go_forward()
    expect(page.locator("#name")).to_have_text("after.mp4")
    page.go_back()
    expect(page.locator("#name")).to_have_text(name)
    page.unroute("**/corrections")
    save(page)
    assert saved(site, name) == [("left", 1, 2)]
    assert all("ERR_FAILED" in text for text in visit.said)
    visit.said.clear()


def test_the_skip_link_leads_to_the_open_timeline(site, visit):
    name = put(site, "skip.mp4")
    page = visit(name)
    rows(page, 2)
    page.locator("#skip").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#lanes")).to_be_focused()
    page.evaluate("location.hash = '#lanes'")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#clock")).to_have_text("0:01.0 of 0:06.0")
    expect(page.locator("#name")).to_have_text(name)
    page.wait_for_url(re.compile(r"#video=skip.mp4&t=1\.0$"))


def test_it_is_read_dark_and_on_a_phone_and_says_what_to_do_when_empty(site, visit):
    page = visit(put(site, "phone.mp4"), width=380, height=800)
    rows(page, 2)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth") <= 380
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 28)"
    page.route("**/api/videos", lambda route: route.fulfill(json={"videos": [], "moved": {}}))
    page.goto("about:blank")
    page.goto(site.url)
    expect(page.locator("#welcome-text")).to_contain_text("There are no videos in beach yet. Drop one here")


def test_ten_thousand_segments_are_fluid(site, visit):
    """In the processor's time of the page, as the machine may have other work: no single step has 100 ms of it."""
    name = put(site, "long.mp4", [Segment("left", i, i + 0.5, 0.9 - i * 1e-5) for i in range(10_000)], 10_000)
    segments = [{"label": ("left", "right")[i % 2], "start": i, "end": i + 0.5} for i in range(10_000)]
    site.send("PUT", f"/api/videos/{key_of(name)}/corrections", {"revision": 0, "segments": segments})
    page = visit(name)
    meter = page.context.new_cdp_session(page)
    meter.send("Performance.enable", {"timeDomain": "threadTicks"})

    def cost(step: Callable[[], object]) -> float:
        def spent() -> float:
            told = {one["name"]: one["value"] for one in meter.send("Performance.getMetrics")["metrics"]}
            return told["TaskDuration"]

        before = spent()
        step()
        page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return spent() - before

    def at_edge(x: float) -> bool:
        page.mouse.move(x, y)
        return "edge" in (page.locator("#lanes").get_attribute("class") or "")

    expect(page.locator("#caption")).to_contain_text("10000 segments")
    page.locator("#lanes").focus()
    steps = ["ArrowDown", "ArrowDown", "ArrowRight", "[", "z", "Delete", "z", "+", "+", "+", "ArrowDown", "-"]
    costs = {f"{i} {key}": cost(lambda key=key: page.keyboard.press(key)) for i, key in enumerate(steps)}
    x, y = place(page, 3)
    page.mouse.move(x, y)
    costs["move"] = cost(lambda: page.mouse.move(x + 5, y))
    place_of_edge = next(x + i for i in range(30) if at_edge(x + i))
    costs["grip"] = cost(page.mouse.down)
    costs |= {f"drag {i}": cost(lambda i=i: page.mouse.move(place_of_edge + 7 * i, y)) for i in range(1, 6)}
    costs["drop"] = cost(page.mouse.up)
    assert page.locator("#undo").is_enabled()
    costs["scroll"] = cost(lambda: page.evaluate("document.querySelector('#segments-box').scrollTop = 150000"))
    assert page.locator("#segments tr").count() < 60
    assert max(costs.values()) < 0.1, {key: round(1000 * value) for key, value in costs.items()}
    kept(page)
