"""The HTTP interface."""

import base64
import errno
import json
import os
import shutil
import socket
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.helpers.processes import wait_until
from tests.helpers.server import corrections_path, run_server
from wtal.cli import app
from wtal.core.errors import DataError
from wtal.data.annotations.convert import read_annotations
from wtal.data.annotations.registry import FORMATS
from wtal.data.layouts.activitynet import read_proposals
from wtal.data.video_files import video_id
from wtal.web.jobs import JobQueue
from wtal.web.library_api import VideoResponse
from wtal.web.videos import VideoLibrary, video_key

FILM = "film 3.mp4"

# ---- predictions, lists and exports


def test_config_has_all_classes_and_formats(server):
    config = server.get("/api/config")
    assert config["classes"] == ["left", "right"]
    assert [format["name"] for format in config["formats"]] == list(FORMATS)
    assert json.dumps(config).count("/") < 10, "no path of this machine"


def test_prediction_is_that_of_the_command(server, own_videos, films, tmp_path):
    key = server.run_detection(FILM)
    arguments = ["predict", str(films / FILM), "--model", str(own_videos / "run"), "--out", str(tmp_path / "out")]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    details = server.get(f"/api/videos/{key}")
    assert details["duration"] == pytest.approx(6) and details["corrections"] is None
    (tmp_path / "all.json").write_bytes(
        base64.b64decode(server.get(f"/api/videos/{key}/export/results?threshold=-1")["content"])
    )
    (exported,) = read_proposals(tmp_path / "all.json").values()
    (expected,) = read_proposals(tmp_path / "out" / "proposals.json").values()
    assert exported and {p.score for p in exported} <= {p.score for p in expected}
    assert all(a.end <= b.start for a, b in pairwise(exported)), "no overlaps"
    (shown,) = read_proposals(tmp_path / "out" / "timeline.json").values()
    visible = [p for p in exported if p.score >= (details["thresholds"][p.label] or 2)]
    assert visible == shown, "the model is calibrated by training"
    assert server.videos()[FILM]["labels"] == list(dict.fromkeys(p.label for p in visible))


def test_list_has_an_etag(server):
    assert {FILM, "day 1/film 1.mp4"} <= server.videos().keys()
    response = server.request("GET", "/api/videos")
    again = server.request("GET", "/api/videos", headers={"If-None-Match": response.headers["etag"]})
    assert again.status == 304 and not again.body


@pytest.mark.parametrize("format", FORMATS.values(), ids=FORMATS)
def test_export_roundtrip(server, tmp_path, format):
    key = server.run_detection(FILM)
    segments = [
        {"label": "left", "start": 1.0, "end": 2.5},
        {"label": "größer", "start": 3.2, "end": 4.0, "score": 0.5},
    ]
    revision = server.save(FILM, segments).json["revision"]
    exported = server.get(f"/api/videos/{key}/export/{format.name}")
    suffix = "" if format.single_video or format.name == "csv" else f" {format.name}"
    assert exported["file"] == f"film 3{suffix}{format.extension}"
    path = tmp_path / exported["file"]
    path.write_bytes(base64.b64decode(exported["content"]))
    file, detected = read_annotations(path, format.name, 10.0 if format.needs_fps else None)
    assert detected is format
    (annotation,) = file.annotations
    assert [(s.label, s.start, s.end) for s in annotation.segments] == [("left", 1.0, 2.5), ("größer", 3.2, 4.0)]
    assert annotation.file_name in ("", FILM)
    assert bool(exported["remarks"]) or "scores" in format.keeps
    assert server.discard(FILM, revision).status == 200


def test_export_has_the_id_that_the_data_set_has(server):
    name = "day 1/film 1.mp4"
    revision = server.save(name, [{"label": "left", "start": 1.0, "end": 2.5}]).json["revision"]
    exported = server.get(f"/api/videos/{video_key(name)}/export/activitynet")
    assert json.loads(base64.b64decode(exported["content"]))["database"].keys() == {video_id(name)} == {"day 1__film 1"}
    assert server.discard(name, revision).status == 200


def test_export_without_segments_is_an_error(server, films):
    shutil.copy(films / FILM, films / "unprocessed.mp4")
    os.utime(films / "unprocessed.mp4")
    server.service.library.refresh()
    response = server.request("GET", f"/api/videos/{video_key('unprocessed.mp4')}/export/csv")
    assert response.status == 400 and response.json["code"] == "no-segments"
    (films / "unprocessed.mp4").unlink()


