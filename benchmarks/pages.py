"""The report of a full test set in a real Chromium: how large it is, and how soon and how smoothly it is there."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from playwright.sync_api import sync_playwright

from wtal.core.structures import Segment
from wtal.inference.proposals import top_non_overlapping
from wtal.reporting.figures.layout import TimelineData
from wtal.reporting.html.collect import ReportData
from wtal.reporting.html.render import write_report

VIDEOS, PROPOSALS, ACTIONS, CLASSES = 212, 150, 16, 20
SNIPPET = 0.64  # seconds
WATCH = "window.slow = []; new PerformanceObserver(l => slow.push(...l.getEntries())).observe({type: 'longtask'})"
PAINTED = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
DRAWN = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


def rows() -> list[str]:
    """Lines of Markdown; says so where there is no Chromium."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        return ["not measured: there is no Chromium here"]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        place = Path(folder) / "report.html"
        write_report(place, ReportData("made up", (), _names(), _panels()))
        size = place.stat().st_size
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        opened = [_opened(browser, place) for _ in range(5)]
        browser.close()
    painted = median(paint for paint, _ in opened)
    steps = {name: max(slow[name] for _, slow in opened) for name in opened[0][1]}
    slowest = ", ".join(f"{name} {slow:.0f} ms" if slow else f"{name} none" for name, slow in steps.items())
    return [
        f"{VIDEOS} videos, {VIDEOS * PROPOSALS:,} proposals, made up: {size / 1e6:.2f} MB; first paint after "
        f"{painted / 1000:.2f} s (median of five).",
        "",
        f"The longest task of 50 ms or more, of five times: {slowest}.",
    ]


def _opened(browser: Any, place: Path) -> tuple[float, dict[str, float]]:
    """Milliseconds until the page is painted, and of the longest task of each thing that a reader does."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.add_init_script(WATCH)
    page.goto(place.as_uri())
    page.wait_for_function("document.querySelector('#lanes').height > 200")
    page.evaluate(DRAWN)
    painted = page.evaluate(PAINTED)
    page.locator("#lanes").focus()
    box = page.locator("#lanes").bounding_box()
    page.mouse.move(box["x"] + 500, box["y"] + 100)
    slow = {
        "opening": _longest(page),
        "scrolling": _longest(page, lambda: page.mouse.wheel(0, 300), 20),
        "the next video": _longest(page, lambda: page.keyboard.press("n"), 20),
        "zooming": _longest(page, lambda: page.keyboard.press("+"), 10),
        "moving": _longest(page, lambda: page.keyboard.press("ArrowRight"), 20),
    }
    page.close()
    return painted, slow


def _longest(page: Any, step: Callable[[], object] = lambda: None, times: int = 1) -> float:
    for _ in range(times):
        step()
        page.evaluate(DRAWN)
    return page.evaluate("Math.max(0, ...slow.splice(0).map(task => task.duration))")


def _names() -> tuple[str, ...]:
    return tuple(f"class {number}" for number in range(CLASSES))


def _panels() -> Iterator[TimelineData]:
    """Videos as long as those of THUMOS14, whose testing videos have 1 to 26 minutes."""
    draw = np.random.default_rng(0)
    for number in range(VIDEOS):
        snippets = int(np.clip(draw.lognormal(5.5, 0.7), 100, 2500))
        end = snippets * SNIPPET
        actions = tuple(Segment(*_segment(draw, end)) for _ in range(ACTIONS))
        found = [Segment(*_segment(draw, end), draw.random() ** 3) for _ in range(PROPOSALS)]
        curves = np.arange(snippets + 1) * SNIPPET, draw.random(snippets), draw.random((snippets, CLASSES))
        yield TimelineData(f"video {number}", end, actions, top_non_overlapping(found), found, *curves)


def _segment(draw: np.random.Generator, end: float) -> tuple[str, float, float]:
    length = min(end, draw.exponential(4.0) + 0.5)
    start = draw.uniform(0, end - length)
    return _names()[draw.integers(2)], start, start + length
