"""What happens in each synthetic movie, drawn from a seed: actions, other motion, and cuts between scenes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from wtal.core.errors import ConfigError
from wtal.core.structures import Segment, Video
from wtal.data.synthetic.rendering import ACTIONS, Appearance, Color, Move, Point, Scene, Sprite, cloud_texture

CYCLE_SECONDS = {"bounce": 0.8, "orbit": 1.2, "pulse": 1.0, "spin": 1.2, "zigzag": 2.4}
MIN_GAP = 1.2  # seconds before and after an action
MAX_ACTION_SHARE = 0.7  # share of a movie that actions and the gaps between them may fill
MIN_IDLE_SECONDS = 1.0  # of a walk or a sway; shorter ones would look like a jump
IDLE_PROBABILITIES = {"rest": 0.35, "walk": 0.25, "sway": 0.15, "jitter": 0.15, "blink": 0.1}

Region = tuple[Point, Point]  # two opposite corners, as shares of the frame
ACTOR_REGION: Region = ((0.3, 0.45), (0.7, 0.65))
DISTRACTOR_REGION: Region = ((0.15, 0.2), (0.85, 0.8))


@dataclass(frozen=True)
class MovieConfig:
    """How many movies there are, how long, and how difficult.

    Attributes:
        training: Number of training movies.
        validation: Number of validation movies.
        testing: Number of testing movies.
        seconds: Shortest and longest movie, unless its actions need more time.
        size: Width and height in pixels.
        fps: Frames per second of most movies.
        action_seconds: Shortest and longest action; actions are whole cycles.
        actions: Fewest and most actions of each class that a movie has.
        second_label: Probability that a movie has a second class.
        distractors: Fewest and most sprites in a scene besides the actor.
        drift: Greatest motion of the background in pixels per second.
        noise: Standard deviation of the brightness of a pixel, of 255.

    Raises:
        ConfigError: A subset cannot contain every class.
    """

    training: int = 60
    validation: int = 6
    testing: int = 20
    seconds: tuple[float, float] = (18.0, 30.0)
    size: tuple[int, int] = (96, 72)
    fps: float = 12.5
    action_seconds: tuple[float, float] = (1.5, 5.0)
    actions: tuple[int, int] = (2, 4)
    second_label: float = 0.4
    distractors: tuple[int, int] = (1, 3)
    drift: float = 8.0
    noise: float = 3.0

    def __post_init__(self) -> None:
        for name, count in self.subsets().items():
            if count < len(ACTIONS):
                hint = f"use at least {len(ACTIONS)}, one for each class"
                raise ConfigError(f"movies.{name} is {count}", hint=hint, code="invalid-value")

    def subsets(self) -> dict[str, int]:
        """The number of movies of each subset."""
        return {"training": self.training, "validation": self.validation, "testing": self.testing}


@dataclass(frozen=True)
class Movie:
    """A movie to be rendered.

    Attributes:
        video: Its id, subset, labels, duration and segments, in every subset.
        scenes: The scenes in order of time.
        times: Time of each frame in seconds, rounded to milliseconds.
        fps: Frames per second; the mean where the rate varies.
        suffix: The suffix of its file.
        noise: K x H x W x 1, added to the frames in turn.
    """

    video: Video
    scenes: tuple[Scene, ...]
    times: NDArray[np.float64]
    fps: float
    suffix: str
    noise: NDArray[np.float32]


@dataclass(frozen=True)
class _Action:
    label: str
    start: float
    end: float
    cycles: int


def plan_movies(config: MovieConfig, seed: int) -> Iterator[Movie]:
    """Plan all movies of a set, subset by subset. Each class occurs in each subset."""
    number = 0
    for part, (subset, count) in enumerate(config.subsets().items()):
        for first in np.random.default_rng([seed, part]).permutation(count).tolist():
            rng = np.random.default_rng([seed, part, number])
            labels = _draw_labels(first, config, rng)
            yield _plan_movie(number, subset, labels, config, rng)
            number += 1


def _draw_labels(first: int, config: MovieConfig, rng: np.random.Generator) -> list[str]:
    """One class or two. As the first class of a movie, all classes are equally frequent."""
    names = list(ACTIONS)
    names = names[first % len(names) :] + names[: first % len(names)]
    second = names[rng.integers(1, len(names))]
    return [names[0], second] if rng.random() < config.second_label else names[:1]


def _plan_movie(
    number: int, subset: str, labels: Sequence[str], config: MovieConfig, rng: np.random.Generator
) -> Movie:
    actions, min_duration = _draw_actions(labels, config, rng)
    times, fps, suffix = _draw_frame_times(number, min_duration, config, rng)
    duration = float(times[-1]) + 1 / fps
    cuts = _draw_cuts(actions, rng)
    scenes = tuple(
        _draw_scene(start, end, [action for action in actions if start <= action.start < end], config, rng)
        for start, end in zip([0.0, *cuts], [*cuts, duration], strict=True)
    )
    noise = rng.normal(0, config.noise, (8, *reversed(config.size), 1)).astype(np.float32)
    segments = tuple(Segment(action.label, round(action.start, 2), round(action.end, 2)) for action in actions)
    video = Video(f"movie_{number:03d}", subset, tuple(sorted(set(labels))), duration, segments)
    return Movie(video, scenes, times, fps, suffix, noise)


def _draw_actions(labels: Sequence[str], config: MovieConfig, rng: np.random.Generator) -> tuple[list[_Action], float]:
    """Actions in order of time with random gaps between them, and the duration of the movie that they need."""
    drawn = [label for label in labels for _ in range(rng.integers(config.actions[0], config.actions[1] + 1))]
    drawn = [drawn[i] for i in rng.permutation(len(drawn))]
    lengths, cycles = [], []
    shortest, longest = config.action_seconds
    for label in drawn:
        cycle = CYCLE_SECONDS[label] * rng.uniform(0.8, 1.2)
        cycles.append(int(np.clip(round(rng.uniform(shortest, longest) / cycle), np.ceil(shortest / cycle), None)))
        lengths.append(cycles[-1] * cycle)
    filled = sum(lengths) + MIN_GAP * (len(drawn) + 1)
    duration = max(rng.uniform(*config.seconds), filled / MAX_ACTION_SHARE)
    gaps = MIN_GAP + (duration - filled) * rng.dirichlet(np.ones(len(drawn) + 1))
    starts = np.cumsum(gaps[:-1]) + np.cumsum([0.0, *lengths[:-1]])
    return [
        _Action(label, float(start), float(start) + length, count)
        for label, start, length, count in zip(drawn, starts, lengths, cycles, strict=True)
    ], duration


def _draw_frame_times(
    number: int, duration: float, config: MovieConfig, rng: np.random.Generator
) -> tuple[NDArray[np.float64], float, str]:
    """Times of the frames, their rate and the suffix. Of eight movies one has twice the rate and one a variable one."""
    kind = number % 8
    fps = 2 * config.fps if kind == 5 else config.fps
    steps = np.full(round(duration * fps), 1 / fps)
    if kind == 3:
        steps *= rng.uniform(0.5, 1.5, len(steps))
        steps *= duration / steps.sum()
    times = np.round(np.cumsum(steps) - steps[0], 3)
    return times, fps, {3: ".mkv", 6: ".avi"}.get(kind, ".mp4")


def _draw_cuts(actions: Sequence[_Action], rng: np.random.Generator) -> list[float]:
    """Up to two cuts, in the middle of gaps between actions."""
    gaps = [(previous.end + following.start) / 2 for previous, following in pairwise(actions)]
    count = min(len(gaps), int(rng.integers(3)))
    return sorted(rng.choice(gaps, count, replace=False).tolist())


def _draw_scene(
    start: float, end: float, actions: Sequence[_Action], config: MovieConfig, rng: np.random.Generator
) -> Scene:
    width, height = config.size
    color = tuple(rng.uniform(60, 190, 3).tolist())
    tint = tuple((rng.uniform(8, 22) * rng.uniform(0.5, 1, 3)).tolist())
    angle, speed = rng.uniform(0, 2 * np.pi), rng.uniform(0, config.drift)
    drift = (float(speed * np.cos(angle)), float(speed * np.sin(angle)))
    points = [_draw_point(ACTOR_REGION, config, rng)]
    actor = Sprite(_draw_appearance(color, rng), _perform(start, end, actions, points[0], config, rng))
    distractors = []
    for _ in range(rng.integers(config.distractors[0], config.distractors[1] + 1)):
        points.append(_draw_point(DISTRACTOR_REGION, config, rng, points))
        appearance = _draw_appearance(color, rng)
        moves = tuple(_idle(start, end, points[-1], DISTRACTOR_REGION, config, rng))
        distractors.append(Sprite(appearance, moves))
    return Scene(end, color, tint, cloud_texture(rng, height, width), drift, (*distractors, actor))


def _draw_appearance(background: Color, rng: np.random.Generator) -> Appearance:
    first = _draw_contrasting_color([background], rng)
    return Appearance(
        radius=rng.uniform(9.0, 13.0),
        lobes=int(rng.integers(2, 6)),
        depth=rng.uniform(0.35, 0.65),
        angle=rng.uniform(0, 2 * np.pi),
        colors=(first, _draw_contrasting_color([background, first], rng)),
    )


def _draw_contrasting_color(others: Sequence[Color], rng: np.random.Generator) -> Color:
    """Of eight random colors the one that differs most from the others."""
    candidates = rng.uniform(0, 255, (8, 3))
    distances = np.abs(candidates[:, None] - np.array(others)).mean(2).min(1)
    return tuple(candidates[distances.argmax()].tolist())


def _draw_point(region: Region, config: MovieConfig, rng: np.random.Generator, others: Sequence[Point] = ()) -> Point:
    """Of four random points in a region the one that is farthest from the others."""
    candidates = rng.uniform(*region, (4, 2)) * config.size
    distances = [min((float(np.hypot(*(point - other))) for other in others), default=0.0) for point in candidates]
    x, y = candidates[int(np.argmax(distances))].tolist()
    return x, y


def _perform(
    start: float, end: float, actions: Sequence[_Action], point: Point, config: MovieConfig, rng: np.random.Generator
) -> tuple[Move, ...]:
    """The moves of the actor: actions, and idle moves between them."""
    moves: list[Move] = []
    for action in actions:
        moves += _idle(start, action.start, point, ACTOR_REGION, config, rng)
        point = moves[-1].target
        reach = rng.uniform(9, 13)
        moves.append(Move(action.label, action.start, action.end, point, point, action.cycles, reach))
        start = action.end
    return (*moves, *_idle(start, end, point, ACTOR_REGION, config, rng))


def _idle(
    start: float, end: float, point: Point, region: Region, config: MovieConfig, rng: np.random.Generator
) -> list[Move]:
    """Moves of no class, one after the other, until the end."""
    moves: list[Move] = []
    kinds, probabilities = list(IDLE_PROBABILITIES), list(IDLE_PROBABILITIES.values())
    while start < end:
        until = start + rng.uniform(1.5, 4)
        until = end if until > end - MIN_IDLE_SECONDS else until
        kind = str(rng.choice(kinds, p=probabilities)) if until - start >= MIN_IDLE_SECONDS else "rest"
        if kind == "walk":
            moves.append(Move("rest", start, until, point, _draw_point(region, config, rng)))
        elif kind == "jitter":
            moves += _jitter(start, until, point, rng)
        else:
            moves.append(Move(kind, start, until, point, point, max(1, round((until - start) / 2)), reach=10.0))
        start, point = until, moves[-1].target
    return moves


def _jitter(start: float, end: float, center: Point, rng: np.random.Generator) -> Iterator[Move]:
    """Small random steps around a point, four per second."""
    times = np.linspace(start, end, 1 + round((end - start) / 0.25))
    point = center
    for since, until in zip(times[:-1].tolist(), times[1:].tolist(), strict=True):
        x, y = (np.array(center) + rng.uniform(-5, 5, 2)).tolist()
        yield Move("rest", since, until, point, (x, y))
        point = (x, y)
