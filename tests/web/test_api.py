"""The web page's server: nothing outside its folder, nobody it does not know, nothing lost."""

import base64
import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests.helpers.server import Served, served
from wtal.cli import app
from wtal.core.errors import DataError
from wtal.core.io import read_json, write_json
from wtal.core.structures import Segment
from wtal.data.annotations.convert import read_annotations
from wtal.data.annotations.registry import FORMATS
from wtal.data.layouts.activitynet import read_proposals
from wtal.data.tags import read_tags
from wtal.web import videos
from wtal.web.auth import is_everywhere, is_loopback
from wtal.web.corrections import CorrectionRecord, Corrections, OutdatedError, checked, moves
from wtal.web.jobs import Jobs, Task, WorkerProgress, _outcome
from wtal.web.predictions import StoredPrediction, prediction_path, read_prediction, write_prediction
from wtal.web.server import _listening, token_of
from wtal.web.videos import File, Library, MissingError, checked_name, key_of

FILM = "film 3.mp4"


@pytest.fixture(scope="module")
def films(own_videos, tmp_path_factory) -> Path:
    """A folder of videos of our own, with one in a folder in it."""
    folder = tmp_path_factory.mktemp("web") / "films"
    shutil.copytree(own_videos / "videos", folder)
    (folder / "day 1").mkdir()
    (folder / "film 1.mp4").rename(folder / "day 1" / "film 1.mp4")
    return folder


@pytest.fixture(scope="module")
def page(own_videos, films) -> Iterator[Served]:
    """A server on them that all tests here share."""
    with served(own_videos / "run", films, films / "timelines", most=1 << 20) as page:
        yield page


# ---- what the page is told


def test_the_timeline_is_that_of_predict(page, own_videos, films, tmp_path):
    key = page.found(FILM)
    done = CliRunner().invoke(
        app, ["predict", str(films / FILM), "--model", str(own_videos / "run"), "--out", str(tmp_path / "p.json")]
    )
    assert done.exit_code == 0
    told = page.get(f"/api/videos/{key}")
    assert told["duration"] == pytest.approx(6) and told["corrections"] is None
    exported = page.get(f"/api/videos/{key}/export/results?least=-1")
    (tmp_path / "all.json").write_bytes(base64.b64decode(exported["content"]))
    tidied = read_proposals(tmp_path / "all.json")["film 3"]
    found = read_proposals(tmp_path / "p.json")["film 3"]
    assert tidied and {p.score for p in tidied} <= {p.score for p in found}
    assert all(a.end <= b.start for a, b in pairwise(tidied)), "none over another"
    surest = max(p.score for p in found)
    assert page.videos()[FILM]["labels"] == list(
        dict.fromkeys(p.label for p in tidied if p.score >= told["thresholds"][p.label])
    )
    assert told["thresholds"] == pytest.approx(dict.fromkeys(("left", "right"), 0.4 * surest))


def test_the_list_names_what_is_in_the_folder_and_changes_its_tag_only_when_it_changes(page):
    assert {FILM, "day 1/film 1.mp4"} <= page.videos().keys()
    answer = page.ask("GET", "/api/videos")
    again = page.ask("GET", "/api/videos", headers={"If-None-Match": answer.headers["etag"]})
    assert again.status == 304 and not again.body


@pytest.mark.parametrize("known", FORMATS.values(), ids=FORMATS)
def test_every_format_is_taken_along_and_read_back(page, tmp_path, known):
    key = page.found(FILM)
    segments = [
        {"label": "left", "start": 1.0, "end": 2.5},
        {"label": "größer", "start": 3.2, "end": 4.0, "score": 0.5},
    ]
    revision = page.get(f"/api/videos/{key}")["corrections"]
    saved = page.send(
        "PUT",
        f"/api/videos/{key}/corrections",
        {"revision": revision["revision"] if revision else 0, "segments": segments},
    )
    assert saved.status == 200
    told = page.get(f"/api/videos/{key}/export/{known.name}")
    assert told["file"] == f"film 3{'' if known.single_video else f' {known.name}'}{known.extension}"
    (tmp_path / told["file"]).write_bytes(base64.b64decode(told["content"]))
    read, found = read_annotations(tmp_path / told["file"], known.name, 10.0 if known.needs_fps else None)
    assert found is known
    (timeline,) = read.annotations
    assert [(s.label, s.start, s.end) for s in timeline.segments] == [("left", 1.0, 2.5), ("größer", 3.2, 4.0)]
    assert timeline.file_name == (FILM if known.name in ("elan", "via", "labelstudio") else "")
    expected = {"activitynet": ["scores are removed"], "elan": ["video durations are removed"]}
    assert told["remarks"] == expected.get(known.name, told["remarks"])
    page.ask("DELETE", f"/api/videos/{key}/corrections?revision={saved.json['revision']}")
    assert page.get(f"/api/videos/{key}")["corrections"] is None


def test_corrections_become_tags_for_the_next_training(page, films, tmp_path):
    key = page.videos()["day 1/film 1.mp4"]["key"]
    segments = [{"label": "wave", "start": 0.25, "end": 1}, {"label": "wave", "start": 2, "end": 3.5}]
    saved = page.send("PUT", f"/api/videos/{key}/corrections", {"revision": 0, "segments": segments})
    assert saved.status == 200
    assert (films / "timelines" / "tags.csv").read_bytes() == page.ask("GET", "/api/tags.csv").body
    done = CliRunner().invoke(
        app,
        ["init", str(tmp_path / "next"), "--videos", str(films), "--tags", str(films / "timelines" / "tags.csv")],
    )
    assert done.exit_code == 0 and "1 videos, 1 classes: wave" in done.output, done.output
    page.ask("DELETE", f"/api/videos/{key}/corrections?revision={saved.json['revision']}")


# ---- nothing but what is in the folder


def test_no_path_leads_out(page):
    for path in (
        "/api/videos/../../etc/passwd/file",
        "/api/videos/%2e%2e%2f%2e%2e%2fetc%2fpasswd/file",
        "/api/videos//etc/passwd/file",
        f"/api/videos/{key_of('../run/model.safetensors')}/file",
        "/static/../desk.py",
        "/static/%2e%2e/desk.py",
        "/static/..%2fdesk.py",
        "/static//etc/passwd",
        "/api/videos/nobody",
        "/openapi.json",
        "/docs",
    ):
        answer = page.ask("GET", path)
        assert answer.status in (400, 404) and "error" in answer.json, (path, answer)


