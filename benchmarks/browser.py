"""Chromium for measurements and screenshots of the pages."""

import shutil
from collections.abc import Iterator
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
