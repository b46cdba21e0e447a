"""Rebuild and score the models of docs/models.md, and print the table of that page.

Each model is the default, `dfe` with seed 0, on one data set. Finished models in RUNS are scored again, not trained
again; `--workers` trains models of stage one side by side.
"""

import platform
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console

import wtal
from benchmarks.measure import shared_path
from wtal.cli.demo import make_dataset
from wtal.core.errors import ConfigError
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


def main(
    runs: Annotated[Path, typer.Argument(metavar="RUNS", help="Folder of the models")],
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help=", ".join(NAMES), show_default="all")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes for the models of stage one")] = 1,
) -> None:
    """Train and score the named models, and print a row for each."""
    for name in names or ():
        if name not in NAMES:
            raise ConfigError(f"unknown model {name!r}", hint=f"use {', '.join(NAMES)}", code="unknown-name")
    console = Console(stderr=True, highlight=False)
    rows = [build(name, runs, workers, console) for name in names or NAMES]
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
    data = make_dataset(runs / "synthetic", MovieConfig(), console).path if name == MOVIES else shared_path(name)
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
