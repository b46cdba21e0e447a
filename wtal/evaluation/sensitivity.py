"""What makes segments hard to detect: recall and normalized mAP by the length of a segment and other traits.

Follows the sensitivity analysis of Alwassel et al., Diagnosing Error in Temporal Action Detectors (DETAD, ECCV 2018).
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from wtal.core.arrays import Bools, Floats, Ints
from wtal.core.structures import Video
from wtal.evaluation.average_precision import mean_average_precision
from wtal.evaluation.evaluate import ScoringInputs

SIZES = ("XS", "S", "M", "L", "XL")
SIZE_BOUNDS = (1, 3, 10, 30)  # of every trait in its unit: XS up to 1, S up to 3, M up to 10, L up to 30, XL above
UNKNOWN_SIZE = -1
DECIMALS = 9  # removes rounding errors, so that 4.3 - 1.3 is 3


@dataclass(frozen=True)
class Group:
    """The ground-truth segments of one size."""

    size: str
    instances: int
    missed: int  # matched by no counted prediction at the tIoU of the analysis
    normalised_map: float | None  # average over the protocol's tIoUs; None without instances

    @property
    def miss_rate(self) -> float | None:
        """The fraction that is missed; None without instances."""
        return self.missed / self.instances if self.instances else None


@dataclass(frozen=True)
class Trait:
    """The ground-truth segments by one trait, one group for each size."""

    name: str
    unit: str
    groups: tuple[Group, ...]
    unknown: int = 0  # number of segments for which the trait is not known


def group_by_traits(inputs: ScoringInputs, matched: Ints, missed: Bools, interpolated: bool) -> tuple[Trait, ...]:
    """Results for the segments of each size, for every trait.

    Args:
        inputs: What is scored: N proposals, M ground-truth segments.
        matched: Segment that each proposal is matched with, -1 for none. tIoUs x N.
        missed: Segments that count as missed. M.
        interpolated: Whether to use the precision envelope.
    """
    traits = []
    for name, (unit, measure) in TRAITS.items():
        sizes = size_indices(np.concatenate([measure(video) for video in inputs.videos]))
        groups = tuple(
            make_group(inputs, matched, missed, sizes == index, interpolated, size) for index, size in enumerate(SIZES)
        )
        traits.append(Trait(name, unit, groups, int((sizes == UNKNOWN_SIZE).sum())))
    return tuple(traits)


def make_group(
    inputs: ScoringInputs, matched: Ints, missed: Bools, members: Bools, interpolated: bool, size: str
) -> Group:
    """Results for the segments for which `members` is true (M)."""
    score = normalised_map(inputs, matched, members, interpolated) if members.any() else None
    return Group(size, int(members.sum()), int(missed[members].sum()), score)


def normalised_map(inputs: ScoringInputs, matched: Ints, members: Bools, interpolated: bool) -> float:
    """DETAD's normalized mAP of some segments: the mean over tIoUs and over the classes that have any of them.

    Proposals that match other segments are ignored. Precision is `R N / (R N + false positives)`, where R is the
    recall among these segments and N the mean number of segments per class. So a class or a group does not score
    higher only because it has more segments.
    """
    mean_instances = len(inputs.ground_truth) / len(inputs.classes)
    instances = np.bincount(inputs.ground_truth.label[members], minlength=len(inputs.classes))
    is_member = np.append(members, False)  # index -1: no match
    label = inputs.proposals.label
    return float(
        np.mean(
            [
                mean_average_precision(label, is_member[row], row < 0, instances, interpolated, mean_instances)
                for row in matched
            ]
        )
    )


def size_indices(values: Floats) -> Ints:
    """Index into SIZES of each value, UNKNOWN_SIZE for nan. A bound belongs to the smaller size."""
    return np.where(np.isnan(values), UNKNOWN_SIZE, np.searchsorted(SIZE_BOUNDS, values.round(DECIMALS)))


def lengths(video: Video) -> Floats:
    """Length of each segment in seconds."""
    return np.array([segment.end - segment.start for segment in video.segments], np.float64)


def coverages(video: Video) -> Floats:
    """Percentage of the video that each segment covers; nan if the duration of the video is unknown."""
    return 100 * lengths(video) / (video.duration or np.nan)


def class_counts(video: Video) -> Floats:
    """Number of segments in the video that have the label of each segment."""
    counts = Counter(segment.label for segment in video.segments)
    return np.array([counts[segment.label] for segment in video.segments], np.float64)


def distances(video: Video) -> Floats:
    """Seconds from each segment to the nearest other one of any class: 0 if they touch, inf if it is the only one."""
    starts = np.array([segment.start for segment in video.segments], np.float64)
    ends = np.array([segment.end for segment in video.segments], np.float64)
    order = np.argsort(starts, kind="stable")
    previous_end = np.append(-np.inf, np.maximum.accumulate(ends[order])[:-1])[: len(order)]
    next_start = np.append(starts[order][1:], np.inf)[: len(order)]
    gaps = np.empty(len(order))
    gaps[order] = np.minimum(starts[order] - previous_end, next_start - ends[order]).clip(min=0)
    return gaps


TRAITS: dict[str, tuple[str, Callable[[Video], Floats]]] = {  # name -> unit, value for each segment of a video
    "length": ("seconds", lengths),
    "coverage": ("% of the video", coverages),
    "instances of its class": ("in the video", class_counts),
    "distance to the next action": ("seconds", distances),
}
