"""The pictures of the report in the documentation: `python -m docs.screenshots PAGE`, in a real Chromium.

PAGE is what `wtal report` or `wtal demo` wrote; without it, demo/report.html.
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

DOCS = Path(__file__).parent


def main(page: Path) -> None:
    """Write docs/report.png, light, as a reader sees it who looks at the first video."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        sys.exit("there is no Chromium here; install chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": 1200, "height": 840}, color_scheme="light")
        shown.goto(page.absolute().as_uri())
        shown.wait_for_function("document.querySelector('#lanes').height > 200")
        shown.locator("#timelines").scroll_into_view_if_needed()
        shown.locator("#lanes").focus()
        for _ in range(3):
            shown.keyboard.press("ArrowDown")
        shown.evaluate("document.activeElement.blur(); new Promise(done => setTimeout(done, 500))")
        shown.screenshot(path=DOCS / "report.png")
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo/report.html"))
