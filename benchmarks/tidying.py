"""Ways to make proposals a timeline: calibrated on one half of the validation videos, judged on the other.

`python -m benchmarks.tidying RUNS`, where RUNS is the --out of a `wtal compare --methods dfe` over the shared sets.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np

from benchmarks.measure import SHARED
from wtal.core.structures import Proposals, Segment, Video
from wtal.data.dataset import load_dataset
from wtal.inference import calibration, postprocessing
from wtal.inference.batch import localize_many
from wtal.inference.calibration import OperatingPoint, calibrate
from wtal.inference.localizer import load_network
from wtal.inference.postprocessing import SegmentConstraints, sort_by_time

Tidy = Callable[[Sequence[Segment], SegmentConstraints], list[Segment]]
Make = Callable[[OperatingPoint, Sequence[Segment]], list[Segment]]
OURS = postprocessing.remove_overlaps


def with_rest(rest: float, proposals: Sequence[Segment], limits: SegmentConstraints) -> list[Segment]:
    """Today's way, but for how much of a proposal must be left."""
    with patch.object(postprocessing, "REST", rest):
        return OURS(proposals, limits)


def only_sorted(proposals: Sequence[Segment], limits: SegmentConstraints) -> list[Segment]:
    """As soft-NMS leaves them."""
    return sort_by_time(proposals)


def tidied_first(way: Tidy) -> tuple[Tidy, Make]:
    """Tidied whatever the score, then cut."""
    return way, lambda point, found: _cut(point, way(found, point.limits))


def cut_first(way: Tidy) -> tuple[Tidy, Make]:
    """Cut at the thresholds of the tidied, then tidied."""
    return way, lambda point, found: way(_cut(point, found), point.limits)


WAYS: Mapping[str, tuple[Tidy, Make]] = {
    "rest 0.5 (today)": tidied_first(OURS),
    "soft-NMS alone": tidied_first(only_sorted),
    "drop whatever overlaps": tidied_first(partial(with_rest, 1.0)),
    "rest 0.25": tidied_first(partial(with_rest, 0.25)),
    "rest 0.75": tidied_first(partial(with_rest, 0.75)),
    "cut, then tidied": cut_first(OURS),
}


def main(runs: Path) -> None:
    """A line a way: F1 at tIoU 0.5 (%) over all classes and a class, mean over the sets, and against today's."""
    scores: dict[str, list[list[tuple[float, float]]]] = {way: [] for way in WAYS}
    for place in sorted(runs.glob("*/dfe")):
        videos, classes, found = _localized(sorted(place.glob("seed-*")), SHARED / place.parent.name)
        for way in WAYS:
            scores[way].append([_halves(way, one, videos, classes) for one in found])
    first = np.mean(scores["rest 0.5 (today)"], 0)  # seeds x 2
    for way, of_sets in scores.items():
        mean, apart = np.mean(of_sets, 0), np.mean(of_sets, 0) - first
        told = zip(("micro", "macro"), mean.mean(0), apart.mean(0), apart.std(0, ddof=1), strict=True)
        print(f"{way:24s}", *(f"{name} {f1:5.1f} ({more:+.1f} ± {spread:.1f})" for name, f1, more, spread in told))


def _localized(runs: Sequence[Path], data: Path) -> tuple[Sequence[Video], Sequence[str], list[Proposals]]:
    folder, found = load_dataset(data), []
    videos = folder.subset("validation")
    for run in runs:
        network, meta = load_network(run, "local")
        found.append(dict(localize_many(network, meta, folder, videos)))
    return videos, meta.classes, found


def _halves(way: str, found: Proposals, videos: Sequence[Video], classes: Sequence[str]) -> tuple[float, float]:
    evidence, make = WAYS[way]
    halves, got = (videos[::2], videos[1::2]), []
    for known, unknown in (halves, halves[::-1]):
        with patch.object(calibration, "tidy", evidence):
            point = calibrate(found, known, classes, "", "half", SegmentConstraints()).at("f1")
        timelines = [make(point, found.get(video.id, ())) for video in unknown]
        reached = [e.reached(-np.inf) for e in calibration.by_segments(timelines, unknown, classes).values()]
        micro = 2 * sum(r.right for r in reached) / sum(r.shown + r.there for r in reached)
        got.append((100 * micro, 100 * np.mean([r.f1 for r in reached if r.there])))
    micro, macro = np.mean(got, 0)
    return micro, macro


def _cut(point: OperatingPoint, found: Sequence[Segment]) -> list[Segment]:
    least = {label: threshold for label, threshold in point.thresholds.items() if threshold is not None}
    return [p for p in found if p.score >= least.get(p.label, np.inf)]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
