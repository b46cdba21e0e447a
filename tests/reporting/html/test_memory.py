"""The summary of a memory: counts, similarity of classes, and typical snippets with their times."""

import numpy as np
import pytest
import torch

from wtal.core.clock import SnippetClock
from wtal.models.memory import GlobalMemory, Whitening
from wtal.reporting.html.memory import BACKGROUND, summarize_memory

VIDEOS = ("a", "b", "c", "d")


def make_memory(rows: list[tuple[int, int, int, list[float]]]) -> GlobalMemory:
    """A memory of (class, video, snippet, vector), sorted by class."""
    classes, videos, snippets, vectors = zip(*rows, strict=True)
    entries = torch.nn.functional.normalize(torch.tensor(vectors), dim=1)
    whitening = Whitening(torch.zeros(1, 3), torch.eye(3)[None])
    indices = (torch.tensor(values) for values in (classes, videos, snippets))
    return GlobalMemory(entries, *indices, whitening, 2, 1, 0.1)


@pytest.fixture
def summary():
    """Class x in four videos, class y without entries, background opposite to x."""
    rows = [
        (0, 0, 3, [1.0, 0.0, 0.0]),
        (0, 0, 4, [1.0, 0.1, 0.0]),
        (0, 1, 5, [1.0, -0.3, 0.0]),
        (0, 2, 6, [1.0, 0.0, 0.5]),
        (0, 3, 7, [0.2, 1.0, 0.0]),
        (2, 1, 0, [-1.0, -0.2, -0.1]),
    ]
    return summarize_memory(make_memory(rows), ("x", "y"), VIDEOS, lambda id: SnippetClock(2.0, 0.5))


def test_classes_are_counted(summary):
    assert summary.classes == ("x", "y", BACKGROUND) == tuple(row.label for row in summary.rows)
    assert [(row.entries, row.videos) for row in summary.rows] == [(5, 4), (0, 0), (1, 1)]


def test_similarity_is_the_cosine_of_mean_entries(summary):
    np.testing.assert_allclose(summary.similarity, summary.similarity.T)
    np.testing.assert_allclose(np.diag(summary.similarity), [1, 0, 1], atol=1e-6)
    assert summary.similarity[0, 2] < -0.9 and not summary.similarity[1].any()


def test_typical_snippets_come_from_different_videos_and_have_their_times(summary):
    typical = summary.rows[0].typical
    assert {snippet.video for snippet in typical} == {"a", "b", "c"}
    assert [snippet.cosine for snippet in typical] == sorted((s.cosine for s in typical), reverse=True)
    first = next(snippet for snippet in typical if snippet.video == "b")
    assert (first.start, first.end) == (10.5, 12.5)
    assert summary.rows[1].typical == ()
