"""Scores while training: those that the finished checkpoint would get, and of the right sequences alone."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from wtal.core.structures import Segment, Video
from wtal.data.batching import held_out_ids
from wtal.evaluation.protocols import COMPARISON_TIOUS, EvaluationOptions
from wtal.experiments import validation
from wtal.experiments.pipeline import evaluate_file, localize_run, train_run
from wtal.experiments.validation import segment_map, validator, video_map
from wtal.inference.proposals import SnippetScores
from wtal.models.checkpoint import load_local
from wtal.models.dfe import build_local_branch

NOBODY: frozenset[str] = frozenset()


def made(settings, tiny):
    torch.manual_seed(0)
    config = settings("local")
    return config, build_local_branch(config, tiny.modalities, len(tiny.classes)).eval()


def read(monkeypatch) -> list[str]:
    """The ids of all sequences that are scored from now on."""
    seen, plain = [], validation.score_videos

    def score(network, folder, videos, config):
        seen.extend(video.id for video in videos)
        assert all(video.subset == "validation" or not video.segments for video in videos), "segments stay outside"
        return plain(network, folder, videos, config)

    monkeypatch.setattr(validation, "score_videos", score)
    return seen


def test_without_held_out_sequences_the_validation_segments_are_scored(settings, tiny, monkeypatch):
    config, network = made(settings, tiny)
    seen = read(monkeypatch)
    (name, score), *more = validator(tiny, config, NOBODY)(network).items()
    assert name == "validation_map" and 0 <= score <= 1 and not more
    assert seen == [video.id for video in tiny.subset("validation")]


def test_held_out_sequences_are_scored_by_their_labels_alone(settings, tiny, monkeypatch):
    config, network = made(settings, tiny)
    held_out = held_out_ids(tiny, 0.5, 0)
    marked = replace(tiny, videos=tuple(replace(v, segments=(Segment(tiny.classes[0], 0, 1),)) for v in tiny.videos))
    seen = read(monkeypatch)
    (name, score), *more = validator(marked, config, held_out)(network).items()
    assert name == "held_out_video_map" and 0 <= score <= 1 and not more
    assert set(seen) == held_out and len(seen) == len(held_out)


def test_the_last_score_is_what_localize_and_evaluate_say_of_the_checkpoint(settings, tiny, tmp_path):
    run, proposals = tmp_path / "run", tmp_path / "proposals.json"
    train_run(tiny.path, run, settings(), device="cpu", validate=True)
    localize_run(run, tiny.path, "validation", proposals)
    result = evaluate_file(proposals, tiny.path, EvaluationOptions(tious=COMPARISON_TIOUS, subset="validation"))
    logged = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert logged["validation_map"] == pytest.approx(result.average())
    network, meta = load_local(run)
    assert logged["validation_map"] == segment_map(network, meta.config, tiny, list(tiny.subset("validation")))


def test_naming_is_scored_class_by_class_over_the_videos(settings, tiny, monkeypatch):
    """By hand: the first class is ranked right, the second's carrier comes second, the third has none."""
    a, b, _ = tiny.classes
    videos = [Video("v", "training", (a,)), Video("w", "training", (b,)), Video("u", "training", ())]
    said = np.array([[0.9, 0.6, 0.7], [0.2, 0.5, 0.1], [0.1, 0.4, 0.8]])

    def score(*_):
        return [(v, SnippetScores(np.ones(1), np.ones((1, 4)), row)) for v, row in zip(videos, said, strict=True)]

    monkeypatch.setattr(validation, "score_videos", score)
    config, network = made(settings, tiny)
    assert video_map(network, config, tiny, videos) == pytest.approx((1 + 1 / 2) / 2)
    everything = [replace(v, labels=(a,)) for v in videos]
    assert video_map(network, config, tiny, everything) == 1
