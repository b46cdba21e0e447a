"""A rehearsal of a benchmark: real annotations, made-up features, in a public layout.

FROM: Made-up I3D-like features of one video, from its actions. Axes: T snippets, K latent dimensions, W width.
"""

import hashlib
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wtal.core.clock import SnippetClock
from wtal.core.errors import ConfigError, DataError
from wtal.core.io import atomic_write_dir, realpath, require_not_input, write_json
from wtal.core.structures import Segment, Video
from wtal.data.dataset import unusable_ids
from wtal.data.ground_truth import AMBIGUOUS_NAME, read_ground_truth
from wtal.data.layouts.convert import SYNTHETIC_NAME as MARK
from wtal.data.problems import raise_first
from wtal.data.synthetic.layouts import LAYOUTS, TWO_PARTS

CLOCK = SnippetClock(16 / 25)  # 16 frames at 25 a second, as public I3D features have it
LATENT = 64  # dimensions in which one modality varies; K is twice as many
ASPECTS = 3  # ways in which an action shows its class; each video shows mostly some of them
PER_SCENE = 2  # classes that share a scene

# Lengths of vectors, where the noise of a snippet has length 1 in each direction.
EARLY = 30.0  # of an action's first part, by which its class is easily told
LATE = 22.0  # of the rest: the completeness problem
STYLE = 3.0  # of one video's own way of doing it
SCENE = 6.0  # of what surrounds the actions of a class: the context-confusion problem
DRIFT = 4.0  # of what a video slowly goes through
DISTRACTOR = 5.0  # of short events that belong to no class
DISTRACTORS = 2.0  # a minute
HIDDEN = 0.12  # share of snippets in which an action does not show: it is covered, or the camera turns
LOOKALIKES = 1.0  # a minute: single snippets that look like an action and are none
LEVEL = 0.3  # standard deviation of a feature that noise alone moves, about I3D's


@dataclass(frozen=True)
class SignalConfig:
    """How strong the signal is, how wide each modality, and which world is drawn.

    `strength` multiplies what actions add, `context` the scenes around them. Raises ConfigError out of bounds.
    """

    strength: float = 1.0
    context: float = 1.0
    width: int = 1024  # of RGB, and of flow
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("strength", "context"):
            value = getattr(self, name)
            if not 0 <= value <= 100:
                raise ConfigError(f"--{name} is {value:g}; use a number from 0 to 100")
        if not 1 <= self.width <= 1 << 16:
            raise ConfigError(f"--width is {self.width}; use a whole number from 1 to {1 << 16}")
        if self.seed < 0:
            raise ConfigError(f"--seed is {self.seed}; use 0 or more")


@dataclass(frozen=True)
class World:
    """The directions that all videos share, of length one in K dimensions, and how they become features."""

    settings: SignalConfig
    number: dict[str, int]  # of each class
    early: NDArray[np.float32]  # C x ASPECTS x K
    late: NDArray[np.float32]  # C x K
    style: NDArray[np.float32]  # C x 2 x K
    scene: NDArray[np.float32]  # S x K
    drift: NDArray[np.float32]  # 6 x K
    distractors: NDArray[np.float32]  # 5 x K
    layout: NDArray[np.float32]  # 2 x LATENT x W
    base: NDArray[np.float32]  # 2W  what each feature is where nothing happens


def make_world(classes: Sequence[str], settings: SignalConfig) -> World:
    """Draw the shared directions; the same classes and settings give the same."""
    rng = np.random.default_rng([settings.seed, 0])
    count = len(classes)
    scenes = math.ceil(count / PER_SCENE)
    # A class is seen better by one modality than by the other: what fusing them is for.
    balance = np.repeat(rng.uniform(0.3, 1.0, (count, 2)), LATENT, axis=1)  # C x K
    # The aspects of one class have something in common.
    early = _unit(_units(rng, count, 1) + _units(rng, count, ASPECTS))
    world = {
        "early": _unit(early * balance[:, None]),
        "late": _unit(_units(rng, count) * balance),
        "style": _units(rng, count, 2),
        "scene": _units(rng, scenes),
        "drift": _units(rng, 6),
        "distractors": _units(rng, 5),
        # Drawn last, so that all above is the same whatever the width.
        "layout": LEVEL * np.stack([_layout(rng, settings.width) for _ in range(2)]),
        "base": LEVEL * rng.uniform(0.5, 1.5, 2 * settings.width),
    }
    number = {name: index for index, name in enumerate(classes)}
    return World(settings, number, **{name: array.astype(np.float32) for name, array in world.items()})


