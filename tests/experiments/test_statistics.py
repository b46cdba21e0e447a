"""The arithmetic of a comparison, and its tables."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from wtal.experiments.statistics import Difference, Score, differences_of, overall, paired_difference
from wtal.reporting.comparison_tables import render_comparison


def score(data: str, method: str, *averages: float) -> Score:
    return Score(data, method, averages, tuple((value,) * 7 for value in averages))


def test_the_mean_over_data_sets_is_taken_seed_by_seed():
    scores = [
        score("a", "dfe", 10, 20),
        score("b", "dfe", 30, 20),
        score("a", "local", 0, 0),
        score("b", "local", 8, 4),
    ]
    dfe, local = overall(scores)
    assert dfe.averages == (20, 20) and dfe.spread == 0 and local.averages == (4, 2) and local.data == "mean"
    (difference,) = differences_of([local, dfe])
    assert (difference.method, difference.other, difference.mean) == ("dfe", "local", 17)


PAIRS = st.lists(st.tuples(*[st.floats(0, 100).map(lambda x: round(x, 3))] * 2), min_size=1, max_size=6)


@settings(max_examples=25, deadline=None)
@given(PAIRS, st.floats(-50, 50))
def test_paired_differences(pairs, shift):
    ours, others = np.array(pairs).T
    mean, low, high = paired_difference(ours, others)
    close = {"abs": 1e-6}
    assert low - 1e-9 <= mean <= high + 1e-9
    assert mean == pytest.approx(ours.mean() - others.mean(), **close)
    back, least, most = paired_difference(others, ours)
    assert back == pytest.approx(-mean, **close)
    # A percentile of finitely many draws: the two ends mirror each other but for the grid of the draws.
    grid = 0.05 * np.ptp(ours - others) + 1e-6
    assert (least, most) == pytest.approx((-high, -low), abs=grid)
    assert paired_difference(ours + shift, others + shift) == pytest.approx((mean, low, high), abs=grid)
    assert paired_difference(ours + shift, others)[0] == pytest.approx(mean + shift, **close)


def shown(scores: list[Score], differences: list[Difference], width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    render_comparison(scores, differences, "validation", console)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


@pytest.mark.parametrize("sets", [1, 3, 9])
def test_tables_fit_eighty_columns_and_lose_no_number(sets):
    scores = [score(f"data{n}", m, 10 + n, 12 + n) for n in range(sets) for m in ("local", "dfe-no-distillation")]
    differences = [d for n in range(sets) for d in differences_of([s for s in scores if s.data == f"data{n}"])]
    lines = shown(scores, differences, 80)
    assert max(map(len, lines)) <= 80 and not any("…" in line for line in lines)
    text = "\n".join(lines)
    assert all(f"{11 + n}.0 ± 1.4" in text for n in range(sets))
    assert ("column mean" in text) == (sets > 1)
    assert text.count("local - dfe-no-distillation") == sets + (sets > 1)


def test_one_seed_has_no_spread_and_no_interval():
    scores = [score("[red]a", "dfe", 10.0), score("[red]a", "local", 8.0)]
    text = "\n".join(shown(scores, differences_of(scores), 80))
    assert "[red]a" in text and "+2.0" in text and "±" not in text and "no interval for a single seed" in text
