"""Rebuild the models of docs/models.md: train, score the testing subset, and print the table of that page.

    python -m benchmarks.models RUNS [NAME ...]

Each model is the default, `dfe` with seed 0, on one data set. Finished models in RUNS are scored again, not trained
again; `--workers` trains models of stage one side by side.
"""

import argparse
import platform
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

import wtal
from benchmarks.measure import SHARED
from wtal.cli.demo import make_dataset
from wtal.core.fingerprint import content_fingerprint
from wtal.core.text import code_span, markdown_table
from wtal.data.dataset import load_dataset
from wtal.data.synthetic.videos import MovieConfig
from wtal.evaluation.results import format_range
from wtal.reporting.progress import training_progress
from wtal.training.stages import total_steps

MOVIES = "movies"  # the synthetic videos of the demo, rendered into RUNS
NAMES = (MOVIES, "hapt", "actrectut", "ucf_stitched")
CONFIG = wtal.Config()
DIGITS = 16  # of a hash


def main() -> None:
    """Train and score the named models, and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, metavar="RUNS", help="folder of the models")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(NAMES)}; default: all")
    parser.add_argument("--workers", type=int, default=1, help="processes for the models of stage one")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(NAMES):
        parser.error(f"unknown model {', '.join(sorted(unknown))}")
    console = Console(stderr=True, highlight=False)
    rows = [build(name, arguments.runs, arguments.workers, console) for name in arguments.names or NAMES]
    options = wtal.EvaluationOptions()
    average = f"avg {format_range(*options.averages[-1])}"
    columns = ("model", "training videos", "classes", "width", "0.3", "0.5", "0.7", average, "SHA-256 of the weights")
    print("\n".join(markdown_table(columns, rows)))
    print(
        f"\nwtal {wtal.__version__}, Python {platform.python_version()}, PyTorch {torch.__version__}, "
        f"NumPy {np.__version__}, {platform.machine()} with {torch.backends.cpu.get_cpu_capability()}"
    )


def build(name: str, runs: Path, workers: int, console: Console) -> tuple[str, ...]:
    """Train a model, unless it is finished, and score it. Returns its row."""
    data = make_dataset(runs / "synthetic", MovieConfig(), console).path if name == MOVIES else SHARED / name
    dataset, run = load_dataset(data), runs / name
    with training_progress(total_steps(CONFIG), console) as progress:
        checkpoint = wtal.train(
            data, run, CONFIG, resume=run.exists(), device="cpu", workers=workers, on_progress=progress
        )
    proposals = wtal.localize(run, data, run / "proposals.json")
    options = wtal.EvaluationOptions(subset="testing", checkpoint="last")
    result = wtal.evaluate(proposals, dataset, options, out=run / "results.json")
    scores = [result.map[result.tious.index(tiou)] for tiou in (0.3, 0.5, 0.7)]
    return (
        code_span(name) + " (synthetic)" * (name == MOVIES),
        f"{len(dataset.subset('training')):,}",
        str(len(dataset.classes)),
        str(dataset.width),
        *(f"{100 * score:.1f}" for score in (*scores, result.main_average)),
        code_span(content_fingerprint(checkpoint / "model.safetensors")[:DIGITS]),
    )


if __name__ == "__main__":
    main()
