"""How much do labels beyond tags help? Simulates points and corrected timelines from true segments of training videos.

    python -m benchmarks.labels RUNS [OPTIONS]

Scores the testing subset and prints average mAP (%) over tIoU 0.1:0.7 against the number of training videos with
labels. `--figure docs/labels.png` draws it. Finished runs in RUNS are reused. The time of a point is drawn uniformly
inside its segment.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from benchmarks.linked_datasets import write_linked_dataset
from benchmarks.measure import SHARED
from wtal.core.config import Config, with_overrides
from wtal.core.hardware import available_cores
from wtal.core.io import read_json
from wtal.data.dataset import load_dataset
from wtal.data.snippet_labels import TRAINING_SEGMENTS_NAME
from wtal.experiments.compare import run_config
from wtal.experiments.runner import RunSpec, comparison_options, results_of, run_specs
from wtal.experiments.statistics import Score, score_of
from wtal.experiments.suggestions import suggest
from wtal.reporting.figures.colors import OKABE_ITO, darken
from wtal.reporting.tables import TableData, format_mean_std, to_markdown

COUNTS = ("2", "5", "10", "20", "50", "all")
SUGGESTED_COUNTS = ("5", "12", "20")
DEFAULT_LABELS = (
    "tags",
    *(f"points:{count}" for count in COUNTS),
    "points:20:wrong",
    *(f"points:{count}:suggested" for count in SUGGESTED_COUNTS),
    *(f"segments:{count}" for count in COUNTS),
    "segments:12:suggested",
)
WRONG_SHARE = 0.05  # of the labels, with `wrong`
MAX_SUGGESTIONS = 50
LINES = (("points", False), ("points", True), ("segments", False), ("segments", True))  # kind, suggested

Key = tuple[str, str, "LabelChoice"]  # data set, method, labels in training


@dataclass(frozen=True)
class LabelChoice:
    """The labels of a data set that a person would have added, written as `points:20:suggested`.

    Attributes:
        text: The text.
        kind: `tags` alone; `points`, one time in each instance; or `segments`, complete timelines.
        videos: Number of training videos that are labelled; None for all.
        suggested: Whether the videos are those of `wtal suggest`; otherwise they are chosen at random.
        wrong: Share of the labels that name another class.
    """

    text: str
    kind: str
    videos: int | None
    suggested: bool
    wrong: float

    @classmethod
    def parse(cls, text: str) -> "LabelChoice":
        kind, count, *flags = (text if ":" in text else f"{text}:0").split(":")
        if unknown := {*flags} - {"suggested", "wrong"}:
            raise ValueError(f"unknown {', '.join(unknown)} in {text}; use suggested or wrong")
        videos = None if count == "all" else int(count)
        return cls(text, kind, videos, "suggested" in flags, WRONG_SHARE * ("wrong" in flags))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.labels", description=__doc__.partition("\n")[0])
    parser.add_argument("runs", type=Path, help="folder for the data sets and runs")
    parser.add_argument("--data", nargs="+", default=["hapt", "actrectut"], help="names of data sets")
    parser.add_argument("--methods", nargs="+", default=["local"], help="methods (default: local)")
    parser.add_argument(
        "--labels",
        nargs="+",
        default=DEFAULT_LABELS,
        help="such as points:20, segments:12:suggested or points:20:wrong",
    )
    parser.add_argument("--subset", default="testing", help="subset to score (default: testing)")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds (default: 5)")
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings that differ from the defaults"
    )
    parser.add_argument("--figure", type=Path, help="file of the figure (default: no figure)")
    parser.add_argument("--workers", type=int, default=available_cores(), help="parallel runs (default: one per core)")
    return parser.parse_args()


def main(options: argparse.Namespace) -> None:
    """Run what is missing, then print a table for each data set."""
    config = with_overrides(Config(), tuple(options.set))
    seeds, runs, subset = range(options.seeds), options.runs, options.subset
    labels = [LabelChoice.parse(text) for text in options.labels]
    tags = LabelChoice.parse("tags")
    if any(choice.suggested for choice in labels):  # suggestions come from models that were trained on tags
        specs = [_run_spec(runs, (data, "dfe", tags), config, subset, seed) for data in options.data for seed in seeds]
        run_specs(specs, options.workers, _print_progress)
    keys: list[Key] = [
        (data, method, choice) for data in options.data for method in options.methods for choice in labels
    ]
    keys += [(data, "supervised", tags) for data in options.data]
    groups = {key: [_run_spec(runs, key, config, subset, seed) for seed in seeds] for key in keys}
    run_specs([spec for group in groups.values() for spec in group], options.workers, _print_progress)
    scores = {key: score_of(key[0], key[1], results_of(group)) for key, group in groups.items()}
    for data in options.data:
        print("\n".join(_table(data, labels, options.methods, scores)), end="\n\n")
    if options.figure:
        _draw(options.figure, options.data, options.methods[0], labels, scores)


def write_labelled_dataset(source: Path, folder: Path, choice: LabelChoice, ids: Sequence[str], seed: int) -> None:
    """Write a data set folder in which these training videos have labels beyond tags."""
    database = read_json(source / "annotations.json")["database"]
    truth = read_json(source / TRAINING_SEGMENTS_NAME)
    classes = read_json(source / "dataset.json")["classes"]
    rng = np.random.default_rng(seed)
    for id in ids:
        rows = [_draw_label(row, choice, classes, rng) for row in truth[id]]
        named = {row["label"] for row in rows}
        tags = [tag for tag in database[id]["annotations"] if tag["label"] not in named]
        database[id] |= {"annotations": [*tags, *rows]}
        if choice.kind == "segments":
            database[id]["timeline"] = "complete"
    write_linked_dataset(source, folder, database)


def _draw_label(
    row: Sequence[Any], choice: LabelChoice, classes: Sequence[str], rng: np.random.Generator
) -> dict[str, Any]:
    label, start, end = row
    if rng.random() < choice.wrong:
        label = str(rng.choice([name for name in classes if name != label]))
    time = float(rng.uniform(start, end))
    return {"label": label, "segment": [time, time] if choice.kind == "points" else [start, end]}


def _run_spec(runs: Path, key: Key, config: Config, subset: str, seed: int) -> RunSpec:
    data, method, choice = key
    if method == "supervised":
        folder, name = SHARED / data, f"{data}-true"
    else:
        name = f"{data}-{choice.text.replace(':', '-')}"
        folder = runs / "data" / name / f"seed-{seed}"
        if not folder.exists():
            ids = [] if choice.kind == "tags" else _order(runs, data, choice, seed)[: choice.videos]
            write_labelled_dataset(SHARED / data, folder, choice, ids, seed)
    config = run_config(config, method, seed)
    config = config.model_copy(update={"train": config.train.model_copy(update={"supervision": choice.kind})})
    return RunSpec(folder, name, method, config, comparison_options(subset), runs / "runs")


def _order(runs: Path, data: str, choice: LabelChoice, seed: int) -> list[str]:
    """The training videos in the order in which they are labelled."""
    if choice.suggested:
        return _suggested_order(runs, data, seed)
    database = read_json(SHARED / data / "annotations.json")["database"]
    training = sorted(id for id, video in database.items() if video["subset"] == "training")
    return [str(id) for id in np.random.default_rng(seed).permutation(training)]


@cache
def _suggested_order(runs: Path, data: str, seed: int) -> list[str]:
    spec = _run_spec(runs, (data, "dfe", LabelChoice.parse("tags")), Config(), "testing", seed)
    return [suggestion.video_id for suggestion in suggest(spec.run_dir, load_dataset(spec.data), MAX_SUGGESTIONS)]


def _print_progress(spec: object, done: int, total: int) -> None:
    print(f"{done}/{total} {spec}", flush=True)


def _table(data: str, labels: Sequence[LabelChoice], methods: Sequence[str], scores: Mapping[Key, Score]) -> list[str]:
    bound = scores[data, "supervised", LabelChoice.parse("tags")]
    rows = []
    for choice in labels:
        cells = [scores[data, method, choice] for method in methods]
        shares = (f"{100 * score.mean / bound.mean:.0f} %" for score in cells)
        rows.append((choice.text, *(format_mean_std(score.averages) for score in cells), *shares))
    rows.append(("supervised", format_mean_std(bound.averages), *[""] * (2 * len(methods) - 1)))
    columns = (f"labels, {data}", *methods, *(f"{method}, of the bound" for method in methods))
    return to_markdown(TableData(columns, tuple(rows)))


def _draw(
    path: Path, datasets: Sequence[str], method: str, labels: Sequence[LabelChoice], scores: Mapping[Key, Score]
) -> None:
    """An axes for each data set: mean and standard deviation against the number of labelled videos."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    figure, grid = pyplot.subplots(
        1, len(datasets), figsize=(4 * len(datasets), 3.2), layout="constrained", squeeze=False
    )
    tags = LabelChoice.parse("tags")
    for axes, data in zip(grid.flat, datasets, strict=True):
        num_training = len(load_dataset(SHARED / data).subset("training"))
        for color, (kind, suggested) in zip(OKABE_ITO, LINES, strict=False):
            chosen = [c for c in labels if (c.kind, c.suggested, c.wrong) == (kind, suggested, 0.0)]
            if not chosen:
                continue
            positions = [c.videos or num_training for c in chosen]
            points = [scores[data, method, c] for c in chosen]
            style = "--" if suggested else "-"
            axes.errorbar(
                positions,
                [score.mean for score in points],
                [score.spread for score in points],
                color=darken(color, 3.0),
                linestyle=style,
                marker="o",
                markersize=4,
                capsize=2,
                label=f"{kind}, {'suggested' if suggested else 'random'} videos",
            )
        for name, key in (("supervised", (data, "supervised", tags)), ("tags", (data, method, tags))):
            if key in scores:
                axes.axhline(scores[key].mean, color="0.5", linewidth=0.8, linestyle=":")
                axes.annotate(name, (1, scores[key].mean), xycoords=("axes fraction", "data"), ha="right", va="bottom")
        ticks = sorted({c.videos or num_training for c in labels if c.kind != "tags" and not c.suggested})
        axes.set_xscale("log")
        axes.set_xticks(ticks, map(str, ticks))
        axes.minorticks_off()
        axes.set(title=data, xlabel="training videos with labels", ylabel="average mAP (%)")
    figure.legend(*grid.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


if __name__ == "__main__":
    main(parse_arguments())
