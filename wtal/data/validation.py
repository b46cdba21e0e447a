"""Look a plain folder through: everything that is wrong with it, and what it holds. Hands on a Report."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from wtal.core.clock import SnippetClock
from wtal.core.errors import DataError
from wtal.core.structures import SUBSETS, Segment, Video
from wtal.data.dataset import Dataset, parse_dataset, unusable_ids
from wtal.data.features import describe_runs, not_finite, open_features, require_finite
from wtal.data.problems import Problem, as_problem, raise_first

MAX_SNIPPET_MISMATCH = 2  # features may be so much longer or shorter than the duration


@dataclass(frozen=True)
class SubsetSummary:
    """What one subset holds. `snippets`: (least, median, most); `with_labels[n]`: sequences of n labels."""

    name: str
    sequences: int
    instances: int
    hours: float
    snippets: tuple[int, float, int] | None  # None while no feature file can be opened
    with_labels: tuple[int, ...]
    sequences_of: Mapping[str, int]  # class -> sequences that carry it


@dataclass(frozen=True)
class ValidationReport:
    """A folder looked through. `width` is D, None while no feature file can be opened."""

    path: Path
    classes: tuple[str, ...]
    clock: SnippetClock
    width: int | None
    modalities: tuple[int, ...]
    subsets: tuple[SubsetSummary, ...]
    problems: tuple[Problem, ...]

    @property
    def fatal(self) -> bool:
        """Whether anything is wrong that must be mended first."""
        return any(problem.fatal for problem in self.problems)


def validate_dataset(path: Path, progress: Callable[[int, int], object] | None = None) -> ValidationReport:
    """Read every file of a plain folder and list all that is wrong, the fatal first.

    Features are read in parts, so memory stays small. `progress` hears (sequences done, in all).
    Raises DataError only when there is no such folder.
    """
    folder, problems = parse_dataset(path)
    shapes, faults = _feature_shapes(folder, progress)
    width = _usual_width(folder, shapes)
    lengths = {id: length for id, (length, _) in shapes.items()}
    problems += faults
    problems += _widths(folder, shapes, width)
    problems += _lengths(folder, lengths)
    problems += _orphans(folder)
    problems += _segments(folder)
    problems += _labels(folder)
    return ValidationReport(
        path,
        folder.classes,
        folder.clock,
        width,
        folder.modalities,
        tuple(_summary(folder, name, lengths) for name in folder.subsets),
        tuple(sorted(problems, key=lambda problem: not problem.fatal)),
    )


def require_valid_features(folder: Dataset, videos: Iterable[Video]) -> None:
    """Read the features of these videos once. Raises DataError for the first at fault, saying how many more."""
    problems: list[Problem] = []
    for video in videos:
        try:
            require_finite(folder.features(video.id), folder.features_path(video.id))
            folder.clock_of(video.id)
        except DataError as error:
            problems.append(as_problem(error))
    raise_first(problems)


def _feature_shapes(
    folder: Dataset, progress: Callable[[int, int], object] | None
) -> tuple[dict[str, tuple[int, int]], list[Problem]]:
    """Video id -> (T, D) of each file that can be opened, and what is wrong with files and numbers."""
    shapes: dict[str, tuple[int, int]] = {}
    problems: list[Problem] = []
    usable = [video for video in folder.videos if not unusable_ids([video], folder.path)]
    for done, video in enumerate(usable, start=1):
        path = folder.features_path(video.id)
        try:
            features = open_features(path)
        except DataError as error:
            problems.append(as_problem(error))
            continue
        shapes[video.id] = (features.shape[0], features.shape[1])
        problems += _times(folder, video)
        if runs := not_finite(features):
            problems.append(Problem(str(path), f"{describe_runs(runs)} NaN or infinite", "extract it again"))
        if progress:
            progress(done, len(usable))
    return shapes, problems


def _times(folder: Dataset, video: Video) -> list[Problem]:
    """What is wrong with the recorded times of one video, or with where its features come from."""
    try:
        folder.clock_of(video.id)
    except DataError as error:
        return [as_problem(error)]
    return []


def _usual_width(folder: Dataset, shapes: Mapping[str, tuple[int, int]]) -> int | None:
    """D as dataset.json says it, else the width that most files have."""
    if "modalities" in folder.about and folder.width is not None:
        return folder.width
    widths = Counter(width for _, width in shapes.values())
    return widths.most_common(1)[0][0] if widths else None


def _widths(folder: Dataset, shapes: Mapping[str, tuple[int, int]], width: int | None) -> list[Problem]:
    return [
        Problem(
            str(folder.features_path(id)),
            f"{found} numbers a snippet where {width} are expected",
            "extract it again as the others, or mend `modalities` in dataset.json",
        )
        for id, (_, found) in shapes.items()
        if found != width
    ]


def _lengths(folder: Dataset, lengths: Mapping[str, int]) -> list[Problem]:
    """Single snippets, and features that do not fit the duration; one line if most of them do not."""
    problems = [
        Problem(str(folder.features_path(id)), "has 1 snippet, nothing to localize in", "leave it out", False)
        for id, length in lengths.items()
        if length == 1
    ]
    known = {v.id: v.duration for v in folder.videos if v.duration is not None and v.id in lengths}
    expected = {id: float(folder.clock.snippets(duration)) for id, duration in known.items()}
    off = [id for id in expected if abs(lengths[id] - expected[id]) > MAX_SNIPPET_MISMATCH]
    if len(off) > 2 and len(off) * 2 > len(known):
        stride = median((known[id] - folder.clock.offset) / lengths[id] for id in off)
        what = f"{len(off)} of {len(known)} sequences are longer or shorter than their features"
        mend = f"mend snippet_seconds, {folder.clock.stride:g}; the durations suggest {stride:.4g}"
        return [*problems, Problem(str(folder.path / "dataset.json"), what, mend, False)]
    return problems + [
        Problem(
            str(folder.features_path(id)),
            f"{lengths[id]} snippets, but the duration of {known[id]:g} s makes {expected[id]:.1f}",
            "correct the duration, or extract it again",
            False,
        )
        for id in off
    ]


def _orphans(folder: Dataset) -> list[Problem]:
    """Feature files that no entry names."""
    names = {video.id for video in folder.videos}
    return [
        Problem(str(path), "features without an entry, never used", "add an entry, or delete the file", False)
        for path in sorted((folder.path / "features").glob("*.npy"))
        if path.stem not in names and not path.name.startswith(".")
    ]


def _segments(folder: Dataset) -> list[Problem]:
    problems: list[Problem] = []
    carrying = [video.id for video in folder.videos if video.subset == "training" and video.segments]
    if carrying:
        what = f"{len(carrying)} training sequences carry segments ({carrying[0]} ...)"
        problems.append(Problem(str(folder.path), what, "nothing: they are ignored for training", False))
    for video in folder.videos:
        if video.subset != "training":
            for action in video.segments:
                problems += _segment(folder, video, action)
    return problems


def _segment(folder: Dataset, video: Video, action: Segment) -> Iterable[Problem]:
    """What is wrong with one action. Times beyond the end by less than a snippet are rounding."""
    where = f"{folder.path}, {video.id}"
    said = f"{action.label} from {action.start:g} to {action.end:g} s"
    if action.start < 0:
        yield Problem(where, f"{said} starts before the sequence", "correct the start")
    if action.end == action.start:
        yield Problem(where, f"{said} has no length, no proposal can match it", "correct the end", False)
    if video.duration is not None and action.end > video.duration + folder.clock.stride:
        # Public ground truth has such actions (26 in THUMOS14) and is scored with them.
        as_published = folder.about.get("beyond_duration") is True
        mend = 'correct it, or say "beyond_duration": true in dataset.json if it was published so'
        what = f"{said} goes beyond the duration of {video.duration:g} s"
        yield Problem(where, what, "nothing: it was published so" if as_published else mend, not as_published)


def _labels(folder: Dataset) -> list[Problem]:
    """Classes that cannot be learnt, names that look alike, subsets that nothing will use."""
    problems: list[Problem] = []
    where = str(folder.path)
    training = [video for video in folder.videos if video.subset == "training"]
    seen = {label for video in training for label in video.labels}
    if folder.videos and not training:
        problems.append(Problem(where, "nothing is in training", "tag some sequences for it, to train on", False))
    if training and not seen:
        problems.append(Problem(where, "no training sequence has a label", "add labels to them"))
    elif training:
        mend = "add a training sequence that has it, or take the class out"
        never = (c for c in folder.classes if c not in seen)
        problems += [Problem(where, f"class {c!r} never occurs in training", mend, False) for c in never]
    alike: dict[str, list[str]] = {}
    for name in folder.classes:
        alike.setdefault("".join(name.split()).casefold(), []).append(name)
    for names in alike.values():
        if len(names) > 1:
            what = f"classes {', '.join(map(repr, names))} differ by capitals or spaces alone"
            problems.append(Problem(where, what, "write them alike if they are one", False))
    for name in sorted(set(folder.subsets) - set(SUBSETS.values()) - {""}):
        mend = "use training, validation or testing"
        problems.append(Problem(where, f"subset {name!r} is none that is used", mend, False))
    return problems


def _summary(folder: Dataset, name: str, lengths: Mapping[str, int]) -> SubsetSummary:
    videos = [video for video in folder.videos if video.subset == name]
    opened = [lengths[video.id] for video in videos if video.id in lengths]
    counts = Counter(len(video.labels) for video in videos)
    of_class = Counter(label for video in videos for label in video.labels)
    return SubsetSummary(
        name,
        len(videos),
        sum(len(video.segments) for video in videos),
        sum(_seconds(folder, video, lengths) for video in videos) / 3600,
        (min(opened), median(opened), max(opened)) if opened else None,
        tuple(counts[n] for n in range(max(counts) + 1)),
        {label: of_class[label] for label in folder.classes},
    )


def _seconds(folder: Dataset, video: Video, lengths: Mapping[str, int]) -> float:
    if video.duration is not None:
        return video.duration
    return lengths.get(video.id, 0) * folder.clock.stride