def test_links_that_lead_out_are_not_there(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.mp4").write_bytes(b"not yours")
    (tmp_path / "in" / "out.mp4").symlink_to(tmp_path / "secret.mp4")
    (tmp_path / "in" / "folder").symlink_to(tmp_path)
    (tmp_path / "in" / "own.mp4").write_bytes(b"a film")
    (tmp_path / "in" / "again.mp4").symlink_to(tmp_path / "in" / "own.mp4")
    (tmp_path / "in" / ".hidden.mp4").write_bytes(b"a film")
    os.mkfifo(tmp_path / "in" / "pipe.mp4")
    library = Library(tmp_path / "in")
    files = {file.name: file for file in library.files().values()}
    assert files.keys() == {"own.mp4", "again.mp4"}
    (tmp_path / "in" / "own.mp4").unlink()
    (tmp_path / "in" / "own.mp4").symlink_to(tmp_path / "secret.mp4")
    for name in files:  # became, or leads to, a link out since it was seen
        with pytest.raises(MissingError, match="moved or deleted"):
            library.path(files[name])


def test_what_fails_does_not_say_where_the_store_lies(own_videos, films, tmp_path, capfd):
    with served(own_videos / "run", films, tmp_path) as page:
        key = page.videos()[FILM]["key"]
        (tmp_path / "corrections").rmdir()
        (tmp_path / "corrections").write_text("")
        answer = page.send("PUT", f"/api/videos/{key}/corrections", {"revision": 0, "segments": []})
    assert answer.json["error"].startswith(f"corrections/{key}.json: ")
    assert "Traceback" not in capfd.readouterr().err


def test_an_upload_does_not_follow_a_link_out(own_videos, tmp_path):
    for name in ("films", "out"):
        (tmp_path / name).mkdir()
    (tmp_path / "films" / "uploads").symlink_to(tmp_path / "out")
    with served(own_videos / "run", tmp_path / "films", tmp_path / "store") as page:
        answer = page.ask("PUT", "/api/uploads/a.mp4", b"a film")
    assert answer.status == 403 and "by hand" in answer.json["error"]
    assert not list((tmp_path / "out").iterdir())


def test_a_video_comes_in_ranges(page, films):
    key, whole = page.videos()[FILM]["key"], (films / FILM).read_bytes()
    part = page.ask("GET", f"/api/videos/{key}/file", headers={"Range": "bytes=5-9"})
    assert part.status == 206 and part.body == whole[5:10]
    assert page.ask("GET", f"/api/videos/{key}/file", headers={"Range": "bytes=-7"}).body == whole[-7:]
    for beyond in (f"bytes={len(whole)}-", "bytes=99999999999-", "bytes=9-5", "bytes=a-b"):
        answer = page.ask("GET", f"/api/videos/{key}/file", headers={"Range": beyond})
        assert answer.status in (400, 416), beyond
    assert page.ask("GET", f"/api/videos/{key}/file").body == whole


def test_a_video_that_becomes_shorter_while_it_is_sent_is_told_in_a_line(page, films, caplog):
    film = films / "shrinks.mp4"
    film.write_bytes(bytes(32 << 20))
    page.desk.library.look_again()
    path = f"/api/videos/{page.videos()[film.name]['key']}/file"
    with socket.create_connection(("127.0.0.1", page.port)) as line:
        line.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\n\r\n".encode())
        line.recv(100)
        os.truncate(film, 1000)
        while line.recv(1 << 20):  # to the end: the server cuts the line
            pass
    film.unlink()
    wait_for(lambda: caplog.records)
    (said,) = caplog.records
    assert said.message.startswith(f"GET {path} broke off: ") and not said.exc_info


@pytest.mark.parametrize("method, path", [("GET", "/nothing"), ("POST", "/api/videos"), ("GET", "/static/app.py")])
def test_what_is_not_there_is_said_in_a_sentence(page, method, path):
    answer = page.ask(method, path)
    assert answer.status in (404, 405) and len(answer.json["error"].split()) > 4


# ---- nobody but its own page


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:80"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "127.0.0.1@evil.example"},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_a_forged_host_or_origin_gets_nothing(page, headers):
    for method, path in (("GET", "/api/videos"), ("POST", "/api/videos/x/job"), ("PUT", "/api/uploads/a.mp4")):
        answer = page.ask(method, path, headers=headers)
        assert answer.status == 403 and "address" in answer.json["error"]


def test_it_knows_itself_by_the_names_of_this_machine(page):
    for name in (f"localhost:{page.port}", f"127.0.0.1:{page.port}", f"[::1]:{page.port}"):
        headers = {"Host": name, "Origin": f"http://{name}", "Sec-Fetch-Site": "same-origin"}
        assert page.ask("GET", "/api/desk", headers=headers).status == 200
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.8.9.1", "::1")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.0.1", "localhost.evil.example", "")))


