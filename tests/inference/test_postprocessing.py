"""Overlap removal: it follows its definition, satisfies the constraints, and stays fast with many segments."""

import math
import random
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.errors import raises
from wtal.core.errors import ConfigError
from wtal.core.structures import Segment, Video
from wtal.inference.postprocessing import (
    MIN_REMAINING_FRACTION,
    SegmentConstraints,
    co_occurring_classes,
    remove_overlaps,
    sort_by_time,
)

CLASSES = ("jump", "run", "throw")
spans = st.tuples(st.integers(0, 60), st.integers(0, 30)).map(lambda span: (span[0] / 2, span[0] / 2 + span[1] / 2))
proposals = st.lists(
    st.builds(
        lambda label, span, score: Segment(label, *span, score), st.sampled_from(CLASSES), spans, st.floats(0, 1)
    ),
    max_size=30,
)


def segments_of(label: str, text: str, score: float = 0.9) -> list[Segment]:
    """One character per second: each run of # is a segment."""
    segments, start = [], 0
    for run in text.replace(".", " ").split(" "):
        if run:
            segments.append(Segment(label, float(start), float(start + len(run)), score))
        start += len(run) + 1
    return segments


def reference_remove_overlaps(segments: list[Segment], co_occurring: set[str]) -> list[Segment]:
    """The definition: every piece that higher-scoring segments leave is considered."""
    kept: list[Segment] = []
    for segment in sorted(segments, key=lambda p: (-p.score, p.start, p.end, p.label)):
        overlapping = [
            k
            for k in kept
            if k.end > segment.start and k.start < segment.end and {k.label, segment.label} != co_occurring
        ]
        pieces, position = [], segment.start
        for other in sorted(overlapping, key=lambda other: other.start):
            pieces.append((position, other.start))
            position = max(position, other.end)
        start, end = max([*pieces, (position, segment.end)], key=lambda piece: piece[1] - piece[0])
        if end - start >= MIN_REMAINING_FRACTION * (segment.end - segment.start):
            kept.append(segment._replace(start=start, end=end))
    return sort_by_time(kept)


@given(proposals, st.booleans())
def test_remove_overlaps_equals_its_definition(segments, overlap_allowed):
    constraints = SegmentConstraints(co_occurring=(("jump", "run"),) if overlap_allowed else ())
    expected = reference_remove_overlaps(segments, {"jump", "run"} if overlap_allowed else set())
    assert remove_overlaps(segments, constraints) == expected


@pytest.mark.parametrize(
    "higher, lower, rest",
    [
        ("..####....", ".......##.", ".......##."),  # no overlap: both stay
        ("####......", "...#######", "....######"),  # most of it is left
        ("..####....", "....####..", ".........."),  # half is left
        ("..####....", "..####....", ".........."),
        ("...##.....", "#########.", ".........."),  # two pieces, the longer one too short
        (".##.......", "##########", "...#######"),  # the longer piece stays
        ("..####....", "......##..", "......##.."),  # they touch
    ],
)
@pytest.mark.parametrize("label", ["jump", "run"])
def test_higher_scoring_segment_keeps_its_time(higher, lower, rest, label):
    first, second = segments_of("jump", higher, 0.9), segments_of(label, lower, 0.5)
    expected = sort_by_time([*first, *segments_of(label, rest, 0.5)])
    assert remove_overlaps([*second, *first], SegmentConstraints()) == expected


def test_only_co_occurring_classes_may_overlap():
    segments = [
        *segments_of("dive", "..########", 0.9),
        *segments_of("cliff dive", "..######..", 0.5),
        *segments_of("run", "###......."),
    ]
    constraints = SegmentConstraints(co_occurring=(("cliff dive", "dive"),))
    assert {p.label for p in remove_overlaps(segments, constraints)} == {"dive", "cliff dive", "run"}
    assert {p.label for p in remove_overlaps(segments, SegmentConstraints())} == {"dive", "run"}


def test_classes_co_occur_if_they_share_half_of_the_shorter_segment():
    def video(*segments: tuple[str, float, float]) -> Video:
        labels = tuple({label for label, *_ in segments})
        return Video("v", "validation", labels, None, tuple(Segment(*segment) for segment in segments))

    assert co_occurring_classes([video(("b", 0, 10), ("a", 4, 9))]) == (("a", "b"),)
    assert co_occurring_classes([video(("b", 0, 10), ("a", 9, 19)), video(("a", 0, 3), ("a", 0, 3))]) == ()


@pytest.mark.parametrize(
    "constraints",
    [
        {"max_per_minute": 0},
        {"min_duration": -1.0},
        {"min_duration": 5.0, "max_duration": 4.0},
        {"max_duration": math.inf},
        {"min_duration": math.inf},
        {"max_duration": math.nan},
    ],
)
def test_impossible_constraints_are_rejected(constraints):
    with raises(ConfigError, code="invalid-value"):
        SegmentConstraints(**constraints)


def test_nested_segments_take_linear_time():
    short = [Segment("jump", float(start), start + 0.9, 0.9) for start in range(8000)]
    long = [Segment("run", index / 1000, 8000 - index / 1000, 0.5) for index in range(8000)]
    begin = time.process_time()
    assert remove_overlaps([*long, *short], SegmentConstraints()) == short
    assert time.process_time() - begin < 5


def test_a_week_of_proposals_takes_seconds():
    rng = random.Random(0)
    starts = [rng.uniform(0, 604_800) for _ in range(20_000)]
    week = [Segment(rng.choice(CLASSES), start, start + rng.uniform(1, 60), rng.random()) for start in starts]
    begin = time.process_time()
    kept = remove_overlaps(week, SegmentConstraints())
    assert all(segment.end <= following.start for segment, following in pairwise(kept))
    assert len(remove_overlaps(week, SegmentConstraints(co_occurring=(("jump", "run"),)))) > len(kept) > 5000
    co_occurring_classes([Video("v", "", CLASSES, None, tuple(Segment(p.label, p.start, p.end) for p in week))])
    assert time.process_time() - begin < 5
