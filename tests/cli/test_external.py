"""`--external` of `wtal compare` and `wtal report`: the rows in the outputs, and one line for bad input."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.helpers.data import TINIEST
from tests.helpers.executor import InProcessExecutor
from wtal.cli import app
from wtal.data.synthetic.features import write_synthetic

TINY = ("model.width=8", "train.steps=2", "train.batch_size=2", "train.snippets=8")
OPTIONS = ["--methods", "local", "--seeds", "2", *(part for setting in TINY for part in ("--set", setting))]
PROPOSALS = "out/data/local/seed-0/proposals-local-validation.json"


def call(*arguments: object) -> tuple[int, str]:
    """The exit code and the output."""
    result = CliRunner().invoke(app, list(map(str, arguments)))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set and a comparison of one method over two seeds."""
    folder = tmp_path_factory.mktemp("external")
    write_synthetic(folder / "data", TINIEST)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wtal.core.concurrency.ProcessPoolExecutor", InProcessExecutor)
        code, output = call("compare", folder / "data", "--out", folder / "out", *OPTIONS)
    assert code == 0 and "(external)" not in output, output
    return folder


def test_compare_shows_external_rows(folder, monkeypatch):
    monkeypatch.chdir(folder)
    files = ["--external", f"CO2-Net={PROPOSALS}", "--external", f"[red]b={PROPOSALS}"]
    code, output = call("compare", "data", "--out", "out", *OPTIONS, *files)
    assert code == 0, output
    average = json.loads(Path("out/comparison.json").read_text())["scores"][0]["averages"][0]
    rows = [line.split() for line in output.splitlines()]
    assert ["CO2-Net", "(external)", f"{average:.1f}"] in rows and ["[red]b", "(external)", f"{average:.1f}"] in rows
    assert "local - CO2-Net" in output and "local - [red]b" in output
    assert "local: mean over 2 seeds" in output and "over 2 videos" in output


def test_report_shows_external_rows(folder, monkeypatch):
    monkeypatch.chdir(folder)
    code, output = call("report", "out", "--external", f"CO2-Net={PROPOSALS}", "--out", "page.html")
    assert code == 0, output
    text = Path("page.html").read_text(encoding="utf-8")
    assert "CO2-Net (external)" in text and "local - CO2-Net" in text


@pytest.mark.parametrize(
    "values",
    [["x"], ["A=none.json"], ["A=data/annotations.json"], ["local=" + PROPOSALS], ["A=" + PROPOSALS] * 2],
    ids=["no name", "missing file", "no proposals", "name of a method", "repeated name"],
)
@pytest.mark.parametrize("command", [["compare", "data", "--out", "new"], ["report", "out", "--out", "new"]])
def test_bad_input_is_one_line(folder, monkeypatch, command, values):
    monkeypatch.chdir(folder)
    code, output = call(*command, *(part for value in values for part in ("--external", value)))
    lines = output.strip().splitlines()
    assert code == 2 and len(lines) == 1 and lines[0].startswith("error: "), output
    assert not Path("new").exists()
