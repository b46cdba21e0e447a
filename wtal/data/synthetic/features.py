"""Small synthetic data sets with the difficulties of real ones, written in seconds.

Axes: T snippets, C classes, D dimensions. Times are in snippets unless a name says seconds.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wtal.core.clock import SnippetClock
from wtal.core.errors import ConfigError, DataError
from wtal.core.io import atomic_write_dir, read_json, realpath, write_json
from wtal.core.structures import Segment, Video
from wtal.data.synthetic.signal import Directions, Timeline, normalize, unit_vectors

CLASS_NAMES = ("jump", "throw", "spin", "lift", "kick", "climb", "wave", "swing", "push", "roll", "catch", "bow")
MIN_GAP = 3.0  # snippets between two actions
MAX_ACTION_SHARE = 0.7  # share of a video that actions and the gaps between them may fill
LENGTH_FACTORS = (1.0, 1.7)  # the actions of one class are longer than those of another by such a factor
FEATURE = (
    "synthetic: made-up directions, not measured from any video"  # in dataset.json; marks folders that may be replaced
)


@dataclass(frozen=True)
class SyntheticConfig:
    """How large a synthetic data set is, and how difficult.

    Strengths are lengths of vectors; the noise is per dimension.

    Attributes:
        classes: Number of classes.
        training: Number of training videos.
        validation: Number of validation videos.
        testing: Number of testing videos.
        snippets: Fewest and most snippets of a video.
        modalities: Width of each feature group.
        snippet_seconds: Seconds from one snippet to the next.
        offset_seconds: Start of the first snippet in seconds.
        without_action: Share of videos that are background only.
        second_label: Probability that a video has a second class.
        actions: Fewest and most actions of each class that a video has.
        action_snippets: Shortest and longest action, before the factor of its class.
        early: Strength of an action's first phase, which identifies its class.
        late: Strength of its second, longer phase (the completeness problem).
        twin: Share of the second phase that two classes have in common.
        style: Strength of the way in which one video performs an action.
        context: Strength of the scene around the actions of a class (the context-confusion problem).
        context_with: Probability of the scene in a video that has one of its classes.
        context_without: Probability of the scene in a video that has none.
        drift: Strength of the slow changes of the background.
        distractor: Strength of short events that belong to no class.
        distractors: Fewest and most such events of a video.
        noise: Standard deviation of the noise.

    Raises:
        ConfigError: A subset cannot contain every class, or the actions do not fit into the shortest video.
    """

    classes: int = 8
    training: int = 120
    validation: int = 40
    testing: int = 40
    snippets: tuple[int, int] = (60, 160)
    modalities: tuple[int, ...] = (32, 32)
    snippet_seconds: float = 0.5
    offset_seconds: float = 0.25
    without_action: float = 0.05
    second_label: float = 0.4
    actions: tuple[int, int] = (1, 3)
    action_snippets: tuple[int, int] = (6, 18)
    early: float = 4.0
    late: float = 2.0
    twin: float = 0.5
    style: float = 0.8
    context: float = 3.2
    context_with: float = 0.8
    context_without: float = 0.25
    drift: float = 3.0
    distractor: float = 4.0
    distractors: tuple[int, int] = (1, 4)
    noise: float = 0.45

    def __post_init__(self) -> None:
        if self.classes < 1:
            raise _invalid("classes", self.classes, "use at least one class")
        for name, count in self.subsets().items():
            if count - self.num_background(count) < self.classes:
                raise _invalid(name, count, f"use more videos, so that each of the {self.classes} classes occurs")
        longest = self.action_snippets[1] * LENGTH_FACTORS[1] + MIN_GAP
        if longest > MAX_ACTION_SHARE * self.snippets[0]:
            limit = max(0, int((MAX_ACTION_SHARE * self.snippets[0] - MIN_GAP) / LENGTH_FACTORS[1]))
            hint = f"use at most {limit} for videos of {self.snippets[0]} snippets"
            raise _invalid("action_snippets", self.action_snippets, hint)
        if self.snippet_seconds <= 0:
            raise _invalid("snippet_seconds", self.snippet_seconds, "use a number above 0")
        if not self.modalities or min(self.modalities) < 1:
            raise _invalid("modalities", self.modalities, "use at least one, of at least one dimension")

    def subsets(self) -> dict[str, int]:
        """The number of videos of each subset."""
        return {"training": self.training, "validation": self.validation, "testing": self.testing}

    def num_background(self, count: int) -> int:
        """How many of `count` videos have no label."""
        return int(self.without_action * count)

    def class_names(self) -> tuple[str, ...]:
        """The labels in order."""
        return tuple(CLASS_NAMES[c] if c < len(CLASS_NAMES) else f"action_{c}" for c in range(self.classes))

    def clock(self) -> SnippetClock:
        """The times of the snippets."""
        return SnippetClock(self.snippet_seconds, self.offset_seconds)


def _invalid(name: str, value: object, hint: str) -> ConfigError:
    return ConfigError(f"synthetic.{name} is {value}", hint=hint, code="invalid-value")


def write_synthetic(path: Path, config: SyntheticConfig | None = None, seed: int = 0) -> None:
    """Write a synthetic data set folder. The same configuration and seed give the same bytes.

    Args:
        path: The folder. A synthetic data set in it is replaced.
        config: Size and difficulty.
        seed: The seed of the random numbers.

    Raises:
        DataError: The folder holds anything else, or cannot be written.
    """
    config = config or SyntheticConfig()
    path = realpath(path)
    if path.exists() and not path.is_dir():
        raise DataError("is a file", path=path, hint="choose another folder", code="not-a-directory")
    if path.is_dir() and any(path.iterdir()):
        info = read_json(path / "dataset.json") if (path / "dataset.json").exists() else {}
        if not isinstance(info, dict) or info.get("feature") != FEATURE:
            message = "the folder is not empty and holds no synthetic data set"
            raise DataError(message, path=path, hint="choose an empty folder", code="already-exists")

    def write(folder: Path) -> None:
        (folder / "features").mkdir()
        database = {}
        for video, features in make_videos(config, seed):
            np.save(folder / "features" / f"{video.id}.npy", features)
            database[video.id] = _to_json(video)
        write_json(folder / "annotations.json", {"version": "synthetic", "database": database})
        info = {
            "snippet_seconds": config.snippet_seconds,
            "offset_seconds": config.offset_seconds,
            "classes": list(config.class_names()),
            "feature": FEATURE,
            "modalities": list(config.modalities),
            "split": "every sequence drawn by itself",
            "source": f"synthetic features, seed {seed}",
            "licence": "made by wtal from a seed",
        }
        write_json(folder / "dataset.json", info)

    atomic_write_dir(path, write)


def _to_json(video: Video) -> dict[str, object]:
    """An entry of ActivityNet's database; training videos have labels only."""
    annotations: list[dict[str, object]]
    if video.subset == "training":
        annotations = [{"label": label} for label in video.labels]
    else:
        annotations = [{"label": s.label, "segment": [s.start, s.end]} for s in video.segments]
    return {"subset": video.subset, "duration": video.duration, "annotations": annotations}


