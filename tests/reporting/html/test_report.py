"""The report: what is packed comes back, no word of a user's is obeyed, and the numbers are the evaluation's."""

import json
import re
import shutil
from base64 import b64decode
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests.helpers.browser import chromium
from tests.helpers.executor import InProcessExecutor
from wtal import cli
from wtal.core.errors import CheckpointError, DataError
from wtal.core.structures import Segment, Video
from wtal.data.layouts.activitynet import read_activitynet, read_proposals
from wtal.evaluation.protocols import EvaluationOptions
from wtal.experiments.compare import compare
from wtal.inference.proposals import top_non_overlapping
from wtal.reporting.figures.layout import TimelineData
from wtal.reporting.html.charts import mean_curve, precision_recall, read_metrics, training_charts
from wtal.reporting.html.collect import ReportData, collect_report_data, find_runs, score, video_files
from wtal.reporting.html.encoding import pack
from wtal.reporting.html.memory import Memory, Moment, Slot
from wtal.reporting.html.render import render_page, score_sheets, write_report


def full_size(shared: Callable[..., Path]) -> ReportData:
    """THUMOS14's 212 testing videos with a published system's proposals, and curves of another one."""
    truth = [video for video in read_activitynet(shared("thumos14", "acmnet_gt.json")) if video.subset == "testing"]
    found = read_proposals(shared("thumos14", "pmil_base_test.json"))
    scores = np.load(shared("bench", "canned_cas.npz"))
    classes = tuple(sorted({action.label for video in truth for action in video.segments}))
    results = {id: top_non_overlapping(proposals) for id, proposals in found.items()}

    def panels() -> Iterator[TimelineData]:
        for video in truth:
            attention, cas = (scores[f"{video.id}/{part}"] for part in ("attn", "cas"))
            times = np.arange(len(attention) + 1) * 0.64
            lanes = video.segments, results.get(video.id, []), found.get(video.id, [])
            yield TimelineData(video.id, video.duration or times[-1], *lanes, times, attention[:, 0], cas[:, :-1])

    return ReportData(
        title="P-MIL on THUMOS14",
        facts=(),
        classes=classes,
        panels=panels(),
        scored=score({"P-MIL": [found]}, results, truth, EvaluationOptions("thumos14-212", subset="testing")),
    )


NASTY = '</script><img src=x onerror="boom()"><!--'
CLASSES = ("run", NASTY)


def panel(title: str = "a", label: str = "run", snippets: int = 6) -> TimelineData:
    draw = np.random.default_rng(0)
    found = [Segment(label, 1.0, 2.0, 0.9), Segment("run", 0.25, 1.5, 0.2)]
    actions = (Segment(label, 1.0, 2.5),)
    times = np.arange(snippets + 1) * 0.5
    cas = draw.random((snippets, 2))
    return TimelineData(title, 3.0, actions, found[:1], found, times, draw.random(snippets), cas)


def report(*panels: TimelineData, **parts: object) -> ReportData:
    return ReportData("a run", (("method", NASTY),), CLASSES, panels, **parts)


