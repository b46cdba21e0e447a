"""When does the memory help? Trains DFE and its controls on data that vary in one trait at a time: subsets of the
training videos of real data sets, and synthetic data sets.

`python -m benchmarks.study RUNS` writes docs/study/ (differences.png, methods.png, tables.md, study.json); finished
runs in RUNS are reused."""

import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from benchmarks.measure import ROOT, SHARED
from wtal.core.config import Config, with_overrides
from wtal.core.hardware import available_cores
from wtal.core.io import write_json, write_text
from wtal.data.synthetic.features import SyntheticConfig, write_synthetic
from wtal.experiments.compare import run_config
from wtal.experiments.runner import RunSpec, comparison_options, results_of, run_specs
from wtal.experiments.statistics import Score, paired_difference, score_of
from wtal.reporting.figures.colors import OKABE_ITO, darken
from wtal.reporting.tables import TableData, format_mean_std, to_markdown

SEEDS = 3  # each with a data set, or a subset of the training videos, of its own
METHODS = ("local", "dfe-no-memory", "dfe", "shuffled-memory")
CONTROLS = ("local", "dfe-no-memory", "shuffled-memory")  # methods that DFE is compared with
REAL = ("hapt",)
SIZES = (16, 32, 64, 128)  # training videos of the subsets
SYNTHETIC: Config = with_overrides(Config(), ("model.width=64", "train.steps=200", "teacher.models=5"))
COLORS = dict(zip(METHODS, (darken(color, 3.0) for color in OKABE_ITO), strict=False))
CENTRE = SyntheticConfig(training=96, snippets=(40, 90), action_snippets=(4, 12))
OUTPUT = ROOT / "docs" / "study"


@dataclass(frozen=True)
class Condition:
    """Data to train on.

    Attributes:
        name: Name of its folder.
        write: Writes the data set of a seed.
        config: Settings.
        subset: The subset that is scored.
    """

    name: str
    write: Callable[[Path, int], object]
    config: Config
    subset: str


@dataclass(frozen=True)
class Trait:
    """A trait of the data, and the condition for each of its values."""

    title: str
    conditions: Mapping[float, Condition]


def _subset(data: Path, size: int) -> Condition:
    """A random choice of `size` training videos of a real data set."""
    return Condition(f"{data.name}-{size}", partial(_write_subset, data, size), Config(), "validation")


def _write_subset(data: Path, size: int, folder: Path, seed: int) -> None:
    content = json.loads((data / "annotations.json").read_text())
    database = content["database"]
    training = sorted(id for id, video in database.items() if video["subset"] == "training")
    kept = set(np.random.default_rng(seed).permutation(training)[:size].tolist())
    content["database"] = {id: v for id, v in database.items() if v["subset"] != "training" or id in kept}
    folder.mkdir(parents=True)
    (folder / "features").symlink_to(data / "features")
    (folder / "dataset.json").write_bytes((data / "dataset.json").read_bytes())
    write_json(folder / "annotations.json", content)


def _synthetic(**traits: Any) -> Condition:
    data = replace(CENTRE, **traits)
    name = re.sub(r"[^\w.]+", "-", "-".join(f"{key}-{value}" for key, value in traits.items())) or "centre"
    return Condition(name, lambda folder, seed: write_synthetic(folder, data, seed), SYNTHETIC, "testing")


def _strength(factor: float) -> Condition:
    return _synthetic(early=factor * CENTRE.early, late=factor * CENTRE.late)


TRAITS = (
    *(Trait(f"training videos of {name}", {n: _subset(SHARED / name, n) for n in SIZES}) for name in REAL),
    Trait("synthetic: training videos per class", {n: _synthetic(training=8 * n) for n in (2, 4, 12, 30)}),
    Trait("synthetic: signal strength", {x: _strength(x) for x in (0.5, 1.0, 1.5)}),
    Trait("synthetic: classes", {c: _synthetic(classes=c, training=12 * c, testing=5 * c) for c in (4, 8, 12)}),
    Trait("synthetic: share of videos with two labels", {x: _synthetic(second_label=x) for x in (0.0, 0.4, 1.0)}),
)

Scores = Mapping[tuple[str, str], Score]  # by condition and method


def main(runs: Path, workers: int) -> None:
    """Run what is missing, then write tables and figures."""
    specs = {
        (condition.name, method): [_run_spec(runs, condition, method, seed) for seed in range(SEEDS)]
        for trait in TRAITS
        for condition in trait.conditions.values()
        for method in METHODS
    }
    run_specs([spec for group in specs.values() for spec in group], workers, _print_progress)
    write_study({key: score_of(group[0].name, key[1], results_of(group)) for key, group in specs.items()})


