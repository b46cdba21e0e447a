"""Each default by itself: the arms change what they say and nothing else."""

import json

import pytest

from tests.helpers.data import TINIEST
from wtal.core.config import Config, parse_config, with_overrides
from wtal.core.errors import ConfigError
from wtal.data.synthetic.features import write_synthetic
from wtal.experiments.compare import ARMS, DEFAULT, ablate

SETTINGS = parse_config(
    {
        "model": {"width": 8},
        "train": {"steps": 2, "save_every": 1, "batch_size": 2, "snippets": 8},
    }
)
TRIED = ("slots: 4", "distillation: none", "window: 3 (attention)")


def flat(config: Config) -> dict[str, object]:
    values = config.model_dump()
    sections = {name: value for name, value in values.items() if isinstance(value, dict)}
    inner = {f"{name}.{key}": value for name, section in sections.items() for key, value in section.items()}
    return inner | {"method": values["method"]}


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_changes_what_it_says(arm):
    before, after = flat(Config()), flat(with_overrides(Config(), ARMS[arm]))
    named = {change.split("=")[0] for change in ARMS[arm]}
    assert {name for name in before if before[name] != after[name]} == named


def test_arms_are_scored_beside_the_defaults(tmp_path, serial_runs):
    write_synthetic(tmp_path / "data", TINIEST)
    heard = []
    scores, differences = ablate(
        [tmp_path / "data"], TRIED, 2, "validation", SETTINGS, tmp_path / "out", 1, lambda *said: heard.append(said)
    )
    assert [score.method for score in scores] == [DEFAULT, *TRIED]
    assert [(d.method, d.other) for d in differences] == [(DEFAULT, arm) for arm in TRIED]
    assert len(heard) == 8
    told = json.loads((tmp_path / "out/ablation.json").read_text())
    assert [s["method"] for s in told["scores"]] == [DEFAULT, *TRIED]
    runs = {path.parent.parent.parent.parent.name for path in (tmp_path / "out/runs").rglob("results-*.json")}
    assert runs == {"defaults", "slots-4", "distillation-none", "window-3-attention"}
    again, _ = ablate([tmp_path / "data"], TRIED[:1], 2, "validation", SETTINGS, tmp_path / "out", 1)
    assert again == scores[:2]


def test_an_arm_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="there is no arm 'slots: 5'; use 'defaults', 'slots: 1'"):
        ablate([tmp_path], ["slots: 5"], 1, "validation", SETTINGS, tmp_path / "out", 1)
