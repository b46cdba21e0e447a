"""How much labels beyond tags help: points and corrected timelines, simulated from true segments of training videos.

Scores the testing subset and prints average mAP (%) over tIoU 0.1:0.7 against the number of training videos with
labels. Finished runs in RUNS are reused. The time of a point is drawn uniformly inside its segment.

A choice of labels is `tags` alone; `points:20`, points in 20 training videos (`points:all`: in all of them); or
`segments:20`, complete timelines. With `:suggested` the videos are those of `wtal suggest` instead of random ones, and
with `:wrong` one label in twenty names another class.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from benchmarks.figures import open_figure
from benchmarks.linked_datasets import write_linked_dataset
from benchmarks.measure import shared_path
from wtal.cli.app import MethodsOption, SeedsOption, SetOption
from wtal.core.config import Config, with_overrides
from wtal.core.errors import ConfigError
from wtal.core.hardware import available_cores
from wtal.core.io import read_json
from wtal.data.dataset import load_dataset
from wtal.data.snippet_labels import TRAINING_SEGMENTS_NAME
from wtal.experiments.compare import parse_methods, run_config
from wtal.experiments.pipeline import require_segments
from wtal.experiments.runner import RunSpec, comparison_options, results_of, run_specs
from wtal.experiments.statistics import Score, score_of
from wtal.experiments.suggestions import suggest
from wtal.reporting.figures.colors import OKABE_ITO, darken
from wtal.reporting.figures.style import figure_format
from wtal.reporting.progress import runs_progress
from wtal.reporting.tables import TableData, format_mean_std, to_markdown

COUNTS = ("2", "5", "10", "20", "50", "all")
SUGGESTED_COUNTS = ("5", "12", "20")
DEFAULT_LABELS = ",".join(
    (
        "tags",
        *(f"points:{count}" for count in COUNTS),
        "points:20:wrong",
        *(f"points:{count}:suggested" for count in SUGGESTED_COUNTS),
        *(f"segments:{count}" for count in COUNTS),
        "segments:12:suggested",
    )
)
KINDS, FLAGS = ("tags", "points", "segments"), ("suggested", "wrong")
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
        """Raises ConfigError if the text is not such a choice."""
        kind, count, *flags = (text if ":" in text else f"{text}:0").split(":")
        if kind not in KINDS or not (count == "all" or count.isdecimal()) or {*flags} - {*FLAGS}:
            raise ConfigError(
                f"cannot read the labels {text!r}", hint="use such as tags, points:20 or segments:12:suggested"
            )
        videos = None if count == "all" else int(count)
        return cls(text, kind, videos, "suggested" in flags, WRONG_SHARE * ("wrong" in flags))


def main(
    runs: Annotated[Path, typer.Argument(metavar="RUNS", help="Folder of the data sets and runs")],
    data: Annotated[
        str, typer.Option(metavar="NAMES", help="Comma-separated names of data sets in WTAL_SHARED")
    ] = "hapt,actrectut",
    methods: MethodsOption = "local",
    labels: Annotated[
        str, typer.Option(metavar="LABELS", help="Comma-separated choices of labels", show_default="a study of all")
    ] = DEFAULT_LABELS,
    subset: Annotated[str, typer.Option(metavar="NAME", help="Subset to score")] = "testing",
    seeds: SeedsOption = 5,
    overrides: SetOption = None,
    figure: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw this figure")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Number of parallel runs", show_default="cores")] = None,
) -> None:
    """Run what is missing, then print a table for each data set."""
    config = with_overrides(Config(), tuple(overrides or ()))
    datasets, names, choices = data.split(","), parse_methods(methods), list(map(LabelChoice.parse, labels.split(",")))
    if figure:
        figure_format(figure)
    for dataset in datasets:
        require_segments(load_dataset(shared_path(dataset)), subset)
        shared_path(dataset, TRAINING_SEGMENTS_NAME)
    tags = LabelChoice.parse("tags")
    keys: list[Key] = [(dataset, method, choice) for dataset in datasets for method in names for choice in choices]
    keys += [(dataset, "supervised", tags) for dataset in datasets]
    with runs_progress(Console(stderr=True)) as on_progress:

        def run(keys: Sequence[Key]) -> dict[Key, Score]:
            groups = {key: [_run_spec(runs, key, config, subset, seed) for seed in range(seeds)] for key in keys}
            run_specs([s for group in groups.values() for s in group], workers or available_cores(), on_progress)
            return {key: score_of(key[0], key[1], results_of(group)) for key, group in groups.items()}

        if any(choice.suggested for choice in choices):  # suggestions come from models that were trained on tags
            run([(dataset, "dfe", tags) for dataset in datasets])
        scores = run(keys)
    for dataset in datasets:
        print("\n".join(_table(dataset, choices, names, scores)), end="\n\n")
    if figure:
        _draw(figure, datasets, names[0], choices, scores)


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
        folder, name = shared_path(data), f"{data}-true"
    else:
        name = f"{data}-{choice.text.replace(':', '-')}"
        folder = runs / "data" / name / f"seed-{seed}"
        if not folder.exists():
            ids = [] if choice.kind == "tags" else _order(runs, data, choice, seed)[: choice.videos]
            write_labelled_dataset(shared_path(data), folder, choice, ids, seed)
    config = run_config(config, method, seed)
    config = config.model_copy(update={"train": config.train.model_copy(update={"supervision": choice.kind})})
    return RunSpec(folder, name, method, config, comparison_options(subset), runs / "runs")


def _order(runs: Path, data: str, choice: LabelChoice, seed: int) -> list[str]:
    """The training videos in the order in which they are labelled."""
    if choice.suggested:
        return _suggested_order(runs, data, seed)
    database = read_json(shared_path(data, "annotations.json"))["database"]
    training = sorted(id for id, video in database.items() if video["subset"] == "training")
    return [str(id) for id in np.random.default_rng(seed).permutation(training)]


@cache
def _suggested_order(runs: Path, data: str, seed: int) -> list[str]:
    spec = _run_spec(runs, (data, "dfe", LabelChoice.parse("tags")), Config(), "testing", seed)
    return [suggestion.video_id for suggestion in suggest(spec.run_dir, load_dataset(spec.data), MAX_SUGGESTIONS)]


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
    tags = LabelChoice.parse("tags")
    with open_figure(path, len(datasets), 4 * len(datasets), 3.2) as (figure, grid):
        for axes, data in zip(grid, datasets, strict=True):
            num_training = len(load_dataset(shared_path(data)).subset("training"))
            for color, (kind, suggested) in zip(OKABE_ITO, LINES, strict=False):
                chosen = [c for c in labels if (c.kind, c.suggested, c.wrong) == (kind, suggested, 0.0)]
                if not chosen:
                    continue
                points = [scores[data, method, c] for c in chosen]
                axes.errorbar(
                    [c.videos or num_training for c in chosen],
                    [score.mean for score in points],
                    [score.spread for score in points],
                    color=darken(color, 3.0),
                    linestyle="--" if suggested else "-",
                    marker="o",
                    markersize=4,
                    capsize=2,
                    label=f"{kind}, {'suggested' if suggested else 'random'} videos",
                )
            for name, key in (("supervised", (data, "supervised", tags)), ("tags", (data, method, tags))):
                if key in scores:
                    level = scores[key].mean
                    axes.axhline(level, color="0.5", linewidth=0.8, linestyle=":")
                    axes.annotate(name, (1, level), xycoords=("axes fraction", "data"), ha="right", va="bottom")
            ticks = sorted({c.videos or num_training for c in labels if c.kind != "tags" and not c.suggested})
            axes.set_xscale("log")
            axes.set_xticks(ticks, map(str, ticks))
            axes.minorticks_off()
            axes.set(title=data, xlabel="training videos with labels", ylabel="average mAP (%)")
        handles = grid[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower center", ncols=len(datasets), frameon=False)
