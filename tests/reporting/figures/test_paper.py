"""Plots for papers: one column wide, the same bytes again, true to their numbers; files of others stay."""

import json
import re
import warnings
from dataclasses import replace
from functools import partial

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.text import Text
from typer.testing import CliRunner

from wtal.cli import app
from wtal.core.errors import DataError
from wtal.core.structures import Segment, Video
from wtal.data.layouts.activitynet import write_activitynet, write_proposals
from wtal.evaluation.error_analysis import analyse
from wtal.evaluation.evaluate import evaluate_with_matches
from wtal.experiments.statistics import Score, comparison_json
from wtal.reporting.figures.colors import DARK, PALETTE, ink, lit
from wtal.reporting.figures.paper import (
    COLUMN,
    Comparison,
    analysis_figure,
    draw,
    errors_figure,
    methods_figure,
    precision_figure,
    read_comparison,
    training_figure,
)
from wtal.reporting.html.charts import read_metrics

RUN, JUMP = Segment("run", 10.0, 20.0), Segment("jump", 50.0, 60.0)
TRUTH = [Video("one", "testing", ("run", "jump"), 100.0, (RUN, JUMP))]
FOUND = {"one": [Segment("run", 10.0, 20.0, 0.9), Segment("run", 30.0, 40.0, 0.8), Segment("jump", 50, 57, 0.7)]}
STEPS = np.arange(1.0, 4.0)
METRICS = {
    "loss": np.array([STEPS, [3, 2, 1]]),
    "mil": np.array([STEPS, [2, 1, 0.5]]),
    "global_mil": np.array([STEPS, [2, 1.5, 1]]),
    "mutual": np.array([STEPS, [0, 0, 0]]),
    "validation_map": np.array([[3.0], [0.25]]),
}
SCORES = (
    Score("空 $x_1", "baseline", (30.0, 32.0), ((30.0,), (32.0,))),
    Score("空 $x_1", "dfe", (50.0, 56.0), ((50.0,), (56.0,))),
    Score("b", "baseline", (10.0,), ((10.0,),)),
    Score("b", "dfe", (20.0,), ((20.0,),)),
)
COMPARISON = Comparison(SCORES, (0.1, 0.7), "testing")
FIGURES = {
    "errors": partial(errors_figure, analyse(FOUND, TRUTH)),
    "precision": partial(precision_figure, evaluate_with_matches(FOUND, TRUTH)),
    "training": partial(training_figure, METRICS),
    "methods": partial(methods_figure, COMPARISON),
}


def wtal(*words):
    return CliRunner().invoke(app, ["plot", *map(str, words)])


@pytest.fixture
def sources(tmp_path):
    """What each plot is drawn from, as the command is told."""
    write_proposals(tmp_path / "proposals.json", FOUND)
    write_activitynet(tmp_path / "truth.json", TRUTH)
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "mil": 2.0}\n{"step": 2, "mil": 1.0}\n')
    write_comparison(tmp_path / "comparison.json", {"scores": [score.__dict__ for score in SCORES]})
    judged = (tmp_path / "proposals.json", tmp_path / "truth.json")
    return {
        "errors": judged,
        "precision": judged,
        "training": (tmp_path,),
        "methods": (tmp_path / "comparison.json",),
    }


