"""Timelines survive their encoding for the page."""

from base64 import b64decode

import numpy as np
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from tests.helpers.errors import raises
from tests.helpers.report import CLASSES, empty_timeline, make_timeline
from wtal.core.errors import DataError
from wtal.core.structures import Segment
from wtal.reporting.figures.layout import TimelineData
from wtal.reporting.html.encoding import encode_timeline


def decode(text: str) -> dict[str, np.ndarray]:
    """Decode a timeline as the page does, by the layout in the docstring of `wtal.reporting.html.encoding`."""
    data = b64decode(text)
    a, r, p, t, k = counts = np.frombuffer(data, "<u4", 5).tolist()
    offset = 4 * len(counts)

    def take(dtype: str, count: int) -> np.ndarray:
        nonlocal offset
        part = np.frombuffer(data, dtype, count, offset)
        offset += part.nbytes
        return part

    parts = {"range": take("<f4", 2), "edges": take("<f4", t + 1 if t else 0)}
    parts |= {lane: take("<f4", 3 * n).reshape(3, n) for lane, n in (("truth", a), ("result", r), ("proposals", p))}
    parts |= {name: take("<u2", n) for name, n in (("lines", k), ("a", a), ("r", r), ("p", p))}
    parts |= {"attention": take("u1", t), "cas": take("u1", t * k).reshape(k, t)}
    assert offset == len(data)
    return parts


times = st.floats(0, 1e5, allow_nan=False)
segments = st.builds(lambda label, a, b, score: Segment(label, min(a, b), max(a, b), score),
                     st.sampled_from(CLASSES), times, times, st.floats(-1e300, 1e300))  # fmt: skip


@given(st.lists(segments, max_size=20), st.integers(1, 40), st.integers(0, 2**32 - 1))
@hypothesis(max_examples=30, deadline=None)
def test_encoded_timeline_is_decoded(proposals, snippets, seed):
    rng = np.random.default_rng(seed)
    attention, cas = rng.random(snippets), rng.normal(0, 5, (snippets, 3))
    edges = np.arange(snippets + 1) * 0.64
    timeline = TimelineData("v", 9.0, (), proposals[:3], proposals, edges, attention, cas)
    parts = decode(encode_timeline(timeline, CLASSES))
    np.testing.assert_allclose(parts["edges"], edges, rtol=1e-6)
    np.testing.assert_allclose(parts["proposals"][0], [p.start for p in proposals], rtol=1e-6, atol=1e-6)
    assert np.isfinite(parts["proposals"]).all()
    assert [CLASSES[label] for label in parts["p"]] == [p.label for p in proposals]
    assert [CLASSES[label] for label in parts["r"]] == [p.label for p in proposals[:3]]
    np.testing.assert_allclose(parts["attention"] / 255, attention, atol=1 / 255)
    assert set(parts["lines"]) == {CLASSES.index(p.label) for p in proposals}
    low, high = parts["range"]
    values = low + parts["cas"] / 255 * (high - low)
    np.testing.assert_allclose(values, cas[:, parts["lines"]].T, atol=(high - low) / 255)


def test_ground_truth_has_score_zero():
    assert decode(encode_timeline(make_timeline(), CLASSES))["truth"].T.tolist() == [[1.0, 2.5, 0.0]]


def test_timeline_without_curves_and_segments_is_encoded():
    parts = decode(encode_timeline(empty_timeline(), CLASSES))
    assert [part.size for name, part in parts.items() if name != "range"] == [0] * 10


def test_unknown_label_is_rejected():
    with raises(DataError, code="unknown-name", location="video a"):
        encode_timeline(make_timeline(label="fly"), CLASSES)
