"""Sampling frames by time and cutting them into snippets: counts, boundaries, windows and memory."""

import weakref
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.errors import raises
from wtal.core.errors import DataError
from wtal.video.backbones.base import Sampling
from wtal.video.sampling import MAX_STILL_SAMPLES, TIMESTAMP_TOLERANCE, Snippet, TimedFrame, cut_snippets


def timed_frames(durations: list[float], start: float = 0.0) -> list[TimedFrame[int]]:
    """Consecutive frames 0, 1, ..."""
    edges = start + np.cumsum([0.0, *durations])
    return [TimedFrame(float(a), float(b), i) for i, (a, b) in enumerate(pairwise(edges))]


def to_rgb(frame: int) -> np.ndarray:
    return np.full((1, 1, 3), frame, np.uint8)


def window_frames(snippet: Snippet) -> list[int]:
    return snippet.frames[:, 0, 0, 0].tolist()


def sampling(fps: float = 10, stride: int = 2, window: int = 2) -> Sampling:
    return Sampling(fps, stride, window, 1, None)


@pytest.mark.parametrize(
    "durations, stride, window, expected",
    [
        ([0.1] * 4, 2, 2, [[0, 1], [2, 3]]),  # the sampling rate
        ([0.05] * 8, 2, 2, [[1, 3], [5, 7]]),  # twice the sampling rate: every second frame
        ([0.2] * 2, 2, 2, [[0, 0], [1, 1]]),  # half the sampling rate: each frame twice
        ([0.1] * 5, 2, 2, [[0, 1], [2, 3], [4, 4]]),  # the last snippet is shorter, its window is padded
        ([0.1] * 4, 2, 4, [[0, 0, 1, 2], [1, 2, 3, 3]]),  # a window larger than the snippet, repeated at the ends
        ([0.1] * 6, 3, 1, [[1], [4]]),  # a window smaller than the snippet
        ([0.1] * 4, 3, 1, [[1], [3]]),  # the center of the last snippet is beyond the end
        ([0.33, 0.01, 0.06], 2, 2, [[0, 0], [0, 2]]),  # variable frame rate
        ([0.01], 2, 2, [[0, 0]]),  # shorter than one sampled frame: still one snippet
    ],
)
def test_windows_contain_the_frames_displayed_at_the_sampled_times(
    durations: list[float], stride: int, window: int, expected: list[list[int]]
) -> None:
    snippets = cut_snippets(timed_frames(durations), sampling(10, stride, window), to_rgb)
    assert [window_frames(snippet) for snippet in snippets] == expected


@pytest.mark.parametrize(
    "durations, start, expected",
    [
        ([0.1] * 5, 2.0, [(2, 2.2), (2.2, 2.4), (2.4, 2.5)]),
        ([0.1] * 4 + [0.04], 0.0, [(0, 0.2), (0.2, 0.44)]),  # less than half a sampled frame joins the last snippet
    ],
)
def test_snippets_cover_the_video_without_gaps(
    durations: list[float], start: float, expected: list[tuple[float, float]]
) -> None:
    snippets = cut_snippets(timed_frames(durations, start), sampling(), to_rgb)
    assert [(s.start, s.end) for s in snippets] == [pytest.approx(edges) for edges in expected]


def test_no_frames_give_no_snippets() -> None:
    assert list(cut_snippets([], sampling(), to_rgb)) == []


def test_frame_of_unknown_duration_lasts_one_sampled_frame() -> None:
    (snippet,) = cut_snippets([TimedFrame(1.0, 1.0, 7)], sampling(), to_rgb)
    assert (snippet.start, snippet.end, window_frames(snippet)) == (1.0, pytest.approx(1.1), [7, 7])