# The signal


@dataclass(frozen=True)
class SyntheticWorld:
    """What all videos of a data set share.

    Attributes:
        directions: Directions of the signal.
        length_factors: C, how much longer the actions of a class are.
    """

    directions: Directions
    length_factors: NDArray[np.float64]


def make_world(config: SyntheticConfig, seed: int) -> SyntheticWorld:
    """Draw what all videos of a data set share."""
    rng = np.random.default_rng([seed, 0])
    num_classes, width, num_pairs = config.classes, sum(config.modalities), (config.classes + 1) // 2
    # Each class is more visible in one modality than in another, so that fusing them helps.
    balance = rng.uniform(0.3, 1.0, (num_classes, len(config.modalities)))
    weights = np.repeat(balance, config.modalities, axis=1)  # C x D
    late, twins = unit_vectors(rng, num_classes, width), unit_vectors(rng, num_pairs, width)
    late = (1 - config.twin) * late + config.twin * twins[np.arange(num_classes) // 2]
    early = unit_vectors(rng, num_classes, width)
    directions = Directions.draw(rng, normalize(early * weights), normalize(late * weights), num_pairs)
    return SyntheticWorld(directions, rng.uniform(*LENGTH_FACTORS, num_classes))


def make_videos(config: SyntheticConfig, seed: int) -> Iterator[tuple[Video, NDArray[np.float16]]]:
    """Draw all videos of a data set with their features, subset by subset. Each class occurs in each subset."""
    world = make_world(config, seed)
    for part, (subset, count) in enumerate(config.subsets().items(), start=1):
        for i, labels in enumerate(_draw_labels(config, count, np.random.default_rng([seed, part]))):
            rng = np.random.default_rng([seed, part, i])
            yield make_video(world, config, f"{subset}_{i:04d}", subset, labels, rng)


def make_video(
    world: SyntheticWorld,
    config: SyntheticConfig,
    id: str,
    subset: str,
    labels: tuple[int, ...],
    rng: np.random.Generator,
) -> tuple[Video, NDArray[np.float16]]:
    """Draw one video.

    Args:
        world: What all videos share.
        config: Size and difficulty.
        id: The id of the video.
        subset: The subset of the video.
        labels: Indices of classes. The first occurs in the video; the second is left out where it does not fit.
        rng: The random numbers of this video.

    Returns:
        The video with its segments in order of time, in every subset, and its features, T x D.
    """
    length = int(rng.integers(config.snippets[0], config.snippets[1] + 1))
    spans = _draw_spans(world, config, labels, length, rng)
    timeline = Timeline(np.arange(length, dtype=np.float64) + 0.5)
    classes = sorted({label for label, _, _ in spans})
    features = _drift(world, config, length, rng)
    features += _scenes(world, config, spans, timeline, rng)
    num_distractors = int(rng.integers(config.distractors[0], config.distractors[1] + 1))
    distractors = timeline.short_events(num_distractors, (3, 9), rng)
    features += config.distractor * distractors @ world.directions.distractors
    for c in classes:
        features += _actions(world, config, c, [span[1:] for span in spans if span[0] == c], timeline, rng)
    features += config.noise * rng.standard_normal(features.shape)
    return _annotate(config, id, subset, spans, length), features.astype(np.float16)


Span = tuple[int, float, float]  # class, start, end


def _draw_labels(config: SyntheticConfig, count: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """The classes of each video. As the first class of a video, all classes are equally frequent."""
    num_labeled = count - config.num_background(count)
    labels: list[tuple[int, ...]] = [() for _ in range(count - num_labeled)]
    for first in (np.arange(num_labeled) % config.classes).tolist():
        second = int(rng.integers(config.classes))
        labels.append((first, second) if rng.random() < config.second_label and second != first else (first,))
    return [labels[i] for i in rng.permutation(count)]


def _draw_spans(
    world: SyntheticWorld, config: SyntheticConfig, labels: tuple[int, ...], length: int, rng: np.random.Generator
) -> list[Span]:
    """Actions of the labels that do not overlap, with random gaps between them, in order of time."""
    drawn = [label for label in labels for _ in range(rng.integers(config.actions[0], config.actions[1] + 1))]
    lengths = rng.uniform(*config.action_snippets, len(drawn)) * world.length_factors[drawn]
    fits = np.cumsum(lengths + MIN_GAP) <= MAX_ACTION_SHARE * length
    order = rng.permutation(np.flatnonzero(fits))
    free = length - (lengths[order] + MIN_GAP).sum()
    gaps = MIN_GAP + free * rng.dirichlet(np.ones(len(order) + 1))[:-1] if len(order) else np.zeros(0)
    ends = np.cumsum(gaps + lengths[order])
    starts = ends - lengths[order]
    return [(drawn[i], float(s), float(e)) for i, s, e in zip(order, starts, ends, strict=True)]


def _drift(
    world: SyntheticWorld, config: SyntheticConfig, length: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """A slow random walk around a random point. T x D."""
    num_drifts = len(world.directions.drift)
    walk = np.empty((length, num_drifts))
    walk[0] = rng.standard_normal(num_drifts)
    for t in range(1, length):
        walk[t] = 0.97 * walk[t - 1] + np.sqrt(1 - 0.97**2) * rng.standard_normal(num_drifts)
    walk += rng.standard_normal(num_drifts)
    return config.drift / np.sqrt(2 * num_drifts) * (walk @ world.directions.drift)


def _scenes(
    world: SyntheticWorld, config: SyntheticConfig, spans: list[Span], timeline: Timeline, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Scenes around the actions of their classes, and sometimes elsewhere. T x D."""
    num_scenes = len(world.directions.scenes)
    level = np.zeros((len(timeline.middles), num_scenes))
    for scene in range(num_scenes):
        around = [(start, end) for label, start, end in spans if label % num_scenes == scene]
        if rng.random() >= (config.context_with if around else config.context_without):
            continue
        if not around:
            position = rng.uniform(0, timeline.length)
            around = [(position, position)]
        level[:, scene] = timeline.surroundings(around, (4, 14), rng)
    return config.context * (level * rng.uniform(0.7, 1.3, num_scenes)) @ world.directions.scenes


def _actions(
    world: SyntheticWorld,
    config: SyntheticConfig,
    c: int,
    spans: list[tuple[float, float]],
    timeline: Timeline,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """The actions of class c in one video. T x D.

    Each video stresses the two phases differently, so that different videos identify the class by different parts.
    """
    stress = rng.uniform(0.4, 1.4, 2)
    style = config.style * rng.standard_normal(2) / np.sqrt(2) @ world.directions.style[c]
    added = np.zeros((len(timeline.middles), len(style)))
    for start, end in spans:
        late = timeline.late_share(start, end - start)
        course = stress[0] * config.early * np.outer(1 - late, world.directions.early[c])
        course += stress[1] * config.late * np.outer(late, world.directions.late[c]) + style
        added += timeline.coverage(start, end)[:, None] * rng.uniform(0.8, 1.2) * course
    return added


def _annotate(config: SyntheticConfig, id: str, subset: str, spans: list[Span], length: int) -> Video:
    clock, names = config.clock(), config.class_names()
    segments = tuple(
        Segment(names[label], round(float(clock.seconds(start)), 3), round(float(clock.seconds(end)), 3))
        for label, start, end in spans
    )
    labels = tuple(name for name in names if any(name == segment.label for segment in segments))
    duration = round(float(clock.seconds(length)) + config.offset_seconds, 3)
    return Video(id, subset, labels, duration, segments)
