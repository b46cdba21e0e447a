"""Pictures are taken by time, snippets cut from pictures: counts, edges, windows, and what is held."""

import weakref
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wtal.video.backbones.base import Sampling
from wtal.video.sampling import TICK, Shown, Snippet, cut


def shown(durations: list[float], start: float = 0.0) -> list[Shown[int]]:
    """Frames 0, 1, ... that follow one another."""
    edges = start + np.cumsum([0.0, *durations])
    return [Shown(float(a), float(b), i) for i, (a, b) in enumerate(pairwise(edges))]


def picture(frame: int) -> np.ndarray:
    return np.full((1, 1, 3), frame, np.uint8)


def frames_seen(snippet: Snippet) -> list[int]:
    return snippet.pictures[:, 0, 0, 0].tolist()


def sampling(fps: float = 10, stride: int = 2, window: int = 2) -> Sampling:
    return Sampling(fps, stride, window, 1, None)


@pytest.mark.parametrize(
    "durations, stride, window, expected",
    [
        ([0.1] * 4, 2, 2, [[0, 1], [2, 3]]),  # the rate of the file
        ([0.05] * 8, 2, 2, [[1, 3], [5, 7]]),  # twice as fast: every other frame
        ([0.2] * 2, 2, 2, [[0, 0], [1, 1]]),  # half as fast: each twice
        ([0.1] * 5, 2, 2, [[0, 1], [2, 3], [4, 4]]),  # the last snippet is shorter, its window filled up
        ([0.1] * 4, 2, 4, [[0, 0, 1, 2], [1, 2, 3, 3]]),  # a window around each, edges repeated
        ([0.1] * 6, 3, 1, [[1], [4]]),  # a window within each
        ([0.1] * 4, 3, 1, [[1], [3]]),  # the middle of the last lies beyond the end
        ([0.33, 0.01, 0.06], 2, 2, [[0, 0], [0, 2]]),  # variable rate: a long frame, two short ones
        ([0.01], 2, 2, [[0, 0]]),  # shorter than a picture: still one snippet
    ],
)
def test_pictures_are_the_frames_shown_then(
    durations: list[float], stride: int, window: int, expected: list[list[int]]
) -> None:
    snippets = cut(shown(durations), sampling(10, stride, window), picture)
    assert [frames_seen(snippet) for snippet in snippets] == expected


def test_snippets_cover_the_video_without_a_gap() -> None:
    snippets = list(cut(shown([0.1] * 5, start=2.0), sampling(), picture))
    assert [(s.start, s.end) for s in snippets] == [pytest.approx(e) for e in [(2, 2.2), (2.2, 2.4), (2.4, 2.5)]]


def test_a_rest_of_less_than_half_a_picture_is_the_last_snippets() -> None:
    snippets = list(cut(shown([0.1] * 4 + [0.04]), sampling(), picture))
    assert [(s.start, s.end) for s in snippets] == [pytest.approx(e) for e in [(0, 0.2), (0.2, 0.44)]]


def test_no_frame_no_snippet() -> None:
    assert list(cut([], sampling(), picture)) == []


def test_a_frame_of_unknown_length_is_one_picture_long() -> None:
    (snippet,) = cut([Shown(1.0, 1.0, 7)], sampling(), picture)
    assert (snippet.start, snippet.end, frames_seen(snippet)) == (1.0, pytest.approx(1.1), [7, 7])


def test_rounded_time_stamps_do_not_shift_the_choice() -> None:
    exact = [Shown(i / 60, (i + 1) / 60, i) for i in range(60)]
    rounded = [Shown(round(i / 60, 3), round((i + 1) / 60, 3), i) for i in range(60)]
    want = [frames_seen(s) for s in cut(exact, sampling(30, 6, 6), picture)]
    assert [frames_seen(s) for s in cut(rounded, sampling(30, 6, 6), picture)] == want
    assert want[0] == [1, 3, 5, 7, 9, 11]


timelines = st.lists(st.floats(0.0, 0.3), min_size=1, max_size=60)
samplings = st.builds(
    Sampling, st.sampled_from([4.0, 7.5, 12.5, 25.0]), st.integers(1, 9), st.integers(1, 20), st.just(1), st.none()
)


@given(timelines, st.floats(0, 100), samplings)
def test_as_if_all_were_known_beforehand(durations: list[float], start: float, how: Sampling) -> None:
    frames = shown(durations, start)
    snippets = list(cut(frames, how, picture))

    begin, end = frames[0].start, frames[-1].end
    stands = begin + (np.arange(10_000) + 0.5) / how.fps
    count = max(1, int((stands < end - TICK).sum()))
    chosen = [next((f.frame for f in frames if stand < f.end - TICK), frames[0].frame) for stand in stands[:count]]
    for i, snippet in enumerate(snippets):
        first = i * how.stride + (how.stride - how.window) // 2
        assert frames_seen(snippet) == [chosen[min(max(k, 0), count - 1)] for k in range(first, first + how.window)]
        assert snippet.start == begin + i * how.stride / how.fps
        assert snippet.end == (snippets[i + 1].start if i + 1 < len(snippets) else max(end, snippet.end))
        assert snippet.start < snippet.end
    assert len(snippets) == -(-count // how.stride)


@given(timelines, samplings)
def test_each_frame_is_made_a_picture_once_and_only_if_seen(durations: list[float], how: Sampling) -> None:
    made: list[int] = []

    def counted(frame: int) -> np.ndarray:
        made.append(frame)
        return picture(frame)

    seen = {frame for snippet in cut(shown(durations), how, counted) for frame in frames_seen(snippet)}
    assert sorted(made) == sorted(set(made))
    assert seen <= set(made)
    assert len(made) - len(seen) <= 1  # the last picture, in case that a window reaches beyond it


def test_no_more_than_a_window_and_a_stride_is_held() -> None:
    alive: set[int] = set()
    most: list[int] = []

    def watched(frame: int) -> np.ndarray:
        made = picture(frame % 256)
        alive.add(frame)
        weakref.finalize(made, alive.discard, frame)
        most.append(len(alive))
        return made

    def frames() -> Iterator[Shown[int]]:
        for i in range(2000):
            yield Shown(i * 0.1, (i + 1) * 0.1, i)

    for _ in cut(frames(), sampling(10, 4, 10), watched):
        pass
    assert 10 <= max(most) <= 15
