"""Videos, proposals and hypothesis strategies for the tests of the evaluation."""

import numpy as np
from hypothesis import strategies as st

from wtal.core.structures import Segment, Video
from wtal.evaluation.evaluate import evaluate, evaluate_with_matches
from wtal.evaluation.protocols import EvaluationOptions

TIOUS = (0.1, 0.3, 0.5, 0.7)


def video(id, *segments, subset="testing", duration=100.0):
    """A video with segments (label, start, end)."""
    segments = tuple(Segment(*segment) for segment in segments)
    return Video(id, subset, tuple(sorted({segment.label for segment in segments})), duration, segments)


def runs(text, label="x"):
    """`..aa..bb` -> (label, start, end) of each letter's run; 16 s, which are 25 whole snippets, per character."""
    letters = sorted(set(text) - {"."}, key=text.index)
    return [(label, 16.0 * text.index(letter), 16.0 * (text.rindex(letter) + 1)) for letter in letters]


def proposed(*segments):
    """Proposals (label, start, end) in order of descending score."""
    return [Segment(*segment, score=1.0 - rank / 1000) for rank, segment in enumerate(segments)]


def perfect(videos):
    """Proposals equal to the ground truth."""
    return {v.id: proposed(*((s.label, s.start, s.end) for s in v.segments)) for v in videos}


def score(proposals, ground_truth, protocol="activitynet", **options):
    """Evaluate with options as keyword arguments."""
    return evaluate(proposals, ground_truth, EvaluationOptions(protocol, **options))


def score_with_matches(proposals, ground_truth, protocol="activitynet", **options):
    """As `score`, with the matches."""
    return evaluate_with_matches(proposals, ground_truth, EvaluationOptions(protocol, **options))


_times = st.integers(0, 40).map(lambda step: step * 0.4)
_spans = st.tuples(_times, _times).map(sorted).map(tuple)
labelled_spans = st.tuples(st.sampled_from("xyz"), _spans).map(lambda pair: (pair[0], *pair[1]))
ground_truths = (
    st.lists(st.lists(labelled_spans, max_size=6), min_size=1, max_size=4)
    .filter(any)
    .map(lambda lists: [video(f"v{index}", *segments) for index, segments in enumerate(lists)])
)


@st.composite
def scenes(draw, distinct=False):
    """Proposals and ground truth; some proposals are in unknown videos. `distinct`: no two scores are equal."""
    ground_truth = draw(ground_truths)
    segments = draw(st.lists(st.tuples(st.integers(0, 4), labelled_spans), max_size=25))
    if distinct:
        scores = np.random.default_rng(draw(st.integers(0, 999))).permutation(len(segments)).tolist()
    else:
        scores = draw(st.lists(st.integers(0, 8), min_size=len(segments), max_size=len(segments)))
    proposals = {}
    for (index, (label, start, end)), value in zip(segments, scores, strict=True):
        proposals.setdefault(f"v{index}", []).append(Segment(label, start, end, value / 8))
    return proposals, ground_truth
