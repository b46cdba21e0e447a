"""Compares methods on data sets: same seeds, same number of steps, last checkpoint."""

from collections.abc import Sequence
from pathlib import Path

from wtal.core.config import Config
from wtal.core.errors import ConfigError
from wtal.core.hardware import available_cores
from wtal.core.io import realpath, write_json
from wtal.core.methods import METHODS, find_method, load_method
from wtal.data.dataset import load_dataset
from wtal.experiments.pipeline import require_segments, short_names
from wtal.experiments.runner import (
    OnProgress,
    RunSpec,
    comparison_options,
    require_same_data,
    results_of,
    run_specs,
    write_cards,
)
from wtal.experiments.statistics import Comparison, score_of

DEFAULT_METHODS = ("baseline", "local", "dfe")


def compare(
    data: str | Path | Sequence[str | Path],
    out: str | Path,
    methods: str | Sequence[str] = DEFAULT_METHODS,
    seeds: int = 5,
    subset: str = "validation",
    config: Config | None = None,
    *,
    workers: int | None = None,
    on_progress: OnProgress | None = None,
) -> Comparison:
    """Train and score several methods with several seeds, and compare them.

    Average mAP is over tIoU 0.1:0.7 with the matching of the `activitynet` protocol. Finished runs in `out` are reused,
    interrupted ones continue. Runs are trained on the CPU in parallel processes, each with one thread.

    Args:
        data: One or more data set folders.
        out: Folder for the runs and `comparison.json`.
        methods: One or more names of methods, from `wtal.core.methods.METHODS`.
        seeds: Number of seeds, counted from 0.
        subset: Subset to score. Choose settings on validation.
        config: Settings of all runs; method and seed are replaced.
        workers: Number of parallel runs; None: one per core.
        on_progress: Called after each run with the run, the number of finished runs and the number of all runs.

    Returns:
        Scores and paired differences in percent.

    Raises:
        ConfigError: If a method is unknown, or `out` has runs with other settings or on other data.
        DataError: If data cannot be trained on or scored. Finished runs are kept.

    Example:
        >>> comparison = wtal.compare("mydata", "runs/compare", methods=["baseline", "dfe"], seeds=3)
        >>> for score in comparison.scores:
        ...     print(score.method, score.mean, score.spread)
    """
    out, config = Path(out), config or Config()
    names = dataset_names([data] if isinstance(data, str | Path) else data)
    methods = known_methods([methods] if isinstance(methods, str) else methods)
    for path, name in names.items():
        require_segments(load_dataset(path), subset)
        require_same_data(out / name, path)
    specs = {
        (name, method): [
            RunSpec(path, name, method, run_config(config, method, seed), comparison_options(subset), out)
            for seed in range(seeds)
        ]
        for path, name in names.items()
        for method in methods
    }
    all_specs = [spec for group in specs.values() for spec in group]
    run_specs(all_specs, workers or available_cores(), on_progress)
    scores = [score_of(name, method, results_of(group)) for (name, method), group in specs.items()]
    write_cards(all_specs, scores)
    comparison = Comparison.from_scores(scores, subset, seeds, config)
    write_json(out / "comparison.json", comparison.to_json())
    return comparison


def dataset_names(paths: Sequence[str | Path]) -> dict[Path, str]:
    """Each data set folder once, with a unique name: the shortest distinct ending of its path."""
    folders = {realpath(Path(path)): Path(path) for path in paths}
    return dict(zip(folders.values(), short_names(list(folders), separator="-"), strict=True))


def parse_methods(names: str) -> list[str]:
    """Method names separated by commas, or `all`. Raises ConfigError for an unknown one."""
    methods = [name.strip() for name in names.split(",") if name.strip()]
    return list(METHODS) if methods == ["all"] else known_methods(methods)


def known_methods(names: Sequence[str]) -> list[str]:
    """Each method once. Raises ConfigError for an unknown one, or for none."""
    methods = list(dict.fromkeys(names))
    if not methods:
        raise ConfigError("no method to compare", hint=f"use {', '.join(METHODS)}", code="unknown-method")
    for name in methods:
        load_method(name)
    return methods


def run_config(config: Config, method: str, seed: int) -> Config:
    """The settings of one run."""
    trained_method = find_method(method).trained_as or method
    train = config.train.model_copy(update={"seed": seed})
    return config.model_copy(update={"method": trained_method, "train": train})
