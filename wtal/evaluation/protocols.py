"""The named evaluation protocols: the few facts in which public evaluators differ, as data."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wtal.core.errors import ConfigError

FAMILY_RATE = 25 / 16  # snippets per second in the W-TALC family: 16 frames at 25 fps, whatever the video


@dataclass(frozen=True)
class Protocol:
    """How one public evaluator differs from the plain algorithm, which is ActivityNet's."""

    name: str
    tious: tuple[float, ...]
    averages: tuple[tuple[float, float], ...]  # (lowest, highest) tIoU of each average that is reported
    subsets: tuple[str, ...] = ("testing", "")  # the first of these that has actions is scored
    without: frozenset[str] = frozenset()  # videos whose ground truth is left out
    videos: int | None = None  # how many the name promises
    instances: int | None = None
    classes: int | None = None
    snippet_rate: float | None = None  # snippets per second; None compares in seconds
    truncated: bool = False  # proposals cut to whole snippets
    best_first: bool = True  # a proposal takes the best free action, else the first in file order
    interpolated: bool = True  # precision under the VOC 2011 envelope
    ambiguous: bool = False  # proposals that overlap an ambiguous interval are removed

    @property
    def promise(self) -> dict[str, int]:
        """What the name promises of the ground truth, as {"videos": 212, ...}; empty where it fits any."""
        counts = {"videos": self.videos, "instances": self.instances, "classes": self.classes}
        return {what: count for what, count in counts.items() if count is not None}

    def snippets(self, seconds: ArrayLike) -> NDArray[np.float64]:
        """Seconds to the unit of comparison: fractional snippets, or seconds still."""
        seconds = np.asarray(seconds, dtype=np.float64)
        return seconds if self.snippet_rate is None else seconds * self.snippet_rate

    def truth_times(self, seconds: ArrayLike) -> NDArray[np.float64]:
        """Times of actions as they are compared: in snippets, rounded (half to even, as Python's round)."""
        times = self.snippets(seconds)
        return times if self.snippet_rate is None else np.rint(times)

    def proposal_times(self, seconds: ArrayLike) -> NDArray[np.float64]:
        """Times of proposals as they are compared."""
        # No mending of 29.999999999999996 snippets to 30: the published numbers were made without,
        # and on one system's file it is worth 0.15 points of wtalc's average.
        times = self.snippets(seconds)
        return np.trunc(times) if self.truncated else times


TIOUS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)  # of the THUMOS14 family, and of our own comparisons
_THUMOS_AVERAGES = ((0.1, 0.5), (0.3, 0.7), (0.1, 0.7))
_MULTITHUMOS_TIOUS = (*TIOUS, 0.8, 0.9)
_ACTIVITYNET_TIOUS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("activitynet", _ACTIVITYNET_TIOUS, ((0.5, 0.95),), subsets=("testing", "validation", "")),
        Protocol(
            "thumos14-210",
            TIOUS,
            _THUMOS_AVERAGES,
            without=frozenset({"video_test_0000270", "video_test_0001496"}),
            videos=210,
            instances=3311,
        ),
        Protocol("thumos14-212", TIOUS, _THUMOS_AVERAGES, videos=212, instances=3358),
        Protocol(
            "thumos14-snippet",
            TIOUS,
            _THUMOS_AVERAGES,
            videos=212,
            instances=3358,
            snippet_rate=FAMILY_RATE,
            ambiguous=True,
        ),
        Protocol(
            "wtalc",
            TIOUS,
            _THUMOS_AVERAGES,
            videos=212,
            instances=3358,
            snippet_rate=FAMILY_RATE,
            truncated=True,
            best_first=False,
            interpolated=False,
            ambiguous=True,
        ),
        Protocol("multithumos", _MULTITHUMOS_TIOUS, ((0.1, 0.9),), classes=65),
    )
}


def find_protocol(name: str) -> Protocol:
    """The protocol of that name. Raises ConfigError naming the known ones."""
    if name not in PROTOCOLS:
        raise ConfigError(f'protocol "{name}" is not known; use one of {", ".join(PROTOCOLS)}')
    return PROTOCOLS[name]


def checked_tious(tious: ArrayLike) -> tuple[float, ...]:
    """Thresholds as plain numbers, 0.30000000000000004 as 0.3. Raises ConfigError unless 0 < tIoU <= 1."""
    values = np.atleast_1d(np.asarray(tious, dtype=np.float64)).round(9)
    if values.size == 0 or not np.all((values > 0) & (values <= 1)):
        raise ConfigError(f"tIoU thresholds are {values.tolist()}; use at least one, each above 0 and up to 1")
    return tuple(values.tolist())
