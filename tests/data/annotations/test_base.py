"""What all formats share: video ids and file names, frames, and scores as text."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.annotations import labels, write_and_read
from wtal.core.structures import Segment
from wtal.data.annotations.base import (
    Annotation,
    append_score,
    escape_score,
    from_frames,
    media_id,
    single_line,
    split_score,
    to_frames,
)
from wtal.data.annotations.registry import FORMATS
from wtal.data.parsing import Location

formats_with_media = pytest.mark.parametrize("name", ["elan", "via", "labelstudio", "boris-project"])


@pytest.mark.parametrize(
    ("path", "id"),
    [
        ("film.mp4", "film"),
        ("/films/day 1/film.v2.MKV", "film.v2"),
        ("C:\\films\\film.mts", "film"),
        ("https://example.org/films/film.webm", "film"),
        ("v_1.2", "v_1.2"),
        ("films/", "films"),
    ],
)
def test_video_id_is_the_name_of_the_media_without_video_extension(path, id):
    assert media_id(path) == id
    assert Annotation.from_media(path).id == id


@formats_with_media
@pytest.mark.parametrize("file_name", ["film 1.mp4", "film 1.é & <x>.MKV", "50%20 off.mp4", "film 1", ""])
def test_file_name_of_the_video_is_stored(name, file_name, tmp_path):
    annotation = Annotation(media_id(file_name) or "film 1", (Segment("run", 1.0, 2.0, 0.5),), file_name=file_name)
    (read,) = write_and_read(FORMATS[name], [annotation], tmp_path)
    assert read == replace(annotation, file_name="" if file_name == annotation.id else file_name)


@formats_with_media
def test_file_name_of_another_video_does_not_change_the_id(name, tmp_path):
    annotation = Annotation("corrected", (Segment("run", 1.0, 2.0, 0.5),), file_name="film.mp4")
    (read,) = write_and_read(FORMATS[name], [annotation], tmp_path)
    assert read.id == "corrected"
    assert read.file_name == ("film.mp4" if name == "elan" else "")


@given(st.integers(0, 100_000), st.integers(1, 1000), st.sampled_from([24, 25, 29.97, 30, 60]))
def test_frames_and_seconds_agree(first, length, fps):
    segment = Segment("a", first / fps, (first + length) / fps)
    assert to_frames(segment, fps) == (first + 1, first + length)
    assert from_frames(Location(None), first + 1, first + length, fps) == pytest.approx((segment.start, segment.end))


@given(labels, st.none() | st.floats(-10, 10))
def test_score_in_text_is_read_back(label, score):
    text = append_score(escape_score(label), score)
    plain, read = split_score(text)
    assert plain == escape_score(label)
    assert read == (None if score is None else float(f"{score:.4g}"))


@given(labels)
def test_single_line_labels_have_no_line_breaks(label):
    assert len(single_line(label).splitlines()) <= 1
    assert single_line(single_line(label)) == single_line(label)
