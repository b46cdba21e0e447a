"""Validation of a data set folder: everything that is wrong with it, and a summary of what it contains."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from wtal.core.clock import SnippetClock
from wtal.core.errors import DataError
from wtal.core.structures import SUBSETS, Segment, Video
from wtal.core.text import format_count
from wtal.data.dataset import Dataset, parse_dataset, unusable_ids
from wtal.data.features import find_non_finite, format_runs, open_features, require_finite
from wtal.data.problems import Problem, raise_first

MAX_SNIPPET_MISMATCH = 2  # features may be so much longer or shorter than the duration

OnProgress = Callable[[int, int], object]  # called with the number of videos done and of all videos


@dataclass(frozen=True)
class SubsetSummary:
    """What one subset contains.

    Attributes:
        name: The subset.
        sequences: Number of videos.
        instances: Number of segments.
        hours: Total duration.
        snippets: Minimum, median and maximum T; None if no feature file can be opened.
        with_labels: with_labels[n] is the number of videos with n labels.
        sequences_of: Class name -> number of videos with that label.
    """

    name: str
    sequences: int
    instances: int
    hours: float
    snippets: tuple[int, float, int] | None
    with_labels: tuple[int, ...]
    sequences_of: Mapping[str, int]


@dataclass(frozen=True)
class ValidationReport:
    """The result of `validate_dataset`.

    Attributes:
        path: The folder.
        classes: The class names in order.
        clock: The times of the snippets.
        width: D; None if no feature file can be opened.
        modalities: The widths of the feature groups.
        subsets: What each subset contains.
        problems: All problems, the fatal ones first.
    """

    path: Path
    classes: tuple[str, ...]
    clock: SnippetClock
    width: int | None
    modalities: tuple[int, ...]
    subsets: tuple[SubsetSummary, ...]
    problems: tuple[Problem, ...]

    @property
    def fatal(self) -> bool:
        """Whether there is a problem that makes the data set unusable."""
        return any(problem.fatal for problem in self.problems)


def validate_dataset(path: Path, on_progress: OnProgress | None = None) -> ValidationReport:
    """Read every file of a data set folder and report all problems. Features are read in parts.

    Raises:
        DataError: There is no such folder.
    """
    dataset, problems = parse_dataset(path)
    is_extracted = not any(problem.code == "no-features" for problem in problems)
    shapes, feature_problems = _check_features(dataset, on_progress) if is_extracted else ({}, [])
    lengths = {id: length for id, (length, _) in shapes.items()}
    problems += feature_problems
    problems += _check_widths(dataset, {id: width for id, (_, width) in shapes.items()})
    problems += _check_lengths(dataset, lengths)
    problems += _check_unused_features(dataset)
    problems += _check_segments(dataset)
    problems += _check_classes(dataset)
    return ValidationReport(
        path,
        dataset.classes,
        dataset.clock,
        dataset.width,
        dataset.modalities,
        tuple(_summarize(dataset, name, lengths) for name in dataset.subsets),
        tuple(sorted(problems, key=lambda problem: not problem.fatal)),
    )


def require_valid_features(dataset: Dataset, videos: Iterable[Video]) -> None:
    """Read all features of the videos once. Raises DataError for the first problem, with the number of others."""
    problems: list[Problem] = []
    for video in videos:
        try:
            require_finite(dataset.features(video.id), dataset.features_path(video.id))
            dataset.clock_of(video.id)
        except DataError as error:
            problems.append(Problem.from_error(error))
    raise_first(problems)


def _check_features(
    dataset: Dataset, on_progress: OnProgress | None
) -> tuple[dict[str, tuple[int, int]], list[Problem]]:
    """Video id -> (T, D) of each file that can be opened, and the problems of the files."""
    shapes: dict[str, tuple[int, int]] = {}
    problems: list[Problem] = []
    videos = [video for video in dataset.videos if not unusable_ids([video], dataset.path)]
    for done, video in enumerate(videos, start=1):
        path = dataset.features_path(video.id)
        try:
            features = open_features(path)
        except DataError as error:
            problems.append(Problem.from_error(error))
            continue
        shapes[video.id] = (features.shape[0], features.shape[1])
        if features.shape[1] == dataset.width:
            try:
                dataset.clock_of(video.id)
            except DataError as error:
                problems.append(Problem.from_error(error))
        if runs := find_non_finite(features):
            message = f"{format_runs(runs)} NaN or infinite"
            problems.append(Problem(message, path, hint="extract it again", code="non-finite"))
        if on_progress:
            on_progress(done, len(videos))
    return shapes, problems


def _check_widths(dataset: Dataset, widths: Mapping[str, int]) -> list[Problem]:
    """The files whose width is not the most common one, and dataset.json if it gives another width."""
    if not widths:
        return []
    counts = Counter(widths.values())
    common = max(counts, key=lambda width: (counts[width], width == dataset.width))
    problems = [
        Problem(
            f"expected {common} numbers per snippet, as in {counts[common]} of {len(widths)} files, got {width}",
            dataset.features_path(id),
            hint="extract it as the others",
            code="invalid-shape",
        )
        for id, width in widths.items()
        if width != common
    ]
    if common != dataset.width:
        message = (
            f"the sum of `modalities` is {dataset.width}, but {counts[common]} of {len(widths)} feature files have "
        )
        hint = "correct `modalities`, or extract the features again"
        path = dataset.path / "dataset.json"
        problems.append(Problem(f"{message}{common} numbers per snippet", path, hint=hint, code="invalid-shape"))
    return problems


def _check_lengths(dataset: Dataset, lengths: Mapping[str, int]) -> list[Problem]:
    """Videos of one snippet, and features that do not fit the duration; a single problem if most do not."""
    problems = [
        Problem("has only 1 snippet", dataset.features_path(id), hint="remove the video", code="too-short", fatal=False)
        for id, length in lengths.items()
        if length == 1
    ]
    durations = {v.id: v.duration for v in dataset.videos if v.duration is not None and v.id in lengths}
    expected = {id: float(dataset.clock.snippets(duration)) for id, duration in durations.items()}
    mismatched = [id for id in expected if abs(lengths[id] - expected[id]) > MAX_SNIPPET_MISMATCH]
    if len(mismatched) > 2 and len(mismatched) * 2 > len(durations):
        stride = median((durations[id] - dataset.clock.offset) / lengths[id] for id in mismatched)
        message = f"{len(mismatched)} of {len(durations)} videos are longer or shorter than their features"
        hint = f"correct snippet_seconds from {dataset.clock.stride:g} to about {stride:.4g}"
        path = dataset.path / "dataset.json"
        return [*problems, Problem(message, path, hint=hint, code="duration-mismatch", fatal=False)]
    return problems + [
        Problem(
            f"{lengths[id]} snippets, expected {expected[id]:.1f} for a duration of {durations[id]:g} s",
            dataset.features_path(id),
            hint="correct the duration, or extract it again",
            code="duration-mismatch",
            fatal=False,
        )
        for id in mismatched
    ]


def _check_unused_features(dataset: Dataset) -> list[Problem]:
    ids = {video.id for video in dataset.videos}
    if not ids:  # a problem of the annotations, which is reported
        return []
    hint = "add the video to the annotations, or delete the file"
    return [
        Problem("features without a video are not used", path, hint=hint, code="unused-file", fatal=False)
        for path in sorted((dataset.path / "features").glob("*.npy"))
        if path.stem not in ids and not path.name.startswith(".")
    ]


def _check_segments(dataset: Dataset) -> list[Problem]:
    problems: list[Problem] = []
    if annotated := [video.id for video in dataset.videos if video.subset == "training" and video.segments]:
        message = f"{format_count(len(annotated), 'training video')} with segments or points ({annotated[0]}, ...)"
        hint = "nothing to fix: `wtal train` uses them only with --supervision points, segments or all"
        problems.append(Problem(message, dataset.path, hint=hint, code="training-segments", fatal=False))
    for video in dataset.videos:
        for segment in video.segments:
            problems += _check_segment(dataset, video, segment)
    return problems


def _check_segment(dataset: Dataset, video: Video, segment: Segment) -> Iterator[Problem]:
    """Times beyond the end of the video by less than a snippet are rounding."""
    name = f"{segment.label} from {segment.start:g} to {segment.end:g} s"
    code = "invalid-segment"
    if segment.start < 0:
        yield Problem(f"{name} starts before the video", dataset.path, video.id, "correct the start", code)
    if segment.is_point and video.subset != "training":
        message = f"{name} is empty, no prediction can match it"
        yield Problem(message, dataset.path, video.id, "correct the end", code, fatal=False)
    if video.duration is None and segment.start > (end := dataset.with_duration(video).duration or math.inf):
        message = f"{name} is after the last snippet, which ends at {end:g} s"
        yield Problem(message, dataset.path, video.id, "correct the times", code, fatal=False)
    if video.duration is not None and segment.end > video.duration + dataset.clock.stride:
        # Public ground truth has such segments (26 in THUMOS14) and is scored with them.
        is_published = dataset.about.get("beyond_duration") is True
        hint = 'correct it, or add "beyond_duration": true to dataset.json if it was published like this'
        yield Problem(
            f"{name} ends after the video, at {video.duration:g} s",
            dataset.path,
            video.id,
            "nothing to fix: it was published like this" if is_published else hint,
            code,
            fatal=not is_published,
        )


def _check_classes(dataset: Dataset) -> list[Problem]:
    """Classes without training videos, names that are almost equal, and unknown subsets."""
    problems: list[Problem] = []
    path = dataset.path
    training = [video for video in dataset.videos if video.subset == "training"]
    seen = {label for video in training for label in video.labels}
    if dataset.videos and not training:
        hint = "add videos with tags to it"
        problems.append(Problem("the training subset is empty", path, hint=hint, code="no-training", fatal=False))
    if training and not seen:
        problems.append(Problem("no training video has a label", path, hint="add labels", code="no-labels"))
    elif training:
        hint = "add a training video with it, or remove the class"
        problems += [
            Problem(f"class {name!r} has no training video", path, hint=hint, code="unused-class", fatal=False)
            for name in dataset.classes
            if name not in seen
        ]
    similar: dict[str, list[str]] = {}
    for name in dataset.classes:
        similar.setdefault("".join(name.split()).casefold(), []).append(name)
    for names in similar.values():
        if len(names) > 1:
            message = f"classes {', '.join(map(repr, names))} differ only in case or spaces"
            hint = "use one spelling if they are one class"
            problems.append(Problem(message, path, hint=hint, code="similar-names", fatal=False))
    for name in sorted(set(dataset.subsets) - set(SUBSETS.values()) - {""}):
        hint = "use training, validation or testing"
        problems.append(Problem(f"unknown subset {name!r}", path, hint=hint, code="unknown-name", fatal=False))
    return problems


def _summarize(dataset: Dataset, subset: str, lengths: Mapping[str, int]) -> SubsetSummary:
    videos = [video for video in dataset.videos if video.subset == subset]
    subset_lengths = [lengths[video.id] for video in videos if video.id in lengths]
    label_counts = Counter(len(video.labels) for video in videos)
    videos_per_class = Counter(label for video in videos for label in video.labels)
    seconds = sum(
        lengths.get(video.id, 0) * dataset.clock.stride if video.duration is None else video.duration
        for video in videos
    )
    return SubsetSummary(
        subset,
        len(videos),
        sum(len(video.segments) for video in videos),
        seconds / 3600,
        (min(subset_lengths), median(subset_lengths), max(subset_lengths)) if subset_lengths else None,
        tuple(label_counts[n] for n in range(max(label_counts) + 1)),
        {label: videos_per_class[label] for label in dataset.classes},
    )
