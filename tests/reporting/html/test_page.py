"""The page in a real browser: navigation, zoom, filters, dark theme, print, and speed with a full test set."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from tests.helpers.browser import chromium
from tests.helpers.report import CLASSES, HOSTILE, empty_timeline, make_report, make_timeline, thumos_report
from wtal.core.structures import Segment
from wtal.reporting.html.collect import collect_report_data
from wtal.reporting.html.memory import MemorySummary, NearestSnippet, SlotSummary
from wtal.reporting.html.render import write_report


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    """A real Chromium."""
    with chromium() as opened:
        yield opened


@pytest.fixture
def opened(browser, tmp_path):
    """A page of three videos, opened from disk without a network. Its console must stay empty."""
    timelines = [make_timeline("first"), make_timeline(HOSTILE, HOSTILE, snippets=400), empty_timeline("bare")]
    slot = SlotSummary(HOSTILE, 1, 3, (NearestSnippet("first", 1.0, 1.5, 0.9),))
    memory = MemorySummary(CLASSES, np.eye(2, dtype=np.float32), (slot,))
    report = make_report(*timelines, memory=memory, video_urls={"bare": "gone.mp4"})
    write_report(tmp_path / "page.html", report)
    context = browser.new_context(offline=True, viewport={"width": 1200, "height": 900})
    page, messages = context.new_page(), []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.goto((tmp_path / "page.html").as_uri())
    page.wait_for_function("document.querySelector('#lanes').height > 200")
    yield page
    context.close()
    assert [text for text in messages if "gone.mp4" not in text and "ERR_FILE_NOT_FOUND" not in text] == []


def wait_for_text(page, selector: str, prefix: str, part: str = "") -> None:
    """Wait until an element has the text: the page draws when the browser is idle."""
    text = ""
    for _ in range(100):
        text = page.inner_text(selector)
        if text.startswith(prefix) and part in text:
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"{selector} has the text {text!r}")


def pixels(page) -> str:
    """The timeline's pixels, after pending drawing."""
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return page.evaluate("document.querySelector('#lanes').toDataURL()")


def test_videos_and_segments_are_navigated(opened):
    wait_for_text(opened, "#name", "first")
    opened.get_by_role("button", name="img src=x").first.click()
    wait_for_text(opened, "#name", HOSTILE)
    rows = opened.locator("#segments tr")
    assert rows.count() == 2 and rows.nth(0).locator("th").inner_text() == HOSTILE
    assert opened.locator("img").count() == 0
    opened.locator("#lanes").focus()
    opened.keyboard.press("ArrowDown")
    wait_for_text(opened, "#said", f"truth: {HOSTILE}, 0:01.0 to 0:02.5, 1.5 s, tIoU 0.67 with the result")
    wait_for_text(opened, "#clock", "0:01.0")
    opened.keyboard.press("ArrowRight")
    pixels(opened)
    wait_for_text(opened, "#clock", "0:01.5")
    opened.keyboard.press("n")
    wait_for_text(opened, "#name", "bare")
    opened.keyboard.press("?")
    assert opened.locator("#keys").is_visible()
    opened.keyboard.press("Escape")
    assert not opened.locator("#keys").is_visible()


def test_zoom_pan_and_fit(opened):
    fitted = pixels(opened)
    box = opened.locator("#lanes").bounding_box()
    opened.mouse.move(box["x"] + 400, box["y"] + 40)
    opened.keyboard.down("Control")
    opened.mouse.wheel(0, -120)
    opened.keyboard.up("Control")
    zoomed = pixels(opened)
    opened.mouse.down()
    opened.mouse.move(box["x"] + 300, box["y"] + 40, steps=3)
    opened.mouse.up()
    assert len({fitted, zoomed, pixels(opened)}) == 3
    opened.click("#whole")
    opened.mouse.move(0, 0)
    assert pixels(opened) == fitted


def test_filters_by_class_and_score(opened):
    assert opened.locator("#lanes").get_attribute("aria-label").endswith("1 true actions, 1 in the result, 2 proposals")
    opened.locator("#least").fill("0.5")
    assert opened.locator("#lanes").get_attribute("aria-label").endswith("1 true actions, 1 in the result, 1 proposals")
    opened.locator("#chips button").first.click()
    assert opened.locator("#chips button").first.get_attribute("aria-pressed") == "false"
    assert opened.locator("#lanes").get_attribute("aria-label").endswith("0 true actions, 0 in the result, 0 proposals")
    opened.fill("#find", "bar")
    assert opened.locator("#videos li:visible").count() == 1
    wait_for_text(opened, "#count", "1 of 3 videos")


