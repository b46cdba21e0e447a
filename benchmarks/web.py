"""Loading time and responsiveness of the web page in Chromium: a folder of 1,000 videos, and 10,000 segments."""

import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.browser import FIRST_PAINT, TWO_FRAMES, CpuMeter, open_chromium
from benchmarks.measure import run_command
from wtal.core.structures import Segment
from wtal.core.text import markdown_table
from wtal.data.create import create_dataset
from wtal.data.synthetic.movie_plans import MovieConfig
from wtal.data.synthetic.rendering import ACTIONS
from wtal.data.synthetic.videos import write_movies
from wtal.inference.calibration import CALIBRATION_NAME
from wtal.video.backbones.registry import BackboneOptions
from wtal.web.api import create_app
from wtal.web.predictions import StoredPrediction, prediction_path, write_prediction
from wtal.web.server import create_server
from wtal.web.service import AnnotationService, open_service

VIDEOS, SEGMENTS = 1000, 10_000
VIEWPORT = {"width": 1280, "height": 720}
REPEATS = 5
STEPS = 20  # of each action
MODEL_OUTPUT, EDITED = "long output.mp4", "long edited.mp4"
NOW = "performance.now()"
TIMELINE_CLASS = "document.querySelector('#timeline').className"


def measure() -> list[str]:
    """The lines of the section."""
    with open_chromium() as browser, tempfile.TemporaryDirectory() as folder, _serve(Path(folder)) as url:
        visits = [_visit(browser, url) for _ in range(REPEATS)]
        costs = _measure_output(browser, url) | _measure_edited(browser, url)
        budget = _measure_budget(browser, url) / 1000
    paint, listed = (median(times) / 1000 for times in zip(*visits, strict=True))
    rows = [(action, f"{1000 * median(steps):.0f}", f"{1000 * max(steps):.0f}") for action, steps in costs.items()]
    return [
        f"A folder with {VIDEOS:,} predicted videos: first paint after {paint:.2f} s, list and timeline after "
        f"{listed:.2f} s (medians of {REPEATS}). Time budget of all videos: {budget:.1f} s.",
        "",
        f"Processor time for a step and the frame that shows it, with {SEGMENTS:,} segments; {STEPS} steps:",
        "",
        *markdown_table(("action", "median, ms", "longest, ms"), rows),
    ]


def _visit(browser: Any, url: str) -> tuple[float, float]:
    """Milliseconds until the first paint, and until the list and a timeline are shown."""
    page = browser.new_page(viewport=VIEWPORT)
    page.goto(f"{url}/#video=video 0000.mp4")
    page.locator("#videos button[aria-current]").wait_for()
    page.locator("#timeline[height]").wait_for()
    page.evaluate(TWO_FRAMES)
    times = page.evaluate(FIRST_PAINT), page.evaluate(NOW)
    page.close()
    return times


def _measure_budget(browser: Any, url: str) -> float:
    """Milliseconds until the time budget of all videos is shown."""
    page = browser.new_page(viewport=VIEWPORT)
    page.goto(f"{url}/#video=video 0000.mp4")
    page.locator("#timeline[height]").wait_for()
    page.click("#show-budget")
    page.locator("#budget-caption", has_text="1 video").wait_for()
    start = page.evaluate(NOW)
    page.check("#budget-all")
    page.locator("#budget-caption", has_text=f"{VIDEOS + 2} videos").wait_for()
    duration = page.evaluate(NOW) - start
    page.close()
    return duration


def _measure_output(browser: Any, url: str) -> dict[str, list[float]]:
    """Move the confidence threshold of the model output."""
    with _open(browser, url, MODEL_OUTPUT) as (page, meter):
        page.locator("#threshold").focus()
        return {
            "confidence threshold": [meter.measure(lambda: page.keyboard.press("ArrowRight")) for _ in range(STEPS)],
            "zoom": [meter.measure(lambda: page.keyboard.press("+")) for _ in range(STEPS)],
        }


