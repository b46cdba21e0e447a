"""When the memory helps: DFE and its controls, trained on random choices of the training videos of HAPT.

Scores the validation subset, prints a table and draws docs/study.png. Finished runs in RUNS are reused.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from benchmarks.figures import open_figure
from benchmarks.linked_datasets import write_linked_dataset
from benchmarks.measure import ROOT, shared_path
from wtal.core.config import Config
from wtal.core.hardware import available_cores
from wtal.core.io import read_json
from wtal.experiments.compare import run_config
from wtal.experiments.runner import RunSpec, comparison_options, results_of, run_specs
from wtal.experiments.statistics import Score, paired_difference, score_of
from wtal.reporting.figures.colors import OKABE_ITO, darken
from wtal.reporting.progress import runs_progress
from wtal.reporting.tables import TableData, format_mean_std, to_markdown

DATA = "hapt"
SIZES = (16, 32, 64, 128)  # training videos
SEEDS = 3  # each with a choice of its own
METHODS = ("local", "dfe-no-memory", "dfe")
CONTROLS = ("local", "dfe-no-memory")  # methods that DFE is compared with
COLORS = dict(zip(METHODS, (darken(color, 3.0) for color in OKABE_ITO), strict=False))
FIGURE = ROOT / "docs" / "study.png"

Scores = Mapping[tuple[int, str], Score]  # by number of videos and method


def main(
    runs: Annotated[Path, typer.Argument(metavar="RUNS", help="Folder of the data sets and runs")],
    workers: Annotated[int | None, typer.Option(min=1, help="Number of parallel runs", show_default="cores")] = None,
) -> None:
    """Run what is missing, then print the table and draw the figure."""
    specs = {
        (size, method): [_run_spec(runs, size, method, seed) for seed in range(SEEDS)]
        for size in SIZES
        for method in METHODS
    }
    with runs_progress(Console(stderr=True)) as on_progress:
        run_specs([spec for group in specs.values() for spec in group], workers or available_cores(), on_progress)
    scores = {key: score_of(group[0].name, key[1], results_of(group)) for key, group in specs.items()}
    print("\n".join(_table(scores)))
    _draw(scores)


def write_subset(data: Path, size: int, folder: Path, seed: int) -> None:
    """Write a data set folder with a random choice of the training videos."""
    database = read_json(data / "annotations.json")["database"]
    training = sorted(id for id, video in database.items() if video["subset"] == "training")
    kept = set(np.random.default_rng(seed).permutation(training)[:size].tolist())
    write_linked_dataset(data, folder, {id: v for id, v in database.items() if v["subset"] != "training" or id in kept})


def _run_spec(runs: Path, size: int, method: str, seed: int) -> RunSpec:
    name = f"{DATA}-{size}"
    data = runs / "data" / name / f"seed-{seed}"
    if not data.exists():
        write_subset(shared_path(DATA), size, data, seed)
    return RunSpec(
        data, name, method, run_config(Config(), method, seed), comparison_options("validation"), runs / "runs"
    )


def _table(scores: Scores) -> list[str]:
    rows = [(method, *(format_mean_std(scores[size, method].averages) for size in SIZES)) for method in METHODS]
    for control in CONTROLS:
        cells = (f"{mean:+.1f} ({low:+.1f} to {high:+.1f})" for mean, low, high in _differences(scores, control))
        rows.append((f"dfe - {control}", *cells))
    columns = (f"training videos of {DATA}", *map(str, SIZES))
    return to_markdown(TableData(columns, tuple(rows), bold=(METHODS.index("dfe"),)))


def _differences(scores: Scores, control: str) -> list[tuple[float, float, float]]:
    """Mean of the paired differences between DFE and a control, and its interval, for each number of videos."""
    return [paired_difference(scores[size, "dfe"].averages, scores[size, control].averages) for size in SIZES]


def _draw(scores: Scores) -> None:
    with open_figure(FIGURE, 2, 8, 3.2) as (_, (left, right)):
        for method in METHODS:
            means = np.array([scores[size, method].mean for size in SIZES])
            spreads = np.array([scores[size, method].spread for size in SIZES])
            left.plot(SIZES, means, marker="o", markersize=4, label=method, color=COLORS[method])
            left.fill_between(SIZES, means - spreads, means + spreads, alpha=0.12, color=COLORS[method], linewidth=0)
        for control in CONTROLS:
            mean, low, high = zip(*_differences(scores, control), strict=True)
            right.plot(SIZES, mean, marker="o", markersize=4, label=f"dfe - {control}", color=COLORS[control])
            right.fill_between(SIZES, low, high, alpha=0.12, color=COLORS[control], linewidth=0)
        right.axhline(0, color="0.6", linewidth=0.6)
        for axes, label in ((left, "average mAP (%)"), (right, "difference (points)")):
            axes.set_xscale("log", base=2)
            axes.set_xticks(SIZES, map(str, SIZES))
            axes.set(xlabel=f"training videos of {DATA}", ylabel=label)
            axes.legend(frameon=False)
