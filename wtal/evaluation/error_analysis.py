"""Error analysis: predictions by kind of error, what fixing each kind would gain, and which segments are missed.

Follows Alwassel et al., Diagnosing Error in Temporal Action Detectors (DETAD, ECCV 2018).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from wtal.core.arrays import Bools, Floats, Ints
from wtal.core.clock import tiou as temporal_iou
from wtal.core.errors import ConfigError
from wtal.core.structures import Proposals, Video
from wtal.core.text import format_count
from wtal.evaluation.average_precision import mean_average_precision
from wtal.evaluation.evaluate import ScoringInputs, evaluate, prepare_scoring
from wtal.evaluation.matching import matched_segment
from wtal.evaluation.protocols import DEFAULT_OPTIONS, EvaluationOptions, check_tious
from wtal.evaluation.results import EvaluationResult
from wtal.evaluation.sensitivity import SIZE_BOUNDS, Group, Trait, group_by_traits, make_group

TRUE_POSITIVE, DOUBLE_DETECTION, WRONG_LABEL, LOCALIZATION, CONFUSION, BACKGROUND = range(6)
KINDS = ("true positive", "double detection", "wrong label", "localization", "confusion", "background")
MIN_TIOU = 0.1  # a prediction that overlaps every segment less than this is background
TOP_K_PER_INSTANCE = 10  # counted predictions per instance of a class, by descending score: DETAD's top-10G
MAX_TIOUS_PER_BLOCK = 1_000_000  # computed at once; bounds the memory


@dataclass(frozen=True)
class Gain:
    """By how much mAP increases without the predictions of one kind, as fractions."""

    at_tiou: float
    average: float  # over the protocol's tIoUs; the kinds are determined at each


@dataclass(frozen=True)
class Analysis:
    """The errors of a proposals file and their cost in mAP.

    Attributes:
        tiou: tIoU at which the kind of each prediction is determined.
        result: The evaluation.
        map_at_tiou: mAP at `tiou`.
        profile: Number of predictions of each kind among the top-1G, top-2G, ... top-10G.
        beyond: Number of predictions of each kind after the top-10G.
        gains: What the removal of each kind of error would gain.
        whole: All ground-truth segments as one group.
        traits: The ground-truth segments by size, for each trait.
        notes: What to know about the numbers.
    """

    tiou: float
    result: EvaluationResult
    map_at_tiou: float
    profile: tuple[dict[str, int], ...]
    beyond: dict[str, int]
    gains: dict[str, Gain]
    whole: Group
    traits: tuple[Trait, ...]
    notes: tuple[str, ...] = ()

    @property
    def kinds(self) -> dict[str, int]:
        """Number of counted predictions of each kind: those of the top-10G."""
        return self.profile[-1]

    @property
    def counted(self) -> int:
        """Number of counted predictions."""
        return sum(self.kinds.values())

    def to_json(self) -> dict[str, Any]:
        """A plain dict for `analysis.json`; fractions at full precision."""
        facts = {"lowest_tiou": MIN_TIOU, "bounds": SIZE_BOUNDS, "counted": self.counted, "kinds": self.kinds}
        return facts | asdict(self)


def analyse(
    proposals: Proposals,
    ground_truth: Sequence[Video],
    options: EvaluationOptions = DEFAULT_OPTIONS,
    tiou: float = 0.5,
) -> Analysis:
    """Determine the kind of every scored prediction, and what each kind of error costs.

    mAP is that of the protocol, over all predictions. Counts of kinds and missed segments consider the ten
    highest-scoring predictions per instance of a class (DETAD's top-10G), because proposal files end with thousands of
    predictions of very low score.

    Args:
        proposals: Segments with scores by video id; times in seconds.
        ground_truth: Annotated videos.
        options: As in `wtal.evaluation.evaluate.evaluate`. Averages are over the thresholds of these options.
        tiou: tIoU at which a prediction is correct, from 0.1 to 1.

    Raises:
        ConfigError: `tiou` is out of range.
        DataError: As `wtal.evaluation.evaluate.evaluate`.
    """
    (tiou,) = check_tious(tiou)
    if tiou < MIN_TIOU:
        raise ConfigError(
            f"tIoU {tiou:g} is below {MIN_TIOU:g}, where every prediction is background",
            hint=f"use {MIN_TIOU:g} to 1",
            code="invalid-value",
        )
    protocol = options.rules
    result = evaluate(proposals, ground_truth, options)
    inputs = prepare_scoring(proposals, ground_truth, options)
    label, instances = inputs.proposals.label, np.bincount(inputs.ground_truth.label, minlength=len(inputs.classes))
    thresholds = (tiou, *result.tious)
    matched = matched_segment(inputs.proposals, inputs.ground_truth, protocol, thresholds)
    hits = matched >= 0
    overlaps = max_overlaps(inputs)
    kinds = np.array([classify(row, *overlaps, threshold) for row, threshold in zip(hits, thresholds, strict=True)])
    ranks = relative_ranks(label, instances)
    missed = np.ones(len(inputs.ground_truth), bool)
    missed[matched[0][hits[0] & (ranks < TOP_K_PER_INSTANCE)]] = False
    traits = group_by_traits(inputs, matched[1:], missed, protocol.interpolated)
    return Analysis(
        tiou=tiou,
        result=result,
        map_at_tiou=mean_average_precision(label, hits[0], ~hits[0], instances, protocol.interpolated),
        profile=tuple(count_kinds(kinds[0][ranks < k]) for k in range(1, TOP_K_PER_INSTANCE + 1)),
        beyond=count_kinds(kinds[0][ranks >= TOP_K_PER_INSTANCE]),
        gains=gains(label, hits, kinds, instances, protocol.interpolated),
        whole=make_group(inputs, matched[1:], missed, np.ones_like(missed), protocol.interpolated, "all"),
        traits=traits,
        notes=tuple(
            f"{format_count(trait.unknown, 'instance')} without {trait.name}: the duration of the video is unknown"
            for trait in traits
            if trait.unknown
        ),
    )


def max_overlaps(inputs: ScoringInputs) -> tuple[Floats, Floats]:
    """Highest tIoU of each proposal with a segment of its own label, and with one of another label. N, N."""
    proposals, segments = inputs.proposals, inputs.ground_truth
    same_label, other_label = np.zeros(len(proposals)), np.zeros(len(proposals))
    by_video = np.argsort(proposals.video, kind="stable")
    videos = np.arange(len(inputs.videos) + 1)
    proposal_offsets = np.searchsorted(proposals.video[by_video], videos)
    segment_offsets = np.searchsorted(segments.video, videos)  # segments are in the order of the videos
    for (first, last), (low, high) in zip(pairwise(proposal_offsets), pairwise(segment_offsets), strict=True):
        if first == last or low == high:
            continue
        of_video = segments[low:high]
        num_blocks = 1 + (last - first) * (high - low) // MAX_TIOUS_PER_BLOCK
        for rows in np.array_split(by_video[first:last], num_blocks):
            block = proposals[rows]
            overlaps = temporal_iou(block.start[:, None], block.end[:, None], of_video.start, of_video.end)
            is_same = block.label[:, None] == of_video.label
            same_label[rows] = np.where(is_same, overlaps, 0).max(1)
            other_label[rows] = np.where(is_same, 0, overlaps).max(1)
    return same_label, other_label


def relative_ranks(label: Ints, instances: Ints) -> Floats:
    """Rank of each proposal in its class, divided by the number of instances of the class. N."""
    ranks: Floats = (np.arange(len(label)) - np.searchsorted(label, label)) / instances[label]
    return ranks


def classify(hits: Bools, same_label: Floats, other_label: Floats, tiou: float) -> Ints:
    """Kind of each prediction, by the segment that it overlaps most.

    If the overlap with segments of its own label and of others is equal, its own label counts: where a moment has
    several labels, a double detection is not a wrong label.

    Args:
        hits: True positives. N.
        same_label: Highest tIoU with a segment of its own label. N.
        other_label: Highest tIoU with a segment of another label. N.
        tiou: tIoU at which a prediction is correct.
    """
    highest, own_label = np.maximum(same_label, other_label), same_label >= other_label
    rules = [  # the first that holds
        (hits, TRUE_POSITIVE),
        (highest < MIN_TIOU, BACKGROUND),
        (own_label & (highest >= tiou), DOUBLE_DETECTION),
        (highest >= tiou, WRONG_LABEL),
        (own_label, LOCALIZATION),
    ]
    conditions, kinds = zip(*rules, strict=True)
    return np.select(conditions, kinds, CONFUSION)


def count_kinds(kinds: Ints) -> dict[str, int]:
    """Number of predictions of each kind."""
    return dict(zip(KINDS, np.bincount(kinds, minlength=len(KINDS)).tolist(), strict=True))


def gains(label: Ints, hits: Bools, kinds: Ints, instances: Ints, interpolated: bool) -> dict[str, Gain]:
    """What mAP gains without each kind of error, at the first tIoU and on average over the others.

    Other predictions keep their match when an error is removed, because a false positive has none.

    Args:
        label: Class index of each proposal. N.
        hits: True positives. tIoUs x N.
        kinds: Kind of each prediction. tIoUs x N.
        instances: Number of ground-truth segments of each class. C.
        interpolated: Whether to use the precision envelope.
    """

    def scores(false_positives: Bools) -> Floats:
        rows = zip(hits, false_positives, strict=True)
        return np.array([mean_average_precision(label, *row, instances, interpolated) for row in rows])

    current = scores(~hits)
    errors = {
        name: scores(~hits & (kinds != kind)) - current for kind, name in enumerate(KINDS) if kind != TRUE_POSITIVE
    }
    return {name: Gain(float(gain[0]), float(gain[1:].mean())) for name, gain in errors.items()}
