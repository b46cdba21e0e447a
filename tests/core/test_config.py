"""Settings are frozen and checked; what is wrong is named together with what would be right."""

import json
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from wtal.core.config import METHODS, Config, parse_config, read_config
from wtal.core.errors import ConfigError, DataError
from wtal.models.dfe import build

SECTIONS = [name for name in Config.model_fields if name != "method"]


@pytest.mark.parametrize("section", SECTIONS)
def test_an_unknown_setting_names_the_known_ones(section):
    with pytest.raises(ConfigError, match=rf"there is no setting {section}\.colour") as caught:
        parse_config({section: {"colour": 1}})
    known = type(getattr(Config(), section)).model_fields
    assert all(name in str(caught.value) for name in known)


def test_an_unknown_section_and_an_unknown_method_name_the_known_ones():
    with pytest.raises(ConfigError, match=f"no setting modle; known here: method, {', '.join(SECTIONS)}"):
        parse_config({"modle": {}})
    with pytest.raises(ConfigError, match=f"method is 'dfa'; it should be one of {', '.join(METHODS)}$"):
        parse_config({"method": "dfa"})


@pytest.mark.parametrize(
    "name, value",
    [
        ("train.steps", 0),
        ("train.batch_size", -1),
        ("train.learning_rate", 0),
        ("train.learning_rate", float("nan")),
        ("train.warmup", 1.0),
        ("model.width", "wide"),
        ("model.dropout", 1),
        ("model.momentum", 1.5),
        ("model.local", "both"),
        ("weights.mil", -0.1),
        ("weights.mil", float("inf")),
        ("localize.attention_thresholds", [0.5, 1.0]),
        ("localize.nms_sigma", 0),
        ("model.width", 4100),
        ("model.slots", 65),
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
def test_a_value_out_of_range_is_named_with_what_would_be_right(name, value):
    section, last = name.split(".")
    with pytest.raises(ConfigError) as caught:
        parse_config({section: {last: value}}, "run.toml")
    assert re.fullmatch(rf"run\.toml: {name}(\.\d)? is .{{1,60}}; it should (be|have) .+", str(caught.value))


@pytest.mark.parametrize(
    "values, said",
    [
        ({"train": {"steps": 0}}, "train.steps is 0; it should be greater than or equal to 1"),
        ({"model": {"local": "both"}}, "model.local is 'both'; it should be 'dilated' or 'attention'"),
        ({"model": {"dilations": [1] * 17}}, "...]; it should have at most 16 items, not 17"),
        ({"model": {"dilations": [1, 0]}}, "model.dilations.1 is 0; it should be greater than or equal to 1"),
        ({"train": 4}, "train is 4; it should hold settings by name: seed, steps, batch_size"),
        ({"train": {"": 4}}, "there is no setting train.''; known here: seed, steps"),
        ({"": 4}, "there is no setting ''; known here: method, model"),
        ([], "the configuration is []; it should hold settings by name: method, model"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_in_our_words(values, said):
    with pytest.raises(ConfigError) as caught:
        parse_config(values)
    sentence = str(caught.value)
    assert said in sentence
    assert not any(word in sentence.lower() for word in ("value error", "instance of", "dictionary", " ;"))


def test_the_largest_settings_are_settings():
    largest = {"width": 4096, "slots": 64, "smoothing": 256, "window": 4096, "dilations": [65536] * 16}
    config = parse_config({"model": largest, "train": {"batch_size": 4096, "snippets": 1_000_000}})
    assert config.model.width == 4096 and config.train.snippets == 10**6


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": 10, "local": "attention"},  # four heads
        {"dilations": [0]},
        {"dilations": [-1]},
        {"width": 9},
    ],
    ids=str,
)
def test_settings_that_pass_also_run(wrong):
    """Whatever cannot be a network is refused as a setting, not by torch in the first step."""
    try:
        config = parse_config({"model": {"width": 16, **wrong}})
    except ConfigError:
        return
    build(config, (4,), 2).eval()(torch.randn(1, 9, 4), torch.ones(1, 9, dtype=torch.bool))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_builds_the_parts_it_names(method):
    config = parse_config({"method": method, "model": {"width": 16}})
    network = build(config, (4, 3), 2)
    assert hasattr(network, "memory") == (config.method_spec.memory != "none")
    assert network(torch.randn(1, 5, 7), torch.ones(1, 5, dtype=torch.bool)).cas.shape == (1, 5, 3)


def test_settings_are_frozen():
    config = Config()
    with pytest.raises(ValidationError, match="frozen"):
        config.train.steps = 3
    with pytest.raises(ValidationError, match="frozen"):
        config.method = "local"


@pytest.mark.parametrize("method", METHODS)
def test_settings_go_through_json_and_back(method):
    config = parse_config({"method": method, "model": {"dilations": [1, 3]}, "train": {"learning_rate": 1e-5}})
    assert parse_config(json.loads(json.dumps(config.model_dump()))) == config


@given(
    rate=st.floats(1e-9, 1e3),
    thresholds=st.lists(st.floats(0, 1, exclude_min=True, exclude_max=True), max_size=4),
)
def test_no_digit_is_lost_in_json(rate, thresholds):
    values = {"train": {"learning_rate": rate}, "localize": {"evidence_thresholds": thresholds}}
    config = parse_config(values)
    assert Config.model_validate_json(config.model_dump_json()) == config
    assert parse_config(json.loads(json.dumps(config.model_dump()))) == config


def test_a_file_lists_only_what_differs_and_overrides_go_over_it(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('method = "local"\n[train]\nsteps = 7\nseed = 3\n[model]\ndilations = [1, 2]\n')
    overrides = ("train.steps=9", "method=baseline", "model.dilations = [4]", 'model.memory="ema"')
    config = read_config(path, overrides)
    assert (config.method, config.train.steps, config.train.seed) == ("baseline", 9, 3)
    assert (config.model.dilations, config.model.memory) == ((4,), "ema")
    assert config.weights == Config().weights
    assert read_config(None) == Config()


@pytest.mark.parametrize(
    "overrides, said",
    [
        (("train.steps",), "write it as section.name=value"),
        (("steps=4",), "there is no setting steps"),
        (("train.steps=many",), "train.steps is 'many'"),
        (("train.steps=1.5",), "train.steps is 1.5"),
        (("train=4",), "train is 4"),
        (("train.steps.more=4",), r"train\.steps"),
        (("method.name=dfe",), "method"),
        (("method=dfe", "method.name=dfe"), "method"),
        (("train=4", "train.steps=4"), "train"),
        (("=4",), "write it as section.name=value"),
        (("train.=4",), "write it as section.name=value"),
        (("train..steps=4",), "write it as section.name=value"),
        (("train.steps=" + "[" * 100_000,), "train.steps is '"),
        (("train." + "a." * 3_000 + "a=4",), "there is no setting train.a"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_override_that_cannot_be_is_said(overrides, said):
    with pytest.raises(ConfigError, match=said):
        read_config(None, overrides)


@pytest.mark.parametrize(
    "text, said",
    [
        ("steps = \n", "not valid TOML"),
        ("steps = " + "9" * 5000, "not valid TOML"),
        ("steps = " + "[" * 100_000, "nested too deeply"),
        ("[" + "a." * 10_000 + "a]", "there is no setting a"),
        ("train.steps = 0x" + "F" * 5000, "train.steps is a number of thousands of digits"),
    ],
    ids=lambda value: value[:20],
)
def test_a_file_that_is_no_toml_of_ours_is_named(tmp_path, text, said):
    (tmp_path / "run.toml").write_text(text)
    with pytest.raises(ConfigError, match=rf"run\.toml: .*{said}"):
        read_config(tmp_path / "run.toml")
    with pytest.raises(DataError, match="no such file"):
        read_config(tmp_path / "other.toml")
