"""Small movies made from a seed, with kinds of motion as actions; hands on video files and their table of tags.

FROM: What happens in each movie, drawn from a seed: which actions when, who else moves how, where the cuts are.
"""

import csv
import io
import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import partial
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

from wtal import __version__
from wtal.core.errors import ConfigError, DataError
from wtal.core.io import atomic_write_dir, read_json, realpath, write_json, write_text
from wtal.core.structures import Segment, Video
from wtal.data.synthetic.rendering import ACTIONS, Colour, Look, Move, Place, Scene, Thing, clouds

CYCLE = {"bounce": 0.8, "orbit": 1.2, "pulse": 1.0, "spin": 1.2, "zigzag": 2.4}  # seconds
Room = tuple[Place, Place]
GAP = 1.2  # seconds, at least, before and after an action
ROOM = 0.7  # share of a movie that actions and the gaps between them may fill
SHORTEST = 1.0  # seconds that a walk or a sway takes, lest it be a jump
STAGE = ((0.3, 0.45), (0.7, 0.65))  # where the actor's home may be, as shares of the picture: corner to corner
FLOOR = ((0.15, 0.2), (0.85, 0.8))  # and everybody else's
IDLE = {"rest": 0.35, "walk": 0.25, "sway": 0.15, "jitter": 0.15, "blink": 0.1}  # how often things do what


@dataclass(frozen=True)
class MovieConfig:
    """How many movies and how long; actions and movies in seconds, lengths in pixels.

    Raises ConfigError when a subset cannot show every class.
    """

    training: int = 60
    validation: int = 6
    testing: int = 20
    seconds: tuple[float, float] = (18.0, 30.0)
    size: tuple[int, int] = (96, 72)
    fps: float = 12.5
    action_seconds: tuple[float, float] = (1.5, 5.0)
    actions: tuple[int, int] = (2, 4)  # of each class that a movie carries
    second_label: float = 0.4  # chance that a movie carries a second class
    distractors: tuple[int, int] = (1, 3)  # things in a scene beside the actor
    drift: float = 8.0  # of the background in a second, at most
    noise: float = 3.0  # of each pixel's brightness, of 255

    def __post_init__(self) -> None:
        for name, movies in self.subsets().items():
            if movies < len(ACTIONS):
                raise ConfigError(f"movies.{name} is {movies}; {len(ACTIONS)} classes need as many movies at least")

    def subsets(self) -> dict[str, int]:
        """Movies in each subset."""
        return {"training": self.training, "validation": self.validation, "testing": self.testing}


@dataclass(frozen=True)
class Movie:
    """A movie to be rendered, with everything that is true of it."""

    video: Video
    scenes: tuple[Scene, ...]
    times: NDArray[np.float64]  # of the frames, whole milliseconds
    fps: float  # the mean, where the rate varies
    suffix: str
    grain: NDArray[np.float32]  # K x H x W x 1, noise that the frames take turns in


@dataclass(frozen=True)
class _Turn:
    """The actor's action: whole cycles of it."""

    label: str
    start: float
    end: float
    cycles: int


def make_movies(settings: MovieConfig, seed: int) -> Iterator[Movie]:
    """All movies of a set, subset by subset; every class occurs in each subset."""
    number = 0
    for part, (subset, count) in enumerate(settings.subsets().items()):
        for first in np.random.default_rng([seed, part]).permutation(count).tolist():
            rng = np.random.default_rng([seed, part, number])
            labels = _labels(first, settings, rng)
            yield _make_movie(number, subset, labels, settings, rng)
            number += 1


def _labels(first: int, settings: MovieConfig, rng: np.random.Generator) -> list[str]:
    """One class or two, the first of them dealt so that all come equally often."""
    names = list(ACTIONS)
    names = names[first % len(names) :] + names[: first % len(names)]
    second = names[rng.integers(1, len(names))]
    return [names[0], second] if rng.random() < settings.second_label else names[:1]


