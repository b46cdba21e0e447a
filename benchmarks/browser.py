"""Chromium for measurements and screenshots of the pages."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from wtal.core.errors import ConfigError

FIRST_PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
TWO_FRAMES = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


def find_chromium() -> str | None:
    """The path of the browser, None if it is not installed."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextmanager
def open_chromium() -> Iterator[Any]:
    """The browser, as an object of Playwright, until the block ends. Raises ConfigError if one of both is missing."""
    program = find_chromium()
    if program is None:
        raise ConfigError("Chromium is not installed", code="missing-program")
    try:
        from playwright.sync_api import sync_playwright  # here: tests are skipped without it
    except ImportError as error:
        raise ConfigError("Playwright is not installed", hint="run `make setup`", code="missing-package") from error
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


class CpuMeter:
    """Measures the processor time of a page, which does not depend on other processes of the machine."""

    def __init__(self, page: Any) -> None:
        self._page = page
        self._session = page.context.new_cdp_session(page)
        self._session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def total(self) -> float:
        """Seconds since the page was opened."""
        metrics = {
            metric["name"]: metric["value"] for metric in self._session.send("Performance.getMetrics")["metrics"]
        }
        return metrics["TaskDuration"]

    def measure(self, action: Callable[[], object]) -> float:
        """Seconds of an action, including drawing its result."""
        start = self.total()
        action()
        self._page.evaluate(TWO_FRAMES)
        return self.total() - start
