"""A video file has the same id wherever it enters: data set, prediction, annotation file, web page."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wtal.data.annotations.base import media_id
from wtal.data.create import create_dataset
from wtal.data.features import is_file_name
from wtal.data.video_files import (
    VIDEO_SUFFIXES,
    VideoListing,
    ids_of_paths,
    is_video_name,
    read_listing,
    video_id,
    video_ids,
)

NAMES = st.text(st.characters(exclude_characters="/\\\0", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
FOLDERS = st.lists(NAMES.filter(lambda name: name not in (".", "..")), max_size=2)
FILES = st.builds(
    lambda folders, name, suffix: "/".join([*folders, f"v{name}{suffix}"]),
    FOLDERS,
    NAMES,
    st.sampled_from([*sorted(VIDEO_SUFFIXES), ".MP4", ".M2ts", ""]),
)
ROOT = Path("/videos")


@pytest.mark.parametrize(
    "file, id",
    [
        ("beach.mp4", "beach"),
        ("holiday/beach.mp4", "holiday__beach"),
        ("clip.m2ts", "clip"),
        ("clip.MTS", "clip"),
        ("a.b.mp4", "a.b"),
        ("notes.final", "notes.final"),
        ("what?.mp4", "what_"),
        ("x" * 300 + ".mp4", video_id("x" * 300 + ".mp4")),
        (".mp4", ".mp4"),
    ],
)
def test_video_id_examples(file, id):
    assert video_id(file) == id and is_file_name(id)


@given(st.lists(FILES, unique=True, max_size=8), st.lists(FILES.map(video_id), max_size=3))
def test_ids_are_unique_file_names_apart_from_case(files, reserved):
    ids = video_ids(files, reserved)
    assert list(ids) == files and all(map(is_file_name, ids.values()))
    folded = [id.casefold() for id in [*ids.values()]]
    assert len(set(folded)) == len(folded) and not set(folded) & {id.casefold() for id in reserved}


@given(st.lists(FILES, unique=True, min_size=1, max_size=6))
def test_prediction_of_data_set_videos_has_their_ids(files):
    ids = video_ids(files)
    listing = VideoListing(ROOT, {id: file for file, id in ids.items()})
    assert ids_of_paths([ROOT / file for file in files], listing) == list(ids.values())
    assert ids_of_paths([ROOT / files[0]], listing) == [ids[files[0]]], "also when it is the only input"


@given(st.lists(FILES, unique=True, min_size=1, max_size=6))
def test_prediction_of_other_videos_is_named_from_their_common_folder(files):
    paths = [ROOT / "a" / "first.mp4", ROOT / "second.mp4", *(ROOT / file for file in files)]
    expected = video_ids(["a/first.mp4", "second.mp4", *files])
    ids = ids_of_paths(paths)
    assert ids == list(expected.values()) and not any("/" in id for id in ids)
    assert ids_of_paths(paths, VideoListing(Path("/other"), {"beach": "beach.mp4"})) == ids


def test_unlisted_video_in_folder_of_data_set_is_named_from_that_folder():
    listing = VideoListing(ROOT, {"beach": "beach.mp4", "new__clip": "clip.mp4"})
    paths = [ROOT / "beach.mp4", ROOT / "new" / "other.mp4", ROOT / "new" / "clip.mp4"]
    assert ids_of_paths(paths, listing) == ["beach", "new__other", "new__clip.mp4"]


def test_undecodable_file_name_gets_writable_id():
    ids = ids_of_paths([Path("a\udcff.mp4"), Path("a\udcfe.mp4")])
    assert len(set(ids)) == 2 and all(id.encode() for id in ids)


@given(FILES.filter(lambda file: "/" not in file and is_video_name(file)))
def test_annotation_file_names_video_as_data_set_does(file):
    assert media_id(f"C:\\elsewhere\\{file}") == media_id(f"/elsewhere/{file}") == video_id(file)


def test_data_set_prediction_and_rule_agree(tmp_path):
    files = ["beach.mp4", "holiday/beach.mp4", "holiday/clip.m2ts", "clip.mp4", "clip.mkv", "what?.mp4"]
    for file in files:
        (tmp_path / "videos" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "videos" / file).touch()
    (tmp_path / "tags.csv").write_text("video,labels\n" + "".join(f"{file},run\n" for file in files))
    create_dataset(tmp_path / "data", tmp_path / "videos", [tmp_path / "tags.csv"])
    listing = read_listing(tmp_path / "data")
    expected = ["beach", "holiday__beach", "holiday__clip", "clip.mp4", "clip.mkv", "what_"]
    paths = [tmp_path / "videos" / file for file in files]
    assert {id: listing.path(id) for id in expected} == dict(zip(expected, paths, strict=True))
    assert ids_of_paths(paths, listing) == ids_of_paths(paths) == expected
    assert ids_of_paths([paths[1]], listing) == ["holiday__beach"]
