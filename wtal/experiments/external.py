"""Proposals files of other systems, scored beside the methods of a comparison or a report."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wtal.core.errors import ConfigError, DataError
from wtal.core.io import require_file
from wtal.core.methods import METHODS
from wtal.core.structures import Video
from wtal.data.layouts.activitynet import read_proposals
from wtal.evaluation.bootstrap import Interval, mean_differences
from wtal.evaluation.evaluate import EvaluationWithMatches, evaluate_with_matches
from wtal.evaluation.protocols import UNKNOWN_CHECKPOINT, EvaluationOptions
from wtal.evaluation.results import EvaluationResult


@dataclass(frozen=True)
class ExternalSystem:
    """Another system, known by one proposals file.

    Attributes:
        name: Name of the system.
        file: The proposals file.
        evaluation: Its result, with the matches.
    """

    name: str
    file: Path
    evaluation: EvaluationWithMatches


@dataclass(frozen=True)
class ExternalScore:
    """The score of another system, and the difference between a method and it.

    Attributes:
        name: Name of the system.
        file: The proposals file. There is one, so there is no spread over seeds.
        result: mAP as fractions.
        method: The method it is compared with.
        seeds: Number of seeds of the method.
        difference: Mean over the seeds of the method's average mAP, minus that of the system. The interval is over the
            videos; it does not include the spread over the seeds.
    """

    name: str
    file: Path
    result: EvaluationResult
    method: str
    seeds: int
    difference: Interval

    def to_json(self) -> dict[str, Any]:
        """A plain dict for `comparison.json`, in percent."""
        difference = self.difference
        return {
            "name": self.name,
            "file": str(self.file),
            "average": 100 * self.result.main_average,
            "map": [100 * value for value in self.result.map],
            "notes": self.result.notes,
            "difference": {
                "method": self.method,
                "mean": 100 * difference.value,
                "low": 100 * difference.low,
                "high": 100 * difference.high,
            },
        }


def parse_external(values: Sequence[str]) -> dict[str, Path]:
    """The files by name from `NAME=FILE`. Raises ConfigError for another form, or a name that is used twice."""
    files: dict[str, Path] = {}
    for value in values:
        name, _, file = value.partition("=")
        name = name.strip()
        if not name or not file:
            raise ConfigError(
                f"--external {value!r} is not NAME=FILE",
                hint="name the system and its file, such as CO2-Net=proposals.json",
                code="invalid-option",
            )
        if name in files:
            raise ConfigError(f"--external uses the name {name!r} twice", hint="rename one", code="duplicate-name")
        files[name] = Path(file)
    return files


def read_external(
    files: Mapping[str, str | Path], methods: Collection[str], ground_truth: Sequence[Video], options: EvaluationOptions
) -> list[ExternalSystem]:
    """Read and score the proposals files of other systems.

    Args:
        files: Proposals files by name of the system.
        methods: The methods beside which they are shown.
        ground_truth: Annotated videos.
        options: Protocol, thresholds and subset.

    Raises:
        ConfigError: A name cannot be printed, or is that of a method.
        DataError: A file cannot be read, or has no proposal for the videos or the classes of the subset.
    """
    for name in files:
        if not name.strip() or not name.isprintable():
            raise ConfigError(f"invalid name of a system: {name!a}", hint="use letters and digits", code="invalid-name")
        if name in methods or name in METHODS:
            raise ConfigError(
                f"{name!r} names a method, not another system", hint="use another name", code="duplicate-name"
            )
    return [_read_system(name, Path(file), ground_truth, options) for name, file in files.items()]


def compare_external(
    systems: Sequence[ExternalSystem], method: str, evaluations: Sequence[EvaluationWithMatches]
) -> tuple[ExternalScore, ...]:
    """Compare a method with each of the other systems.

    Args:
        systems: The other systems.
        method: Name of the method.
        evaluations: Those of the method's runs, one per seed, with the ground truth and the options of the systems.
    """
    differences = mean_differences(evaluations, [system.evaluation for system in systems])
    return tuple(
        ExternalScore(system.name, system.file, system.evaluation.result, method, len(evaluations), difference)
        for system, difference in zip(systems, differences, strict=True)
    )


def _read_system(name: str, file: Path, ground_truth: Sequence[Video], options: EvaluationOptions) -> ExternalSystem:
    require_file(file, "pass proposals with --external NAME=FILE")
    options = replace(options, checkpoint=UNKNOWN_CHECKPOINT)
    evaluation = evaluate_with_matches(read_proposals(file), ground_truth, options)
    result, counts = evaluation.result, evaluation.result.counts
    if counts.videos_without_proposals == counts.videos:
        raise DataError(
            f"has no proposals for any video of the {result.subset} subset",
            path=file,
            hint="its video ids must be those of the data set",
            code="no-proposals",
        )
    if counts.proposals == counts.proposals_elsewhere:
        raise DataError(
            f"has no proposals for any class of the {result.subset} subset",
            path=file,
            hint=f"its labels must be those of the data set, such as {next(iter(result.per_class))!r}",
            code="no-proposals",
        )
    return ExternalSystem(name, file, evaluation)
