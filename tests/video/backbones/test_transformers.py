"""Each family's backbone says what its model in transformers says, and a folder that is not whole is refused."""

import json
import shutil
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from wtal.core.errors import ConfigError, DataError
from wtal.video.backbones.i3d import choose_precision
from wtal.video.backbones.transformers import FAMILIES, open_transformer

transformers = pytest.importorskip("transformers")

SIDE, WIDTH = 32, 32
SMALL = {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2}
PICTURES = {**SMALL, "intermediate_size": 64, "image_size": SIDE, "patch_size": 16}
MODELS = {  # as they are published: with the head that they were trained by
    "videomae": ("VideoMAE", "ForPreTraining", {**PICTURES, "num_frames": 8, "decoder_num_hidden_layers": 1}),
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
    "vivit": ("Vivit", "ForVideoClassification", {**PICTURES, "num_frames": 8, "tubelet_size": [2, 16, 16]}),
    "timesformer": ("Timesformer", "ForVideoClassification", {**PICTURES, "num_frames": 4}),
}


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """A folder of a tiny random model of each family; read only."""
    place = tmp_path_factory.mktemp("models")
    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(0)
    for name, (family, task, values) in MODELS.items():
        config = getattr(transformers, f"{family}Config")(**values, initializer_range=0.5)
        getattr(transformers, f"{family}{task}")(config).save_pretrained(place / name)
    return {name: place / name for name in MODELS}


@pytest.fixture
def copied(folders, tmp_path):
    """`copied("vivit")`: a folder that a test may break."""
    return lambda name: shutil.copytree(folders[name], tmp_path / name)


@pytest.fixture(params=MODELS)
def name(request):
    return request.param


def opened(folder, precision="float32"):
    return open_transformer(folder, torch.device("cpu"), precision)


def pictures_for(backbone, count=3, seed=0):
    shape = (count, backbone.sampling.window, backbone.sampling.crop, backbone.sampling.crop, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def asked_directly(folder, name, pixels):
    """The mean token that transformers gives for normalised pixels, N x T x 3 x H x W."""
    model = getattr(transformers, FAMILIES[name].model).from_pretrained(folder).eval()
    with torch.no_grad():
        if name == "vjepa2":
            return model(pixels, skip_predictor=True).last_hidden_state.mean(1).numpy()
        tokens = model(pixels).last_hidden_state
    return tokens[:, 1 if name in ("vivit", "timesformer") else 0 :].mean(1).numpy()


def normalised(pictures, mean, deviation):
    pixels = (pictures / 255 - np.array(mean)) / np.array(deviation)
    return torch.from_numpy(np.moveaxis(pixels, -1, 2)).float()


def test_it_says_what_the_model_says(folders, name):
    backbone = opened(folders[name])
    pictures = pictures_for(backbone)
    features = backbone(pictures)
    assert features.shape == (3, *backbone.widths) == (3, WIDTH)
    assert features.dtype == np.float32
    expected = asked_directly(folders[name], name, normalised(pictures, *FAMILIES[name].usual))
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)
    assert np.ptp(features, axis=0).max() > 0.01, "features that are all alike show nothing"


def test_each_snippet_by_itself_gives_the_same(folders, name):
    backbone = opened(folders[name])
    pictures = pictures_for(backbone, count=5)
    single = np.concatenate([backbone(snippet[None]) for snippet in pictures])
    np.testing.assert_allclose(backbone(pictures), single, rtol=1e-4, atol=1e-5)


def test_it_is_the_same_when_opened_again_and_says_which(folders, name):
    one, other = opened(folders[name]), opened(folders[name])
    assert (one.name, one.weights, one.sampling) == (name, other.weights, other.sampling)
    assert one.weights.startswith("sha256:")
    assert len(one.weights) == len("sha256:") + 64
    pictures = pictures_for(one)
    np.testing.assert_array_equal(one(pictures), other(pictures))
    assert not one.model.training
    assert (one.precision, one.flow) == ("float32", "")


def test_how_a_video_is_cut(folders, name):
    sampling = opened(folders[name]).sampling
    assert sampling.seconds == pytest.approx(0.64)
    assert sampling.crop == SIDE
    assert sampling.side == (36 if name in ("vjepa2", "vivit") else SIDE)
    assert sampling.window == (8 if name in ("videomae", "vivit") else 4)


def test_bfloat16_is_near(folders, name):
    exact, coarse = (opened(folders[name], p) for p in ("float32", "bfloat16"))
    pictures = pictures_for(exact)
    features, others = exact(pictures), coarse(pictures)
    assert others.dtype == np.float32
    assert (exact.precision, coarse.precision) == ("float32", "bfloat16")
    assert opened(folders[name], "auto").precision == choose_precision(torch.device("cpu"))
    assert 0 < np.linalg.norm(features - others) / np.linalg.norm(features) < 0.05


def test_nothing_is_said_and_transformers_speaks_as_before(folders, name, capfd):
    logging = transformers.utils.logging
    logging.enable_progress_bar()
    before = logging.get_verbosity()
    opened(folders[name])
    assert tuple(capfd.readouterr()) == ("", "")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == (before, True)


