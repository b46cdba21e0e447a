"""Tagging in Chromium: selecting videos, number keys, new classes, undo, training; with the mouse and by keyboard."""

import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.helpers.page import TIMEOUT, delayed, expect, intercept
from tests.helpers.processes import wait_until
from tests.helpers.server import RunningProject, run_project_server
from tests.helpers.video import gray, render
from wtal.experiments.project import Project
from wtal.web.videos import video_key

NAMES = ["a.mp4", "b.mp4", "c.mp4", "d.mp4", "e.mp4", "f.mp4"]
MARKUP = '"><img src=x onerror="boom()">'


@pytest.fixture
def server(own_videos, tmp_path, monkeypatch) -> Iterator[RunningProject]:
    """A project of six videos without tags."""
    monkeypatch.setenv("WTAL_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "beach"
    folder.mkdir()
    content = (own_videos / "videos" / "film 0.mp4").read_bytes()
    for name in NAMES:
        (folder / name).write_bytes(content + name.encode())
    project = Project.open(folder)
    project.configure(overrides=("train.steps=4", "train.save_every=2", "model.width=16", "teacher.models=1"))
    with run_project_server(project) as running:
        yield running


@pytest.fixture
def page(server: RunningProject, browser) -> Iterator[Any]:
    """The page of the project. Fails if there are messages on its console."""
    context = browser.new_context(viewport={"width": 1280, "height": 720}, reduced_motion="reduce")
    context.set_default_timeout(TIMEOUT)
    messages: list[str] = []
    page = context.new_page()
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.goto(server.url)
    expect(page.locator("#tag-grid li")).to_have_count(len(NAMES))
    yield page
    context.close()
    assert [message for message in messages if "400" not in message and "ERR_FAILED" not in message] == []


def tile(page: Any, name: str) -> Any:
    return page.locator(f"#video-{video_key(name)}")


def selection(page: Any) -> list[str]:
    return page.locator("#tag-grid [aria-selected=true] .name").all_inner_texts()


def add_classes(page: Any, *names: str) -> None:
    page.keyboard.press("c")
    for name in names:
        page.keyboard.type(name)
        page.keyboard.press("Enter")
        expect(page.locator("#tag-status")).to_have_text(f"{name} was added.")
    page.keyboard.press("Escape")


def expect_tags(server: RunningProject, **tags: list[str] | None) -> None:
    """The stored tags of the videos that are not None."""
    wait_until(
        lambda: (
            {name: labels for name, labels in server.tags().items() if labels is not None}
            == {f"{name}.mp4": labels for name, labels in tags.items()}
        )
    )


def test_videos_are_selected_as_in_a_file_manager(page):
    expect(page.locator("#tag-selection")).to_contain_text("Select videos")
    tile(page, "b.mp4").click()
    assert selection(page) == ["b.mp4"]
    tile(page, "d.mp4").click(modifiers=["Control"])
    assert selection(page) == ["b.mp4", "d.mp4"]
    tile(page, "f.mp4").click(modifiers=["Shift"])
    assert selection(page) == ["d.mp4", "e.mp4", "f.mp4"]
    tile(page, "e.mp4").click(modifiers=["Control"])
    assert selection(page) == ["d.mp4", "f.mp4"]
    expect(page.locator("#tag-selection")).to_have_text("2 selected")
    page.keyboard.press("Escape")
    assert selection(page) == []
    page.click("#tag-all")
    assert len(selection(page)) == len(NAMES)
    tile(page, "a.mp4").click()
    assert selection(page) == ["a.mp4"]


def test_keys_alone_are_enough(page, server):
    add_classes(page, "dive", "swim")
    assert page.evaluate("document.activeElement.matches('#tag-grid li')")
    page.keyboard.press("Home")
    page.keyboard.press("1")  # a
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("2")  # b and c
    page.keyboard.press("1")
    page.keyboard.press("Control+ArrowRight")  # to d, without selecting it
    assert selection(page) == ["b.mp4", "c.mp4"]
    page.keyboard.press("ArrowRight")
    page.keyboard.press("0")  # e: nothing happens
    expect_tags(server, a=["dive"], b=["dive", "swim"], c=["dive", "swim"], e=[])
    expect(tile(page, "e.mp4")).to_contain_text("Nothing happens")
    expect(page.locator("#tag-summary")).to_contain_text("4 of 6 videos tagged; 'swim' has 2, 'dive' has 3, aim for 5")
    page.keyboard.press("n")
    assert selection(page) == ["f.mp4"]
    page.keyboard.press("n")
    assert selection(page) == ["d.mp4"]
    page.keyboard.press("Space")
    assert selection(page) == []
    page.keyboard.press("Control+a")
    page.keyboard.press("1")  # not all have it: added
    expect(page.locator("#tag-classes .class").first).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("1")  # all have it: removed
    expect_tags(server, a=[], b=["swim"], c=["swim"], d=[], e=[], f=[])
    page.keyboard.press("Delete")
    expect_tags(server)
    for _ in range(3):
        page.keyboard.press("z")
    expect_tags(server, a=["dive"], b=["dive", "swim"], c=["dive", "swim"], e=[])
    page.keyboard.press("?")
    expect(page.locator("#tag-shortcuts")).to_be_visible()
    page.keyboard.press("1")  # no shortcut while the dialog is open
    page.keyboard.press("Escape")
    expect_tags(server, a=["dive"], b=["dive", "swim"], c=["dive", "swim"], e=[])


def test_class_that_exists_is_not_added_again(page):
    add_classes(page, "dive")
    page.keyboard.press("c")
    page.keyboard.type("dive")
    page.keyboard.press("Enter")
    expect(page.locator("#tag-status")).to_have_text("dive already exists.")
    expect(page.locator("#tag-classes .class")).to_have_count(1)


def test_class_typed_in_another_case_is_the_class_that_exists(page, server):
    add_classes(page, "dive")
    tile(page, "a.mp4").click()
    page.keyboard.press("c")
    page.keyboard.type("Dive")
    page.keyboard.press("Enter")
    expect_tags(server, a=["dive"])
    expect(page.locator("#tag-classes .class")).to_have_count(1)


def test_classes_without_a_number_key_are_found_by_their_names(page, server):
    for i in range(12):
        server.change("f.mp4", add=[f"class {i:02}"])
    server.change("f.mp4", add=["dive from the board", "swim"])
    page.evaluate("dispatchEvent(new Event('focus'))")
    classes = page.locator("#tag-classes .class")
    expect(classes).to_have_count(14)
    expect(classes.locator("kbd")).to_have_count(9)
    tile(page, "a.mp4").click()
    page.keyboard.press("c")
    page.keyboard.type("DIVE")
    expect(classes).to_have_count(1)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect_tags(server, a=["dive from the board"], f=server.tags()["f.mp4"])
    expect(classes).to_be_focused()
    page.keyboard.press("Enter")
    expect_tags(server, a=[], f=server.tags()["f.mp4"])
    page.keyboard.press("c")
    page.keyboard.press("Escape")
    expect(classes).to_have_count(14)
    assert page.evaluate("document.activeElement.matches('#tag-grid li')")


def test_buttons_do_the_same(page, server):
    page.fill("#tag-class", "dive")
    page.get_by_role("button", name="Add", exact=True).click()
    dive = page.locator("#tag-classes .class").first
    expect(dive).to_have_attribute("aria-pressed", "false")
    dive.click()
    expect(page.locator("#tag-status")).to_have_text("Select videos first.")
    tile(page, "a.mp4").click()
    tile(page, "b.mp4").click(modifiers=["Control"])
    dive.click()
    expect(dive).to_have_attribute("aria-pressed", "true")
    expect(dive.locator(".count")).to_have_text("2")
    tile(page, "c.mp4").click(modifiers=["Control"])
    expect(dive).to_have_attribute("aria-pressed", "mixed")
    page.fill("#tag-class", "wave")  # a new class for the selected videos
    page.keyboard.press("Enter")
    expect_tags(server, a=["dive", "wave"], b=["dive", "wave"], c=["wave"])
    page.click("#tag-undo")
    expect_tags(server, a=["dive"], b=["dive"])
    page.click("#tag-nothing")
    expect_tags(server, a=[], b=[], c=[])
    expect(page.locator("#tag-nothing")).to_have_attribute("aria-pressed", "true")
    page.click("#tag-clear")
    expect_tags(server)
    page.click("#tag-next")
    assert selection(page) == ["d.mp4"]


def test_class_is_renamed_and_removed(page, server):
    add_classes(page, "divee", "typo")
    tile(page, "a.mp4").click()
    with delayed(page, "**/api/project/tags"):
        page.keyboard.press("1")
        page.get_by_role("button", name="Rename divee").click()
        expect(page.get_by_role("button", name="Remove", exact=True)).to_be_enabled()
    expect(page.get_by_role("button", name="Remove", exact=True)).to_be_disabled()
    page.keyboard.type("dive")
    page.keyboard.press("Enter")
    expect_tags(server, a=["dive"])
    expect(page.locator("#tag-status")).to_have_text("divee is dive now.")
    page.get_by_role("button", name="Rename typo").click()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Rename typo").click()
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(page.locator("#tag-classes .class .name")).to_have_text(["dive"])


def test_markup_in_classes_and_file_names_is_text(page, server):
    expect(page.locator("#tag-grid .loaded")).to_have_count(len(NAMES))  # afterwards the old name would not be found
    folder = server.site.library.folder
    (folder / "a.mp4").rename(folder / f"{MARKUP.replace('/', '')}.mp4")
    server.site.library.refresh()
    page.evaluate("dispatchEvent(new Event('focus'))")
    expect(page.locator("#tag-grid .name", has_text="onerror")).to_have_text(f"{MARKUP}.mp4")
    add_classes(page, MARKUP)
    page.locator("#tag-grid li", has_text="onerror").click()
    page.keyboard.press("1")
    expect(page.locator("#tag-grid .tags", has_text="onerror")).to_have_text(MARKUP)
    page.select_option("#tag-filter", MARKUP)
    expect(page.locator("#tag-grid li")).to_have_count(1)
    expect(page.locator("img[onerror]")).to_have_count(0)
    page.keyboard.press("c")
    page.fill("#tag-class", "a;b")
    page.keyboard.press("Enter")
    expect(page.locator("#tag-status")).to_contain_text("Not done: 'a;b' cannot be a label")


def test_filter_keeps_videos_that_are_tagged_meanwhile(page, server):
    server.change("a.mp4", add=["dive"])
    server.change("b.mp4", add=["swim"])
    page.evaluate("dispatchEvent(new Event('focus'))")
    expect(tile(page, "a.mp4")).to_contain_text("dive")
    page.select_option("#tag-filter", "dive")
    expect(page.locator("#tag-grid .name")).to_have_text(["a.mp4"])
    page.select_option("#tag-filter", "not tagged")
    expect(page.locator("#tag-grid .name")).to_have_text(NAMES[2:])
    tile(page, "c.mp4").click()
    page.keyboard.press("1")
    page.keyboard.press("2")
    expect_tags(server, a=["dive"], b=["swim"], c=["dive", "swim"])
    expect(page.locator("#tag-grid .name")).to_have_text(NAMES[2:])
    page.select_option("#tag-filter", "all")
    expect(page.locator("#tag-grid .name")).to_have_text(NAMES)


def test_two_people_see_the_tags_of_each_other(page, server, browser):
    other = browser.new_page()
    other.goto(server.url)
    add_classes(page, "dive")
    tile(other, "a.mp4").click()
    expect(other.locator("#tag-classes .name")).to_have_text("dive")
    tile(page, "a.mp4").click()
    page.keyboard.press("1")
    expect_tags(server, a=["dive"])
    other.fill("#tag-class", "swim")
    other.keyboard.press("Enter")
    expect_tags(server, a=["dive", "swim"])
    expect(tile(page, "a.mp4")).to_contain_text("dive, swim")
    other.close()


def test_late_answer_does_not_hide_a_newer_change(page, server):
    add_classes(page, "dive")
    answer = server.get("/api/project")
    held: list[Any] = []
    page.route("**/api/project", lambda route: held.append(route))
    page.evaluate("dispatchEvent(new Event('focus'))")
    wait_until(lambda: page.wait_for_timeout(20) or held)
    tile(page, "a.mp4").click()
    page.keyboard.press("1")
    expect(tile(page, "a.mp4")).to_contain_text("dive")
    held[0].fulfill(json=answer)
    page.unroute("**/api/project")
    page.wait_for_timeout(300)
    assert "dive" in tile(page, "a.mp4").inner_text()
    page.keyboard.press("1")
    expect_tags(server, a=[])


def test_server_that_is_gone_is_reported_and_nothing_is_pretended(page, server):
    add_classes(page, "dive")
    intercept(page, "**/api/project**", lambda route: route.abort())
    tile(page, "a.mp4").click()
    page.keyboard.press("1")
    expect(page.locator("#tag-status")).to_contain_text("Not done: the server does not answer")
    expect(page.locator("#connection-error")).to_contain_text("does not answer")
    expect(tile(page, "a.mp4")).to_contain_text("Not tagged")
    page.unroute("**/api/project**")
    page.keyboard.press("1")
    expect_tags(server, a=["dive"])
    expect(page.locator("#connection-error")).to_be_hidden()
    intercept(page, "**/api/project**", lambda route: route.abort())
    page.keyboard.press("z")
    expect(page.locator("#tag-status")).to_contain_text("Not done: the server does not answer")
    page.unroute("**/api/project**")
    page.keyboard.press("z")
    expect(page.locator("#tag-status")).to_have_text("Undone.")
    expect_tags(server)
    page.keyboard.press("z")
    expect(page.locator("#tag-status")).to_have_text("Nothing to undo.")


def test_undo_leaves_out_videos_that_are_gone(page, server):
    add_classes(page, "dive", "swim")
    tile(page, "b.mp4").click()
    page.keyboard.press("1")
    tile(page, "a.mp4").click(modifiers=["Control"])
    page.keyboard.press("2")
    tile(page, "a.mp4").click()
    page.keyboard.press("1")
    expect_tags(server, a=["dive", "swim"], b=["dive", "swim"])
    (server.site.library.folder / "a.mp4").unlink()
    server.site.library.refresh()
    page.evaluate("dispatchEvent(new Event('focus'))")
    expect(tile(page, "a.mp4")).to_have_count(0)
    page.keyboard.press("z")  # the last change was of that video only
    expect_tags(server, b=["dive"])


def test_preview_plays_on_hover_and_with_a_key(page, server, browser):
    page.keyboard.press("ArrowRight")
    expect(page.locator(".thumbnail video")).to_have_count(0)  # the reader prefers less motion
    page.keyboard.press("p")
    expect(tile(page, "a.mp4").locator("video.playing")).to_have_count(1)
    assert page.evaluate("(video => video.muted && video.loop)(document.querySelector('.thumbnail video'))")
    page.keyboard.press("p")
    expect(page.locator(".thumbnail video")).to_have_count(0)
    other = browser.new_page(reduced_motion="no-preference")
    other.goto(server.url)
    tile(other, "b.mp4").hover()
    expect(tile(other, "b.mp4").locator("video.playing")).to_have_count(1)
    tile(other, "c.mp4").hover()
    expect(tile(other, "c.mp4").locator("video.playing")).to_have_count(1)
    expect(other.locator(".thumbnail video")).to_have_count(1)
    other.keyboard.press("Tab")
    other.mouse.move(5, 5)
    expect(other.locator(".thumbnail video.playing")).to_have_count(0)
    other.close()


def test_preview_of_a_video_that_the_browser_cannot_play_shows_frames(page, server):
    render(server.site.library.folder / "film.avi", [gray(i) for i in range(40)], fps=10, codec="mpeg4")
    (server.site.library.folder / "broken.mp4").write_bytes(b"no video")
    server.site.library.refresh()
    page.evaluate("dispatchEvent(new Event('focus'))")
    tile(page, "film.avi").click()
    page.keyboard.press("p")
    frames = tile(page, "film.avi").locator(".frames")
    expect(frames).to_be_visible()
    assert frames.evaluate("element => element.getAnimations().length") == 1
    page.keyboard.press("p")
    expect(frames).to_have_count(0)
    tile(page, "broken.mp4").click()
    with page.expect_response("**/preview"):
        page.keyboard.press("p")
    expect(page.locator(".frames")).to_have_count(0)


def test_videos_that_are_added_later_appear_and_uploads_work(page, server):
    folder = server.site.library.folder
    shutil.copy(folder / "a.mp4", folder / "later.mp4")
    server.site.library.refresh()
    page.evaluate("dispatchEvent(new Event('focus'))")
    expect(tile(page, "later.mp4")).to_contain_text("Not tagged")
    file = {"name": "new.mp4", "mimeType": "video/mp4", "buffer": (folder / "a.mp4").read_bytes()}
    page.set_input_files("#file", [file])
    expect(tile(page, "uploads/new.mp4")).to_be_visible()
    expect(tile(page, "uploads/new.mp4").locator(".thumbnail.loaded")).to_have_count(1)
    page.set_input_files("#file", [{"name": "text.txt", "mimeType": "text/plain", "buffer": b"text"}])
    expect(page.locator("#tag-uploads")).to_contain_text("not a video")


@pytest.mark.parametrize("size", [(1280, 720), (390, 844)])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_page_fits_and_classes_stay_in_view(page, server, size, theme):
    for name in NAMES:
        server.change(name, add=["dive", f"a class with a long name for {name}"])
    page.emulate_media(color_scheme=theme)
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.evaluate("dispatchEvent(new Event('focus'))")
    expect(page.locator("#tag-classes .class")).to_have_count(1 + len(NAMES))
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "no horizontal scrolling"
    page.evaluate("document.querySelector('#tag-grid').lastElementChild.scrollIntoView()")
    box = page.locator("#tag-classes").bounding_box()
    assert box["y"] >= 0 and box["y"] + box["height"] <= size[1]
    if size[0] > 1000:
        train = page.locator("#train").bounding_box()
        assert train["y"] + train["height"] <= size[1], "visible without scrolling"


@pytest.mark.slow
def test_train_stop_and_timelines(page, server):
    train = page.locator("#train")
    expect(train).to_be_disabled()
    expect(page.locator("#show-improve")).to_be_hidden()
    for name in NAMES:
        server.change(name, add=["dive"] if name < "d" else ["swim"])
    server.site.project.configure(overrides=("train.steps=100000", "model.width=16", "teacher.models=1"))
    page.evaluate("dispatchEvent(new Event('focus'))")
    expect(train).to_have_class(re.compile("primary"))
    train.click()
    expect(page.locator("#training-progress")).to_be_visible()
    expect(page.locator("#training-steps [aria-current]")).to_have_text("Train the model", timeout=3 * TIMEOUT)
    expect(page.locator("#training-message")).to_contain_text("training on 6 videos")
    page.click("#stop-training")
    expect(page.locator("#training-text")).to_contain_text("Stopped")
    server.site.project.configure(overrides=("train.steps=4", "model.width=16", "teacher.models=1"))
    train.click()
    expect(page.locator("#training-text")).to_contain_text("You can go on tagging")
    page.reload()  # closing the window changes nothing
    expect(page.locator("#run")).to_contain_text("Model: runs/tiny-")
    expect(page.locator("#tagging")).to_be_hidden()
    expect(page.locator("#videos [data-status=predicted]")).to_have_count(len(NAMES))
    page.click("#show-tagging")
    expect(page.locator("#tagging")).to_be_visible()
    expect(page.locator("#training-text")).to_have_text("The timelines are up to date.")
    tile(page, "a.mp4").click()
    page.keyboard.press("0")
    expect(page.locator("#training-text")).to_contain_text("have changed since")
    page.click("#show-tagging")
    expect(page.locator("#timelines")).to_be_visible()
    page.locator("#timeline").focus()
    page.keyboard.press("1")  # a point on the timeline, not a tag
    expect(page.locator("#status")).to_contain_text("Added")
    expect_tags(server, a=[], b=["dive"], c=["dive"], d=["swim"], e=["swim"], f=["swim"])
