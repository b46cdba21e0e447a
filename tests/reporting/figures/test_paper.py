"""Plots for papers: one column wide, reproducible, true to their numbers, and never over a user's file."""

import json
import re
import warnings
from dataclasses import replace
from functools import partial

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.text import Text
from typer.testing import CliRunner

from tests.helpers.errors import raises
from wtal.cli import app
from wtal.core.errors import DataError
from wtal.core.structures import Segment, Video
from wtal.data.layouts.activitynet import write_activitynet, write_proposals
from wtal.evaluation.error_analysis import analyse
from wtal.evaluation.evaluate import evaluate, evaluate_with_matches
from wtal.experiments.statistics import Comparison, Score
from wtal.reporting.curves import read_metrics
from wtal.reporting.figures.colors import PALETTE
from wtal.reporting.figures.error_analysis import analysis_figure
from wtal.reporting.figures.paper import (
    ComparisonScores,
    draw,
    errors_figure,
    methods_figure,
    precision_figure,
    read_comparison,
    require_output,
    training_figure,
)
from wtal.reporting.figures.style import COLUMN_WIDTH

RUN, JUMP = Segment("run", 10.0, 20.0), Segment("jump", 50.0, 60.0)
GROUND_TRUTH = [Video("v", "testing", ("run", "jump"), 100.0, (RUN, JUMP))]
PROPOSALS = {"v": [Segment("run", 10.0, 20.0, 0.9), Segment("run", 30.0, 40.0, 0.8), Segment("jump", 50, 57, 0.7)]}
STEPS = np.arange(1.0, 4.0)
METRICS = {
    "loss": np.array([STEPS, [3, 2, 1]]),
    "attention_background_consistency": np.array([STEPS, [1, 1, 0.5]]),
    "mil": np.array([STEPS, [2, 1, 0.5]]),
    "mutual": np.array([STEPS, [0, 0, 0]]),
    "validation_map": np.array([[3.0], [0.25]]),
}
SCORES = (
    Score("空 $x_1", "baseline", (30.0, 32.0), ((30.0,), (32.0,))),
    Score("空 $x_1", "dfe", (50.0, 56.0), ((50.0,), (56.0,))),
    Score("b", "baseline", (10.0,), ((10.0,),)),
    Score("b", "dfe", (20.0,), ((20.0,),)),
)
COMPARISON = ComparisonScores(SCORES, (0.1, 0.7), "testing")
FIGURES = {
    "errors": partial(errors_figure, analyse(PROPOSALS, GROUND_TRUTH)),
    "precision": partial(precision_figure, evaluate_with_matches(PROPOSALS, GROUND_TRUTH)),
    "training": partial(training_figure, METRICS),
    "methods": partial(methods_figure, COMPARISON),
}


def plot(*arguments):
    return CliRunner().invoke(app, ["plot", *map(str, arguments)])


@pytest.fixture
def sources(tmp_path):
    """The input paths of each plot."""
    write_proposals(tmp_path / "proposals.json", PROPOSALS)
    write_activitynet(tmp_path / "truth.json", GROUND_TRUTH)
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "mil": 2.0}\n{"step": 2, "mil": 1.0}\n')
    write_comparison(tmp_path / "comparison.json", {"scores": [score.__dict__ for score in SCORES]})
    evaluated = (tmp_path / "proposals.json", tmp_path / "truth.json")
    return {
        "errors": evaluated,
        "precision": evaluated,
        "training": (tmp_path,),
        "methods": (tmp_path / "comparison.json",),
    }


