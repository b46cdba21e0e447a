"""How much of a gain is smoothing along time: scores finished runs again after a moving average over their class
scores. `python -m benchmarks.smoothing RUNS`, where RUNS is the --out of a `wtal compare` over the shared data sets,
prints the average validation mAP of each data set and method, without and with smoothing."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.ndimage import uniform_filter1d

from benchmarks.measure import SHARED
from wtal.core.structures import Proposals
from wtal.data.dataset import load_dataset
from wtal.evaluation.evaluate import evaluate
from wtal.evaluation.protocols import EvaluationOptions
from wtal.inference.localizer import Localizer
from wtal.inference.proposals import generate_proposals

WINDOW = 5  # snippets


def main(runs: Path) -> None:
    for first_seed in sorted(runs.glob("*/*/seed-0")):
        method, data = first_seed.parent.name, first_seed.parent.parent.name
        scores = np.array([_scores(run, SHARED / data) for run in sorted(first_seed.parent.glob("seed-*"))])
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


if __name__ == "__main__":
    main(Path(sys.argv[1]))
