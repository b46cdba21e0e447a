"""Evaluation of proposals files."""

from pathlib import Path

import pytest

from tests.helpers.errors import raises
from tests.helpers.evaluation import video
from wtal.core.errors import DataError
from wtal.core.structures import Segment
from wtal.data.layouts.activitynet import write_activitynet, write_proposals
from wtal.experiments.pipeline import evaluate, short_names


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
