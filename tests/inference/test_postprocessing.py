"""What is left of a proposal beside surer ones, and how soon; what a timeline promises is in test_operating."""

import time
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from wtal.core.structures import Segment
from wtal.inference.postprocessing import MIN_REMAINING_FRACTION, SegmentConstraints, remove_overlaps, sort_by_time

LABELS = ("jump", "run", "throw")
spans = st.tuples(st.integers(0, 60), st.integers(0, 30)).map(lambda span: (span[0] / 2, span[0] / 2 + span[1] / 2))
proposals = st.lists(
    st.builds(lambda label, span, score: Segment(label, *span, score), st.sampled_from(LABELS), spans, st.floats(0, 1)),
    max_size=30,
)


def plainly_tidied(found: list[Segment], friends: set[str]) -> list[Segment]:
    """By the definition: every piece that surer ones leave is looked at."""
    kept: list[Segment] = []
    for one in sorted(found, key=lambda p: (-p.score, p.start, p.end, p.label)):
        over = [k for k in kept if k.end > one.start and k.start < one.end and {k.label, one.label} != friends]
        pieces, at = [], one.start
        for rival in sorted(over, key=lambda rival: rival.start):
            pieces.append((at, rival.start))
            at = max(at, rival.end)
        start, end = max([*pieces, (at, one.end)], key=lambda piece: piece[1] - piece[0])
        if end - start >= MIN_REMAINING_FRACTION * (one.end - one.start):
            kept.append(one._replace(start=start, end=end))
    return sort_by_time(kept)


@given(proposals, st.booleans())
def test_the_longest_piece_stays_if_it_is_half_or_more(found, friends):
    limits = SegmentConstraints(together=(("jump", "run"),) if friends else ())
    assert remove_overlaps(found, limits) == plainly_tidied(found, {"jump", "run"} if friends else set())


def test_thousands_over_thousands_are_tidied_at_once():
    short = [Segment("jump", float(at), at + 0.9, 0.9) for at in range(8000)]
    long = [Segment("run", at / 1000, 8000 - at / 1000, 0.5) for at in range(8000)]
    begun = time.process_time()
    kept = remove_overlaps([*long, *short], SegmentConstraints())
    assert kept == short and all(one.end <= other.start for one, other in pairwise(kept))
    assert time.process_time() - begun < 5
