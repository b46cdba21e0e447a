"""Screenshots of the documentation, taken in a real Chromium.

`python -m docs.screenshots PAGE` takes the one of the report. PAGE was written by `wtal report` or `wtal demo`; the
default is demo/report.html. `python -m docs.screenshots URL` takes the one of the web page. URL was printed by
`wtal serve`, or by `wtal start` for a project without a model, of which it takes the one of tagging.
"""

import re
import shutil
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

DOCS = Path(__file__).parent
REPORT_SIZE, WEB_SIZE = (1200, 900), (1280, 720)  # pixels
SAVED_AT = "2026-01-01T12:00:00Z"
SETTLE = "document.activeElement.blur(); new Promise(done => setTimeout(done, 1000))"


def take_report(page: Any, path: Path) -> None:
    """Write docs/report.png: the first video with a selected segment."""
    page.goto(path.absolute().as_uri())
    page.locator("#timeline[height]").wait_for()
    page.locator("#timeline").focus()
    for _ in range(3):
        page.keyboard.press("ArrowDown")
    page.evaluate("document.querySelector('#timelines').scrollIntoView()")
    page.evaluate(SETTLE)
    page.screenshot(path=DOCS / "report.png")


def take_web(page: Any, url: str) -> None:
    """Write docs/web.png: the first video, which must be processed, with a corrected edge. Nothing is saved."""
    page.route("**/corrections", lambda route: route.fulfill(json={"revision": 0, "saved": SAVED_AT}))
    page.goto(url)
    page.locator("#segments button").first.wait_for()
    page.locator("#timeline").focus()
    for key in ("ArrowDown", *["ArrowRight"] * 4, "]", "ArrowDown", "ArrowRight"):
        page.keyboard.press(key)
    page.locator("#save-status", has_text=re.compile("^Saved")).wait_for()
    page.evaluate(SETTLE)
    page.screenshot(path=DOCS / "web.png")


def take_tagging(page: Any) -> None:
    """Write docs/tagging.png: the page of a project without a model, with two selected videos."""
    page.locator("#tag-grid .loaded").first.wait_for()
    page.locator("#tag-grid li").nth(1).click()
    page.keyboard.press("Shift+ArrowRight")
    page.evaluate(SETTLE)
    page.screenshot(path=DOCS / "tagging.png")


def main(target: str) -> None:
    """Take the screenshot of a file or a URL, with the light theme."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        sys.exit("Chromium is not installed")
    is_web = target.startswith("http")
    width, height = WEB_SIZE if is_web else REPORT_SIZE
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme="light")
        if is_web:
            page.goto(target)
            page.wait_for_load_state("networkidle")
            if page.locator("#tagging").is_visible():
                take_tagging(page)
            else:
                take_web(page, target)
        else:
            take_report(page, Path(target))
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "demo/report.html")
