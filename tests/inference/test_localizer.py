"""A trained model and features give the same timeline wherever the model was copied to."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import wtal
from wtal.core.errors import CheckpointError, DataError
from wtal.data.batching import pad
from wtal.inference.localizer import (
    Localizer,
    load_network,
    require_compatible,
    score_videos,
    snippet_scores,
)
from wtal.inference.proposals import generate_proposals
from wtal.models.dfe import GlobalBranch, build_local_branch, build_model
from wtal.training.trainer import train


@pytest.fixture(scope="module")
def run(tiny, settings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    train(settings(train={"steps": 4}), tiny, folder, device="cpu")
    return folder


def features_of(tiny):
    return tiny.features(tiny.subset("testing")[0].id)


def test_a_model_goes_through_a_folder_and_back(run, tiny, tmp_path):
    localizer = Localizer.from_pretrained(run)
    localizer.save_pretrained(tmp_path / "model")
    again = Localizer.from_pretrained(tmp_path / "model")
    assert again.meta == localizer.meta and again(features_of(tiny)) == localizer(features_of(tiny)) != []
    again.save_pretrained(tmp_path / "copy")
    for file in ("config.json", "model.safetensors"):
        assert (tmp_path / "copy" / file).read_bytes() == (tmp_path / "model" / file).read_bytes()
    assert not (tmp_path / "model/global.safetensors").exists()


def test_the_localizer_is_at_the_front_door():
    assert wtal.Localizer is Localizer


def test_a_localizer_says_what_the_steps_one_by_one_say(run, tiny):
    video = tiny.subset("testing")[0]
    network, meta = load_network(run, "local")
    ((_, scores),) = score_videos(network, tiny, [video], meta.config)
    expected = generate_proposals(scores, meta.classes, meta.clock, meta.config.localize)
    assert Localizer.from_pretrained(run)(tiny.features(video.id)) == expected


def test_the_kind_of_number_and_what_was_asked_before_do_not_matter(run, tiny):
    localizer, features = Localizer.from_pretrained(run), features_of(tiny)
    first = localizer(features)
    localizer(np.ones((3, 10)))
    assert localizer(np.asarray(features, np.float64)) == first == localizer(np.asarray(features, np.float32))


@pytest.mark.parametrize("branch", ["local", "global"])
def test_scores_are_probabilities_for_each_snippet(run, tiny, branch):
    network, meta = load_network(run, branch)
    for video, scores in score_videos(network, tiny, tiny.subset("testing"), meta.config):
        T, C = len(tiny.features(video.id)), len(tiny.classes)
        assert (scores.attention.shape, scores.cas.shape, scores.video.shape) == ((T,), (T, C + 1), (C,))
        np.testing.assert_allclose(scores.cas.sum(1), 1, atol=1e-5)
        assert all(((v >= 0) & (v <= 1)).all() for v in (scores.attention, scores.cas, scores.video))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 1e6])
def test_cas_is_softened_by_the_temperature_of_localize(run, tiny, temperature):
    network, meta = load_network(run, "local")
    localizing = meta.config.localize.model_copy(update={"temperature": temperature})
    config = meta.config.model_copy(update={"localize": localizing})
    scores = snippet_scores(network, features_of(tiny), config)
    with torch.inference_mode():
        logits = network(*pad([features_of(tiny)])).cas[0]
    np.testing.assert_allclose(scores.cas, (logits / temperature).softmax(-1), atol=1e-6)
    assert np.array_equal(scores.evidence, scores.cas[:, :-1])
    plain = snippet_scores(network, features_of(tiny), meta.config)
    assert np.array_equal(scores.attention, plain.attention) and np.array_equal(scores.video, plain.video)


def test_one_snippet_is_a_video(run):
    assert all(0.25 <= p.start < p.end <= 0.75 for p in Localizer.from_pretrained(run)(np.ones((1, 10))))


@pytest.mark.parametrize("shape", [(5, 9), (5, 11), (10,), (0, 10), (1, 5, 10)])
def test_another_width_is_refused(run, shape):
    with pytest.raises(DataError, match=f"expected T x 10, found {' x '.join(map(str, shape))};"):
        Localizer.from_pretrained(run)(np.ones(shape))


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 1e300])
def test_numbers_that_are_not_finite_are_refused(run, tiny, wrong, tmp_path):
    features = np.ones((5, 10))
    features[2, 3] = wrong
    with pytest.raises(DataError, match="snippet 2 is NaN or infinite"):
        Localizer.from_pretrained(run)(features)
    (tmp_path / "features").mkdir()
    video = tiny.subset("testing")[0]
    np.save(tmp_path / "features" / f"{video.id}.npy", features)
    network, meta = load_network(run, "local")
    with pytest.raises(DataError, match=rf"{video.id}\.npy: snippet 2"):
        list(score_videos(network, replace(tiny, path=tmp_path), [video], meta.config))


def test_a_folder_that_is_no_model_is_refused(tmp_path):
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(CheckpointError, match="not a run or model folder"):
            Localizer.from_pretrained(place)


def test_a_data_set_that_does_not_fit_the_model_is_refused_with_both_sides(run, tiny):
    _, meta = load_network(run, "local")
    require_compatible(meta, tiny)
    with pytest.raises(CheckpointError, match=r"features are 8 \+ 2 wide, the model was trained on 6 \+ 4"):
        require_compatible(meta, replace(tiny, modalities=(8, 2)))
    with pytest.raises(CheckpointError, match="differing: swim"):
        require_compatible(meta, replace(tiny, classes=(*tiny.classes, "swim")))
    with pytest.raises(CheckpointError, match="another order"):
        require_compatible(meta, replace(tiny, classes=tiny.classes[::-1]))


def test_predicting_leaves_no_trace_in_the_model(run, tiny):
    localizer = Localizer.from_pretrained(run)
    before = {name: value.clone() for name, value in localizer.network.state_dict().items()}
    localizer(features_of(tiny))
    assert not localizer.network.training
    assert all(torch.equal(value, before[name]) for name, value in localizer.network.state_dict().items())


@pytest.mark.parametrize(
    "model",
    [
        {"smoothing": 3, "dilations": [1, 4]},
        {"smoothing": 0, "dilations": []},
        {"local": "attention", "window": 3},
        {"normalise": "video"},
    ],
)
@pytest.mark.parametrize("method, branch", [("dfe", "local"), ("dfe", "global"), ("baseline", "local")])
def test_a_window_at_a_time_says_what_one_piece_says(settings, model, method, branch):
    torch.manual_seed(0)
    config = settings(method=method, model=model)
    network = build_model(config, (4, 6), 2).eval()
    for weight in network.parameters():  # blocks start as the identity, and an identity has no reach
        torch.nn.init.normal_(weight, std=0.3)
    if branch == "global":
        network = GlobalBranch(network)
    features = np.random.default_rng(0).normal(1, 1, (41, 10)).astype(np.float32)
    whole = snippet_scores(network, features, config)
    assert whole.attention.std() > 0.01 and whole.cas.std() > 0.01
    for window in (1, 5, 16, 40):
        pieces = snippet_scores(network, features, config, window)
        for one, other in zip(vars(whole).values(), vars(pieces).values(), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)


def test_the_reach_is_as_far_as_one_snippet_is_heard(settings):
    for model in ({"smoothing": 3, "dilations": [1, 4]}, {"local": "attention", "window": 3, "smoothing": 1}):
        config = settings(model=model)
        network = build_local_branch(config, (10,), 2).eval()
        for weight in network.parameters():
            torch.nn.init.normal_(weight, std=0.3)
        x, mask = torch.randn(1, 41, 10, requires_grad=True), torch.ones(1, 41, dtype=torch.bool)
        (heard,) = torch.autograd.grad(network(x, mask).cas[0, 20].sum(), x)
        assert (heard[0].abs().sum(-1) > 0).nonzero()[:, 0].tolist() == list(
            range(20 - network.receptive_field, 21 + network.receptive_field)
        )
