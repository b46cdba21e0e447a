"""The classifier of I3D as a network: published logits, averaged over time."""

import numpy as np
import pytest
import torch

from wtal.models.kinetics400 import RADIUS, SnippetClassifier, class_names
from wtal.models.local_branch import run_in_windows


@pytest.fixture
def network():
    torch.manual_seed(0)
    return SnippetClassifier(6, 4).eval()


def test_classes_are_distinct():
    names = class_names()
    assert len(names) == len(set(names)) == 400 and all(name == name.strip() != "" for name in names)
    assert names[0] == "abseiling" and names[-1] == "zumba"


@pytest.mark.parametrize("length", [1, 2, 3, 5, 12])
def test_logits_are_means_over_the_neighbors_inside_the_video(network, length):
    x = torch.randn(1, length, 6)
    output = network(x, torch.ones(1, length, dtype=torch.bool))
    logits = network.classifier(x)[0]
    for t in range(length):
        expected = logits[max(0, t - RADIUS) : t + RADIUS + 1].mean(0)
        torch.testing.assert_close(output.cas[0, t, :-1], expected)
    probabilities = output.cas.softmax(-1)
    assert probabilities[..., -1].max() == 0, "there is no background class"
    torch.testing.assert_close(output.attention, probabilities.amax(-1))


def test_padding_changes_nothing(network):
    x, mask = torch.randn(2, 9, 6), torch.ones(2, 9, dtype=torch.bool)
    mask[1, 5:] = False
    padded, alone = network(x, mask), network(x[1:, :5], mask[1:, :5])
    torch.testing.assert_close(padded.cas[1:, :5], alone.cas)
    assert padded.attention[1, 5:].max() == 0


def test_windows_give_the_result_of_a_single_pass(network):
    features = np.random.default_rng(0).normal(size=(23, 6)).astype(np.float32)
    whole = next(iter(run_in_windows(network, features, 100))).cas
    parts = torch.cat([output.cas for output in run_in_windows(network, features, 5)], 1)
    torch.testing.assert_close(parts, whole)
