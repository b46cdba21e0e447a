"""The report in Chromium: navigation, zoom, filters, dark theme, print, and speed with a full test set."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.browser import CpuMeter
from tests.helpers.browser import chromium, timeline_pixels, wait_until_drawn
from tests.helpers.processes import wait_until
from tests.helpers.report import (
    CLASSES,
    HOSTILE,
    empty_timeline,
    make_report,
    make_timeline,
    make_video,
    thumos_report,
)
from wtal.core.structures import Segment
from wtal.reporting.html.collect import collect_report_data, summarize_budget
from wtal.reporting.html.memory import ClassSummary, MemorySummary, TypicalSnippet
from wtal.reporting.html.render import write_report

expect = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed").expect

TIMEOUT = 30_000  # ms, generous for machines under load
IS_AT_HEADING = """section => {
  const top = document.querySelector(`#${section} h2`).getBoundingClientRect().top;
  return Math.abs(top - parseFloat(getComputedStyle(document.documentElement).scrollPaddingTop)) < 2;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    expect.set_options(timeout=TIMEOUT)
    with chromium() as opened:
        yield opened


def open_report(context: Any, path: Path) -> Any:
    """Open a report from disk, and wait until its timeline is drawn."""
    page = context.new_page()
    page.set_default_timeout(TIMEOUT)
    page.goto(path.as_uri())
    wait_until_drawn(page)
    return page


@pytest.fixture
def page(browser, tmp_path) -> Iterator[Any]:
    """A report of three videos, without a network. Its console must stay empty."""
    timelines = [make_timeline("first"), make_timeline(HOSTILE, HOSTILE, snippets=400), empty_timeline("bare")]
    typical = (TypicalSnippet(HOSTILE, 1.0, 1.5, 0.9),)
    rows = (ClassSummary("run", 0, 0, ()), ClassSummary(HOSTILE, 3, 1, typical))
    memory = MemorySummary(CLASSES, np.eye(2, dtype=np.float32), rows)
    videos = [make_video("first", "run"), make_video(HOSTILE, HOSTILE)]
    budget = summarize_budget(videos, {"first": [Segment("run", 1, 1.5, 0.9)], HOSTILE: []})
    report = make_report(*timelines, memory=memory, budget=budget, video_urls={"bare": "gone.mp4"})
    write_report(tmp_path / "page.html", report)
    context = browser.new_context(offline=True, viewport={"width": 1200, "height": 900})
    messages = []
    context.on("console", lambda message: messages.append(message.text))
    context.on("weberror", lambda error: messages.append(str(error.error)))
    yield open_report(context, tmp_path / "page.html")
    context.close()
    assert [text for text in messages if "gone.mp4" not in text and "ERR_FILE_NOT_FOUND" not in text] == []


def expect_label(page, text: str) -> None:
    """Wait for a part of what the timeline tells screen readers."""
    expect(page.locator("#timeline")).to_have_attribute("aria-label", re.compile(re.escape(text)))


def test_videos_and_segments_are_navigated(page):
    name, clock = page.locator("#name"), page.locator("#clock")
    expect(name).to_have_text("first")
    page.get_by_role("button", name="img src=x").first.click()
    expect(name).to_have_text(HOSTILE)
    rows = page.locator("#segments tr")
    expect(rows).to_have_count(2)
    expect(rows.nth(0).locator("th")).to_have_text(HOSTILE)
    expect(page.locator("img")).to_have_count(0)
    page.locator("#timeline").focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator("#status")).to_have_text(
        re.compile(re.escape(f"ground truth: {HOSTILE}, 0:01.0 to 0:02.5, 1.5 s, tIoU 0.67 with the prediction"))
    )
    expect(clock).to_have_text(re.compile("^0:01.0"))
    page.keyboard.press("ArrowRight")
    expect(clock).to_have_text(re.compile("^0:01.5"))
    page.keyboard.press("n")
    expect(name).to_have_text("bare")
    page.keyboard.press("?")
    expect(page.locator("#shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#shortcuts")).to_be_hidden()


def test_zoom_pan_and_fit(page):
    fitted = timeline_pixels(page)
    box = page.locator("#timeline").bounding_box()
    page.mouse.move(box["x"] + 400, box["y"] + 40)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -120)
    page.keyboard.up("Control")
    zoomed = timeline_pixels(page)
    page.mouse.down()
    page.mouse.move(box["x"] + 300, box["y"] + 40, steps=3)
    page.mouse.up()
    assert len({fitted, zoomed, timeline_pixels(page)}) == 3
    page.click("#fit")
    page.mouse.move(0, 0)
    assert timeline_pixels(page) == fitted


def test_filters_by_class_and_score(page):
    expect_label(page, "1 ground truth, 1 predictions, 2 proposals")
    page.locator("#threshold").fill("0.5")
    expect_label(page, "1 ground truth, 1 predictions, 1 proposals")
    chip = page.locator("#chips button").first
    chip.click()
    expect(chip).to_have_attribute("aria-pressed", "false")
    expect_label(page, "0 ground truth, 0 predictions, 0 proposals")
    page.fill("#search", "bar")
    expect(page.locator("#videos li:visible")).to_have_count(1)
    expect(page.locator("#count")).to_have_text("1 of 3 videos")


