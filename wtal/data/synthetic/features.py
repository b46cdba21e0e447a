"""A small made-up data set with the hard parts of real ones; hands on a plain data set folder, in seconds.

FROM: How large a made-up data set is, and how hard.
FROM: Sequences drawn from a seed, with the hard parts of real ones. Axes: T snippets, D features, C classes.
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

NAMES = ("jump", "throw", "spin", "lift", "kick", "climb", "wave", "swing", "push", "roll", "catch", "bow")
GAP = 3.0  # snippets, at least, between two actions
ROOM = 0.7  # share of a sequence that actions and the gaps between them may fill
LONG = (1.0, 1.7)  # how much longer a class's actions may be than another's


@dataclass(frozen=True)
class SyntheticConfig:
    """How large the data set is, and how hard. Strengths are lengths of vectors; noise is per dimension.

    Raises ConfigError when a subset cannot show every class or the actions cannot fit.
    """

    classes: int = 8
    training: int = 120  # sequences
    validation: int = 40
    testing: int = 40
    snippets: tuple[int, int] = (60, 160)  # length of a sequence
    modalities: tuple[int, ...] = (32, 32)  # width of each
    snippet_seconds: float = 0.5
    offset_seconds: float = 0.25
    without_action: float = 0.05  # share of sequences that are background only
    second_label: float = 0.4  # chance that a sequence carries a second class
    actions: tuple[int, int] = (1, 3)  # of each class that a sequence carries
    action_snippets: tuple[int, int] = (6, 18)  # before the class's own factor of 1 to 1.7
    early: float = 4.0  # strength of an action's first phase, by which its class is easily told
    late: float = 2.0  # of its second, longer phase: the completeness problem
    twin: float = 0.5  # how much of the second phase two classes share
    style: float = 0.8  # of the way in which one video does an action, within the class's own subspace
    context: float = 3.2  # of the scene around a class's actions: the context-confusion problem
    context_with: float = 0.8  # chance of the scene in a sequence that carries its class
    context_without: float = 0.25  # and in one that does not
    drift: float = 3.0  # of the background's slow walk
    distractor: float = 4.0  # of short events that belong to no class
    distractors: tuple[int, int] = (1, 4)  # in a sequence
    noise: float = 0.45

    def __post_init__(self) -> None:
        for name, sequences in self.subsets().items():
            if sequences - self.background_only(sequences) < self.classes:
                raise ConfigError(
                    f"synthetic.{name} is {sequences}; {self.classes} classes need more sequences to occur in"
                )
        longest = self.action_snippets[1] * LONG[1] + GAP
        if longest > ROOM * self.snippets[0]:
            raise ConfigError(
                f"synthetic.action_snippets is {self.action_snippets}; "
                f"sequences of {self.snippets[0]} snippets hold at most {self._fits()}"
            )
        if self.snippet_seconds <= 0:
            raise ConfigError(f"synthetic.snippet_seconds is {self.snippet_seconds}; use a number above 0")
        if self.classes < 1 or not self.modalities or min(self.modalities) < 1:
            raise ConfigError("synthetic: use at least one class and one modality of at least one dimension")

    def _fits(self) -> int:
        return max(0, int((ROOM * self.snippets[0] - GAP) / LONG[1]))

    def subsets(self) -> dict[str, int]:
        """Sequences in each subset."""
        return {"training": self.training, "validation": self.validation, "testing": self.testing}

    def background_only(self, sequences: int) -> int:
        """How many of so many sequences carry no label."""
        return int(self.without_action * sequences)

    def class_names(self) -> tuple[str, ...]:
        """The labels, in order."""
        return tuple(NAMES[c] if c < len(NAMES) else f"action_{c}" for c in range(self.classes))

    def clock(self) -> SnippetClock:
        """Where snippets lie in seconds."""
        return SnippetClock(self.snippet_seconds, self.offset_seconds)


@dataclass(frozen=True)
class World:
    """The directions that all sequences of a data set share; the rows are vectors of D dimensions."""

    early: NDArray[np.float64]  # C x D
    late: NDArray[np.float64]  # C x D
    style: NDArray[np.float64]  # C x 2 x D
    context: NDArray[np.float64]  # S x D, one scene for two classes
    drift: NDArray[np.float64]  # 6 x D
    distractors: NDArray[np.float64]  # 5 x D
    length: NDArray[np.float64]  # C     factor on an action's length


@dataclass(frozen=True)
class SyntheticSequence:
    """One sequence with everything that is true of it, also where the data set keeps the segments hidden."""

    video: Video
    features: NDArray[np.float16]  # T x D


def make_world(settings: SyntheticConfig, seed: int) -> World:
    """Draw the shared directions."""
    rng = np.random.default_rng([seed, 0])
    count = settings.classes
    # A class is seen better by one modality than by another: what fusing them is for.
    balance = rng.uniform(0.3, 1.0, (count, len(settings.modalities)))
    late, twins = _directions(rng, settings, count), _directions(rng, settings, _pairs(count))
    late = (1 - settings.twin) * late + settings.twin * twins[np.arange(count) // 2]
    return World(
        early=_weighed(_directions(rng, settings, count), balance, settings),
        late=_weighed(late, balance, settings),
        style=_directions(rng, settings, 2 * count).reshape(count, 2, -1),
        context=_directions(rng, settings, _pairs(count)),
        drift=_directions(rng, settings, 6),
        distractors=_directions(rng, settings, 5),
        length=rng.uniform(LONG[0], LONG[1], count),
    )


def make_sequence(
    world: World,
    settings: SyntheticConfig,
    video_id: str,
    subset: str,
    labels: tuple[int, ...],
    rng: np.random.Generator,
) -> SyntheticSequence:
    """Draw one sequence that carries at most the classes `labels`, and the first of them for certain.

    The features are float16, T x D; the video's actions are in seconds, in order of time, in every subset.
    """
    length = int(rng.integers(settings.snippets[0], settings.snippets[1] + 1))
    spans = _place_actions(world, settings, labels, length, rng)
    present = {label for label, _, _ in spans}
    features = _background(world, settings, length, rng)
    features += _contexts(world, settings, spans, present, length, rng)
    features += _distractors(world, settings, length, rng)
    for label in sorted(present):
        features += _actions(world, settings, label, [s[1:] for s in spans if s[0] == label], length, rng)
    features += settings.noise * rng.standard_normal(features.shape)
    video = _video(settings, video_id, subset, spans, length)
    return SyntheticSequence(video, features.astype(np.float16))


def make_sequences(settings: SyntheticConfig, seed: int) -> Iterator[SyntheticSequence]:
    """All sequences of a data set, subset by subset; every class occurs in each subset."""
    world = make_world(settings, seed)
    for part, (subset, count) in enumerate(settings.subsets().items(), start=1):
        for i, labels in enumerate(_deal_labels(settings, count, np.random.default_rng([seed, part]))):
            rng = np.random.default_rng([seed, part, i])
            yield make_sequence(world, settings, f"{subset}_{i:04d}", subset, labels, rng)


def _deal_labels(settings: SyntheticConfig, sequences: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """Classes for each sequence: the first from a shuffled deck that holds all classes equally often."""
    carriers = sequences - settings.background_only(sequences)
    dealt: list[tuple[int, ...]] = [() for _ in range(sequences - carriers)]
    for first in (np.arange(carriers) % settings.classes).tolist():
        second = int(rng.integers(settings.classes))
        dealt.append((first, second) if rng.random() < settings.second_label and second != first else (first,))
    return [dealt[i] for i in rng.permutation(sequences)]


Span = tuple[int, float, float]  # class, start, end; in snippets


def _place_actions(
    world: World, settings: SyntheticConfig, labels: tuple[int, ...], length: int, rng: np.random.Generator
) -> list[Span]:
    """Actions of the labels that do not overlap, with gaps shared out at random; in order of time."""
    wanted = [label for label in labels for _ in range(rng.integers(settings.actions[0], settings.actions[1] + 1))]
    lengths = rng.uniform(*settings.action_snippets, len(wanted)) * world.length[wanted]
    kept = np.cumsum(lengths + GAP) <= ROOM * length
    order = rng.permutation(np.flatnonzero(kept))
    free = length - (lengths[order] + GAP).sum()
    gaps = GAP + free * rng.dirichlet(np.ones(len(order) + 1))[:-1] if len(order) else np.zeros(0)
    ends = np.cumsum(gaps + lengths[order])
    starts = ends - lengths[order]
    return [(wanted[i], float(s), float(e)) for i, s, e in zip(order, starts, ends, strict=True)]


def _background(world: World, settings: SyntheticConfig, length: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """A slow walk in the shared background subspace, around a place of the video's own. T x D."""
    walk = np.empty((length, len(world.drift)))
    walk[0] = rng.standard_normal(walk.shape[1])
    for t in range(1, length):
        walk[t] = 0.97 * walk[t - 1] + np.sqrt(1 - 0.97**2) * rng.standard_normal(walk.shape[1])
    walk += rng.standard_normal(walk.shape[1])
    return settings.drift / np.sqrt(2 * walk.shape[1]) * (walk @ world.drift)


