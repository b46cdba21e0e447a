"""The ablation: each arm changes the named settings only, and is scored beside the defaults."""

import json

import pytest

from benchmarks.ablate import ARMS, DEFAULT, ablate
from tests.helpers.data import TINIEST
from tests.helpers.errors import raises
from wtal.core.config import Config, flatten, parse_config, with_overrides
from wtal.core.errors import ConfigError
from wtal.data.synthetic.features import write_synthetic

SETTINGS = parse_config(
    {
        "model": {"width": 8},
        "teacher": {"models": 2},
        "train": {"steps": 2, "save_every": 1, "batch_size": 2, "snippets": 8},
    }
)
SELECTED = ("models: 1", "memory: none", "window: 3 (attention)")


@pytest.mark.parametrize("arm", ARMS)
def test_arm_changes_named_settings_only(arm):
    default, changed = flatten(Config()), flatten(with_overrides(Config(), ARMS[arm]))
    names = {change.split("=")[0] for change in ARMS[arm]}
    assert {name for name in default if default[name] != changed[name]} == names


def test_arms_are_compared_with_defaults(tmp_path, serial_runs):
    write_synthetic(tmp_path / "data", TINIEST)
    finished = []
    arguments = [tmp_path / "data"], SELECTED, 2, "validation", SETTINGS, tmp_path / "out", 1
    comparison = ablate(*arguments, lambda *progress: finished.append(progress))
    assert [score.method for score in comparison.scores] == [DEFAULT, *SELECTED]
    assert [(d.method, d.other) for d in comparison.differences] == [(DEFAULT, arm) for arm in SELECTED]
    assert len(finished) == 8
    written = json.loads((tmp_path / "out/ablation.json").read_text())
    assert [score["method"] for score in written["scores"]] == [DEFAULT, *SELECTED]
    folders = {path.name for path in (tmp_path / "out/runs").iterdir()}
    assert folders == {"defaults", "models-1", "memory-none", "window-3-attention"}
    assert ablate(*arguments).scores == comparison.scores


def test_unknown_arm_is_rejected(tmp_path):
    with raises(ConfigError, code="unknown-name"):
        ablate([tmp_path], ["models: 6"], 1, "validation", SETTINGS, tmp_path / "out", 1)