def snippet_features(world: World, video: Video, clock: SnippetClock = CLOCK) -> NDArray[np.float32]:
    """What RGB and flow show of a video whose duration is known: T x 2W, none below zero.

    T is the number of whole snippets, at least 1. What the video holds beyond its actions is drawn from the
    world's seed and the video's id, so every video can be made alone.
    """
    assert video.duration is not None
    middles = clock.seconds(np.arange(max(1, int(clock.snippets(video.duration)))) + 0.5)  # T
    id = int.from_bytes(hashlib.sha256(video.id.encode()).digest()[:8], "big")
    rng = np.random.default_rng([world.settings.seed, 1, id])
    shown = rng.standard_normal((len(middles), 2 * LATENT), dtype=np.float32)
    shown += _drift(world, middles, rng)
    shown += _distractors(world, middles, clock.stride, rng)
    shown += _scenes(world, video.segments, middles, clock.stride, rng)
    shown += _actions(world, video.segments, middles, clock.stride, rng)
    return _as_features(world, shown)


def _as_features(world: World, shown: NDArray[np.float32]) -> NDArray[np.float32]:
    """T x K -> T x 2W: laid out around each feature's own level and cut at zero, as I3D's last ReLU leaves them."""
    width = world.settings.width
    features = np.empty((len(shown), 2 * width), np.float32)  # one large array and no other: they are slow to get
    np.matmul(shown[:, :LATENT], world.layout[0], out=features[:, :width])
    np.matmul(shown[:, LATENT:], world.layout[1], out=features[:, width:])
    features += world.base
    return np.maximum(features, 0, out=features)


def _drift(world: World, middles: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float32]:
    """A place of the video's own, and slow waves around it. T x K."""
    place, phase = rng.standard_normal(len(world.drift)), rng.uniform(0, 2 * np.pi, len(world.drift))
    period = rng.uniform(20, 120, len(world.drift))  # s
    path = place + np.sqrt(2) * np.sin(2 * np.pi * middles[:, None] / period + phase)  # T x 6
    return (DRIFT / np.sqrt(2 * len(world.drift)) * path).astype(np.float32) @ world.drift