def test_every_answer_tells_the_browser_to_be_strict(page):
    for path in ("/", "/api/desk", "/nothing"):
        headers = page.ask("GET", path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


def test_with_a_token_only_those_who_bring_it(own_videos, films, tmp_path):
    token = token_of(tmp_path)
    assert token == token_of(tmp_path) and len(token) >= 32 and (tmp_path / "token").stat().st_mode & 0o077 == 0
    with served(own_videos / "run", films, tmp_path / "store", token) as page:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Cookie": "wtal=wrong"}, {"Cookie": 'wtal="'}):
            for path in ("/", "/api/videos", "/?token=wrong", f"/api/videos?token={token}"):
                assert page.ask("GET", path, headers=headers).status == 401, (path, headers)
        first = page.ask("GET", f"/?token={token}")
        assert first.status == 303 and first.headers["location"] == "/"
        cookie = first.headers["set-cookie"]
        name = cookie.partition("=")[0]
        assert page.ask("GET", "/", headers={"Cookie": f'{name}="'}).status == 401
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
        for headers in ({"Cookie": cookie.split(";")[0]}, {"Authorization": f"Bearer {token}"}):
            assert page.ask("GET", "/api/videos", headers=headers | {"Host": "my.own.name:80"}).status == 200
            assert page.ask("GET", "/api/videos", headers=headers | {"Origin": "http://evil.example"}).status == 403


@pytest.mark.parametrize("label", ["a\0", "a\rb", "1 to 2", "10-20", "a[b]", "a;b"])
def test_no_label_spoils_the_table_of_tags(label):
    with pytest.raises(DataError, match="cannot be a label in a table of tags; leave out"):
        checked([{"label": label, "start": 0, "end": 1}])


def test_a_full_disk_is_worth_another_try(page, monkeypatch):
    def full(*asked: object) -> None:
        raise DataError("it is full") from OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("wtal.web.corrections.write_json", full)
    path = f"/api/videos/{page.videos()[FILM]['key']}/corrections"
    assert page.send("PUT", path, {"revision": 0, "segments": []}).status == 503


def test_what_is_our_fault_keeps_its_traceback(page, monkeypatch, caplog):
    def wrong(*asked: object) -> None:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(type(page.desk), "about", wrong)
    answer = page.ask("GET", "/api/desk")
    assert answer.status == 500 and "see what it prints" in answer.json["error"]
    wait_for(lambda: caplog.records)
    assert caplog.records[0].exc_info[0] is ZeroDivisionError


def test_many_are_asked_for_at_once_and_who_is_gone_is_left_out(page, monkeypatch):
    asked = []
    monkeypatch.setattr(Jobs, "ask", lambda self, *keys: asked.append(keys))
    key = page.videos()[FILM]["key"]
    assert page.send("POST", "/api/jobs", {"keys": ["nobody", key]}).status == 202
    assert asked == [(key,)]
    for wrong in ([], {"keys": "a"}, {"keys": [1]}):
        assert page.send("POST", "/api/jobs", wrong).status == 400


def test_a_folder_whose_name_is_no_text_is_served(own_videos, tmp_path):
    films = Path(os.fsdecode(os.fsencode(tmp_path) + b"/films\xff"))
    films.mkdir()
    (films / "a\rb.mp4").write_bytes(b"no table of tags could name it")
    with served(own_videos / "run", films, tmp_path / "store") as page:
        assert page.get("/api/desk")["folder"] == "films?" and page.videos() == {}


def test_an_upload_that_crawls_is_given_up(page, films, monkeypatch):
    monkeypatch.setattr(videos, "IDLE_TIMEOUT", 0.2)

    def crawling() -> Iterator[bytes]:
        for _ in range(30):
            time.sleep(0.1)
            yield b"x"

    try:
        answer = page.ask("PUT", "/api/uploads/slow.mp4", crawling())
    except OSError:  # the server has answered and gone before all is sent
        return
    assert answer.status == 400 and "bytes a second" in answer.json["error"]


def test_all_addresses_are_reached_by_both_families():
    assert all(map(is_everywhere, ("0.0.0.0", "::", "::0"))) and not any(map(is_everywhere, ("127.0.0.1", "a", "")))
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    with _listening("::", 0) as listening:
        socket.create_connection(("127.0.0.1", listening.getsockname()[1])).close()


# ---- uploads


def test_an_upload_is_worked_on_and_never_takes_the_place_of_another(page, films):
    film = (films / FILM).read_bytes()
    first, second = (page.ask("PUT", "/api/uploads/mine%20%26%20yours.mp4", film) for _ in range(2))
    assert (first.status, second.status) == (201, 201) and first.json["key"] != second.json["key"]
    assert second.json["name"] == "mine & yours 2.mp4"
    page.wait("uploads/mine & yours.mp4", "done")
    page.wait("uploads/mine & yours 2.mp4", "done")
    assert {path.name for path in (films / "uploads").iterdir()} == {"mine & yours.mp4", "mine & yours 2.mp4"}


def test_an_upload_that_is_no_video_says_so(page):
    assert page.ask("PUT", "/api/uploads/no%20film.mp4", b"just text" * 99).status == 201
    video = page.wait("uploads/no film.mp4", "failed")
    assert video["reason"] == "no film.mp4: is text, not a video; name the video itself"


def endless(until: list[int]) -> Iterator[bytes]:
    while True:
        until.append(1)
        yield bytes(1 << 16)


def test_uploads_that_are_too_much_are_refused(page, films):
    before = sorted((films / "uploads").glob("*"))
    with socket.create_connection(("127.0.0.1", page.port)) as line:  # refused by its length, before it comes
        line.sendall(b"PUT /api/uploads/big.mp4 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048577\r\n\r\n")
        assert line.recv(99).startswith(b"HTTP/1.1 413")
    sent: list[int] = []
    with pytest.raises(OSError):  # the server has answered and gone before all is sent
        raise_unless_413(page, sent)
    assert len(sent) < 1000
    assert page.ask("PUT", "/api/uploads/empty.mp4", b"").status == 400
    assert sorted(p for p in (films / "uploads").glob("*")) == before and not list((films / "uploads").glob(".*"))


def raise_unless_413(page: Served, sent: list[int]) -> None:
    assert page.ask("PUT", "/api/uploads/endless.mp4", endless(sent)).status == 413
    raise OSError


def test_an_upload_that_breaks_off_or_stops_leaves_nothing(page, films, monkeypatch):
    monkeypatch.setattr(videos, "IDLE_TIMEOUT", 0.2)
    before = sorted((films / "uploads").glob("*"))
    head = b"PUT /api/uploads/cut.mp4 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", page.port)) as line:
        line.sendall(head + b"half")
        assert b"nothing came for" in b"".join(iter(partial(line.recv, 4096), b""))
    with socket.create_connection(("127.0.0.1", page.port)) as line:
        line.sendall(head + b"half")
    until = time.monotonic() + 10
    while list((films / "uploads").glob(".*")) and time.monotonic() < until:
        time.sleep(0.05)
    assert not list((films / "uploads").glob(".*")) and sorted((films / "uploads").glob("*")) == before


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../a.mp4",
        "a/b.mp4",
        "a\\b.mp4",
        ".a.mp4",
        "a\0.mp4",
        "a\n.mp4",
        "a.exe",
        "a",
        "x" * 300 + ".mp4",
    ],
)
def test_names_that_no_upload_may_have(page, name):
    with pytest.raises(DataError):
        checked_name(name)
    answer = page.ask("PUT", f"/api/uploads/{''.join(f'%{b:02x}' for b in name.encode())}", b"film")
    assert answer.status in (400, 404, 405) and "error" in answer.json


# ---- corrections


