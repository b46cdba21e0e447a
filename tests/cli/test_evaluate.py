"""`wtal evaluate` and `wtal analyse`."""

import io
import json

import pytest
from rich.console import Console
from typer.testing import CliRunner

from tests.helpers.evaluation import perfect, proposed, runs, score, video
from wtal.cli import app
from wtal.cli.app import console
from wtal.data.layouts.activitynet import read_activitynet, read_proposals, write_activitynet, write_proposals
from wtal.data.layouts.thumos import read_ambiguous
from wtal.evaluation.bootstrap import compare_evaluations
from wtal.evaluation.error_analysis import analyse
from wtal.evaluation.evaluate import fitting_protocols
from wtal.evaluation.protocols import DEFAULT_PROTOCOL, PROTOCOLS, EvaluationOptions
from wtal.evaluation.results import EvaluationResult, read_result
from wtal.experiments.runner import comparison_options
from wtal.reporting.evaluation_tables import comparison_blocks
from wtal.reporting.tables import open_output


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """good/p.json, half/p.json and truth.json of two videos, in the working directory."""
    monkeypatch.chdir(tmp_path)
    truth = [video(id, *runs("aa..bb")) for id in ("v", "w")]
    write_activitynet(tmp_path / "truth.json", truth)
    good = perfect(truth)
    for name, proposals in {"good": good, "half": {"v": good["v"]}}.items():
        (tmp_path / name).mkdir()
        write_proposals(tmp_path / name / "p.json", proposals)
    return tmp_path