def _distractors(
    world: World, middles: NDArray[np.float64], stride: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Short events of no class, anywhere. T x K."""
    level = np.zeros((len(middles), len(world.distractors)), np.float32)
    for _ in range(rng.poisson(DISTRACTORS * len(middles) * stride / 60)):
        start, kind = rng.uniform(0, len(middles) * stride), rng.integers(len(world.distractors))
        level[:, kind] = np.maximum(level[:, kind], _covered(start, start + rng.uniform(2, 6), middles, stride))
    return DISTRACTOR * (level @ world.distractors)


def _scenes(
    world: World,
    actions: Sequence[Segment],
    middles: NDArray[np.float64],
    stride: float,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Around the actions of a scene's classes and for seconds on both sides, sometimes without them. T x K."""
    level = np.zeros((len(middles), len(world.scene)), np.float32)
    around: dict[int, list[tuple[float, float]]] = {}
    for action in actions:
        around.setdefault(world.number[action.label] // PER_SCENE, []).append((action.start, action.end))
    around = {scene: spans for scene, spans in around.items() if rng.random() < 0.8}
    if rng.random() < 0.5:
        somewhere = rng.uniform(0, len(middles) * stride)
        around.setdefault(int(rng.integers(len(world.scene))), [(somewhere, somewhere)])
    for scene, spans in around.items():
        for start, end in spans:
            before, after = rng.uniform(2, 8, 2)
            covered = _covered(start - before, end + after, middles, stride)
            level[:, scene] = np.maximum(level[:, scene], covered)
        level[:, scene] *= rng.uniform(0.7, 1.3)
    there = sorted(around)
    return world.settings.context * SCENE * (level[:, there] @ world.scene[there])


def _actions(
    world: World,
    actions: Sequence[Segment],
    middles: NDArray[np.float64],
    stride: float,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """What actions add: a telling first part that gives way to a weaker one, in the video's own way. T x K.

    A video shows a class mostly by some of its aspects, so what it leaves in doubt other videos tell.
    """
    added = np.zeros((len(middles), 2 * LATENT), np.float32)
    visible = rng.random(len(middles)) >= HIDDEN  # T
    for label in sorted({action.label for action in actions}):
        c = world.number[label]
        aspects = _unit(rng.exponential(size=ASPECTS) ** 2)
        early = EARLY * aspects @ world.early[c]
        outside = rng.random(len(middles)) < LOOKALIKES * stride / 60  # T
        added[outside] += early.astype(np.float32)
        style = STYLE / np.sqrt(2) * rng.standard_normal(2) @ world.style[c]
        for action in (action for action in actions if action.label == label):
            seconds = max(action.end - action.start, stride)
            turned = 1 / (1 + np.exp(-np.clip(((middles - action.start) / seconds - 0.35) / 0.06, -50, 50)))  # T
            course = np.outer(1 - turned, early) + np.outer(turned, LATE * world.late[c]) + style
            covered = visible * _covered(action.start, action.end, middles, stride)
            added += (rng.uniform(0.6, 1.4) * covered[:, None] * course).astype(np.float32)
    return world.settings.strength * added


def _covered(start: float, end: float, middles: NDArray[np.float64], stride: float) -> NDArray[np.float32]:
    """The share of each snippet that lies between start and end, in seconds. T."""
    shared = np.minimum(middles + stride / 2, end) - np.maximum(middles - stride / 2, start)
    return (np.clip(shared, 0, None) / stride).astype(np.float32)


def _layout(rng: np.random.Generator, width: int) -> NDArray[np.float64]:
    """Latent dimensions to features: a rotation as far as the width allows; columns of length about one."""
    rows = max(width, LATENT)
    rotation, _ = np.linalg.qr(rng.standard_normal((rows, LATENT)))
    return np.sqrt(rows / LATENT) * rotation[:width].T


def _units(rng: np.random.Generator, *shape: int) -> NDArray[np.float64]:
    """So many random directions, shape x K."""
    return _unit(rng.standard_normal((*shape, 2 * LATENT)))


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


VALIDATION = 4926 / 14377  # of ActivityNet's annotated videos, where nobody says which are its validation videos
LAST = 10.0  # s that a video of unknown duration goes on after its last action


def write_rehearsal(
    annotations: Path,
    out: Path,
    layout: str = "plain",
    signal: SignalConfig | None = None,
    share: float = 1.0,
    progress: Callable[[int, int], object] | None = None,
) -> tuple[Video, ...]:
    """Write features made up for real annotations as a data set in a public layout; returns its videos.

    The same seed gives the same features in every layout, to rounding. `share` keeps that share of each subset.
    Layouts of two parts have the training videos and those that are scored: validation where both others are
    there, as in ActivityNet. The folder is whole or not there; one that was stopped begins again. An earlier
    rehearsal in `out` is replaced. Raises ConfigError on an unknown layout or share, DataError on annotations
    that cannot be used, and where `out` holds anything else.
    """
    if layout not in LAYOUTS:
        raise ConfigError(f"--layout is {layout!r}; use one of {', '.join(LAYOUTS)}")
    if not 0 < share <= 1:
        raise ConfigError(f"--share is {share:g}; use a number above 0, at most 1")
    _require_replaceable(out)
    require_not_input(out, annotations, *realpath(annotations).parents, hint="choose another folder")
    signal = signal or SignalConfig()
    known = read_rehearsed(annotations, signal.seed)
    world = make_world(sorted({label for video in known for label in _named(video)}), signal)
    videos = _share(known, share, signal.seed)
    if layout in TWO_PARTS:
        videos = _two_parts(videos)
    done = 0

    def make(video: Video) -> NDArray[np.float32]:
        nonlocal done
        features = snippet_features(world, video)
        done += 1
        if progress:
            progress(done, len(videos))
        return features

    def write(folder: Path) -> None:
        LAYOUTS[layout](folder, videos, make, CLOCK)
        if (annotations / AMBIGUOUS_NAME).is_file():
            shutil.copyfile(annotations / AMBIGUOUS_NAME, folder / AMBIGUOUS_NAME)
        about = {"annotations": str(annotations.absolute()), "layout": layout, "share": share}
        write_json(folder / MARK, {**about, **asdict(signal), "videos": len(videos)})

    atomic_write_dir(realpath(out), write)
    return tuple(videos)


def read_rehearsed(annotations: Path, seed: int = 0) -> list[Video]:
    """The annotated videos, each with a duration and a subset, in file order.

    Where nobody says the subsets, as in a plain list of ActivityNet's videos: those without annotations are
    testing, and of the others the share that ActivityNet has, drawn from the seed, is validation. An unknown
    duration is what the actions need and some more. Raises DataError where the videos cannot be rehearsed.
    """
    videos = read_ground_truth(annotations)
    raise_first(unusable_ids(videos, annotations))
    if not any(video.subset for video in videos):
        videos = _with_subsets(videos, seed)
    if odd := next((v for v in videos if v.subset not in ("training", "validation", "testing")), None):
        raise DataError(
            f"{annotations}, {odd.id}: subset is {odd.subset!r}; give every video training, validation or testing"
        )
    if not any(video.segments for video in videos if video.subset == "training"):
        raise DataError(
            f"{annotations}: no training video says when its actions are, which made-up features need; "
            f"name the original annotations"
        )
    return [video if video.duration else replace(video, duration=_long_enough(video)) for video in videos]


def _with_subsets(videos: Sequence[Video], seed: int) -> list[Video]:
    annotated = [video.id for video in videos if _named(video)]
    drawn = np.random.default_rng([seed, 2]).permutation(annotated)[: round(VALIDATION * len(annotated))]
    subset = {**dict.fromkeys(annotated, "training"), **dict.fromkeys(drawn.tolist(), "validation")}
    return [replace(video, subset=subset.get(video.id, "testing")) for video in videos]


def _long_enough(video: Video) -> float:
    return max((action.end for action in video.segments), default=0.0) + LAST


def _share(videos: Sequence[Video], share: float, seed: int) -> list[Video]:
    """A share of each subset, drawn from the seed; every class of a training video keeps one."""
    drawn = [videos[i] for i in np.random.default_rng([seed, 3]).permutation(len(videos))]
    kept: set[str] = set()
    for subset in ("training", "validation", "testing"):
        ids = [video.id for video in drawn if video.subset == subset]
        kept.update(ids[: math.ceil(share * len(ids))])
    seen = {label for v in drawn if v.subset == "training" and v.id in kept for label in _named(v)}
    for video in drawn:
        if video.subset == "training" and not _named(video) <= seen:
            kept.add(video.id)
            seen |= _named(video)
    return [video for video in videos if video.id in kept]


def _two_parts(videos: Sequence[Video]) -> list[Video]:
    """The training videos and those that are scored."""
    scored = "validation" if any(video.subset == "validation" for video in videos) else "testing"
    return [video for video in videos if video.subset in ("training", scored)]


def _named(video: Video) -> set[str]:
    """The classes of its tags and of its actions, which need not agree."""
    return {*video.labels, *(action.label for action in video.segments)}


def _require_replaceable(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: a file is in the way; name another folder")
    if out.is_dir() and any(out.iterdir()) and not (out / MARK).is_file():
        raise DataError(f"{out}: holds something other than a rehearsal; name an empty folder, or a new one")
