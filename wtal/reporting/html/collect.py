"""What there is to report of a run: its seeds and their scores, its curves, its memory, each video's timeline."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote

from wtal.core.config import METHODS
from wtal.core.errors import CheckpointError, DataError
from wtal.core.io import read_json, realpath
from wtal.core.structures import Proposals, Video
from wtal.data.dataset import Dataset, load_dataset
from wtal.data.ground_truth import find_ambiguous
from wtal.data.layouts.activitynet import read_proposals
from wtal.data.video_files import LISTING_NAME, VideoFolder, read_listing
from wtal.evaluation.error_analysis import Analysis, analyse
from wtal.evaluation.evaluate import EvaluationWithMatches, evaluate, evaluate_with_matches
from wtal.evaluation.protocols import EvaluationOptions
from wtal.evaluation.results import EvaluationResult
from wtal.experiments.benchmarks.definitions import BENCHMARKS
from wtal.inference.batch import localize_many
from wtal.inference.calibration import F1, TIOU, load_segment_filter
from wtal.inference.localizer import load_network, require_compatible, score_videos
from wtal.inference.proposals import SnippetScores
from wtal.models import checkpoint
from wtal.reporting.figures.layout import TimelineData
from wtal.reporting.html.charts import Curve, read_metrics
from wtal.reporting.html.memory import Memory, recall

RANKS = {name: rank for one in BENCHMARKS.values() for rank, name in enumerate(one.protocols)}  # 0 is a main one
PLACES = ("seed-*", "*/seed-*", "*/*/seed-*")  # of runs in a method's folder, a data set's, a comparison's


@dataclass(frozen=True)
class Scored:
    """What the proposals are worth, where it is known when something happens."""

    judged: EvaluationWithMatches  # the reported run
    shown: EvaluationWithMatches  # its results alone, at tIoU 0.5
    analysis: Analysis
    results: Mapping[
        str, Sequence[EvaluationResult]
    ]  # method -> a result for each seed; the reported run's is the first
    seeds: tuple[str, ...] = ()  # of the first method, by the names of their folders


@dataclass(frozen=True)
class ReportData:
    """All that the page shows. What is None or empty is not there, and the page says so."""

    title: str
    facts: tuple[tuple[str, str], ...]  # a word and what it is in this run
    classes: tuple[str, ...]
    panels: Iterable[TimelineData]  # a video each
    scored: Scored | None = None
    operating: str = ""  # how it was chosen what is a result
    metrics: Mapping[str, Curve] = field(default_factory=dict)
    memory: Memory | None = None
    files: Mapping[str, str] = field(default_factory=dict)  # video id -> its file's address, as seen from the page


@dataclass(frozen=True)
class Runs:
    """Runs on one data set, a list of seeds for each method; the first seed of the first method is looked into."""

    methods: Mapping[str, Sequence[Path]]
    data: Path | None  # what they were trained on, where that is written down

    @property
    def main(self) -> Path:
        """The run whose timelines are shown."""
        return next(iter(self.methods.values()))[0]


def collect_report_data(
    place: Path,
    out: Path,
    data: Path | None = None,
    videos: Path | None = None,
    protocol: str | None = None,
    subset: str | None = None,
) -> ReportData:
    """What there is to report of a run, or of all runs of a comparison or a benchmark, for a page at `out`.

    Protocol and subset are those that the runs were scored under, where nobody says otherwise; `videos` is the
    folder of the video files. Raises CheckpointError where there is no run, or one that does not fit the data,
    DataError where it is not known which data set it was trained on.
    """
    runs = find_runs(place)
    folder = load_dataset(_data(place, runs, data))
    network, meta = load_network(runs.main, "local")
    require_compatible(meta, folder)
    before = _scored_before(runs.main, meta.config.method)
    chosen = folder.subset(subset or _subset(folder, before))
    rules = protocol or (before.protocol if before else "activitynet")
    tious = before.tious if before and before.protocol == rules else None
    cut, operating = load_segment_filter(runs.main, F1)
    found = proposals_of(runs.main, folder, chosen)
    results = {id: cut(proposals) for id, proposals in found.items()}
    known = any(video.segments for video in chosen)
    remembers = _has_memory(runs.main)
    name, of = realpath(folder.path).name, chosen[0].subset
    return ReportData(
        title=f"{meta.config.method} on {name}",
        facts=(
            ("method", meta.config.method),
            ("data set", f"{name}, {of or 'videos without a subset'}"),
            ("run", f"{realpath(runs.main).parent.name}/{runs.main.name}, step {meta.step:,}"),
            ("features", str(meta.provenance or f"{sum(meta.modalities):,} numbers a snippet")),
            ("a snippet", f"{meta.clock.stride:g} s"),
        ),
        classes=meta.classes,
        panels=_panels(score_videos(network, folder, chosen, meta.config), folder, found, results),
        scored=_score(runs, folder, chosen, found, results, rules, tious) if known else None,
        operating=operating.replace(str(runs.main), "RUN"),
        metrics=read_metrics(runs.main),
        memory=recall(checkpoint.load_both(runs.main)[0], meta, folder, chosen) if remembers else None,
        files=video_files(folder, videos, chosen, out) if videos else {},
    )


def find_runs(place: Path) -> Runs:
    """The run that a folder is, or all that are in it. Raises CheckpointError where there is none.

    Raises DataError where they are on several data sets.
    """
    if checkpoint.latest_checkpoint(place) is not None:
        return Runs({checkpoint.read_meta(place).config.method: [place]}, _claimed(place))
    found = next(filter(None, (_seeds(place, pattern) for pattern in PLACES)), [])
    if not found:
        raise CheckpointError(f"{place}: not a run folder, and no runs in it; name the --out of train or compare")
    datas = sorted({run.parent.parent for run in found})
    if len(datas) > 1:
        some = ", ".join(map(str, datas[:3]))
        raise DataError(f"{place}: holds runs on {len(datas)} data sets; name one of {some}")
    order = ("dfe", *METHODS)
    names = sorted({run.parent.name for run in found}, key=lambda name: order.index(name) if name in order else 99)
    return Runs({name: [run for run in found if run.parent.name == name] for name in names}, _claimed(found[0]))


def score(
    methods: Mapping[str, Sequence[Proposals]],
    results: Proposals,
    truth: Sequence[Video],
    options: EvaluationOptions,
) -> Scored:
    """Judge each method's proposals, a file for each seed, and look into the first. Errors as in `evaluate`."""
    main = next(iter(methods.values()))[0]
    judged = evaluate_with_matches(main, truth, options)
    return Scored(
        judged,
        evaluate_with_matches(results, truth, replace(options, tious=(TIOU,))),
        analyse(main, truth, options, TIOU),
        {
            method: [judged.result if seed is main else evaluate(seed, truth, options) for seed in seeds]
            for method, seeds in methods.items()
        },
    )