def _make_movie(
    number: int, subset: str, labels: Sequence[str], settings: MovieConfig, rng: np.random.Generator
) -> Movie:
    turns, least = _turns(labels, settings, rng)
    times, fps, suffix = _times(number, least, settings, rng)
    duration = float(times[-1]) + 1 / fps
    cuts = _cuts(turns, duration, rng)
    scenes = tuple(
        _scene(start, end, [turn for turn in turns if start <= turn.start < end], settings, rng)
        for start, end in zip([0.0, *cuts], [*cuts, duration], strict=True)
    )
    grain = rng.normal(0, settings.noise, (8, *reversed(settings.size), 1)).astype(np.float32)
    actions = tuple(Segment(turn.label, round(turn.start, 2), round(turn.end, 2)) for turn in turns)
    video = Video(f"movie_{number:03d}", subset, tuple(sorted(set(labels))), duration, actions)
    return Movie(video, scenes, times, fps, suffix, grain)


def _turns(labels: Sequence[str], settings: MovieConfig, rng: np.random.Generator) -> tuple[list[_Turn], float]:
    """Actions in order of time, gaps shared out at random between them; and how long the movie is then."""
    few, many = settings.actions
    wanted = [label for label in labels for _ in range(rng.integers(few, many + 1))]
    lengths, cycles = [], []
    wanted = [wanted[i] for i in rng.permutation(len(wanted))]
    for label in wanted:
        tempo = CYCLE[label] * rng.uniform(0.8, 1.2)
        least, most = settings.action_seconds
        cycles.append(int(np.clip(round(rng.uniform(least, most) / tempo), np.ceil(least / tempo), None)))
        lengths.append(cycles[-1] * tempo)
    filled = sum(lengths) + GAP * (len(wanted) + 1)
    duration = max(rng.uniform(*settings.seconds), filled / ROOM)
    gaps = GAP + (duration - filled) * rng.dirichlet(np.ones(len(wanted) + 1))
    starts = np.cumsum(gaps[:-1]) + np.cumsum([0.0, *lengths[:-1]])
    return [
        _Turn(label, float(start), float(start) + length, count)
        for label, start, length, count in zip(wanted, starts, lengths, cycles, strict=True)
    ], duration


def _times(
    number: int, duration: float, settings: MovieConfig, rng: np.random.Generator
) -> tuple[NDArray[np.float64], float, str]:
    """Times of the frames, their rate, and the kind of file: mostly alike, but not all."""
    kind = number % 8
    fps = 2 * settings.fps if kind == 5 else settings.fps
    steps = np.full(round(duration * fps), 1 / fps)
    if kind == 3:  # a variable frame rate
        steps *= rng.uniform(0.5, 1.5, len(steps))
        steps *= duration / steps.sum()
    times = np.round(np.cumsum(steps) - steps[0], 3)
    return times, fps, {3: ".mkv", 6: ".avi"}.get(kind, ".mp4")


def _cuts(turns: Sequence[_Turn], duration: float, rng: np.random.Generator) -> list[float]:
    """Up to two cuts to another scene, in the midst of gaps between actions."""
    gaps = [(a.end + b.start) / 2 for a, b in pairwise(turns)]
    count = min(len(gaps), int(rng.integers(3)))
    return sorted(rng.choice(gaps, count, replace=False).tolist())


def _scene(start: float, end: float, turns: Sequence[_Turn], settings: MovieConfig, rng: np.random.Generator) -> Scene:
    width, height = settings.size
    colour = tuple(rng.uniform(60, 190, 3).tolist())
    tint = tuple((rng.uniform(8, 22) * rng.uniform(0.5, 1, 3)).tolist())
    bearing, speed = rng.uniform(0, 2 * np.pi), rng.uniform(0, settings.drift)
    drift = (float(speed * np.cos(bearing)), float(speed * np.sin(bearing)))
    homes = [_home(STAGE, settings, rng)]
    actor = Thing(_look(colour, rng), _perform(start, end, turns, homes[0], settings, rng))
    others = []
    for _ in range(rng.integers(settings.distractors[0], settings.distractors[1] + 1)):
        homes.append(_home(FLOOR, settings, rng, homes))
        others.append(Thing(_look(colour, rng), tuple(_idle(start, end, homes[-1], FLOOR, settings, rng))))
    return Scene(end, colour, tint, clouds(rng, height, width), drift, (*others, actor))


