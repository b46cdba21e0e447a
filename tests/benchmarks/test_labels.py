"""`python -m benchmarks labels`: reads choices of labels, and scores each beside the bound."""

import json

import pytest

from benchmarks import measure
from benchmarks.labels import DEFAULT_LABELS, WRONG_SHARE, LabelChoice, main
from tests.helpers.data import TINIEST
from tests.helpers.errors import raises
from wtal.core.errors import ConfigError
from wtal.data.synthetic.features import write_synthetic

SMALL = ["train.steps=2", "train.batch_size=2", "train.snippets=8", "model.width=8"]


@pytest.mark.parametrize("text", DEFAULT_LABELS.split(","))
def test_default_choices_are_read(text):
    choice = LabelChoice.parse(text)
    assert choice.text == text and choice.kind == text.split(":")[0]
    assert choice.suggested == ("suggested" in text) and choice.wrong == WRONG_SHARE * ("wrong" in text)
    assert choice.videos == (None if ":all" in text else int(text.split(":")[1]) if ":" in text else 0)


@pytest.mark.parametrize("text", ["", "dots:3", "points:", "points:-1", "points:many", "points:2:often", "points:²"])
def test_other_choices_are_rejected(text):
    with raises(ConfigError):
        LabelChoice.parse(text)


def test_each_choice_is_scored_and_drawn(tmp_path, monkeypatch, capsys, serial_runs):
    data = tmp_path / "shared" / "hapt"
    write_synthetic(data, TINIEST)
    database = json.loads((data / "annotations.json").read_text())["database"]
    truth = {
        id: [[video["annotations"][0]["label"], 1.0, 4.0]]
        for id, video in database.items()
        if video["subset"] == "training"
    }
    (data / "training_segments.json").write_text(json.dumps(truth))
    monkeypatch.setattr(measure, "SHARED", tmp_path / "shared")
    labels = "points:1,segments:2"
    figure = tmp_path / "labels.png"
    main(tmp_path / "runs", data="hapt", labels=labels, seeds=1, overrides=SMALL, figure=figure, workers=1)
    rows = [line.split("|")[1].strip() for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert rows == ["labels, hapt", "points:1", "segments:2", "supervised"]
    assert figure.read_bytes().startswith(b"\x89PNG")
