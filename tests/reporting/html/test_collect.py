"""The data of a report: all seeds of a comparison, one run, and the files of the videos."""

import json
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.helpers.errors import raises
from tests.helpers.report import Page
from wtal import cli
from wtal.core.errors import CheckpointError, ConfigError, DataError
from wtal.evaluation.protocols import DEFAULT_PROTOCOL
from wtal.reporting.html.collect import collect_report_data, find_runs, find_video_urls
from wtal.reporting.html.render import score_tables


def test_comparison_is_reported_with_its_seeds(runs, tiny):
    report = collect_report_data(runs, runs / "report.html")
    results = report.scores.results
    assert list(results) == ["dfe", "baseline"] and [len(seeds) for seeds in results.values()] == [2, 2]
    scores = {score["method"]: score for score in json.loads((runs / "comparison.json").read_text())["scores"]}
    for method, seeds in results.items():
        assert [100 * seed.average() for seed in seeds] == pytest.approx(scores[method]["averages"])
    assert [timeline.title for timeline in report.timelines] == [video.id for video in tiny.subset("testing")]
    assert report.scores.evaluation.result.protocol == DEFAULT_PROTOCOL
    assert not any(trait.unknown for trait in report.scores.analysis.traits), "durations follow from the features"
    assert [row[0] for row in score_tables(report.scores)[1].rows] == ["seed-0", "seed-1"]
    annotated = sum(len(video.segments) for video in tiny.subset("testing"))
    assert sum(budget.bouts for budget in report.budget.budgets["annotated"].overall.values()) == annotated
    assert not report.budget.budgets["predicted"].untimed and report.budget.agreement.overall.kappa is not None
    assert report.memory.classes == (*tiny.classes, "(background)")
    np.testing.assert_allclose(np.diag(report.memory.similarity), 1, atol=1e-5)


def test_external_system_has_a_row_and_a_difference(runs, tiny):
    path = runs / tiny.path.name / "dfe" / "seed-1" / "proposals-dfe-testing.json"
    report = collect_report_data(runs, runs / "report.html", external={"CO2-Net": path})
    assert list(report.scores.results) == ["dfe", "baseline"], "external systems are no methods"
    (system,) = report.scores.external
    seeds = [seed.average() for seed in report.scores.results["dfe"]]
    assert system.result.average() == pytest.approx(seeds[1])
    assert system.difference.value == pytest.approx(np.mean(seeds) - seeds[1])
    table = score_tables(report.scores)[0]
    assert [row[0] for row in table.rows] == ["dfe", "baseline", "CO2-Net (external)"] and table.bold == (0,)
    with raises(ConfigError, code="duplicate-name"):
        collect_report_data(runs, runs / "report.html", external={"baseline": path})
    with raises(DataError, code="file-not-found", path=runs / "none.json"):
        collect_report_data(runs, runs / "report.html", external={"CO2-Net": runs / "none.json"})


def test_command_writes_the_report_beside_the_run(runs, tiny):
    run = runs / tiny.path.name / "dfe" / "seed-1"
    done = CliRunner().invoke(cli.app, ["report", str(run), "--subset", "validation"])
    assert done.exit_code == 0, done.output
    text = (run / "report.html").read_text(encoding="utf-8")
    sections = ("summary", "timelines", "scores", "precision", "errors", "training", "memory")
    assert all(f'id="{section}"' in text for section in sections) and "subset validation" in text
    index = json.loads(Page(text).scripts["index"])
    assert [entry["id"] for entry in index["videos"]] == [video.id for video in tiny.subset("validation")]


def test_report_replaces_only_reports(tmp_path, runs, tiny):
    run, out = runs / tiny.path.name / "dfe" / "seed-1", tmp_path / "page.html"
    arguments = ["report", str(run), "--subset", "validation", "--out", str(out)]
    out.write_text("of the user")
    assert CliRunner().invoke(cli.app, arguments).exit_code == 2 and out.read_text() == "of the user"
    out.unlink()
    assert [CliRunner().invoke(cli.app, arguments).exit_code for _ in range(2)] == [0, 0]


def test_project_knows_the_data_of_its_runs(tmp_path, runs, tiny):
    run = shutil.copytree(runs / tiny.path.name / "dfe" / "seed-0", tmp_path / "runs" / "my-i3d-12")
    (tmp_path / "wtal-project.json").touch()
    assert find_runs(run).data == tmp_path / "data" / "my-i3d"


def test_folder_without_runs_is_rejected(tmp_path):
    with raises(CheckpointError, code="no-runs", path=tmp_path):
        find_runs(tmp_path)


def test_run_with_an_unknown_data_set_is_rejected(tmp_path, runs, tiny):
    run = shutil.copytree(runs / tiny.path.name / "dfe" / "seed-0", tmp_path / "run")
    with raises(DataError, code="missing-option", path=run):
        collect_report_data(run, tmp_path / "page.html")
    with raises(DataError, code="file-not-found", path=tmp_path / "missing"):
        collect_report_data(run, tmp_path / "page.html", tmp_path / "missing")


def test_runs_on_several_data_sets_are_rejected(tmp_path, runs, tiny):
    for name in "ab":
        shutil.copytree(runs / tiny.path.name, tmp_path / name)
    with raises(DataError, code="ambiguous-path", path=tmp_path):
        find_runs(tmp_path)


def test_videos_are_found_by_their_names(tiny, tmp_path):
    shown = tiny.subset("testing")
    with raises(DataError, code="no-videos", path=tmp_path):
        find_video_urls(tiny, tmp_path, shown, tmp_path / "page.html")
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / f"{shown[0].id}.mp4").touch()
    urls = find_video_urls(tiny, tmp_path / "films", shown, tmp_path / "page.html")
    assert urls == {shown[0].id: f"films/{shown[0].id}.mp4"}
