"""How well a model predicts the tags: the ranking of videos, and signs that training has failed."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wtal.models import checkpoint
from wtal.training import stages
from wtal.training.tag_scores import find_collapse, tag_precision, video_scores

LABELS = torch.tensor([[1.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [1, 1, 0]])


def test_perfect_ranking_has_precision_one():
    torch.testing.assert_close(tag_precision(0.2 + 0.1 * LABELS, LABELS), torch.ones(3))


def test_mistaken_class_has_low_precision_and_the_others_do_not():
    scores = LABELS.clone()
    scores[:, 0] = 1 - scores[:, 0]
    precision = tag_precision(scores, LABELS)
    assert precision[0] < 0.6 and precision[1] == 1


def test_class_without_a_video_has_precision_one():
    assert tag_precision(torch.rand(5, 3), LABELS)[2] == 1


@given(st.integers(0, 999), st.integers(1, 12), st.integers(1, 4))
def test_precision_is_a_positive_share_and_independent_of_the_order_and_scale(seed, videos, classes):
    draw = torch.Generator().manual_seed(seed)
    scores, labels = torch.rand(videos, classes, generator=draw), torch.rand(videos, classes, generator=draw).round()
    precision = tag_precision(scores, labels)
    assert (precision > 0).all() and (precision <= 1).all()
    order = torch.randperm(videos, generator=draw)
    torch.testing.assert_close(tag_precision(scores[order], labels[order]), precision)
    torch.testing.assert_close(tag_precision(2 * scores + 1, labels), precision)


@given(st.lists(st.booleans(), min_size=1, max_size=12).filter(any))
def test_precision_equals_a_plain_loop(has_tag):
    """The videos are given by falling score."""
    scores = torch.arange(len(has_tag), 0, -1.0)[:, None]
    precisions = [sum(has_tag[: rank + 1]) / (rank + 1) for rank in range(len(has_tag)) if has_tag[rank]]
    precision = tag_precision(scores, torch.tensor(has_tag, dtype=torch.float32)[:, None])
    assert precision.item() == pytest.approx(np.mean(precisions))


@pytest.mark.parametrize("ratio", [1, 3, 100])
def test_video_scores_are_the_mean_of_the_highest_probabilities(ratio):
    cas = torch.randn(2, 7, 4, generator=torch.Generator().manual_seed(0))
    expected = cas.softmax(-1).sort(1, descending=True).values[:, : -(-7 // ratio), :-1].mean(1)
    torch.testing.assert_close(video_scores(cas, ratio), expected)


@pytest.fixture
def run(tiny, settings, tmp_path):
    """A model that predicts the tags."""
    stages.train(settings("local", train={"steps": 60, "learning_rate": 0.01}), tiny, tmp_path / "run", device="cpu")
    return tmp_path / "run"


def test_trained_model_has_not_collapsed(run, tiny):
    assert find_collapse(run, tiny) is None


@pytest.mark.parametrize("damage", ["equal scores", "scores of other classes"])
def test_collapsed_model_is_noticed(run, tiny, damage):
    network, meta = checkpoint.load_model(run)
    with torch.no_grad():
        if damage == "equal scores":
            network.classify.weight.zero_()
        else:
            network.classify.weight[:-1] *= -1
    checkpoint.write_model(checkpoint.latest_checkpoint(run), meta, network)
    assert find_collapse(run, tiny)
