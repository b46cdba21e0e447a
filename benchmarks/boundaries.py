"""How exact the boundaries of segments are, before and after they are moved to changes of the features.

For the validation videos and all runs: average mAP over tIoU 0.1:0.7 and 0.5:0.95 of the proposals; F1 at the
operating point with the best F1, chosen and measured on the same videos for both rows alike; and the boundary error,
the mean distance in seconds of start and end from those of the annotated segment, over its correct segments.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from wtal.cli.app import DataArgument
from wtal.core.clock import tiou
from wtal.core.structures import Proposals, Segment, Video
from wtal.core.text import markdown_table
from wtal.data.dataset import load_dataset
from wtal.evaluation.evaluate import evaluate
from wtal.evaluation.protocols import EvaluationOptions
from wtal.inference.calibration import calibrate
from wtal.inference.localizer import Localizer
from wtal.inference.operating_point import F1, TIOU
from wtal.inference.postprocessing import SegmentConstraints
from wtal.inference.proposals import generate_proposals
from wtal.reporting.tables import format_mean_std

RANGES = (np.arange(0.1, 0.75, 0.1).round(2).tolist(), np.arange(0.5, 0.975, 0.05).round(2).tolist())
HEADERS = ["mAP 0.1:0.7", "mAP 0.5:0.95", "F1", "boundary error (s)"]


def main(data: DataArgument, runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Run folders")]) -> None:
    """Print the table of a data set."""
    results = np.array([_score(run, data) for run in runs])  # runs x before, after x columns
    rows = [
        [name, *(format_mean_std(values[:, column].tolist()) for column in range(3)), f"{values[:, 3].mean():.3f}"]
        for name, values in zip(("as scored", "refined"), results.swapaxes(0, 1), strict=True)
    ]
    print("\n".join(markdown_table([f"{data.name}, {len(runs)} runs", *HEADERS], rows)), flush=True)


def _score(run: Path, data: Path) -> list[list[float]]:
    """The row before and the row after, for one run."""
    dataset, localizer = load_dataset(data), Localizer(run)
    videos = dataset.subset("validation")
    refined = localizer.meta.config.localize
    settings = [refined.model_copy(update={"boundary_reach": 0}), refined]
    variants: list[Proposals] = [{}, {}]
    for video, scores in localizer.score_videos(dataset, videos):
        features, clock = dataset.features(video.id), dataset.clock_of(video.id)
        for proposals, setting in zip(variants, settings, strict=True):
            proposals[video.id] = generate_proposals(scores, dataset.classes, clock, setting, features)
    return [_measure(proposals, videos, dataset.classes) for proposals in variants]


def _measure(proposals: Proposals, videos: Sequence[Video], classes: Sequence[str]) -> list[float]:
    options = [EvaluationOptions(tious=tious, subset="validation") for tious in RANGES]
    average = [100 * evaluate(proposals, videos, option).average() for option in options]
    point = calibrate(proposals, videos, classes, "", "validation", SegmentConstraints()).operating_point(F1)
    errors = [error for video in videos for error in _boundary_errors(point.apply(proposals[video.id]), video.segments)]
    return [*average, 100 * (point.overall.f1 or 0), float(np.mean(errors)) if errors else np.nan]


def _boundary_errors(shown: Sequence[Segment], annotated: Sequence[Segment]) -> list[float]:
    """The distances of start and of end of each segment from the best annotated one, if that is at least TIOU."""
    errors = []
    for segment in shown:
        same = [other for other in annotated if other.label == segment.label]
        overlaps = [float(tiou(segment.start, segment.end, other.start, other.end)) for other in same]
        if overlaps and max(overlaps) >= TIOU:
            other = same[int(np.argmax(overlaps))]
            errors += [abs(segment.start - other.start), abs(segment.end - other.end)]
    return errors
