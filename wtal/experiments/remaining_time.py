"""How long extraction will take on this machine, estimated from what has been extracted so far."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from wtal.core.errors import DataError
from wtal.core.text import format_time
from wtal.video.reader import read_duration_and_rate

MIN_SECONDS = 5.0  # measured before the first estimate, unless a video is finished


class RemainingTime:
    """Estimates the time from the speed since the first frames. Loading the backbone does not count.

    Args:
        videos: Id to file of the videos that are extracted.
    """

    def __init__(self, videos: Mapping[str, Path]) -> None:
        self._videos = videos
        self._start: tuple[float, float] | None = None  # time, and seconds of video that were extracted by then

    def describe(self, finished: Sequence[str], active: Sequence[tuple[str, float]], now: float) -> str:
        """`about 3:20 left`, or nothing until enough is known.

        Args:
            finished: Ids of the videos that are done.
            active: Id and reached second of those in progress.
            now: The time in seconds.
        """
        done = sum(self._durations.get(id, 0.0) for id in finished) + sum(second for _, second in active)
        if self._start is None:
            self._start = (now, done) if done > 0 else None
            return ""
        elapsed, extracted = now - self._start[0], done - self._start[1]
        if extracted <= 0 or not (finished or elapsed >= MIN_SECONDS):
            return ""
        left = max(0.0, sum(self._durations.values()) - done)
        return f"about {format_time(left * elapsed / extracted)} left"

    @cached_property
    def _durations(self) -> Mapping[str, float]:
        """The duration of each video; the mean for those whose header has none."""
        durations: dict[str, float] = {}
        for id, path in self._videos.items():
            try:
                duration, _ = read_duration_and_rate(path)
            except DataError:  # it cannot be extracted either
                duration = 0.0
            if duration is not None:
                durations[id] = duration
        mean = sum(durations.values()) / max(1, len(durations))
        return {id: durations.get(id, mean) for id in self._videos}
