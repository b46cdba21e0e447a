"""The BaS-Net / CoLA layout becomes a data set folder; what does not fit is rejected."""

import numpy as np

from tests.helpers.errors import raises
from tests.helpers.layouts import write_basnet
from wtal.core.errors import DataError
from wtal.core.structures import Video
from wtal.data.dataset import load_dataset
from wtal.data.layouts.convert import convert_layout


def test_modalities_are_concatenated(tmp_path):
    converted = convert_layout(write_basnet(tmp_path / "source"), tmp_path / "out")
    assert converted.layout == "BaS-Net / CoLA" and len(converted.remarks) == 1 and "v2" in converted.remarks[0]
    dataset = load_dataset(tmp_path / "out")
    assert dataset.videos[0] == Video("v1", "training", ("run",)) and dataset.modalities == (3, 3)
    np.testing.assert_array_equal(dataset.features("v1")[0], [1, 1, 1, 2, 2, 2])
    assert dataset.features("v2").shape == (7, 6)


def test_complete_features_are_not_written_again(tmp_path):
    out = convert_layout(write_basnet(tmp_path / "source"), tmp_path / "out").path
    features = load_dataset(out).features_path("v1")
    modified = features.stat().st_mtime_ns
    convert_layout(tmp_path / "source", out)
    assert features.stat().st_mtime_ns == modified


def test_video_without_features_is_reported(tmp_path):
    source = write_basnet(tmp_path / "source")
    for path in source.glob("features/test/*/v2.npy"):
        path.unlink()
    converted = convert_layout(source, tmp_path / "out")
    assert len(converted.remarks) == 1 and "v2" in converted.remarks[0]


def test_inconsistent_source_is_rejected(tmp_path):
    source, out = write_basnet(tmp_path / "source"), tmp_path / "out"
    np.save(source / "features" / "test" / "flow" / "v2.npy", np.ones((5, 3)))
    with raises(DataError, code="length-mismatch", path=source / "features" / "test" / "rgb" / "v2.npy"):
        convert_layout(source, out)
    (source / "split_test.txt").write_text("v2\nv3\n")
    with raises(DataError, code="unknown-name", path=source / "split_test.txt", location="line 2"):
        convert_layout(source, out)
    (source / "split_test.txt").write_text("v2\nv2\n")
    with raises(DataError, code="duplicate-id", path=source):
        convert_layout(source, out)
