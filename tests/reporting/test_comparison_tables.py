"""The tables of a comparison fit the terminal and show every score."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from tests.helpers.evaluation import perfect, runs, video
from wtal.core.config import Config
from wtal.evaluation.bootstrap import Interval
from wtal.evaluation.evaluate import evaluate
from wtal.experiments.external import ExternalScore
from wtal.experiments.statistics import Comparison, Score
from wtal.reporting.comparison_tables import comparison_blocks
from wtal.reporting.tables import open_output


def score(data: str, method: str, *averages: float) -> Score:
    return Score(data, method, averages, tuple((value,) * 7 for value in averages))


def rendered(scores: list[Score], *external: ExternalScore) -> list[str]:
    console = Console(file=io.StringIO(), width=80)
    comparison = Comparison.from_scores(scores, "validation", len(scores[0].averages), Config(), external)
    with open_output(console) as output:
        output.print(comparison_blocks(comparison))
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("datasets", [1, 3, 9])
def test_tables_fit_80_columns_and_show_every_score(datasets):
    methods = ("local", "dfe-no-memory")
    lines = rendered([score(f"data{n}", method, 10 + n, 12 + n) for n in range(datasets) for method in methods])
    text = "\n".join(lines)
    assert max(map(len, lines)) <= 80 and "…" not in text
    assert all(f"{11 + n}.0 ± 1.4" in text for n in range(datasets))
    assert ("column mean" in text) == (datasets > 1)
    assert text.count("local - dfe-no-memory") == datasets + (datasets > 1)


def test_single_seed_has_no_deviation_and_no_interval():
    text = "\n".join(rendered([score("[red]a", "dfe", 10.0), score("[red]a", "local", 8.0)]))
    assert "[red]a" in text and "+2.0" in text and "±" not in text and "[+" not in text


@pytest.mark.parametrize("seeds", [1, 2])
def test_external_system_has_a_row_and_an_interval_over_videos(seeds):
    truth = [video("a", *runs("aa..bb"))]
    result = evaluate(perfect(truth), truth)
    external = ExternalScore("[red]b", Path("p.json"), result, "local", seeds, Interval(-0.9, -0.95, -0.85))
    lines = rendered([score("data", "local", *[10.0] * seeds)], external)
    assert max(map(len, lines)) <= 80
    rows = [line.split() for line in lines]
    assert ["[red]b", "(external)", "100.0"] in rows
    assert ["local", "-", "[red]b", "-90.0", "[-95.0,", "-85.0]"] in rows
    assert ("local: mean over 2 seeds; the intervals do not include their spread" in lines) == (seeds == 2)
