"""Files are written completely or not at all, locks hold between processes, and errors name the path."""

import errno
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from tests.helpers.errors import raises
from wtal.core.errors import DataError
from wtal.core.io import (
    LOCK_NAME,
    append_line,
    atomic_write,
    atomic_write_dir,
    directory_lock,
    open_input,
    read_bytes,
    read_json,
    read_json_as,
    read_tensors,
    read_text,
    require_file,
    require_not_input,
    require_output_file,
    write_json,
    write_text,
)

DISK_FULL = OSError(errno.ENOSPC, "No space left on device")
FAILURES = [DISK_FULL, OSError(errno.EIO, "Input/output error"), KeyboardInterrupt(), ValueError("a bug")]


def failing_writer(failure):
    """A writer of a file or a folder that fails halfway."""

    def write(part: Path) -> None:
        (part / "a" if part.is_dir() else part).write_text("half")
        raise failure

    return write


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def expected_error(failure):
    return DataError if isinstance(failure, OSError) else type(failure)


@pytest.mark.parametrize("failure", FAILURES, ids=repr)
def test_failed_write_keeps_old_file_and_leaves_no_temporary_file(tmp_path, failure):
    write_text(tmp_path / "a", "old")
    with pytest.raises(expected_error(failure)):
        atomic_write(tmp_path / "a", failing_writer(failure))
    assert names(tmp_path) == ["a"] and read_text(tmp_path / "a") == "old"


@pytest.mark.parametrize("failure", FAILURES, ids=repr)
def test_failed_write_keeps_old_folder_and_leaves_no_temporary_folder(tmp_path, failure):
    atomic_write_dir(tmp_path / "f", lambda part: (part / "a").write_text("old"))
    with pytest.raises(expected_error(failure)):
        atomic_write_dir(tmp_path / "f", failing_writer(failure))
    assert names(tmp_path) == ["f"] and (tmp_path / "f/a").read_text() == "old"


@pytest.mark.parametrize("failure", FAILURES[1:3], ids=repr)
@pytest.mark.parametrize("successful_renames", [0, 1])
def test_failed_rename_restores_old_folder(tmp_path, monkeypatch, failure, successful_renames):
    atomic_write_dir(tmp_path / "f", lambda part: (part / "a").write_text("old"))
    replace, calls = Path.replace, []

    def failing_replace(self, target):
        calls.append(target)
        if len(calls) == successful_renames + 1:
            raise failure
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", failing_replace)
    with pytest.raises(expected_error(failure)):
        atomic_write_dir(tmp_path / "f", lambda part: (part / "a").write_text("new"))
    assert names(tmp_path) == ["f"] and (tmp_path / "f/a").read_text() == "old"


def test_new_folder_replaces_old_one_completely(tmp_path):
    atomic_write_dir(tmp_path / "in/f", lambda part: (part / "a").write_text("old"))
    atomic_write_dir(tmp_path / "in/f", lambda part: (part / "b").write_text("new"))
    assert names(tmp_path / "in") == ["f"] and names(tmp_path / "in/f") == ["b"]


@pytest.mark.parametrize("write", [atomic_write, atomic_write_dir])
def test_leftover_of_killed_process_with_same_id_is_replaced(tmp_path, write):
    """In a container the next process often has the same id, so the same temporary name."""
    parts: list[Path] = []

    def fill(part: Path) -> None:
        parts.append(part)
        (part / "a" if part.is_dir() else part).write_text("new")

    write(tmp_path / "f", fill)
    if write is atomic_write:
        parts[0].write_text("half")
    else:
        parts[0].mkdir()
        (parts[0] / "leftover").write_text("half")
    write(tmp_path / "f", fill)
    assert names(tmp_path) == ["f"]
    assert write is atomic_write or names(tmp_path / "f") == ["a"]


@pytest.mark.parametrize("path", ["", ".", "..", "/", "new/.."])
@pytest.mark.parametrize("write", [atomic_write, atomic_write_dir])
def test_path_without_name_is_rejected(tmp_path, monkeypatch, write, path):
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    with raises(DataError, code="invalid-path", path=Path(path)):
        write(Path(path), lambda part: part.write_text("new"))
    assert names(tmp_path) == ["in"] and names(tmp_path / "in") == []


