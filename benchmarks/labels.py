"""How much do labels beyond tags help? Simulates points and corrected timelines from true segments of training videos.

    python -m benchmarks.labels RUNS [OPTIONS]

Prints average mAP (%) over tIoU 0.1:0.7 against the number of training videos with labels, and the supervised bound.
Finished runs in RUNS are reused. Times of points are drawn uniformly inside each true segment.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.measure import SHARED
from wtal.core.config import Config, with_overrides
from wtal.core.hardware import available_cores
from wtal.core.io import read_json, write_json
from wtal.experiments.compare import run_config
from wtal.experiments.runner import RunSpec, comparison_options, results_of, run_specs
from wtal.experiments.statistics import Score, score_of
from wtal.reporting.tables import TableData, format_mean_std, to_markdown

ALL = 10**6


@dataclass(frozen=True)
class Labels:
    """Labels that a person would give.

    Attributes:
        kind: `points`, one time in each instance; or `segments`, complete timelines.
        videos: Number of training videos that are labelled.
        wrong: Share of the labels that name another class.
    """

    kind: str
    videos: int
    wrong: float = 0.0

    def __str__(self) -> str:
        count = "all" if self.videos >= ALL else str(self.videos)
        return f"{self.kind}-{count}" + (f"-wrong-{self.wrong:g}" if self.wrong else "")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.labels", description=__doc__.partition("\n")[0])
    parser.add_argument("runs", type=Path, help="folder for the data sets and runs")
    parser.add_argument("--data", nargs="+", default=["hapt", "actrectut"], help="names of data sets")
    parser.add_argument("--methods", nargs="+", default=["local"], help="methods (default: local)")
    parser.add_argument("--kinds", nargs="+", default=["points", "segments"], help="kinds of labels")
    parser.add_argument("--videos", nargs="+", type=int, default=[2, 5, 10, 20, 50, ALL], help="numbers of videos")
    parser.add_argument("--wrong", type=float, default=0.0, help="share of wrong labels (default: 0)")
    parser.add_argument("--subset", default="validation", help="subset to score (default: validation)")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds (default: 5)")
    parser.add_argument("--set", nargs="*", default=[], help="settings such as train.labelled_share=0.5")
    parser.add_argument("--workers", type=int, default=available_cores(), help="parallel runs (default: one per core)")
    return parser.parse_args()


def main(options: argparse.Namespace) -> None:
    """Run what is missing, then print a table for each data set."""
    config = with_overrides(Config(), tuple(options.set))
    labels = [None, *(Labels(kind, count, options.wrong) for kind in options.kinds for count in options.videos)]
    keys = [(data, method, choice) for data in options.data for method in options.methods for choice in labels]
    keys += [(data, "supervised", None) for data in options.data]
    specs = {
        key: [_run_spec(options.runs, *key, config, options.subset, seed) for seed in range(options.seeds)]
        for key in keys
    }
    run_specs([spec for group in specs.values() for spec in group], options.workers, _print_progress)
    scores = {key: score_of(key[0], key[1], results_of(group)) for key, group in specs.items()}
    for data in options.data:
        print("\n".join(_table(data, labels, options.methods, scores)), end="\n\n")


def write_labelled_dataset(source: Path, folder: Path, labels: Labels | None, seed: int) -> None:
    """Write a data set folder in which some training videos have labels beyond tags; the features are linked."""
    content = read_json(source / "annotations.json")
    database, truth = content["database"], read_json(source / "training_segments.json")
    classes = read_json(source / "dataset.json")["classes"]
    rng = np.random.default_rng(seed)
    training = sorted(id for id, video in database.items() if video["subset"] == "training")
    for id in rng.permutation(training)[: labels.videos if labels else 0].tolist():
        rows = [_draw_label(row, labels, classes, rng) for row in truth[id]]
        named = {row["label"] for row in rows}
        tags = [tag for tag in database[id]["annotations"] if tag["label"] not in named]
        database[id] |= {"annotations": [*tags, *rows]}
        if labels.kind == "segments":
            database[id]["timeline"] = "complete"
    folder.mkdir(parents=True)
    (folder / "features").symlink_to(source / "features")
    (folder / "dataset.json").write_bytes((source / "dataset.json").read_bytes())
    write_json(folder / "annotations.json", content)


def _draw_label(
    row: Sequence[object], labels: Labels, classes: Sequence[str], rng: np.random.Generator
) -> dict[str, object]:
    label, start, end = row
    if rng.random() < labels.wrong:
        label = rng.choice([name for name in classes if name != label]).item()
    time = float(rng.uniform(start, end))
    return {"label": label, "segment": [time, time] if labels.kind == "points" else [start, end]}


def _run_spec(
    runs: Path, data: str, method: str, labels: Labels | None, config: Config, subset: str, seed: int
) -> RunSpec:
    source = SHARED / data
    if method == "supervised":
        return RunSpec(
            source, f"{data}-true", method, run_config(config, method, seed), comparison_options(subset), runs / "runs"
        )
    name = f"{data}-{labels or 'tags'}"
    folder = runs / "data" / name / f"seed-{seed}"
    if not folder.exists():
        write_labelled_dataset(source, folder, labels, seed)
    config = run_config(config, method, seed)
    train = config.train.model_copy(update={"supervision": labels.kind if labels else "tags"})
    config = config.model_copy(update={"train": train})
    return RunSpec(folder, name, method, config, comparison_options(subset), runs / "runs")


def _print_progress(spec: object, done: int, total: int) -> None:
    print(f"{done}/{total} {spec}", flush=True)


def _table(
    data: str, labels: Sequence[Labels | None], methods: Sequence[str], scores: Mapping[tuple[object, ...], Score]
) -> list[str]:
    bound = scores[data, "supervised", None]
    rows = [
        (
            str(choice or "tags"),
            *(format_mean_std(scores[data, method, choice].averages) for method in methods),
            *(f"{100 * scores[data, method, choice].mean / bound.mean:.0f} %" for method in methods),
        )
        for choice in labels
    ]
    rows.append(("supervised", format_mean_std(bound.averages), *[""] * (2 * len(methods) - 1)))
    return to_markdown(TableData((data, *methods, *(f"{m}, of the bound" for m in methods)), tuple(rows)))


if __name__ == "__main__":
    main(parse_arguments())
