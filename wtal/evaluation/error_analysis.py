"""Why a file of proposals loses points: errors by kind, what mending each is worth, what is missed and where.

In the spirit of Alwassel et al., Diagnosing Error in Temporal Action Detectors (DETAD, ECCV 2018).

FROM: Predictions and actions laid out as a protocol compares them, how much they overlap and how precise they are.
FROM: What an analysis hands on: kinds of predictions, what mending each is worth, what is missed and where.
FROM: Of which kind each prediction is, and what mending a kind would be worth.
FROM: What makes an action hard to find: its traits from the annotations alone, and how each size of them fares.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from wtal.core.clock import tiou
from wtal.core.errors import ConfigError
from wtal.core.structures import Proposals, Video
from wtal.evaluation.evaluate import Ambiguous, evaluate, prepare_scoring
from wtal.evaluation.matching import Bools, Floats, Intervals, Ints, matched_segment
from wtal.evaluation.protocols import Protocol, checked_tious, find_protocol
from wtal.evaluation.results import EvaluationResult

BLOCK = 1_000_000  # tIoUs that are worked out at once: bounds the memory


@dataclass(frozen=True)
class AnalysisInputs:
    """What is scored: N predictions by class and surest first in each, M actions in the order of the videos."""

    videos: tuple[Video, ...]
    classes: tuple[str, ...]
    proposals: Intervals
    actions: Intervals

    @property
    def instances(self) -> Ints:
        """How many actions each class has. C"""
        return np.bincount(self.actions.label, minlength=len(self.classes))

    def ranks(self) -> Floats:
        """How many predictions of its class are surer than each, for each action of the class. N"""
        label = self.proposals.label
        ranks: Floats = (np.arange(len(label)) - np.searchsorted(label, label)) / self.instances[label]
        return ranks

    def mean_precision(
        self, hits: Bools, wrong: Bools, interpolated: bool, among: Ints | None = None, usual: float | None = None
    ) -> float:
        """The mean over classes of their average precision at one tIoU: of these hits and false positives. N, N

        Among so many instances of each class, its own if left out; classes of none are passed over. With `usual`
        precision is as if each class had that many of them.
        """
        instances = self.instances if among is None else among
        label, rows = self.proposals.label, np.flatnonzero(hits)
        of, there = label[rows], instances[label[rows]]
        before = np.append(0, wrong.cumsum())  # false positives before each row
        worth = 1 if usual is None else usual / there
        right = worth * (np.arange(1, len(rows) + 1) - np.searchsorted(of, of))
        precision = right / (right + before[rows] - before[np.searchsorted(label, of)])
        if interpolated:
            precision = _envelope(precision, of)
        return float((precision / there).sum() / np.count_nonzero(instances))


def prepare_analysis(
    proposals: Proposals,
    truth: Sequence[Video],
    rules: Protocol,
    subset: str | None = None,
    ambiguous: Ambiguous | None = None,
) -> AnalysisInputs:
    """What `wtal.evaluation.evaluate` scores, in the same order: options and errors are the same."""
    told = prepare_scoring(proposals, truth, rules, subset, ambiguous)
    kept = told.proposals[np.lexsort((-told.proposals.score, told.proposals.label))]
    return AnalysisInputs(tuple(told.scored), tuple(told.classes), kept, told.actions)


def _envelope(precision: Floats, label: Ints) -> Floats:
    """The highest precision from each hit on, of its class; by class. H, H -> H"""
    values, places = np.unique(precision, return_inverse=True)
    shift = label * len(values)  # whole numbers, so that no class reaches into another and nothing is rounded
    return values[np.maximum.accumulate((places - shift)[::-1])[::-1] + shift]


def nearest(layout: AnalysisInputs) -> tuple[Floats, Floats]:
    """Each prediction's highest tIoU with an action of its own label, and of another one. N, N"""
    proposals, actions = layout.proposals, layout.actions
    own, other = np.zeros(len(proposals)), np.zeros(len(proposals))
    by_video = np.argsort(proposals.video, kind="stable")
    places = np.arange(len(layout.videos) + 1)
    firsts = np.searchsorted(proposals.video[by_video], places)
    first_actions = np.searchsorted(actions.video, places)
    for (first, last), (low, high) in zip(pairwise(firsts), pairwise(first_actions), strict=True):
        if first == last or low == high:
            continue
        there = actions[low:high]
        for rows in np.array_split(by_video[first:last], 1 + (last - first) * (high - low) // BLOCK):
            these = proposals[rows]
            shared = tiou(these.start[:, None], these.end[:, None], there.start, there.end)
            same = these.label[:, None] == there.label
            own[rows] = np.where(same, shared, 0).max(1)
            other[rows] = np.where(same, 0, shared).max(1)
    return own, other


TRUE_POSITIVE, DOUBLE, WRONG_LABEL, LOCALIZATION, CONFUSION, BACKGROUND = range(6)
KINDS = ("true positive", "double detection", "wrong label", "localization", "confusion", "background")
LOWEST = 0.1  # tIoU with an action from which on a prediction is no mere background
TOP_K_PER_INSTANCE = 10  # predictions that count for each instance of a class, surest first: DETAD's top-10G

SIZES = ("XS", "S", "M", "L", "XL")
BOUNDS = (1, 3, 10, 30)  # of every trait in its unit: XS up to 1, S up to 3, M up to 10, L up to 30, XL above


@dataclass(frozen=True)
class Gain:
    """What mAP gains when the predictions of a kind are gone, as fractions."""

    at_tiou: float
    average: float  # over the protocol's tIoUs, the kinds told anew at each


@dataclass(frozen=True)
class Group:
    """The instances of one size."""

    size: str
    instances: int
    missed: int  # that no counted prediction takes at the analysis' tIoU
    normalised_map: float | None  # average over the protocol's tIoUs; None without instances

    @property
    def miss_rate(self) -> float | None:
        """The share that is missed; None without instances."""
        return self.missed / self.instances if self.instances else None


@dataclass(frozen=True)
class Trait:
    """The instances by one trait, a group a size."""

    name: str
    unit: str
    groups: tuple[Group, ...]
    unknown: int = 0  # instances of which it is not known


@dataclass(frozen=True)
class Analysis:
    """Why a proposals file loses points. Every scored prediction is of one kind, at one tIoU."""

    tiou: float
    result: EvaluationResult  # the evaluation itself: protocol, mAP, what was counted, notes
    map_at_tiou: float
    profile: tuple[dict[str, int], ...]  # kind -> predictions among the top-1G, top-2G ... top-10G
    beyond: dict[str, int]  # kind -> predictions that are less sure than the top-10G
    gains: dict[str, Gain]  # kind of error -> what mending it is worth
    whole: Group  # all instances
    traits: tuple[Trait, ...]
    notes: tuple[str, ...] = ()

    @property
    def kinds(self) -> dict[str, int]:
        """Kind -> the counted predictions of it: those of the top-10G."""
        return self.profile[-1]

    @property
    def counted(self) -> int:
        """How many predictions count."""
        return sum(self.kinds.values())

    def to_json(self) -> dict[str, Any]:
        """A plain dict, fractions at full precision, for `analysis.json`."""
        facts = {"lowest_tiou": LOWEST, "bounds": BOUNDS, "counted": self.counted, "kinds": self.kinds}
        return facts | asdict(self)


def kinds_at(hits: Bools, own: Floats, other: Floats, tiou: float) -> Ints:
    """The kind of each prediction, by the action that it overlaps most. N each.

    `own` and `other` are its highest tIoU with actions of its own label and of others; where they are equal, its
    own counts, as several labels of one moment must not make a wrong label of a double detection.
    """
    most, mine = np.maximum(own, other), own >= other
    told = [
        (hits, TRUE_POSITIVE),
        (most < LOWEST, BACKGROUND),
        (mine & (most >= tiou), DOUBLE),
        (most >= tiou, WRONG_LABEL),
        (mine, LOCALIZATION),
    ]
    conditions, kinds = zip(*told, strict=True)
    return np.select(conditions, kinds, CONFUSION)


def profile(kinds: Ints, ranks: Floats) -> tuple[tuple[dict[str, int], ...], dict[str, int]]:
    """How many predictions of each kind are among the top-1G ... top-10G, and how many come after."""
    return tuple(_count(kinds[ranks < depth]) for depth in range(1, TOP_K_PER_INSTANCE + 1)), _count(
        kinds[ranks >= TOP_K_PER_INSTANCE]
    )


def gains(layout: AnalysisInputs, hits: Bools, kinds: Ints, interpolated: bool) -> dict[str, Gain]:
    """What mAP gains without each kind of error, at the first tIoU and as the mean of the others. tIoUs x N, twice.

    A false positive takes no action, so that without it all other predictions keep theirs.
    """

    def scores(left_out: int) -> Floats:
        rows = zip(hits, kinds != left_out, strict=True)
        return np.array([layout.mean_precision(hit, kept & ~hit, interpolated) for hit, kept in rows])

    before = scores(-1)
    gained = {name: scores(kind) - before for kind, name in enumerate(KINDS) if kind != TRUE_POSITIVE}
    return {name: Gain(float(more[0]), float(more[1:].mean())) for name, more in gained.items()}


def _count(kinds: Ints) -> dict[str, int]:
    return dict(zip(KINDS, np.bincount(kinds, minlength=len(KINDS)).tolist(), strict=True))


UNKNOWN = -1
PRECISE = 9  # decimals: 4.3 - 1.3 is 3


def traits(layout: AnalysisInputs, taken: Ints, missed: Bools, interpolated: bool) -> tuple[Trait, ...]:
    """Every trait by size. `taken` is tIoUs x N, `missed` says it of each of the M actions."""
    found = []
    for name, (unit, measure) in TRAITS.items():
        sizes = sizes_of(np.concatenate([measure(video) for video in layout.videos]))
        groups = tuple(
            group(layout, taken, missed, sizes == place, interpolated, size) for place, size in enumerate(SIZES)
        )
        found.append(Trait(name, unit, groups, int((sizes == UNKNOWN).sum())))
    return tuple(found)


def group(layout: AnalysisInputs, taken: Ints, missed: Bools, members: Bools, interpolated: bool, size: str) -> Group:
    """How the actions fare of which `members` is true. M"""
    score = normalised_map(layout, taken, members, interpolated) if members.any() else None
    return Group(size, int(members.sum()), int(missed[members].sum()), score)


def normalised_map(layout: AnalysisInputs, taken: Ints, members: Bools, interpolated: bool) -> float:
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
    return np.array([action.end - action.start for action in video.segments], np.float64)


def coverages(video: Video) -> Floats:
    """Percent of the video that each action fills; nan where nobody says how long the video is."""
    return 100 * lengths(video) / (video.duration or np.nan)


def crowds(video: Video) -> Floats:
    """How many actions of its class the video has, for each action."""
    counts = Counter(action.label for action in video.segments)
    return np.array([counts[action.label] for action in video.segments], np.float64)


def distances(video: Video) -> Floats:
    """Seconds from each action to the nearest other one of any class: 0 where they meet, inf where it is alone."""
    starts = np.array([action.start for action in video.segments], np.float64)
    ends = np.array([action.end for action in video.segments], np.float64)
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


__all__ = ["Analysis", "analyse"]


def analyse(
    proposals: Proposals,
    truth: Sequence[Video],
    protocol: str = "activitynet",
    tiou: float = 0.5,
    subset: str | None = None,
    ambiguous: Ambiguous | None = None,
    checkpoint: str = "not said",
    tious: Sequence[float] | None = None,
) -> Analysis:
    """Tell the kind of every scored prediction at a tIoU, and what is lost by each kind, under a named protocol.

    The options and the errors are those of `wtal.evaluation.evaluate.evaluate`; ConfigError also for a tIoU below 0.1,
    where background begins. mAP is the protocol's, of all its predictions; averages are over `tious`, by default
    the protocol's. Where it is said how many of a kind there are and which instances are missed, the ten surest
    predictions for each instance of a class count
    (DETAD's top-10G): proposals files end with thousands of guesses that nobody would look at.
    """
    (tiou,) = checked_tious(tiou)
    if tiou < LOWEST:
        raise ConfigError(f"the tIoU is {tiou:g}; below {LOWEST:g} all is background, use {LOWEST:g} to 1")
    rules = find_protocol(protocol)
    result = evaluate(proposals, truth, protocol, tious, subset, ambiguous, checkpoint)
    layout = prepare_analysis(proposals, truth, rules, subset, ambiguous)
    thresholds = (tiou, *result.tious)
    taken = matched_segment(layout.proposals, layout.actions, rules, thresholds)
    overlaps, ranks = nearest(layout), layout.ranks()
    kinds = np.array([kinds_at(hits, *overlaps, t) for hits, t in zip(taken >= 0, thresholds, strict=True)])
    missed = np.ones(len(layout.actions), bool)
    missed[taken[0][(taken[0] >= 0) & (ranks < TOP_K_PER_INSTANCE)]] = False
    among, beyond = profile(kinds[0], ranks)
    found = traits(layout, taken[1:], missed, rules.interpolated)
    return Analysis(
        tiou=tiou,
        result=result,
        map_at_tiou=layout.mean_precision(taken[0] >= 0, taken[0] < 0, rules.interpolated),
        profile=among,
        beyond=beyond,
        gains=gains(layout, taken >= 0, kinds, rules.interpolated),
        whole=group(layout, taken[1:], missed, np.ones_like(missed), rules.interpolated, "all"),
        traits=found,
        notes=tuple(
            f"{trait.unknown:,} instances are in videos of unknown duration; they have no {trait.name}"
            for trait in found
            if trait.unknown
        ),
    )
