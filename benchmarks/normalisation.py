"""Whether scale, shift or dead dimensions of the features change the score.

Trains a method with five seeds on the data set and on changed copies of it, and scores the validation subset. Finished
runs in RUNS are reused.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console

from wtal.cli.app import DataArgument
from wtal.core.config import Config
from wtal.core.hardware import available_cores
from wtal.core.io import read_json, write_json
from wtal.core.text import markdown_table
from wtal.data.dataset import load_dataset
from wtal.experiments.compare import known_methods, run_config
from wtal.experiments.runner import RunSpec, comparison_options, results_of, run_specs
from wtal.experiments.statistics import score_of
from wtal.reporting.progress import runs_progress
from wtal.reporting.tables import format_mean_std

SEEDS = 5
Features = NDArray[np.float32]
VARIANTS: Mapping[str, Callable[[Features], Features]] = {
    "unchanged": lambda x: x,
    "times 0.01": lambda x: x * np.float32(0.01),
    "times 100": lambda x: x * np.float32(100),
    "plus 10": lambda x: x + np.float32(10),
    "64 dead dimensions": lambda x: np.pad(x, ((0, 0), (0, 64)), constant_values=1),
}


def main(
    data: DataArgument,
    runs: Annotated[Path, typer.Argument(metavar="RUNS", help="Folder of the data sets and runs")],
    method: Annotated[str, typer.Argument(metavar="METHOD", help="Method to train")] = "local",
) -> None:
    """Print the table."""
    known_methods([method])
    dataset, specs = load_dataset(data), {}
    for name, change in VARIANTS.items():
        folder = runs / "data" / name.replace(" ", "-")
        if not folder.exists():
            _write(dataset.path, folder, change)
        specs[name] = [
            RunSpec(
                folder, folder.name, method, run_config(Config(), method, seed), comparison_options("validation"), runs
            )
            for seed in range(SEEDS)
        ]
    with runs_progress(Console(stderr=True)) as on_progress:
        run_specs([spec for group in specs.values() for spec in group], available_cores(), on_progress)
    scores = [score_of(name, method, results_of(group)) for name, group in specs.items()]
    rows = [(score.data, format_mean_std(score.averages)) for score in scores]
    print("\n".join(markdown_table((f"features of {dataset.path.name}, {method}", "average mAP 0.1:0.7 (%)"), rows)))


def _write(data: Path, folder: Path, change: Callable[[Features], Features]) -> None:
    """Write a copy of a data set with changed features."""
    (folder / "features").mkdir(parents=True)
    (folder / "annotations.json").write_bytes((data / "annotations.json").read_bytes())
    about = read_json(data / "dataset.json")
    write_json(folder / "dataset.json", {key: value for key, value in about.items() if key != "modalities"})
    for path in sorted((data / "features").glob("*.npy")):
        np.save(folder / "features" / path.name, change(np.load(path).astype(np.float32)))
