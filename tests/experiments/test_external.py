"""Proposals files of other systems in a comparison: how they are scored, and what is refused before training."""

import json
import shutil
from pathlib import Path

import pytest

from tests.helpers.data import TINIEST
from tests.helpers.errors import raises
from tests.helpers.executor import InProcessExecutor
from wtal.core.config import parse_config
from wtal.core.errors import ConfigError, DataError
from wtal.data.layouts.activitynet import read_activitynet, read_proposals, write_proposals
from wtal.data.synthetic.features import write_synthetic
from wtal.evaluation.bootstrap import compare_evaluations
from wtal.experiments.compare import compare
from wtal.experiments.external import parse_external
from wtal.experiments.runner import comparison_options
from wtal.reporting.figures.paper import read_comparison

CONFIG = parse_config(
    {"model": {"width": 8}, "train": {"steps": 2, "save_every": 1, "batch_size": 2, "snippets": 8}},
)
METHODS = ("baseline", "local")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set and a comparison of two methods over two seeds; read only."""
    folder = tmp_path_factory.mktemp("external")
    write_synthetic(folder / "data", TINIEST)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wtal.core.concurrency.ProcessPoolExecutor", InProcessExecutor)
        compare(folder / "data", folder / "out", METHODS, 2, config=CONFIG)
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def proposals_path(folder: Path, method: str, seed: int) -> Path:
    return folder / f"out/data/{method}/seed-{seed}/proposals-{method}-validation.json"


def compare_with(folder: Path, external: dict, seeds: int = 2):
    return compare(folder / "data", folder / "out", METHODS, seeds, config=CONFIG, external=external)


def test_external_file_is_scored_like_a_run(folder):
    path = proposals_path(folder, "local", 1)
    comparison = compare_with(folder, {"CO2-Net": str(path)})
    baseline, local = comparison.scores
    written = json.loads((folder / "out/comparison.json").read_text())
    (external,) = written["external"]
    assert (external["name"], external["file"]) == ("CO2-Net", str(path))
    assert external["average"] == pytest.approx(local.averages[1]) and external["map"] == pytest.approx(local.maps[1])
    difference = external["difference"]
    assert difference["method"] == "baseline"
    assert difference["mean"] == pytest.approx(baseline.mean - local.averages[1])
    assert difference["low"] <= difference["high"]
    assert [score["method"] for score in written["scores"]] == list(METHODS), "external systems are no methods"
    assert len(read_comparison(folder / "out/comparison.json").scores) == 2


def test_single_seed_has_the_interval_of_wtal_evaluate(folder):
    paths = {"first": proposals_path(folder, "baseline", 0), "other": proposals_path(folder, "local", 0)}
    (external,) = compare_with(folder, {"other": paths["other"]}, seeds=1).external
    truth = read_activitynet(folder / "data/annotations.json")
    files = {name: read_proposals(path) for name, path in paths.items()}
    (expected,) = compare_evaluations(files, truth, comparison_options("validation")).differences
    assert external.difference == expected.difference and external.seeds == 1


def test_comparison_without_external_systems_lists_none(finished):
    assert json.loads((finished / "out/comparison.json").read_text())["external"] == []


def unknown_videos(folder: Path) -> str:
    return write(folder, {"elsewhere": read_proposals(proposals_path(folder, "local", 0))["validation_0000"]})


def other_labels(folder: Path) -> str:
    proposals = read_proposals(proposals_path(folder, "local", 0))
    return write(folder, {id: [p._replace(label="7") for p in group] for id, group in proposals.items()})


def no_proposals(folder: Path) -> str:
    return write(folder, {id: [] for id in read_proposals(proposals_path(folder, "local", 0))})


def write(folder: Path, proposals: dict) -> str:
    write_proposals(folder / "p.json", proposals)
    return "p.json"


@pytest.mark.parametrize(
    "make, code",
    [
        (lambda folder: "none.json", "file-not-found"),
        (lambda folder: "data", "not-a-file"),
        (lambda folder: "data/annotations.json", "not-proposals"),
        (lambda folder: "data/dataset.json", "missing-key"),
        (unknown_videos, "no-proposals"),
        (other_labels, "no-proposals"),
        (no_proposals, "no-proposals"),
    ],
)
def test_unusable_files_are_rejected_before_anything_is_written(folder, tmp_path, make, code):
    path = folder / make(folder)
    with raises(DataError, code=code, path=path) as caught:
        compare(folder / "data", tmp_path / "new", METHODS, 1, config=CONFIG, external={"CO2-Net": path})
    assert caught.value.hint and not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "name, code",
    [("baseline", "duplicate-name"), ("dfe", "duplicate-name"), (" ", "invalid-name"), ("a\x1b", "invalid-name")],
)
def test_unusable_names_are_rejected_before_anything_is_written(folder, tmp_path, name, code):
    external = {name: proposals_path(folder, "local", 0)}
    with raises(ConfigError, code=code) as caught:
        compare(folder / "data", tmp_path / "new", METHODS, 1, config=CONFIG, external=external)
    assert caught.value.hint and not (tmp_path / "new").exists()


def test_several_data_sets_are_rejected(folder, tmp_path):
    shutil.copytree(folder / "data", folder / "other")
    external = {"CO2-Net": proposals_path(folder, "local", 0)}
    with raises(ConfigError, code="unsupported-option"):
        compare([folder / "data", folder / "other"], tmp_path / "new", METHODS, 1, config=CONFIG, external=external)
    assert not (tmp_path / "new").exists()


def test_deleted_proposals_of_a_finished_run_are_named(folder):
    path = shutil.move(proposals_path(folder, "local", 0), folder / "local.json")
    missing = proposals_path(folder, "baseline", 0)
    missing.unlink()
    with raises(DataError, code="file-not-found", path=missing) as caught:
        compare_with(folder, {"CO2-Net": path})
    assert "results-baseline-validation.json" in caught.value.hint


def test_names_and_files_are_parsed():
    assert parse_external(["CO2-Net=a=b.json", " P MIL =c.json"]) == {
        "CO2-Net": Path("a=b.json"),
        "P MIL": Path("c.json"),
    }
    assert parse_external([]) == {}


@pytest.mark.parametrize(
    "values, code",
    [
        (["proposals.json"], "invalid-option"),
        (["=proposals.json"], "invalid-option"),
        (["CO2-Net="], "invalid-option"),
        (["CO2-Net=a.json", "CO2-Net=b.json"], "duplicate-name"),
    ],
)
def test_other_forms_are_rejected(values, code):
    with raises(ConfigError, code=code) as caught:
        parse_external(values)
    assert caught.value.hint
