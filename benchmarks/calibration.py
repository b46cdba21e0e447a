"""F1 of the shown segments by the rule that selects them, after training on tags.

Prints the mean F1 at tIoU 0.5 of the validation subset, by four rules.

`relative`: at least 0.4 of the highest score of the video, as without calibration.

`thresholds`: one score for each class, chosen on the tags of the training videos.

`tags`: these thresholds decide which classes are shown, and the highest score of the video which of their segments.

`segments`: thresholds chosen on the segments of one half of the validation videos and used in the other, both ways.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from wtal.cli.app import DataArgument
from wtal.core.errors import DataError
from wtal.core.structures import Proposals, Video
from wtal.data.dataset import Dataset, load_dataset
from wtal.evaluation.agreement import AgreementOptions, measure_agreement
from wtal.inference.batch import localize_many
from wtal.inference.calibration import calibrate
from wtal.inference.localizer import Localizer
from wtal.inference.operating_point import F1, SEGMENTS, OperatingPoint
from wtal.inference.postprocessing import SegmentConstraints, top_non_overlapping

RULES = ("relative", "thresholds", "tags", "segments")
OPTIONS = AgreementOptions(min_tiou=0.5, tolerance=0.0)


def main(
    runs: Annotated[Path, typer.Argument(metavar="RUNS", help="Folder with the runs that were trained on DATA")],
    data: DataArgument,
) -> None:
    """Print the mean F1 of each rule."""
    dataset = load_dataset(data)
    folders = [path.parent for path in sorted(runs.glob("**/metrics.jsonl")) if "stage-one" not in path.parts]
    if not folders:
        raise DataError("no run below this folder", path=runs, hint="train one with wtal train", code="no-runs")
    means = np.mean([_scores(run, dataset) for run in folders], 0)
    print(f"{data.name}, {len(folders)} runs: " + ", ".join(f"{r} {m:.1f}" for r, m in zip(RULES, means, strict=True)))


def _scores(run: Path, dataset: Dataset) -> list[float]:
    """F1 (%) of each rule."""
    localizer = Localizer(run)
    validation, training = dataset.subset("validation"), dataset.subset("training")
    proposals = localize_many(localizer, dataset, [*validation, *training])

    def point_of(videos: Sequence[Video]) -> OperatingPoint:
        result = calibrate(proposals, videos, dataset.classes, "", videos[0].subset, SegmentConstraints())
        return result.operating_point(F1)

    tags = point_of([video.without_segments() for video in training])
    thresholds = replace(tags, source=SEGMENTS)
    halves = validation[::2], validation[1::2]
    of_halves = [(half, point_of(other)) for half, other in (halves, halves[::-1])]
    return [
        _f1({video.id: top_non_overlapping(proposals[video.id]) for video in validation}, validation),
        _f1({video.id: thresholds.apply(proposals[video.id]) for video in validation}, validation),
        _f1({video.id: tags.apply(proposals[video.id]) for video in validation}, validation),
        _f1({video.id: point.apply(proposals[video.id]) for half, point in of_halves for video in half}, validation),
    ]


def _f1(shown: Proposals, videos: Sequence[Video]) -> float:
    truth = {video.id: video.segments for video in videos}
    return 100 * (measure_agreement(shown, truth, options=OPTIONS).overall.f1 or 0.0)