def test_who_did_not_see_the_last_save_does_not_overwrite_it(page):
    key = page.videos()["film 0.mp4"]["key"]
    one = page.send("PUT", f"/api/videos/{key}/corrections", {"revision": 0, "segments": []})
    stale = page.send("PUT", f"/api/videos/{key}/corrections", {"revision": 0, "segments": []})
    assert one.status == 200 and stale.status == 409
    assert stale.json["corrections"]["revision"] == one.json["revision"]
    assert page.ask("DELETE", f"/api/videos/{key}/corrections?revision=1").status == 409
    assert page.videos()["film 0.mp4"]["corrected"] is True
    assert page.ask("DELETE", f"/api/videos/{key}/corrections?revision={one.json['revision']}").status == 200
    again = page.send("PUT", f"/api/videos/{key}/corrections", {"revision": 0, "segments": []})
    assert again.json["revision"] != one.json["revision"], "so that a save from before the discard is seen"
    page.ask("DELETE", f"/api/videos/{key}/corrections?revision={again.json['revision']}")


@pytest.mark.parametrize("key", ["%00", "a" * 300, "..%5Cjobs"])
def test_to_discard_what_is_not_there_touches_no_file(page, key):
    assert page.ask("DELETE", f"/api/videos/{key}/corrections?revision=0").status == 404


@pytest.mark.parametrize(
    "body",
    [
        b'{"revision": false, "segments": []}',
        b"",
        b"{",
        b"[]",
        b"[" * 100_000,
        b'{"revision": "1", "segments": []}',
        b'{"revision": 0}',
        b'{"revision": 0, "segments": [1]}',
        b'{"revision": 0, "segments": [{"label": "a", "start": NaN, "end": 2}]}',
        b'{"revision": 0, "segments": [{"label": "a", "start": 1, "end": 1e999}]}',
        b'{"revision": 0, "segments": [{"label": "a", "start": 3, "end": 2}]}',
        b'{"revision": 0, "segments": [{"label": "a", "start": 2, "end": 2}]}',
        b'{"revision": 0, "segments": [{"label": " ", "start": 1, "end": 2}]}',
        b'{"revision": 0, "segments": [{"label": "a;b", "start": 1, "end": 2}]}',
        b'{"revision": 0, "segments": [{"label": "a[1", "start": 1, "end": 2}]}',
        b'{"revision": 0, "segments": [{"label": "\\ud800", "start": 1, "end": 2}]}',
        b'{"revision": 0, "segments": [{"label": "a", "start": -1, "end": 2}]}',
    ],
    ids=lambda body: body[:60].decode(),
)
def test_what_is_no_timeline_is_not_saved(page, body):
    key = page.videos()["film 0.mp4"]["key"]
    answer = page.ask("PUT", f"/api/videos/{key}/corrections", body)
    assert answer.status == 400 and len(answer.json["error"].splitlines()) == 1
    assert page.get(f"/api/videos/{key}")["corrections"] is None


def test_a_timeline_that_is_too_long_is_not_even_read(page):
    key = page.videos()["film 0.mp4"]["key"]
    with pytest.raises(OSError):
        assert page.ask("PUT", f"/api/videos/{key}/corrections", (bytes(1 << 20) for _ in range(64))).status == 413
        raise OSError
    with pytest.raises(DataError, match="too many"):
        checked([{"label": "a", "start": 0, "end": 1}] * 20_001)


