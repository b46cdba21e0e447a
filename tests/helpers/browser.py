"""Chromium for tests of the pages."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from benchmarks.browser import TWO_FRAMES, find_chromium, open_chromium


@contextmanager
def chromium() -> Iterator[Any]:
    """The browser, as an object of Playwright, until the block ends. Skips the test if there is none."""
    if find_chromium() is None:
        pytest.skip("Chromium is not installed")
    pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with open_chromium() as browser:
        yield browser


def wait_until_drawn(page: Any) -> None:
    """Wait until the timeline is drawn. (Playwright's `wait_for_function` needs eval, which the pages forbid.)"""
    page.locator("#timeline[height]").wait_for()
    page.evaluate(TWO_FRAMES)


def timeline_pixels(page: Any) -> str:
    """The image of the timeline, after pending changes were drawn."""
    page.evaluate(TWO_FRAMES)
    return page.evaluate("document.querySelector('#timeline').toDataURL()")
