"""Settings: defaults, TOML files, overrides, and errors that name the setting."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.helpers.errors import raises
from wtal.core.config import Config, flatten, non_default_settings, parse_config, read_config
from wtal.core.errors import ConfigError, DataError
from wtal.core.methods import METHODS
from wtal.models.local_branch import build_model

SECTIONS = [name for name in Config.model_fields if name != "method"]


@pytest.mark.parametrize("section", [name for name in SECTIONS if name != "weights"])  # weights: see test_criterion
def test_unknown_setting_lists_the_known_settings(section):
    with raises(ConfigError, code="unknown-setting") as caught:
        parse_config({section: {"color": 1}})
    names = type(getattr(Config(), section)).model_fields
    assert f"{section}.color" in caught.value.message and all(name in caught.value.hint for name in names)


def test_unknown_section_and_unknown_method_list_the_known_ones():
    with raises(ConfigError, code="unknown-setting") as caught:
        parse_config({"modle": {}})
    assert all(name in caught.value.hint for name in SECTIONS)
    with raises(ConfigError, code="invalid-value") as caught:
        parse_config({"method": "dfa"})
    assert all(name in caught.value.hint for name in METHODS)


@pytest.mark.parametrize(
    "name, value",
    [
        ("train.steps", 0),
        ("train.batch_size", -1),
        ("train.learning_rate", 0),
        ("train.learning_rate", float("nan")),
        ("teacher.models", 0),
        ("teacher.memory_share", 1.5),
        ("teacher.weak_losses", -1),
        ("model.width", "wide"),
        ("model.dropout", 1),
        ("memory.video_share", 0),
        ("memory.min_probability", 1.0),
        ("memory.temperature", 0),
        ("model.local", "both"),
        ("weights.mil", -0.1),
        ("weights.mil", float("inf")),
        ("weights.loss_of_my_own", -0.1),
        ("weights.loss_of_my_own", "heavy"),
        ("localize.attention_thresholds", [0.5, 1.0]),
        ("localize.nms_sigma", 0),
        ("model.width", 4100),
        ("teacher.models", 101),
        ("memory.max_entries", 10**6 + 1),
        ("memory.neighbours", 0),
        ("localize.class_threshold", 1.0),
        ("model.smoothing", 257),
        ("model.window", 4097),
        ("model.dilations", [1] * 17),
        ("model.dilations", [65537]),
        ("train.batch_size", 4097),
        ("train.snippets", 1_000_001),
        ("train.steps", 10**10),
        ("train.steps", 16**6000),
        ("localize.evidence_thresholds", [0.5] * 101),
    ],
    ids=lambda value: str(value)[:20] if type(value) is not int or value < 1e99 else "huge",
)
def test_value_out_of_range_is_named_with_the_allowed_values(tmp_path, name, value):
    section, last = name.split(".")
    with raises(ConfigError, code="invalid-value", path=tmp_path / "run.toml") as caught:
        parse_config({section: {last: value}}, tmp_path / "run.toml")
    assert caught.value.message.startswith(name) and len(caught.value.message) < 100
    assert caught.value.hint.startswith("it should")


@pytest.mark.parametrize(
    "values, code, message",
    [
        ({"train": 4}, "invalid-value", "train is 4"),
        ({"train": {"": 4}}, "unknown-setting", "train.''"),
        ({"": 4}, "unknown-setting", "''"),
        ({"model": {"dilations": [1, 0]}}, "invalid-value", "model.dilations.1 is 0"),
        ([], "invalid-value", "the configuration is []"),
    ],
    ids=str,
)
def test_malformed_settings_are_reported_without_pydantic_jargon(values, code, message):
    with raises(ConfigError, code=code) as caught:
        parse_config(values)
    assert message in caught.value.message
    assert not any(word in str(caught.value).lower() for word in ("value error", "instance of", "dictionary", " ;"))


def test_upper_bounds_are_allowed():
    largest = {"width": 4096, "smoothing": 256, "window": 4096, "dilations": [65536] * 16}
    config = parse_config({"model": largest, "train": {"batch_size": 4096, "snippets": 1_000_000}})
    assert config.model.width == 4096 and config.train.snippets == 10**6


@pytest.mark.parametrize(
    "model",
    [
        {"width": 10, "local": "attention"},  # four heads
        {"dilations": [0]},
        {"dilations": [-1]},
        {"width": 9},
    ],
    ids=str,
)
def test_settings_that_build_no_network_are_rejected(model):
    with raises(ConfigError, code="invalid-value"):
        parse_config({"model": {"width": 16, **model}})


@pytest.mark.parametrize("method", METHODS)
def test_every_method_builds_a_local_branch(method):
    config = parse_config({"method": method, "model": {"width": 16}})
    network = build_model(config, (4, 3), 2)
    assert (network.receptive_field > 0) == config.method_spec.local
    assert network(torch.randn(1, 5, 7), torch.ones(1, 5, dtype=torch.bool)).cas.shape == (1, 5, 3)


def test_settings_are_frozen():
    config = Config()
    with pytest.raises(ValidationError, match="frozen"):
        config.train.steps = 3
    with pytest.raises(ValidationError, match="frozen"):
        config.method = "local"


def test_every_setting_has_a_description():
    for section in SECTIONS:
        fields = type(getattr(Config(), section)).model_fields
        assert all(field.description for field in fields.values()), section


@pytest.mark.parametrize("method", METHODS)
def test_settings_survive_json(method):
    values = {"method": method, "model": {"dilations": [1, 3]}, "weights": {"loss_of_my_own": 0.5}}
    config = parse_config(values)
    assert parse_config(json.loads(json.dumps(config.model_dump()))) == config
    changed = {"model.dilations": [1, 3], "weights.loss_of_my_own": 0.5}
    assert non_default_settings(config) == changed and changed.items() <= flatten(config).items()


@given(
    rate=st.floats(1e-9, 1e3),
    thresholds=st.lists(st.floats(0, 1, exclude_min=True, exclude_max=True), max_size=4),
)
def test_floats_survive_json_exactly(rate, thresholds):
    values = {"train": {"learning_rate": rate}, "localize": {"evidence_thresholds": thresholds}}
    config = parse_config(values)
    assert Config.model_validate_json(config.model_dump_json()) == config
    assert parse_config(json.loads(json.dumps(config.model_dump()))) == config


def test_overrides_are_applied_to_the_settings_of_a_file(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('method = "local"\n[train]\nsteps = 7\nseed = 3\n[model]\ndilations = [1, 2]\n')
    overrides = ("train.steps=9", "method=baseline", "model.dilations = [4]", 'model.local="attention"')
    config = read_config(path, overrides)
    assert (config.method, config.train.steps, config.train.seed) == ("baseline", 9, 3)
    assert (config.model.dilations, config.model.local) == ((4,), "attention")
    assert config.weights == Config().weights
    assert read_config(None) == Config()


@pytest.mark.parametrize(
    "overrides, code",
    [
        (("train.steps",), "invalid-override"),
        (("steps=4",), "unknown-setting"),
        (("train.steps=many",), "invalid-value"),
        (("train.steps=1.5",), "invalid-value"),
        (("train=4",), "invalid-value"),
        (("train.steps.more=4",), "invalid-override"),
        (("method.name=dfe",), "invalid-override"),
        (("method=dfe", "method.name=dfe"), "invalid-override"),
        (("train=4", "train.steps=4"), "invalid-override"),
        (("=4",), "invalid-override"),
        (("train.=4",), "invalid-override"),
        (("train..steps=4",), "invalid-override"),
        (("train.steps=" + "[" * 100_000,), "invalid-value"),
        (("train." + "a." * 3_000 + "a=4",), "unknown-setting"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_invalid_override_is_rejected(overrides, code):
    with raises(ConfigError, code=code):
        read_config(None, overrides)


@pytest.mark.parametrize(
    "text, code",
    [
        ("steps = \n", "invalid-toml"),
        ("steps = " + "9" * 5000, "invalid-toml"),
        ("steps = " + "[" * 100_000, "invalid-toml"),
        ("[" + "a." * 10_000 + "a]", "unknown-setting"),
        ("train.steps = 0x" + "F" * 5000, "invalid-value"),
    ],
    ids=lambda value: value[:20],
)
def test_invalid_file_is_named(tmp_path, text, code):
    (tmp_path / "run.toml").write_text(text)
    with raises(ConfigError, code=code, path=tmp_path / "run.toml"):
        read_config(tmp_path / "run.toml")


def test_missing_file_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match=r"other\.toml"):
        read_config(tmp_path / "other.toml")