labels = st.text(st.characters(blacklist_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1, max_size=12)
moments = st.integers(0, 10**7).map(lambda ms: ms / 1000)


@given(st.lists(st.tuples(labels, moments, moments.filter(bool)), max_size=8))
@hypothesis(max_examples=60, deadline=None)
def test_what_is_saved_is_there_tomorrow_and_reads_as_tags(tmp_path_factory, rows):
    told = [{"label": label, "start": start, "end": start + length} for label, start, length in rows]
    try:
        segments = checked(told)
    except DataError:
        return
    place = tmp_path_factory.mktemp("corrections")
    saved = Corrections(place, place / "tags.csv").save("key", "a film.mp4", segments, 0)
    assert Corrections(place, place / "tags.csv").of("key") == saved
    assert sorted(saved.segments) == sorted(segments)
    (video,) = read_tags(place / "tags.csv")
    assert video.id == "a film.mp4" and set(video.labels) == {s.label for s in segments}
    got = sorted((a.label, a.start, a.end) for a in video.segments)
    wanted = sorted((s.label, round(s.start, 3), round(s.end, 3)) for s in segments)
    assert got == pytest.approx(wanted) if not got else [g[0] for g in got] == [w[0] for w in wanted]
    assert np.allclose([g[1:] for g in got], [w[1:] for w in wanted], atol=2e-3)


def test_ten_thousand_segments_are_saved(tmp_path):
    segments = [Segment(f"c{i % 7}", i / 10, i / 10 + 3, None) for i in range(10_000)]
    corrections = Corrections(tmp_path, tmp_path / "tags.csv")
    saved = corrections.save("k", "v.mp4", segments, 0)
    with pytest.raises(OutdatedError):
        corrections.discard("k", 0)
    assert Corrections(tmp_path, tmp_path / "tags.csv").of("k").segments == saved.segments
    (video,) = read_tags(tmp_path / "tags.csv")
    assert len(video.segments) == 10_000


def test_what_was_corrected_follows_a_video_that_is_moved(tmp_path):
    films, kept = tmp_path / "films", tmp_path / "corrections"
    kept.mkdir()
    (films / "new").mkdir(parents=True)
    for name, content in (("a.mp4", b"a" * 200_000), ("b.mp4", b"b" * 200_000), (" c.mp4", b"c")):
        (films / name).write_bytes(content)

    def opened() -> tuple[Library, Corrections]:
        library, corrections = Library(films), Corrections(kept, tmp_path / "tags.csv")
        corrections.follow(library.files(), library.fingerprint)
        return library, corrections

    library, corrections = opened()
    for file in library.files().values():
        seen = library.fingerprint(file)
        corrections.save(file.key, file.name, [Segment(file.name.strip(), 0, 1, None)], 0, seen)
    (films / "a.mp4").rename(films / "new" / "moved.mp4")
    shutil.copy(films / "b.mp4", films / "copy.mp4")
    (films / "b.mp4").write_bytes(b"made again, so it is the one that was corrected")
    (films / " c.mp4").unlink()
    for _ in range(2):  # the second time from disk
        library, corrections = opened()
        said = {file.name: corrections.of(key) for key, file in library.files().items()}
        assert {name: saved.segments[0].label for name, saved in said.items() if saved} == {
            "new/moved.mp4": "a.mp4",
            "b.mp4": "b.mp4",
        }
        assert said["new/moved.mp4"].video == "new/moved.mp4"
        assert corrections.of(key_of(" c.mp4")).video == " c.mp4", "it may come back"
    assert {video.id for video in read_tags(tmp_path / "tags.csv")} == {"new/moved.mp4", "b.mp4", "c.mp4"}


def test_the_list_shows_what_was_corrected_where_the_video_is_now(page, films):
    shutil.copy(films / FILM, films / "before.mp4")
    page.desk.library.look_again()
    told = {"revision": 0, "segments": [{"label": "wave", "start": 0, "end": 1}]}
    assert page.send("PUT", f"/api/videos/{key_of('before.mp4')}/corrections", told).status == 200
    (films / "before.mp4").rename(films / "after.mp4")
    page.desk.library.look_again()
    assert page.videos()["after.mp4"]["labels"] == ["wave"]
    revision = page.get(f"/api/videos/{key_of('after.mp4')}")["corrections"]["revision"]
    assert page.ask("DELETE", f"/api/videos/{key_of('before.mp4')}/job").status == 404
    page.ask("DELETE", f"/api/videos/{key_of('after.mp4')}/corrections?revision={revision}")
    (films / "after.mp4").unlink()


def print_of(file: File) -> str:
    """What tests take for a fingerprint: `changed` stands for the content."""
    return f"{file.size} {file.changed}"


@given(st.lists(st.integers(0, 9), min_size=1, max_size=7, unique=True), st.data())
@hypothesis(max_examples=200, deadline=None)
def test_after_any_renaming_each_correction_is_at_its_video(places, data):
    """Chains, swaps and circles too."""
    before = {place: File(f"{place}.mp4", 7, content) for content, place in enumerate(places)}
    after = data.draw(st.permutations(range(12)).map(lambda order: order[: len(places)]))
    files = {place: File(f"{place}.mp4", 7, content) for content, place in enumerate(after)}
    saved = {file.key: CorrectionRecord(file.name, 1, "now", (), print_of(file)) for file in before.values()}
    found = moves(saved, by_key(files), set(before.values()), print_of)
    now = {found.get(key, key): one.fingerprint for key, one in saved.items()}
    assert now == {file.key: print_of(file) for file in files.values()}


def by_key(files: dict[int, File]) -> dict[str, File]:
    return {file.key: file for file in files.values()}


def test_a_copy_is_no_move_and_the_later_correction_goes_first():
    a, copy, new = File("a.mp4", 7, 1), File("copy.mp4", 7, 1), File("new.mp4", 7, 1)
    other = File("a.mp4", 7, 2)  # made again, under the same name
    one = {a.key: CorrectionRecord("a.mp4", 5, "now", (), print_of(a))}
    files = {file.key: file for file in (a, copy)}
    assert moves(one, files, None, print_of) == {}
    assert moves(one, {copy.key: copy, other.key: other}, {a, copy}, print_of) == {}
    assert moves(one, {copy.key: copy, other.key: other}, None, print_of) == {}
    assert moves(one, {copy.key: copy}, {a, copy}, print_of) == {}
    assert moves(one, {copy.key: copy}, None, print_of) == {a.key: copy.key}
    assert moves(one, {copy.key: copy, new.key: new}, {a, copy}, print_of) == {a.key: new.key}
    older = one | {copy.key: CorrectionRecord("copy.mp4", 3, "before", (), print_of(a))}
    assert moves(older, {new.key: new}, {a, copy}, print_of) == {a.key: new.key}
    corrected = one | {copy.key: CorrectionRecord("copy.mp4", 9, "now", (), print_of(a))}
    assert moves(corrected, files, {a, copy}, print_of) == {}
    kept = one | {new.key: CorrectionRecord("new.mp4", 9, "now", (), "")}
    assert moves(kept, {new.key: new}, {a}, print_of) == {}, "what has a correction of its own is handed none"
    unreadable = moves(one, {a.key: a, new.key: new}, {a}, lambda file: "" if file == a else print_of(file))
    assert unreadable == {}


def swapped(tmp_path: Path) -> tuple[Library, Corrections]:
    """Two videos that were corrected, and changed their names since."""
    films, kept = tmp_path / "films", tmp_path / "corrections"
    for folder in (films, kept):
        folder.mkdir()
    for name in "ab":
        (films / f"{name}.mp4").write_bytes(name.encode() * 9)
    library, corrections = Library(films), Corrections(kept, tmp_path / "tags.csv")
    for file in library.files().values():
        corrections.save(file.key, file.name, [Segment(file.name[0], 0, 1, None)], 0, library.fingerprint(file))
    corrections.follow(library.files(), library.fingerprint)
    for old, new in (("a", "c"), ("b", "a"), ("c", "b")):
        (films / f"{old}.mp4").rename(films / f"{new}.mp4")
    library.look_again()
    return library, corrections


def labels_at(corrections: Corrections) -> dict[str, str]:
    return {name: corrections.of(key_of(f"{name}.mp4")).segments[0].label for name in "ab"}


def test_a_swap_that_is_broken_off_is_ended_by_whoever_writes_next(tmp_path, monkeypatch):
    library, corrections = swapped(tmp_path)
    written = []

    def full(path: Path, value: object) -> None:
        if len(written) == 2:
            raise DataError("the disk is full")
        written.append(path)
        write_json(path, value)

    monkeypatch.setattr("wtal.web.corrections.write_json", full)
    with pytest.raises(DataError):
        corrections.follow(library.files(), library.fingerprint)
    assert labels_at(corrections) == {"a": "b", "b": "a"}
    with pytest.raises(DataError):
        corrections.save(key_of("a.mp4"), "a.mp4", [], corrections.of(key_of("a.mp4")).revision)
    monkeypatch.undo()
    again = Corrections(tmp_path / "corrections", tmp_path / "tags.csv")
    assert labels_at(again) == {"a": "b", "b": "a"}
    corrections.save(key_of("a.mp4"), "a.mp4", [Segment("c", 0, 1, None)], corrections.of(key_of("a.mp4")).revision)
    again = Corrections(tmp_path / "corrections", tmp_path / "tags.csv")
    assert labels_at(again) == {"a": "c", "b": "a"}
    assert not (tmp_path / "corrections" / "moving.json").exists()


@pytest.mark.parametrize("meanwhile", ["save", "discard"])
def test_who_saves_while_videos_change_places_is_not_overwritten(tmp_path, meanwhile):
    library, corrections = swapped(tmp_path)
    key = key_of("a.mp4")
    late = []

    def fingerprint(file: File) -> str:
        if not late:
            late.append(corrections.of(key).revision)
            if meanwhile == "save":
                corrections.save(key, "a.mp4", [Segment("late", 0, 1, None)], late[0])
            else:
                corrections.discard(key, late[0])
        return library.fingerprint(file)

    corrections.follow(library.files(), fingerprint)
    assert (corrections.of(key).segments[0].label if meanwhile == "save" else corrections.of(key)) in ("late", None)
    corrections.follow(library.files(), library.fingerprint)
    now = {one.segments[0].label for name in "ab" if (one := corrections.of(key_of(f"{name}.mp4")))}
    assert now == ({"b", "late"} if meanwhile == "save" else {"b"})


@pytest.mark.parametrize(
    "journal",
    ['{"from": [1], "to": {}}', '{"from": [], "to": []}', '{"from": ["../a"], "to": {}}', "[]", "{", '{"from": 1}'],
)
def test_a_damaged_journal_is_a_sentence(tmp_path, journal):
    (tmp_path / "moving.json").write_text(journal)
    with pytest.raises(DataError, match="is not what the page saves; move it elsewhere to go on"):
        Corrections(tmp_path, tmp_path / "tags.csv")


def test_a_server_killed_in_a_move_has_the_table_right_again(tmp_path, monkeypatch):
    library, corrections = swapped(tmp_path)
    monkeypatch.setattr(Corrections, "_finish_moving", lambda self: False)
    monkeypatch.setattr(Corrections, "_write_tags", lambda self: None)
    corrections.follow(library.files(), library.fingerprint)
    monkeypatch.undo()
    before = (tmp_path / "tags.csv").read_text()
    again = Corrections(tmp_path / "corrections", tmp_path / "tags.csv")
    assert labels_at(again) == {"a": "b", "b": "a"}
    assert (tmp_path / "tags.csv").read_text() == again.tags() != before


def test_a_name_that_is_taken_again_leads_nowhere_else(tmp_path):
    library = Library(tmp_path)

    def renamed(old: str, new: str) -> dict[str, str]:
        (tmp_path / f"{old}.mp4").rename(tmp_path / f"{new}.mp4")
        library.look_again()
        library.files()
        return {names[key]: names[now] for key, now in library.moved.items()}

    for size, name in enumerate("ab", start=1):
        (tmp_path / f"{name}.mp4").write_bytes(b"x" * size)
    names = {key_of(f"{name}.mp4"): name for name in "abt"}
    library.files()
    assert renamed("a", "t") == {"a": "t"}
    assert renamed("b", "a") == {"b": "a"}
    assert renamed("t", "b") == {"t": "b"}


def test_a_fingerprint_is_of_the_state_that_it_is_asked_of(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"one")
    library = Library(tmp_path)
    (file,) = library.files().values()
    (tmp_path / "a.mp4").write_bytes(b"another")
    assert library.fingerprint(file) == "" != library.fingerprint(library.now(file.key))


def test_a_folder_that_is_renamed_writes_the_table_once(tmp_path, monkeypatch):
    films, kept = tmp_path / "films", tmp_path / "corrections"
    kept.mkdir()
    (films / "old").mkdir(parents=True)
    library, corrections = Library(films), Corrections(kept, tmp_path / "tags.csv")
    for number in range(50):
        (films / "old" / f"{number}.mp4").write_bytes(f"{number:9}".encode())
    for file in library.files().values():
        corrections.save(file.key, file.name, [], 0, library.fingerprint(file))
    corrections.follow(library.files(), library.fingerprint)
    (films / "old").rename(films / "new")
    library.look_again()
    written = []
    monkeypatch.setattr("wtal.web.corrections.write_text", lambda *asked: written.append(asked))
    corrections.follow(library.files(), library.fingerprint)
    assert len(written) == 1
    assert all(corrections.of(key).video == file.name for key, file in library.files().items())
    assert set(library.moved.values()) == set(library.files())
    (films / "new").rename(films / "newer")
    library.look_again()
    library.files()
    assert {library.moved[key_of(f"old/{number}.mp4")] for number in range(50)} == set(library.files())


def test_what_is_saved_of_a_video_that_just_went_is_refused_and_nothing_known_is_forgotten(page, films):
    shutil.copy(films / FILM, films / "goes.mp4")
    page.desk.library.look_again()
    path = f"/api/videos/{page.videos()['goes.mp4']['key']}/corrections"
    (films / "goes.mp4").rename(films / "away.mp4")
    assert page.send("PUT", path, {"revision": 0, "segments": [], "file": "1 1"}).status == 404
    (films / "away.mp4").rename(films / "goes.mp4")
    other = page.send("PUT", path, {"revision": 0, "segments": [], "file": "1 1"})
    assert other.status == 404 and "is another file by now" in other.json["error"]
    saved = page.send("PUT", path, {"revision": 0, "segments": []})
    assert saved.status == 200 and page.desk.corrections.of(key_of("goes.mp4")).fingerprint
    (films / "goes.mp4").rename(films / "went.mp4")
    page.desk.library.look_again()
    assert page.videos()["went.mp4"]["corrected"]
    assert page.get("/api/videos")["moved"][key_of("goes.mp4")] == key_of("went.mp4")
    assert page.ask("DELETE", f"{path}?revision={saved.json['revision']}").status == 404, "it is not there any more"
    new = f"/api/videos/{key_of('went.mp4')}/corrections"
    assert not page.get(f"/api/videos/{key_of('went.mp4')}")["replaced"]
    (films / "went.mp4").write_bytes(b"another film")
    page.desk.library.look_again()
    assert page.get(f"/api/videos/{key_of('went.mp4')}")["replaced"]
    assert page.ask("DELETE", f"{new}?revision={saved.json['revision']}").status == 200
    (films / "went.mp4").unlink()


# ---- what was found


def test_findings_are_of_one_file_and_one_model(tmp_path):
    draw = np.random.default_rng(0)
    file = File("a.mp4", 3, 4)
    proposals = (Segment("b", 0.25, 1.5, 0.75), Segment("a", 1.0, 2.0, 1e-12))
    curves = np.arange(5) * 0.64, draw.random(4, np.float32), draw.random((4, 2)).astype(np.float16)
    found = StoredPrediction("a.mp4", "3 abc", 25.0, ("a", "b"), proposals, *curves)
    path = prediction_path(tmp_path, file, "m")
    path.parent.mkdir()
    assert read_prediction(path, file, str) is None
    write_prediction(path, found)
    back = read_prediction(path, file, str)
    assert (back.video, back.fps, back.classes, back.proposals) == ("a.mp4", 25.0, ("a", "b"), proposals)
    for one, other in zip(curves, (back.edges, back.attention, back.cas), strict=True):
        np.testing.assert_array_equal(one, other)
    others = File("a.mp4", 5, 4), File("a.mp4", 3, 5)
    assert (
        len(
            {
                prediction_path(tmp_path, file, "other"),
                path,
                *(prediction_path(tmp_path, one, "m") for one in others),
            }
        )
        == 4
    )
    moved = File("b.mp4", 3, 4)
    assert prediction_path(tmp_path, moved, "m") == path
    assert (
        read_prediction(path, moved, lambda _: "3 abc") is back
        and read_prediction(path, moved, lambda _: "3 x") is None
    )
    path.write_bytes(path.read_bytes()[:-9])
    assert read_prediction(path, file, str) is None, "damaged, so it is made again"


def test_whatever_goes_wrong_with_a_video_is_laid_to_it(tmp_path):
    task = Task(tmp_path / "a film.mp4", tmp_path / "found" / "key", "a film.mp4", "")
    for place in (task.path, task.out):

        def find(task: Task, say: object, place: Path = place) -> None:
            raise PermissionError(13, "Permission denied", str(place))

        told = _outcome(find, task, print)
        assert not told.done and "Permission denied" in told.reason and str(tmp_path) not in told.reason


def test_a_full_disk_is_said_of_findings_too(tmp_path, monkeypatch):
    def full(path: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    found = StoredPrediction(
        "", "", None, ("a",), (), np.arange(2) * 1.0, np.zeros(1, np.float32), np.zeros((1, 1), np.float16)
    )
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DataError, match="the disk is full; free some space"):
        write_prediction(tmp_path / "found", found)
    assert not list(tmp_path.iterdir())


# ---- the queue


class Hand:
    """A worker for tests, which does a step whenever it is let."""

    def __init__(self, seen: list[str], step: threading.Semaphore) -> None:
        self.seen, self.step, self.told = seen, step, []

    def give(self, task: Task) -> None:
        self.seen.append(task.path.name)
        self.told = [WorkerProgress(1.0, 2.0), WorkerProgress(done=True)]
        if task.path.name == "killer":
            self.told = []
        if task.path.name == "bad":
            self.told = [WorkerProgress(reason="bad: is no video")]

    def hear(self, seconds: float) -> WorkerProgress | None:
        if not self.told:
            raise EOFError
        return self.told.pop(0) if self.step.acquire(timeout=0.01) else None

    def end(self) -> int:
        return -signal.SIGKILL


def queue(tmp_path: Path) -> tuple[Jobs, list[str], threading.Semaphore]:
    seen: list[str] = []
    step = threading.Semaphore(0)

    def task(key: str) -> Task:
        if key == "gone":
            raise DataError("gone: was moved or deleted")
        return Task(Path(key), Path("out"), key, "")

    return Jobs(tmp_path / "jobs.json", task, lambda: Hand(seen, step)), seen, step


def wait_for(condition) -> None:
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


def test_the_queue_keeps_its_order_and_says_why_something_failed(tmp_path):
    jobs, seen, step = queue(tmp_path)
    for key in ("a", "bad", "gone", "killer", "b", "a"):
        jobs.ask(key)
    assert list(jobs.all()) == ["a", "bad", "gone", "killer", "b"]
    jobs.start()
    wait_for(lambda: jobs.all()["a"].state == "working")
    step.release()
    wait_for(lambda: jobs.all()["a"].second == 1.0)
    assert read_json(tmp_path / "jobs.json")[0]["state"] == "working"
    jobs.ask("a")  # it is being worked on
    for _ in range(9):
        step.release()
    wait_for(lambda: jobs.all().keys() == {"bad", "gone", "killer"})
    jobs.close()
    assert seen == ["a", "bad", "killer", "b"]
    assert jobs.all()["bad"].reason == "bad: is no video"
    assert "moved or deleted" in jobs.all()["gone"].reason
    assert "was killed (SIGKILL)" in jobs.all()["killer"].reason
    assert {job.state for job in jobs.all().values()} == {"failed"}


def test_the_queue_goes_on_after_a_restart(tmp_path):
    jobs, _, _ = queue(tmp_path)
    for key in ("a", "b", "c"):
        jobs.ask(key)
    jobs.start()
    wait_for(lambda: jobs.all()["a"].state == "working")
    jobs.cancel("b")
    jobs.close()
    again, seen, step = queue(tmp_path)
    assert {key: job.state for key, job in again.all().items()} == {
        "a": "waiting",
        "b": "cancelled",
        "c": "waiting",
    }
    again.start()
    for _ in range(8):
        step.release()
    wait_for(lambda: again.all().keys() == {"b"})
    again.close()
    assert seen == ["a", "c"]
    assert [job["key"] for job in read_json(tmp_path / "jobs.json")] == ["b"]


def test_a_cancelled_job_ends_at_once_and_can_be_asked_for_again(tmp_path):
    jobs, seen, step = queue(tmp_path)
    jobs.start()
    jobs.ask("a")
    wait_for(lambda: jobs.all()["a"].state == "working")
    jobs.cancel("a")
    wait_for(lambda: jobs.all()["a"].state == "cancelled")
    jobs.ask("a")
    step.release(4)  # the cancelled one may take some
    wait_for(lambda: not jobs.all())
    jobs.close()
    assert seen == ["a", "a"]


def test_a_disk_that_cannot_be_written_to_does_not_stop_the_queue(tmp_path):
    jobs, seen, step = queue(tmp_path)
    step.release(9)
    jobs.ask("a")
    (tmp_path / "jobs.json").unlink()
    (tmp_path / "jobs.json").mkdir()
    jobs.start()
    wait_for(lambda: not jobs.all())
    (tmp_path / "jobs.json").rmdir()
    jobs.ask("b")
    wait_for(lambda: not jobs.all())
    jobs.close()
    assert seen == ["a", "b"] and read_json(tmp_path / "jobs.json") == []


@pytest.mark.parametrize("value", [{}, [1], [{"key": "a"}], [{"key": "a", "state": "odd", "reason": ""}]])
def test_a_queue_that_nobody_wrote_is_refused(tmp_path, value):
    write_json(tmp_path / "jobs.json", value or {"a": 1})
    with pytest.raises(DataError, match="delete it to start with an empty queue"):
        queue(tmp_path)


# ---- the whole, under stress


def test_two_hundred_requests_at_once(page):
    key = page.found(FILM)
    paths = ["/", "/api/videos", f"/api/videos/{key}", f"/api/videos/{key}/file", f"/api/videos/{key}/export/elan"]
    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(lambda i: page.ask("GET", paths[i % len(paths)]), range(200)))
    assert {answer.status for answer in answers} == {200}


