"""Calibration: choose from a data set the score from which each class is shown, and save it for `wtal predict`."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from wtal.core.errors import CheckpointError, ConfigError, DataError
from wtal.core.io import read_json, write_json
from wtal.core.structures import Proposals, Segment, Video
from wtal.data.dataset import Dataset, load_dataset
from wtal.evaluation.matching import Intervals, find_hits
from wtal.evaluation.protocols import find_protocol
from wtal.inference.batch import localize_many
from wtal.inference.kinetics400 import is_kinetics400
from wtal.inference.localizer import Localizer
from wtal.inference.operating_point import (
    F1,
    LABELS,
    SEGMENTS,
    TIOU,
    Calibration,
    CalibrationScores,
    parse_target,
    sorted_scores,
)
from wtal.inference.postprocessing import (
    RELATIVE_SCORE_THRESHOLD,
    SegmentConstraints,
    co_occurring_classes,
    remove_overlaps,
    sort_by_time,
    top_non_overlapping,
)
from wtal.models.checkpoint import weights_fingerprint

CALIBRATION_NAME = "operating.json"
ALL = "all"  # show every proposal

SegmentFilter = Callable[[Sequence[Segment]], list[Segment]]  # the proposals of a video -> the segments to show


def calibrate_run(
    run: Path, data: Path, subset: str | None = None, constraints: SegmentConstraints | None = None
) -> Calibration:
    """Localize a subset, collect the scores of each class and write operating.json into the run folder.

    Args:
        run: A run or model folder.
        data: A data set folder.
        subset: By default validation, else the held-out training videos, else all training videos.
        constraints: What a timeline may contain.

    Raises:
        CheckpointError: The data set does not match the model.
        DataError: No video has a label.
    """
    dataset = load_dataset(data)
    localizer = Localizer(run)
    name, videos = _choose_videos(dataset, subset, localizer.meta.held_out)
    proposals = localize_many(localizer, dataset, videos)
    calibration = calibrate(
        proposals, videos, localizer.classes, weights_fingerprint(run), name, constraints or SegmentConstraints()
    )
    write_json(run / CALIBRATION_NAME, calibration.to_json(), indent=None)
    return calibration


def calibrate_trained(run: Path, data: Path) -> Calibration | None:
    """Calibrate a model that was just trained, unless it is calibrated. Returns None if no video has a label.

    Args:
        run: The run folder.
        data: The data set that it was trained on.

    Raises:
        DataError: The features of the videos to calibrate on cannot be used.
    """
    with suppress(CheckpointError, DataError):  # damaged, or of weights that were replaced
        if calibration := read_calibration(run):
            return calibration
    try:
        return calibrate_run(run, data)
    except DataError as error:
        if error.code == "no-labels":
            return None
        raise


def calibrate(
    proposals: Proposals,
    videos: Sequence[Video],
    classes: Sequence[str],
    model: str,
    subset: str,
    constraints: SegmentConstraints,
) -> Calibration:
    """Collect the scores of each class, compared with segments if there are any, else with labels.

    Only videos with a segment for each of their labels count as annotated with segments, and of the training videos
    only those with a complete timeline. Classes whose annotated segments overlap may overlap in a timeline too.

    Args:
        proposals: The proposals of each video.
        videos: The videos.
        classes: The names of the classes.
        model: The fingerprint of the weights.
        subset: The name of the subset.
        constraints: What a timeline may contain.

    Raises:
        DataError: No video has a label (code `no-labels`).
    """
    annotated = [video for video in videos if _has_whole_timeline(video)]
    if any(video.segments for video in annotated):
        constraints = replace(constraints, co_occurring=co_occurring_classes(annotated))
        source, videos, collect = SEGMENTS, annotated, _compare_with_segments
    elif any(video.labels for video in videos):
        source, collect = LABELS, _compare_with_labels
    else:
        raise DataError(f"no video of {subset} has a label", hint="use another --subset", code="no-labels")
    timelines = [remove_overlaps(proposals.get(video.id, ()), constraints) for video in videos]
    scores = collect(timelines, videos, classes)
    return Calibration(model, source, subset, len(videos), constraints, scores)


def _has_whole_timeline(video: Video) -> bool:
    """Whether the segments of a video are all that happens in it."""
    if video.subset == "training" and not (video.complete and not any(segment.is_point for segment in video.segments)):
        return False
    return set(video.labels) == {segment.label for segment in video.segments}


def read_calibration(run: Path) -> Calibration | None:
    """Read what `calibrate_run` wrote; None if it was never run.

    Raises:
        CheckpointError: It belongs to other weights (code `different-run`).
        DataError: The file is damaged.
    """
    path = run / CALIBRATION_NAME
    if not path.is_file():
        return None
    again = f"run `wtal calibrate {run} DATA` again"
    try:
        content = read_json(path)
    except DataError as error:
        raise DataError(error.message, path=path, location=error.location, hint=again, code=error.code) from error
    calibration = Calibration.from_json(content, path)
    if calibration.model != weights_fingerprint(run):
        raise CheckpointError(
            "belongs to another checkpoint",
            path=path,
            hint=again,
            code="different-run",
        )
    return calibration


def load_segment_filter(run: Path, target: str) -> tuple[SegmentFilter, str]:
    """Load the function that selects the segments to show, and a line that describes it.

    Args:
        run: A run or model folder. Without calibration, `f1` shows the proposals close to the highest score.
        target: `f1`, `precision=0.9` or `all`.

    Raises:
        ConfigError: The target is unknown (code `unknown-name`) or needs a calibration (code `not-calibrated`).
    """
    if target == ALL:
        return sort_by_time, "operating point all: every proposal"
    min_precision = parse_target(target)
    calibration = read_calibration(run)
    if calibration is not None:
        point = calibration.operating_point(target)
        return point.apply, point.describe()
    if min_precision is not None:
        raise ConfigError(
            "the model is not calibrated", path=run, hint=f"run `wtal calibrate {run} DATA`", code="not-calibrated"
        )
    description = (
        f"operating point {F1}: not calibrated, so segments with at least {RELATIVE_SCORE_THRESHOLD:g} of the highest "
        "score are shown"
    )
    if not is_kinetics400(run):  # its classes are those of no data set of the user
        description += f"; to choose thresholds, run `wtal calibrate {run} DATA`"
    return lambda proposals: sort_by_time(top_non_overlapping(proposals)), description


def _choose_videos(dataset: Dataset, subset: str | None, held_out: Sequence[str]) -> tuple[str, Sequence[Video]]:
    name = subset or ("validation" if "validation" in dataset.subsets else "training")
    videos = dataset.subset(name)
    unseen = [video for video in videos if video.id in held_out]
    return ("held-out training", unseen) if unseen else (videos[0].subset, videos)


def _compare_with_segments(
    timelines: Sequence[Sequence[Segment]], videos: Sequence[Video], classes: Sequence[str]
) -> dict[str, CalibrationScores]:
    """A proposal is correct if it matches a segment of its class; higher-scoring proposals choose first."""
    scores = {}
    for label in classes:
        rows = [(index, p) for index, timeline in enumerate(timelines) for p in timeline if p.label == label]
        rows.sort(key=lambda row: -row[1].confidence)
        proposals = _to_intervals(rows)
        segments = _to_intervals([(i, s) for i, video in enumerate(videos) for s in video.segments if s.label == label])
        correct = [False] * len(proposals)
        if len(segments):
            correct = find_hits(proposals, segments, find_protocol("activitynet"), (TIOU,))[0].tolist()
        scores[label] = CalibrationScores(tuple(proposals.score.tolist()), tuple(correct), len(segments))
    return scores


def _compare_with_labels(
    timelines: Sequence[Sequence[Segment]], videos: Sequence[Video], classes: Sequence[str]
) -> dict[str, CalibrationScores]:
    """The highest-scoring proposal of a class in a video is correct if the video has the label.

    This evaluates which classes are shown, not when or how often.
    """
    scores = {}
    for label in classes:
        has_label = [label in video.labels for video in videos]
        of_videos = [[p.confidence for p in timeline if p.label == label] for timeline in timelines]
        rows = [(max(values), correct) for values, correct in zip(of_videos, has_label, strict=True) if values]
        scores[label] = sorted_scores(rows, sum(has_label))
    return scores


def _to_intervals(rows: Sequence[tuple[int, Segment]]) -> Intervals:
    """Segments of one class, each with the index of its video."""
    return Intervals(
        np.array([index for index, _ in rows], np.int64),
        np.zeros(len(rows), np.int64),
        np.array([segment.start for _, segment in rows], np.float64),
        np.array([segment.end for _, segment in rows], np.float64),
        np.array([segment.confidence for _, segment in rows], np.float64),
    )
