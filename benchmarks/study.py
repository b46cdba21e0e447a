"""`python -m benchmarks.study RUNS`: when does the memory help? Controls in made-up worlds, trait by trait.

Writes docs/study/: differences.png, methods.png, tables.md, study.json. Finished runs in RUNS are used again.
"""

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

SEEDS = 5  # each has a world of its own
METHODS = (
    *("baseline", "local", "dfe", "dfe-global", "dfe-no-distillation"),
    *("self-distillation", "shuffled-memory", "random-memory"),
)
AGAINST = ("local", "self-distillation", "random-memory")  # what tells a memory's worth
STEPS = 200
SETTINGS: Config = with_overrides(Config(), ("model.width=64",))
COLOURS = dict(zip(METHODS, (*(darken(color, 3.0) for color in OKABE_ITO), "#111827"), strict=True))
CENTRE = SyntheticConfig(training=96, snippets=(40, 90), action_snippets=(4, 12))
DONE = ROOT / "docs" / "study"


@dataclass(frozen=True)
class World:
    """What is made up, and for how many steps it is learned."""

    made: SyntheticConfig
    steps: int = STEPS


@dataclass(frozen=True)
class Trait:
    """What is changed, with the value that it has at the centre among the others."""

    title: str
    worlds: Mapping[float, World]
    methods: tuple[str, ...] = ("local", "dfe", "self-distillation")


def _world(**traits: Any) -> World:
    return World(replace(CENTRE, **traits))


def _strength(factor: float, steps: int = STEPS) -> World:
    return World(replace(CENTRE, early=factor * CENTRE.early, late=factor * CENTRE.late), steps)


TRAITS = (
    Trait("strength of the signal", {x: _strength(x) for x in (0.5, 1.0, 1.5)}, METHODS),
    Trait("strength of the context", {x: _world(context=x) for x in (0.0, 3.2, 6.4)}),
    Trait(
        "classes (12 training videos each)",
        {c: _world(classes=c, training=12 * c, testing=5 * c) for c in (4, 8, 12)},
    ),
    Trait("training videos a class", {n: _world(training=8 * n) for n in (4, 12, 30)}),
    Trait("share of videos with two labels", {x: _world(second_label=x) for x in (0.0, 0.4, 1.0)}),
    Trait("steps of training, strength 1.5", {n: _strength(1.5, n) for n in (200, 600)}),
)


def main(runs: Path, workers: int) -> None:
    """Run what is missing, then write tables and plots."""
    jobs = {
        (world, method): [_job(runs, world, method, seed) for seed in range(SEEDS)]
        for trait in TRAITS
        for world in trait.worlds.values()
        for method in trait.methods
    }
    run_specs([job for group in jobs.values() for job in group], workers, _say)
    scores = {key: score_of(group[0].name, key[1], results_of(group)) for key, group in jobs.items()}
    DONE.mkdir(parents=True, exist_ok=True)
    write_json(DONE / "study.json", _as_json(scores))
    write_text(DONE / "tables.md", "\n".join(_tables(scores)) + "\n")
    _draw(scores)


Scores = Mapping[tuple[World, str], Score]


def _job(runs: Path, world: World, method: str, seed: int) -> RunSpec:
    name = _name(world.made)
    data = runs / "worlds" / name / f"seed-{seed}"
    if not data.exists():
        write_synthetic(data, world.made, seed)
    config = run_config(with_overrides(SETTINGS, (f"train.steps={world.steps}",)), method, seed)
    return RunSpec(data, name, method, config, comparison_options("testing"), runs / f"runs-{world.steps}")


def _name(world: SyntheticConfig) -> str:
    """What tells a world from the package's own."""
    odd = {key: value for key, value in vars(world).items() if value != getattr(SyntheticConfig(), key)}
    return re.sub(r"[^\w.]+", "-", "-".join(f"{key}-{value}" for key, value in odd.items()))


def _say(job: object, done: int, total: int) -> None:
    print(f"{done}/{total} {job}", flush=True)


def _as_json(scores: Scores) -> list[dict[str, object]]:
    return [
        {"trait": trait.title, "value": value, "method": method, "averages": scores[world, method].averages}
        for trait in TRAITS
        for value, world in trait.worlds.items()
        for method in trait.methods
    ]


def _tables(scores: Scores) -> list[str]:
    lines = [
        "Average mAP (%) over tIoU 0.1:0.7, `activitynet` protocol, testing subset, last checkpoint, mean ±",
        f"standard deviation over {SEEDS} seeds, each with a world of its own; `python -m benchmarks.study RUNS`.",
    ]
    for trait in TRAITS:
        cells = [
            (method, *(format_mean_std(scores[world, method].averages) for world in trait.worlds.values()))
            for method in trait.methods
        ]
        cells += [
            (f"dfe - {other}", *(_difference(scores, world, other) for world in trait.worlds.values()))
            for other in AGAINST
            if other in trait.methods
        ]
        columns = (trait.title, *(f"{value:g}" for value in trait.worlds))
        sheet = TableData(columns, tuple(cells), bold=(trait.methods.index("dfe"),))
        lines += ["", f"## By {trait.title}", "", *to_markdown(sheet)]
    return lines


def _difference(scores: Scores, world: SyntheticConfig, other: str) -> str:
    mean, low, high = paired_difference(scores[world, "dfe"].averages, scores[world, other].averages)
    return f"{mean:+.1f} ({low:+.1f} to {high:+.1f})"


def _draw(scores: Scores) -> None:
    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    for name, label in (("methods", "average mAP (%)"), ("differences", "dfe minus it (points)")):
        figure, rows = pyplot.subplots(2, 3, figsize=(10.5, 6), sharey=True, layout="constrained")
        panels = rows.flatten()
        for trait, panel in zip(TRAITS, panels, strict=True):
            lines = _levels(scores, trait) if name == "methods" else _leads(scores, trait)
            for title, middle, low, high in lines:
                x, colour = range(len(trait.worlds)), COLOURS[title]
                panel.plot(x, middle, marker="o", markersize=4, label=title, linewidth=1.4, color=colour)
                panel.fill_between(x, low, high, alpha=0.12, color=colour, linewidth=0)
            panel.set_xticks(range(len(trait.worlds)), [f"{value:g}" for value in trait.worlds])
            panel.set_xlabel(trait.title)
            if name == "differences":
                panel.axhline(0, color="0.6", linewidth=0.6)
        for row in rows:
            row[0].set_ylabel(label)
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", frameon=False)
        figure.savefig(DONE / f"{name}.png", dpi=150)
        pyplot.close(figure)


Line = tuple[str, list[float], list[float], list[float]]  # title, middle, lower and upper edge


def _levels(scores: Scores, trait: Trait) -> list[Line]:
    found = [(m, [scores[world, m] for world in trait.worlds.values()]) for m in trait.methods]
    return [
        (m, [s.mean for s in row], [s.mean - s.spread for s in row], [s.mean + s.spread for s in row])
        for m, row in found
    ]


def _leads(scores: Scores, trait: Trait) -> list[Line]:
    lines = []
    for other in AGAINST:
        if other not in trait.methods:
            continue
        pairs = [(scores[w, "dfe"].averages, scores[w, other].averages) for w in trait.worlds.values()]
        mean, low, high = zip(*(paired_difference(*pair) for pair in pairs), strict=True)
        lines.append((other, list(mean), list(low), list(high)))
    return lines


if __name__ == "__main__":
    main(Path(sys.argv[1]), available_cores())