def test_saves_at_once_lose_nothing(page):
    key = page.videos()["film 2.mp4"]["key"]

    def save(i: int) -> bool:
        segments = [{"label": f"by {i}", "start": 1, "end": 2}]
        return page.send("PUT", f"/api/videos/{key}/corrections", {"revision": 0, "segments": segments}).status == 200

    with ThreadPoolExecutor(20) as pool:
        done = [i for i, ok in enumerate(pool.map(save, range(20))) if ok]
    assert len(done) == 1
    saved = page.get(f"/api/videos/{key}")["corrections"]
    assert saved["segments"][0]["label"] == f"by {done[0]}"
    page.ask("DELETE", f"/api/videos/{key}/corrections?revision={saved['revision']}")


def test_a_killed_worker_fails_its_job_alone_and_a_new_server_finds_all(own_videos, films, tmp_path):
    run, store = own_videos / "run", tmp_path / "store"
    with served(run, films, store) as page:
        with pytest.raises(DataError, match="another process"), served(run, films, store):
            pass
        keys = {name: video["key"] for name, video in page.videos().items()}
        others = workers()
        page.ask("POST", f"/api/videos/{keys['film 0.mp4']}/job")
        wait_for(lambda: workers() - others)
        (worker,) = workers() - others
        os.kill(worker, signal.SIGKILL)
        video = page.wait("film 0.mp4", "failed")
        assert "killed (SIGKILL)" in video["reason"]
        page.found("film 0.mp4")
        page.send(
            "PUT",
            f"/api/videos/{keys[FILM]}/corrections",
            {"revision": 0, "segments": [{"label": "left", "start": 0, "end": 1}]},
        )
        page.ask("POST", f"/api/videos/{keys['film 2.mp4']}/job")
    with served(run, films, store) as page:
        assert page.videos()["film 0.mp4"]["state"] == "done"
        assert page.videos()[FILM]["corrected"] and page.videos()[FILM]["labels"] == ["left"]
        page.wait("film 2.mp4", "done")


