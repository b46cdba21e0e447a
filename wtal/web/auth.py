"""Who may ask: only pages of this server, under its own name and, beyond this machine, with its token."""

import json
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from hashlib import sha256
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qs, urlsplit

from wtal.core.errors import short_message

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "media-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
OWN_SITE = ("same-origin", "none")  # of Sec-Fetch-Site: our own page, or the reader's own hand


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    try:
        return host.lower() == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def is_everywhere(host: str) -> bool:
    """Whether it stands for all addresses of this machine, and is none that a browser opens."""
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


class BrokenOffError(Exception):
    """An answer could not be sent to its end; the connection is cut."""


class AuthMiddleware:
    """Let through what may ask, refuse the rest in a sentence, and tell the browser to be strict.

    Without a token the name that the browser knows the server by must be of this machine: else any page could
    have its own name point here.
    """

    def __init__(self, app: App, token: str | None) -> None:
        self._app, self._token = app, token
        # Browsers keep cookies by host alone: a server on another port has its own name for it.
        self._cookie = f"wtal-{sha256((token or '').encode()).hexdigest()[:8]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        headers = _Headers(scope)
        refusal = self._refusal(scope, headers)
        if refusal:
            return await _answer(send, *refusal)
        if self._token and self._brings_token(scope):
            cookie = f"{self._cookie}={self._token}; HttpOnly; SameSite=Strict; Path=/; Max-Age=31536000"
            return await _answer(send, 303, "", {"location": "/", "set-cookie": cookie})

        open_ = False  # an answer is on its way

        async def strict(message: MutableMapping[str, Any]) -> None:
            nonlocal open_
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *_raw(HEADERS)]
                open_ = True
            await send(message)
            open_ = open_ and message.get("more_body", message["type"] == "http.response.start")

        try:
            await self._app(scope, receive, strict)
        except Exception as error:  # of a file that becomes shorter, or unreadable, while it is sent
            if not open_:
                raise
            raise BrokenOffError(f"{scope['method']} {scope['path']} broke off: {short_message(error)}") from error

    def _refusal(self, scope: Scope, headers: "_Headers") -> tuple[int, str] | None:
        hosts = headers.all("host")
        name = _host(hosts[0]) if len(hosts) == 1 else None
        if name is None or (self._token is None and not is_loopback(name)):
            return 403, "this server is asked under a name that is not its own; open the address that it printed"
        origins = headers.all("origin")
        if any(origin not in (f"http://{hosts[0]}", f"https://{hosts[0]}") for origin in origins):
            return 403, "another page asked; open the address that the server printed"
        opens = scope["method"] == "GET" and scope["path"] == "/"  # a link to the page, from wherever
        if not opens and any(site not in OWN_SITE for site in headers.all("sec-fetch-site")):
            return 403, "another page asked; open the address that the server printed"
        if self._token and not (self._knows(headers) or self._brings_token(scope)):
            return 401, "this page is private; open the whole address that the server printed, token included"
        return None

    def _brings_token(self, scope: Scope) -> bool:
        """Whether the address that the server printed was opened."""
        if scope["method"] != "GET" or scope["path"] != "/":
            return False
        said = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])
        return self._is_token(said[0])

    def _knows(self, headers: "_Headers") -> bool:
        said = [value.removeprefix("Bearer ") for value in headers.all("authorization")]
        for value in headers.all("cookie"):
            try:
                said += [morsel.value for name, morsel in SimpleCookie(value).items() if name == self._cookie]
            except CookieError:
                continue
        return any(self._is_token(value) for value in said)

    def _is_token(self, said: str) -> bool:
        return self._token is not None and secrets.compare_digest(said.encode(), self._token.encode())


class _Headers:
    def __init__(self, scope: Scope) -> None:
        self._raw = scope["headers"]

    def all(self, name: str) -> list[str]:
        return [value.decode("latin-1") for key, value in self._raw if key == name.encode()]


def _host(value: str) -> str | None:
    """The name in a Host header, without the port; None where it is none."""
    try:
        parts = urlsplit(f"//{value}")
        parts.port  # noqa: B018  # raises where it is no number
    except ValueError:
        return None
    plain = not (parts.path or parts.query or parts.fragment or parts.username or parts.password)
    return parts.hostname if plain else None


def _raw(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]


async def _answer(send: Send, status: int, error: str, more: dict[str, str] | None = None) -> None:
    """One sentence, as all errors of the server are."""
    body = json.dumps({"error": error}).encode() if error else b""
    told = {"content-type": "application/json", "content-length": str(len(body)), **HEADERS, **(more or {})}
    await send({"type": "http.response.start", "status": status, "headers": _raw(told)})
    await send({"type": "http.response.body", "body": body})
