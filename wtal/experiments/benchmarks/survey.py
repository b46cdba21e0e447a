"""Compares the data of a benchmark with its published counts: videos, lengths, widths, missing and surplus features."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from wtal.core.errors import DataError
from wtal.core.structures import Video
from wtal.core.text import format_count, format_list
from wtal.data.dataset import SYNTHETIC_KEY, Dataset, load_dataset
from wtal.data.features import open_features
from wtal.data.ground_truth import read_ground_truth
from wtal.experiments.benchmarks.definitions import Benchmark
from wtal.experiments.benchmarks.prepare import PreparedData

MAX_RELATIVE_DEVIATION = 0.05  # of the length of features from the duration of the video
MAX_DEVIATION = 2  # snippets; a deviation is reported if it exceeds both
MAX_LISTED_NAMES = 3  # in a note


@dataclass(frozen=True)
class SubsetCounts:
    """One subset."""

    subset: str
    videos: int
    expected: int | None  # number of videos of the benchmark; None if not known
    features: int  # videos with features
    snippets: int
    instances: int


@dataclass(frozen=True)
class Survey:
    """Counts of a benchmark's data, and notes on what differs from the published data set."""

    layout: str
    parts: tuple[SubsetCounts, ...]
    classes: tuple[str, ...]
    widths: tuple[int, ...]
    snippet_seconds: float
    scored: str  # the subset that is scored
    notes: tuple[str, ...]
    is_synthetic: bool  # the features


def survey(benchmark: Benchmark, prepared: PreparedData) -> Survey:
    """Inspect the data of a benchmark; of feature files only the headers are read.

    Raises:
        DataError: There is nothing to train on or to score.
    """
    dataset, ground_truth = load_dataset(prepared.data), read_ground_truth(prepared.ground_truth)
    lengths = {
        video.id: len(open_features(dataset.features_path(video.id), dataset.width))
        for video in dataset.videos
        if dataset.features_path(video.id).is_file()
    }
    scored = _scored_subset(benchmark, ground_truth)
    annotated = sorted({video.subset for video in ground_truth if video.segments})
    subsets = dict.fromkeys([*dataset.subsets, *annotated])
    parts = tuple(_count(name, scored, benchmark, [*dataset.videos, *ground_truth], lengths) for name in subsets)
    for name in sorted({"training", scored}):
        if not any(part.features for part in parts if part.subset == name):
            raise DataError(
                f"no {name} video has features",
                path=dataset.path,
                hint=f"pass a folder with all features of {benchmark.title}",
                code="missing-features",
            )
    notes = [
        *([f"ambiguous intervals: {prepared.ambiguous}"] if prepared.ambiguous else []),
        *_count_notes(benchmark, dataset, parts, scored),
        *_feature_notes(benchmark, dataset, ground_truth, lengths),
        *_label_notes(benchmark, ground_truth),
        *prepared.remarks,
    ]
    return Survey(
        prepared.layout,
        parts,
        dataset.classes,
        dataset.modalities,
        dataset.clock.stride,
        scored,
        tuple(notes),
        is_synthetic=dataset.about.get("feature") == SYNTHETIC_KEY["feature"],
    )


def _scored_subset(benchmark: Benchmark, ground_truth: Iterable[Video]) -> str:
    """The benchmark's subset, or the name that a layout uses for it; it has segments."""
    annotated = {video.subset for video in ground_truth if video.segments}
    for name in (benchmark.scored, "testing", "validation"):
        if name in annotated:
            return name
    raise DataError(
        f"the annotations of {benchmark.title} contain no segments to score against",
        hint="use complete annotations",
        code="no-segments",
    )


def _count(
    subset: str, scored: str, benchmark: Benchmark, videos: Sequence[Video], lengths: Mapping[str, int]
) -> SubsetCounts:
    by_id = {video.id: video for video in videos if video.subset == subset}  # ground truth last: it has the segments
    with_features = by_id.keys() & lengths.keys()
    return SubsetCounts(
        subset,
        len(by_id),
        benchmark.videos.get(benchmark.scored if subset == scored else subset),
        len(with_features),
        sum(lengths[id] for id in with_features),
        sum(len(video.segments) for video in by_id.values()),
    )


def _count_notes(benchmark: Benchmark, dataset: Dataset, parts: Sequence[SubsetCounts], scored: str) -> Iterable[str]:
    for part in parts:
        if part.expected not in (None, part.videos):
            yield f"{format_count(part.videos, 'video')} in {part.subset}; {benchmark.title} has {part.expected:,}"
        if part.subset == scored and benchmark.instances not in (None, part.instances):
            instances = format_count(part.instances, "instance")
            yield f"{instances} in {scored}; {benchmark.title} has {benchmark.instances:,}"
    if len(dataset.classes) != benchmark.classes:
        yield f"{format_count(len(dataset.classes), 'class', 'classes')}; {benchmark.title} has {benchmark.classes}"


def _feature_notes(
    benchmark: Benchmark, dataset: Dataset, ground_truth: Sequence[Video], lengths: Mapping[str, int]
) -> Iterable[str]:
    videos = {video.id: video for video in [*ground_truth, *dataset.videos]}
    missing = [id for id in videos if id not in lengths]
    surplus = sorted({path.stem for path in (dataset.path / "features").glob("*.npy")} - videos.keys())
    if missing:
        yield f"{_videos(missing)} without features: {_names(missing)}; not used for training, without proposals"
    if surplus:
        yield f"{format_count(len(surplus), 'feature file')} of no annotated video, ignored: {_names(surplus)}"
    if dataset.modalities != benchmark.widths:
        actual, expected = (" + ".join(map(str, widths)) for widths in (dataset.modalities, benchmark.widths))
        yield f"features have {actual} dimensions; the published ones have {expected}"
    if deviating := [id for id, length in lengths.items() if _deviates(dataset, videos[id], length)]:
        yield f"{_videos(deviating)} with features of another length than the video: {_names(deviating)}"
    if late := [id for id, length in lengths.items() if _has_late_segment(dataset, videos[id], length)]:
        yield f"{_videos(late)} with segments that start after the end of the features: {_names(late)}"


def _label_notes(benchmark: Benchmark, ground_truth: Sequence[Video]) -> Iterable[str]:
    different = [
        video.id
        for video in ground_truth
        if video.segments and {segment.label for segment in video.segments} != set(video.labels)
    ]
    if different:
        yield f"{_videos(different)} with other video-level labels than segment labels: {_names(different)}"
    ids = {video.id for video in ground_truth}
    yield from (f"{id}: {note}" for id, note in benchmark.video_notes.items() if id in ids)


def _deviates(dataset: Dataset, video: Video, length: int) -> bool:
    if not video.duration:
        return False
    expected = float(dataset.clock_of(video.id).snippets(video.duration))
    return abs(length - expected) > max(MAX_DEVIATION, MAX_RELATIVE_DEVIATION * expected)


def _has_late_segment(dataset: Dataset, video: Video, length: int) -> bool:
    end = float(dataset.clock_of(video.id).seconds(length))
    return any(segment.start >= end for segment in video.segments)


def _videos(ids: Sequence[str]) -> str:
    return format_count(len(ids), "video")


def _names(names: Sequence[str]) -> str:
    return format_list(names, MAX_LISTED_NAMES)