def test_time_budget_has_bars_in_the_colors_of_the_classes(page):
    bars = page.locator("#budget td.share").filter(visible=True)
    expect(bars).to_have_count(2)
    annotated, predicted = (bars.last.locator(f".{side}").bounding_box() for side in ("annotated", "predicted"))
    assert predicted["width"] == pytest.approx(annotated["width"] / 2, abs=1) and predicted["y"] > annotated["y"]
    fill = "element => getComputedStyle(element).fill"
    colors = [bars.nth(index).locator(".predicted").evaluate(fill) for index in range(2)]
    assert len({*colors}) == 2 and bars.first.locator(".annotated").evaluate(fill) == "none"
    by_video = page.get_by_role("region", name="agreement per video")
    expect(by_video).to_be_hidden()
    page.get_by_text("Agreement on each video, lowest kappa first").click()
    expect(by_video.locator("tbody tr")).to_have_count(2)


def test_video_that_cannot_be_played_is_reported(page):
    page.get_by_role("button", name="bare").click()
    expect(page.locator("#player-error")).to_be_visible()
    expect(page.locator("#player-error")).to_contain_text("gone.mp4 cannot be played")


def test_similarity_of_classes_has_a_tooltip(page):
    canvas = page.locator("#similarity")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + 170 + 60, box["y"] + 110 + 20)
    expect(page.locator("#similarity-tooltip")).to_have_text(f"run and {HOSTILE}: 0.00")


def test_page_supports_dark_theme_narrow_screens_and_print(page):
    light = timeline_pixels(page)
    page.emulate_media(color_scheme="dark")
    assert timeline_pixels(page) != light
    page.set_viewport_size({"width": 380, "height": 800})
    timeline_pixels(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 380
    assert page.pdf().startswith(b"%PDF")


@pytest.mark.parametrize("width", [1200, 380])
def test_links_scroll_to_their_headings_and_captions_fit(runs, browser, tmp_path, width):
    write_report(tmp_path / "page.html", collect_report_data(runs, tmp_path / "page.html"))
    context = browser.new_context(viewport={"width": width, "height": 400}, reduced_motion="reduce")
    for section in ("timelines", "scores", "precision", "errors", "training", "memory"):
        page = open_report(context, tmp_path / "page.html")
        page.click(f"nav a[href='#{section}']")
        wait_until(lambda page=page, section=section: page.evaluate(IS_AT_HEADING, section))
        ends = page.evaluate("[...document.querySelectorAll('caption')].map(c => c.getBoundingClientRect().right)")
        assert max(ends) <= width
        page.close()
    context.close()


def test_opacity_has_one_scale_and_the_threshold_starts_at_the_lowest_score(browser, tmp_path):
    timelines = [
        empty_timeline(str(score), (Segment("run", 0, 1, score), Segment("run", 2, 3, 2 * score)))
        for score in (0.45, 0.0011)
    ]
    write_report(tmp_path / "page.html", make_report(*timelines))
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.goto((tmp_path / "page.html").as_uri())
    strong = timeline_pixels(page)
    slider, value = page.locator("#threshold"), page.locator("#threshold-value")
    expect(slider).to_have_attribute("aria-valuetext", "0.45")
    expect(value).to_have_text("0.45")
    expect(page.locator("#printed")).to_be_hidden()
    page.locator("#timeline").focus()
    page.keyboard.press("n")
    assert timeline_pixels(page) != strong, "low scores are drawn as strongly as high ones"
    expect(slider).to_have_attribute("aria-valuetext", "0.0011")
    expect(value).to_have_text("0.0011")
    page.emulate_media(media="print")
    expect(page.locator("#printed")).to_contain_text("1 of 2 videos")
    page.close()


@pytest.mark.slow
def test_page_of_thumos_is_fast(shared, tmp_path, browser):
    """No step takes more than 100 ms of the processor time of the page."""
    write_report(tmp_path / "page.html", thumos_report(shared))
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    meter = CpuMeter(page)
    page.goto((tmp_path / "page.html").as_uri())
    wait_until_drawn(page)
    assert meter.total() < 2
    box = page.locator("#timeline").bounding_box()
    page.mouse.move(box["x"] + 500, box["y"] + 100)
    page.locator("#timeline").focus()
    costs = [meter.measure(lambda: page.keyboard.press("n")) for _ in range(10)]
    costs += [meter.measure(lambda: page.mouse.wheel(0, 200)) for _ in range(5)]
    page.keyboard.down("Control")
    costs += [meter.measure(lambda: page.mouse.wheel(0, -60)) for _ in range(10)]
    page.keyboard.up("Control")
    page.close()
    assert max(costs) < 0.1, [round(1000 * cost) for cost in costs]
