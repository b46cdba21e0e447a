"""The command line of the developer tools: help, bad arguments, missing data, and the tools that the texts name."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks import measure
from benchmarks.__main__ import ALL, TOOLS, app
from benchmarks.results import MEASUREMENTS

ROOT = Path(__file__).parents[2]
NAMES = (*MEASUREMENTS, ALL, *TOOLS)
NEEDS_DATA = ("evaluation", "peers", "training", "extraction", "threads", "first_hour", "full_size")


@pytest.fixture
def run_tool(tmp_path, monkeypatch):
    """Run a tool on a machine without the public data."""
    monkeypatch.setattr(measure, "SHARED", tmp_path / "nowhere")
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, [*map(str, arguments)], env={"COLUMNS": "200"})


def test_help_lists_all_tools(run_tool):
    output = run_tool("--help").stdout
    assert all(re.search(rf"\b{name} +\S", output) for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_help_describes_tool(run_tool, name):
    result = run_tool(name, "--help")
    assert result.exit_code == 0, result.output
    assert f" {name} " in result.stdout and len(result.stdout.splitlines()) > 5


@pytest.mark.parametrize("arguments", [["nonsense"], *([name, "--nonsense"] for name in NAMES)], ids=" ".join)
def test_unknown_name_or_option_is_rejected(run_tool, arguments):
    result = run_tool(*arguments)
    assert result.exit_code == 2 and "nonsense" in result.stderr
    assert not result.stdout and "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        *(["study"], ["probe", "data"], ["boundaries"], ["ablate", "data"], ["rehearse", "truth"], ["labels"]),
        *(["models"], ["calibration", "runs"], ["smoothing"], ["normalisation", "data"], ["hour"]),
    ],
    ids=" ".join,
)
def test_missing_argument_is_named(run_tool, arguments):
    result = run_tool(*arguments)
    assert result.exit_code == 2 and "Missing" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        *(["study", "runs"], ["labels", "runs"], ["models", "runs", "hapt"], ["backbones"], ["kinetics400"]),
        *([name] for name in NEEDS_DATA),
    ],
    ids=" ".join,
)
def test_missing_public_data_are_named(run_tool, tmp_path, arguments):
    result = run_tool(*arguments)
    assert result.exit_code == 2, result.output
    assert str(tmp_path / "nowhere") in result.stderr and "WTAL_SHARED" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["palette", "nowhere"],
        ["labels", "runs", "--labels", "points:many"],
        ["labels", "runs", "--labels", "dots:3"],
        ["labels", "runs", "--methods", "nothing"],
        ["labels", "runs", "--figure", "figure.doc"],
        ["models", "runs", "nowhere"],
        ["hour", "nothing"],
        pytest.param(["fuzz", "3", "--only", "no such kind"], marks=pytest.mark.slow),
        ["fuzz", "0"],
        ["probe", "nowhere", "run"],
        ["boundaries", "nowhere", "run"],
        ["normalisation", "nowhere", "runs"],
        ["normalisation", "nowhere", "runs", "nothing"],
        ["calibration", "runs", "nowhere"],
        ["smoothing", "nowhere"],
        ["ablate", "nowhere", "--out", "runs"],
        ["rehearse", "nowhere", "out"],
    ],
    ids=lambda arguments: " ".join(arguments),
)
def test_bad_argument_is_an_error_without_traceback(run_tool, tmp_path, arguments):
    result = run_tool(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stderr and isinstance(result.exception, SystemExit)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("module", ["fuzz", "palette"])
def test_module_of_a_tool_is_not_a_second_way_to_run_it(module):
    command = [sys.executable, "-m", f"benchmarks.{module}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr == f"error: run this tool as python -m benchmarks {module}\n"


def test_tools_that_are_named_in_texts_exist():
    files = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "Makefile", ROOT / "benchmarks" / "RESULTS.md"]
    files += [*ROOT.glob("docs/**/*.md"), *ROOT.glob("wtal/**/*.py")]
    named = set()
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"python -m benchmarks\.\w", text), path
        named |= set(re.findall(r"python -m benchmarks\s+(\w+)", text))
    assert {"labels", "gpu"} < named <= {*NAMES, "NAME"}
