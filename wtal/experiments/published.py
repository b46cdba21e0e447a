"""Results from the literature, kept as data in published.toml, each with what it was measured by."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from wtal.core.errors import ConfigError, DataError
from wtal.core.io import read_text
from wtal.evaluation.protocols import PROTOCOLS
from wtal.evaluation.results import EvaluationResult

BENCHMARKS = {  # name -> title
    "thumos14": "THUMOS14",
    "activitynet1.2": "ActivityNet 1.2",
    "activitynet1.3": "ActivityNet 1.3",
    "multithumos": "MultiTHUMOS",
}
NOT_SAID = "not said"
CHECKPOINTS = ("best on test", "last", NOT_SAID)
SUPERVISIONS = ("weak", "full")
DATA = Path(__file__).with_suffix(".toml")


@dataclass(frozen=True)
class Published:
    """A method's result on one benchmark, in percent, with what decides whether it can be compared.

    `averages` and `tious` go by the tIoUs they are of: {"0.1:0.7": 44.6}, {"0.5": 38.3}. `protocol` is one
    of ours, "its own" (the public code scores in a way that none of ours is) or "not said".
    """

    method: str
    benchmark: str
    averages: dict[str, float]
    protocol: str = NOT_SAID
    checkpoint: str = NOT_SAID
    source: str = NOT_SAID  # a public address, or "authors' list"
    year: int | None = None
    venue: str = ""
    tious: dict[str, float] = field(default_factory=dict)
    seeds: int | None = None  # None: not said
    spread: float | None = None  # standard deviation of the last average over the seeds
    supervision: str = "weak"

    def __post_init__(self) -> None:
        choices = {
            "benchmark": (*BENCHMARKS,),
            "protocol": (*PROTOCOLS, "its own", NOT_SAID),
            "checkpoint": CHECKPOINTS,
            "supervision": SUPERVISIONS,
        }
        for name, known in choices.items():
            value = getattr(self, name)
            if value not in known:
                raise DataError(f'{self.method}: {name} "{value}" is not known; use one of {", ".join(known)}')
        figures = [*self.averages.values(), *self.tious.values()]
        if not self.averages or not all(isinstance(value, int | float) and 0 <= value <= 100 for value in figures):
            raise DataError(f"{self.method}: the figures are {figures}; give an average at least, all in percent")


def published(benchmark: str) -> tuple[Published, ...]:
    """What the literature reports on a benchmark, oldest first. Raises ConfigError for an unknown one."""
    if benchmark not in BENCHMARKS:
        raise ConfigError(f'benchmark "{benchmark}" is not known; use one of {", ".join(BENCHMARKS)}')
    return tuple(entry for entry in read_published(DATA) if entry.benchmark == benchmark)


def read_published(path: Path) -> tuple[Published, ...]:
    """Every entry of a file as published.toml is, oldest first. Raises DataError naming the entry at fault."""
    try:
        entries = tomllib.loads(read_text(path))["result"]
        found = [Published(**entry) for entry in entries]
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"{path}: not valid TOML, {error}") from error
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}: each [[result]] holds the fields of Published and no other, {error}") from error
    except DataError as error:
        raise DataError(f"{path}, {error}") from error
    return tuple(sorted(found, key=lambda entry: entry.year or 0))


def ours(method: str, benchmark: str, results: Sequence[EvaluationResult]) -> Published:
    """Our own results under one protocol, one a seed, as an entry beside the published ones."""
    first = results[0]
    scores = np.array([[100 * one.average(*span) for span in one.averages] for one in results])  # seeds x averages
    maps = 100 * np.array([one.map for one in results])
    spread: Any = {"spread": float(scores[:, -1].std(ddof=1))} if len(results) > 1 else {}
    return Published(
        method,
        benchmark,
        {f"{low:g}:{high:g}": mean for (low, high), mean in zip(first.averages, scores.mean(0).tolist(), strict=True)},
        first.protocol,
        first.checkpoint,
        source="this run",
        tious={f"{tiou:g}": mean for tiou, mean in zip(first.tious, maps.mean(0).tolist(), strict=True)},
        seeds=len(results),
        **spread,
    )
