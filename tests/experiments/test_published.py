"""Results from the literature: the file is sound, and no figure is shown without its protocol and checkpoint."""

import io

import pytest
from rich.console import Console

from wtal.core.errors import ConfigError, DataError
from wtal.core.structures import Segment, Video
from wtal.evaluation.evaluate import evaluate
from wtal.evaluation.protocols import PROTOCOLS, EvaluationOptions
from wtal.evaluation.results import between
from wtal.experiments.published import BENCHMARKS, DATA, Published, ours, published, read_published
from wtal.reporting.evaluation_tables import published_table
from wtal.reporting.tables import print_table, to_markdown

ENTRIES = read_published(DATA)
KNOWN = {  # average over 0.1:0.7, and 0.3:0.7 of the fully supervised
    **{"BaS-Net": 35.3, "CoLA": 40.9, "UM-Net": 41.9, "CO2-Net": 44.6, "RSKP": 45.1, "ASM-Loc": 45.1},
    **{"TFE-DCN": 46.9, "DDG-Net": 47.3, "PivoTAL": 49.6, "SAL": 50.6, "FuSTAL": 50.8},
    **{"ActionFormer": 66.8, "TriDet": 69.3},
}
US = Published("dfe (ours)", "thumos14", {"0.1:0.7": 12.3}, "thumos14-210", "last", "this run", seeds=5, spread=0.4)


def shown(benchmark, mine=(), width=80):
    console = Console(width=width, record=True, file=io.StringIO())
    print_table(published_table(benchmark, mine), console)
    return console.export_text()


def test_the_figures_are_those_that_are_known():
    thumos = published("thumos14")
    main = [(entry.method, list(entry.averages.values())[-1]) for entry in thumos]
    assert {name: value for name, value in main if name in KNOWN} == KNOWN
    assert sorted(value for name, value in main if name in ("DELU", "P-MIL")) == [45.9, 46.4, 46.4, 47.0]
    assert {entry.method for entry in thumos if entry.protocol == "thumos14-210"} == {"BaS-Net", "CoLA", "UM-Net"}


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_each_benchmark_stands_by_year_and_names_no_protocol_that_is_not_there(benchmark):
    entries = published(benchmark)
    assert [entry.year for entry in entries] == sorted(entry.year for entry in entries)
    assert {entry.protocol for entry in entries} <= {*PROTOCOLS, "its own", "not said"}
    assert all(entry.source == "authors' list" or entry.source.startswith("https://") for entry in entries)


def test_every_entry_is_of_a_benchmark_and_there_once():
    assert sum(len(published(benchmark)) for benchmark in BENCHMARKS) == len(ENTRIES)
    keys = [(entry.benchmark, entry.method, *entry.averages.values()) for entry in ENTRIES]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("entry", [e for e in ENTRIES if e.benchmark == "thumos14" and e.tious], ids=lambda e: e.method)
def test_an_average_is_that_of_its_tious(entry):
    tious = [float(tiou) for tiou in entry.tious]
    for span, average in entry.averages.items():
        inside = between(tious, *map(float, span.split(":")))
        values = [value for value, chosen in zip(entry.tious.values(), inside, strict=True) if chosen]
        assert sum(values) / len(values) == pytest.approx(average, abs=0.07)  # RSKP's own table: 45.16 as 45.1


def test_an_unknown_benchmark_is_refused():
    with pytest.raises(ConfigError, match="use one of thumos14, activitynet1"):
        published("thumos")


GOOD = 'method = "X"\nbenchmark = "thumos14"\naverages = { "0.1:0.7" = 40.0 }\n'


@pytest.mark.parametrize(
    "text, said",
    [
        ("[[result", "not valid TOML"),
        ("", "each \\[\\[result\\]\\] holds"),
        (f'[[result]]\n{GOOD}protocol = "thumos"', 'X: protocol "thumos" is not known; use one of activitynet'),
        (f'[[result]]\n{GOOD}checkpoint = "best"', 'X: checkpoint "best" is not known'),
        (f"[[result]]\n{GOOD.replace('thumos14', 'thumos')}", 'benchmark "thumos" is not known'),
        (f"[[result]]\n{GOOD.replace('40.0', '400')}", "give an average at least, all in percent"),
        (f'[[result]]\n{GOOD}colour = "red"', "holds the fields of Published and no other.*colour"),
        ('[[result]]\nmethod = "X"', "holds the fields of Published.*benchmark"),
    ],
)
def test_a_bad_file_is_named(tmp_path, text, said):
    (tmp_path / "p.toml").write_text(text)
    with pytest.raises(DataError, match=said) as caught:
        read_published(tmp_path / "p.toml")
    assert str(caught.value).startswith(f"{tmp_path}/p.toml") and "\n" not in str(caught.value)


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_no_figure_without_its_protocol_and_checkpoint(benchmark):
    header, _, *rows = to_markdown(published_table(benchmark))
    names = [cell.strip() for cell in header.strip("|").split("|")]
    assert len(rows) == len(published(benchmark))
    for row in rows:
        cells = dict(zip(names, (cell.strip() for cell in row.strip("|").split("|")), strict=True))
        assert cells["protocol"] and cells["checkpoint"] and cells["source"]
        assert any(cells[name] for name in names if ":" in name)


def test_ours_stands_out_between_the_weakly_and_the_fully_supervised():
    lines = to_markdown(published_table("thumos14", [US]))
    (mine,) = (number for number, line in enumerate(lines) if "dfe (ours)" in line)
    assert "| **12.3 ± 0.4** |" in lines[mine] and "**thumos14-210** | **last** | **5** | **this run** |" in lines[mine]
    assert "FuSTAL" in lines[mine - 1] and "ActionFormer (fully supervised)" in lines[mine + 1]
    text = shown("thumos14", [US])
    assert "12.3 ± 0.4" in text and "thumos14-snippet" in text and "best on test" in text
    assert all(len(line) <= 80 for line in text.splitlines()) and "…" not in text


def test_where_nothing_is_published_ours_alone():
    mine = Published("dfe", "multithumos", {"0.1:0.9": 1.5}, "multithumos", "last")
    assert to_markdown(published_table("multithumos", [mine]))[0].startswith("| method | year | venue | 0.1:0.9 |")
    assert "1.5" in shown("multithumos", [mine])


def test_our_results_become_an_entry():
    truth = [Video("v", "testing", ("x",), 100.0, (Segment("x", 0.0, 10.0),))]
    found = [{"v": [Segment("x", 0.0, end, 1.0)]} for end in (10.0, 4.5)]  # found at all tIoUs, and up to 0.4
    entry = ours(
        "dfe", "thumos14", [evaluate(f, truth, EvaluationOptions("thumos14-212", checkpoint="last")) for f in found]
    )
    assert (entry.protocol, entry.checkpoint, entry.seeds) == ("thumos14-212", "last", 2)
    assert entry.averages == pytest.approx({"0.1:0.5": 90, "0.3:0.7": 70, "0.1:0.7": 100 * 11 / 14})
    assert entry.tious["0.5"] == 50 and entry.spread == pytest.approx(100 * 3 / 7 / 2**0.5)
    assert ours("dfe", "thumos14", [evaluate(found[0], truth, EvaluationOptions("thumos14-212"))]).spread is None
