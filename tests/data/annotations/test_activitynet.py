"""ActivityNet's ground truth and results as annotation formats."""

import json

import pytest

from tests.helpers.errors import raises
from wtal.core.errors import DataError
from wtal.core.structures import Segment
from wtal.data.annotations.activitynet import read_ground_truth, read_results, write_ground_truth
from wtal.data.annotations.base import Annotation


def test_ground_truth_keeps_duration_subset_and_tags(tmp_path):
    path = tmp_path / "truth.json"
    annotation = Annotation("v", (Segment("run", 1.0, 2.0),), 9.0, "validation", ("jump",))
    write_ground_truth(path, [annotation])
    assert read_ground_truth(path).annotations == [annotation]


@pytest.mark.parametrize(
    ("read", "content", "location"),
    [
        (read_results, {"results": {"v": [{"label": "\ud800", "score": 1, "segment": [1, 2]}]}}, "v, proposal 1"),
        (read_results, {"results": {"v": [{"label": "x" * 200_000, "score": 1, "segment": [1, 2]}]}}, "v, proposal 1"),
        (read_results, {"results": {" ": []}}, None),
        (read_ground_truth, {"database": {"v": {"subset": "\ud800", "annotations": []}}}, "v"),
        (read_ground_truth, {"database": {"v": {"duration": 1e300, "annotations": []}}}, "v"),
    ],
)
def test_values_that_no_other_format_could_store_are_rejected(read, content, location, tmp_path):
    path = tmp_path / "file.json"
    path.write_text(json.dumps(content))
    with raises(DataError, path=path, location=location):
        read(path)
