"""Collect the data of a report: scores of all seeds, curves, memory, and each video's timeline."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote

from wtal.core.errors import CheckpointError, DataError
from wtal.core.io import read_json, realpath
from wtal.core.methods import DEFAULT_METHOD, METHODS, method_title
from wtal.core.structures import Proposals, Video
from wtal.core.text import format_list
from wtal.data.dataset import Dataset, load_dataset
from wtal.data.ground_truth import find_ambiguous
from wtal.data.layouts.activitynet import read_proposals
from wtal.data.snippet_labels import describe_labels
from wtal.data.video_files import LISTING_NAME, PROJECT_NAME, VideoFolder, read_listing
from wtal.evaluation.agreement import Agreement, agreement_by_video, measure_agreement
from wtal.evaluation.error_analysis import Analysis, analyse
from wtal.evaluation.evaluate import EvaluationWithMatches, evaluate, evaluate_with_matches
from wtal.evaluation.protocols import DEFAULT_PROTOCOL, EvaluationOptions
from wtal.evaluation.results import EvaluationResult, read_result
from wtal.evaluation.time_budget import TimeBudget, time_budget
from wtal.experiments.benchmarks.definitions import BENCHMARKS
from wtal.experiments.external import ExternalScore, ExternalSystem, compare_external, read_external
from wtal.inference.batch import localize_many
from wtal.inference.calibration import load_segment_filter
from wtal.inference.localizer import Localizer
from wtal.inference.operating_point import F1, TIOU
from wtal.inference.proposals import SnippetScores
from wtal.models import checkpoint
from wtal.models.teacher import TEACHER_DIR, load_memory, read_info
from wtal.reporting.curves import Curve, read_metrics
from wtal.reporting.figures.layout import TimelineData
from wtal.reporting.html.memory import MemorySummary, summarize_memory

# A benchmark's first protocol is its main one; results under a main protocol are preferred.
PROTOCOL_RANKS = {
    protocol: rank for benchmark in BENCHMARKS.values() for rank, protocol in enumerate(benchmark.protocols)
}
RUN_PATTERNS = ("seed-*", "*/seed-*", "*/*/seed-*")  # in the folder of a method, a data set, a comparison


@dataclass(frozen=True)
class ReportScores:
    """Scores on videos with annotated segments.

    Args:
        evaluation: All proposals of the main run.
        predictions: Its predictions alone, at tIoU 0.5.
        analysis: The error analysis of its proposals.
        results: For each method its results, one per seed; the main run's is the first of the first method.
        seeds: Names of the first method's run folders.
        external: Other systems, each compared with the first method.
    """

    evaluation: EvaluationWithMatches
    predictions: EvaluationWithMatches
    analysis: Analysis
    results: Mapping[str, Sequence[EvaluationResult]]
    seeds: tuple[str, ...] = ()
    external: tuple[ExternalScore, ...] = ()


@dataclass(frozen=True)
class BudgetSummary:
    """Time budgets, and how well predictions and annotations agree.

    Attributes:
        budgets: The time budget of the `annotated` segments, if there are any, and that of the `predicted` ones. Both
            are of the same videos.
        agreement: The agreement of the predictions with the annotations, None without annotations.
        by_video: The agreement on each video.
    """

    budgets: Mapping[str, TimeBudget]
    agreement: Agreement | None = None
    by_video: Mapping[str, Agreement] = field(default_factory=dict)


@dataclass(frozen=True)
class ReportData:
    """The content of a report; sections without data are left out.

    Args:
        title: Heading of the page.
        facts: Names and values that describe the run.
        classes: The classes in the order of the CAS columns.
        timelines: One per video.
        scores: None if no video has annotated segments.
        budget: Time budgets of the predictions and the annotations.
        threshold_note: How the predictions were selected from the proposals.
        metrics: Training metrics by name.
        memory: None for a method without memory.
        video_urls: URL of each video's file by id, relative to the page.
        colors: Colors by class as #RRGGBB, for the classes that do not have the default.
    """

    title: str
    facts: tuple[tuple[str, str], ...]
    classes: tuple[str, ...]
    timelines: Iterable[TimelineData]
    scores: ReportScores | None = None
    budget: BudgetSummary | None = None
    threshold_note: str = ""
    metrics: Mapping[str, Curve] = field(default_factory=dict)
    memory: MemorySummary | None = None
    video_urls: Mapping[str, str] = field(default_factory=dict)
    colors: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Runs:
    """The run folders of each method on one data set, one per seed.

    Args:
        methods: Run folders by method.
        data: The data set that they were trained on, if it is recorded.
    """

    methods: Mapping[str, Sequence[Path]]
    data: Path | None

    @property
    def main(self) -> Path:
        """The run whose timelines, curves and memory are shown: the first seed of the first method."""
        return next(iter(self.methods.values()))[0]


def collect_report_data(
    path: Path,
    out: Path,
    data: Path | None = None,
    videos: Path | None = None,
    protocol: str | None = None,
    subset: str | None = None,
    external: Mapping[str, str | Path] | None = None,
) -> ReportData:
    """Collect the report of a run, or of all runs of a comparison or a benchmark.

    Args:
        path: A run folder, or a folder with runs on one data set.
        out: The page to be written; video URLs are relative to it.
        data: The data set folder; by default the one recorded in the comparison.
        videos: Folder of the video files.
        protocol: By default that of the runs' results, else the default.
        subset: By default that of the runs' results, else testing.
        external: Proposals files of other systems by name, scored like the runs.

    Raises:
        CheckpointError: No run, or it does not match the data set.
        ConfigError: The protocol, or the name of another system, is invalid.
        DataError: The data set or an external file is unknown or invalid.
    """
    runs = find_runs(path)
    dataset = load_dataset(_data_path(path, runs, data))
    localizer = Localizer(runs.main)
    localizer.require_compatible(dataset)
    meta = localizer.meta
    previous = _previous_result(runs.main, meta.config.method)
    shown = dataset.subset(subset or _default_subset(dataset, previous))
    protocol_name = protocol or (previous.protocol if previous else DEFAULT_PROTOCOL)
    tious = previous.tious if previous and previous.protocol == protocol_name else None
    subset_name = shown[0].subset
    options = EvaluationOptions(protocol_name, tious, subset_name, find_ambiguous(dataset.path), "last")
    ground_truth = [dataset.with_duration(video) if video.subset == subset_name else video for video in dataset.videos]
    systems = read_external(external or {}, runs.methods, ground_truth, options)
    select, threshold_note = load_segment_filter(runs.main, F1)
    proposals = load_proposals(localizer, dataset, shown)
    predictions = {id: select(segments) for id, segments in proposals.items()}
    has_segments = any(video.segments for video in shown)
    data_name = realpath(dataset.path).name
    return ReportData(
        title=f"{meta.config.method} on {data_name}",
        facts=(
            ("method", meta.config.method),
            ("labels", describe_labels(meta.label_counts)),
            ("data set", f"{data_name}, {subset_name or 'videos without a subset'}"),
            ("run", f"{realpath(runs.main).parent.name}/{runs.main.name}, step {meta.step:,}"),
            ("features", str(meta.provenance or f"{sum(meta.modalities):,} dimensions")),
            ("snippet stride", f"{meta.clock.stride:g} s"),
        ),
        classes=meta.classes,
        timelines=_timelines(localizer.score_videos(dataset, shown), dataset, proposals, predictions),
        scores=_score_runs(runs, dataset, shown, proposals, predictions, ground_truth, options, systems)
        if has_segments
        else None,
        budget=summarize_budget(list(map(dataset.with_duration, shown)), predictions),
        threshold_note=threshold_note.replace(str(runs.main), "RUN"),
        metrics=read_metrics(runs.main),
        memory=_summarize_memory(runs.main, dataset),
        video_urls=find_video_urls(dataset, videos, shown, out) if videos else {},
    )


def find_runs(path: Path) -> Runs:
    """The run in a folder, or all runs below it.

    Raises:
        CheckpointError: There is no run.
        DataError: The runs are on several data sets.
    """
    if checkpoint.latest_checkpoint(path) is not None:
        return Runs({checkpoint.read_meta(path).config.method: [path]}, _recorded_data(path))
    runs = next(filter(None, (_runs_by_seed(path, pattern) for pattern in RUN_PATTERNS)), [])
    if not runs:
        raise CheckpointError(
            "not a run folder, and it contains no runs",
            path=path,
            hint="pass the folder given as --out to `wtal train` or `wtal compare`",
            code="no-runs",
        )
    datasets = sorted({run.parent.parent for run in runs})
    if len(datasets) > 1:
        raise DataError(
            f"contains runs on {len(datasets)} data sets",
            path=path,
            hint=f"name one of {format_list([str(data) for data in datasets], 3)}",
            code="ambiguous-path",
        )
    order = (DEFAULT_METHOD, *METHODS)
    names = sorted({run.parent.name for run in runs}, key=lambda name: order.index(name) if name in order else 99)
    return Runs({name: [run for run in runs if run.parent.name == name] for name in names}, _recorded_data(runs[0]))


def score(
    methods: Mapping[str, Sequence[Proposals]],
    predictions: Proposals,
    ground_truth: Sequence[Video],
    options: EvaluationOptions,
    external: Sequence[ExternalSystem] = (),
) -> ReportScores:
    """Evaluate each method's proposals, analyse the first, and compare it with other systems.

    Args:
        methods: For each method its proposals, one entry per seed.
        predictions: The predictions of the first method's first seed.
        ground_truth: Videos with annotated segments.
        options: Protocol, thresholds and subset.
        external: Other systems, scored with the same ground truth and options.
    """
    (first, proposals), *others = methods.items()
    evaluations = [evaluate_with_matches(seed, ground_truth, options) for seed in proposals]
    results = {first: [evaluation.result for evaluation in evaluations]}
    results |= {method: [evaluate(seed, ground_truth, options) for seed in seeds] for method, seeds in others}
    return ReportScores(
        evaluations[0],
        evaluate_with_matches(predictions, ground_truth, replace(options, tious=(TIOU,))),
        analyse(proposals[0], ground_truth, options, TIOU),
        results,
        external=compare_external(external, first, evaluations) if external else (),
    )


def summarize_budget(videos: Sequence[Video], predictions: Proposals) -> BudgetSummary:
    """The time budgets of these videos: of those with annotated segments, or of all if there are none.

    Args:
        videos: The videos with their durations. A video without tags and segments counts as annotated: nothing happens.
        predictions: The predicted segments of each video.
    """
    durations = {video.id: video.duration for video in videos}
    predicted = {video.id: predictions[video.id] for video in videos}
    if not any(video.segments for video in videos):
        return BudgetSummary({"predicted": time_budget(predicted, durations)})
    annotated = {video.id: video.segments for video in videos if video.segments or not video.labels}
    predicted = {id: predicted[id] for id in annotated}
    return BudgetSummary(
        {"annotated": time_budget(annotated, durations), "predicted": time_budget(predicted, durations)},
        measure_agreement(predicted, annotated, durations),
        agreement_by_video(predicted, annotated, durations),
    )


def load_proposals(localizer: Localizer, dataset: Dataset, videos: Sequence[Video]) -> Proposals:
    """The proposals for these videos that are stored in the run folder of the model, else newly computed ones."""
    assert localizer.path is not None
    run, method = localizer.path, localizer.meta.config.method
    ids = {video.id for video in videos}
    for path in (run / f"proposals-{method}-{videos[0].subset}.json", run / "proposals.json"):
        stored = read_proposals(path) if path.is_file() else {}
        if ids <= stored.keys():
            return {id: proposals for id, proposals in stored.items() if id in ids}
    return localize_many(localizer, dataset, videos)


def find_video_urls(dataset: Dataset, folder: Path, videos: Sequence[Video], out: Path) -> dict[str, str]:
    """The URL of each video's file, relative to the page at `out`.

    Files are looked up in the data set's videos.json, or by their names. Raises DataError if no video has a file.
    """
    if (dataset.path / LISTING_NAME).is_file():
        files = {id: folder / file for id, file in read_listing(dataset.path, folder).files.items()}
    else:
        files = {Path(file).stem: folder / file for file in VideoFolder(folder).videos}
    existing = {video.id: files[video.id] for video in videos if video.id in files and files[video.id].is_file()}
    if not existing:
        raise DataError(
            f"contains no video of {dataset.path}", path=folder, hint="pass the folder of its videos", code="no-videos"
        )
    return {id: _relative_url(realpath(path), realpath(out).parent) for id, path in existing.items()}


def _title(method: str, run: Path) -> str:
    return method_title(method, checkpoint.read_meta(run).config.train.supervision)


def _score_runs(
    runs: Runs,
    dataset: Dataset,
    videos: Sequence[Video],
    proposals: Proposals,
    predictions: Proposals,
    ground_truth: Sequence[Video],
    options: EvaluationOptions,
    external: Sequence[ExternalSystem],
) -> ReportScores:
    methods = {
        _title(method, seeds[0]): [
            proposals if run == runs.main else load_proposals(Localizer(run), dataset, videos) for run in seeds
        ]
        for method, seeds in runs.methods.items()
    }
    scores = score(methods, predictions, ground_truth, options, external)
    return replace(scores, seeds=tuple(run.name for run in next(iter(runs.methods.values()))))


def _timelines(
    scores: Iterable[tuple[Video, SnippetScores]], dataset: Dataset, proposals: Proposals, predictions: Proposals
) -> Iterator[TimelineData]:
    for video, curves in scores:
        times = dataset.clock_of(video.id).seconds(range(len(curves.attention) + 1))
        duration = video.duration or float(times[-1])
        lanes = video.segments, predictions[video.id], proposals[video.id]
        yield TimelineData(video.id, duration, *lanes, times, curves.attention, curves.cas[:, :-1])


def _summarize_memory(run: Path, dataset: Dataset) -> MemorySummary | None:
    """The summary of the memory; None without one, or if it was written from other data."""
    if not (run / TEACHER_DIR).is_dir():
        return None
    videos = read_info(run / TEACHER_DIR)["videos"]
    if not {video.id for video in dataset.videos}.issuperset(videos):
        return None
    return summarize_memory(load_memory(run), checkpoint.read_meta(run).classes, videos, dataset.clock_of)


def _relative_url(path: Path, folder: Path) -> str:
    try:
        return quote(Path(os.path.relpath(path, folder)).as_posix())
    except ValueError:  # another drive on Windows
        return path.as_uri()


def _runs_by_seed(path: Path, pattern: str) -> list[Path]:
    """The run folders with a checkpoint, by parent folder and number of the seed."""
    runs = [
        run for run in path.glob(pattern) if run.name[5:].isdecimal() and checkpoint.latest_checkpoint(run) is not None
    ]
    return sorted(runs, key=lambda run: (str(run.parent), int(run.name[5:])))


def _recorded_data(run: Path) -> Path | None:
    """The data set that `wtal compare` recorded beside the methods, or that of a project of `wtal start`."""
    run = realpath(run)
    folder = run.parent.parent
    if (folder / PROJECT_NAME).is_file():
        return folder / "data" / run.name.rpartition("-")[0]
    path = folder / "data.json"
    record = read_json(path) if path.is_file() else None
    return Path(record["path"]) if isinstance(record, dict) and isinstance(record.get("path"), str) else None


def _data_path(path: Path, runs: Runs, data: Path | None) -> Path:
    data = data or runs.data
    if data is None:
        raise DataError(
            "the data set of this run is not recorded", path=path, hint="pass it with --data", code="missing-option"
        )
    if not data.is_dir():
        raise DataError("no such data set folder", path=data, hint="pass it with --data", code="file-not-found")
    return data


def _previous_result(run: Path, method: str) -> EvaluationResult | None:
    """A result stored in a run: preferably of the testing subset and under a benchmark's main protocol."""
    testing, others = (sorted(run.glob(f"results-{method}-{subset}*.json")) for subset in ("testing", ""))
    results = [read_result(path) for path in testing or others]
    return min(results, key=lambda result: PROTOCOL_RANKS.get(result.protocol, len(PROTOCOL_RANKS)), default=None)


def _default_subset(dataset: Dataset, previous: EvaluationResult | None) -> str:
    if previous and previous.subset in dataset.subsets:
        return previous.subset
    return "testing" if "testing" in dataset.subsets else dataset.subsets[-1]
