"""Text annotations of THUMOS14 and MultiTHUMOS."""

import pytest

from tests.helpers.errors import raises
from wtal.core.errors import DataError
from wtal.core.structures import Segment, Video
from wtal.data.layouts.thumos import has_thumos, read_ambiguous, read_thumos


def test_class_files_are_read(tmp_path):
    (tmp_path / "Diving_test.txt").write_text("v2  1.0 2.0\nv1 3 4\n")
    (tmp_path / "CliffDiving_test.txt").write_text("v1 3 4\n")
    (tmp_path / "Diving_val.txt").write_text("w 0 1\n")
    (tmp_path / "Ambiguous_test.txt").write_text("v1 8 9\nv1 10 11\n")
    videos = read_thumos(tmp_path)
    assert [(video.id, video.subset, video.labels) for video in videos] == [
        ("v1", "testing", ("CliffDiving", "Diving")),
        ("v2", "testing", ("Diving",)),
        ("w", "training", ("Diving",)),
    ]
    assert read_ambiguous(tmp_path / "Ambiguous_test.txt") == {"v1": [(8.0, 9.0), (10.0, 11.0)]}


def test_multithumos_files_take_subsets_from_ids(tmp_path):
    (tmp_path / "Run.txt").write_text("video_validation_1 0.5 3\nvideo_test_2 6 9.5\n")
    (tmp_path / "class_list.txt").write_text("1 Run\n")
    assert read_thumos(tmp_path) == [
        Video("video_test_2", "testing", ("Run",), segments=(Segment("Run", 6.0, 9.5),)),
        Video("video_validation_1", "training", ("Run",), segments=(Segment("Run", 0.5, 3.0),)),
    ]
    (tmp_path / "Run.txt").write_text("video_validation_1 0.5 3\nvideo_2 6 9.5\n")
    with raises(DataError, code="unknown-name", path=tmp_path / "Run.txt"):
        read_thumos(tmp_path)


@pytest.mark.parametrize("line", ["v 1", "v one two", "v 1 2 3", "v 3 1", "v nan 2", "v 0 inf"])
def test_malformed_line_is_located(tmp_path, line):
    path = tmp_path / "Ambiguous_test.txt"
    path.write_text(f"v 1 2\n{line}\n")
    with raises(DataError, code="invalid-value", path=path, location="line 2"):
        read_ambiguous(path)


def test_folder_without_class_files_is_rejected(tmp_path):
    assert not has_thumos(tmp_path)
    with raises(DataError, code="file-not-found", path=tmp_path):
        read_thumos(tmp_path)


def test_public_ambiguous_list(shared):
    ambiguous = read_ambiguous(shared("thumos14", "Thumos14reduced-Annotations", "Ambiguous_test.txt"))
    assert (len(ambiguous), sum(map(len, ambiguous.values()))) == (37, 99)
