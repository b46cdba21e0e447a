"""A rehearsal of a benchmark: real annotations, made-up features, in a public layout."""

import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wtal.errors import ConfigError, DataError
from wtal.files import real, write_folder_whole, write_json
from wtal.formats.convert import REHEARSAL as MARK
from wtal.formats.plain import unusable_ids
from wtal.formats.problem import raise_first
from wtal.formats.truth import AMBIGUOUS, read_truth
from wtal.records import Video
from wtal.synthetic.layouts import LAYOUTS, TWO_PARTS
from wtal.synthetic.signal import CLOCK, SignalConfig, make_world, snippet_features

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
    if real(out) in (real(annotations), *real(annotations).parents):
        raise DataError(f"{out}: holds the annotations themselves; name another folder")
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
        if (annotations / AMBIGUOUS).is_file():
            shutil.copyfile(annotations / AMBIGUOUS, folder / AMBIGUOUS)
        about = {"annotations": str(annotations.absolute()), "layout": layout, "share": share}
        write_json(folder / MARK, {**about, **asdict(signal), "videos": len(videos)})

    write_folder_whole(real(out), write)
    return tuple(videos)


def read_rehearsed(annotations: Path, seed: int = 0) -> list[Video]:
    """The annotated videos, each with a duration and a subset, in file order.

    Where nobody says the subsets, as in a plain list of ActivityNet's videos: those without annotations are
    testing, and of the others the share that ActivityNet has, drawn from the seed, is validation. An unknown
    duration is what the actions need and some more. Raises DataError where the videos cannot be rehearsed.
    """
    videos = read_truth(annotations)
    raise_first(unusable_ids(videos, annotations))
    if not any(video.subset for video in videos):
        videos = _with_subsets(videos, seed)
    if odd := next((v for v in videos if v.subset not in ("training", "validation", "testing")), None):
        raise DataError(
            f"{annotations}, {odd.id}: subset is {odd.subset!r}; give every video training, validation or testing"
        )
    if not any(video.actions for video in videos if video.subset == "training"):
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
    return max((action.end for action in video.actions), default=0.0) + LAST


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
    return {*video.labels, *(action.label for action in video.actions)}


def _require_replaceable(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: a file is in the way; name another folder")
    if out.is_dir() and any(out.iterdir()) and not (out / MARK).is_file():
        raise DataError(f"{out}: holds something other than a rehearsal; name an empty folder, or a new one")
