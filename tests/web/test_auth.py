"""Which requests are answered."""

import pytest

from tests.helpers.server import run_server
from wtal.web.auth import is_loopback, is_wildcard
from wtal.web.server import load_token

REQUESTS = (("GET", "/api/videos"), ("POST", "/api/jobs"), ("PUT", "/api/uploads/a.mp4"))


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "127.0.0.1@evil", ""])
def test_unknown_host_is_refused(server, host):
    for method, path in REQUESTS:
        assert server.request(method, path, headers={"Host": host}).status == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_requests_of_other_websites_are_refused(server, headers):
    for method, path in REQUESTS:
        response = server.request(method, path, headers=headers)
        assert response.status == 403 and "error" in response.json


def test_other_websites_may_link_to_the_page(server):
    assert server.request("GET", "/", headers={"Sec-Fetch-Site": "cross-site"}).status == 200


def test_loopback_names_are_accepted(server):
    for name in (f"localhost:{server.port}", f"127.0.0.1:{server.port}", f"[::1]:{server.port}"):
        headers = {"Host": name, "Origin": f"http://{name}", "Sec-Fetch-Site": "same-origin"}
        assert server.request("GET", "/api/config", headers=headers).status == 200


def test_addresses_are_classified():
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.8.9.1", "::1")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.0.1", "localhost.evil.example", "")))
    assert all(map(is_wildcard, ("0.0.0.0", "::", "::0")))
    assert not any(map(is_wildcard, ("127.0.0.1", "a", "")))


@pytest.mark.parametrize("host", ["127.0.0.1", "evil.example"])
def test_every_response_has_security_headers(server, host):
    for path in ("/", "/api/config", "/nothing"):
        headers = server.request("GET", path, headers={"Host": host}).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


def test_token_is_required(own_videos, films, tmp_path):
    token = load_token(tmp_path)
    with run_server(own_videos / "run", films, tmp_path / "store", token) as server:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Cookie": "wtal=wrong"}, {"Cookie": 'wtal="'}):
            for path in ("/", "/api/videos", "/?token=wrong", f"/api/videos?token={token}"):
                assert server.request("GET", path, headers=headers).status == 401, (path, headers)
        login = server.request("GET", f"/?token={token}")
        assert login.status == 303 and login.headers["location"] == "/"
        cookie = login.headers["set-cookie"]
        assert "HttpOnly" in cookie and "samesite=strict" in cookie.lower()
        name = cookie.partition("=")[0]
        assert server.request("GET", "/", headers={"Cookie": f'{name}="'}).status == 401
        for headers in ({"Cookie": cookie.split(";")[0]}, {"Authorization": f"Bearer {token}"}):
            with_host = headers | {"Host": "my.own.name:80"}
            assert server.request("GET", "/api/videos", headers=with_host).status == 200
            with_origin = headers | {"Origin": "http://evil.example"}
            assert server.request("GET", "/api/videos", headers=with_origin).status == 403
