"""Which requests the server answers: known hosts, same-origin pages and, with a token, its holders."""

import secrets
from collections.abc import MutableMapping
from hashlib import sha256
from ipaddress import ip_address
from typing import Any

from starlette.datastructures import Headers
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from wtal.core.errors import short_message

SECURITY_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "media-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
TRUSTED_FETCH_SITES = ("same-origin", "none")  # Sec-Fetch-Site of this page and of a typed address
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")
PLAIN_ERRORS = {416: "the requested range is not in the file; reload the page"}
COOKIE_MAX_AGE = 365 * 24 * 3600  # seconds


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a host."""
    try:
        return host.lower() == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def is_wildcard(host: str) -> bool:
    """Whether an address means all interfaces of this machine, such as 0.0.0.0."""
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


class ResponseAbortedError(Exception):
    """A response could not be sent completely; the connection is closed."""


class AuthMiddleware:
    """Refuses requests that must not be answered, and adds security headers to every response.

    Without a token, the Host header must be a loopback name or one of `hosts`, which prevents DNS rebinding. With a
    token, any host is accepted from clients that send the token as a bearer token or as the cookie that opening
    `/?token=...` sets. Requests of other websites are refused in both cases.

    Args:
        app: The application to protect.
        token: The secret, or None for a server that only this machine can reach.
        hosts: Host names to accept besides the loopback names, IPv6 addresses in brackets.
    """

    def __init__(self, app: ASGIApp, token: str | None, hosts: tuple[str, ...] = ()) -> None:
        self._app = app if token else TrustedHostMiddleware(app, [*LOOPBACK_HOSTS, *hosts], www_redirect=False)
        self._token = token
        # Browsers share cookies between the ports of a host, so each server has its own cookie name.
        self._cookie_name = f"wtal-{sha256((token or '').encode()).hexdigest()[:8]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        is_sending = False
        replacement: Response | None = None

        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            nonlocal is_sending, replacement
            if message["type"] == "http.response.start":
                replacement = _replacement(message["status"], Headers(raw=message.get("headers", [])))
                present = replacement.raw_headers if replacement else message.get("headers", [])
                added = ((name.encode(), value.encode()) for name, value in SECURITY_HEADERS.items())
                message = {**message, "headers": [*present, *added]}
                is_sending = True
            elif replacement:
                message = {"type": "http.response.body", "body": replacement.body}
            await send(message)
            is_sending = is_sending and message.get("more_body", message["type"] == "http.response.start")

        response = self._refuse_or_login(Request(scope))
        try:
            await (response or self._app)(scope, receive, send_with_headers)
        except Exception as error:  # such as a file that is truncated or becomes unreadable while it is sent
            if not is_sending:
                raise
            raise ResponseAbortedError(
                f"{scope['method']} {scope['path']} was aborted: {short_message(error)}"
            ) from error

    def _refuse_or_login(self, request: Request) -> Response | None:
        """The response to a request that does not reach the application, else None."""
        host = request.headers.get("host", "")
        opens_page = request.method == "GET" and request.scope["path"] == "/"
        if any(origin not in (f"http://{host}", f"https://{host}") for origin in request.headers.getlist("origin")):
            return _error(403, "requests from other websites are not allowed; open the address that the server printed")
        # Other websites may link to the page itself.
        fetch_sites = request.headers.getlist("sec-fetch-site")
        if not opens_page and any(site not in TRUSTED_FETCH_SITES for site in fetch_sites):
            return _error(403, "requests from other websites are not allowed; open the address that the server printed")
        if self._token is None:
            return None
        if opens_page and self._is_token(request.query_params.get("token", "")):
            response = RedirectResponse("/", 303)
            response.set_cookie(
                self._cookie_name, self._token, max_age=COOKIE_MAX_AGE, httponly=True, samesite="strict"
            )
            return response
        credentials = [request.cookies.get(self._cookie_name, "")]
        credentials += [value.removeprefix("Bearer ") for value in request.headers.getlist("authorization")]
        if any(map(self._is_token, credentials)):
            return None
        return _error(401, "this page needs a token; open the complete address that the server printed")

    def _is_token(self, value: str) -> bool:
        return self._token is not None and secrets.compare_digest(value.encode(), self._token.encode())


def _replacement(status: int, headers: Headers) -> Response | None:
    """The response instead of an error in plain text, which the web framework sends for bad ranges and hosts."""
    if status < 400 or not headers.get("content-type", "").startswith("text/plain"):
        return None
    kept = {name: headers[name] for name in ("content-range",) if name in headers}
    return _error(status, PLAIN_ERRORS.get(status, "the request is invalid; reload the page"), kept)


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": message, "code": "http-error"}, status, headers)
