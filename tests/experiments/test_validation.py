"""Scores during training equal those of the finished checkpoint and use only the videos they should."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from wtal.core.structures import Segment, Video
from wtal.data.batching import held_out_ids
from wtal.evaluation.protocols import EvaluationOptions
from wtal.experiments.pipeline import evaluate, localize, train
from wtal.experiments.validation import make_validator, segment_map, video_map
from wtal.inference.localizer import Localizer
from wtal.inference.proposals import SnippetScores
from wtal.models.checkpoint import ModelMetadata
from wtal.models.local_branch import build_model


@pytest.fixture
def network(settings, tiny):
    torch.manual_seed(0)
    return build_model(settings("local"), tiny.modalities, len(tiny.classes)).eval()


@pytest.fixture
def scored_ids(monkeypatch) -> list[str]:
    """Ids of the videos that are scored from now on; they must not reveal segments of training videos."""
    ids: list[str] = []
    for name in ("score_videos", "localize_videos"):
        score = getattr(Localizer, name)

        def record(self, dataset, videos, method=score):
            ids.extend(video.id for video in videos)
            assert all(video.subset == "validation" or not video.segments for video in videos)
            return method(self, dataset, videos)

        monkeypatch.setattr(Localizer, name, record)
    return ids


def test_validation_segments_are_scored_without_held_out_videos(settings, tiny, network, scored_ids):
    scores = make_validator(tiny, settings("local"), frozenset())(network)
    assert list(scores) == ["validation_map"] and 0 <= scores["validation_map"] <= 1
    assert scored_ids == [video.id for video in tiny.subset("validation")]


def test_held_out_videos_are_scored_by_their_labels(settings, tiny, network, scored_ids):
    held_out = held_out_ids(tiny, 0.5, 0)
    segments = (Segment(tiny.classes[0], 0, 1),)
    annotated = replace(tiny, videos=tuple(replace(video, segments=segments) for video in tiny.videos))
    scores = make_validator(annotated, settings("local"), held_out)(network)
    assert list(scores) == ["held_out_video_map"] and 0 <= scores["held_out_video_map"] <= 1
    assert sorted(scored_ids) == sorted(held_out)


def test_last_score_equals_that_of_localize_and_evaluate(settings, tiny, tmp_path):
    run, proposals = tmp_path / "run", tmp_path / "proposals.json"
    train(tiny.path, run, settings(), device="cpu", validate=True)
    localize(run, tiny.path, proposals, "validation")
    result = evaluate(proposals, tiny.path, EvaluationOptions(subset="validation"))
    logged = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert logged["validation_map"] == pytest.approx(result.average())
    assert logged["validation_map"] == segment_map(Localizer(run), tiny, tiny.subset("validation"))


def test_video_map_is_mean_over_classes_that_have_videos(settings, tiny, network, monkeypatch):
    """The first class is ranked correctly, the video of the second class is second, the third class has no video."""
    a, b, _ = tiny.classes
    videos = [Video("v", "training", (a,)), Video("w", "training", (b,)), Video("u", "training", ())]
    scores = np.array([[0.9, 0.6, 0.7], [0.2, 0.5, 0.1], [0.1, 0.4, 0.8]])

    def score_videos(*_):
        return [(v, SnippetScores(np.ones(1), np.ones((1, 4)), row)) for v, row in zip(videos, scores, strict=True)]

    localizer = Localizer(network, ModelMetadata(settings("local"), tiny.classes, tiny.modalities, tiny.clock, 0))
    monkeypatch.setattr(localizer, "score_videos", score_videos)
    assert video_map(localizer, tiny, videos) == pytest.approx((1 + 1 / 2) / 2)
    assert video_map(localizer, tiny, [replace(v, labels=(a,)) for v in videos]) == 1