def _look(ground: Colour, rng: np.random.Generator) -> Look:
    first = _colour([ground], rng)
    return Look(
        radius=rng.uniform(9.0, 13.0),
        lobes=int(rng.integers(2, 6)),
        depth=rng.uniform(0.35, 0.65),
        angle=rng.uniform(0, 2 * np.pi),
        colours=(first, _colour([ground, first], rng)),
    )


def _colour(others: Sequence[Colour], rng: np.random.Generator) -> Colour:
    """One that is told from the others at a glance."""
    drawn = rng.uniform(0, 255, (8, 3))
    apart = np.abs(drawn[:, None] - np.array(others)).mean(2).min(1)
    return tuple(drawn[apart.argmax()].tolist())


def _home(room: Room, settings: MovieConfig, rng: np.random.Generator, taken: Sequence[Place] = ()) -> Place:
    """A place in the room, rather far from those that are taken."""
    drawn = rng.uniform(*room, (4, 2)) * settings.size
    apart = [min((float(np.hypot(*(place - other))) for other in taken), default=0.0) for place in drawn]
    x, y = drawn[int(np.argmax(apart))].tolist()
    return x, y


def _perform(
    start: float, end: float, turns: Sequence[_Turn], home: Place, settings: MovieConfig, rng: np.random.Generator
) -> tuple[Move, ...]:
    """The actor's moves: its actions, and what it does between them."""
    moves: list[Move] = []
    for turn in turns:
        moves += _idle(start, turn.start, home, STAGE, settings, rng)
        home = moves[-1].target
        moves.append(Move(turn.label, turn.start, turn.end, home, home, turn.cycles, rng.uniform(9, 13)))
        start = turn.end
    return (*moves, *_idle(start, end, home, STAGE, settings, rng))


def _idle(
    start: float, end: float, home: Place, room: Room, settings: MovieConfig, rng: np.random.Generator
) -> list[Move]:
    """Moves of no class, one after the other, until the end."""
    moves: list[Move] = []
    while start < end:
        until = start + rng.uniform(1.5, 4)
        until = end if until > end - SHORTEST else until
        kind = str(rng.choice(list(IDLE), p=list(IDLE.values()))) if until - start >= SHORTEST else "rest"
        if kind == "walk":
            moves.append(Move("rest", start, until, home, _home(room, settings, rng)))
        elif kind == "jitter":
            moves += _jitter(start, until, home, rng)
        else:
            moves.append(Move(kind, start, until, home, home, max(1, round((until - start) / 2)), reach=10.0))
        start, home = until, moves[-1].target
    return moves


def _jitter(start: float, end: float, home: Place, rng: np.random.Generator) -> Iterator[Move]:
    """Small steps hither and thither, four a second."""
    times = np.linspace(start, end, 1 + round((end - start) / 0.25))
    at = home
    for since, until in zip(times[:-1].tolist(), times[1:].tolist(), strict=True):
        x, y = (np.array(home) + rng.uniform(-5, 5, 2)).tolist()
        yield Move("rest", since, until, at, (x, y))
        at = (x, y)


__all__ = ["MovieConfig", "write_movies"]

ABOUT = "movies.json"
CODECS = {".avi": ("mpeg4", {"qmin": "3", "qmax": "3"}), ".mp4": ("libx264", {}), ".mkv": ("libx264", {})}
QUICK = {"preset": "ultrafast", "crf": "23"}
TICK = Fraction(1, 1000)  # seconds; frames of a variable rate stand at whole ones