def call(*arguments, columns=100):
    """Exit code and output."""
    result = CliRunner(env={"COLUMNS": str(columns)}).invoke(app, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_single_file_under_one_protocol(folder):
    files, arguments = set(folder.rglob("*")), ("evaluate", "good/p.json", "truth.json", "--protocol", "thumos14-212")
    code, printed = call(*arguments)
    assert code == 0 and "interval" not in printed and set(folder.rglob("*")) == files
    code, output = call(*arguments, "--out", "new/results.json")
    assert code == 0 and output == f"{printed}written to new/results.json\n"
    proposals, truth = read_proposals(folder / "good/p.json"), read_activitynet(folder / "truth.json")
    assert read_result(folder / "new/results.json") == score(proposals, truth, "thumos14-212")


@pytest.mark.parametrize(
    "protocol, tiou_range", [("general", "0.1:0.7"), ("activitynet", "0.5:0.95"), ("thumos14-212", "0.1:0.7")]
)
def test_output_names_tiou_range_of_average(folder, protocol, tiou_range):
    code, output = call("evaluate", "good/p.json", "truth.json", "--protocol", protocol)
    assert code == 0 and tiou_range in output


def test_several_files_are_compared(folder):
    files = ("good/p.json", "half/p.json", "truth.json")
    code, output = call("evaluate", *files, "--protocol", "thumos14-212", "--out", "evaluations.json")
    assert code == 0 and "written to evaluations.json" in output
    assert "good/p.json - half/p.json" in output and "+50.0" in output
    assert output.count("NOT COMPARABLE: thumos14-212") == 1
    written = json.loads((folder / "evaluations.json").read_text())
    assert written["files"] == {"good/p.json": "good/p.json", "half/p.json": "half/p.json"}
    assert [EvaluationResult.from_json(entry["result"]).map[0] for entry in written["entries"]] == [1.0, 0.5]
    assert written["leads"][0]["difference"]["value"] == 0.5 and written["draws"] == 1000


@pytest.mark.parametrize("columns", [80, 120])
def test_all_protocols_that_fit(folder, columns, monkeypatch):
    monkeypatch.setattr(console, "width", columns)  # it reads COLUMNS once
    code, output = call("evaluate", "good/p.json", "truth.json", "--protocol", "all", "--out", "all.json")
    others = [name for name in PROTOCOLS if name not in ("general", "activitynet")]
    assert code == 0 and json.loads((folder / "all.json").read_text())["not_fitting"] == others
    tables = output[: output.index("all protocols: ")]
    assert max(map(len, tables.splitlines())) <= columns, tables


def test_all_protocols_show_map_at_each_tiou(folder):
    files = ["half/p.json", "good/p.json"]
    for number in (1, 2):
        arguments = ["evaluate", *files[:number], "truth.json", "--protocol", "all", "--format", "json"]
        result = CliRunner().invoke(app, [*arguments, "--out", "all.json"])
        assert result.exit_code == 0 and "written to all.json" in result.stderr
        tables = [table for table in json.loads(result.stdout) if table["title"].startswith("mAP")]
        assert len(tables) == 2, "the protocols have different thresholds"
        for table, protocol in zip(tables, ("general", "activitynet"), strict=True):
            tious = [f"{tiou:g}" for tiou in PROTOCOLS[protocol].tious]
            first = table["columns"].index(tious[0])
            assert table["columns"][first : first + len(tious)] == tious
            assert [row[0] for row in table["rows"]] == [protocol] * number
            assert table["rows"][0][first : first + len(tious)] == [50.0] * len(tious)


@pytest.mark.parametrize(
    "name", ["analyse", "benchmark", "budget", "calibrate", "check", "compare", "evaluate", "suggest"]
)
def test_commands_with_tables_have_a_format(folder, name):
    code, output = call(name, "--help")
    assert code == 0 and "--format" in output


@pytest.mark.parametrize("name", ["analyse", "evaluate"])
def test_unknown_format_is_rejected_before_anything_is_written(folder, name):
    code, output = call(name, "good/p.json", "truth.json", "--format", "xml")
    assert code == 2 and "xml" in output and [path.name for path in (folder / "good").iterdir()] == ["p.json"]


def test_same_default_protocol_in_all_commands(folder):
    call("evaluate", "good/p.json", "truth.json", "--out", "good/results.json")
    call("analyse", "good/p.json", "truth.json", "--out", "good")
    assert read_result(folder / "good/results.json").protocol == DEFAULT_PROTOCOL
    assert json.loads((folder / "good/analysis.json").read_text())["result"]["protocol"] == DEFAULT_PROTOCOL
    options = comparison_options("testing")
    assert (options.protocol, options.thresholds) == (DEFAULT_PROTOCOL, PROTOCOLS[DEFAULT_PROTOCOL].tious)


def test_tables_of_several_protocols_fit_the_terminal(shared):
    data = shared("thumos14")
    proposals = dict(list(read_proposals(data / "pmil_base_test.json").items())[:60])
    truth = read_activitynet(data / "acmnet_gt.json")
    ambiguous = read_ambiguous(data / "Thumos14reduced-Annotations" / "Ambiguous_test.txt")
    files = {"a": proposals, "b/with a long name.json": proposals}
    comparison = compare_evaluations(files, truth, EvaluationOptions(ambiguous=ambiguous), fitting_protocols(truth))
    for width in (80, 100, 120):
        console = Console(width=width, record=True, file=io.StringIO())
        with open_output(console) as output:
            output.print(comparison_blocks(comparison))
        text = console.export_text()
        tables = text[: text.index("all protocols: ")]
        assert max(map(len, tables.splitlines()[:-1])) <= width and "…" not in text
        assert "thumos14-snippet" in text and all(tious in text for tious in ("0.1:0.5", "0.3:0.7", "0.1:0.7"))
    assert text.count("does not use the list") == 1


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (["good/p.json", "none.json", "truth.json"], "none.json"),
        (["good/p.json", "half/../good/p.json", "truth.json"], "good/p.json"),
        (["truth.json", "good/p.json", "half/p.json"], "truth.json"),
        (["good", "good/p.json", "truth.json"], "good: "),
        (["good/p.json", "truth.json", "--protocol", "all,foo"], "all,foo"),
        (["good/p.json", "half/p.json", "truth.json", "--classes"], "--classes"),
        (["good/p.json", "half/p.json", "truth.json", "--out", "half/p.json"], "half/p.json"),
        (["good/p.json", "truth.json", "--out", "good/p.json"], "good/p.json"),
        (["good/p.json", "truth.json", "--ambiguous", "a.txt", "--out", "a.txt"], "a.txt"),
        (["good/p.json", "truth.json", "--out", "notes.txt"], "notes.txt"),
        (["good/p.json", "half/p.json", "truth.json", "--out", "notes.txt"], "notes.txt"),
        (["good/p.json", "half/p.json", "truth.json", "--tiou", "2"], "[2.0]"),
        (["good/p.json", "truth.json", "--protocol", "all", "--subset", "train"], '"training"'),
    ],
)
def test_evaluate_rejects_invalid_arguments_and_writes_nothing(folder, arguments, expected):
    (folder / "a.txt").write_text("")
    (folder / "notes.txt").write_text("of the user")
    files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    code, output = call("evaluate", *arguments)
    assert code == 2 and expected in output and len(output.strip().splitlines()) == 1
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == files


SCORING = ["evaluate", "analyse", "plot errors --out figure.png", "plot precision --out figure.png"]


@pytest.mark.parametrize("command", SCORING)
def test_no_video_in_common_is_an_error_that_shows_both_kinds_of_ids(folder, command):
    write_proposals(folder / "other.json", {"holiday__v": read_proposals(folder / "good/p.json")["v"]})
    files = set(folder.rglob("*"))
    code, output = call(*command.split(), "other.json", "truth.json", columns=500)
    assert code == 2 and "holiday__v" in output and "v, w" in output and "--data" in output
    assert set(folder.rglob("*")) == files


@pytest.mark.parametrize("command", SCORING)
def test_no_class_in_common_is_an_error_that_shows_both_kinds_of_names(folder, command):
    segments = read_proposals(folder / "good/p.json")["v"]
    write_proposals(folder / "other.json", {"v": [segment._replace(label="long jump") for segment in segments]})
    files = set(folder.rglob("*"))
    code, output = call(*command.split(), "other.json", "truth.json", columns=500)
    assert code == 2 and "long jump" in output and "; x in the ground truth" in output
    assert set(folder.rglob("*")) == files