# ---- corrections


def test_corrections_become_tags_for_training(server, films, tmp_path):
    name = "day 1/film 1.mp4"
    segments = [{"label": "wave", "start": 0.25, "end": 1}, {"label": "wave", "start": 2, "end": 3.5}]
    revision = server.save(name, segments).json["revision"]
    tags = films / "timelines" / "tags.csv"
    assert tags.read_bytes() == server.request("GET", "/api/tags.csv").body
    arguments = ["init", str(tmp_path / "next"), "--videos", str(films), "--tags", str(tags)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0 and "wave" in result.output, result.output
    server.discard(name, revision)


def test_stale_save_is_a_conflict(server):
    name = "film 0.mp4"
    first, stale = server.save(name, []), server.save(name, [])
    assert first.status == 200 and stale.status == 409
    assert stale.json["corrections"]["revision"] == first.json["revision"]
    assert server.discard(name, 1).status == 409
    assert server.videos()[name]["edited"] is True
    assert server.discard(name, first.json["revision"]).status == 200
    assert server.corrections(name) is None


def test_points_and_marks_are_stored(server):
    name = "film 2.mp4"
    point = {"label": "wave", "start": 1.5, "end": 1.5, "score": None}
    saved = server.save(name, [point])
    assert saved.status == 200 and server.videos()[name]["status"] == "edited"
    assert server.save(name, [point], saved.json["revision"], complete=True).json["code"] == "incomplete"
    saved = server.save(name, [point], saved.json["revision"], reviewed=True)
    stored = server.corrections(name)
    assert (stored["segments"], stored["complete"], stored["reviewed"]) == ([point], False, True)
    assert server.videos()[name]["status"] == "reviewed" and server.videos()[name]["reviewed"]
    saved = server.save(name, [], saved.json["revision"], complete=True)
    assert server.corrections(name)["reviewed"], "a complete timeline is reviewed"
    assert server.discard(name, saved.json["revision"]).status == 200
    assert server.videos()[name]["status"] in ("new", "predicted") and not server.videos()[name]["reviewed"]


def test_marks_of_two_people_are_not_lost(server):
    name = "film 2.mp4"
    segment = {"label": "wave", "start": 1.0, "end": 2.0, "score": None}
    first = server.save(name, [segment]).json["revision"]
    marked = server.save(name, [segment], first, complete=True)
    stale = server.save(name, [], first)
    assert marked.status == 200 and stale.status == 409
    assert stale.json["corrections"]["complete"] and stale.json["corrections"]["segments"] == [segment]
    assert server.discard(name, first).status == 409
    assert server.discard(name, marked.json["revision"]).status == 200


@pytest.mark.parametrize("key", ["%00", "a" * 300, "..%5Cjobs"])
def test_discard_of_an_unknown_video_is_refused(server, key):
    assert server.request("DELETE", f"/api/videos/{key}/corrections?revision=0").status == 404


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"[" * 100_000,
        b'{"revision": 0}',
        b'{"revision": false, "version": "1", "segments": []}',
        b'{"revision": "1", "version": "1", "segments": []}',
        b'{"revision": 0, "version": 1, "segments": []}',
        b'{"revision": 0, "version": "1", "segments": [1]}',
        b'{"revision": 0, "version": "1", "segments": [{"label": "a", "start": NaN, "end": 2}]}',
        b'{"revision": 0, "version": "1", "segments": [{"label": "a", "start": 1, "end": 1e999}]}',
        b'{"revision": 0, "version": "1", "segments": [{"label": "a", "start": 3, "end": 2}]}',
        b'{"revision": 0, "version": "1", "segments": [{"label": "a", "start": 2, "end": 2}], "complete": true}',
        b'{"revision": 0, "version": "1", "segments": [], "reviewed": 1}',
        b'{"revision": 0, "version": "1", "segments": [{"label": " ", "start": 1, "end": 2}]}',
        b'{"revision": 0, "version": "1", "segments": [{"label": "a;b", "start": 1, "end": 2}]}',
        b'{"revision": 0, "version": "1", "segments": [{"label": "\\ud800", "start": 1, "end": 2}]}',
        b'{"revision": 0, "version": "1", "segments": [{"label": "a", "start": -1, "end": 2}]}',
    ],
    ids=lambda body: body[:60].decode(),
)
def test_invalid_corrections_are_refused(server, body):
    response = server.request("PUT", corrections_path("film 0.mp4"), body)
    assert response.status == 400 and len(response.json["error"].splitlines()) == 1
    assert server.corrections("film 0.mp4") is None