@pytest.mark.parametrize("target", ["real", "nowhere", "link"])
def test_folder_replaces_link_but_not_its_target(tmp_path, target):
    atomic_write_dir(tmp_path / "real", lambda part: (part / "a").write_text("old"))
    (tmp_path / "link").symlink_to(target)
    with raises(DataError, code="disk-full"):
        atomic_write_dir(tmp_path / "link", failing_writer(DISK_FULL))
    assert (tmp_path / "link").is_symlink()
    atomic_write_dir(tmp_path / "link", lambda part: (part / "a").write_text("new"))
    assert names(tmp_path) == ["link", "real"] and not (tmp_path / "link").is_symlink()
    assert read_text(tmp_path / "link/a") == "new" and read_text(tmp_path / "real/a") == "old"


def test_folder_does_not_replace_file(tmp_path):
    write_text(tmp_path / "a", "old")
    with raises(DataError, code="not-a-directory", path=tmp_path / "a"):
        atomic_write_dir(tmp_path / "a", lambda part: None)
    assert names(tmp_path) == ["a"] and read_text(tmp_path / "a") == "old"


@pytest.mark.parametrize("name", ["a.json/x", "a.json/x/y", "loop/x"])
def test_path_below_file_is_rejected(tmp_path, name):
    write_text(tmp_path / "a.json", "{}")
    (tmp_path / "loop").symlink_to("loop")
    path = tmp_path / name
    for operation in (
        lambda: write_json(path, {}),
        lambda: atomic_write_dir(path, lambda part: None),
        lambda: append_line(path, ""),
        lambda: read_json(path),
    ):
        with raises(DataError, code="not-a-directory", path=path) as caught:
            operation()
        assert str(tmp_path / Path(name).parts[0]) in caught.value.message
    assert names(tmp_path) == ["a.json", "loop"]


def test_full_disk_has_own_code(tmp_path):
    with raises(DataError, code="disk-full", path=tmp_path / "run"):
        atomic_write(tmp_path / "run", failing_writer(DISK_FULL))


def test_json_roundtrip_rejects_nan(tmp_path):
    path = tmp_path / "new/folder/a.json"
    write_json(path, {"größe": [1, 2.5, None]})
    assert read_json(path) == {"größe": [1, 2.5, None]}
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, float("nan"))
    assert read_json(path) == {"größe": [1, 2.5, None]}


def test_unpaired_surrogate_is_rejected(tmp_path):
    with raises(DataError, code="invalid-unicode", path=tmp_path / "a.txt"):
        write_text(tmp_path / "a.txt", "name \ud800")
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "content, code, location",
    [
        (b"{\n1: 2}", "invalid-json", "line 2"),
        (b'{"a": [1,', "invalid-json", "line 1"),
        (b'{"a":\n"\xff"}', "invalid-encoding", "line 2"),
        (b"[" * 100_000, "invalid-json", None),
    ],
)
def test_malformed_json_is_located(tmp_path, content, code, location):
    (tmp_path / "a.json").write_bytes(content)
    with raises(DataError, code=code, path=tmp_path / "a.json", location=location):
        read_json(tmp_path / "a.json")


def test_integer_of_thousands_of_digits_is_read_as_infinity(tmp_path):
    (tmp_path / "a.json").write_text(f"[7, {'9' * 9000}, -{'9' * 9000}]")
    assert read_json(tmp_path / "a.json") == [7, math.inf, -math.inf]