def test_some_classes_without_ground_truth_are_only_noted(folder):
    segments = read_proposals(folder / "good/p.json")["v"]
    write_proposals(folder / "other.json", {"v": [*segments, segments[0]._replace(label="jump")]})
    code, output = call("evaluate", "other.json", "truth.json", columns=500)
    assert code == 0 and "jump" in output


def test_no_video_in_common_is_an_error_for_each_of_several_files(folder):
    write_proposals(folder / "other.json", {"x": []})
    code, output = call("evaluate", "good/p.json", "other.json", "truth.json", columns=500)
    assert code == 2 and output.startswith("error: other.json: ")


def test_videos_of_another_subset_only_are_an_error_that_names_it(folder):
    write_activitynet(folder / "t.json", [video("v", *runs("aa"), subset="validation"), video("w", *runs("aa"))])
    code, output = call("evaluate", "half/p.json", "t.json", "--subset", "testing", columns=500)
    assert code == 2 and "--subset" in output and "validation" in output


def test_videos_that_are_not_in_the_ground_truth_are_named(folder):
    good = read_proposals(folder / "good/p.json")
    write_proposals(folder / "more.json", good | {"holiday__v": good["v"]})
    code, output = call("evaluate", "more.json", "truth.json", columns=500)
    assert code == 0 and "holiday__v" in output


def test_no_predicted_video_scores_zero(folder):
    write_proposals(folder / "empty.json", {})
    assert call("evaluate", "empty.json", "truth.json")[0] == 0


def test_evaluate_requires_ground_truth(folder):
    code, output = call("evaluate", "good/p.json")
    assert code == 2 and "TRUTH" in output


# Analyse

RUN, JUMP = ("run", 10.0, 20.0), ("jump", 50.0, 60.0)


@pytest.fixture
def analysis_folder(tmp_path, monkeypatch):
    """p.json and truth.json in the working directory."""
    monkeypatch.chdir(tmp_path)
    write_activitynet(tmp_path / "truth.json", [video("v", RUN, JUMP), video("w", JUMP)])
    write_proposals(tmp_path / "p.json", {"v": proposed(RUN, ("run", 10, 14), ("jump", 80, 90))})
    return tmp_path


def test_analyse_writes_json_and_figure(analysis_folder):
    code, output = call("analyse", "p.json", "truth.json", "--out", "new")
    assert code == 0, output
    assert "3 of 3" in output and "localization" in output and "distance to the next action" in output
    written = json.loads((analysis_folder / "new" / "analysis.json").read_text())
    proposals, truth = read_proposals(analysis_folder / "p.json"), read_activitynet(analysis_folder / "truth.json")
    assert written == json.loads(json.dumps(analyse(proposals, truth).to_json()))
    assert (analysis_folder / "new" / "analysis.png").read_bytes().startswith(b"\x89PNG")
    files = set(analysis_folder.rglob("*"))
    assert output == f"{call('analyse', 'p.json', 'truth.json')[1]}{output.splitlines()[-1]}\n"
    assert set(analysis_folder.rglob("*")) == files, "without --out nothing is written"


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (["p.json", "truth.json", "--protocol", "all"], "'all'"),
        (["p.json", "truth.json", "--tiou", "0.05"], "0.05"),
        (["p.json", "truth.json", "--tiou", "1.5"], "1.5"),
        (["p.json", "truth.json", "--subset", "training"], '"training"'),
        (["p.json", "truth.json", "--out", "p.json"], "p.json"),
        (["none.json", "truth.json"], "none.json"),
        ([".", "truth.json"], ".: "),
        (["truth.json", "truth.json"], "truth.json"),
        (["p.json", "p.json"], "p.json"),
        (["analysis.json", "truth.json", "--out", "."], "analysis.json"),
    ],
)
def test_analyse_rejects_invalid_arguments_and_writes_nothing(analysis_folder, arguments, expected):
    files = sorted(analysis_folder.iterdir())
    code, output = call("analyse", *arguments)
    assert code == 2 and expected in output and len(output.strip().splitlines()) == 1, output
    assert sorted(analysis_folder.iterdir()) == files


@pytest.mark.parametrize("name", ["analysis.json", "analysis.png"])
def test_analyse_does_not_replace_files_of_the_user(analysis_folder, name):
    other = analysis_folder / "other"
    other.mkdir()
    (other / name).write_text("{}")
    code, output = call("analyse", "p.json", "truth.json", "--out", other)
    assert code == 2 and output.count("\n") == 1 and f"{name}: " in output
    assert [path.read_text() for path in other.iterdir()] == ["{}"]


def test_analyse_rejects_loop_of_links(analysis_folder):
    (analysis_folder / "loop").symlink_to(analysis_folder / "loop")
    code, output = call("analyse", "p.json", "truth.json", "--out", "loop")
    assert code == 2 and output.count("\n") == 1
