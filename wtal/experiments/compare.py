"""Compares methods on data sets: same seeds, same number of steps, last checkpoint."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from wtal.core.config import Config
from wtal.core.errors import ConfigError
from wtal.core.hardware import available_cores
from wtal.core.io import realpath, require_file, write_json
from wtal.core.methods import METHODS, find_method, load_method
from wtal.core.structures import Video
from wtal.data.dataset import load_dataset
from wtal.data.ground_truth import find_ambiguous, read_ground_truth
from wtal.data.layouts.activitynet import read_proposals
from wtal.evaluation.evaluate import evaluate_with_matches
from wtal.evaluation.protocols import EvaluationOptions
from wtal.experiments.external import ExternalScore, ExternalSystem, compare_external, read_external
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
from wtal.experiments.statistics import Comparison, reference_of, score_of

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
    external: Mapping[str, str | Path] | None = None,
    on_progress: OnProgress | None = None,
) -> Comparison:
    """Train and score several methods with several seeds, and compare them.

    Scores are average mAP under the default protocol, `general`, over tIoU 0.1:0.7. Finished runs in `out` are reused,
    interrupted ones continue. Runs are trained on the CPU in parallel processes, each with one thread.

    Args:
        data: One or more data set folders.
        out: Folder for the runs and `comparison.json`.
        methods: One or more names of methods, from `wtal.core.methods.METHODS`.
        seeds: Number of seeds, counted from 0.
        subset: Subset to score. Choose settings on validation.
        config: Settings of all runs; method and seed are replaced.
        workers: Number of parallel runs; None: one per core.
        external: Proposals files of other systems by name, in the ActivityNet results format; for one data set only.
            They are scored like the methods, and checked before training. `dfe`, or the first method, is compared with
            each: mean over the seeds minus the other system, with an interval paired over the videos.
        on_progress: Called after each run with the run, the number of finished runs and the number of all runs.

    Returns:
        Scores and paired differences in percent.

    Raises:
        ConfigError: A method is unknown, `out` has runs with other settings or on other data, or `external` has an
            invalid name or comes with several data sets.
        DataError: Data cannot be trained on or scored, or an external file cannot be read or has no proposal for the
            subset. Finished runs are kept.

    Example:
        >>> comparison = wtal.compare("mydata", "runs/compare", methods=["baseline", "dfe"], seeds=3)
        >>> for score in comparison.scores:
        ...     print(score.method, score.mean, score.spread)
    """
    out, config = Path(out), config or Config()
    names = dataset_names([data] if isinstance(data, str | Path) else data)
    methods = known_methods([methods] if isinstance(methods, str) else methods)
    if external and len(names) > 1:
        raise ConfigError(
            f"external proposals need a single data set, not {len(names)}",
            hint="compare one data set at a time",
            code="unsupported-option",
        )
    for path in names:
        require_segments(load_dataset(path), subset)
    systems = read_external(external, methods, *_read_truth(next(iter(names)), subset)) if external else []
    for path, name in names.items():
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
    reference = reference_of(scores)
    external_scores = _compare_external(systems, specs[reference.data, reference.method]) if systems else ()
    comparison = Comparison.from_scores(scores, subset, seeds, config, external_scores)
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


def _read_truth(data: Path, subset: str) -> tuple[list[Video], EvaluationOptions]:
    """The ground truth of a data set and the options with which the runs are scored."""
    return read_ground_truth(data), replace(comparison_options(subset), ambiguous=find_ambiguous(data))


def _compare_external(systems: Sequence[ExternalSystem], specs: Sequence[RunSpec]) -> tuple[ExternalScore, ...]:
    """Compare the finished runs of one method, one per seed, with each of the other systems."""
    ground_truth, options = _read_truth(specs[0].data, specs[0].subset)
    evaluations = []
    for spec in specs:
        require_file(spec.proposals_path, f"delete {spec.results_path.name} beside it and run it again")
        evaluations.append(evaluate_with_matches(read_proposals(spec.proposals_path), ground_truth, options))
    return compare_external(systems, specs[0].method, evaluations)