def test_byte_order_mark_is_ignored(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf[1]")
    assert read_json(tmp_path / "a.json") == [1]


class Fields(BaseModel):
    name: str
    size: int = 1


def test_fields_are_read(tmp_path):
    path = tmp_path / "a.json"
    write_text(path, '{"name": "x"}')
    assert read_json_as(path, Fields, "a record", "delete it") == Fields(name="x")


@pytest.mark.parametrize("text", ["[]", "null", "{}", '{"name": 1}', '{"name": "x", "size": "y"}'])
def test_invalid_fields_are_reported_with_the_file(tmp_path, text):
    path = tmp_path / "a.json"
    write_text(path, text)
    with raises(DataError, code="invalid-value", path=path):
        read_json_as(path, Fields, "a record", "delete it")


@pytest.mark.parametrize("read", [read_text, read_json, read_tensors, open_input, require_file])
def test_only_regular_files_are_read(tmp_path, read):
    with raises(DataError, code="file-not-found", path=tmp_path / "gone"):
        read(tmp_path / "gone")
    with raises(DataError, code="not-a-file", path=tmp_path):
        read(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with raises(DataError, code="not-a-file", path=tmp_path / "pipe"):
        read(tmp_path / "pipe")


def test_path_that_becomes_a_pipe_is_not_waited_for(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr("wtal.core.io.require_file", lambda path, hint: None)  # as if it was a file when it was checked
    with raises(DataError, code="not-a-file", path=tmp_path / "pipe"):
        open_input(tmp_path / "pipe")


def test_size_of_input_is_bounded(tmp_path, monkeypatch):
    (tmp_path / "a.json").write_text("[[1, 2], {}]")
    assert read_json(tmp_path / "a.json") == [[1, 2], {}] and read_bytes(tmp_path / "a.json", 12)
    with raises(DataError, code="file-too-large", path=tmp_path / "a.json"):
        read_bytes(tmp_path / "a.json", 11)
    monkeypatch.setattr("wtal.core.io.MAX_JSON_CONTAINERS", 2)
    with raises(DataError, code="file-too-large", path=tmp_path / "a.json"):
        read_json(tmp_path / "a.json")
    monkeypatch.setattr("wtal.core.io.MAX_TEXT_BYTES", 11)
    with raises(DataError, code="file-too-large", path=tmp_path / "a.json"):
        read_text(tmp_path / "a.json")


def test_line_breaks_of_every_system_are_read_alike(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"a\r\nb\rc\nd")
    assert read_text(tmp_path / "a.txt") == "a\nb\nc\nd"


def test_output_must_not_be_an_input(tmp_path):
    write_text(tmp_path / "in.json", "{}")
    (tmp_path / "link").symlink_to("in.json")
    for output in ("in.json", "link", "x/../in.json"):
        with raises(DataError, code="output-is-input", path=tmp_path / output):
            require_not_input(tmp_path / output, None, tmp_path / "in.json")
    require_not_input(tmp_path / "out.json", None, tmp_path / "in.json")


def test_output_file_is_checked_before_work(tmp_path):
    write_text(tmp_path / "a.json", "{}")
    output = tmp_path / "out.json"
    require_output_file(output, [tmp_path / "a.json"], lambda path: False)
    require_output_file(tmp_path / "new" / "out.json")
    write_text(output, "mine")
    require_output_file(output, is_replaceable=lambda path: read_text(path) == "mine")
    with raises(DataError, code="already-exists", path=output):
        require_output_file(output, is_replaceable=lambda path: False)
    with raises(DataError, code="output-is-input", path=output):
        require_output_file(output, [output])
    with raises(DataError, code="not-a-file", path=tmp_path):
        require_output_file(tmp_path)
    with raises(DataError, code="not-a-directory", path=tmp_path / "a.json" / "x"):
        require_output_file(tmp_path / "a.json" / "x")
    os.mkfifo(tmp_path / "pipe")
    with raises(DataError, code="not-a-file", path=tmp_path / "pipe"):
        require_output_file(tmp_path / "pipe", is_replaceable=lambda path: bool(path.read_bytes()))


HOLD_LOCK = """
import sys, time
from pathlib import Path
from wtal.core.io import directory_lock
with directory_lock(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(600)
"""


def test_lock_excludes_other_processes_and_ends_when_they_are_killed(tmp_path):
    folder = tmp_path / "new" / "run"
    with subprocess.Popen([sys.executable, "-c", HOLD_LOCK, folder], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "locked\n"
        with raises(DataError, code="locked", path=folder), directory_lock(folder):  # does not wait for the other
            pass
        other.send_signal(signal.SIGKILL)
    with directory_lock(folder):
        assert names(folder) == [LOCK_NAME]
        with raises(DataError, code="locked", path=folder), directory_lock(folder):
            pass
    with directory_lock(folder):
        pass


def test_lock_reports_unusable_folder(tmp_path):
    write_text(tmp_path / "a", "")
    with raises(DataError, code="not-a-directory", path=tmp_path / "a"), directory_lock(tmp_path / "a"):
        pass
    (tmp_path / LOCK_NAME).mkdir()
    with raises(DataError, code="not-a-file", path=tmp_path), directory_lock(tmp_path):
        pass


def test_lock_is_skipped_on_file_system_without_locks(tmp_path, monkeypatch):
    filelock = pytest.importorskip("filelock")

    def acquire(self):
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
    with directory_lock(tmp_path / "a"):
        write_text(tmp_path / "a" / "b", "written")