def write_study(scores: Scores) -> None:
    """Write scores, tables and figures to docs/study/."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    entries = [
        {"trait": trait.title, "value": value, "method": method, "averages": scores[condition.name, method].averages}
        for trait in TRAITS
        for value, condition in trait.conditions.items()
        for method in METHODS
    ]
    write_json(OUTPUT / "study.json", entries)
    write_text(OUTPUT / "tables.md", "\n".join(_tables(scores)) + "\n")
    _draw(scores)


def _run_spec(runs: Path, condition: Condition, method: str, seed: int) -> RunSpec:
    data = runs / "data" / condition.name / f"seed-{seed}"
    if not data.exists():
        condition.write(data, seed)
    config = run_config(condition.config, method, seed)
    return RunSpec(data, condition.name, method, config, comparison_options(condition.subset), runs / "runs")


def _print_progress(spec: object, done: int, total: int) -> None:
    print(f"{done}/{total} {spec}", flush=True)


def _tables(scores: Scores) -> list[str]:
    lines = [
        "Average mAP (%) over tIoU 0.1:0.7, `activitynet` protocol, validation subset (real) or testing subset",
        f"(synthetic), last checkpoint, mean ± standard deviation over {SEEDS} seeds, each with data of its own",
        "(`python -m benchmarks.study RUNS`).",
    ]
    for trait in TRAITS:
        conditions = trait.conditions.values()
        rows = [
            (method, *(format_mean_std(scores[condition.name, method].averages) for condition in conditions))
            for method in METHODS
        ]
        for control in CONTROLS:
            differences = (_dfe_difference(scores, condition, control) for condition in conditions)
            cells = (f"{mean:+.1f} ({low:+.1f} to {high:+.1f})" for mean, low, high in differences)
            rows.append((f"dfe - {control}", *cells))
        columns = (trait.title, *(f"{value:g}" for value in trait.conditions))
        table = TableData(columns, tuple(rows), bold=(METHODS.index("dfe"),))
        lines += ["", f"## By {trait.title}", "", *to_markdown(table)]
    return lines


def _dfe_difference(scores: Scores, condition: Condition, control: str) -> tuple[float, float, float]:
    """Mean of the paired differences, and its interval."""
    return paired_difference(scores[condition.name, "dfe"].averages, scores[condition.name, control].averages)


def _draw(scores: Scores) -> None:
    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    for name, label in (("methods", "average mAP (%)"), ("differences", "dfe minus control (points)")):
        figure, rows = pyplot.subplots(2, 3, figsize=(10.5, 6), sharey=True, layout="constrained")
        for trait, axes in zip(TRAITS, rows.flat, strict=False):
            lines = _method_lines(scores, trait) if name == "methods" else _difference_lines(scores, trait)
            x = range(len(trait.conditions))
            for title, points in lines.items():
                mean, low, high = zip(*points, strict=True)
                axes.plot(x, mean, marker="o", markersize=4, label=title, linewidth=1.4, color=COLORS[title])
                axes.fill_between(x, low, high, alpha=0.12, color=COLORS[title], linewidth=0)
            axes.set_xticks(x, [f"{value:g}" for value in trait.conditions])
            axes.set_xlabel(trait.title)
            if name == "differences":
                axes.axhline(0, color="0.6", linewidth=0.6)
        for axes in rows.flat[len(TRAITS) :]:
            axes.set_axis_off()
        for row in rows:
            row[0].set_ylabel(label)
        figure.legend(*rows.flat[0].get_legend_handles_labels(), loc="outside right center", frameon=False)
        figure.savefig(OUTPUT / f"{name}.png", dpi=150)
        pyplot.close(figure)


Points = list[tuple[float, float, float]]  # mean, lower and upper edge of the band, for each condition


def _method_lines(scores: Scores, trait: Trait) -> dict[str, Points]:
    """Mean and standard deviation of each method."""
    return {
        method: [
            (score.mean, score.mean - score.spread, score.mean + score.spread)
            for score in (scores[condition.name, method] for condition in trait.conditions.values())
        ]
        for method in METHODS
    }


def _difference_lines(scores: Scores, trait: Trait) -> dict[str, Points]:
    """DFE minus each control, with its interval."""
    return {
        control: [_dfe_difference(scores, condition, control) for condition in trait.conditions.values()]
        for control in CONTROLS
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), available_cores())