def proposals_of(run: Path, folder: Dataset, videos: Sequence[Video]) -> Proposals:
    """The proposals that lie in a run for these videos, else those that its local branch makes."""
    network, meta = load_network(run, "local")
    ids = {video.id for video in videos}
    for path in (run / f"proposals-{meta.config.method}-{videos[0].subset}.json", run / "proposals.json"):
        there = read_proposals(path) if path.is_file() else {}
        if ids <= there.keys():
            return {id: found for id, found in there.items() if id in ids}
    require_compatible(meta, folder)
    return dict(localize_many(network, meta, folder, videos))


def video_files(folder: Dataset, place: Path, videos: Sequence[Video], out: Path) -> dict[str, str]:
    """Video id -> address of its file in `place`, as seen from a page at `out`.

    Found by videos.json, else by its name. Raises DataError where no video has one.
    """
    if (folder.path / LISTING_NAME).is_file():
        files = {id: place / file for id, file in read_listing(folder.path, place).files.items()}
    else:
        files = {Path(file).stem: place / file for file in VideoFolder(place).videos}
    there = {video.id: files[video.id] for video in videos if video.id in files and files[video.id].is_file()}
    if not there:
        raise DataError(f"{place}: no file in it is called as a video of {folder.path} is; name their folder")
    return {id: _address(realpath(path), realpath(out).parent) for id, path in there.items()}


def _score(
    runs: Runs,
    folder: Dataset,
    videos: Sequence[Video],
    found: Proposals,
    results: Proposals,
    protocol: str,
    tious: Sequence[float] | None,
) -> Scored:
    methods = {
        method: [found if run == runs.main else proposals_of(run, folder, videos) for run in seeds]
        for method, seeds in runs.methods.items()
    }
    subset = videos[0].subset
    options = EvaluationOptions(protocol, tious, subset, find_ambiguous(folder.path), "last")
    truth = [folder.with_duration(video) if video.subset == subset else video for video in folder.videos]
    scored = score(methods, results, truth, options)
    return replace(scored, seeds=tuple(run.name for run in next(iter(runs.methods.values()))))


def _panels(
    scores: Iterable[tuple[Video, SnippetScores]], folder: Dataset, found: Proposals, results: Proposals
) -> Iterator[TimelineData]:
    for video, curves in scores:
        times = folder.clock_of(video.id).seconds(range(len(curves.attention) + 1))
        duration = video.duration or float(times[-1])
        segments = video.segments, results[video.id], found[video.id]
        yield TimelineData(video.id, duration, *segments, times, curves.attention, curves.cas[:, :-1])


def _address(path: Path, page: Path) -> str:
    try:
        return quote(Path(os.path.relpath(path, page)).as_posix())
    except ValueError:  # another drive of Windows
        return path.as_uri()


def _seeds(place: Path, pattern: str) -> list[Path]:
    """The runs that are whole, by their number."""
    runs = [
        run for run in place.glob(pattern) if run.name[5:].isdecimal() and checkpoint.latest_checkpoint(run) is not None
    ]
    return sorted(runs, key=lambda run: (str(run.parent), int(run.name[5:])))


def _claimed(run: Path) -> Path | None:
    """The data set that `wtal compare` wrote beside the methods."""
    path = realpath(run).parent.parent / "data.json"
    said = read_json(path) if path.is_file() else None
    return Path(said["path"]) if isinstance(said, dict) and isinstance(said.get("path"), str) else None


def _data(place: Path, runs: Runs, data: Path | None) -> Path:
    found = data or runs.data
    if found is None:
        raise DataError(f"{place}: it is not written there what it was trained on; name the data set with --data")
    if not found.is_dir():
        raise DataError(f"{found}: there is no such data set folder; name where it is with --data")
    return found


def _scored_before(run: Path, method: str) -> EvaluationResult | None:
    """The run's own score: of the testing subset before others, under a benchmark's main protocol before others."""
    testing, others = (sorted(run.glob(f"results-{method}-{part}*.json")) for part in ("testing", ""))
    found = [_result(path) for path in testing or others]
    return min(found, key=lambda result: RANKS.get(result.protocol, len(RANKS)), default=None)


def _result(path: Path) -> EvaluationResult:
    values = read_json(path)
    try:
        return EvaluationResult.from_json(values)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _subset(folder: Dataset, scored: EvaluationResult | None) -> str:
    if scored and scored.subset in folder.subsets:
        return scored.subset
    return "testing" if "testing" in folder.subsets else folder.subsets[-1]


def _has_memory(run: Path) -> bool:
    place = checkpoint.latest_checkpoint(run)
    return place is not None and (place / "global.safetensors").is_file()
