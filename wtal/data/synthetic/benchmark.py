"""A synthetic benchmark: the annotations of a real benchmark with synthetic I3D-like features, in a public layout.

Axes: T snippets, C classes, K latent dimensions of both modalities, W width of one modality.
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
from wtal.core.structures import Video
from wtal.data.dataset import unusable_ids
from wtal.data.ground_truth import read_ground_truth
from wtal.data.layouts.convert import SYNTHETIC_NAME
from wtal.data.layouts.thumos import AMBIGUOUS_NAME
from wtal.data.problems import raise_first
from wtal.data.synthetic.layout_writers import TWO_SUBSET_LAYOUTS, WRITERS
from wtal.data.synthetic.signal import Directions, Timeline, normalize, unit_vectors

CLOCK = SnippetClock(16 / 25)  # 16 frames at 25 frames per second, as in public I3D features
LATENT_WIDTH = 64  # dimensions in which one modality varies; K is twice as many
NUM_ASPECTS = 3  # ways in which an action shows its class; each video shows mostly some of them
CLASSES_PER_SCENE = 2

# Lengths of vectors; the noise of a snippet has length 1 in each direction.
EARLY = 30.0
LATE = 22.0
STYLE = 3.0
SCENE = 6.0
DRIFT = 4.0
DISTRACTOR = 5.0
DISTRACTORS_PER_MINUTE = 2.0
HIDDEN_SHARE = 0.12  # share of snippets in which an action is not visible, such as during occlusion
LOOKALIKES_PER_MINUTE = 1.0  # single snippets that look like an action and are none
FEATURE_STD = 0.3  # standard deviation of a feature through noise alone, about that of I3D

VALIDATION_SHARE = 4926 / 14377  # of ActivityNet's annotated videos, where no subsets are given
EXTRA_SECONDS = 10.0  # duration of a video after its last segment, where no duration is given


@dataclass(frozen=True)
class SignalConfig:
    """The strength of the signal and the width of the features.

    Attributes:
        strength: Factor on the strength of actions, 0 to 100.
        context: Factor on the strength of the scenes around them, 0 to 100.
        width: Width of RGB, and of flow.
        seed: The seed of all random numbers.

    Raises:
        ConfigError: A value is out of range.
    """

    strength: float = 1.0
    context: float = 1.0
    width: int = 1024
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("strength", "context"):
            value = getattr(self, name)
            if not 0 <= value <= 100:
                raise _invalid_option(name, f"{value:g}", "use a number from 0 to 100")
        if not 1 <= self.width <= 1 << 16:
            raise _invalid_option("width", str(self.width), f"use an integer from 1 to {1 << 16}")
        if self.seed < 0:
            raise _invalid_option("seed", str(self.seed), "use 0 or more")


def write_synthetic_benchmark(
    annotations: Path,
    out: Path,
    layout: str = "plain",
    signal: SignalConfig | None = None,
    share: float = 1.0,
    on_progress: Callable[[int, int], object] | None = None,
) -> tuple[Video, ...]:
    """Write synthetic features for real annotations in a public layout.

    The same seed gives the same features in every layout, up to rounding.

    Args:
        annotations: Ground truth as `read_ground_truth` reads it. Training videos need segments.
        out: The folder to write. An earlier synthetic benchmark in it is replaced. It is written completely or not at
            all.
        layout: A name in `WRITERS`. Layouts of two subsets hold the training videos and those that are scored:
            validation if there are validation and testing videos, as in ActivityNet.
        signal: The strength of the signal and the width of the features.
        share: The share of each subset to keep, above 0 and at most 1.
        on_progress: Called with the number of videos done and of all videos.

    Returns:
        The videos that were written.

    Raises:
        ConfigError: An unknown layout, or a share out of range.
        DataError: The annotations cannot be used, or `out` holds anything else.
    """
    if layout not in WRITERS:
        raise _invalid_option("layout", repr(layout), f"use one of {', '.join(WRITERS)}", "unknown-name")
    if not 0 < share <= 1:
        raise _invalid_option("share", f"{share:g}", "use a number above 0, at most 1")
    if out.exists() and not out.is_dir():
        raise DataError("is a file", path=out, hint="choose another folder", code="not-a-directory")
    if out.is_dir() and any(out.iterdir()) and not (out / SYNTHETIC_NAME).is_file():
        message = "the folder is not empty and holds no synthetic benchmark"
        raise DataError(message, path=out, hint="choose an empty or a new folder", code="already-exists")
    require_not_input(out, annotations, *realpath(annotations).parents, hint="choose another folder")
    signal = signal or SignalConfig()
    annotated = read_complete_annotations(annotations, signal.seed)
    world = make_world(sorted({label for video in annotated for label in _class_names(video)}), signal)
    videos = _sample(annotated, share, signal.seed)
    if layout in TWO_SUBSET_LAYOUTS:
        scored = "validation" if any(video.subset == "validation" for video in videos) else "testing"
        videos = [video for video in videos if video.subset in ("training", scored)]
    num_done = 0

    def make_features(video: Video) -> NDArray[np.float32]:
        nonlocal num_done
        features = snippet_features(world, video)
        num_done += 1
        if on_progress:
            on_progress(num_done, len(videos))
        return features

    def write(folder: Path) -> None:
        WRITERS[layout](folder, videos, make_features, CLOCK)
        if (annotations / AMBIGUOUS_NAME).is_file():
            shutil.copyfile(annotations / AMBIGUOUS_NAME, folder / AMBIGUOUS_NAME)
        about = {"annotations": str(annotations.absolute()), "layout": layout, "share": share}
        write_json(folder / SYNTHETIC_NAME, {**about, **asdict(signal), "videos": len(videos)})

    atomic_write_dir(realpath(out), write)
    return tuple(videos)


def _invalid_option(name: str, value: str, hint: str, code: str = "invalid-value") -> ConfigError:
    return ConfigError(f"--{name} is {value}", hint=hint, code=code)


# Annotations


def read_complete_annotations(path: Path, seed: int = 0) -> list[Video]:
    """Read ground truth, and fill in missing subsets and durations.

    Args:
        path: Ground truth as `read_ground_truth` reads it.
        seed: The seed for the choice of validation videos.

    Returns:
        The videos in file order. Without any subset, as in a plain list of ActivityNet's videos, those without
        annotations are for testing, and a share of the others as in ActivityNet is for validation. A video of unknown
        duration ends 10 s after its last segment.

    Raises:
        DataError: The annotations are malformed, have other subsets, or no training video has segments.
    """
    videos = read_ground_truth(path)
    raise_first(unusable_ids(videos, path))
    if not any(video.subset for video in videos):
        annotated = [video.id for video in videos if _class_names(video)]
        num_validation = round(VALIDATION_SHARE * len(annotated))
        validation = np.random.default_rng([seed, 2]).permutation(annotated)[:num_validation].tolist()
        subsets = {**dict.fromkeys(annotated, "training"), **dict.fromkeys(validation, "validation")}
        videos = [replace(video, subset=subsets.get(video.id, "testing")) for video in videos]
    for video in videos:
        if video.subset not in ("training", "validation", "testing"):
            hint = "use training, validation or testing for each video"
            message = f"unknown subset {video.subset!r}"
            raise DataError(message, path=path, location=video.id, hint=hint, code="unknown-name")
    if not any(video.segments for video in videos if video.subset == "training"):
        message = "no training video has segments, which synthetic features need"
        raise DataError(message, path=path, hint="use the original annotations", code="no-segments")
    return [video if video.duration else replace(video, duration=_min_duration(video)) for video in videos]


def _min_duration(video: Video) -> float:
    return max((segment.end for segment in video.segments), default=0.0) + EXTRA_SECONDS


def _sample(videos: Sequence[Video], share: float, seed: int) -> list[Video]:
    """A random share of each subset. Of each class that has training videos at least one is kept."""
    shuffled = [videos[i] for i in np.random.default_rng([seed, 3]).permutation(len(videos))]
    kept: set[str] = set()
    for subset in ("training", "validation", "testing"):
        ids = [video.id for video in shuffled if video.subset == subset]
        kept.update(ids[: math.ceil(share * len(ids))])
    training = [video for video in shuffled if video.subset == "training"]
    classes = {name for video in training if video.id in kept for name in _class_names(video)}
    for video in training:
        if not _class_names(video) <= classes:
            kept.add(video.id)
            classes |= _class_names(video)
    return [video for video in videos if video.id in kept]


def _class_names(video: Video) -> set[str]:
    """The classes of tags and of segments, which may differ."""
    return {*video.labels, *(segment.label for segment in video.segments)}


# The signal


@dataclass(frozen=True)
class BenchmarkWorld:
    """What all videos share.

    Attributes:
        config: The strength of the signal and the width of the features.
        class_indices: The index of each class name.
        directions: Directions of the signal, in K dimensions.
        projections: 2 x K/2 x W, from the latent dimensions of RGB and of flow to features.
        base: 2W, the features of a snippet without signal and noise.
    """

    config: SignalConfig
    class_indices: dict[str, int]
    directions: Directions
    projections: NDArray[np.float32]
    base: NDArray[np.float32]


def make_world(classes: Sequence[str], config: SignalConfig) -> BenchmarkWorld:
    """Draw what all videos share. The same classes and configuration give the same result."""
    rng = np.random.default_rng([config.seed, 0])
    num_classes, width = len(classes), 2 * LATENT_WIDTH
    # Each class is more visible in one modality than in the other, so that fusing them helps.
    balance = np.repeat(rng.uniform(0.3, 1.0, (num_classes, 2)), LATENT_WIDTH, axis=1)  # C x K
    # The aspects of one class have something in common.
    early = normalize(unit_vectors(rng, num_classes, 1, width) + unit_vectors(rng, num_classes, NUM_ASPECTS, width))
    early = normalize(early * balance[:, None])
    late = normalize(unit_vectors(rng, num_classes, width) * balance)
    num_scenes = math.ceil(num_classes / CLASSES_PER_SCENE)
    directions = Directions.draw(rng, early, late, num_scenes, np.float32)
    # Drawn last, so that the directions do not depend on the width.
    projections = FEATURE_STD * np.stack([_draw_projection(rng, config.width) for _ in range(2)])
    base = FEATURE_STD * rng.uniform(0.5, 1.5, 2 * config.width)
    class_indices = {name: index for index, name in enumerate(classes)}
    return BenchmarkWorld(config, class_indices, directions, projections.astype(np.float32), base.astype(np.float32))


def _draw_projection(rng: np.random.Generator, width: int) -> NDArray[np.float64]:
    """From latent dimensions to features: a rotation where the width allows it, with columns of length about 1."""
    rows = max(width, LATENT_WIDTH)
    rotation, _ = np.linalg.qr(rng.standard_normal((rows, LATENT_WIDTH)))
    return np.sqrt(rows / LATENT_WIDTH) * rotation[:width].T


def snippet_features(world: BenchmarkWorld, video: Video, clock: SnippetClock = CLOCK) -> NDArray[np.float32]:
    """Make the RGB and flow features of a video. They depend on the world and the video only.

    Args:
        world: What all videos share.
        video: A video with a duration.
        clock: The times of the snippets.

    Returns:
        T x 2W, none below 0. T is the number of whole snippets, at least 1.
    """
    assert video.duration is not None
    middles = clock.seconds(np.arange(max(1, int(clock.snippets(video.duration)))) + 0.5)  # T
    timeline = Timeline(middles, clock.stride)
    id_seed = int.from_bytes(hashlib.sha256(video.id.encode()).digest()[:8], "big")
    rng = np.random.default_rng([world.config.seed, 1, id_seed])
    latent = rng.standard_normal((len(middles), 2 * LATENT_WIDTH), dtype=np.float32)  # T x K
    latent += _drift(world, timeline, rng)
    num_distractors = rng.poisson(DISTRACTORS_PER_MINUTE * timeline.length / 60)
    distractors = timeline.short_events(num_distractors, (2, 6), rng).astype(np.float32)
    latent += DISTRACTOR * (distractors @ world.directions.distractors)
    latent += _scenes(world, video, timeline, rng)
    latent += _actions(world, video, timeline, rng)
    # A single large array, as allocating them takes time.
    width = world.config.width
    features = np.empty((len(latent), 2 * width), np.float32)
    np.matmul(latent[:, :LATENT_WIDTH], world.projections[0], out=features[:, :width])
    np.matmul(latent[:, LATENT_WIDTH:], world.projections[1], out=features[:, width:])
    features += world.base
    return np.maximum(features, 0, out=features)  # as after I3D's last ReLU


def _drift(world: BenchmarkWorld, timeline: Timeline, rng: np.random.Generator) -> NDArray[np.float32]:
    """Slow waves around a random point. T x K."""
    directions = world.directions.drift
    center, phase = rng.standard_normal(len(directions)), rng.uniform(0, 2 * np.pi, len(directions))
    period = rng.uniform(20, 120, len(directions))  # s
    path = center + np.sqrt(2) * np.sin(2 * np.pi * timeline.middles[:, None] / period + phase)  # T x 6
    return (DRIFT / np.sqrt(2 * len(directions)) * path).astype(np.float32) @ directions


def _scenes(world: BenchmarkWorld, video: Video, timeline: Timeline, rng: np.random.Generator) -> NDArray[np.float32]:
    """Scenes around the segments of their classes, and sometimes elsewhere. T x K."""
    directions = world.directions.scenes
    spans: dict[int, list[tuple[float, float]]] = {}
    for segment in video.segments:
        scene = world.class_indices[segment.label] // CLASSES_PER_SCENE
        spans.setdefault(scene, []).append((segment.start, segment.end))
    spans = {scene: around for scene, around in spans.items() if rng.random() < 0.8}
    if rng.random() < 0.5:
        position = rng.uniform(0, timeline.length)
        spans.setdefault(int(rng.integers(len(directions))), [(position, position)])
    level = np.zeros((len(timeline.middles), len(directions)), np.float32)
    for scene, around in spans.items():
        level[:, scene] = timeline.surroundings(around, (2, 8), rng)
        level[:, scene] *= rng.uniform(0.7, 1.3)
    scenes = sorted(spans)
    return world.config.context * SCENE * (level[:, scenes] @ directions[scenes])


def _actions(world: BenchmarkWorld, video: Video, timeline: Timeline, rng: np.random.Generator) -> NDArray[np.float32]:
    """The actions, and single snippets elsewhere that look like them. T x K.

    A video shows a class mostly by some of its aspects, so different videos identify it by different parts.
    """
    num_snippets = len(timeline.middles)
    added = np.zeros((num_snippets, 2 * LATENT_WIDTH), np.float32)
    visible = rng.random(num_snippets) >= HIDDEN_SHARE  # T
    for label in sorted({segment.label for segment in video.segments}):
        c = world.class_indices[label]
        aspects = normalize(rng.exponential(size=NUM_ASPECTS) ** 2)
        early = EARLY * aspects @ world.directions.early[c]
        is_lookalike = rng.random(num_snippets) < LOOKALIKES_PER_MINUTE * timeline.stride / 60  # T
        added[is_lookalike] += early.astype(np.float32)
        style = STYLE / np.sqrt(2) * rng.standard_normal(2) @ world.directions.style[c]
        for _, start, end, _ in (segment for segment in video.segments if segment.label == label):
            late = timeline.late_share(start, max(end - start, timeline.stride))  # T
            course = np.outer(1 - late, early) + np.outer(late, LATE * world.directions.late[c]) + style
            coverage = visible * timeline.coverage(start, end).astype(np.float32)
            added += (rng.uniform(0.6, 1.4) * coverage[:, None] * course).astype(np.float32)
    return world.config.strength * added
