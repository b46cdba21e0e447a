"""What makes an action hard to find: its traits from the annotations alone, and how each size of them fares.

A trait has five sizes with fixed bounds, 1, 3, 10 and 30 in its unit, the same for every data set.
"""

from collections import Counter
from collections.abc import Callable

import numpy as np

from wtal.analysis.layout import Layout
from wtal.analysis.records import BOUNDS, SIZES, Group, Trait
from wtal.matching import Bools, Floats, Ints
from wtal.records import Video

UNKNOWN = -1
PRECISE = 9  # decimals: 4.3 - 1.3 is 3


def traits(layout: Layout, taken: Ints, missed: Bools, interpolated: bool) -> tuple[Trait, ...]:
    """Every trait by size. `taken` is tIoUs x N, `missed` says it of each of the M actions."""
    found = []
    for name, (unit, measure) in TRAITS.items():
        sizes = sizes_of(np.concatenate([measure(video) for video in layout.videos]))
        groups = tuple(
            group(layout, taken, missed, sizes == place, interpolated, size) for place, size in enumerate(SIZES)
        )
        found.append(Trait(name, unit, groups, int((sizes == UNKNOWN).sum())))
    return tuple(found)


def group(layout: Layout, taken: Ints, missed: Bools, members: Bools, interpolated: bool, size: str) -> Group:
    """How the actions fare of which `members` is true. M"""
    score = normalised_map(layout, taken, members, interpolated) if members.any() else None
    return Group(size, int(members.sum()), int(missed[members].sum()), score)


def normalised_map(layout: Layout, taken: Ints, members: Bools, interpolated: bool) -> float:
    """DETAD's normalised mAP of some actions, the mean over tIoUs and over the classes that have any of them.

    Predictions that take other actions are passed over. So that a class or a group with more actions is not
    the easier one for it, precision is R N / (R N + false positives): R is recall among these actions, and N the
    number of all actions over that of all classes, in place of the class's own number.
    """
    usual = len(layout.actions) / len(layout.classes)
    there = np.bincount(layout.actions.label[members], minlength=len(layout.classes))
    ours = np.append(members, False)  # -1, the last: a false positive takes none
    at_tious = [layout.mean_precision(ours[took], took < 0, interpolated, there, usual) for took in taken]
    return float(np.mean(at_tious))


def sizes_of(values: Floats) -> Ints:
    """The place in SIZES of each value, a bound belonging to the smaller size; UNKNOWN for nan."""
    places = np.searchsorted(BOUNDS, values.round(PRECISE))
    return np.where(np.isnan(values), UNKNOWN, places)


def lengths(video: Video) -> Floats:
    """Seconds from start to end of each action."""
    return np.array([action.end - action.start for action in video.actions], np.float64)


def coverages(video: Video) -> Floats:
    """Percent of the video that each action fills; nan where nobody says how long the video is."""
    return 100 * lengths(video) / (video.duration or np.nan)


def crowds(video: Video) -> Floats:
    """How many actions of its class the video has, for each action."""
    counts = Counter(action.label for action in video.actions)
    return np.array([counts[action.label] for action in video.actions], np.float64)


def distances(video: Video) -> Floats:
    """Seconds from each action to the nearest other one of any class: 0 where they meet, inf where it is alone."""
    starts = np.array([action.start for action in video.actions], np.float64)
    ends = np.array([action.end for action in video.actions], np.float64)
    order = np.argsort(starts, kind="stable")
    before = np.append(-np.inf, np.maximum.accumulate(ends[order])[:-1])[: len(order)]
    after = np.append(starts[order][1:], np.inf)[: len(order)]
    gaps = np.empty(len(order))
    gaps[order] = np.minimum(starts[order] - before, after - ends[order]).clip(min=0)
    return gaps


Measure = Callable[[Video], Floats]
TRAITS: dict[str, tuple[str, Measure]] = {
    "length": ("seconds", lengths),
    "coverage": ("% of the video", coverages),
    "instances of its class": ("in the video", crowds),
    "distance to the next action": ("seconds", distances),
}
