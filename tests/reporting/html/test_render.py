"""The page is self-contained, escapes user input, and shows the numbers of the evaluation."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from tests.helpers.report import (
    CLASSES,
    HOSTILE,
    Page,
    empty_timeline,
    make_report,
    make_timeline,
    make_video,
    thumos_report,
)
from wtal.core.structures import Segment, Video
from wtal.evaluation.protocols import DEFAULT_OPTIONS, EvaluationOptions
from wtal.reporting.html.collect import ReportData, score, summarize_budget
from wtal.reporting.html.memory import ClassSummary, MemorySummary, TypicalSnippet
from wtal.reporting.html.render import render_page, write_report

PROPOSALS = {"a": [Segment("run", 1, 2, 0.5)]}


def test_user_input_is_escaped():
    proposals = {HOSTILE: [Segment(HOSTILE, 1, 2, 0.5)]}
    report = make_report(
        make_timeline(HOSTILE, HOSTILE),
        scores=score({HOSTILE: [proposals]}, proposals, [make_video(HOSTILE, HOSTILE)], DEFAULT_OPTIONS),
        metrics={HOSTILE: np.array([[1, 2], [3, 4.0]])},
        threshold_note=HOSTILE,
        video_urls={HOSTILE: 'x" onerror="boom()'},
        budget=summarize_budget([make_video(HOSTILE, HOSTILE)], proposals),
    )
    page = Page(render_page(report))
    assert not page.named("img")
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert len(page.named("script")) == 3
    index = json.loads(page.scripts["index"])
    assert index["videos"][0]["id"] == HOSTILE and index["classes"][1] == HOSTILE


def test_chosen_colors_are_used_in_timelines_and_charts():
    report = replace(make_report(make_timeline()), colors={CLASSES[0]: "#123456", "__proto__": "#000000"})
    text = render_page(report)
    index = json.loads(Page(text).scripts["index"])
    assert index["custom_colors"][CLASSES[0]]["fill"] == "#123456" and ".c0{--fill:#123456;" in text


def test_lone_surrogate_is_replaced(tmp_path):
    surrogate = "\ud800"
    write_report(tmp_path / "page.html", ReportData(surrogate, (), (surrogate,), [empty_timeline(surrogate)]))
    assert "Timelines" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_page_loads_nothing_from_the_network():
    text = render_page(make_report(make_timeline()))
    page = Page(text)
    urls = [attributes[name] for _, attributes in page.tags for name in ("src", "href") if name in attributes]
    assert all(url.startswith(("#", "data:,")) for url in urls)
    without_namespace = text.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|url\(|@import|fetch\(|XMLHttpRequest|WebSocket", without_namespace)
    policy = next(meta["content"] for meta in page.named("meta") if meta.get("http-equiv"))
    assert policy.startswith("default-src 'none'; script-src 'sha256-")


def test_sections_without_data_are_left_out():
    text = render_page(make_report(make_timeline()))
    assert "No scores: none of these videos has annotated segments." in text
    assert not any(
        f'id="{section}"' in text for section in ("budget", "scores", "precision", "errors", "training", "memory")
    )


def test_time_budget_of_predictions_is_beside_that_of_annotations():
    videos = [make_video("a", "run"), make_video("b", "run"), Video("c", "testing", (), 4.0)]
    predictions = {"a": [Segment("run", 1, 2, 0.5)], "b": [], "c": [Segment("run", 0, 2, 0.5)]}
    text = render_page(make_report(make_timeline(), budget=summarize_budget(videos, predictions)))
    page = Page(text)
    assert 'href="#budget"' in text and "agreement per class" in text and "agreement per video" in text
    bars = [(bar["class"], float(bar["width"])) for bar in page.named("rect") if bar.get("class")]
    assert bars == [("annotated", pytest.approx(66.67)), ("predicted", 100.0)], "2 s and 3 s of 10 s"


def test_time_budget_without_annotations_shows_the_predictions_alone():
    videos = [Video("a", "testing", ("run",), None)]
    summary = summarize_budget(videos, {"a": [Segment("run", 1, 2, 0.5)]})
    text = render_page(make_report(make_timeline(), budget=summary))
    assert "time budget per class" in text and "agreement per class" not in text and "duration unknown" in text
    assert not [bar for bar in Page(text).named("rect") if bar.get("class") in ("annotated", "predicted")]


def test_time_budget_without_any_segment():
    text = render_page(make_report(make_timeline(), budget=summarize_budget([Video("a", "testing", ())], {"a": []})))
    assert "No predictions" in text


def test_videos_with_tags_alone_are_not_compared():
    videos = [make_video("a", "run"), Video("b", "testing", ("run",), 3.0)]
    summary = summarize_budget(videos, {"a": [], "b": [Segment("run", 1, 2, 0.5)]})
    assert summary.agreement.videos == ("a",) and summary.budgets["predicted"].classes == ()


def test_all_averages_are_over_the_same_tious():
    scores = score({"m": [PROPOSALS]}, PROPOSALS, [make_video("a", "run")], EvaluationOptions(tious=(0.1, 0.3)))
    assert scores.analysis.result.tious == scores.evaluation.result.tious == (0.1, 0.3)
    text = render_page(make_report(make_timeline(), scores=scores))
    assert "averaged over 0.1:0.3" in text and "0.5:0.95" not in text


@pytest.mark.parametrize("subset", ["training", "testing"])
def test_scores_on_training_videos_are_marked(subset):
    videos = [replace(make_video("a", "run"), subset=subset)]
    scores = score({"m": [PROPOSALS]}, PROPOSALS, videos, EvaluationOptions(subset=subset))
    text = render_page(make_report(make_timeline(), scores=scores))
    assert ("trained on these videos" in text) == (subset == "training")


def test_error_types_have_no_class_color():
    scores = score({"m": [PROPOSALS]}, PROPOSALS, [make_video("a", "run")], DEFAULT_OPTIONS)
    text = render_page(make_report(make_timeline(), scores=scores))
    bars = re.findall(r'<svg class="bars".*?</svg>', text, re.S)
    assert len(bars) == 2 and not any(re.search(r"<(g|rect|text) [^>]*(fill|style|class=.[ck]\d)", bar) for bar in bars)
    assert "video durations unknown" not in text


def test_trait_without_durations_shows_a_reason():
    truth = [replace(make_video("a", "run"), duration=None)]
    scores = score({"m": [PROPOSALS]}, PROPOSALS, truth, DEFAULT_OPTIONS)
    text = render_page(make_report(make_timeline(), scores=scores))
    assert text.count("video durations unknown") == 2


def test_memory_shows_entries_and_escapes_names():
    typical = (TypicalSnippet(HOSTILE, 65.0, 66.0, 0.875),)
    rows = (ClassSummary("run", 1234, 56, typical), ClassSummary(HOSTILE, 0, 0, ()))
    memory = MemorySummary(CLASSES, np.eye(2, dtype=np.float32), rows)
    text = render_page(make_report(make_timeline(), memory=memory))
    assert all(f"<td>{number}</td>" in text for number in ("1,234", "56", "0"))
    assert "0.88" in text and "1:05" in text and 'id="memory"' in text
    assert not Page(text).named("img")


@given(st.lists(st.floats(), max_size=9))
@hypothesis(max_examples=30, deadline=None)
def test_all_videos_share_one_range_of_scores(scores):
    timelines = [
        empty_timeline(str(number), (Segment("run", 0, 1, value),)) for number, value in enumerate([0.25, *scores])
    ]
    index = json.loads(Page(render_page(make_report(*timelines))).scripts["index"], parse_constant=pytest.fail)
    low, high = index["score_range"]
    finite = [0.25, *(value for value in scores if abs(value) < 1e38)]
    assert all(low <= value <= high for value in finite)


def test_page_of_thumos_is_small(shared, tmp_path):
    report = thumos_report(shared)
    counts = report.scores.evaluation.result.counts
    assert (counts.videos, counts.proposals) == (212, 31587)
    write_report(tmp_path / "page.html", report)
    assert (tmp_path / "page.html").stat().st_size < 15e6
