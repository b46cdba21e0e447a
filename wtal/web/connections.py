"""HTTP connections with limits: clients that connect and stay silent cannot lock others out."""

import asyncio
import json
import logging
import socket
import time
from dataclasses import dataclass

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from wtal.web.auth import SECURITY_HEADERS

HEADER_TIMEOUT = 10.0  # seconds from the start of a request to the end of its headers
MAX_CONNECTIONS = 512
MIN_CONNECTIONS = 8
RESERVED_DESCRIPTORS = 64  # for files, and for pipes to the worker processes
# Connections that are accepted at once, before any of them is read. Those of a moment ago must not be closed by then.
ACCEPTED_AT_ONCE = 16
QUEUE_LENGTH = 512  # connections that wait in the system until they are accepted
LOG_INTERVAL = 60.0  # seconds in which the same message is logged once


@dataclass
class ConnectionLimit:
    """The largest number of connections of a server, and whether it was ever reached."""

    max_connections: int
    is_reached: bool = False


def max_connections() -> int:
    """How many connections fit below the limit of file descriptors; each can send a file, which takes another."""
    try:
        import resource
    except ImportError:  # Windows
        return MAX_CONNECTIONS
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return min(MAX_CONNECTIONS, max(MIN_CONNECTIONS, (limit - RESERVED_DESCRIPTORS) // 2))


class LimitedProtocol(H11Protocol):
    """A connection that is closed when the headers of a request take too long, or when others need its place.

    When a new connection exceeds the limit, one without a request is closed, the oldest first. So clients that send
    nothing, or headers slowly, make room for those that send requests.
    """

    limit: ConnectionLimit  # set in a subclass for each server

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        self._connected_at = time.monotonic()
        self._header_timer: asyncio.TimerHandle | None = None
        self._start_header_timer()
        others = [other for other in self.connections if other is not self and isinstance(other, LimitedProtocol)]
        if len(others) >= self.limit.max_connections:
            if not self.limit.is_reached:
                self.limit.is_reached = True
                count = self.limit.max_connections
                self.logger.warning("%d connections are open; the oldest without a request are closed", count)
            oldest = min(others, key=lambda other: (other.is_active, other._connected_at))
            oldest.transport.abort()
            self.connections.discard(oldest)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_header_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.is_active or self.transport.is_closing():
            self._stop_header_timer()
        elif self._header_timer is None:
            self._start_header_timer()

    @property
    def is_active(self) -> bool:
        """Whether a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def send_400_response(self, msg: str) -> None:
        """Answer a malformed request like other errors."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):  # a response is being sent
            self.transport.abort()
            return
        body = json.dumps({"error": "the request is not valid HTTP", "code": "http-error"}).encode()
        headers = {"content-type": "application/json", "content-length": str(len(body)), "connection": "close"}
        headers |= SECURITY_HEADERS
        response = h11.Response(status_code=400, headers=list(headers.items()), reason=b"Bad Request")
        for event in (response, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _start_header_timer(self) -> None:
        self._header_timer = self.loop.call_later(HEADER_TIMEOUT, self._time_out)

    def _stop_header_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _time_out(self) -> None:
        if not self.is_active:
            self.transport.abort()


class LimitedServer(uvicorn.Server):
    """A server that accepts a few connections at once, while many can wait."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        for listener in sockets or ():
            listener.listen(QUEUE_LENGTH)  # asyncio uses one number for both


def limited_protocol() -> type[LimitedProtocol]:
    """The protocol class of one server."""
    return type("ServerProtocol", (LimitedProtocol,), {"limit": ConnectionLimit(max_connections())})


class RepeatedMessages(logging.Filter):
    """Drops a message that was logged in the last minute: clients can cause any number of them."""

    def __init__(self) -> None:
        super().__init__()
        self._logged_at: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        key, now = f"{record.getMessage()} {error!r}"[:500], time.monotonic()
        if now - self._logged_at.get(key, -LOG_INTERVAL) < LOG_INTERVAL:
            return False
        if len(self._logged_at) > 1000:
            self._logged_at.clear()
        self._logged_at[key] = now
        return True
