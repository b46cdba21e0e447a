"""Agreement of two annotations of the same videos: two annotators, or a model and a person.

**Bins.** A recording is divided into bins of equal width. A bin has a class if its center lies inside a bout of that
class, so a bin may have several classes or none. Cohen's kappa compares the two annotations bin by bin: for each class
whether it is present, overall the whole set of classes.

**Bouts.** The bouts of a class in a video are matched one to one; as many as possible are matched. Two bouts can be
matched if their temporal IoU reaches a minimum, or if their starts and their ends each differ by at most a tolerance. A
point, a segment without a duration, can be matched with a bout or a point that is at most the tolerance away.

**Quality of bouts.** BANOS (Behavior Annotation Score, https://github.com/BelloneLab/BANOS) defines four metrics on
binary sequences. Three of them are computed on the bins: segment overlap, temporal precision and intra-bout continuity.
The fourth, detection accuracy, is precision, recall and F1 of bouts where any overlap is a match:
`AgreementOptions(min_tiou=0, tolerance=0)`.
"""

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import fmean
from typing import Any

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from wtal.core.clock import tiou
from wtal.core.errors import ConfigError
from wtal.core.structures import Segment
from wtal.evaluation.time_budget import merge_intervals

EPSILON = 1e-9  # seconds; 1.1 - 0.6 is within 0.5
MIN_BIN_WIDTH = 1e-4  # seconds

Runs = list[tuple[int, int]]  # (first bin, bin after the last one) of each bout; ascending, neither overlap nor touch


@dataclass(frozen=True)
class AgreementOptions:
    """How two annotations are compared.

    Attributes:
        bin_width: Width of a bin in seconds.
        min_tiou: Temporal IoU from which two bouts match; 0: any overlap.
        tolerance: Seconds by which start and end may each differ for two bouts to match whatever their IoU.

    Raises:
        ConfigError: A value is out of range.
    """

    bin_width: float = 0.1
    min_tiou: float = 0.5
    tolerance: float = 0.5

    def __post_init__(self) -> None:
        if not MIN_BIN_WIDTH <= self.bin_width < math.inf:
            raise ConfigError(
                f"the bin width is {self.bin_width:g} s", hint=f"use {MIN_BIN_WIDTH:g} s or more", code="invalid-value"
            )
        if not 0 <= self.min_tiou <= 1:
            raise ConfigError(f"the minimum tIoU is {self.min_tiou:g}", hint="use 0 to 1", code="invalid-value")
        if not 0 <= self.tolerance < math.inf:
            raise ConfigError(f"the tolerance is {self.tolerance:g} s", hint="use 0 s or more", code="invalid-value")


DEFAULT_OPTIONS = AgreementOptions()


