"""How much of a gain is smoothing along time: scores finished runs again with smoothed class scores.

Prints the average validation mAP of each data set and method, without and with a moving average over the class scores.
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from scipy.ndimage import uniform_filter1d

from benchmarks.measure import shared_path
from wtal.core.errors import DataError
from wtal.core.structures import Proposals
from wtal.data.dataset import load_dataset
from wtal.evaluation.evaluate import evaluate
from wtal.evaluation.protocols import EvaluationOptions
from wtal.inference.localizer import Localizer
from wtal.inference.proposals import generate_proposals

WINDOW = 5  # snippets


def main(
    runs: Annotated[
        Path, typer.Argument(metavar="RUNS", help="The --out of a `wtal compare` over data sets in WTAL_SHARED")
    ],
) -> None:
    """Print a line for each data set and method."""
    first_seeds = sorted(runs.glob("*/*/seed-0"))
    if not first_seeds:
        raise DataError("not the output of wtal compare", path=runs, code="no-runs")
    for first_seed in first_seeds:
        method, data = first_seed.parent.name, first_seed.parent.parent.name
        scores = np.array([_scores(run, shared_path(data)) for run in sorted(first_seed.parent.glob("seed-*"))])
        original, smoothed = scores.mean(0)
        print(f"{data:14s} {method:20s} {original:5.1f}  smoothed {smoothed:5.1f}  ({len(scores)} seeds)", flush=True)


def _scores(run: Path, data: Path) -> tuple[float, float]:
    """Average mAP (%) of a run without and with smoothing."""
    dataset, localizer = load_dataset(data), Localizer(run)
    settings = localizer.meta.config.localize
    videos = dataset.subset("validation")
    original: Proposals = {}
    smoothed: Proposals = {}
    for video, scores in localizer.score_videos(dataset, videos):
        averaged = replace(scores, cas=uniform_filter1d(scores.cas, WINDOW, axis=0, mode="nearest"))
        clock = dataset.clock_of(video.id)
        original[video.id] = generate_proposals(scores, dataset.classes, clock, settings, dataset.features(video.id))
        smoothed[video.id] = generate_proposals(averaged, dataset.classes, clock, settings, dataset.features(video.id))
    options = EvaluationOptions(subset="validation")
    return 100 * evaluate(original, videos, options).average(), 100 * evaluate(smoothed, videos, options).average()