def test_large_request_is_refused_while_it_is_sent(server):
    try:
        response = server.request("PUT", corrections_path("film 0.mp4"), (bytes(1 << 20) for _ in range(64)))
    except OSError:  # the server closes the connection while the client is still sending
        return
    assert response.status == 413


def test_corrections_are_listed_with_the_renamed_video(server, films):
    shutil.copy(films / FILM, films / "before.mp4")
    server.service.library.refresh()
    revision = server.save("before.mp4", [{"label": "wave", "start": 0, "end": 1}]).json["revision"]
    (films / "before.mp4").rename(films / "after.mp4")
    server.service.library.refresh()
    assert server.videos()["after.mp4"]["labels"] == ["wave"]
    assert server.request("DELETE", f"/api/jobs/{video_key('before.mp4')}").status == 404
    assert server.discard("after.mp4", revision).status == 200
    (films / "after.mp4").unlink()


def test_corrections_of_a_moved_or_replaced_video(server, films):
    shutil.copy(films / FILM, films / "old.mp4")
    server.service.library.refresh()
    assert "old.mp4" in server.videos()
    (films / "old.mp4").rename(films / "away.mp4")
    assert server.save("old.mp4", [], version="1 1").status == 404, "the file is gone"
    (films / "away.mp4").rename(films / "old.mp4")
    other_version = server.save("old.mp4", [], version="1 1")
    assert other_version.status == 404 and other_version.json["code"] == "video-replaced"
    revision = server.save("old.mp4", []).json["revision"]
    (films / "old.mp4").rename(films / "moved.mp4")
    server.service.library.refresh()
    assert server.videos()["moved.mp4"]["edited"]
    assert server.get("/api/videos")["moved"][video_key("old.mp4")] == video_key("moved.mp4")
    assert server.discard("old.mp4", revision).status == 404
    assert not server.get(f"/api/videos/{video_key('moved.mp4')}")["replaced"]
    (films / "moved.mp4").write_bytes(b"another film")
    server.service.library.refresh()
    assert server.get(f"/api/videos/{video_key('moved.mp4')}")["replaced"]
    assert server.discard("moved.mp4", revision).status == 200
    (films / "moved.mp4").unlink()


# ---- jobs


def test_jobs_of_unknown_videos_are_ignored(server, monkeypatch):
    added = []
    monkeypatch.setattr(JobQueue, "add", lambda self, *keys: added.append(keys))
    key = video_key(FILM)
    assert server.send("POST", "/api/jobs", {"keys": ["unknown", key]}).status == 202
    assert added == [(key,)]
    for body in ([], {"keys": "a"}, {"keys": [1]}):
        assert server.send("POST", "/api/jobs", body).status == 400


# ---- files and errors


def test_paths_out_of_the_folder_are_refused(server):
    for path in (
        "/api/videos/../../etc/passwd/file",
        "/api/videos/%2e%2e%2f%2e%2e%2fetc%2fpasswd/file",
        "/api/videos//etc/passwd/file",
        f"/api/videos/{video_key('../run/model.safetensors')}/file",
        "/static/../api.py",
        "/static/%2e%2e/api.py",
        "/static/..%2fapi.py",
        "/static//etc/passwd",
        "/static/page.html",
        "/api/videos/unknown",
        "/openapi.json",
        "/docs",
    ):
        response = server.request("GET", path)
        assert response.status in (400, 404) and "error" in response.json, path


@pytest.mark.parametrize("method, path", [("GET", "/nothing"), ("POST", "/api/videos"), ("GET", "/static/app.py")])
def test_unknown_address_is_a_json_error(server, method, path):
    response = server.request(method, path)
    assert response.status in (404, 405) and len(response.json["error"].split()) > 4