@dataclass(frozen=True, slots=True)
class AgreementScores:
    """The agreement on one class, or on all of them. A score without anything to compare is None.

    Attributes:
        kappa: Cohen's kappa over the bins: 1 for equal annotations, about 0 for unrelated ones. None if chance alone
            explains perfect agreement, as for a class that fills every bin of both annotations.
        equal_bins: Share of the bins with equal labels.
        events: Number of bouts and points.
        reference_events: Number of bouts and points of the reference.
        matched: Number of matched pairs.
        segment_overlap: Mean temporal IoU of the pairs of bouts that overlap.
        temporal_precision: Mean of 1 / (1 + d) over the pairs of bouts that overlap, where d is the number of bins by
            which their starts differ plus the number by which their ends differ.
        intra_bout_continuity: Mean over the reference's bouts of 1 - k / (n - 1), where n > 1 is the number of bins
            of a bout, and k how often the compared annotation changes between two of them.
    """

    kappa: float | None
    equal_bins: float | None
    events: int
    reference_events: int
    matched: int
    segment_overlap: float | None
    temporal_precision: float | None
    intra_bout_continuity: float | None

    @property
    def precision(self) -> float | None:
        """Share of the events that are matched; None without events."""
        return self.matched / self.events if self.events else None

    @property
    def recall(self) -> float | None:
        """Share of the reference's events that are matched; None without events."""
        return self.matched / self.reference_events if self.reference_events else None

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall; None if there are no events at all."""
        count = self.events + self.reference_events
        return 2 * self.matched / count if count else None


@dataclass(frozen=True)
class Agreement:
    """The agreement of two annotations.

    Attributes:
        options: How they were compared.
        videos: The compared videos: those that both annotations have.
        classes: The agreement on each class.
        overall: The agreement on all classes.
    """

    options: AgreementOptions
    videos: tuple[str, ...]
    classes: Mapping[str, AgreementScores]
    overall: AgreementScores


def measure_agreement(
    segments: Mapping[str, Sequence[Segment]],
    reference: Mapping[str, Sequence[Segment]],
    durations: Mapping[str, float | None] | None = None,
    options: AgreementOptions = DEFAULT_OPTIONS,
) -> Agreement:
    """Compare two annotations of the same videos. Both must be complete: what is not annotated does not happen.

    Exchanging the two exchanges precision and recall, and changes nothing else except `intra_bout_continuity`.

    Args:
        segments: The segments of each video, in seconds from the start of the recording.
        reference: The segments of each video in the other annotation. Videos that only one annotation has are ignored.
        durations: The duration of each video in seconds. If it is missing or None, the recording is taken to end with
            the last segment of either annotation.
        options: Bin width, and when bouts match.
    """
    durations = durations or {}
    videos = tuple(id for id in segments if id in reference)
    classes = sorted({s.label for id in videos for s in (*segments[id], *reference[id])})
    tallies = {label: _Tally() for label in classes}
    label_sets: Counter[tuple[Hashable, Hashable]] = Counter()
    for id in videos:
        sides = _by_label(segments[id]), _by_label(reference[id])
        count = _count_bins(durations.get(id), (*segments[id], *reference[id]), options.bin_width)
        runs = [{label: _to_runs(group, options.bin_width, count) for label, group in side.items()} for side in sides]
        label_sets.update(_count_label_sets(runs[0], runs[1], count))
        for label in {**sides[0], **sides[1]}:
            tallies[label].add_events(sides[0].get(label, []), sides[1].get(label, []), options)
            tallies[label].add_runs(runs[0].get(label, []), runs[1].get(label, []))
    presence = _presence_by_class(label_sets, classes)
    return Agreement(
        options,
        videos,
        {label: tally.scores(presence[label]) for label, tally in tallies.items()},
        sum(tallies.values(), _Tally()).scores(label_sets),
    )


def agreement_by_video(
    segments: Mapping[str, Sequence[Segment]],
    reference: Mapping[str, Sequence[Segment]],
    durations: Mapping[str, float | None] | None = None,
    options: AgreementOptions = DEFAULT_OPTIONS,
) -> dict[str, Agreement]:
    """The agreement on each video; arguments as for `measure_agreement`."""
    return {
        id: measure_agreement({id: group}, reference, durations, options)
        for id, group in segments.items()
        if id in reference
    }


def cohen_kappa(counts: Mapping[tuple[Hashable, Hashable], int]) -> float | None:
    """Cohen's kappa, (p_o - p_e) / (1 - p_e), of two raters; None if it is 0 / 0.

    Args:
        counts: How often the first rater chose a category and the second rater one, for each pair of categories.

    Source: Cohen, A coefficient of agreement for nominal scales (1960).
    """
    total, equal = sum(counts.values()), sum(count for (a, b), count in counts.items() if a == b)
    first: Counter[Hashable] = Counter()
    second: Counter[Hashable] = Counter()
    for (a, b), count in counts.items():
        first[a] += count
        second[b] += count
    chance = sum(count * second[category] for category, count in first.items())  # times total squared
    return (total * equal - chance) / (total**2 - chance) if total**2 > chance else None


def count_matches(segments: Sequence[Segment], reference: Sequence[Segment], options: AgreementOptions) -> int:
    """The number of pairs when as many segments as possible are matched one to one. All are of one class and video."""
    if not segments or not reference:
        return 0
    starts, ends = np.array([(s.start, s.end) for s in segments], np.float64).T
    other_starts, other_ends = np.array([(s.start, s.end) for s in reference], np.float64).T
    overlaps = tiou(starts[:, None], ends[:, None], other_starts, other_ends)
    tolerance = options.tolerance + EPSILON
    is_match = (overlaps > 0) & (overlaps >= options.min_tiou)
    is_match |= (np.abs(starts[:, None] - other_starts) <= tolerance) & (
        np.abs(ends[:, None] - other_ends) <= tolerance
    )
    has_point = (starts == ends)[:, None] | (other_starts == other_ends)
    distance = np.maximum(starts[:, None], other_starts) - np.minimum(ends[:, None], other_ends)  # negative: overlap
    is_match |= has_point & (distance <= tolerance)
    return int((maximum_bipartite_matching(csr_array(is_match), perm_type="column") >= 0).sum())


@dataclass
class _Tally:
    """Sums over videos from which the scores of a class are computed."""

    events: int = 0
    reference_events: int = 0
    matched: int = 0
    overlaps: list[float] = field(default_factory=list)
    temporal_precisions: list[float] = field(default_factory=list)
    continuities: list[float] = field(default_factory=list)

    def add_events(self, segments: Sequence[Segment], reference: Sequence[Segment], options: AgreementOptions) -> None:
        self.events += len(segments)
        self.reference_events += len(reference)
        self.matched += count_matches(segments, reference, options)

    def add_runs(self, runs: Runs, reference: Runs) -> None:
        for (start, end), (other_start, other_end) in _overlapping_pairs(runs, reference):
            intersection = min(end, other_end) - max(start, other_start)
            self.overlaps.append(intersection / (end - start + other_end - other_start - intersection))
            self.temporal_precisions.append(1 / (1 + abs(start - other_start) + abs(end - other_end)))
        changes = np.array([boundary for run in runs for boundary in run])
        for start, end in reference:
            if end - start > 1:
                inside = np.searchsorted(changes, end) - np.searchsorted(changes, start, "right")
                self.continuities.append(1 - float(inside) / (end - start - 1))

    def __add__(self, other: "_Tally") -> "_Tally":
        return _Tally(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    def scores(self, bins: Mapping[tuple[Hashable, Hashable], int]) -> AgreementScores:
        total = sum(bins.values())
        means = [
            fmean(values) if values else None for values in (self.overlaps, self.temporal_precisions, self.continuities)
        ]
        return AgreementScores(
            cohen_kappa(bins),
            sum(count for (a, b), count in bins.items() if a == b) / total if total else None,
            self.events,
            self.reference_events,
            self.matched,
            *means,
        )


def _by_label(segments: Iterable[Segment]) -> dict[str, list[Segment]]:
    groups: dict[str, list[Segment]] = {}
    for segment in segments:
        groups.setdefault(segment.label, []).append(segment)
    return groups


def _first_bin(seconds: float, bin_width: float) -> int:
    """The first bin whose center is not before a time."""
    return math.ceil(round(seconds / bin_width - 0.5, 6))  # rounded, because 0.15 / 0.1 is not quite 1.5


def _count_bins(duration: float | None, segments: Iterable[Segment], bin_width: float) -> int:
    end = max((segment.end for segment in segments), default=0.0) if duration is None else duration
    return max(0, _first_bin(end, bin_width))


def _to_runs(segments: Iterable[Segment], bin_width: float, count: int) -> Runs:
    bins = (
        (max(0, _first_bin(segment.start, bin_width)), min(count, _first_bin(segment.end, bin_width)))
        for segment in segments
    )
    return merge_intervals((first, last) for first, last in bins if first < last)


def _count_label_sets(
    runs: Mapping[str, Runs], reference: Mapping[str, Runs], count: int
) -> Counter[tuple[Hashable, Hashable]]:
    """In how many of `count` bins the annotations have each pair of label sets.

    Label sets change at the ends of runs only, so the time does not depend on the number of bins.
    """
    changes: dict[int, list[tuple[int, str]]] = {0: [], count: []}
    for side, runs_by_label in enumerate((runs, reference)):
        for label, label_runs in runs_by_label.items():
            for boundary in (boundary for run in label_runs for boundary in run):
                changes.setdefault(boundary, []).append((side, label))
    present: tuple[set[str], set[str]] = (set(), set())
    counts: Counter[tuple[Hashable, Hashable]] = Counter()
    positions = sorted(changes)
    for position, end in pairwise(positions):
        for side, label in changes[position]:
            present[side].symmetric_difference_update((label,))
        counts[frozenset(present[0]), frozenset(present[1])] += end - position
    return counts


def _presence_by_class(
    label_sets: Mapping[tuple[Any, Any], int], classes: Iterable[str]
) -> dict[str, Counter[tuple[Hashable, Hashable]]]:
    """For each class the number of bins by whether the class is present in the two annotations."""
    presence: dict[str, Counter[tuple[Hashable, Hashable]]] = {label: Counter() for label in classes}
    for (labels, other_labels), count in label_sets.items():
        for label in labels | other_labels:
            presence[label][label in labels, label in other_labels] += count
    total = sum(label_sets.values())
    for counts in presence.values():
        counts[False, False] = total - sum(counts.values())
    return presence


def _overlapping_pairs(runs: Runs, reference: Runs) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """All pairs of runs that have a bin in common."""
    first = 0
    for run in runs:
        while first < len(reference) and reference[first][1] <= run[0]:
            first += 1
        index = first
        while index < len(reference) and reference[index][0] < run[1]:
            yield run, reference[index]
            index += 1