def _contexts(
    world: World,
    settings: SyntheticConfig,
    spans: list[Span],
    present: set[int],
    length: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Scenes: around the actions of their classes and on both sides beyond them, sometimes without. T x D."""
    level = np.zeros((length, len(world.context)))
    for scene in range(len(world.context)):
        here = [(start, end) for label, start, end in spans if label % len(world.context) == scene]
        likely = settings.context_with if here else settings.context_without
        if rng.random() >= likely:
            continue
        if not here:
            middle = rng.uniform(0, length)
            here = [(middle, middle)]
        for start, end in here:
            before, after = rng.uniform(4, 14, 2)
            level[:, scene] = np.maximum(level[:, scene], _covered(start - before, end + after, length))
    return settings.context * (level * rng.uniform(0.7, 1.3, len(world.context))) @ world.context


def _distractors(world: World, settings: SyntheticConfig, length: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Short events of no class, anywhere. T x D."""
    level = np.zeros((length, len(world.distractors)))
    for _ in range(rng.integers(settings.distractors[0], settings.distractors[1] + 1)):
        start, kind = rng.uniform(0, length), rng.integers(len(world.distractors))
        level[:, kind] = np.maximum(level[:, kind], _covered(start, start + rng.uniform(3, 9), length))
    return settings.distractor * level @ world.distractors


def _actions(
    world: World,
    settings: SyntheticConfig,
    label: int,
    spans: list[tuple[float, float]],
    length: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """What the actions of one class add: an early phase that gives way to a late one, in the video's own way.

    Each video stresses the two phases differently, so that what one leaves in doubt others show. T x D.
    """
    stress = rng.uniform(0.4, 1.4, 2)
    style = settings.style * rng.standard_normal(2) / np.sqrt(2) @ world.style[label]
    added = np.zeros((length, world.early.shape[1]))
    for start, end in spans:
        phase = (np.arange(length) + 0.5 - start) / (end - start)
        late = 1 / (1 + np.exp(-(phase - 0.35) / 0.06))  # the change-over, at about a third
        course = stress[0] * settings.early * np.outer(1 - late, world.early[label])
        course += stress[1] * settings.late * np.outer(late, world.late[label]) + style
        added += _covered(start, end, length)[:, None] * rng.uniform(0.8, 1.2) * course
    return added


def _covered(start: float, end: float, length: int) -> NDArray[np.float64]:
    """The share of each snippet that lies between start and end (in snippets). T"""
    edges = np.clip(np.arange(length + 1), start, max(start, end))
    return np.diff(edges)


def _video(settings: SyntheticConfig, video_id: str, subset: str, spans: list[Span], length: int) -> Video:
    clock, names = settings.clock(), settings.class_names()
    actions = tuple(
        Segment(names[label], round(float(clock.seconds(start)), 3), round(float(clock.seconds(end)), 3))
        for label, start, end in spans
    )
    labels = tuple(name for name in names if any(name == action.label for action in actions))
    duration = round(float(clock.seconds(length)) + settings.offset_seconds, 3)
    return Video(video_id, subset, labels, duration, actions)


def _directions(rng: np.random.Generator, settings: SyntheticConfig, count: int) -> NDArray[np.float64]:
    """So many random unit vectors. count x D"""
    drawn = rng.standard_normal((count, sum(settings.modalities)))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def _weighed(
    directions: NDArray[np.float64], balance: NDArray[np.float64], settings: SyntheticConfig
) -> NDArray[np.float64]:
    """Directions with each class's modalities weighed, of length one again. C x D"""
    weighed = directions * np.repeat(balance, settings.modalities, axis=1)
    return weighed / np.linalg.norm(weighed, axis=1, keepdims=True)


def _pairs(classes: int) -> int:
    return (classes + 1) // 2


__all__ = ["SyntheticConfig", "make_sequence", "make_sequences", "make_world", "write_synthetic"]

FEATURE = "synthetic: made-up directions, not measured from any video"


def write_synthetic(folder: Path, settings: SyntheticConfig | None = None, seed: int = 0) -> None:
    """Write the data set folder: annotations.json, dataset.json, features/<id>.npy (float16, T x D).

    Training entries carry labels alone. The same settings and seed give the same bytes. An older synthetic
    data set in `folder` is replaced; raises DataError when the folder holds anything else.
    """
    settings = settings or SyntheticConfig()
    folder = realpath(folder)
    _check_replaceable(folder)
    atomic_write_dir(folder, lambda part: _write_parts(part, settings, seed))


def _write_parts(folder: Path, settings: SyntheticConfig, seed: int) -> None:
    (folder / "features").mkdir()
    database = {}
    for sequence in make_sequences(settings, seed):
        np.save(folder / "features" / f"{sequence.video.id}.npy", sequence.features)
        database[sequence.video.id] = _entry(sequence.video)
    write_json(folder / "annotations.json", {"version": "synthetic", "database": database})
    write_json(folder / "dataset.json", _facts(settings, seed))


def _check_replaceable(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise DataError(f"{folder}: a file is in the way; choose another folder for the synthetic data set")
    about = folder / "dataset.json"
    facts = read_json(about) if about.exists() else {}
    made_here = isinstance(facts, dict) and facts.get("feature") == FEATURE
    if any(folder.iterdir()) and not made_here:
        raise DataError(f"{folder}: holds something other than a synthetic data set; choose an empty folder")


def _facts(settings: SyntheticConfig, seed: int) -> dict[str, object]:
    return {
        "snippet_seconds": settings.snippet_seconds,
        "offset_seconds": settings.offset_seconds,
        "classes": list(settings.class_names()),
        "feature": FEATURE,
        "modalities": list(settings.modalities),
        "split": "every sequence drawn by itself",
        "source": f"synthetic features, seed {seed}",
        "licence": "made by wtal from a seed",
    }


def _entry(video: Video) -> dict[str, object]:
    """A video as ActivityNet's database has it."""
    annotations: list[dict[str, object]]
    if video.subset == "training":
        annotations = [{"label": label} for label in video.labels]
    else:
        annotations = [{"label": a.label, "segment": [a.start, a.end]} for a in video.segments]
    return {"subset": video.subset, "duration": video.duration, "annotations": annotations}