def test_nearest_snippet_of_the_memory_opens_its_video(opened):
    opened.get_by_role("button", name="bare").click()
    opened.wait_for_selector("#trouble:visible")
    wait_for_text(opened, "#trouble", "", "gone.mp4 cannot be played")
    opened.click(".moment")
    pixels(opened)
    wait_for_text(opened, "#name", "first")
    wait_for_text(opened, "#clock", "0:01.0")


def test_page_supports_dark_theme_narrow_screens_and_print(opened):
    light = pixels(opened)
    opened.emulate_media(color_scheme="dark")
    assert pixels(opened) != light
    opened.set_viewport_size({"width": 380, "height": 800})
    pixels(opened)
    assert opened.evaluate("document.documentElement.scrollWidth") <= 380
    assert opened.pdf().startswith(b"%PDF")


@pytest.mark.parametrize("width", [1200, 380])
def test_links_scroll_to_their_headings_and_captions_fit(runs, browser, tmp_path, width):
    write_report(tmp_path / "page.html", collect_report_data(runs, tmp_path / "page.html"))
    for section in ("timelines", "scores", "precision", "errors", "training", "memory"):
        page = browser.new_page(viewport={"width": width, "height": 400})
        page.goto((tmp_path / "page.html").as_uri())
        page.wait_for_function("document.querySelector('#lanes').height > 200")
        page.click(f"nav a[href='#{section}']")
        top, last = page.evaluate(HEADING_TOP, section), None
        while top != last:  # scrolling is smooth
            page.wait_for_timeout(150)
            top, last = page.evaluate(HEADING_TOP, section), top
        padding = page.evaluate("parseFloat(getComputedStyle(document.documentElement).scrollPaddingTop)")
        assert abs(top - padding) < 2, section
        ends = page.evaluate("[...document.querySelectorAll('caption')].map(c => c.getBoundingClientRect().right)")
        assert max(ends) <= width
        page.close()


HEADING_TOP = "section => document.querySelector(`#${section} h2`).getBoundingClientRect().top"


def test_opacity_has_one_scale_and_the_threshold_starts_at_the_lowest_score(browser, tmp_path):
    timelines = [
        empty_timeline(str(score), (Segment("run", 0, 1, score), Segment("run", 2, 3, 2 * score)))
        for score in (0.45, 0.0011)
    ]
    write_report(tmp_path / "page.html", make_report(*timelines))
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.goto((tmp_path / "page.html").as_uri())
    strong = pixels(page)
    assert page.locator("#least").get_attribute("aria-valuetext") == "0.45" == page.inner_text("#least-value")
    assert not page.locator("#printed").is_visible()
    page.locator("#lanes").focus()
    page.keyboard.press("n")
    assert pixels(page) != strong, "low scores are drawn as strongly as high ones"
    assert page.locator("#least").get_attribute("aria-valuetext") == "0.0011" == page.inner_text("#least-value")
    page.emulate_media(media="print")
    assert page.inner_text("#printed") == "1 of 2 videos; open the page to see the others"
    page.close()


def test_page_of_thumos_is_fluid(shared, tmp_path, browser):
    """No step takes more than 100 ms of the page's processor time; wall time would depend on the machine's load."""
    write_report(tmp_path / "page.html", thumos_report(shared))
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def task_seconds() -> float:
        metrics = session.send("Performance.getMetrics")["metrics"]
        return next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration")

    def cost(step: Callable[[], object]) -> float:
        start = task_seconds()
        step()
        pixels(page)
        return task_seconds() - start

    page.goto((tmp_path / "page.html").as_uri())
    page.wait_for_function("document.querySelector('#lanes').height > 200")
    pixels(page)
    assert task_seconds() < 2
    box = page.locator("#lanes").bounding_box()
    page.mouse.move(box["x"] + 500, box["y"] + 100)
    steps = [lambda: page.keyboard.press("n")] * 10 + [lambda: page.mouse.wheel(0, 200)] * 5
    page.locator("#lanes").focus()
    costs = [cost(step) for step in steps]
    page.keyboard.down("Control")
    costs += [cost(lambda: page.mouse.wheel(0, -60)) for _ in range(10)]
    page.keyboard.up("Control")
    page.close()
    assert max(costs) < 0.1, [round(1000 * cost) for cost in costs]
