"""A file or folder is the old one or the new one, whatever happens while it is written."""

import errno
import math
from pathlib import Path

import pytest

from wtal.core.errors import DataError
from wtal.core.io import append_line, atomic_write, atomic_write_dir, read_json, read_text, write_json, write_text

FULL = OSError(errno.ENOSPC, "No space left on device")
ENDINGS = [FULL, OSError(errno.EIO, "Input/output error"), KeyboardInterrupt(), ValueError("ours")]


def half(ending):
    """A writer that breaks off in the middle, of a file or a folder."""

    def write(part: Path) -> None:
        (part / "a" if part.is_dir() else part).write_text("half")
        raise ending

    return write


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("ending", ENDINGS, ids=repr)
def test_a_file_broken_off_leaves_the_old_one_and_no_litter(tmp_path, ending):
    write_text(tmp_path / "a", "old")
    with pytest.raises(DataError if isinstance(ending, OSError) else type(ending)):
        atomic_write(tmp_path / "a", half(ending))
    assert names(tmp_path) == ["a"] and read_text(tmp_path / "a") == "old"


@pytest.mark.parametrize("ending", ENDINGS, ids=repr)
def test_a_folder_broken_off_leaves_the_old_one_and_no_litter(tmp_path, ending):
    atomic_write_dir(tmp_path / "f", lambda part: (part / "a").write_text("old"))
    with pytest.raises(DataError if isinstance(ending, OSError) else type(ending)):
        atomic_write_dir(tmp_path / "f", half(ending))
    assert names(tmp_path) == ["f"] and (tmp_path / "f/a").read_text() == "old"


@pytest.mark.parametrize("ending", ENDINGS[1:3], ids=repr)
@pytest.mark.parametrize("moves", [0, 1])
def test_a_folder_broken_off_while_it_is_put_in_place(tmp_path, monkeypatch, ending, moves):
    atomic_write_dir(tmp_path / "f", lambda part: (part / "a").write_text("old"))
    replace, done = Path.replace, []

    def break_off(self, target):
        done.append(target)
        if len(done) == moves + 1:
            raise ending
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", break_off)
    with pytest.raises(DataError if isinstance(ending, OSError) else type(ending)):
        atomic_write_dir(tmp_path / "f", lambda part: (part / "a").write_text("new"))
    assert names(tmp_path) == ["f"] and (tmp_path / "f/a").read_text() == "old"


def test_a_whole_folder_takes_the_place_of_the_old_one(tmp_path):
    atomic_write_dir(tmp_path / "in/f", lambda part: (part / "a").write_text("old"))
    atomic_write_dir(tmp_path / "in/f", lambda part: (part / "b").write_text("new"))
    assert names(tmp_path / "in") == ["f"] and names(tmp_path / "in/f") == ["b"]


@pytest.mark.parametrize("write", [atomic_write, atomic_write_dir])
def test_what_a_killed_process_left_is_no_obstacle(tmp_path, write):
    """In a container the next process often has the same id, so the same temporary name."""
    used: list[Path] = []
    fill = lambda part: (used.append(part), (part / "a" if part.is_dir() else part).write_text("new"))  # noqa: E731
    write(tmp_path / "f", fill)
    if write is atomic_write:
        used[0].write_text("half")
    else:
        used[0].mkdir()
        (used[0] / "litter").write_text("half")
    write(tmp_path / "f", fill)
    assert names(tmp_path) == ["f"]
    assert write is atomic_write or names(tmp_path / "f") == ["a"]


@pytest.mark.parametrize("place", ["", ".", "..", "/", "new/.."])
@pytest.mark.parametrize("write", [atomic_write, atomic_write_dir])
def test_a_place_without_a_name_of_its_own_is_refused(tmp_path, monkeypatch, write, place):
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    with pytest.raises(DataError, match="is a folder that is in use; name a file or folder inside it"):
        write(Path(place), lambda part: part.write_text("new"))
    assert names(tmp_path) == ["in"] and names(tmp_path / "in") == []


@pytest.mark.parametrize("to", ["real", "nowhere", "link"])
def test_a_folder_takes_the_place_of_a_link_and_leaves_alone_what_it_points_to(tmp_path, to):
    atomic_write_dir(tmp_path / "real", lambda part: (part / "a").write_text("old"))
    (tmp_path / "link").symlink_to(to)
    with pytest.raises(DataError):
        atomic_write_dir(tmp_path / "link", half(FULL))
    assert (tmp_path / "link").is_symlink()
    atomic_write_dir(tmp_path / "link", lambda part: (part / "a").write_text("new"))
    assert names(tmp_path) == ["link", "real"] and not (tmp_path / "link").is_symlink()
    assert read_text(tmp_path / "link/a") == "new" and read_text(tmp_path / "real/a") == "old"


def test_a_folder_never_takes_the_place_of_a_file(tmp_path):
    write_text(tmp_path / "a", "old")
    with pytest.raises(DataError, match="a: is no folder; name another place"):
        atomic_write_dir(tmp_path / "a", lambda part: None)
    assert names(tmp_path) == ["a"] and read_text(tmp_path / "a") == "old"


@pytest.mark.parametrize("place", ["a.json/x", "a.json/x/y", "loop/x"])
def test_nothing_is_below_a_file(tmp_path, place):
    write_text(tmp_path / "a.json", "{}")
    (tmp_path / "loop").symlink_to("loop")
    path = tmp_path / place
    above = tmp_path / Path(place).parts[0]
    for work in (
        lambda: write_json(path, {}),
        lambda: atomic_write_dir(path, lambda part: None),
        lambda: append_line(path, ""),
        lambda: read_json(path),
    ):
        with pytest.raises(DataError) as caught:
            work()
        assert str(caught.value) == f"{path}: cannot be there, as {above} is no folder; name another place"
    assert names(tmp_path) == ["a.json", "loop"]


def test_a_full_disk_is_said_and_the_place_named(tmp_path):
    with pytest.raises(DataError, match="run: the disk is full; free some space"):
        atomic_write(tmp_path / "run", half(FULL))


def test_json_goes_there_and_back_and_never_holds_nan(tmp_path):
    path = tmp_path / "new/folder/a.json"
    write_json(path, {"größe": [1, 2.5, None]})
    assert read_json(path) == {"größe": [1, 2.5, None]}
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, float("nan"))
    assert read_json(path) == {"größe": [1, 2.5, None]}


@pytest.mark.parametrize(
    "content, said",
    [
        (b"{\n1: 2}", r"a\.json, line 2: not valid JSON"),
        (b'{"a": [1,', r"a\.json, line 1: not valid JSON .* cut off"),
        (b'{"a":\n"\xff"}', r"a\.json, line 2: not UTF-8 text; save the file as UTF-8"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(tmp_path, content, said):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(DataError, match=said):
        read_json(tmp_path / "a.json")


def test_a_number_of_thousands_of_digits_is_beyond_all_others(tmp_path):
    (tmp_path / "a.json").write_text(f"[7, {'9' * 9000}, -{'9' * 9000}]")
    assert read_json(tmp_path / "a.json") == [7, math.inf, -math.inf]


def test_a_missing_file_is_said_and_a_byte_order_mark_is_fine(tmp_path):
    with pytest.raises(DataError, match=r"a\.json: there is no such file"):
        read_json(tmp_path / "a.json")
    with pytest.raises(DataError, match="is a directory"):
        read_text(tmp_path)
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf[1]")
    assert read_json(tmp_path / "a.json") == [1]