def write_comparison(path, values):
    path.write_text(json.dumps({"tious": [0.1, 0.7], "subset": "testing"} | values))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A folder with every plot as SVG and PDF, and the figures."""
    folder, figures = tmp_path_factory.mktemp("drawn"), {}

    def keep(kind):
        figures[kind] = FIGURES[kind]()
        return figures[kind]

    settings = dict(mpl.rcParams)
    for kind in FIGURES:
        draw(folder / f"{kind}.svg", FIGURES[kind])
        draw(folder / f"{kind}.pdf", partial(keep, kind))
    assert dict(mpl.rcParams) == settings
    return folder, figures


@pytest.mark.parametrize("name", ["errors.svg", "precision.pdf", "training.svg", "methods.pdf"])
def test_same_input_gives_the_same_bytes(tmp_path, drawn, name):
    draw(tmp_path / name, FIGURES[name[:-4]])
    first = (tmp_path / name).read_bytes()
    assert first == (drawn[0] / name).read_bytes() and b"Date" not in first and b"dc:date" not in first
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("kind", FIGURES)
def test_figures_are_one_column_wide_with_editable_text(drawn, kind):
    svg = (drawn[0] / f"{kind}.svg").read_text(encoding="utf-8")
    assert f'width="{72 * COLUMN_WIDTH:g}pt"' in svg
    assert set(re.findall(r"font-size: ([\d.]+)px|font: ([\d.]+)px", svg)) <= {
        ("7", ""),
        ("8", ""),
        ("", "7"),
        ("", "8"),
    }
    assert "</text>" in svg and b"/Type3" not in (drawn[0] / f"{kind}.pdf").read_bytes()


@pytest.mark.parametrize("kind", FIGURES)
def test_nothing_exceeds_the_figure(drawn, kind):
    figure = drawn[1][kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        box, height = figure.get_tightbbox(), figure.get_figheight()
    assert box.x0 > -0.01 and box.y0 > -0.01 and box.x1 < COLUMN_WIDTH + 0.01 and box.y1 < height + 0.01


def test_errors_figure_shows_the_numbers_of_the_analysis(drawn):
    texts = re.findall(r">([^<>\n]+)</text>", (drawn[0] / "errors.svg").read_text(encoding="utf-8"))
    analysis = analyse(PROPOSALS, GROUND_TRUTH)
    for kind, count in analysis.kinds.items():
        assert kind in texts and f"{100 * count / analysis.counted:.1f}" in texts
    assert all(f"{100 * gain.average:+.1f}" in texts for gain in analysis.gains.values())
    assert "–" in texts  # for sizes without instances


@pytest.mark.parametrize("make", [errors_figure, analysis_figure])
def test_error_types_are_gray(make):
    figure = make(analyse(PROPOSALS, GROUND_TRUTH))
    colors = {to_hex(bar.get_facecolor()).upper() for axes in figure.findobj(Axes) for bar in axes.patches}
    assert colors and not colors & set(PALETTE)


@pytest.mark.parametrize("make", [errors_figure, analysis_figure])
def test_traits_without_durations_show_a_reason(make):
    without_duration = [replace(GROUND_TRUTH[0], duration=None)]
    for truth, times in ((GROUND_TRUTH, 0), (without_duration, 1 if make is errors_figure else 2)):
        texts = [text.get_text() for text in make(analyse(PROPOSALS, truth)).findobj(Text)]
        assert texts.count("video durations unknown") == times


def test_names_of_error_types_do_not_overlap():
    figure = analysis_figure(analyse(PROPOSALS, GROUND_TRUTH))
    figure.canvas.draw()
    share, gain = figure.axes[:2]
    names = [text.get_window_extent() for text in share.texts]
    others = [label.get_window_extent() for label in gain.get_yticklabels()]
    assert not any(name.overlaps(other) for name in names for other in others)


def test_area_under_precision_is_map(drawn):
    evaluation = evaluate_with_matches(PROPOSALS, GROUND_TRUTH)
    (axes,) = drawn[1]["precision"].axes
    areas = [np.trapezoid(line.get_ydata(), line.get_xdata()) / 1e4 for line in axes.lines]
    assert areas == pytest.approx(evaluation.result.map, abs=0.02)


def test_training_figure_has_no_zero_terms(drawn):
    figure = drawn[1]["training"]
    lines = {axes.get_title("left").replace("\n", " "): len(axes.lines) for axes in figure.axes if axes.axison}
    assert lines == {"loss": 1, "attention background consistency": 1, "mil": 1, "validation map": 1}
    with raises(DataError, code="empty-input"):
        training_figure({"mutual": METRICS["mutual"]})


def test_methods_figure_shows_mean_and_standard_deviation(drawn):
    first, second = drawn[1]["methods"].axes
    assert [text.get_text() for text in first.texts] == ["31.0 ± 1.4", "53.0 ± 4.2"]
    assert [text.get_text() for text in second.texts] == ["10.0", "20.0"]
    assert second.get_xlabel() == "average mAP (%), tIoU 0.1:0.7"


def test_comparison_of_the_command_is_read(tmp_path, settings):
    value = Comparison(list(SCORES[:2]), [], "testing", 2, settings()).to_json()
    (tmp_path / "comparison.json").write_text(json.dumps(value))
    comparison = read_comparison(tmp_path / "comparison.json")
    assert [(s.data, s.method, s.averages) for s in comparison.scores] == [
        (s.data, s.method, s.averages) for s in SCORES[:2]
    ]
    assert comparison.tious == (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)


@pytest.mark.parametrize("kind", FIGURES)
def test_command_overwrites_its_own_plots(tmp_path, sources, kind):
    out = tmp_path / "new" / "plot.PNG"
    out.parent.mkdir()
    out.write_bytes(b"an earlier one, Software wtal plot")
    run = plot(kind, *sources[kind], "--out", out)
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
def test_invalid_comparison_is_rejected(tmp_path, values):
    path = tmp_path / "comparison.json"
    write_comparison(path, values)
    with raises(DataError, path=path) as caught:
        read_comparison(path)
    assert caught.value.code in ("invalid-comparison", "empty-input")
    run = plot("methods", path, "--out", tmp_path / "plot.pdf")
    assert run.exit_code == 2 and str(path) in run.stderr and run.stderr.count("\n") == 1
    assert not (tmp_path / "plot.pdf").exists()


def test_too_many_rows_are_rejected(tmp_path):
    scores = [{"data": "a", "method": f"m{n}", "averages": [1.0]} for n in range(2000)]
    (tmp_path / "comparison.json").write_text(json.dumps({"scores": scores, "tious": [0.5], "subset": "testing"}))
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"step": 1} | {f"term {n}": n for n in range(2000)}))
    for kind, source in (("methods", tmp_path / "comparison.json"), ("training", tmp_path)):
        run = plot(kind, source, "--out", tmp_path / "plot.pdf")
        assert run.exit_code == 2 and "at most 60" in run.stderr and not (tmp_path / "plot.pdf").exists()


def test_metrics_that_cannot_be_drawn_are_skipped(tmp_path):
    lines = ['{"step": 1, "loss": 2, "\\ud800": 1}', "[" * 100_000, '{"step": 2, "loss": 1e308}']
    lines += [f'{{"step": 2, "loss": {10**400}}}', '{"step": 3, "loss": 1}']
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
    run = plot("training", tmp_path, "--out", tmp_path / "plot.png")
    assert run.exit_code == 0, run.output
    assert read_metrics(tmp_path).keys() == {"loss"} and read_metrics(tmp_path)["loss"].tolist() == [[1, 3], [2, 1]]


def test_run_without_metrics_is_rejected(tmp_path):
    run = plot("training", tmp_path, "--out", tmp_path / "plot.pdf")
    assert run.exit_code == 2 and "metrics.jsonl" in run.stderr and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name, code", [("plot.jpg", "invalid-suffix"), ("plot", "invalid-suffix"), ("folder.svg", "not-a-file")]
)
def test_invalid_output_is_rejected(tmp_path, sources, name, code):
    (tmp_path / "folder.svg").mkdir()
    with raises(DataError, code=code, path=tmp_path / name):
        require_output(tmp_path / name)
    for kind in FIGURES:
        run = plot(kind, *sources[kind], "--out", tmp_path / name)
        assert run.exit_code == 2 and str(tmp_path / name) in run.stderr and run.stderr.count("\n") == 1


@pytest.mark.parametrize("kind", FIGURES)
def test_files_of_others_are_not_overwritten(tmp_path, sources, kind):
    path = tmp_path / "figure.pdf"
    path.write_bytes(b"%PDF-1.4 of somebody")
    with raises(DataError, code="already-exists", path=path):
        require_output(path)
    assert plot(kind, *sources[kind], "--out", path).exit_code == 2
    assert path.read_bytes() == b"%PDF-1.4 of somebody"


def test_methods_of_a_benchmark_are_drawn_under_its_main_protocol(tmp_path):
    result = evaluate(PROPOSALS, GROUND_TRUTH)
    other = replace(result, protocol="other", map=(0.0,) * len(result.map))
    scored = {"general": [result.to_json()] * 2, "other": [other.to_json()] * 2}
    value = {
        "benchmark": "hapt",
        "results": {"dfe": scored, "local": scored},
        "config": {},
        "data": {"is_synthetic": True},
    }
    path = tmp_path / "benchmark.json"
    path.write_text(json.dumps(value))
    comparison = read_comparison(path)
    assert [(score.method, score.averages) for score in comparison.scores] == [
        (method, (pytest.approx(100 * result.main_average),) * 2) for method in ("dfe", "local")
    ]
    assert comparison.scores[0].data == "hapt (general)" and comparison.subset == result.subset
    assert (comparison.tious[0], comparison.tious[-1]) == result.averages[-1] and comparison.is_synthetic
    assert "SYNTHETIC" in plot("methods", path, "--out", tmp_path / "methods.svg").output
    for damaged in ({}, {"dfe": {}}, {"dfe": {"general": []}}, {"dfe": {"general": [{"map": 1}]}}, {"dfe": 3}):
        path.write_text(json.dumps(value | {"results": damaged}))
        with raises(DataError, path=path):
            read_comparison(path)
