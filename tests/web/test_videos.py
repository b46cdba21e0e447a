"""The videos of a folder."""

import os

from tests.helpers.errors import raises
from wtal.core.errors import DataError
from wtal.web.videos import VideoLibrary, video_key


def test_missing_folder_is_an_error(tmp_path):
    with raises(DataError, code="file-not-found", path=tmp_path / "nothing"):
        VideoLibrary(tmp_path / "nothing")


def test_links_out_of_the_folder_and_hidden_files_are_ignored(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    (folder / "out.mp4").symlink_to(tmp_path / "secret.mp4")
    (folder / "folder").symlink_to(tmp_path)
    (folder / "video.mp4").write_bytes(b"video")
    (folder / "link.mp4").symlink_to(folder / "video.mp4")
    (folder / ".hidden.mp4").write_bytes(b"video")
    os.mkfifo(folder / "pipe.mp4")
    library = VideoLibrary(folder)
    files = {file.name: file for file in library.files().values()}
    assert files.keys() == {"video.mp4", "link.mp4"}
    (folder / "video.mp4").unlink()
    (folder / "video.mp4").symlink_to(tmp_path / "secret.mp4")
    for file in files.values():  # has become a link out of the folder, or leads to one
        with raises(DataError, code="video-not-found", path=file.name):
            library.path(file)


def test_renames_are_followed_to_the_present_name(tmp_path):
    library = VideoLibrary(tmp_path)
    names = {video_key(f"{name}.mp4"): name for name in "abt"}

    def moved_after_rename(old: str, new: str) -> dict[str, str]:
        (tmp_path / f"{old}.mp4").rename(tmp_path / f"{new}.mp4")
        library.refresh()
        library.files()
        return {names[key]: names[new_key] for key, new_key in library.moved.items()}

    for size, name in enumerate("ab", start=1):
        (tmp_path / f"{name}.mp4").write_bytes(b"x" * size)
    library.files()
    assert moved_after_rename("a", "t") == {"a": "t"}
    assert moved_after_rename("b", "a") == {"b": "a"}, "the name a is taken again"
    assert moved_after_rename("t", "b") == {"t": "b"}


def test_rename_to_the_previous_name_of_another_file_is_followed(tmp_path):
    library = VideoLibrary(tmp_path)
    for size, name in enumerate("ab", start=1):
        (tmp_path / f"{name}.mp4").write_bytes(b"x" * size)
    library.files()
    (tmp_path / "b.mp4").rename(tmp_path / "c.mp4")
    (tmp_path / "a.mp4").rename(tmp_path / "b.mp4")
    library.refresh()
    library.files()
    assert library.moved == {video_key("a.mp4"): video_key("b.mp4")}, "the name b is taken again"


def test_fingerprint_is_empty_if_the_file_has_changed(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"one")
    library = VideoLibrary(tmp_path)
    (file,) = library.files().values()
    (tmp_path / "a.mp4").write_bytes(b"another")
    assert library.fingerprint(file) == "" != library.fingerprint(library.current(file))
