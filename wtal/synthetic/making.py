"""Sequences drawn from a seed, with the hard parts of real ones. Axes: T snippets, D features, C classes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wtal.records import Action, Video
from wtal.synthetic.settings import GAP, LONG, ROOM, SyntheticConfig


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


def _background(
    world: World, settings: SyntheticConfig, length: int, rng: np.random.Generator
) -> NDArray[np.float64]:
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


def _distractors(
    world: World, settings: SyntheticConfig, length: int, rng: np.random.Generator
) -> NDArray[np.float64]:
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
        Action(names[label], round(float(clock.seconds(start)), 3), round(float(clock.seconds(end)), 3))
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
