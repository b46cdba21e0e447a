"""What is there against what a benchmark promises: counts, lengths, widths, missing and surplus videos."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from wtal.core.errors import DataError
from wtal.core.structures import Video
from wtal.data.dataset import SYNTHETIC_KEY, Dataset, load_dataset
from wtal.data.features import open_features
from wtal.data.ground_truth import read_ground_truth
from wtal.experiments.benchmarks.definitions import Benchmark
from wtal.experiments.benchmarks.prepare import Prepared

APART = 0.05  # share of a video's length by which its features may be longer or shorter
APART_SNIPPETS = 2  # and at least so many snippets
NAMED = 3  # examples in a note


@dataclass(frozen=True)
class Part:
    """One subset as it is here."""

    subset: str
    videos: int  # listed
    promised: int | None
    features: int  # videos that have some
    snippets: int
    instances: int


@dataclass(frozen=True)
class Survey:
    """What a benchmark's data are, and what to know before trusting a number made with them."""

    layout: str
    parts: tuple[Part, ...]
    classes: tuple[str, ...]
    widths: tuple[int, ...]
    snippet_seconds: float
    scored: str  # the subset that proposals are scored on
    notes: tuple[str, ...]
    made_up: bool  # a rehearsal: real annotations, made-up features


def survey(benchmark: Benchmark, prepared: Prepared) -> Survey:
    """Look at every header, no feature is read. Raises DataError where nothing can be trained on or scored."""
    folder = load_dataset(prepared.data)
    truth = read_ground_truth(prepared.truth)
    lengths = _lengths(folder)
    scored = _scored(benchmark, truth)
    parts = tuple(_part(name, scored, benchmark, folder, truth, lengths) for name in _subsets(folder, truth))
    usable = {part.subset for part in parts if part.features}
    if lacking := {"training", scored} - usable:
        raise DataError(f"{folder.path}: no {min(lacking)} video has features; name all of {benchmark.title}")
    notes = [
        *([f"the list of ambiguous intervals is {prepared.ambiguous}"] if prepared.ambiguous else []),
        *_count_notes(benchmark, folder, parts, scored),
        *_feature_notes(benchmark, folder, truth, lengths),
        *_odd_videos(benchmark, truth),
        *prepared.remarks,
    ]
    seconds, made_up = folder.clock.stride, folder.about.get("feature") == SYNTHETIC_KEY["feature"]
    return Survey(prepared.layout, parts, folder.classes, folder.modalities, seconds, scored, tuple(notes), made_up)


def _lengths(folder: Dataset) -> dict[str, int]:
    """T of every video that has features."""
    there = (video.id for video in folder.videos if folder.features_path(video.id).is_file())
    return {id: len(open_features(folder.features_path(id), folder.width)) for id in there}


def _subsets(folder: Dataset, truth: Iterable[Video]) -> list[str]:
    return list(dict.fromkeys([*folder.subsets, *sorted({video.subset for video in truth if video.segments})]))


def _part(
    name: str,
    scored: str,
    benchmark: Benchmark,
    folder: Dataset,
    truth: Sequence[Video],
    lengths: dict[str, int],
) -> Part:
    listed = {video.id for video in [*folder.videos, *truth] if video.subset == name}
    here = [id for id in listed if id in lengths]
    instances = sum(len(video.segments) for video in truth if video.id in listed)
    promised = benchmark.videos.get(benchmark.scored if name == scored else name)
    return Part(name, len(listed), promised, len(here), sum(lengths[id] for id in here), instances)


def _scored(benchmark: Benchmark, truth: Iterable[Video]) -> str:
    """The benchmark's own subset, or what a layout calls it; it must have actions."""
    marked = {video.subset for video in truth if video.segments}
    for name in (benchmark.scored, "testing", "validation"):
        if name in marked:
            return name
    raise DataError(f"{benchmark.title}: there is no video that says when something happens; name all of it")


def _count_notes(benchmark: Benchmark, folder: Dataset, parts: Sequence[Part], scored: str) -> Iterable[str]:
    for part in parts:
        if part.promised not in (None, part.videos):
            yield f"{part.videos:,} videos in {part.subset}, {benchmark.title} has {part.promised:,}"
        if part.subset == scored and benchmark.instances not in (None, part.instances):
            yield f"{part.instances:,} instances in {scored}, {benchmark.title} has {benchmark.instances:,}"
    if len(folder.classes) != benchmark.classes:
        yield f"{len(folder.classes)} classes, {benchmark.title} has {benchmark.classes}"


def _feature_notes(
    benchmark: Benchmark, folder: Dataset, truth: Sequence[Video], lengths: dict[str, int]
) -> Iterable[str]:
    known = {video.id: video for video in [*truth, *folder.videos]}
    missing = [id for id in known if id not in lengths]
    surplus = sorted({path.stem for path in (folder.path / "features").glob("*.npy")} - known.keys())
    if missing:
        yield f"{len(missing):,} videos have no features: {_some(missing)}; not trained on, and found in nothing"
    if surplus:
        yield f"{len(surplus):,} feature files belong to no annotated video and are not used: {_some(surplus)}"
    if folder.modalities != benchmark.widths:
        told, usual = (" + ".join(map(str, widths)) for widths in (folder.modalities, benchmark.widths))
        yield f"features are {told} wide, the public ones {usual}"
    odd = [id for id, length in lengths.items() if _is_apart(folder, known[id], length)]
    if odd:
        yield f"{len(odd):,} videos have features longer or shorter than their duration says: {_some(odd)}"
    late = [id for id, length in lengths.items() if _has_late(folder, known[id], length)]
    if late:
        yield f"{len(late):,} videos have actions that start after their features end: {_some(late)}"
    if other := [v.id for v in truth if v.segments and {a.label for a in v.segments} != set(v.labels)]:
        yield f"{len(other):,} videos carry other labels than their actions have: {_some(other)}"


def _is_apart(folder: Dataset, video: Video, length: int) -> bool:
    if not video.duration:
        return False
    expected = float(folder.clock_of(video.id).snippets(video.duration))
    return abs(length - expected) > max(APART_SNIPPETS, APART * expected)


def _has_late(folder: Dataset, video: Video, length: int) -> bool:
    end = float(folder.clock_of(video.id).seconds(length))
    return any(action.start >= end for action in video.segments)


def _odd_videos(benchmark: Benchmark, truth: Iterable[Video]) -> Iterable[str]:
    there = {video.id for video in truth}
    return (f"{id}: {why}" for id, why in benchmark.known.items() if id in there)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + f" and {len(names) - NAMED:,} more" * (len(names) > NAMED)
