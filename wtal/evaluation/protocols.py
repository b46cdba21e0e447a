"""Named evaluation protocols, and the options of an evaluation.

The algorithm is the same for all protocols. A `Protocol` holds the details in which public evaluators differ.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wtal.core.errors import ConfigError

AmbiguousIntervals = Mapping[str, Sequence[tuple[float, float]]]  # video id -> (start, end) in seconds

WTALC_SNIPPET_RATE = 25 / 16  # snippets per second of the W-TALC features: 16 frames at 25 fps for every video
THUMOS14_TIOUS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
ACTIVITYNET_TIOUS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
UNKNOWN_CHECKPOINT = "unknown"


@dataclass(frozen=True)
class Protocol:
    """How one public evaluator scores.

    Attributes:
        name: Name of the protocol.
        tious: tIoU thresholds, in ascending order.
        averages: (lowest, highest) tIoU of each reported average. The last one is the main average.
        subsets: Candidate subsets. The first one that has annotated segments is scored.
        excluded_videos: Videos that are left out of the ground truth.
        expected_counts: Number of videos, instances or classes of the ground truth that the protocol is defined for.
        snippet_rate: Snippets per second if times are compared in snippets; None if they are compared in seconds.
        truncates_proposals: Whether proposal times are truncated to whole snippets.
        prefers_best: Whether a proposal matches the free segment of highest tIoU, otherwise the first in file order.
        interpolated: Whether precision is interpolated (VOC 2011 envelope).
        removes_ambiguous: Whether proposals that overlap an ambiguous interval are removed.
    """

    name: str
    tious: tuple[float, ...]
    averages: tuple[tuple[float, float], ...]
    subsets: tuple[str, ...] = ("testing", "")
    excluded_videos: frozenset[str] = frozenset()
    expected_counts: Mapping[str, int] = field(default_factory=dict)
    snippet_rate: float | None = None
    truncates_proposals: bool = False
    prefers_best: bool = True
    interpolated: bool = True
    removes_ambiguous: bool = False

    def to_units(self, seconds: ArrayLike) -> NDArray[np.float64]:
        """Convert seconds to the unit of comparison: fractional snippets or seconds."""
        times = np.asarray(seconds, dtype=np.float64)
        return times if self.snippet_rate is None else times * self.snippet_rate

    def ground_truth_times(self, seconds: ArrayLike) -> NDArray[np.float64]:
        """Convert times of ground truth to the unit of comparison; snippets are rounded half to even."""
        times = self.to_units(seconds)
        return times if self.snippet_rate is None else np.rint(times)

    def proposal_times(self, seconds: ArrayLike) -> NDArray[np.float64]:
        """Convert times of proposals to the unit of comparison."""
        # 29.999999999999996 snippets are deliberately not corrected to 30. The public evaluators truncate them to 29,
        # which changes the average of wtalc by up to 0.15 points.
        times = self.to_units(seconds)
        return np.trunc(times) if self.truncates_proposals else times


_THUMOS14_AVERAGES = ((0.1, 0.5), (0.3, 0.7), (0.1, 0.7))
_THUMOS14_COUNTS = {"videos": 212, "instances": 3358}

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("general", THUMOS14_TIOUS, _THUMOS14_AVERAGES, subsets=("testing", "validation", "")),
        Protocol("activitynet", ACTIVITYNET_TIOUS, ((0.5, 0.95),), subsets=("testing", "validation", "")),
        Protocol(
            "thumos14-210",
            THUMOS14_TIOUS,
            _THUMOS14_AVERAGES,
            excluded_videos=frozenset({"video_test_0000270", "video_test_0001496"}),
            expected_counts={"videos": 210, "instances": 3311},
        ),
        Protocol("thumos14-212", THUMOS14_TIOUS, _THUMOS14_AVERAGES, expected_counts=_THUMOS14_COUNTS),
        Protocol(
            "thumos14-snippet",
            THUMOS14_TIOUS,
            _THUMOS14_AVERAGES,
            expected_counts=_THUMOS14_COUNTS,
            snippet_rate=WTALC_SNIPPET_RATE,
            removes_ambiguous=True,
        ),
        Protocol(
            "wtalc",
            THUMOS14_TIOUS,
            _THUMOS14_AVERAGES,
            expected_counts=_THUMOS14_COUNTS,
            snippet_rate=WTALC_SNIPPET_RATE,
            truncates_proposals=True,
            prefers_best=False,
            interpolated=False,
            removes_ambiguous=True,
        ),
        Protocol("multithumos", (*THUMOS14_TIOUS, 0.8, 0.9), ((0.1, 0.9),), expected_counts={"classes": 65}),
    )
}
DEFAULT_PROTOCOL = "general"  # of all commands: any data set, and the tIoU range that most WTAL papers average over


def find_protocol(name: str) -> Protocol:
    """Return the protocol of that name.

    Raises:
        ConfigError: The name is unknown.
    """
    if name not in PROTOCOLS:
        raise ConfigError(f"unknown protocol {name!r}", hint=f"use one of {', '.join(PROTOCOLS)}", code="unknown-name")
    return PROTOCOLS[name]


@dataclass(frozen=True)
class EvaluationOptions:
    """How proposals are scored.

    Args:
        protocol: Name of a protocol in `PROTOCOLS`.
        tious: tIoU thresholds in (0, 1] that replace those of the protocol. Repeated values count once.
        subset: Subset of the ground truth. By default the first of the protocol's subsets with annotated segments.
        ambiguous: Ambiguous intervals in seconds, (start, end) by video id. Some protocols remove proposals that
            overlap one. None if there is no such list.
        checkpoint: Which checkpoint made the proposals, such as "last" or "best on test". Copied to the result.

    Raises:
        ConfigError: The protocol is unknown or a threshold is out of range.
    """

    protocol: str = DEFAULT_PROTOCOL
    tious: Sequence[float] | None = None
    subset: str | None = None
    ambiguous: AmbiguousIntervals | None = None
    checkpoint: str = UNKNOWN_CHECKPOINT

    def __post_init__(self) -> None:
        find_protocol(self.protocol)
        if self.tious is not None:
            object.__setattr__(self, "tious", check_tious(self.tious))

    @property
    def rules(self) -> Protocol:
        """The protocol."""
        return PROTOCOLS[self.protocol]

    @property
    def thresholds(self) -> tuple[float, ...]:
        """The tIoU thresholds: `tious`, or those of the protocol."""
        return self.rules.tious if self.tious is None else tuple(self.tious)

    @property
    def averages(self) -> tuple[tuple[float, float], ...]:
        """(lowest, highest) tIoU of each reported average: the protocol's, or the whole range of `tious`."""
        return self.rules.averages if self.tious is None else ((min(self.tious), max(self.tious)),)


DEFAULT_OPTIONS = EvaluationOptions()


def check_tious(tious: ArrayLike) -> tuple[float, ...]:
    """Return distinct thresholds as plain numbers, 0.30000000000000004 as 0.3.

    Raises:
        ConfigError: Unless there is at least one and all are in (0, 1].
    """
    values = np.atleast_1d(np.asarray(tious, dtype=np.float64)).round(9)
    if values.size == 0 or not np.all((values > 0) & (values <= 1)):
        raise ConfigError(
            f"invalid tIoU thresholds {values.tolist()}", hint="use at least one value in (0, 1]", code="invalid-value"
        )
    return tuple(dict.fromkeys(values.tolist()))
