"""A whole benchmark: prepare, look, train every method and seed, score under every protocol, report."""

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
from wtal.experiments.benchmarks.inspect import Survey
from wtal.experiments.benchmarks.prepare import Prepared
from wtal.experiments.compare import configured
from wtal.experiments.pipeline import evaluate_file
from wtal.experiments.runner import Done, RunSpec, claim, result_of, run_specs, write_cards
from wtal.experiments.statistics import score_of


@dataclass(frozen=True)
class Outcome:
    """What a benchmark came to: each method's results under each protocol, one a seed."""

    benchmark: Benchmark
    survey: Survey
    config: Config
    seeds: int
    results: Mapping[str, Mapping[str, tuple[EvaluationResult, ...]]]  # method -> protocol -> results
    side_by_side: EvaluationComparison  # the first seeds' proposals, under the main protocol

    def to_json(self) -> dict[str, Any]:
        """A plain dict, fractions at full precision, for `benchmark.json`."""
        return {
            "benchmark": self.benchmark.name,
            "data": asdict(self.survey),
            "config": self.config.model_dump(),
            "seeds": self.seeds,
            "first_seeds": self.side_by_side.to_json(),
            "results": {
                method: {protocol: [result.to_json() for result in results] for protocol, results in scored.items()}
                for method, scored in self.results.items()
            },
        }


def run_benchmark(
    benchmark: Benchmark,
    prepared: Prepared,
    seen: Survey,
    methods: Sequence[str],
    seeds: int,
    config: Config,
    out: Path,
    workers: int,
    device: str = "cpu",
    done: Done | None = None,
) -> Outcome:
    """Train and localize what is missing, then score each run's proposals under each protocol.

    Finished runs are used again, interrupted ones go on. Raises as
    `wtal.experiments.runner.run_specs` does, and ConfigError where `out` has runs of other data.
    """
    claim(out / "runs", prepared.data)
    ambiguous = None if prepared.ambiguous is None else read_ambiguous(prepared.ambiguous)
    options = EvaluationOptions(benchmark.protocols[0], benchmark.tious, seen.scored, ambiguous, "last")
    jobs = {
        method: tuple(
            RunSpec(
                prepared.data, "runs", method, configured(config, method, seed), options, out, device, prepared.truth
            )
            for seed in range(seeds)
        )
        for method in methods
    }
    run_specs([job for group in jobs.values() for job in group], workers, done)
    results = {
        method: {name: tuple(_scored(job, name, prepared.truth) for job in group) for name in benchmark.protocols}
        for method, group in jobs.items()
    }
    scores = [score_of("runs", method, scored[benchmark.protocols[0]]) for method, scored in results.items()]
    write_cards([job for group in jobs.values() for job in group], scores)
    return Outcome(benchmark, seen, config, seeds, results, _first_seeds(jobs, options, prepared.truth))


def _first_seeds(
    jobs: Mapping[str, Sequence[RunSpec]], options: EvaluationOptions, truth: Path
) -> EvaluationComparison:
    """Each method's first run on resampled videos; `dfe` goes before the others, to be compared with each."""
    names = sorted(jobs, key=lambda method: method != "dfe")
    proposals = {method: read_proposals(jobs[method][0].proposals) for method in names}
    return compare_evaluations(proposals, read_ground_truth(truth), options)


def _scored(job: RunSpec, protocol: str, truth: Path) -> EvaluationResult:
    """The score that stands in the run folder, or the proposals scored again under another protocol."""
    if protocol == job.options.protocol:
        return result_of(job)
    options = replace(job.options, protocol=protocol)
    return evaluate_file(job.proposals, truth, options, out=job.results_under(protocol))
