"""The web page in Chromium, as a person uses it: a site with videos, visitors, and what they do."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from tests.helpers.processes import wait_until
from tests.helpers.server import RunningServer
from wtal.core.structures import Segment
from wtal.web.predictions import StoredPrediction, prediction_path, write_prediction
from wtal.web.videos import video_key

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
expect = playwright.expect

TIMEOUT = 120_000  # ms; only reached when something is broken
LEFT, RIGHT, WEAK = Segment("left", 1, 2, 0.9), Segment("right", 3, 4, 0.6), Segment("left", 4.6, 5.2, 0.2)
DURATION = 6.0  # seconds of each video
# Of the layout of the timeline, in pixels.
NAME_WIDTH, CURVE_NAME_WIDTH, RULER_HEIGHT, LANE_HEIGHT = 108, 100, 24, 36
ROWS = "#segments tr:not(.spacer)"


@dataclass
class Site:
    """A server and the files of its folder."""

    server: RunningServer

    @property
    def folder(self):
        return self.server.service.library.folder

    def refresh(self) -> None:
        """Let the server see changes of the folder at once."""
        self.server.service.library.refresh()

    def rename(self, old: str, new: str) -> None:
        (self.folder / old).rename(self.folder / new)
        self.refresh()

    def add(self, name: str, segments: Sequence[Segment] = (LEFT, RIGHT, WEAK), end: float = DURATION) -> str:
        """Add a video with a prediction; its content differs from all others. Returns its name."""
        service = self.server.service
        part = self.folder / f".{name}"  # renamed when it is complete: a page may request the list at any time
        part.write_bytes((self.folder / "new.mp4").read_bytes() + name.encode())
        part.rename(self.folder / name)
        self.refresh()
        file = service.library.find(video_key(name))
        edges, attention = np.linspace(0, end, 13), np.linspace(0, 1, 12, dtype=np.float32)
        prediction = StoredPrediction(
            name,
            service.library.fingerprint(file),
            10.0,
            ("left", "right"),
            tuple(segments),
            edges,
            attention,
            np.zeros((12, 2), np.float16),
        )
        write_prediction(prediction_path(service.store, file, service.model), prediction)
        return name

    def saved(self, name: str) -> list[tuple[str, float, float]] | None:
        """The stored corrections of a video."""
        corrections = self.server.corrections(name)
        return corrections and [(s["label"], s["start"], s["end"]) for s in corrections["segments"]]


@dataclass
class Visitor:
    """Opens pages and collects the messages of their consoles."""

    site: Site
    context: Any
    messages: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def open(self, name: str = "", **viewport: int) -> Any:
        """A page with a video open."""
        page = self.context.new_page()
        if viewport:
            page.set_viewport_size(viewport)
        page.on("console", lambda message: self.messages.append(message.text))
        page.on("pageerror", lambda error: self.messages.append(str(error)))
        page.goto(f"{self.site.server.url}/#video={name}")
        if name:
            expect(page.locator("#name")).to_have_text(name)
        return page

    def expect_messages(self, text: str) -> None:
        """Messages with a text, such as the status of a failed request, may be shown at any time of the test."""
        self.expected.append(text)

    def unexpected_messages(self) -> list[str]:
        """The messages that the test did not expect."""
        return [message for message in self.messages if not any(text in message for text in self.expected)]


def intercept(page: Any, pattern: str, handle: Callable[[Any], object]) -> None:
    """Handle all requests of a page to an address from now on; those right after `page.route` may still pass."""
    page.route(pattern, handle)
    page.route("**/static/app.css?probe", lambda route: route.fulfill(body="probe"))
    probe = "fetch('/static/app.css?probe').then(response => response.text())"
    wait_until(lambda: page.evaluate(probe) == "probe")


@contextmanager
def delayed(page: Any, *patterns: str) -> Iterator[None]:
    """Requests of a page to these addresses reach the server at the end of the block, however slow the machine is."""
    routes: list[Any] = []
    is_delayed = True

    def hold(route: Any) -> None:
        if is_delayed:
            routes.append(route)
        else:
            route.continue_()

    for pattern in patterns:
        intercept(page, pattern, hold)
    yield
    is_delayed = False  # `page.unroute` may itself continue what is held
    for route in routes:
        route.continue_()


def wait_until_saved(page) -> None:
    expect(page.locator("#save-status")).to_have_text(re.compile(r"^(Saved \d\d:\d\d)?$"))


def save(page) -> None:
    page.keyboard.press("Control+s")
    wait_until_saved(page)


def update_list(page) -> None:
    """Let the page request the list of videos now, as when its window gets the focus."""
    page.evaluate("dispatchEvent(new Event('focus'))")


def expect_rows(page, count: int) -> None:
    expect(page.locator(ROWS)).to_have_count(count)


def table(page) -> list[tuple[str, str, str]]:
    """Class, start and end of each row."""
    rows = page.locator(ROWS).all()
    return [
        (row.locator("th").inner_text(), *(field.input_value() for field in row.locator("input").all())) for row in rows
    ]


def open_in_list(page, name: str) -> None:
    page.locator("#videos button", has_text=name).click()
    expect(page.locator("#name")).to_have_text(name)


def press(page, *keys: str) -> None:
    """Press keys while the timeline has the focus."""
    page.locator("#timeline").focus()
    for key in keys:
        page.keyboard.press(key)


def delete_first(page) -> None:
    page.locator("#segments button").first.click()
    page.keyboard.press("Delete")


def position(page, seconds: float, lane: int = 0) -> tuple[float, float]:
    """The position of a time in a lane on the screen, if the whole video is visible."""
    page.locator("#timeline").scroll_into_view_if_needed()
    box = page.locator("#timeline").bounding_box()
    width = box["width"] - NAME_WIDTH - CURVE_NAME_WIDTH
    return box["x"] + NAME_WIDTH + seconds / DURATION * width, box["y"] + RULER_HEIGHT + LANE_HEIGHT * lane + 9


def drag(page, start: float, end: float) -> None:
    page.mouse.move(*position(page, start))
    page.mouse.down()
    page.mouse.move(*position(page, (start + end) / 2))
    page.mouse.move(*position(page, end))
    page.mouse.up()
