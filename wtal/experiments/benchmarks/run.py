"""Runs a benchmark: trains every method and seed, and scores the proposals under every protocol."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from wtal.core.config import Config
from wtal.data.ground_truth import read_ground_truth
from wtal.data.layouts.activitynet import read_proposals
from wtal.data.layouts.thumos import read_ambiguous
from wtal.evaluation.bootstrap import EvaluationComparison, compare_evaluations
from wtal.evaluation.protocols import EvaluationOptions
from wtal.evaluation.results import EvaluationResult
from wtal.experiments.benchmarks.definitions import Benchmark
from wtal.experiments.benchmarks.prepare import PreparedData
from wtal.experiments.benchmarks.survey import Survey
from wtal.experiments.compare import run_config
from wtal.experiments.pipeline import evaluate
from wtal.experiments.runner import OnProgress, RunSpec, require_same_data, results_of, run_specs, write_cards
from wtal.experiments.statistics import score_of


@dataclass(frozen=True)
class BenchmarkOutcome:
    """The results of a benchmark.

    Attributes:
        benchmark: The benchmark.
        survey: What its data contain.
        config: Settings of the runs; method and seed vary.
        seeds: Number of seeds.
        results: By method and protocol, one for each seed.
        first_seeds: Comparison of the first seeds under the main protocol.
    """

    benchmark: Benchmark
    survey: Survey
    config: Config
    seeds: int
    results: Mapping[str, Mapping[str, tuple[EvaluationResult, ...]]]
    first_seeds: EvaluationComparison

    def to_json(self) -> dict[str, Any]:
        """A plain dict for `benchmark.json`; fractions at full precision."""
        return {
            "benchmark": self.benchmark.name,
            "data": asdict(self.survey),
            "config": self.config.model_dump(),
            "seeds": self.seeds,
            "first_seeds": self.first_seeds.to_json(),
            "results": {
                method: {protocol: [result.to_json() for result in results] for protocol, results in scored.items()}
                for method, scored in self.results.items()
            },
        }


def run_benchmark(
    benchmark: Benchmark,
    prepared: PreparedData,
    survey: Survey,
    methods: Sequence[str],
    seeds: int,
    config: Config,
    out: Path,
    workers: int,
    device: str = "cpu",
    on_progress: OnProgress | None = None,
) -> BenchmarkOutcome:
    """Train, localize and score the runs that are missing. Finished runs are reused, interrupted ones continue.

    Args:
        benchmark: The benchmark.
        prepared: Its data.
        survey: What the data contain.
        methods: Names of methods.
        seeds: Number of seeds, counted from 0.
        config: Settings of all runs; method and seed are replaced.
        out: Folder for the runs.
        workers: Number of parallel runs.
        device: `auto`, `cpu` or `cuda`.
        on_progress: Called after each run.

    Raises:
        ConfigError: `out` has runs with other settings or on other data.
        WtalError: As `wtal.experiments.runner.run_specs`.
    """
    require_same_data(out / "runs", prepared.data)
    ambiguous = None if prepared.ambiguous is None else read_ambiguous(prepared.ambiguous)
    options = EvaluationOptions(benchmark.protocols[0], subset=survey.scored, ambiguous=ambiguous, checkpoint="last")
    specs = {
        method: [
            RunSpec(
                prepared.data,
                "runs",
                method,
                run_config(config, method, seed),
                options,
                out,
                device,
                ground_truth=prepared.ground_truth,
            )
            for seed in range(seeds)
        ]
        for method in methods
    }
    all_specs = [spec for group in specs.values() for spec in group]
    run_specs(all_specs, workers, on_progress)
    results = {
        method: {name: _score(group, name, prepared.ground_truth) for name in benchmark.protocols}
        for method, group in specs.items()
    }
    write_cards(all_specs, [score_of("runs", name, scored[options.protocol]) for name, scored in results.items()])
    return BenchmarkOutcome(
        benchmark, survey, config, seeds, results, _compare_first_seeds(specs, options, prepared.ground_truth)
    )


def _score(specs: Sequence[RunSpec], protocol: str, ground_truth: Path) -> tuple[EvaluationResult, ...]:
    """The results of the runs under a protocol; proposals are scored again unless it is that of the runs."""
    if protocol == specs[0].options.protocol:
        return tuple(results_of(specs))
    specs = [replace(spec, options=replace(spec.options, protocol=protocol)) for spec in specs]
    return tuple(evaluate(spec.proposals_path, ground_truth, spec.options, out=spec.results_path) for spec in specs)


def _compare_first_seeds(
    specs: Mapping[str, Sequence[RunSpec]], options: EvaluationOptions, ground_truth: Path
) -> EvaluationComparison:
    """Compare the first run of each method on resampled videos; `dfe` comes first, so that it is the reference."""
    methods = sorted(specs, key=lambda method: method != "dfe")
    proposals = {method: read_proposals(specs[method][0].proposals_path) for method in methods}
    return compare_evaluations(proposals, read_ground_truth(ground_truth), options)