class Page(HTMLParser):
    """The elements of a page as a browser would see them: what stands in a script ends at the first </script>."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: dict[str | None, str] = {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "script":
            key = self.tags[-1][1].get("id")
            self.scripts[key] = self.scripts.get(key, "") + data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def unpack(text: str) -> dict[str, np.ndarray]:
    """What packed.py tells of the layout, read as the page reads it."""
    data = b64decode(text)
    a, r, p, t, k = counts = np.frombuffer(data, "<u4", 5).tolist()
    at = 4 * len(counts)

    def take(dtype: str, count: int) -> np.ndarray:
        nonlocal at
        part = np.frombuffer(data, dtype, count, at)
        at += part.nbytes
        return part

    told = {"range": take("<f4", 2), "edges": take("<f4", t + 1 if t else 0)}
    told |= {lane: take("<f4", 3 * n).reshape(3, n) for lane, n in (("truth", a), ("result", r), ("proposals", p))}
    told |= {name: take("<u2", n) for name, n in (("lines", k), ("a", a), ("r", r), ("p", p))}
    told |= {"attention": take("u1", t), "cas": take("u1", t * k).reshape(k, t)}
    assert at == len(data)
    return told


times = st.floats(0, 1e5, allow_nan=False)
proposals = st.builds(lambda label, a, b, score: Segment(label, min(a, b), max(a, b), score),
                      st.sampled_from(CLASSES), times, times, st.floats(-1e300, 1e300))  # fmt: skip


@given(st.lists(proposals, max_size=20), st.integers(1, 40), st.integers(0, 2**32 - 1))
@hypothesis(max_examples=30, deadline=None)
def test_what_is_packed_comes_back(found, snippets, seed):
    draw = np.random.default_rng(seed)
    attention, cas = draw.random(snippets), draw.normal(0, 5, (snippets, 3))
    edges = np.arange(snippets + 1) * 0.64
    told = unpack(pack(TimelineData("v", 9.0, (), found[:3], found, edges, attention, cas), CLASSES))
    np.testing.assert_allclose(told["edges"], edges, rtol=1e-6)
    np.testing.assert_allclose(told["proposals"][0], [p.start for p in found], rtol=1e-6, atol=1e-6)
    assert np.isfinite(told["proposals"]).all()
    assert [CLASSES[label] for label in told["p"]] == [p.label for p in found]
    assert [CLASSES[label] for label in told["r"]] == [p.label for p in found[:3]]
    np.testing.assert_allclose(told["attention"] / 255, attention, atol=1 / 255)
    assert set(told["lines"]) == {CLASSES.index(p.label) for p in found}
    low, high = told["range"]
    values = low + told["cas"] / 255 * (high - low)
    np.testing.assert_allclose(values, cas[:, told["lines"]].T, atol=(high - low) / 255)


def test_a_video_without_curves_or_segments_packs():
    told = unpack(pack(TimelineData("v", 9.0, (), [], [], np.zeros(0), np.zeros(0), np.zeros((0, 2))), CLASSES))
    assert [part.size for name, part in told.items() if name != "range"] == [0] * 10


def test_another_label_is_refused():
    with pytest.raises(DataError, match="'fly' is none of the classes"):
        pack(panel(label="fly"), CLASSES)


def test_nothing_of_a_user_is_obeyed():
    found = {NASTY: [Segment(NASTY, 1, 2, 0.5)]}
    scored = score({NASTY: [found]}, found, [video(NASTY, NASTY)], EvaluationOptions())
    text = render_page(report(panel(NASTY, NASTY), scored=scored, metrics={NASTY: np.array([[1, 2], [3, 4.0]])},
                       operating=NASTY, files={NASTY: 'x" onerror="boom()'}))  # fmt: skip
    seen = Page(text)
    assert not seen.named("img")
    assert not [name for _, attributes in seen.tags for name in attributes if name.startswith("on")]
    assert len(seen.named("script")) == 3
    index = json.loads(seen.scripts["index"])
    assert index["videos"][0]["id"] == NASTY and index["classes"][1] == NASTY


def test_half_a_letter_in_a_label_is_no_reason_to_stop(tmp_path):
    half = "\ud800"
    empty = TimelineData(half, 3.0, (), [], [], np.zeros(0), np.zeros(0), np.zeros((0, 1)))
    write_report(tmp_path / "page.html", ReportData(half, (), (half,), [empty]))
    assert "Timelines" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_the_page_asks_the_network_for_nothing():
    text = render_page(report(panel()))
    seen = Page(text)
    addresses = [a[name] for _, a in seen.tags for name in ("src", "href") if name in a]
    assert all(address.startswith(("#", "data:,")) for address in addresses)
    own = text.replace("http://www.w3.org/2000/svg", "")  # the name of SVG, which nobody opens
    assert not re.search(r"https?://|url\(|@import|fetch\(|XMLHttpRequest|WebSocket", own)
    policy = next(a["content"] for a in seen.named("meta") if a.get("http-equiv"))
    assert policy.startswith("default-src 'none'; script-src 'sha256-")


def test_what_is_not_there_is_said():
    seen = render_page(report(panel()))
    assert "nothing can be scored" in seen
    assert not any(f'id="{part}"' in seen for part in ("scores", "precision", "errors", "training", "memory"))


def test_all_averages_are_over_the_same_tious():
    found = {"a": [Segment("run", 1, 2, 0.5)]}
    scored = score({"m": [found]}, found, [video("a", "run")], EvaluationOptions(tious=(0.1, 0.3)))
    assert scored.analysis.result.tious == scored.judged.result.tious == (0.1, 0.3)
    assert "on average over 0.1-0.3" in (text := render_page(report(panel(), scored=scored))) and "0.5-0.95" not in text


def test_kinds_of_error_have_no_colour_of_a_class():
    found = {"a": [Segment("run", 1, 2, 0.5)]}
    text = render_page(report(panel(), scored=score({"m": [found]}, found, [video("a", "run")], EvaluationOptions())))
    bars = re.findall(r'<svg class="bars".*?</svg>', text, re.S)
    assert len(bars) == 2 and not any(re.search(r"<(g|rect|text) [^>]*(fill|style|class=.[ck]\d)", bar) for bar in bars)
    assert "durations not known" not in text


def test_a_trait_that_nobody_knows_says_why():
    found = {"a": [Segment("run", 1, 2, 0.5)]}
    scored = score({"m": [found]}, found, [replace(video("a", "run"), duration=None)], EvaluationOptions())
    assert render_page(report(panel(), scored=scored)).count("durations not known") == 2


@pytest.mark.parametrize("written", [None, 1234])
def test_writes_are_told_where_they_were_counted(written):
    memory = Memory(CLASSES, np.eye(2, dtype=np.float32), (Slot("run", 1, written, ()),))
    text = render_page(report(panel(), memory=memory))
    assert ("times written" in text and "<td>1,234</td>" in text) == bool(written)
    assert ("learned by gradient" in text) == (not written)


@given(st.lists(st.floats(), max_size=9))
@hypothesis(max_examples=30, deadline=None)
def test_all_videos_have_one_scale_of_scores(scores):
    panels = [
        TimelineData(str(n), 3.0, (), [], [Segment("run", 0, 1, score)], np.zeros(0), np.zeros(0), np.zeros((0, 2)))
        for n, score in enumerate([0.25, *scores])
    ]
    index = json.loads(Page(render_page(report(*panels))).scripts["index"], parse_constant=pytest.fail)
    assert index["weakest"] <= 0.25 <= index["surest"]
    finite = [score for score in scores if abs(score) < 1e38]
    assert all(index["weakest"] <= score <= index["surest"] for score in finite)


def test_the_area_under_the_mean_curve_is_map():
    draw = np.random.default_rng(1)
    truth = [video(str(i), label) for i, label in enumerate(CLASSES * 20)]
    found = {
        v.id: [Segment(v.labels[0], 1 + draw.normal(0, 0.1), 2 + draw.normal(0, 0.1), draw.random()) for _ in range(3)]
        for v in truth
    }
    scored = score({"m": [found]}, found, truth, EvaluationOptions("thumos14-212"))
    for place, expected in enumerate(scored.judged.result.map):
        curves = precision_recall(scored.judged, place)
        area = np.trapezoid(*mean_curve(curves.values())[::-1])
        assert area == pytest.approx(expected, abs=0.01)
        for label, curve in curves.items():
            own = np.trapezoid(curve[1], curve[0]) if curve.shape[1] else 0.0
            assert own == pytest.approx(scored.judged.result.per_class[label][place], abs=1e-6)


def test_metrics_are_read_past_a_torn_line(tmp_path):
    lines = [
        '{"step": 1, "mil": 2.0, "global_mil": 1.0, "note": "x"}',
        '{"step": 2, "mil": 1.5, "global_mil": 1.2}',
        "{",
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
    metrics = read_metrics(tmp_path)
    assert metrics["mil"].tolist() == [[1, 2], [2, 1.5]]
    (chart,) = training_charts(metrics)
    assert [line.name for line in chart.lines] == ["local", "global"]
    assert read_metrics(tmp_path / "elsewhere") == {}


def video(id: str, label: str) -> Video:
    return Video(id, "testing", (label,), 3.0, (Segment(label, 1.0, 2.0),))


@pytest.fixture(scope="module")
def runs(tiny, settings, tmp_path_factory) -> Path:
    """A comparison of two methods from two seeds."""
    out = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wtal.experiments.runner.ProcessPoolExecutor", InProcessExecutor)
        compare([tiny.path], ("baseline", "dfe"), 2, "testing", settings(train={"steps": 2}), out)
    return out


def test_a_comparison_is_reported_with_its_seeds(runs, tiny):
    told = collect_report_data(runs, runs / "report.html")
    results = told.scored.results
    assert list(results) == ["dfe", "baseline"] and [len(seeds) for seeds in results.values()] == [2, 2]
    scores = {score["method"]: score for score in json.loads((runs / "comparison.json").read_text())["scores"]}
    for method, seeds in results.items():
        assert [100 * one.average() for one in seeds] == pytest.approx(scores[method]["averages"])
    assert [panel.title for panel in told.panels] == [video.id for video in tiny.subset("testing")]
    assert told.scored.judged.result.protocol == "activitynet"
    assert not any(trait.unknown for trait in told.scored.analysis.traits), "a video is as long as its features"
    assert [row[0] for row in score_sheets(told.scored)[1].rows] == ["seed-0", "seed-1"]
    assert told.memory.classes == (*tiny.classes, "(background)")
    np.testing.assert_allclose(np.diag(told.memory.alike), 1, atol=1e-5)


def test_the_command_writes_it_beside_the_run(runs, tiny):
    run = runs / tiny.path.name / "dfe" / "seed-1"
    done = CliRunner().invoke(cli.app, ["report", str(run), "--subset", "validation"])
    assert done.exit_code == 0, done.output
    text = (run / "report.html").read_text(encoding="utf-8")
    assert all(f'id="{part}"' in text for part in ("summary", "timelines", "scores", "precision", "errors", "training"))
    assert "What the memory learned" in text and "subset validation" in text
    index = json.loads(Page(text).scripts["index"])
    assert [told["id"] for told in index["videos"]] == [video.id for video in tiny.subset("validation")]


def test_no_run_no_report(tmp_path, runs, tiny):
    with pytest.raises(CheckpointError, match="not a run folder, and no runs in it"):
        find_runs(tmp_path)
    run = shutil.copytree(runs / tiny.path.name / "dfe" / "seed-0", tmp_path / "run")
    with pytest.raises(DataError, match="name the data set with --data"):
        collect_report_data(run, tmp_path / "page.html")


def test_videos_are_found_by_their_names(tiny, tmp_path):
    shown = tiny.subset("testing")
    with pytest.raises(DataError, match="no file in it is called as a video"):
        video_files(tiny, tmp_path, shown, tmp_path / "page.html")
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / f"{shown[0].id}.mp4").touch()
    there = video_files(tiny, tmp_path / "films", shown, tmp_path / "page.html")
    assert there == {shown[0].id: f"films/{shown[0].id}.mp4"}


@pytest.fixture(scope="module")
def thumos(shared, tmp_path_factory) -> Path:
    """The page of a full test set."""
    told, place = full_size(shared), tmp_path_factory.mktemp("thumos") / "page.html"
    counts = told.scored.judged.result.counts
    assert (counts.videos, counts.proposals) == (212, 31587)
    write_report(place, told)
    return place


def test_thumos_in_full_is_small(thumos):
    assert thumos.stat().st_size < 15e6


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    """A real Chromium."""
    with chromium() as opened:
        yield opened


@pytest.fixture
def opened(browser, tmp_path):
    """The page of three videos, from disk and without a network; nothing may stand on its console."""
    bare = TimelineData("bare", 5.0, (), [], [], *[np.zeros(0)] * 2, np.zeros((0, 2)))
    panels = [panel("first"), panel(NASTY, NASTY, snippets=400), bare]
    memory = Memory(CLASSES, np.eye(2, dtype=np.float32), (Slot(NASTY, 1, 3, (Moment("first", 1.0, 1.5, 0.9),)),))
    write_report(tmp_path / "page.html", report(*panels, memory=memory, files={"bare": "gone.mp4"}))
    context = browser.new_context(offline=True, viewport={"width": 1200, "height": 900})
    page, said = context.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto((tmp_path / "page.html").as_uri())
    page.wait_for_function("document.querySelector('#lanes').height > 200")
    yield page
    context.close()
    assert [text for text in said if "gone.mp4" not in text and "ERR_FILE_NOT_FOUND" not in text] == []


def says(page, place: str, begin: str, inside: str = "") -> None:
    """What a place says, as soon as it says it: the page draws when the browser has time."""
    text = ""
    for _ in range(100):
        text = page.inner_text(place)
        if text.startswith(begin) and inside in text:
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"{place} says {text!r}")


def pixels(page) -> str:
    """The timeline as it is drawn, once what was asked for is drawn."""
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return page.evaluate("document.querySelector('#lanes').toDataURL()")


def shown(page) -> str:
    """What the timeline tells a screen reader."""
    return page.locator("#lanes").get_attribute("aria-label").partition("long: ")[2]


def test_a_video_is_opened_and_walked_through(opened):
    says(opened, "#name", "first")
    opened.get_by_role("button", name="img src=x").first.click()
    says(opened, "#name", NASTY)
    rows = opened.locator("#segments tr")
    assert rows.count() == 2 and rows.nth(0).locator("th").inner_text() == NASTY
    assert opened.locator("img").count() == 0
    opened.locator("#lanes").focus()
    opened.keyboard.press("ArrowDown")
    says(opened, "#said", f"truth: {NASTY}, 0:01.0 to 0:02.5, 1.5 s, tIoU 0.67 with the result")
    says(opened, "#clock", "0:01.0")
    opened.keyboard.press("ArrowRight")
    pixels(opened)
    says(opened, "#clock", "0:01.5")
    opened.keyboard.press("n")
    says(opened, "#name", "bare")
    opened.keyboard.press("?")
    assert opened.locator("#keys").is_visible()
    opened.keyboard.press("Escape")
    assert not opened.locator("#keys").is_visible()


def test_zoom_drag_and_back(opened):
    before = pixels(opened)
    box = opened.locator("#lanes").bounding_box()
    opened.mouse.move(box["x"] + 400, box["y"] + 40)
    opened.keyboard.down("Control")
    opened.mouse.wheel(0, -120)
    opened.keyboard.up("Control")
    near = pixels(opened)
    opened.mouse.down()
    opened.mouse.move(box["x"] + 300, box["y"] + 40, steps=3)
    opened.mouse.up()
    assert len({before, near, pixels(opened)}) == 3
    opened.click("#whole")
    opened.mouse.move(0, 0)
    assert pixels(opened) == before


def test_filters_by_class_and_score(opened):
    assert opened.locator("#lanes").get_attribute("aria-label").endswith("1 true actions, 1 in the result, 2 proposals")
    opened.locator("#least").fill("0.5")
    assert opened.locator("#lanes").get_attribute("aria-label").endswith("1 true actions, 1 in the result, 1 proposals")
    opened.locator("#chips button").first.click()
    assert opened.locator("#chips button").first.get_attribute("aria-pressed") == "false"
    assert opened.locator("#lanes").get_attribute("aria-label").endswith("0 true actions, 0 in the result, 0 proposals")
    opened.fill("#find", "bar")
    assert opened.locator("#videos li:visible").count() == 1
    says(opened, "#count", "1 of 3 videos")


def test_a_moment_of_the_memory_opens_its_video(opened):
    opened.get_by_role("button", name="bare").click()
    opened.wait_for_selector("#trouble:visible")
    says(opened, "#trouble", "", "gone.mp4 cannot be played")
    opened.click(".moment")
    pixels(opened)
    says(opened, "#name", "first")
    says(opened, "#clock", "0:01.0")


def test_it_prints_and_follows_dark_and_narrow(opened):
    light = pixels(opened)
    opened.emulate_media(color_scheme="dark")
    assert pixels(opened) != light
    opened.set_viewport_size({"width": 380, "height": 800})
    pixels(opened)
    assert opened.evaluate("document.documentElement.scrollWidth") <= 380
    assert opened.pdf().startswith(b"%PDF")


@pytest.mark.parametrize("width", [1200, 380])
def test_links_lead_to_their_headings_and_captions_fit(runs, browser, tmp_path, width):
    write_report(tmp_path / "page.html", collect_report_data(runs, tmp_path / "page.html"))
    for place in ("timelines", "scores", "precision", "errors", "training", "memory"):
        page = browser.new_page(viewport={"width": width, "height": 400})
        page.goto((tmp_path / "page.html").as_uri())
        page.wait_for_function("document.querySelector('#lanes').height > 200")
        page.click(f"nav a[href='#{place}']")
        top, last = page.evaluate(TOP, place), None
        while top != last:  # it is scrolled to smoothly
            page.wait_for_timeout(150)
            top, last = page.evaluate(TOP, place), top
        head = page.evaluate("parseFloat(getComputedStyle(document.documentElement).scrollPaddingTop)")
        assert abs(top - head) < 2, place
        ends = page.evaluate("[...document.querySelectorAll('caption')].map(c => c.getBoundingClientRect().right)")
        assert max(ends) <= width
        page.close()


TOP = "place => document.querySelector(`#${place} h2`).getBoundingClientRect().top"


def test_a_weak_video_is_pale_and_its_least_score_is_true(browser, tmp_path):
    panels = [
        TimelineData(str(score), 3.0, (), [], [Segment("run", 0, 1, score), Segment("run", 2, 3, 2 * score)],
              np.zeros(0), np.zeros(0), np.zeros((0, 2))) for score in (0.45, 0.0011)
    ]  # fmt: skip
    write_report(tmp_path / "page.html", report(*panels))
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.goto((tmp_path / "page.html").as_uri())
    strong = pixels(page)
    assert page.locator("#least").get_attribute("aria-valuetext") == "0.45" == page.inner_text("#least-value")
    assert not page.locator("#printed").is_visible()
    page.locator("#lanes").focus()
    page.keyboard.press("n")
    assert pixels(page) != strong, "as strong in colour as a video in which something is sure"
    assert page.locator("#least").get_attribute("aria-valuetext") == "0.0011" == page.inner_text("#least-value")
    page.emulate_media(media="print")
    assert page.inner_text("#printed") == "1 of 2 videos; open the page to see the others"
    page.close()


def test_thumos_in_full_is_fluid(thumos, browser):
    """In the processor's time of the page, as the machine may have other work: no single step has 100 ms of it."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    meter = page.context.new_cdp_session(page)
    meter.send("Performance.enable", {"timeDomain": "threadTicks"})

    def spent() -> float:
        told = {metric["name"]: metric["value"] for metric in meter.send("Performance.getMetrics")["metrics"]}
        return told["TaskDuration"]

    def cost(step: Callable[[], object]) -> float:
        before = spent()
        step()
        pixels(page)
        return spent() - before

    page.goto(thumos.as_uri())
    page.wait_for_function("document.querySelector('#lanes').height > 200")
    pixels(page)
    assert spent() < 2
    box = page.locator("#lanes").bounding_box()
    page.mouse.move(box["x"] + 500, box["y"] + 100)
    steps = [lambda: page.keyboard.press("n")] * 10 + [lambda: page.mouse.wheel(0, 200)] * 5
    page.locator("#lanes").focus()
    costs = [cost(step) for step in steps]
    page.keyboard.down("Control")
    costs += [cost(lambda: page.mouse.wheel(0, -60)) for _ in range(10)]
    page.keyboard.up("Control")
    page.close()
    assert max(costs) < 0.1, [round(1000 * cost) for cost in costs]
