"""Screenshots of the documentation, taken in a real Chromium.

`python -m docs.screenshots PAGE` takes the one of the report. PAGE was written by `wtal report` or `wtal demo`; the
default is demo/report.html. `python -m docs.screenshots URL` takes those of the web page, in both themes. URL was
printed by `wtal serve`, or by `wtal start` for a project without a model, of which it takes the one of tagging.
`python -m docs.screenshots URL --gif` records docs/page.gif: what a person does on the page.
"""

import io
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.browser import open_chromium
from wtal.reporting.figures.colors import PALETTE

DOCS = Path(__file__).parent
REPORT_SIZE, WEB_SIZE = (1200, 900), (1280, 720)  # pixels
GIF_SIZE, GIF_COLORS = (896, 504), 256
SAVED_AT = "2026-01-01T12:00:00Z"
SETTLE = "document.activeElement.blur(); new Promise(done => setTimeout(done, 1000))"
# A picture of the mouse pointer, which screenshots do not have.
ADD_POINTER = """() => {
  const pointer = document.createElement("div");
  Object.assign(pointer.style, { position: "fixed", zIndex: 9, width: "16px", height: "22px", pointerEvents: "none",
    background: "#111827", filter: "drop-shadow(0 0 1px white)", left: "-30px",
    clipPath: "polygon(0 0, 0 80%, 25% 62%, 45% 100%, 62% 92%, 45% 56%, 75% 55%)" });
  document.body.append(pointer);
  addEventListener("mousemove", ({ clientX: x, clientY: y }) =>
    Object.assign(pointer.style, { left: `${x}px`, top: `${y}px` }), true);
}"""


def take_report(browser: Any, path: Path) -> None:
    """Write docs/report.png: the first video with a selected segment."""
    with _open(browser, path.absolute().as_uri(), REPORT_SIZE, "light") as page:
        page.locator("#timeline[height]").wait_for()
        page.locator("#timeline").focus()
        for _ in range(3):
            page.keyboard.press("ArrowDown")
        page.evaluate("document.querySelector('#timelines').scrollIntoView()")
        page.evaluate(SETTLE)
        page.screenshot(path=DOCS / "report.png")


def take_web(browser: Any, url: str) -> None:
    """Write docs/web.png and docs/web-dark.png: the first video, which must be processed, with a corrected edge.

    Nothing is saved.
    """
    for theme, name in (("light", "web.png"), ("dark", "web-dark.png")):
        with _open_web(browser, url, theme) as page:
            page.locator("#timeline").focus()
            for key in ("ArrowDown", *["ArrowRight"] * 4, "]", "ArrowDown", "ArrowRight"):
                page.keyboard.press(key)
            page.locator("#save-status", has_text=re.compile("^Saved")).wait_for()
            page.evaluate(SETTLE)
            page.screenshot(path=DOCS / name)


def take_tagging(browser: Any, url: str) -> None:
    """Write docs/tagging.png: the page of a project without a model, with two selected videos."""
    with _open(browser, url, WEB_SIZE, "light") as page:
        page.locator("#tag-grid .loaded").first.wait_for()
        page.locator("#tag-grid li").nth(1).click()
        page.keyboard.press("Shift+ArrowRight")
        page.evaluate(SETTLE)
        page.screenshot(path=DOCS / "tagging.png")


def _has_model(browser: Any, url: str) -> bool:
    with _open(browser, url, WEB_SIZE, "light") as page:
        page.wait_for_load_state("networkidle")
        return not page.locator("#tagging").is_visible()


