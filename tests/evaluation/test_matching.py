"""The matcher against plain loops."""

import numpy as np
import pytest
from hypothesis import given, settings

from tests.helpers.evaluation import TIOUS, scenes, score
from wtal.core.clock import tiou
from wtal.evaluation.matching import greedy_match, preference_order
from wtal.evaluation.protocols import PROTOCOLS


def reference_average_precision(proposals, ground_truth, label, protocol, threshold):
    """Average precision of one class at one threshold, one proposal at a time."""
    segments = {
        v.id: [protocol.ground_truth_times((s.start, s.end)) for s in v.segments if s.label == label]
        for v in ground_truth
    }
    ranked = sorted(
        ((proposal, id) for id, group in proposals.items() for proposal in group if proposal.label == label),
        key=lambda pair: -pair[0].score,
    )
    matched, hits = set(), []
    for proposal, id in ranked:
        start, end = protocol.proposal_times((proposal.start, proposal.end))
        overlaps = np.array([float(tiou(start, end, *segment)) for segment in segments.get(id, [])])
        order = preference_order(overlaps[None], protocol.prefers_best)[0]
        free = [(id, index) for index in order if overlaps[index] >= threshold and (id, index) not in matched]
        hits.append(bool(free))
        matched.update(free[:1])
    precision = [sum(hits[: rank + 1]) / (rank + 1) for rank in range(len(hits))]
    if protocol.interpolated:
        precision = [max(precision[rank:]) for rank in range(len(precision))]
    return sum(p for p, hit in zip(precision, hits, strict=True) if hit) / sum(map(len, segments.values()))


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(scene=scenes())
@settings(max_examples=60, deadline=None)
def test_evaluation_equals_reference_implementation(protocol, scene):
    proposals, ground_truth = scene
    per_class = score(proposals, ground_truth, protocol, tious=TIOUS).per_class
    assert set(per_class) == {segment.label for v in ground_truth for segment in v.segments}
    for label, values in per_class.items():
        expected = [
            reference_average_precision(proposals, ground_truth, label, PROTOCOLS[protocol], threshold)
            for threshold in TIOUS
        ]
        assert values == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("same_order", [False, True], ids=["different preferences", "the same preferences"])
def test_greedy_match_equals_plain_loop(same_order):
    rng = np.random.default_rng(0)
    for _ in range(60):
        size = rng.integers(0, 60, 2)
        preferences = [
            np.arange(size[1]) if same_order else rng.permutation(size[1])[: rng.integers(0, 9)] for _ in range(size[0])
        ]
        expected, matched = np.full(size[0], -1), set[int]()
        for proposal, segments in enumerate(preferences):
            expected[proposal] = next((segment for segment in segments.tolist() if segment not in matched), -1)
            matched.add(int(expected[proposal]))
        proposals = np.repeat(np.arange(size[0]), list(map(len, preferences)))
        segments = np.concatenate([np.empty(0, int), *preferences])
        assert np.array_equal(greedy_match(proposals, segments, tuple(size)), expected)