@pytest.mark.parametrize("file", ["preprocessor_config.json", "video_preprocessor_config.json"])
def test_the_processor_of_the_folder_is_followed(copied, file):
    folder = copied("videomae")
    mean, deviation = [0.1, 0.2, 0.3], [0.5, 0.6, 0.7]
    processor = {"image_mean": mean, "image_std": deviation, "size": {"shortest_edge": 40}, "resample": 2}
    (folder / file).write_text(json.dumps(processor))
    backbone = opened(folder)
    assert backbone.sampling.side == 40
    pictures = pictures_for(backbone)
    expected = asked_directly(folder, "videomae", normalised(pictures, mean, deviation))
    np.testing.assert_allclose(backbone(pictures), expected, rtol=1e-4, atol=1e-5)


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
def test_the_range_that_a_processor_makes(copied, processor, low, high):
    folder = copied("vivit")
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    backbone = opened(folder)
    ends = torch.tensor([[0.0], [255.0]]) * backbone.scale + backbone.shift
    np.testing.assert_allclose(ends, [[low] * 3, [high] * 3], atol=1e-6)


def test_shards_are_the_same_model(folders, tmp_path):
    whole = opened(folders["vivit"])
    model = transformers.VivitModel.from_pretrained(folders["vivit"])
    model.save_pretrained(tmp_path, max_shard_size="40KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    shards = opened(tmp_path)
    pictures = pictures_for(whole)
    np.testing.assert_array_equal(shards(pictures), whole(pictures))
    shutil.copy(folders["vivit"] / "model.safetensors", tmp_path)  # the one file is what is read, where it is
    assert opened(tmp_path).weights == whole.weights


def test_timesformer_in_space_alone_gives_a_row_a_snippet(tmp_path):
    config = transformers.TimesformerConfig(**PICTURES, num_frames=4, attention_type="space_only")
    transformers.TimesformerModel(config).save_pretrained(tmp_path)
    backbone = opened(tmp_path)
    pictures = pictures_for(backbone)
    features = backbone(pictures)
    assert features.shape == (3, WIDTH)
    np.testing.assert_allclose(backbone(pictures[1:2]), features[1:2], rtol=1e-4, atol=1e-5)


def refused(folder, match):
    with pytest.raises(DataError, match=match) as caught:
        opened(folder)
    assert "\n" not in str(caught.value)


def test_a_folder_without_its_files_is_refused(copied, tmp_path):
    refused(tmp_path / "nowhere", "has no config.json; name the folder")
    folder = copied("vivit")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    refused(folder, r"are a pickle \(.bin\), which is never opened here")
    (folder / "pytorch_model.bin").unlink()
    refused(folder, "has no model.safetensors; download the whole folder")


@pytest.mark.parametrize(
    "text, match",
    [
        ("{", "not valid JSON"),
        ("[]", "not a JSON object"),
        ("{}", "model_type is None"),
        (
            '{"model_type": "bert"}',
            "model_type is 'bert'; use the folder of one of videomae, vjepa2, vivit, timesf",
        ),
        ('{"model_type": ["vivit"]}', "model_type is"),
        ('{"model_type": "vivit", "hidden_size": "many"}', "not loaded"),
        ('{"model_type": "vivit", "hidden_act": "none such"}', "not loaded"),
    ],
)
def test_a_config_that_is_none_is_refused(copied, text, match):
    folder = copied("vivit")
    (folder / "config.json").write_text(text)
    refused(folder, match)


def change_config(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_model_of_oblong_pictures_is_refused(copied):
    folder = copied("videomae")
    change_config(folder, image_size=[32, 64])
    refused(folder, "image_size is .* only a model of square pictures|not loaded")


@pytest.mark.parametrize("bytes_kept", [0, 5, 1000, -1])
def test_weights_that_are_cut_off_are_refused(copied, name, bytes_kept):
    folder = copied(name)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:bytes_kept])
    refused(folder, "not loaded, .*download the model again")


def test_weights_of_another_size_are_refused(copied, name):
    folder = copied(name)
    change_config(folder, hidden_size=64)
    refused(folder, "not loaded")


def test_no_layer_is_left_as_chance_made_it(copied, name):
    folder = copied(name)
    weights = load_file(folder / "model.safetensors")
    del weights[next(key for key in weights if key.endswith("1.mlp.fc1.weight") or "1.output.dense.weight" in key)]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    refused(folder, "weights lack 1 of the model's tensors")


def test_a_config_of_more_layers_than_the_weights_have_is_refused(copied, name):
    folder = copied(name)
    change_config(folder, num_hidden_layers=3)
    refused(folder, "weights lack .* of the model's tensors")


@pytest.mark.parametrize(
    "values",
    [{"image_mean": 3}, {"image_std": [0, 1, 1]}, {"rescale_factor": "x"}, {"size": {"shortest_edge": -1}}],
)
def test_a_processor_that_makes_no_sense_is_refused(copied, values):
    folder = copied("videomae")
    (folder / "preprocessor_config.json").write_text(json.dumps(values))
    refused(folder, "preprocessor_config.json: .*; download the model again")


@pytest.mark.parametrize("shards", [{}, {"a": "../elsewhere.safetensors"}, ["x"]])
def test_shards_outside_the_folder_are_refused(copied, shards):
    folder = copied("vivit")
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    refused(folder, "weight_map does not name files of its folder")


def test_without_transformers_one_sentence_says_how_to_have_it(folders, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match=r"needs transformers; pip install transformers"):
        opened(folders["vivit"])


def test_a_transformers_that_does_not_load_its_models_is_named(folders, monkeypatch):
    def broken(name):
        raise ModuleNotFoundError(f"Could not import module {name!r}")

    module = ModuleType("transformers")
    module.__version__, module.__getattr__ = "9.9", broken
    monkeypatch.setitem(sys.modules, "transformers", module)
    with pytest.raises(ConfigError, match=r"transformers 9\.9 cannot give VivitModel; run `wtal doctor`"):
        opened(folders["vivit"])


def test_every_family_is_tested():
    assert set(FAMILIES) == set(MODELS)
