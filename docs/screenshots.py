"""The pictures of the pages in the documentation, in a real Chromium.

`python -m docs.screenshots PAGE` draws the report: PAGE is what `wtal report` or `wtal demo` wrote; without it,
demo/report.html. `python -m docs.screenshots ADDRESS` draws the web page: ADDRESS is what `wtal serve` printed.
"""

import re
import shutil
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

SAVED = "2026-01-01T12:00:00Z"
DOCS = Path(__file__).parent
SETTLED = "document.activeElement.blur(); new Promise(done => setTimeout(done, 1000))"


def report(shown: Any, page: Path) -> None:
    """docs/report.png, as a reader sees it who looks at the first video."""
    shown.goto(page.absolute().as_uri())
    shown.wait_for_function("document.querySelector('#lanes').height > 200")
    shown.locator("#timelines").scroll_into_view_if_needed()
    shown.locator("#lanes").focus()
    for _ in range(3):
        shown.keyboard.press("ArrowDown")
    shown.evaluate(SETTLED)
    shown.screenshot(path=DOCS / "report.png")


def web(shown: Any, address: str) -> None:
    """docs/web.png: the first video, which was looked at before, and an edge corrected; nothing of it is kept."""
    shown.route("**/corrections", lambda asked: asked.fulfill(json={"revision": 0, "saved": SAVED}))
    shown.goto(address)
    shown.locator("#segments button").first.wait_for()
    shown.locator("#lanes").focus()
    for key in ("ArrowDown", *["ArrowRight"] * 4, "]", "ArrowDown", "ArrowRight"):
        shown.keyboard.press(key)
    shown.locator("#saved", has_text=re.compile("^saved")).wait_for()
    shown.evaluate(SETTLED)
    shown.screenshot(path=DOCS / "web.png")


def main(what: str) -> None:
    """Write the picture, light."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        sys.exit("there is no Chromium here; install chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": 1200, "height": 900}, color_scheme="light")
        if what.startswith("http"):
            shown.set_viewport_size({"width": 1200, "height": 1260})
            web(shown, what)
        else:
            shown.set_viewport_size({"width": 1200, "height": 840})
            report(shown, Path(what))
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "demo/report.html")
