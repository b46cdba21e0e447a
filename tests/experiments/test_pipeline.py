"""The pipeline from Python: train, localize, evaluate."""

from pathlib import Path

import pytest

import wtal
from tests.helpers.errors import raises
from tests.helpers.evaluation import video
from wtal.core.errors import ConfigError, DataError
from wtal.core.structures import Segment
from wtal.data.layouts.activitynet import write_activitynet, write_proposals
from wtal.evaluation.results import read_result
from wtal.experiments.pipeline import evaluate, localize, short_names


@pytest.mark.parametrize(
    "paths, names",
    [
        (["a/p.json"], ["p.json"]),
        (["a/p.json", "b/q.json"], ["p.json", "q.json"]),
        (["a/p.json", "b/p.json", "c.json"], ["a/p.json", "b/p.json", "c.json"]),
        (["r/a/p.json", "s/a/p.json"], ["r/a/p.json", "s/a/p.json"]),
        (["p.json", "a/p.json"], ["p.json", "a/p.json"]),
    ],
)
def test_short_names_are_shortest_distinct_path_endings(paths, names):
    assert short_names([Path(path) for path in paths]) == names


def test_results_may_be_written_beside_the_ground_truth_but_do_not_replace_it(tmp_path):
    data, run = tmp_path / "data", tmp_path / "data/runs/dfe"
    run.mkdir(parents=True)
    write_activitynet(data / "annotations.json", [video("v", ("x", 1.0, 5.0))])
    (data / "dataset.json").write_text('{"snippet_seconds": 1.0}')
    for folder in (data, run):
        write_proposals(folder / "p.json", {"v": [Segment("x", 1.0, 5.0, 0.9)]})
        for _ in range(2):  # the second time the results of the first are replaced
            evaluate(folder / "p.json", data, out=folder / "results.json")
    files = {path: path.read_bytes() for path in data.iterdir() if path.is_file()}
    for name in ("annotations.json", "dataset.json"):
        with raises(DataError, path=data / name):
            evaluate(run / "p.json", data, out=data / name)
    with raises(DataError, path=data / "annotations.json"):
        evaluate(run / "p.json", data / "annotations.json", out=data / "annotations.json")
    assert files == {path: path.read_bytes() for path in files}


def test_public_functions_accept_paths_and_objects(tiny, settings, tmp_path):
    checkpoint = wtal.train(str(tiny.path), str(tmp_path / "run"), settings(train={"steps": 2}), device="cpu")
    assert checkpoint.parent == tmp_path / "run"
    proposals = localize(tmp_path / "run", tiny.path, tmp_path / "p.json", "validation")
    options = wtal.EvaluationOptions(subset="validation", tious=[0.5])
    from_files = wtal.evaluate(str(tmp_path / "p.json"), str(tiny.path), options, out=str(tmp_path / "results.json"))
    from_objects = wtal.evaluate(proposals, tiny.videos, options)
    assert from_files.map == from_objects.map
    assert read_result(tmp_path / "results.json") == from_files


@pytest.mark.parametrize("options", [{"validate": True, "hold_out": 0.5}, {"hold_out": 0.001}, {"device": "abacus"}])
def test_train_rejects_options_before_anything_is_written(tiny, settings, tmp_path, options):
    with raises(ConfigError):
        wtal.train(tiny.path, tmp_path / "run", settings(), **options)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("options", [{"engine": "spark"}, {"workers": 2}])
def test_localize_rejects_options(tiny, tmp_path, options):
    with raises(ConfigError):
        localize(tmp_path / "run", tiny.path, tmp_path / "p.json", **options)


def test_train_rejects_data_set_folder_as_run_folder(tiny, settings):
    with raises(DataError, path=tiny.path):
        wtal.train(tiny.path, tiny.path, settings())


def test_ground_truth_may_be_an_open_data_set(tiny):
    proposals = {video.id: [segment._replace(score=1.0) for segment in video.segments] for video in tiny.videos}
    assert evaluate(proposals, tiny).map == evaluate(proposals, tiny.path).map