def record_web(browser: Any, url: str) -> None:
    """Write docs/page.gif: lower the threshold, play, drag an edge, move a segment, mark as reviewed.

    Nothing is saved.
    """
    images: list[Image.Image] = []
    durations: list[int] = []  # ms

    def show(milliseconds: int) -> None:
        picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        images.append(picture.resize(GIF_SIZE, Image.Resampling.LANCZOS))
        durations.append(milliseconds)

    def move(start: tuple[float, float], end: tuple[float, float], steps: int = 5) -> None:
        for i in range(1, steps + 1):
            page.mouse.move(*(a + (b - a) * i / steps for a, b in zip(start, end, strict=True)))
            show(120)

    with _open_web(browser, url, "light") as page:
        page.evaluate(ADD_POINTER)
        page.evaluate(SETTLE)
        show(1500)
        slider = page.locator("#threshold").bounding_box()
        y, left = slider["y"] + slider["height"] / 2, slider["x"] + 8
        thumb = left + (slider["width"] - 16) * page.locator("#threshold").evaluate(
            "slider => (slider.value - slider.min) / (slider.max - slider.min)"
        )
        page.mouse.move(thumb, y)
        page.mouse.down()
        move((thumb, y), (left, y))
        page.mouse.up()
        show(900)
        page.locator("#reset-threshold").click()
        show(600)
        page.locator("#timeline").focus()
        page.keyboard.press("ArrowDown")
        page.keyboard.press(" ")
        for _ in range(6):
            page.wait_for_timeout(250)
            show(250)
        page.keyboard.press(" ")
        start, y = _find_edge(page)
        page.mouse.move(start, y)
        page.mouse.down()
        move((start, y), (start - 40, y))
        page.mouse.up()
        show(900)
        page.mouse.move(-30, -30)
        for key in ("ArrowDown", *["Shift+ArrowLeft"] * 4):
            page.keyboard.press(key)
            show(250)
        show(900)
        page.keyboard.press("r")
        page.locator("#save-status", has_text=re.compile("^Saved")).wait_for()  # else it would be saved at the end
        show(1500)
    palette = _sample_colors([images[0], images[len(images) // 2], images[-1]]).quantize(GIF_COLORS)
    frames = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    frames[0].save(
        DOCS / "page.gif", save_all=True, append_images=frames[1:], duration=durations, loop=0, optimize=True
    )


def _sample_colors(images: list[Image.Image]) -> Image.Image:
    """An image with the colors of some frames, and with those of the classes, which are rare in them."""
    width, height = images[0].size
    strip = 40  # pixels for each class
    sample = Image.new("RGB", (width, height * len(images) + strip * len(PALETTE)))
    for i, image in enumerate(images):
        sample.paste(image, (0, height * i))
    for i, color in enumerate(PALETTE):
        sample.paste(color, (0, height * len(images) + strip * i, width, height * len(images) + strip * (i + 1)))
    return sample


def _find_edge(page: Any) -> tuple[float, float]:
    """Where the left edge of a segment of the first lane can be dragged."""
    box = page.locator("#timeline").bounding_box()
    x, y = box["x"] + box["width"] / 3, box["y"] + 33
    while page.evaluate("document.querySelector('#timeline').className") != "edge":
        x += 2
        page.mouse.move(x, y)
    return x, y


@contextmanager
def _open(browser: Any, url: str, size: tuple[int, int], theme: str) -> Iterator[Any]:
    page = browser.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=theme)
    page.route("**/corrections", lambda route: route.fulfill(json={"revision": 0, "saved": SAVED_AT}))
    page.goto(url)
    yield page
    page.close()


@contextmanager
def _open_web(browser: Any, url: str, theme: str) -> Iterator[Any]:
    with _open(browser, url, WEB_SIZE, theme) as page:
        page.locator("#segments button").first.wait_for()
        yield page


def main(arguments: list[str]) -> None:
    """Take the screenshots of a file or a URL."""
    if "--help" in arguments:
        print(__doc__)
        return
    if unknown := [argument for argument in arguments if argument.startswith("-") and argument != "--gif"]:
        sys.exit(f"{__doc__}\nunknown option {unknown[0]}")
    target = next((argument for argument in arguments if argument != "--gif"), "demo/report.html")
    if not target.startswith("http") and not Path(target).is_file():
        sys.exit(
            f"{target}: no such file; run `wtal demo` first, or pass the path of a report or the URL of a web page"
        )
    with open_chromium() as browser:
        if "--gif" in arguments:
            record_web(browser, target)
        elif target.startswith("http"):
            (take_web if _has_model(browser, target) else take_tagging)(browser, target)
        else:
            take_report(browser, Path(target))


if __name__ == "__main__":
    main(sys.argv[1:])