def _measure_edited(browser: Any, url: str) -> dict[str, list[float]]:
    """Drag an edge, a whole segment, and the range."""
    with _open(browser, url, EDITED) as (page, meter):
        page.locator("#timeline").focus()
        for key in ("ArrowDown", *"++++++++++"):
            page.keyboard.press(key)
        page.evaluate(TWO_FRAMES)
        box = page.locator("#timeline").bounding_box()
        y = box["y"] + 33  # the lane of edited segments
        edge, whole = (_find(page, box["x"] + 300, y, name) for name in ("edge", "whole"))
        return {
            name: _drag(page, meter, x, y)
            for name, x, y in (("drag an edge", edge, y), ("drag a segment", whole, y), ("pan", whole, y + 90))
        }


def _find(page: Any, x: float, y: float, class_name: str) -> float:
    """The first position from x on where the timeline has a class: that of what a drag would move."""
    while page.evaluate(TIMELINE_CLASS) != class_name:
        x += 2
        page.mouse.move(x, y)
    return x


def _drag(page: Any, meter: CpuMeter, x: float, y: float) -> list[float]:
    page.mouse.move(x, y)
    page.mouse.down()
    costs = [meter.measure(lambda i=i: page.mouse.move(x + 3 * i, y)) for i in range(1, STEPS + 1)]
    page.mouse.up()
    page.evaluate(TWO_FRAMES)
    return costs


@contextmanager
def _open(browser: Any, url: str, name: str) -> Iterator[tuple[Any, CpuMeter]]:
    """A page with a video, and the meter of its processor time."""
    page = browser.new_page(viewport=VIEWPORT)
    page.goto(f"{url}/#video={name}")
    page.locator("#caption", has_text=f"{SEGMENTS} segments").wait_for()
    page.evaluate(TWO_FRAMES)
    yield page, CpuMeter(page)
    page.close()


@contextmanager
def _serve(folder: Path) -> Iterator[str]:
    """The address of a server for a folder of many videos."""
    sources = _write_run(folder)
    videos = folder / "videos"
    videos.mkdir()
    for name in (*(f"video {i:04d}.mp4" for i in range(VIDEOS)), MODEL_OUTPUT, EDITED):
        (videos / name).write_bytes(sources.read_bytes() + name.encode())  # the content of each differs
    store = videos / "timelines"
    with (
        open_service(folder / "run", videos, store, BackboneOptions("tiny")) as service,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        _write_predictions(service)
        server = create_server(create_app(service))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def _write_run(folder: Path) -> Path:
    """Train a model for some steps on synthetic videos. Returns one of the videos."""
    count = len(ACTIONS)
    write_movies(folder / "movies", MovieConfig(training=count, validation=count, testing=count))
    movies, data = folder / "movies" / "videos", folder / "data"
    create_dataset(data, movies, [folder / "movies" / "tags.csv"])
    run_command("extract", str(data), "--backbone", "tiny")
    run_command("train", str(data), "--out", str(folder / "run"), "--method", "local", "--set", "train.steps=4")
    (folder / "run" / CALIBRATION_NAME).unlink(missing_ok=True)  # all predictions are made up, and are shown
    return next(movies.glob("*.mp4"))


def _write_predictions(service: AnnotationService) -> None:
    rng = np.random.default_rng(0)
    classes = service.models.active.meta.classes
    for key, file in service.library.files().items():
        is_long = file.name in (MODEL_OUTPUT, EDITED)
        count, length = (SEGMENTS, SEGMENTS) if is_long else (20, 60)
        starts = np.linspace(0, length, count, endpoint=False)
        segments = tuple(
            Segment(classes[rng.integers(len(classes))], float(start), float(start) + 0.5 * length / count, score)
            for start, score in zip(starts, 0.5 + 0.5 * rng.random(count), strict=True)
        )
        prediction = StoredPrediction(
            *(file.name, service.library.fingerprint(file), 25.0, classes, segments),
            np.arange(length + 1.0),  # snippets of a second
            rng.random(length, np.float32),
            rng.random((length, len(classes))).astype(np.float16),
        )
        write_prediction(prediction_path(service.store, file, service.model), prediction)
        if file.name == EDITED:
            edited = [segment._replace(score=None) for segment in segments]
            service.save(key, edited, 0, file.version)
