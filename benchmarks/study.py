"""When does the memory help? Trains DFE and its controls on synthetic data sets that vary in one trait at a time.
`python -m benchmarks.study RUNS` writes docs/study/ (differences.png, methods.png, tables.md, study.json); finished
runs in RUNS are reused."""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib

from benchmarks.measure import ROOT
from wtal.core.config import Config, with_overrides
from wtal.core.hardware import available_cores
from wtal.core.io import write_json, write_text
from wtal.data.synthetic.features import SyntheticConfig, write_synthetic
from wtal.experiments.compare import run_config
from wtal.experiments.runner import RunSpec, comparison_options, results_of, run_specs
from wtal.experiments.statistics import Score, paired_difference, score_of
from wtal.reporting.figures.colors import OKABE_ITO, darken
from wtal.reporting.tables import TableData, format_mean_std, to_markdown

SEEDS = 5  # each with a data set of its own
METHODS = (
    *("baseline", "local", "dfe", "dfe-global", "dfe-no-distillation"),
    *("self-distillation", "shuffled-memory", "random-memory"),
)
CONTROLS = ("local", "self-distillation", "random-memory")  # methods that DFE is compared with
STEPS = 200
SETTINGS: Config = with_overrides(Config(), ("model.width=64",))
COLORS = dict(zip(METHODS, (*(darken(color, 3.0) for color in OKABE_ITO), "#111827"), strict=True))
CENTRE = SyntheticConfig(training=96, snippets=(40, 90), action_snippets=(4, 12))
OUTPUT = ROOT / "docs" / "study"


@dataclass(frozen=True)
class Condition:
    """A synthetic data set, and the number of training steps on it."""

    data: SyntheticConfig
    steps: int = STEPS


@dataclass(frozen=True)
class Trait:
    """A trait of the data or of the training, and the condition for each of its values; one of them is the centre."""

    title: str
    conditions: Mapping[float, Condition]
    methods: tuple[str, ...] = ("local", "dfe", "self-distillation")


def _condition(**traits: Any) -> Condition:
    return Condition(replace(CENTRE, **traits))


def _strength(factor: float, steps: int = STEPS) -> Condition:
    return Condition(replace(CENTRE, early=factor * CENTRE.early, late=factor * CENTRE.late), steps)


TRAITS = (
    Trait("signal strength", {x: _strength(x) for x in (0.5, 1.0, 1.5)}, METHODS),
    Trait("context strength", {x: _condition(context=x) for x in (0.0, 3.2, 6.4)}),
    Trait(
        "classes (12 training videos each)",
        {c: _condition(classes=c, training=12 * c, testing=5 * c) for c in (4, 8, 12)},
    ),
    Trait("training videos per class", {n: _condition(training=8 * n) for n in (4, 12, 30)}),
    Trait("share of videos with two labels", {x: _condition(second_label=x) for x in (0.0, 0.4, 1.0)}),
    Trait("training steps (signal strength 1.5)", {n: _strength(1.5, n) for n in (200, 600)}),
)

Scores = Mapping[tuple[Condition, str], Score]  # by condition and method


def main(runs: Path, workers: int) -> None:
    """Run what is missing, then write tables and figures."""
    specs = {
        (condition, method): [_run_spec(runs, condition, method, seed) for seed in range(SEEDS)]
        for trait in TRAITS
        for condition in trait.conditions.values()
        for method in trait.methods
    }
    run_specs([spec for group in specs.values() for spec in group], workers, _print_progress)
    write_study({key: score_of(group[0].name, key[1], results_of(group)) for key, group in specs.items()})


def write_study(scores: Scores) -> None:
    """Write scores, tables and figures to docs/study/."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    entries = [
        {"trait": trait.title, "value": value, "method": method, "averages": scores[condition, method].averages}
        for trait in TRAITS
        for value, condition in trait.conditions.items()
        for method in trait.methods
    ]
    write_json(OUTPUT / "study.json", entries)
    write_text(OUTPUT / "tables.md", "\n".join(_tables(scores)) + "\n")
    _draw(scores)


def _run_spec(runs: Path, condition: Condition, method: str, seed: int) -> RunSpec:
    defaults = vars(SyntheticConfig())
    changed = {name: value for name, value in vars(condition.data).items() if value != defaults[name]}
    name = re.sub(r"[^\w.]+", "-", "-".join(f"{key}-{value}" for key, value in changed.items()))
    data = runs / "data" / name / f"seed-{seed}"
    if not data.exists():
        write_synthetic(data, condition.data, seed)
    config = run_config(with_overrides(SETTINGS, (f"train.steps={condition.steps}",)), method, seed)
    return RunSpec(data, name, method, config, comparison_options("testing"), runs / f"runs-{condition.steps}")


def _print_progress(spec: object, done: int, total: int) -> None:
    print(f"{done}/{total} {spec}", flush=True)


def _tables(scores: Scores) -> list[str]:
    lines = [
        "Average mAP (%) over tIoU 0.1:0.7, `activitynet` protocol, testing subset, last checkpoint, mean ±",
        f"standard deviation over {SEEDS} seeds, each with a data set of its own; `python -m benchmarks.study RUNS`.",
    ]
    for trait in TRAITS:
        conditions = trait.conditions.values()
        rows = [
            (method, *(format_mean_std(scores[condition, method].averages) for condition in conditions))
            for method in trait.methods
        ]
        for control in CONTROLS:
            if control in trait.methods:
                differences = (_dfe_difference(scores, condition, control) for condition in conditions)
                cells = (f"{mean:+.1f} ({low:+.1f} to {high:+.1f})" for mean, low, high in differences)
                rows.append((f"dfe - {control}", *cells))
        columns = (trait.title, *(f"{value:g}" for value in trait.conditions))
        table = TableData(columns, tuple(rows), bold=(trait.methods.index("dfe"),))
        lines += ["", f"## By {trait.title}", "", *to_markdown(table)]
    return lines


def _dfe_difference(scores: Scores, condition: Condition, control: str) -> tuple[float, float, float]:
    """Mean of the paired differences, and its interval."""
    return paired_difference(scores[condition, "dfe"].averages, scores[condition, control].averages)


def _draw(scores: Scores) -> None:
    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    for name, label in (("methods", "average mAP (%)"), ("differences", "dfe minus control (points)")):
        figure, rows = pyplot.subplots(2, 3, figsize=(10.5, 6), sharey=True, layout="constrained")
        for trait, axes in zip(TRAITS, rows.flat, strict=True):
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
            for score in (scores[condition, method] for condition in trait.conditions.values())
        ]
        for method in trait.methods
    }


def _difference_lines(scores: Scores, trait: Trait) -> dict[str, Points]:
    """DFE minus each control, with its interval."""
    return {
        control: [_dfe_difference(scores, condition, control) for condition in trait.conditions.values()]
        for control in CONTROLS
        if control in trait.methods
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), available_cores())
