"""Size, loading time and responsiveness of the HTML report of 212 videos with synthetic proposals, in Chromium."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.browser import FIRST_PAINT, TWO_FRAMES, open_chromium
from wtal.core.structures import Segment
from wtal.inference.postprocessing import top_non_overlapping
from wtal.reporting.figures.layout import TimelineData
from wtal.reporting.html.collect import ReportData
from wtal.reporting.html.render import write_report

VIDEOS, PROPOSALS_PER_VIDEO, SEGMENTS_PER_VIDEO = 212, 150, 16
CLASSES = tuple(f"class {index}" for index in range(20))
SNIPPET_SECONDS = 0.64
REPEATS = 5
OBSERVE_LONG_TASKS = (
    "window.longTasks = []; "
    "new PerformanceObserver(list => longTasks.push(...list.getEntries())).observe({type: 'longtask'})"
)
LONGEST_TASK = "Math.max(0, ...longTasks.splice(0).map(task => task.duration))"


def measure() -> list[str]:
    """The lines of the section."""
    with tempfile.TemporaryDirectory() as folder, open_chromium() as browser:
        path = Path(folder) / "report.html"
        write_report(path, ReportData("synthetic", (), CLASSES, _timelines()))
        size = path.stat().st_size
        visits = [_visit(browser, path) for _ in range(REPEATS)]
    first_paint = median(paint for paint, _ in visits)
    longest = {name: max(tasks[name] for _, tasks in visits) for name in visits[0][1]}
    actions = ", ".join(f"{name} {task:.0f} ms" if task else f"{name} none" for name, task in longest.items())
    return [
        f"{VIDEOS} videos with {VIDEOS * PROPOSALS_PER_VIDEO:,} synthetic proposals: {size / 1e6:.2f} MB; first paint "
        f"after {first_paint / 1000:.2f} s (median of {REPEATS}).",
        "",
        f"Longest task of at least 50 ms in {REPEATS} visits: {actions}.",
    ]


def _visit(browser: Any, path: Path) -> tuple[float, dict[str, float]]:
    """Milliseconds until the first paint, and of the longest task of each action."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.add_init_script(OBSERVE_LONG_TASKS)
    page.goto(path.as_uri())
    page.locator("#timeline[height]").wait_for()
    page.evaluate(TWO_FRAMES)
    first_paint = page.evaluate(FIRST_PAINT)
    page.locator("#timeline").focus()
    box = page.locator("#timeline").bounding_box()
    page.mouse.move(box["x"] + 500, box["y"] + 100)
    longest = {
        "opening": _longest_task(page),
        "scrolling": _longest_task(page, lambda: page.mouse.wheel(0, 300), 20),
        "next video": _longest_task(page, lambda: page.keyboard.press("n"), 20),
        "zooming": _longest_task(page, lambda: page.keyboard.press("+"), 10),
        "stepping": _longest_task(page, lambda: page.keyboard.press("ArrowRight"), 20),
    }
    page.close()
    return first_paint, longest


def _longest_task(page: Any, action: Callable[[], object] = lambda: None, times: int = 1) -> float:
    for _ in range(times):
        action()
        page.evaluate(TWO_FRAMES)
    return page.evaluate(LONGEST_TASK)


def _timelines() -> Iterator[TimelineData]:
    """Videos as long as the testing videos of THUMOS14: 1 to 26 minutes."""
    rng = np.random.default_rng(0)
    for index in range(VIDEOS):
        snippets = int(np.clip(rng.lognormal(5.5, 0.7), 100, 2500))
        end = snippets * SNIPPET_SECONDS
        segments = tuple(Segment(*_random_segment(rng, end)) for _ in range(SEGMENTS_PER_VIDEO))
        proposals = [Segment(*_random_segment(rng, end), rng.random() ** 3) for _ in range(PROPOSALS_PER_VIDEO)]
        curves = np.arange(snippets + 1) * SNIPPET_SECONDS, rng.random(snippets), rng.random((snippets, len(CLASSES)))
        yield TimelineData(f"video {index}", end, segments, top_non_overlapping(proposals), proposals, *curves)


def _random_segment(rng: np.random.Generator, end: float) -> tuple[str, float, float]:
    length = min(end, rng.exponential(4.0) + 0.5)
    start = rng.uniform(0, end - length)
    return CLASSES[rng.integers(2)], start, start + length