def write_comparison(path, values):
    path.write_text(json.dumps({"tious": [0.1, 0.7], "subset": "testing"} | values))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A folder with every plot as SVG and PDF, and the figures."""
    folder, figures = tmp_path_factory.mktemp("drawn"), {}

    def keep(what):
        figures[what] = FIGURES[what]()
        return figures[what]

    before = dict(mpl.rcParams)
    for what in FIGURES:
        draw(folder / f"{what}.svg", FIGURES[what])
        draw(folder / f"{what}.pdf", partial(keep, what))
    assert dict(mpl.rcParams) == before, "a setting is left changed"
    return folder, figures


@pytest.mark.parametrize("name", ["errors.svg", "precision.pdf", "training.svg", "methods.pdf"])
def test_the_same_input_gives_the_same_bytes(tmp_path, drawn, name):
    draw(tmp_path / name, FIGURES[name[:-4]])
    first = (tmp_path / name).read_bytes()
    assert first == (drawn[0] / name).read_bytes() and b"Date" not in first and b"dc:date" not in first
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("what", FIGURES)
def test_one_column_wide_with_words_that_can_be_read_and_changed(drawn, what):
    svg = (drawn[0] / f"{what}.svg").read_text(encoding="utf-8")
    assert f'width="{72 * COLUMN:g}pt"' in svg
    assert set(re.findall(r"font-size: ([\d.]+)px|font: ([\d.]+)px", svg)) <= {
        ("7", ""),
        ("8", ""),
        ("", "7"),
        ("", "8"),
    }
    assert "</text>" in svg and b"/Type3" not in (drawn[0] / f"{what}.pdf").read_bytes()


@pytest.mark.parametrize("what", FIGURES)
def test_nothing_hangs_over_the_edge(drawn, what):
    figure = drawn[1][what]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        box, tall = figure.get_tightbbox(), figure.get_figheight()
    assert box.x0 > -0.01 and box.y0 > -0.01 and box.x1 < COLUMN + 0.01 and box.y1 < tall + 0.01


def test_errors_have_the_numbers_of_the_analysis(drawn):
    words = re.findall(r">([^<>\n]+)</text>", (drawn[0] / "errors.svg").read_text(encoding="utf-8"))
    analysis = analyse(FOUND, TRUTH)
    for kind, count in analysis.kinds.items():
        assert kind in words and f"{100 * count / analysis.counted:.1f}" in words
    assert all(f"{100 * gain.average:+.1f}" in words for gain in analysis.gains.values())
    assert "–" in words  # where there are no instances, nothing is missed


@pytest.mark.parametrize("make", [errors_figure, analysis_figure])
def test_kinds_have_no_colour_of_a_class(make):
    figure = make(analyse(FOUND, TRUTH))
    colours = {to_hex(bar.get_facecolor()).upper() for axes in figure.findobj(Axes) for bar in axes.patches}
    assert colours and not colours & set(PALETTE)


@pytest.mark.parametrize("make", [errors_figure, analysis_figure])
def test_a_trait_that_nobody_knows_says_why(make):
    for truth, times in ((TRUTH, 0), ([replace(TRUTH[0], duration=None)], 1)):
        said = [text.get_text() for text in make(analyse(FOUND, truth)).findobj(Text)]
        assert said.count("durations not known") == times * (1 if make is errors_figure else 2)


def test_the_kinds_of_the_analysis_stand_beside_its_bars():
    figure = analysis_figure(analyse(FOUND, TRUTH))
    figure.canvas.draw()
    share, gain = figure.axes[:2]
    names = [text.get_window_extent() for text in share.texts]
    others = [label.get_window_extent() for label in gain.get_yticklabels()]
    assert not any(name.overlaps(other) for name in names for other in others)


def contrast(colour, paper):
    """After WCAG 2.2."""

    def light(text):
        parts = [int(text[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05

    return max(light(colour) / light(paper), light(paper) / light(colour))


@given(st.sampled_from(PALETTE) | st.from_regex(r"#[0-9A-F]{6}", fullmatch=True))
def test_words_in_a_colour_can_be_read_light_and_dark(colour):
    assert contrast(ink(colour), "#FFFFFF") >= 4.5 and contrast(lit(colour), DARK) >= 4.5


def test_words_of_all_classes_can_be_read():
    assert min(contrast(ink(colour), "#FFFFFF") for colour in PALETTE) >= 4.5
    assert min(contrast(lit(colour), DARK) for colour in PALETTE) >= 4.5


def test_the_area_below_precision_is_map(drawn):
    judged = evaluate_with_matches(FOUND, TRUTH)
    (axes,) = drawn[1]["precision"].axes
    areas = [np.trapezoid(line.get_ydata(), line.get_xdata()) / 1e4 for line in axes.lines]
    assert areas == pytest.approx(judged.result.map, abs=0.02)


def test_a_term_has_both_branches_and_a_term_of_nothing_no_panel(drawn):
    figure = drawn[1]["training"]
    lines = {axes.get_title("left"): len(axes.lines) for axes in figure.axes if axes.axison}
    assert lines == {"loss": 1, "mil": 2, "validation map": 1}
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["local", "global"]
    with pytest.raises(DataError, match="nothing to draw"):
        training_figure({"mutual": METRICS["mutual"]})


def test_methods_stand_with_mean_and_spread_and_one_seed_has_none(drawn):
    first, second = drawn[1]["methods"].axes
    assert [text.get_text() for text in first.texts] == ["31.0 ± 1.4", "53.0 ± 4.2"]
    assert [text.get_text() for text in second.texts] == ["10.0", "20.0"]
    assert second.get_xlabel() == "average mAP (%), tIoU 0.1:0.7"


def test_what_compare_writes_is_read(tmp_path, settings):
    value = comparison_json(SCORES[:2], [], "testing", 2, settings())
    (tmp_path / "comparison.json").write_text(json.dumps(value))
    found = read_comparison(tmp_path / "comparison.json")
    assert [(s.data, s.method, s.averages) for s in found.scores] == [
        (s.data, s.method, s.averages) for s in SCORES[:2]
    ]
    assert found.tious == (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)


@pytest.mark.parametrize("what", FIGURES)
def test_the_command_draws_in_place_of_an_older_plot(tmp_path, sources, what):
    out = tmp_path / "new" / "plot.PNG"
    out.parent.mkdir()
    out.write_bytes(b"an older one, Software wtal plot")
    run = wtal(what, *sources[what], "--out", out)
    assert run.exit_code == 0, run.output
    assert out.read_bytes().startswith(b"\x89PNG") and f"written to {out}" in run.output.replace("\n", "")


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"scores": []},
        {"scores": 3},
        {"scores": ["dfe"]},
        {"scores": [{"data": "a", "method": "dfe", "averages": []}]},
        {"scores": [{"data": "a", "method": "dfe", "averages": [float("nan")]}]},
        {"scores": [{"data": "a", "method": "dfe", "averages": [1.0]}], "tious": []},
        {"scores": [{"data": "a", "method": "dfe", "averages": [1.0]}], "tious": None},
        {"scores": [{"data": "a", "method": "dfe", "averages": [1e308, -1e308]}]},
        {"scores": [{"data": "a", "method": "dfe", "averages": [10**400]}]},
        {"scores": [{"data": "\ud800", "method": "dfe", "averages": [1.0]}]},
    ],
)
def test_no_comparison_is_one_sentence(tmp_path, values):
    write_comparison(tmp_path / "comparison.json", values)
    run = wtal("methods", tmp_path / "comparison.json", "--out", tmp_path / "plot.pdf")
    assert run.exit_code == 2 and "`wtal compare`" in run.stderr and run.stderr.count("\n") == 1
    assert not (tmp_path / "plot.pdf").exists()


def test_more_than_a_column_has_room_for_is_refused(tmp_path):
    scores = [{"data": "a", "method": f"m{n}", "averages": [1.0]} for n in range(2000)]
    (tmp_path / "comparison.json").write_text(json.dumps({"scores": scores, "tious": [0.5], "subset": "testing"}))
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"step": 1} | {f"term {n}": n for n in range(2000)}))
    for what, source in (("methods", tmp_path / "comparison.json"), ("training", tmp_path)):
        run = wtal(what, source, "--out", tmp_path / "plot.pdf")
        assert run.exit_code == 2 and "at most 60 can be drawn" in run.stderr and not (tmp_path / "plot.pdf").exists()


def test_metrics_that_cannot_be_drawn_are_passed_over(tmp_path):
    lines = ['{"step": 1, "loss": 2, "\\ud800": 1}', "[" * 100_000, '{"step": 2, "loss": 1e308}']
    lines += [f'{{"step": 2, "loss": {10**400}}}', '{"step": 3, "loss": 1}']
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
    run = wtal("training", tmp_path, "--out", tmp_path / "plot.png")
    assert run.exit_code == 0, run.output
    assert read_metrics(tmp_path).keys() == {"loss"} and read_metrics(tmp_path)["loss"].tolist() == [[1, 3], [2, 1]]


def test_a_run_without_metrics_is_one_sentence(tmp_path):
    run = wtal("training", tmp_path, "--out", tmp_path / "plot.pdf")
    assert run.exit_code == 2 and "metrics.jsonl" in run.stderr and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name, sentence", [("plot.jpg", ".png"), ("plot", ".png"), ("folder.svg", "is a folder")])
@pytest.mark.parametrize("what", FIGURES)
def test_a_wrong_place_is_one_sentence(tmp_path, sources, what, name, sentence):
    (tmp_path / "folder.svg").mkdir()
    run = wtal(what, *sources[what], "--out", tmp_path / name)
    assert run.exit_code == 2 and sentence in run.stderr and run.stderr.count("\n") == 1


@pytest.mark.parametrize("what", FIGURES)
def test_what_was_not_drawn_here_is_left_alone(tmp_path, sources, what):
    mine = tmp_path / "figure.pdf"
    mine.write_bytes(b"%PDF-1.4 of somebody")
    run = wtal(what, *sources[what], "--out", mine)
    assert run.exit_code == 2 and "was not drawn by" in run.stderr
    assert mine.read_bytes() == b"%PDF-1.4 of somebody"
