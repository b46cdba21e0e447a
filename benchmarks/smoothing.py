"""How much of a gain is mere smoothing: finished runs scored again with a moving average over their evidence.

`python -m benchmarks.smoothing RUNS`, where RUNS is the --out of a `wtal compare` over the shared sets.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.ndimage import uniform_filter1d

from benchmarks.measure import SHARED
from wtal.data.dataset import load_dataset
from wtal.evaluation.evaluate import evaluate
from wtal.evaluation.protocols import COMPARISON_TIOUS, EvaluationOptions
from wtal.inference import localizer
from wtal.inference.proposals import generate_proposals

SNIPPETS = 5


def main(runs: Path) -> None:
    """A line a data set and method: validation average mAP (%), as it is and after smoothing."""
    for place in sorted(runs.glob("*/*/seed-0")):
        method, data = place.parent.name, place.parent.parent.name
        scores = np.array([_scored(run, SHARED / data) for run in sorted(place.parent.glob("seed-*"))])
        plain, smooth = scores.mean(0)
        print(f"{data:14s} {method:20s} {plain:5.1f}  smoothed {smooth:5.1f}  ({len(scores)} seeds)", flush=True)


def _scored(run: Path, data: Path) -> tuple[float, float]:
    folder, (network, meta) = load_dataset(data), localizer.load_network(run, "local")
    videos = folder.subset("validation")
    plain, smooth = {}, {}
    for video, scores in localizer.score_videos(network, folder, videos, meta.config):
        averaged = replace(scores, cas=uniform_filter1d(scores.cas, SNIPPETS, axis=0, mode="nearest"))
        for found, of in ((plain, scores), (smooth, averaged)):
            found[video.id] = generate_proposals(of, meta.classes, folder.clock_of(video.id), meta.config.localize)
    results = (
        evaluate(found, videos, EvaluationOptions(tious=COMPARISON_TIOUS, subset="validation"))
        for found in (plain, smooth)
    )
    first, second = (100 * result.average() for result in results)
    return first, second


if __name__ == "__main__":
    main(Path(sys.argv[1]))