def write_movies(
    folder: Path,
    settings: MovieConfig | None = None,
    seed: int = 0,
    done: Callable[[int, int], object] = lambda *_: None,
) -> bool:
    """Write `videos/<id>.mp4` (some .mkv or .avi), `tags.csv` for `wtal init`, and movies.json, which says how.

    Training rows of the table carry labels alone. The same settings and seed give the same bytes on one machine;
    where they lie already nothing is done, and False comes back. `done` hears (movies written, all). An older set
    in `folder` is replaced; raises DataError when the folder holds anything else.
    """
    settings, folder = settings or MovieConfig(), realpath(folder)
    values = json.loads(json.dumps(asdict(settings)))  # as they will be read: lists in place of tuples
    about = {"made": f"by wtal {__version__} from a seed", "seed": seed, "settings": values}
    if _is_there(folder, about):
        return False
    atomic_write_dir(folder, lambda part: _write_parts(part, list(make_movies(settings, seed)), about, done))
    return True


def _is_there(folder: Path, about: dict[str, Any]) -> bool:
    """Whether these very movies lie in the folder. Raises DataError when what lies there is not ours to replace."""
    if not folder.exists():
        return False
    if not folder.is_dir():
        raise DataError(f"{folder}: a file is in the way; choose another folder for the movies")
    if not any(folder.iterdir()):
        return False
    path = folder / ABOUT
    found = read_json(path) if path.is_file() else None
    if not isinstance(found, dict) or "made" not in found:
        raise DataError(f"{folder}: holds something other than made movies; choose an empty folder")
    return bool(found == about)


def _write_parts(folder: Path, movies: list[Movie], about: dict[str, Any], done: Callable[[int, int], object]) -> None:
    videos = folder / "videos"
    videos.mkdir()
    with ProcessPoolExecutor(min(8, os.cpu_count() or 1), get_context("spawn"), _leave_interrupts) as pool:
        try:
            for count, _ in enumerate(pool.map(partial(_write_movie, videos), movies), start=1):
                done(count, len(movies))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    write_text(folder / "tags.csv", _table([movie.video for movie in movies]))
    write_json(folder / ABOUT, about)


def _leave_interrupts() -> None:
    """An interrupt is the parent's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _write_movie(folder: Path, movie: Movie) -> None:
    """Render and encode a movie, one thread alone: more would give other bytes on other machines."""
    codec, options = CODECS[movie.suffix]
    height, width = movie.grain.shape[1:3]
    rate = Fraction(movie.fps).limit_denominator(1000)
    path = folder / f"{movie.video.id}{movie.suffix}"
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as file:
        stream = cast(VideoStream, file.add_stream(codec, rate, options=options or QUICK))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = 1
        tick = 1 / rate if movie.suffix == ".avi" else TICK
        stream.codec_context.time_base = tick
        for frame in _frames(movie, tick):
            file.mux(stream.encode(frame))
        file.mux(stream.encode())


def _frames(movie: Movie, tick: Fraction) -> Iterator[av.VideoFrame]:
    scenes = iter(movie.scenes)
    scene = next(scenes)
    for number, time in enumerate(movie.times.tolist()):
        if time >= scene.end:
            scene = next(scenes)
        picture = scene.picture(time) + movie.grain[number * 5 % len(movie.grain)]
        frame = av.VideoFrame.from_ndarray(picture.clip(0, 255).astype(np.uint8), "rgb24")
        frame.pts, frame.time_base = round(time / tick), tick
        yield frame


def _table(videos: Sequence[Video]) -> str:
    """The tags as a person would keep them in a spreadsheet."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["video", "labels", "subset"])
    for video in videos:
        marked = [f"{action.label}[{action.start:g} to {action.end:g}]" for action in video.segments]
        cell = ";".join(video.labels) if video.subset == "training" else "; ".join(marked)
        rows.writerow([video.id, cell, video.subset])
    return text.getvalue()
