"""Change each default of DFE, one at a time, and score the result.

Writes FOLDER/ablation.json. Finished runs in FOLDER are reused.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from wtal.cli.app import ConfigOption, SeedsOption, SetOption
from wtal.core.config import Config, read_config, with_overrides
from wtal.core.errors import ConfigError
from wtal.core.hardware import available_cores
from wtal.core.io import write_json
from wtal.data.dataset import load_dataset
from wtal.experiments.compare import dataset_names
from wtal.experiments.pipeline import require_segments
from wtal.experiments.runner import (
    OnProgress,
    RunSpec,
    comparison_options,
    require_same_data,
    results_of,
    run_specs,
)
from wtal.experiments.statistics import Comparison, score_of
from wtal.reporting.comparison_tables import comparison_blocks
from wtal.reporting.progress import runs_progress
from wtal.reporting.tables import open_output

DEFAULT = "defaults"
ARMS: dict[str, tuple[str, ...]] = {  # name -> changes to `dfe` with the default settings
    DEFAULT: (),
    "memory: none": ("method=dfe-no-memory",),
    "memory: alone": ("teacher.memory_share=1",),
    "memory: share 0.5": ("teacher.memory_share=0.5",),
    "memory: not whitened": ("memory.shrinkage=1000",),
    "memory: 5 neighbours": ("memory.neighbours=5",),
    "memory: 50 neighbours": ("memory.neighbours=50",),
    "models: 1": ("teacher.models=1",),
    "models: 3": ("teacher.models=3",),
    "models: 5": ("teacher.models=5",),
    "reliability: none": ("teacher.reliability=0",),
    "weak losses in stage two: none": ("teacher.weak_losses=0",),
    "weak losses in stage two: 1": ("teacher.weak_losses=1",),
    "local operator: attention": ("model.local=attention",),
    "window: 3 (attention)": ("model.local=attention", "model.window=3"),
    "local operator: smoothing alone": ("model.dilations=[]",),
    "smoothing: none": ("model.smoothing=0",),
    "smoothing: 4": ("model.smoothing=4",),
    "top-k ratio: 8": ("train.topk_ratio=8",),
    "top-k ratio: 32": ("train.topk_ratio=32",),
    "suppression: none": ("weights.mil_suppressed=0",),
    "co_activity: none": ("weights.co_activity=0",),
    "class_competition: none": ("weights.class_competition=0",),
    "partial_label: none": ("weights.partial_label=0",),
}


def ablate(
    data: Sequence[Path],
    arms: Sequence[str],
    seeds: int,
    subset: str,
    config: Config,
    out: Path,
    workers: int,
    on_progress: OnProgress | None = None,
) -> Comparison:
    """Train and score every arm; write `ablation.json`, which is a comparison with arms in place of methods.

    Args:
        data: Data set folders.
        arms: Names of arms; none: all. The defaults are always included.
        seeds: Number of seeds.
        subset: Subset to score.
        config: Settings to which the changes are applied.
        out: Folder for the runs and `ablation.json`.
        workers: Number of parallel runs.
        on_progress: As in `wtal.experiments.compare.compare`.

    Raises:
        ConfigError, DataError: As `wtal.experiments.compare.compare`; also for an unknown arm.
    """
    unknown = [arm for arm in arms if arm not in ARMS]
    if unknown:
        raise ConfigError(f"unknown arm {unknown[0]!r}", hint=f"use {', '.join(map(repr, ARMS))}", code="unknown-name")
    names = dataset_names(data)
    for path, name in names.items():
        require_segments(load_dataset(path), subset)
        require_same_data(out / name, path)
    specs = {
        (arm, name): [_run_spec(path, name, arm, seed, subset, config, out) for seed in range(seeds)]
        for arm in dict.fromkeys([DEFAULT, *(arms or ARMS)])
        for path, name in names.items()
    }
    run_specs([spec for group in specs.values() for spec in group], workers, on_progress)
    scores = [score_of(name, arm, results_of(group)) for (arm, name), group in specs.items()]
    comparison = Comparison.from_scores(scores, subset, seeds, config)
    write_json(out / "ablation.json", comparison.to_json())
    return comparison


def _run_spec(data: Path, name: str, arm: str, seed: int, subset: str, config: Config, out: Path) -> RunSpec:
    settings = with_overrides(config, (*ARMS[arm], f"train.seed={seed}"))
    folder = "-".join("".join(char if char.isalnum() else " " for char in arm).split())
    return RunSpec(data, name, settings.method, settings, comparison_options(subset), out / "runs" / folder)


def main(
    data: Annotated[list[Path], typer.Argument(metavar="DATA", help="One or more data set folders")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for the runs and ablation.json")],
    arm: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="One arm, such as 'models: 3'; repeatable", show_default="all"),
    ] = None,
    seeds: SeedsOption = 5,
    subset: Annotated[str, typer.Option(metavar="NAME", help="Subset to score")] = "validation",
    config: ConfigOption = None,
    overrides: SetOption = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Number of parallel runs", show_default="cores")] = None,
) -> None:
    """Print the comparison, and write it."""
    console = Console(highlight=False)
    settings = read_config(config, tuple(overrides or ()))
    with runs_progress(console) as on_progress:
        comparison = ablate(
            data, tuple(arm or ()), seeds, subset, settings, out, workers or available_cores(), on_progress
        )
    with open_output(console) as output:
        output.print(comparison_blocks(comparison))
    console.print(f"written to {out / 'ablation.json'}", soft_wrap=True, markup=False)
