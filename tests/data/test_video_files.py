"""A video file has the same id in data sets, predictions, annotation files and the web page; names find their file."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.errors import raises
from wtal.core.errors import DataError
from wtal.data.annotations.base import media_id
from wtal.data.create import create_dataset
from wtal.data.features import is_file_name
from wtal.data.video_files import (
    VIDEO_SUFFIXES,
    VideoFolder,
    VideoListing,
    find_videos,
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


def ids_of_paths(paths, listing=None):
    """The ids of video files, in the order of the paths."""
    return [video.id for video in find_videos(paths, listing)[0]]


# --- Ids --------------------------------------------------------------------------------------------------------------


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
        (" a .mp4", "a"),
        (".mp4", ".mp4"),
    ],
)
def test_video_id_examples(file, id):
    assert video_id(file) == id and is_file_name(id)


def test_equal_ids_keep_suffix_or_get_hash():
    assert video_ids(["a/b c.mp4", "x.mp4", "x.AVI", "y.txt"]) == {
        "a/b c.mp4": "a__b c",
        "x.mp4": "x.mp4",
        "x.AVI": "x.AVI",
        "y.txt": "y.txt",
    }
    assert len(set(video_ids(["a/b.mp4", "a__b.mp4"]).values())) == 2
    long_ids = video_ids(["é" * 300 + ".mp4", "é" * 301 + ".mp4"])
    assert len(set(long_ids.values())) == 2 and all(map(is_file_name, long_ids.values()))


ODD_PARTS = st.text(st.sampled_from('aAéE\u0301_.: *"\\'), min_size=1, max_size=8).filter(
    lambda s: s not in (".", "..")
)
ODD_FILES = st.builds(
    lambda parts, suffix: "/".join(parts) + suffix,
    st.lists(ODD_PARTS, min_size=1, max_size=3),
    st.sampled_from([".mp4", ".MP4", ".avi", ".txt", ""]),
)


@settings(deadline=None)
@given(st.lists(ODD_FILES | FILES, unique=True, max_size=8), st.lists(FILES.map(video_id), max_size=3))
def test_ids_are_unique_portable_file_names(files, reserved):
    ids = video_ids(files, reserved)
    assert list(ids) == files and all(map(is_file_name, ids.values()))
    assert not any(set(id) & set('/<>:"|?*\\') for id in ids.values())
    folded = [id.casefold() for id in ids.values()]
    assert len(set(folded)) == len(folded) and not set(folded) & {id.casefold() for id in reserved}
    assert video_ids(files[::-1], reserved) == ids, "the order of files does not matter"


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
    assert set(ids_of_paths([tmp_path / "videos"])) == set(expected), "as from the folder that `wtal init` got"
    assert {video.name for video in find_videos([paths[1]], listing)[0]} == {"holiday/beach.mp4"}


def test_each_video_of_a_folder_is_listed_once(tmp_path):
    (tmp_path / "a" / ".hidden").mkdir(parents=True)
    (tmp_path / "frames.mp4").mkdir()
    for name in ("a/x.mp4", "a/.hidden/y.mp4", "a/notes.txt", "z.avi"):
        (tmp_path / name).touch()
    (tmp_path / "link.mp4").symlink_to(tmp_path / "z.avi")
    videos, remarks = find_videos([tmp_path, tmp_path / "a" / "x.mp4"])
    assert [(video.id, video.name) for video in videos] == [("a__x", "a/x.mp4"), ("link", "link.mp4")]
    assert not remarks and all(video.path.is_file() for video in videos)


def test_folder_without_videos_is_rejected(tmp_path):
    (tmp_path / "notes.txt").touch()
    with raises(DataError, code="no-videos", path=tmp_path):
        find_videos([tmp_path])


# --- Listing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content, code",
    [
        (None, "file-not-found"),
        ("[]", "invalid-type"),
        ('{"folder": "x"}', "invalid-type"),
        ('{"folder": "x", "files": {"a/b": "c"}}', "invalid-id"),
        ('{"folder": "x", "files": {"a": 1}}', "invalid-path"),
        ('{"folder": "x", "files": {"a": "../b"}}', "invalid-path"),
        ('{"folder": "x", "files": {"a": "/b"}}', "invalid-path"),
        ("{", "invalid-json"),
    ],
)
def test_malformed_listing_is_rejected(tmp_path, content, code):
    if content is not None:
        (tmp_path / "videos.json").write_text(content)
    with raises(DataError, code=code, path=tmp_path / "videos.json" if content else tmp_path):
        read_listing(tmp_path)


def test_listing_of_moved_videos(tmp_path):
    (tmp_path / "videos.json").write_text('{"folder": "/old", "files": {"a": "sub/a.mp4"}}')
    assert read_listing(tmp_path).path("a") == Path("/old/sub/a.mp4")
    assert read_listing(tmp_path, tmp_path / "moved").path("a") == tmp_path / "moved/sub/a.mp4"


# --- Lookup of names --------------------------------------------------------------------------------------------------


@pytest.fixture
def make_files(tmp_path):
    """`make_files("set/a.mp4", ...)` creates empty files and returns their root."""

    def make(*names: str) -> Path:
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        return tmp_path

    return make


@pytest.mark.parametrize(
    "name, file",
    [
        ("a.mp4", "a.mp4"),
        ("a", "a.mp4"),
        ("A.MP4", "a.mp4"),
        ("./a.mp4", "a.mp4"),
        ("set/a.mp4", "a.mp4"),
        ("sub/b.mp4", "sub/B.MP4"),
        ("sub\\B", "sub/B.MP4"),
        ("b", "sub/B.MP4"),
        ("c d", "sub/deep/c d.avi"),
        ("deep/c d.avi", "sub/deep/c d.avi"),
        ("set/sub/deep/c d", "sub/deep/c d.avi"),
        ("other/deep/c d", None),
        ("e.txt", "sub/e.txt"),
        ("e", None),
        ("clip.v2", "clip.v2.mov"),
        ("clip", None),
        ("a.avi", None),
        ("two/x", "dup/two/x.mp4"),
        ("dup/x", "dup/x.mp4"),
        (".", None),
    ],
)
def test_name_finds_its_file(make_files, name, file):
    files = ("a.mp4", "sub/B.MP4", "sub/deep/c d.avi", "sub/e.txt", "clip.v2.mov", "dup/x.mp4", "dup/two/x.mp4")
    root = make_files(*(f"set/{file}" for file in files))
    assert VideoFolder(root / "set").find(name, root / "tags.csv") == ([file] if file else [])


def test_name_is_searched_in_the_part_that_the_table_belongs_to(make_files):
    root = make_files(
        "set/one/Fall/01.mp4", "set/one/10.mp4", "set/two/Fall/02.mp4", "set/two/ADL/10.mp4", "set/03.mp4"
    )
    folder = VideoFolder(root / "set")
    assert folder.find("01.mp4", root / "set/one/Fall.csv") == ["one/Fall/01.mp4"]
    assert folder.find("one/10", root / "set/one/tags.csv") == ["one/10.mp4"]
    assert folder.find("10", root / "set/one/tags.csv") == ["one/10.mp4"]
    assert folder.find("ADL/10", root / "set/two/Fall.csv") == ["two/ADL/10.mp4"]
    # A row whose video is missing must not match another video of the same name.
    assert folder.find("01.mp4", root / "set/two/Fall.csv") == []
    assert folder.find("10.mp4", root / "set/two/Fall.csv") == []
    assert folder.find("03.mp4", root / "set/two/Fall.csv") == []
    assert sorted(folder.find("10", root / "tags.csv")) == ["one/10.mp4", "two/ADL/10.mp4"]


@pytest.mark.parametrize("name", ["../secret.mp4", "/etc/passwd", "sub/../../secret.mp4"])
def test_name_outside_of_the_folder_is_rejected(make_files, name):
    root = make_files("secret.mp4", "set/a.mp4")
    with raises(DataError, code="invalid-path", path=root / "set"):
        VideoFolder(root / "set").find(name, root / "tags.csv")


def test_case_decides_only_between_several_files(make_files):
    root = make_files("set/a.mp4", "set/A.mp4")
    folder = VideoFolder(root / "set")
    if len(folder.files) == 1:
        pytest.skip("the file system ignores case")
    assert folder.find("a.mp4", root / "t.csv") == ["a.mp4"] and folder.find("A", root / "t.csv") == ["A.mp4"]
    assert sorted(folder.find("a.MP4", root / "t.csv")) == ["A.mp4", "a.mp4"]


def test_folder_is_scanned_with_links_and_without_hidden_files(make_files):
    root = make_files("set/sub/a.mp4", "set/._a.mp4", "elsewhere/f.bin")
    (root / "set/x.mp4").mkdir()
    (root / "set/sub/loop").symlink_to(root / "set")
    (root / "set/broken.mp4").symlink_to(root / "nowhere")
    (root / "set/link").symlink_to(root / "elsewhere")
    Path(os.fsdecode(os.fsencode(root / "set") + b"/\xff")).mkdir()
    folder = VideoFolder(root / "set")
    assert sorted(folder.files) == ["broken.mp4", "link/f.bin", "sub/a.mp4", "x.mp4"]
    assert sorted(folder.videos) == ["broken.mp4", "sub/a.mp4", "x.mp4"]
    assert len(folder.remarks) == 1 and "UTF-8" in folder.remarks[0]


def test_unreadable_folder_is_a_remark(make_files, monkeypatch):
    root = make_files("set/a.mp4", "set/closed/b.mp4")
    scandir = os.scandir

    def failing_scandir(path: Path):
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr("wtal.data.video_files.os.scandir", failing_scandir)
    folder = VideoFolder(root / "set")
    assert folder.files == ("a.mp4",)
    assert len(folder.remarks) == 1 and f"{root}/set/closed" in folder.remarks[0]
