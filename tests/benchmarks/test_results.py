"""RESULTS.md: a measured section is replaced, all other text stays."""

import pytest
from typer.testing import CliRunner

from benchmarks import palette, results
from benchmarks.__main__ import app
from tests.helpers.errors import raises
from wtal.core.errors import ConfigError, DataError

TEXT = """# Benchmarks

Introduction.

## Colors of the classes

A note before.

<!-- measured: palette -->

An earlier figure.

<!-- /measured: palette -->

A note after.

## GPU

<!-- measured: gpu -->

A figure of another machine.

<!-- /measured: gpu -->
"""


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A file of results, and measurements that take no time."""
    path = tmp_path / "RESULTS.md"
    path.write_text(TEXT)
    monkeypatch.setattr(results, "RESULTS", path)
    monkeypatch.setattr(results, "MEASUREMENTS", {name: results.MEASUREMENTS[name] for name in ("gpu", "palette")})
    monkeypatch.setattr(results, "provenance", lambda name: f"How {name} was measured.")
    monkeypatch.setattr(palette, "measure", lambda: ["A new figure: \\1."])
    return path


def run(*arguments):
    return CliRunner().invoke(app, arguments)


def test_measured_section_is_replaced_and_notes_are_kept(path):
    result = run("palette", "--write")
    assert result.exit_code == 0, result.output
    assert path.read_text() == TEXT.replace("An earlier figure.", "How palette was measured.\n\nA new figure: \\1.")
    assert "A new figure" in result.stdout


def test_nothing_is_written_unless_asked_for(path):
    assert "A new figure" in run("palette").stdout
    assert path.read_text() == TEXT


def test_second_run_changes_nothing(path):
    run("palette", "--write")
    text = path.read_text()
    run("palette", "palette", "--write")
    assert path.read_text() == text


def test_section_that_is_missing_is_added(path):
    path.write_text("# Benchmarks\n\nNote.\n")
    run("palette", "--write")
    text = path.read_text()
    assert text.startswith("# Benchmarks\n\nNote.\n\n## Colors of the classes\n\n<!-- measured: palette -->\n")
    assert text.endswith("A new figure: \\1.\n\n<!-- /measured: palette -->\n")


def test_section_without_end_is_rejected(path):
    path.write_text(TEXT.replace("<!-- /measured: palette -->", ""))
    with raises(DataError, code="invalid-section", path=path):
        results.write_section(path, "palette", ["line"])
    assert "A figure of another machine." in path.read_text()


def test_all_skips_what_the_machine_cannot_measure(path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    result = run("all", "--write")
    assert result.exit_code == 0 and result.stderr.startswith("gpu: not measured: ")
    assert "A figure of another machine." in path.read_text() and "A new figure" in path.read_text()


def test_measurement_that_is_named_must_be_possible(path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    result = run("gpu", "palette", "--write")
    assert result.exit_code == 2 and path.read_text() == TEXT


def test_unknown_measurement_is_rejected_before_any_is_run(path):
    with raises(ConfigError, code="unknown-name"):
        results.measure_sections(["palette", "nowhere"], write=True)
    assert path.read_text() == TEXT


def test_provenance_names_command_commit_and_machine():
    line = results.provenance("palette")
    for part in ("`python -m benchmarks palette`", "commit ", "cores", "torch ", "GFLOP/s", "load average"):
        assert part in line


def test_tables_are_not_wrapped():
    row = f"| {'cell ' * 50}|"
    assert list(results.wrap([row, "word " * 50, ""])) == [row, *results.wrap(["word " * 50]), ""]
    assert all(len(line) <= results.LINE_LENGTH for line in results.wrap(["word " * 100]))


def test_every_section_of_the_results_is_marked():
    text = results.RESULTS.read_text(encoding="utf-8")
    for name, title in results.MEASUREMENTS.items():
        assert f"## {title}\n" in text
        assert text.count(f"<!-- measured: {name} -->\n") == text.count(f"<!-- /measured: {name} -->\n") == 1