def test_video_is_sent_in_ranges(server, films):
    path, content = f"/api/videos/{video_key(FILM)}/file", (films / FILM).read_bytes()
    part = server.request("GET", path, headers={"Range": "bytes=5-9"})
    assert part.status == 206 and part.body == content[5:10]
    assert server.request("GET", path, headers={"Range": "bytes=-7"}).body == content[-7:]
    for invalid in (f"bytes={len(content)}-", "bytes=99999999999-", "bytes=9-5", "bytes=a-b"):
        assert server.request("GET", path, headers={"Range": invalid}).status in (400, 416), invalid
    assert server.request("GET", path).body == content


@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=5-9"}])
@pytest.mark.parametrize("method", [(VideoLibrary, "path"), (VideoResponse, "set_stat_headers")])
def test_video_that_is_deleted_while_it_is_requested_is_not_found(server, films, monkeypatch, method, headers):
    film = films / "deleted.mp4"
    film.write_bytes(bytes(100))
    server.service.library.refresh()
    original = getattr(*method)

    def delete_after(*arguments):
        result = original(*arguments)
        film.unlink()
        return result

    monkeypatch.setattr(*method, delete_after)
    response = server.request("GET", f"/api/videos/{video_key(film.name)}/file", headers=headers)
    assert response.status == 404 and response.json["code"] == "video-not-found"


def test_truncated_video_is_logged_in_one_line(server, films, caplog):
    film = films / "shrinks.mp4"
    film.write_bytes(bytes(32 << 20))
    server.service.library.refresh()
    path = f"/api/videos/{video_key(film.name)}/file"
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode())
        connection.recv(100)
        os.truncate(film, 1000)
        while connection.recv(1 << 20):  # until the server closes the connection
            pass
    film.unlink()
    wait_until(lambda: caplog.records)
    (record,) = caplog.records
    assert path in record.message and not record.exc_info


def test_errors_do_not_reveal_the_store(own_videos, films, tmp_path, capfd):
    with run_server(own_videos / "run", films, tmp_path) as server:
        (tmp_path / "corrections").rmdir()
        (tmp_path / "corrections").write_text("")
        response = server.save(FILM, [])
    assert response.json["error"].startswith(f"corrections/{video_key(FILM)}.json: ")
    assert str(tmp_path) not in response.json["error"]
    assert "Traceback" not in capfd.readouterr().err


def test_full_disk_is_a_temporary_error(server, monkeypatch):
    def fail(*arguments: object) -> None:
        raise DataError("the disk is full", code="disk-full") from OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("wtal.web.corrections.write_json", fail)
    assert server.save(FILM, []).status == 503


def test_unexpected_error_is_logged_with_a_traceback(server, monkeypatch, caplog):
    def fail(*arguments: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(type(server.service), "config", fail)
    response = server.request("GET", "/api/config")
    assert response.status == 500 and "ZeroDivisionError" in response.json["error"]
    wait_until(lambda: caplog.records)
    assert caplog.records[0].exc_info[0] is ZeroDivisionError


def test_folder_name_that_is_not_unicode_is_served(own_videos, tmp_path):
    films = Path(os.fsdecode(os.fsencode(tmp_path) + b"/films\xff"))
    films.mkdir()
    (films / "a\rb.mp4").write_bytes(b"a name that no table of tags can hold")
    with run_server(own_videos / "run", films, tmp_path / "store") as server:
        assert server.get("/api/config")["folder"] == "films?" and server.videos() == {}


# ---- many requests at once


def test_two_hundred_requests_at_once(server):
    key = server.run_detection(FILM)
    paths = ["/", "/api/videos", f"/api/videos/{key}", f"/api/videos/{key}/file", f"/api/videos/{key}/export/elan"]
    with ThreadPoolExecutor(200) as pool:
        responses = list(pool.map(lambda i: server.request("GET", paths[i % len(paths)]), range(200)))
    assert {response.status for response in responses} == {200}


def test_only_one_of_many_concurrent_saves_succeeds(server):
    name = "film 2.mp4"

    def save(i: int) -> bool:
        return server.save(name, [{"label": f"by {i}", "start": 1, "end": 2}]).status == 200

    with ThreadPoolExecutor(20) as pool:
        (winner,) = [i for i, succeeded in enumerate(pool.map(save, range(20))) if succeeded]
    stored = server.corrections(name)
    assert stored["segments"][0]["label"] == f"by {winner}"
    server.discard(name, stored["revision"])
