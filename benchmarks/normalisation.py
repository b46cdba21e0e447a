"""Does the scale, the shift or the number of dead dimensions of the features change the result?

    python -m benchmarks.normalisation DATA RUNS [METHOD]

Trains a method (`local` by default) with five seeds on the data set and on changed copies of it, and scores the
validation subset. Finished runs in RUNS are reused.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wtal.core.config import Config
from wtal.core.hardware import available_cores
from wtal.core.io import read_json, write_json
from wtal.core.text import markdown_table
from wtal.data.dataset import load_dataset
from wtal.experiments.compare import run_config
from wtal.experiments.runner import RunSpec, comparison_options, results_of, run_specs
from wtal.experiments.statistics import score_of

SEEDS = 5
Features = NDArray[np.float32]
VARIANTS: Mapping[str, Callable[[Features], Features]] = {
    "unchanged": lambda x: x,
    "times 0.01": lambda x: x * np.float32(0.01),
    "times 100": lambda x: x * np.float32(100),
    "plus 10": lambda x: x + np.float32(10),
    "64 dead dimensions": lambda x: np.pad(x, ((0, 0), (0, 64)), constant_values=1),
}


def main(data: Path, runs: Path, method: str) -> None:
    """Print the table."""
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
    run_specs([spec for group in specs.values() for spec in group], available_cores())
    scores = [score_of(name, method, results_of(group)) for name, group in specs.items()]
    rows = [(score.data, f"{score.mean:.1f} ± {score.spread:.1f}") for score in scores]
    print("\n".join(markdown_table((f"features of {dataset.path.name}, {method}", "average mAP 0.1:0.7 (%)"), rows)))


def _write(data: Path, folder: Path, change: Callable[[Features], Features]) -> None:
    """Write a copy of a data set with changed features."""
    (folder / "features").mkdir(parents=True)
    (folder / "annotations.json").write_bytes((data / "annotations.json").read_bytes())
    about = read_json(data / "dataset.json")
    write_json(folder / "dataset.json", {key: value for key, value in about.items() if key != "modalities"})
    for path in sorted((data / "features").glob("*.npy")):
        np.save(folder / "features" / path.name, change(np.load(path).astype(np.float32)))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "local")
