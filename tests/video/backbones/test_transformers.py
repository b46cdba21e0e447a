"""Backbones of transformers: they equal the models of each family, and incomplete folders are rejected."""

import json
import shutil
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.helpers.errors import raises
from wtal.core.errors import ConfigError, DataError
from wtal.video.backbones.base import BackboneOptions, choose_precision
from wtal.video.backbones.registry import BACKBONES, open_backbone
from wtal.video.backbones.transformers import FAMILIES, TransformersBackbone

transformers = pytest.importorskip("transformers")

SIDE, WIDTH = 32, 32
SMALL = {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2}
IMAGES = {**SMALL, "intermediate_size": 64, "image_size": SIDE, "patch_size": 16}
MODELS = {  # with the heads of the published models
    "videomae": ("VideoMAE", "ForPreTraining", {**IMAGES, "num_frames": 8, "decoder_num_hidden_layers": 1}),
    "vjepa2": (
        "VJEPA2",
        "Model",
        {
            **SMALL,
            "crop_size": SIDE,
            "frames_per_clip": 4,
            "pred_hidden_size": 32,
            "pred_num_attention_heads": 2,
            "pred_num_hidden_layers": 1,
        },
    ),
    "vivit": ("Vivit", "ForVideoClassification", {**IMAGES, "num_frames": 8, "tubelet_size": [2, 16, 16]}),
    "timesformer": ("Timesformer", "ForVideoClassification", {**IMAGES, "num_frames": 4}),
}


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Family -> folder of a small random model; read only."""
    root = tmp_path_factory.mktemp("models")
    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(0)
    for name, (family, task, values) in MODELS.items():
        config = getattr(transformers, f"{family}Config")(**values, initializer_range=0.5)
        getattr(transformers, f"{family}{task}")(config).save_pretrained(root / name)
    return {name: root / name for name in MODELS}


@pytest.fixture
def copied(folders, tmp_path):
    """`copied("vivit")`: a folder that a test may change."""
    return lambda name: shutil.copytree(folders[name], tmp_path / name)


@pytest.fixture(params=MODELS)
def name(request):
    return request.param


def open_folder(folder, precision="float32"):
    return TransformersBackbone.from_folder(folder, torch.device("cpu"), precision)


def random_frames(backbone, count=3, seed=0):
    shape = (count, backbone.sampling.window, backbone.sampling.crop, backbone.sampling.crop, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def expected_features(folder, name, pixels):
    """The mean of the tokens that transformers computes for normalized pixels, N x T x 3 x H x W."""
    model = getattr(transformers, FAMILIES[name].model_class).from_pretrained(folder).eval()
    with torch.no_grad():
        if name == "vjepa2":
            return model(pixels, skip_predictor=True).last_hidden_state.mean(1).numpy()
        tokens = model(pixels).last_hidden_state
    return tokens[:, 1 if name in ("vivit", "timesformer") else 0 :].mean(1).numpy()


def normalized(frames, mean, std):
    pixels = (frames / 255 - np.array(mean)) / np.array(std)
    return torch.from_numpy(np.moveaxis(pixels, -1, 2)).float()


def test_features_equal_the_mean_token_of_the_model(folders, name):
    backbone = open_folder(folders[name])
    frames = random_frames(backbone)
    features = backbone(frames)
    assert features.shape == (3, *backbone.widths) == (3, WIDTH)
    assert features.dtype == np.float32
    expected = expected_features(folders[name], name, normalized(frames, *FAMILIES[name].mean_std))
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)
    assert np.ptp(features, axis=0).max() > 0.01, "identical features would make the test meaningless"


def test_features_do_not_depend_on_other_snippets(folders, name):
    backbone = open_folder(folders[name])
    frames = random_frames(backbone, count=5)
    single = np.concatenate([backbone(snippet[None]) for snippet in frames])
    np.testing.assert_allclose(backbone(frames), single, rtol=1e-4, atol=1e-5)


def test_opening_again_gives_the_same_backbone(folders, name):
    first, second = open_folder(folders[name]), open_folder(folders[name])
    assert first.name == name and first.provenance == second.provenance
    assert first.weights.startswith("sha256:")
    assert len(first.weights) == len("sha256:") + 64
    frames = random_frames(first)
    np.testing.assert_array_equal(first(frames), second(frames))
    assert not first.model.training
    assert (first.precision, first.flow) == ("float32", "")


def test_folder_is_the_name_or_the_weights_of_a_family(folders, name):
    by_folder = open_backbone(BackboneOptions(str(folders[name]), device="cpu"))
    by_family = open_backbone(BackboneOptions(name, folders[name], device="cpu"))
    assert by_folder.provenance == by_family.provenance
    with raises(ConfigError, code="missing-option"):
        open_backbone(name)
    with raises(ConfigError, code="unsupported-option"):
        open_backbone(BackboneOptions(str(folders[name]), folders[name]))
    other = next(family for family in MODELS if family != name)
    with raises(DataError, code="model-mismatch", path=folders[name]):
        open_backbone(BackboneOptions(other, folders[name], device="cpu"))


def test_sampling_follows_the_model(folders, name):
    sampling = open_folder(folders[name]).sampling
    assert sampling.seconds == pytest.approx(0.64)
    assert sampling.crop == SIDE
    assert sampling.side == (36 if name in ("vjepa2", "vivit") else SIDE)
    assert sampling.window == (8 if name in ("videomae", "vivit") else 4)


def test_bfloat16_features_are_close_to_float32(folders, name):
    float32, bfloat16 = (open_folder(folders[name], precision) for precision in ("float32", "bfloat16"))
    frames = random_frames(float32)
    expected, features = float32(frames), bfloat16(frames)
    assert features.dtype == np.float32
    assert (float32.precision, bfloat16.precision) == ("float32", "bfloat16")
    assert open_folder(folders[name], "auto").precision == choose_precision(torch.device("cpu"))
    assert 0 < np.linalg.norm(features - expected) / np.linalg.norm(expected) < 0.05


def test_loading_prints_nothing_and_restores_the_verbosity(folders, name, capfd):
    logging = transformers.utils.logging
    logging.enable_progress_bar()
    verbosity = logging.get_verbosity()
    open_folder(folders[name])
    assert tuple(capfd.readouterr()) == ("", "")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == (verbosity, True)


@pytest.mark.parametrize("file", ["preprocessor_config.json", "video_preprocessor_config.json"])
def test_processor_of_the_folder_is_used(copied, file):
    folder = copied("videomae")
    mean, std = [0.1, 0.2, 0.3], [0.5, 0.6, 0.7]
    processor = {"image_mean": mean, "image_std": std, "size": {"shortest_edge": 40}, "resample": 2}
    (folder / file).write_text(json.dumps(processor))
    backbone = open_folder(folder)
    assert backbone.sampling.side == 40
    frames = random_frames(backbone)
    expected = expected_features(folder, "videomae", normalized(frames, mean, std))
    np.testing.assert_allclose(backbone(frames), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "processor, low, high",
    [
        ({}, -1, 1),
        ({"rescale_factor": 1 / 127.5, "offset": True, "do_normalize": False}, -1, 1),
        ({"rescale_factor": 1 / 127.5, "offset": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}, -3, 1),
        ({"do_normalize": False}, 0, 1),
        ({"do_rescale": False, "do_normalize": False}, 0, 255),
    ],
)
def test_processor_determines_the_input_range(copied, processor, low, high):
    folder = copied("vivit")
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    backbone = open_folder(folder)
    limits = torch.tensor([[0.0], [255.0]]) * backbone.scale + backbone.shift
    np.testing.assert_allclose(limits, [[low] * 3, [high] * 3], atol=1e-6)


def test_sharded_model_has_the_same_features(folders, tmp_path):
    unsharded = open_folder(folders["vivit"])
    model = transformers.VivitModel.from_pretrained(folders["vivit"])
    model.save_pretrained(tmp_path, max_shard_size="40KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    sharded = open_folder(tmp_path)
    frames = random_frames(unsharded)
    np.testing.assert_array_equal(sharded(frames), unsharded(frames))
    shutil.copy(folders["vivit"] / "model.safetensors", tmp_path)  # the single file has priority
    assert open_folder(tmp_path).weights == unsharded.weights


def test_timesformer_with_spatial_attention_only_gives_one_row_per_snippet(tmp_path):
    config = transformers.TimesformerConfig(**IMAGES, num_frames=4, attention_type="space_only")
    transformers.TimesformerModel(config).save_pretrained(tmp_path)
    backbone = open_folder(tmp_path)
    frames = random_frames(backbone)
    features = backbone(frames)
    assert features.shape == (3, WIDTH)
    np.testing.assert_allclose(backbone(frames[1:2]), features[1:2], rtol=1e-4, atol=1e-5)


def assert_rejected(folder, code, path=None):
    with raises(DataError, code=code, path=path or folder) as caught:
        open_folder(folder)
    assert "\n" not in str(caught.value)


def test_missing_files_are_rejected(copied, tmp_path):
    assert_rejected(tmp_path / "missing", "file-not-found")
    folder = copied("vivit")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert_rejected(folder, "unsafe-pickle")
    (folder / "pytorch_model.bin").unlink()
    assert_rejected(folder, "file-not-found")


@pytest.mark.parametrize(
    "text, file, code",
    [
        ("{", "config.json", "invalid-json"),
        ("[]", "config.json", "invalid-value"),
        ("{}", "config.json", "unknown-name"),
        ('{"model_type": "bert"}', "config.json", "unknown-name"),
        ('{"model_type": ["vivit"]}', "config.json", "unknown-name"),
        ('{"model_type": "vivit", "hidden_size": "many"}', "", "invalid-model"),
        ('{"model_type": "vivit", "hidden_act": "none such"}', "", "invalid-model"),
    ],
)
def test_invalid_config_is_rejected(copied, text, file, code):
    folder = copied("vivit")
    (folder / "config.json").write_text(text)
    assert_rejected(folder, code, folder / file)


def change_config(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_model_of_frames_that_are_not_square_is_rejected(copied):
    folder = copied("videomae")
    change_config(folder, image_size=[32, 64])
    with pytest.raises(DataError) as caught:
        open_folder(folder)
    assert caught.value.code in ("unsupported-model", "invalid-model")  # depends on the version of transformers


@pytest.mark.parametrize("bytes_kept", [0, 5, 1000, -1])
def test_truncated_weights_are_rejected(copied, name, bytes_kept):
    folder = copied(name)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:bytes_kept])
    assert_rejected(folder, "invalid-model")


def test_weights_of_another_size_are_rejected(copied, name):
    folder = copied(name)
    change_config(folder, hidden_size=64)
    assert_rejected(folder, "invalid-model")


def test_missing_tensor_is_rejected(copied, name):
    folder = copied(name)
    weights = load_file(folder / "model.safetensors")
    del weights[next(key for key in weights if key.endswith("1.mlp.fc1.weight") or "1.output.dense.weight" in key)]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    assert_rejected(folder, "weights-mismatch")


def test_missing_layer_is_rejected(copied, name):
    folder = copied(name)
    change_config(folder, num_hidden_layers=3)
    assert_rejected(folder, "weights-mismatch")


@pytest.mark.parametrize(
    "values",
    [{"image_mean": 3}, {"image_std": [0, 1, 1]}, {"rescale_factor": "x"}, {"size": {"shortest_edge": -1}}],
)
def test_invalid_processor_is_rejected(copied, values):
    folder = copied("videomae")
    (folder / "preprocessor_config.json").write_text(json.dumps(values))
    assert_rejected(folder, "invalid-value", folder / "preprocessor_config.json")


@pytest.mark.parametrize("shards", [{}, {"a": "../elsewhere.safetensors"}, ["x"]])
def test_shards_outside_the_folder_are_rejected(copied, shards):
    folder = copied("vivit")
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    assert_rejected(folder, "invalid-value", folder / "model.safetensors.index.json")


def test_missing_transformers_is_reported(folders, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with raises(ConfigError, code="missing-dependency"):
        open_folder(folders["vivit"])


def test_broken_transformers_is_reported_with_its_version(folders, monkeypatch):
    def broken(name):
        raise ModuleNotFoundError(f"Could not import module {name!r}")

    module = ModuleType("transformers")
    module.__version__, module.__getattr__ = "9.9", broken
    monkeypatch.setitem(sys.modules, "transformers", module)
    with raises(ConfigError, code="broken-dependency") as caught:
        open_folder(folders["vivit"])
    assert "9.9" in caught.value.message


def test_every_family_is_registered_and_tested():
    assert set(FAMILIES) == set(MODELS) <= set(BACKBONES)