def test_rounded_time_stamps_select_the_same_frames() -> None:
    exact = [TimedFrame(i / 60, (i + 1) / 60, i) for i in range(60)]
    rounded = [TimedFrame(round(i / 60, 3), round((i + 1) / 60, 3), i) for i in range(60)]
    expected = [window_frames(s) for s in cut_snippets(exact, sampling(30, 6, 6), to_rgb)]
    assert [window_frames(s) for s in cut_snippets(rounded, sampling(30, 6, 6), to_rgb)] == expected
    assert expected[0] == [1, 3, 5, 7, 9, 11]


frame_durations = st.lists(st.floats(0.0, 0.3), min_size=1, max_size=60)
samplings = st.builds(
    Sampling, st.sampled_from([4.0, 7.5, 12.5, 25.0]), st.integers(1, 9), st.integers(1, 20), st.just(1), st.none()
)


@given(frame_durations, st.floats(0, 100), samplings)
def test_streaming_equals_computing_from_all_frames(durations: list[float], start: float, sampling: Sampling) -> None:
    frames = timed_frames(durations, start)
    snippets = list(cut_snippets(frames, sampling, to_rgb))

    begin, end = frames[0].start, frames[-1].end
    times = begin + (np.arange(10_000) + 0.5) / sampling.fps
    count = max(1, int((times < end - TIMESTAMP_TOLERANCE).sum()))
    sampled = [
        next((f.frame for f in frames if time < f.end - TIMESTAMP_TOLERANCE), frames[0].frame) for time in times[:count]
    ]
    for i, snippet in enumerate(snippets):
        first = i * sampling.stride + (sampling.stride - sampling.window) // 2
        window = range(first, first + sampling.window)
        assert window_frames(snippet) == [sampled[min(max(k, 0), count - 1)] for k in window]
        assert snippet.start == begin + i * sampling.stride / sampling.fps
        assert snippet.end == (snippets[i + 1].start if i + 1 < len(snippets) else max(end, snippet.end))
        assert snippet.start < snippet.end
    assert len(snippets) == -(-count // sampling.stride)


@given(frame_durations, samplings)
def test_frames_are_converted_once_and_only_if_needed(durations: list[float], sampling: Sampling) -> None:
    converted: list[int] = []

    def convert(frame: int) -> np.ndarray:
        converted.append(frame)
        return to_rgb(frame)

    snippets = cut_snippets(timed_frames(durations), sampling, convert)
    needed = {frame for snippet in snippets for frame in window_frames(snippet)}
    assert sorted(converted) == sorted(set(converted))
    assert needed <= set(converted)
    assert len(converted) - len(needed) <= 1  # the last frame, in case a window reaches beyond it


def test_memory_is_limited_to_a_window_and_a_stride() -> None:
    alive: set[int] = set()
    counts: list[int] = []

    def convert(frame: int) -> np.ndarray:
        rgb = to_rgb(frame % 256)
        alive.add(frame)
        weakref.finalize(rgb, alive.discard, frame)
        counts.append(len(alive))
        return rgb

    def frames() -> Iterator[TimedFrame[int]]:
        for i in range(2000):
            yield TimedFrame(i * 0.1, (i + 1) * 0.1, i)

    for _ in cut_snippets(frames(), sampling(10, 4, 10), convert):
        pass
    assert 10 <= max(counts) <= 15


def test_few_frames_that_are_displayed_for_hours_are_rejected():
    still = MAX_STILL_SAMPLES / 10
    assert len(list(cut_snippets(timed_frames([still] + [0.1] * 9), sampling(10, 16, 1), to_rgb))) > 900
    converted: list[int] = []
    hours = timed_frames([3600.0] * 40)
    with raises(DataError, code="too-few-frames"):
        list(cut_snippets(hours, sampling(10, 16, 1), lambda frame: converted.append(frame) or to_rgb(frame)))
    assert not converted
    slow = timed_frames([10.0] * 1000)  # a frame every 10 s is sampled 100 times
    assert len(list(cut_snippets(slow, sampling(10, 16, 1), lambda frame: np.zeros((1, 1, 3), np.uint8)))) == 6250
