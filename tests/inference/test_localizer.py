"""The Localizer: from a model folder and features, or a video, to segments."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import wtal
from tests.helpers.errors import raises
from wtal.core.errors import CheckpointError, ConfigError, DataError
from wtal.data.batching import pad
from wtal.inference.localizer import Localizer, snippet_scores
from wtal.inference.proposals import generate_proposals
from wtal.models.local_branch import build_model
from wtal.training.stages import train
from wtal.video.backbones.base import BackboneOptions


@pytest.fixture(scope="module")
def run(tiny, settings, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    train(settings(train={"steps": 4}), tiny, folder, device="cpu")
    return folder


@pytest.fixture
def features(tiny) -> np.ndarray:
    return tiny.features(tiny.subset("testing")[0].id)


def test_model_survives_saving_and_opening(run, features, tmp_path):
    localizer = Localizer(run)
    localizer.save_pretrained(tmp_path / "model")
    reopened = Localizer.from_pretrained(tmp_path / "model")
    assert reopened.meta == localizer.meta and reopened(features) == localizer(features) != []
    reopened.save_pretrained(tmp_path / "copy")
    for file in ("config.json", "model.safetensors"):
        assert (tmp_path / "copy" / file).read_bytes() == (tmp_path / "model" / file).read_bytes()
    assert {path.name for path in (tmp_path / "model").iterdir()} == {"config.json", "model.safetensors"}


def test_localizer_is_public_and_describes_itself(run, tiny):
    localizer = wtal.Localizer(str(run))
    assert localizer.classes == tiny.classes and localizer.clock == tiny.clock
    assert all(word in repr(localizer) for word in (str(run), "dfe", tiny.classes[0]))


def test_localize_returns_scores_and_segments(run, tiny, features):
    localizer = Localizer(run)
    result = localizer.localize(features)
    assert result.segments == localizer(features)
    settings = localizer.meta.config.localize
    assert result.segments == generate_proposals(result.scores, tiny.classes, tiny.clock, settings, features)
    assert np.array_equal(result.times, tiny.clock.seconds(range(len(features) + 1)))
    videos = tiny.subset("testing")
    assert [video for video, _ in localizer.localize_videos(tiny, videos)] == list(videos)
    ((_, first), *_) = localizer.localize_videos(tiny, videos)
    assert first.segments == result.segments
    for (_, scores), (_, other) in zip(
        localizer.score_videos(tiny, videos), localizer.localize_videos(tiny, videos), strict=True
    ):
        assert np.array_equal(scores.cas, other.scores.cas)


def test_video_file_gives_the_segments_of_its_features(own_videos):
    localizer = Localizer(own_videos / "run")
    video = own_videos / "videos" / "film 3.mp4"
    features = np.load(own_videos / "data" / "features" / "film 3.npy")
    seconds: list[float] = []
    result = localizer.localize(video, on_progress=seconds.append)
    assert result.segments == localizer(str(video)) and np.array_equal(
        result.scores.cas, localizer.localize(features).scores.cas
    )
    assert result.times[-1] == seconds[-1] == pytest.approx(6, abs=0.1)


def test_video_instead_of_a_model_is_rejected(own_videos):
    video = own_videos / "videos" / "film 3.mp4"
    with raises(CheckpointError, code="not-a-model", path=video):
        Localizer(video)


def test_missing_video_and_other_backbone_are_rejected(own_videos, run):
    localizer = Localizer(own_videos / "run")
    with raises(DataError, path=own_videos / "missing.mp4"):
        localizer(own_videos / "missing.mp4")
    with raises(CheckpointError, code="unknown-provenance", path=run):
        Localizer(run)(own_videos / "videos" / "film 3.mp4")
    with raises(CheckpointError, code="provenance-mismatch", path=own_videos / "run"):
        _ = Localizer(own_videos / "run", backbone=BackboneOptions("i3d")).backbone


def test_result_depends_neither_on_the_dtype_nor_on_earlier_calls(run, features):
    localizer = Localizer(run)
    first = localizer(features)
    localizer(np.ones((3, 10)))
    assert localizer(np.asarray(features, np.float64)) == first == localizer(np.asarray(features, np.float32))


@pytest.mark.parametrize("branch", ["local", "ensemble", "global"])
def test_scores_are_probabilities(run, tiny, branch):
    for video, scores in Localizer(run, branch=branch).score_videos(tiny, tiny.subset("testing")):
        T, C = len(tiny.features(video.id)), len(tiny.classes)
        assert (scores.attention.shape, scores.cas.shape, scores.video.shape) == ((T,), (T, C + 1), (C,))
        np.testing.assert_allclose(scores.cas.sum(1), 1, atol=1e-5)
        assert all(((v >= 0) & (v <= 1)).all() for v in (scores.attention, scores.cas, scores.video))


def test_unknown_branch_is_rejected(run):
    with raises(ConfigError, code="unknown-name"):
        Localizer(run, branch="both")


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 1e6])
def test_cas_is_softened_by_the_temperature(run, features, temperature):
    localizer = Localizer(run)
    config, network = localizer.meta.config, localizer.network
    localize = config.localize.model_copy(update={"temperature": temperature})
    scores = snippet_scores(network, features, config.model_copy(update={"localize": localize}))
    with torch.inference_mode():
        logits = network(*pad([features])).cas[0]
    np.testing.assert_allclose(scores.cas, (logits / temperature).softmax(-1), atol=1e-6)
    assert np.array_equal(scores.evidence, scores.cas[:, :-1])
    plain = snippet_scores(network, features, config)
    assert np.array_equal(scores.attention, plain.attention) and np.array_equal(scores.video, plain.video)


def test_single_snippet_is_a_valid_video(run):
    assert all(0.25 <= p.start < p.end <= 0.75 for p in Localizer(run)(np.ones((1, 10))))


@pytest.mark.parametrize("shape", [(5, 9), (5, 11), (10,), (0, 10), (1, 5, 10)])
def test_features_of_other_shape_are_rejected(run, shape):
    with raises(DataError, code="shape"):
        Localizer(run)(np.ones(shape))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_non_finite_features_are_rejected(run, tiny, value, tmp_path):
    features = np.ones((5, 10))
    features[2, 3] = value
    localizer = Localizer(run)
    with raises(DataError, code="non-finite"):
        localizer(features)
    (tmp_path / "features").mkdir()
    video = tiny.subset("testing")[0]
    np.save(tmp_path / "features" / f"{video.id}.npy", features)
    with raises(DataError, code="non-finite", path=tmp_path / "features" / f"{video.id}.npy"):
        list(localizer.localize_videos(replace(tiny, path=tmp_path), [video]))


def test_folder_without_a_model_is_rejected_without_asking_the_hub(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: pytest.fail("the hub was asked"))
    monkeypatch.chdir(tmp_path)
    Path("runs").mkdir()
    for name in (tmp_path / "missing", str(tmp_path / "missing"), "missing", "runs/typo", "a/b/c"):
        with raises(CheckpointError, code="file-not-found", path=name):
            Localizer.from_pretrained(name)
    with raises(CheckpointError, code="not-a-model", path=tmp_path):
        Localizer(tmp_path)


def test_video_in_place_of_a_model_is_named_without_asking_the_hub(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: pytest.fail("the hub was asked"))
    monkeypatch.chdir(tmp_path)
    for open_model in (Localizer, Localizer.from_pretrained):
        for name in ("a.mp4", "holiday/beach.mov"):  # they do not exist
            with raises(CheckpointError, code="not-a-model", path=name):
                open_model(name)


def test_hub_is_asked_once(run, tmp_path, monkeypatch, features):
    requests: list[str] = []

    def download(name: str, **_: object) -> str:
        requests.append(name)
        return str(run)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    localizer = Localizer.from_pretrained("somebody/jumps", revision="v1")
    assert requests == ["somebody/jumps"] and localizer(features)


def test_unknown_hub_repository_is_rejected(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the tests run offline: a repository that is not in the cache is unknown
    with raises(CheckpointError, code="file-not-found", path="somebody/jumps"):
        Localizer.from_pretrained("somebody/jumps", cache_dir=tmp_path)


def test_data_set_that_does_not_match_the_model_is_rejected(run, tiny):
    localizer = Localizer(run)
    localizer.require_compatible(tiny)
    for changes, code in [
        ({"modalities": (8, 2)}, "width-mismatch"),
        ({"modalities": ()}, "no-features"),
        ({"clock": replace(tiny.clock, stride=2.0)}, "stride-mismatch"),
        ({"classes": (*tiny.classes, "swim")}, "classes-mismatch"),
        ({"classes": tiny.classes[::-1]}, "classes-mismatch"),
    ]:
        with raises(CheckpointError, code=code, path=tiny.path):
            localizer.localize_videos(replace(tiny, **changes), tiny.subset("testing"))


def test_localizing_does_not_change_the_model(run, features):
    localizer = Localizer(run)
    weights = {name: value.clone() for name, value in localizer.network.state_dict().items()}
    localizer(features)
    assert not localizer.network.training
    assert all(torch.equal(value, weights[name]) for name, value in localizer.network.state_dict().items())


@pytest.mark.parametrize(
    "model",
    [
        {"smoothing": 3, "dilations": [1, 4]},
        {"smoothing": 0, "dilations": []},
        {"local": "attention", "window": 3},
    ],
)
@pytest.mark.parametrize("method", ["local", "baseline"])
def test_windows_give_the_scores_of_a_single_pass(settings, model, method):
    torch.manual_seed(0)
    config = settings(method=method, model=model)
    network = build_model(config, (4, 6), 2).eval()
    for weight in network.parameters():  # blocks start as the identity, which has no receptive field
        torch.nn.init.normal_(weight, std=0.3)
    features = np.random.default_rng(0).normal(1, 1, (41, 10)).astype(np.float32)
    single_pass = snippet_scores(network, features, config)
    assert single_pass.attention.std() > 0.01 and single_pass.cas.std() > 0.01
    for window in (1, 5, 16, 40):
        scores = snippet_scores(network, features, config, window)
        for name, expected in vars(single_pass).items():
            np.testing.assert_allclose(getattr(scores, name), expected, atol=1e-5)


def test_receptive_field_is_exact(settings):
    for model in ({"smoothing": 3, "dilations": [1, 4]}, {"local": "attention", "window": 3, "smoothing": 1}):
        network = build_model(settings(model=model), (10,), 2).eval()
        for weight in network.parameters():
            torch.nn.init.normal_(weight, std=0.3)
        x, mask = torch.randn(1, 41, 10, requires_grad=True), torch.ones(1, 41, dtype=torch.bool)
        (gradient,) = torch.autograd.grad(network(x, mask).cas[0, 20].sum(), x)
        affected = (gradient[0].abs().sum(-1) > 0).nonzero()[:, 0].tolist()
        assert affected == list(range(20 - network.receptive_field, 21 + network.receptive_field))