def workers() -> set[int]:
    """The processes that servers of ours have started."""
    asked = ["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())]
    told = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines()
    return {int(line.split()[0]) for line in told if "spawn_main" in line}


def test_the_command_says_where_to_go_and_stops_when_told(own_videos, films, tmp_path):
    words = ["serve", own_videos / "run", "--videos", films, "--store", tmp_path / "store", "--port", "0"]
    command = [sys.executable, "-m", "wtal", *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        said = process.stdout.readline()
        assert said.startswith("open http://127.0.0.1:") and "token" not in said
        with socket.create_connection(("127.0.0.1", int(said.rstrip("/\n").rpartition(":")[2]))) as line:
            line.sendall(b"GET /api/desk HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert line.recv(99).startswith(b"HTTP/1.1 200")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130 and "Traceback" not in out + err and "what was saved stays" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--videos", "nowhere"], "there is no such folder"),
        (["--videos", ".", "--host", "not a host"], "choose another --port or --host"),
        (["--videos", ".", "--host", ""], "--host names no address"),
        (["--videos", ".", "--port", "{taken}"], "choose another --port or --host"),
    ],
)
def test_what_cannot_be_served_is_said_in_a_sentence(own_videos, words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        words = [word.format(taken=taken.getsockname()[1]) for word in words]
        done = CliRunner().invoke(app, ["serve", str(own_videos / "run"), "--port", "0", *words])
    assert done.exit_code == 2 and said in " ".join(done.output.split()), done.output
    assert not list(tmp_path.iterdir())


def test_without_the_extra_it_says_what_to_install(own_videos, tmp_path, monkeypatch):
    monkeypatch.setattr("wtal.cli.video.find_spec", lambda name: None)
    done = CliRunner().invoke(app, ["serve", str(own_videos / "run"), "--videos", str(tmp_path)])
    assert done.exit_code == 2 and "pip install 'wtal[web]'" in done.output


def test_the_token_of_a_store_is_a_token(tmp_path):
    for said in ("short\n", f"{'a' * 32}\n{'b' * 32}", "é" * 40):
        (tmp_path / "token").write_text(said)
        with pytest.raises(DataError, match="delete the file"):
            token_of(tmp_path)
    (tmp_path / "token").unlink()
    (tmp_path / "token").symlink_to(tmp_path / "nowhere" / "token")
    with pytest.raises(DataError, match="name another --store"):
        token_of(tmp_path)


@pytest.mark.parametrize("place", ["found", "corrections"])
def test_a_store_with_a_file_in_the_way_says_so(own_videos, films, tmp_path, place):
    (tmp_path / place).write_text("")
    said = pytest.raises(DataError, match=f"{place}: file exists; move it away")
    with said, served(own_videos / "run", films, tmp_path):
        pass


@pytest.mark.parametrize("segments", [None, 5, {}, "ab"])
def test_a_correction_that_nobody_wrote_is_refused(tmp_path, segments):
    write_json(tmp_path / "a.json", {"video": "a.mp4", "revision": 1, "saved": "", "segments": segments})
    with pytest.raises(DataError, match=r"a\.json"):
        Corrections(tmp_path, tmp_path / "tags.csv")


def test_the_list_of_formats_and_classes_is_whole(page):
    desk = page.get("/api/desk")
    assert desk["classes"] == ["left", "right"] and len(desk["formats"]) == len(FORMATS)
    assert json.dumps(desk).count("/") < 10, "no path of this machine"
